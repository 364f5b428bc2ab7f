//! `[[continue]]` bound to both builds.

use std::sync::Arc;

use dsu_formats::spec::continuation::{Continue, Point, SetPlace};
use dsu_formats::spec::expression::Side;
use dsu_formats::spec::model::{Argument, Call, Expression, Rule};
use dsu_formats::spec::names::{Root, Subject, TypeName, VariableName};
use dsu_formats::spec::{At, Problem, Span};

use super::bind::{Binder, Bound};
use super::calls::{BoundArgument, bound_argument};
use super::expression::{Checker, Compiled, FrameScope, Kind, NewFields, Static};
use super::fields::{computed, origin, writable};
use super::names;
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::objects::{Object, Place as ObjectPlace};
use crate::plan::data::rules::{FieldSource, Rules};
use crate::plan::data::value::{is_float, is_signed};
use crate::plan::frames::{
    CallArgument, CallRule, Form, Formula, FrameRule, LocalRule, OldScope, SetPlace as Place, SetRule, Source, Whole,
    code_points, scope_of,
};
use crate::program::address::LinkAddress;
use crate::program::types::{Shape, TypeId, TypeTable};

/// Binds all tables.
pub(super) fn bind(binder: &mut Binder<'_>, bound: &mut Bound) {
    let spec = binder.spec;
    let Bound { rules, frames, .. } = bound;
    let rules = &*rules;
    for table in &spec.continues {
        let function = old_function(binder, &table.function);
        let Some(function) = binder.take(function) else { continue };
        let into = into(binder, table, function);
        let Some(into) = binder.take(into) else { continue };
        let scopes = scopes(binder, table, (function, into));
        let Some((old, new)) = binder.take(scopes) else { continue };
        let about = About { table, function, into, old: &old, new: &new, rules };
        let rule = about.rule(binder);
        let inside = about.insides(binder);
        let first = frames.rules.len() + 1;
        frames.rules.push(FrameRule { inside: (first..first + inside.len()).collect(), ..rule });
        frames.rules.extend(inside);
    }
}

fn old_function(binder: &Binder<'_>, name: &At<VariableName>) -> Result<usize, Problem> {
    names::find(&binder.spec.source, name, ("function", Side::Old), binder.comparison.sides.old.functions.list())
}

/// What the frames of a function become; a problem where they need no answer, or no answer helps.
fn into(binder: &Binder<'_>, table: &Continue, function: usize) -> Result<usize, Problem> {
    let comparison = binder.comparison;
    let problem = |message: String| binder.spec.source.problem(table.function.span, message);
    let name = &table.function.value;
    if comparison.code.same.get(function) == Some(&true) {
        return Err(problem(format!("`{name}` does not change: its frames are carried, and this answers nothing")));
    }
    let partner = comparison.points.function(function);
    let Some(into) = &table.into else {
        let message =
            format!("`{name}` is nothing in the new program; add `in = \"NAME\"` with the function that its frames become");
        return partner.ok_or_else(|| problem(message));
    };
    let list = comparison.sides.new.functions.list();
    let wanted = names::find(&binder.spec.source, into, ("function", Side::New), list)?;
    if comparison.points.pairs().any(|pair| pair == (function, wanted)) {
        return Ok(wanted);
    }
    let found = partner.and_then(|partner| list.get(partner)).map(|code| code.identity.name.clone()).unwrap_or_default();
    let message = format!("`{name}` is `{found}` in the new program by another rule, and cannot be `{}`, too", into.value);
    Err(binder.spec.source.problem(into.span, message))
}

/// The variables of a function on both sides, with those of old frames that vanish.
fn scopes(binder: &Binder<'_>, table: &Continue, (function, into): (usize, usize)) -> Result<(OldScope, OldScope), Problem> {
    let comparison = binder.comparison;
    let scope = |build, function: usize, into: Option<usize>, span: Span| {
        let graph = comparison.changed_graph(function, into);
        graph.map(|graph| scope_of(build, graph)).map_err(|unclear| binder.spec.source.problem(span, unclear.to_string()))
    };
    let mut old = scope(binder.old, function, None, table.function.span)?;
    for (number, name) in (1u8..).zip(&table.drops) {
        let dropped = old_function(binder, name)?;
        old.add(number, &scope(binder.old, dropped, None, name.span)?);
    }
    Ok((old, scope(binder.new, function, Some(into), table.function.span)?))
}

/// One table about one function.
struct About<'t> {
    table: &'t Continue,
    function: usize,
    /// Position of the new function.
    into: usize,
    old: &'t OldScope,
    new: &'t OldScope,
    /// How types pair.
    rules: &'t Rules,
}

impl About<'_> {
    /// The table, but for what is wrong in it.
    fn rule(&self, binder: &mut Binder<'_>) -> FrameRule {
        let table = self.table;
        let mut other = |name: &Option<At<VariableName>>| {
            let found = name.as_ref().map(|name| old_function(binder, name)).transpose();
            binder.take(found).flatten()
        };
        let (called_by, thread) = (other(&table.called_by), other(&table.thread));
        let drops = table.drops.iter().filter_map(|name| {
            let found = old_function(binder, name);
            binder.take(found)
        });
        let drops = drops.collect();
        let from = table.from.as_ref().map(|point| self.points(binder, point, false)).transpose();
        let from = binder.take(from).flatten();
        let mut at = Vec::new();
        for point in &table.at {
            let found = self.points(binder, point, true);
            at.extend(binder.take(found).into_iter().flatten());
        }
        let locals = table.locals.iter().filter_map(|rule| {
            let found = self.local(binder, rule);
            binder.take(found)
        });
        let locals = locals.collect();
        let set = table.set.iter().filter_map(|rule| {
            let found = self.set(binder, rule);
            binder.take(found)
        });
        let set = set.collect();
        let before = table.before.iter().filter_map(|call| {
            let found = self.call(binder, call);
            binder.take(found)
        });
        FrameRule {
            into: Some(self.into),
            drops,
            inside: Vec::new(),
            is_inner: false,
            function: self.function,
            called_by,
            thread,
            from: from.map(|from| from.into_iter().map(|(at, between)| (OldLink(at), between)).collect()),
            at: at.into_iter().map(|(at, between)| (NewLink(at), between)).collect(),
            locals,
            set,
            before: before.collect(),
            accept: table.accept.iter().map(|accepted| (accepted.value.clone(), origin(binder, accepted.span))).collect(),
        }
    }

    /// Rules about functions of the new program that the thread is in besides.
    fn insides(&self, binder: &mut Binder<'_>) -> Vec<FrameRule> {
        let mut found = Vec::new();
        for inside in &self.table.inside {
            let list = binder.comparison.sides.new.functions.list();
            let function = names::find(&binder.spec.source, &inside.function, ("function", Side::New), list);
            let Some(into) = binder.take(function) else { continue };
            let graph = binder.comparison.changed_graph(self.function, Some(into));
            let scope = graph.map(|graph| scope_of(binder.new, graph));
            let scope = scope.map_err(|unclear| binder.spec.source.problem(inside.function.span, unclear.to_string()));
            let Some(scope) = binder.take(scope) else { continue };
            let table = Continue {
                span: inside.function.span,
                function: self.table.function.clone(),
                into: Some(inside.function.clone()),
                drops: Vec::new(),
                inside: Vec::new(),
                called_by: None,
                thread: None,
                from: None,
                at: vec![inside.at.clone()],
                locals: inside.locals.clone(),
                set: Vec::new(),
                before: Vec::new(),
                accept: inside.accept.clone(),
            };
            let about = About { table: &table, into, new: &scope, ..*self };
            found.push(FrameRule { is_inner: true, ..about.rule(binder) });
        }
        found
    }

    fn points(&self, binder: &Binder<'_>, point: &At<Point>, new: bool) -> Result<Vec<(LinkAddress, bool)>, Problem> {
        let build = if new { binder.new } else { binder.old };
        let into = new.then_some(self.into);
        let found = code_points(binder.comparison, build, (self.function, into), &point.value);
        found.map_err(|(message, nearest)| {
            let side = if new { Side::New } else { Side::Old };
            let problem =
                binder.spec.source.problem(point.span, format!("there is no such point in the {side} program: {message}"));
            Problem { nearest, ..problem }
        })
    }

    fn local(&self, binder: &Binder<'_>, rule: &Rule<String, Expression>) -> Result<LocalRule, Problem> {
        let (source, name) = (&binder.spec.source, &rule.subject.value);
        // A variable of a function that is inlined.
        let name = &match name.split_once("::") {
            Some((function, name)) => format!("{name} of {function}"),
            None => name.clone(),
        };
        let Some(variable) = self.new.get(name) else {
            let what = format!("variable of the new function of `{}`", self.table.function.value);
            return Err(source.unknown(rule.subject.span, &what, name, self.new.names()));
        };
        let [kind] = variable.kinds[..] else {
            let message = format!("`{name}` is declared several times in the new function, with different types");
            return Err(source.problem(rule.subject.span, message));
        };
        let whole = self.whole(binder, &rule.value.value);
        let formula = self.formula(binder, &rule.value, kind);
        let (whole, formula) = match (whole, formula) {
            (whole, Ok(formula)) => (whole, Some(Arc::new(formula))),
            // A structure or an array takes another one, a number or a pointer does not.
            (Some(whole), Err(_))
                if is_aggregate(&binder.old.debug.types, whole.kind) && form(&binder.new.debug.types, kind).is_none() =>
            {
                (Some(whole), None)
            }
            (_, Err(problem)) => return Err(problem),
        };
        Ok(LocalRule { name: name.clone(), whole, formula, origin: origin(binder, rule.subject.span) })
    }

    /// The variable of the old frame, or the part of one, that an expression only names.
    fn whole(&self, binder: &Binder<'_>, expression: &Expression) -> Option<Whole> {
        let names = Checker::field_path(expression)?;
        let (variable, path) = names.split_first()?;
        let table = &binder.old.debug.types;
        let found = self.old.get(variable)?;
        let [mut kind] = found.kinds[..] else { return None };
        let mut offset = 0u64;
        for name in path {
            let inner = table.peel(kind).map(|kind| table.resolve(kind));
            for step in table.member_path(inner, name)? {
                let member = table.get(table.peel(kind)?).shape.members()?.get(step as usize)?;
                if member.bits.is_some() {
                    return None;
                }
                offset = offset.checked_add(member.offset)?;
                kind = member.kind;
            }
        }
        Some(Whole { variable: variable.clone(), frame: found.frame, offset, length: table.size_of(kind)?, kind })
    }

    /// An expression for something of a type of the new build.
    fn formula(&self, binder: &Binder<'_>, expression: &At<Expression>, kind: Option<TypeId>) -> Result<Formula, Problem> {
        let table = &binder.new.debug.types;
        let form = form(table, kind);
        let Some(form) = form else {
            let message = format!(
                "type mismatch: the variable is `{}`, and takes only a variable of the old frame as a whole, as in `old.name`",
                table.describe(kind)
            );
            return Err(binder.spec.source.problem(expression.span, message));
        };
        let (reads, length, source) = self.checked(binder, expression, kind)?;
        Ok(Formula { source, reads, length, form, origin: origin(binder, expression.span) })
    }

    fn checked(
        &self,
        binder: &Binder<'_>,
        expression: &At<Expression>,
        kind: Option<TypeId>,
    ) -> Result<(Vec<crate::plan::frames::Read>, usize, Source), Problem> {
        let statics = |name: &str| old_static(binder, name);
        let scope = FrameScope::new(self.old, &statics, &binder.old.debug.types);
        let none = NewFields::new();
        let source = {
            let mut checker = Checker::over_frame(&binder.environment, &none, &scope);
            let compiled = checker.compile(&expression.value)?;
            computed(binder, compiled, kind, expression.span)?
        };
        let source = match source {
            FieldSource::Constant(value) => Source::Constant(value),
            FieldSource::Expression(expression) => Source::Expression(expression),
            FieldSource::Old(_) => {
                return Err(binder.spec.source.problem(expression.span, "expected a value of the old frame, as in `old.count`"));
            }
        };
        let (reads, length) = scope.used();
        Ok((reads, usize::try_from(length).unwrap_or(0), source))
    }

    fn set(&self, binder: &Binder<'_>, rule: &Rule<SetPlace, Expression>) -> Result<SetRule, Problem> {
        let span = rule.subject.span;
        let (start, path, kind, variable) = match &rule.subject.value {
            SetPlace::Variable(subject) => {
                let object = set_variable(binder, subject, span)?;
                let fixed = object.place != ObjectPlace::ThreadLocal;
                let start = if fixed { Start::Fixed(NewLink(object.start)) } else { Start::Thread(object.start.0) };
                (start, &subject.path, object.kind, fixed.then(|| object.start.0..object.end().0))
            }
            SetPlace::Through { pointer, path } => {
                let (pointer, kind) = self.pointer(binder, &At::new(pointer.clone(), span))?;
                (Start::Through(Arc::new(pointer)), path, Some(kind), None)
            }
        };
        let found = field(binder, kind, path, span)?;
        let place = match start {
            Start::Fixed(link) => Place::Fixed(NewLink(link.0.offset(found.offset))),
            Start::Thread(block) => Place::Thread(block.saturating_add(found.offset)),
            Start::Through(pointer) => Place::Through(pointer, found.offset),
        };
        let formula = Arc::new(self.formula(binder, &rule.value, found.kind)?);
        Ok(SetRule { place, bits: found.bits, formula, variable, span })
    }

    /// A pointer to an object, and what the object's type becomes.
    fn pointer(&self, binder: &Binder<'_>, pointer: &At<Expression>) -> Result<(Formula, TypeId), Problem> {
        let (reads, length, compiled) = self.compiled(binder, &pointer.value)?;
        let problem = |message: String| binder.spec.source.problem(pointer.span, message);
        let Kind::Pointer(Some(kind)) = compiled.kind else {
            return Err(problem(format!("expected a pointer to a structure before `->`, found `{}`", pointer.value.text)));
        };
        let table = &binder.old.debug.types;
        let old = table.peel(Some(kind)).map(|kind| table.resolve(kind)).unwrap_or(kind);
        // An alias may be all the name that a structure has.
        let names = [Some(old), Some(kind)].map(|kind| TypeName::parse(&table.describe(kind)).ok());
        let new = names.iter().flatten().find_map(|name| binder.new_type(self.rules, old, name));
        let described = table.describe(Some(kind));
        let new = new.ok_or_else(|| problem(format!("`{described}` is no type of the new program, or of several files")))?;
        let form = Form { length: 8, float: false, signed: false };
        let source = Source::Expression(Arc::new(compiled));
        Ok((Formula { source, reads, length, form, origin: origin(binder, pointer.span) }, new))
    }

    fn compiled(
        &self,
        binder: &Binder<'_>,
        expression: &Expression,
    ) -> Result<(Vec<crate::plan::frames::Read>, usize, Compiled), Problem> {
        let statics = |name: &str| old_static(binder, name);
        let scope = FrameScope::new(self.old, &statics, &binder.old.debug.types);
        let none = NewFields::new();
        let compiled = Checker::over_frame(&binder.environment, &none, &scope).compile(expression)?;
        let (reads, length) = scope.used();
        Ok((reads, usize::try_from(length).unwrap_or(0), compiled))
    }

    fn call(&self, binder: &Binder<'_>, call: &Call) -> Result<CallRule, Problem> {
        let function = binder.function(&call.function)?;
        let arguments = call.arguments.iter().map(|argument| self.argument(binder, argument));
        Ok(CallRule {
            function,
            arguments: arguments.collect::<Result<_, _>>()?,
            text: call.text.clone(),
            origin: origin(binder, call.function.span),
        })
    }

    fn argument(&self, binder: &Binder<'_>, argument: &At<Argument>) -> Result<CallArgument, Problem> {
        let expression = match &argument.value {
            Argument::Value(expression) => expression,
            Argument::Text(_) => {
                let message = "a text stands in `[after-restore] call` alone";
                return Err(binder.spec.source.problem(argument.span, message));
            }
            Argument::Address(_) => {
                return match bound_argument(binder, argument)? {
                    BoundArgument::Address(link) => Ok(CallArgument::Address(link)),
                    _ => Err(binder.spec.source.problem(argument.span, "expected the address of something, as in `&table`")),
                };
            }
        };
        if let Ok(BoundArgument::Word(word)) = bound_argument(binder, argument) {
            return Ok(CallArgument::Word(word));
        }
        let expression = At::new(expression.clone(), argument.span);
        let (reads, length, source) = self.word(binder, &expression)?;
        let form = Form { length: 8, float: false, signed: true };
        Ok(CallArgument::Of(Arc::new(Formula { source, reads, length, form, origin: origin(binder, argument.span) })))
    }

    /// An expression for an argument: a whole number, or a pointer.
    fn word(
        &self,
        binder: &Binder<'_>,
        expression: &At<Expression>,
    ) -> Result<(Vec<crate::plan::frames::Read>, usize, Source), Problem> {
        let (reads, length, compiled) = self.compiled(binder, &expression.value)?;
        if !matches!(compiled.kind, Kind::Integer | Kind::Pointer(_)) {
            let message = "expected a whole number, a pointer, a text, or the address of something, as in `&table`";
            return Err(binder.spec.source.problem(expression.span, message));
        }
        let compiled = compiled.within(i64::MIN.into(), u64::MAX.into(), &format!("an argument, {} to {},", i64::MIN, u64::MAX));
        Ok((reads, length, Source::Expression(Arc::new(compiled))))
    }
}

/// Where something begins that takes a value.
enum Start {
    Fixed(NewLink),
    Thread(u64),
    Through(Arc<Formula>),
}

/// A field of the new build.
struct FieldAt {
    offset: u64,
    kind: Option<TypeId>,
    /// For a bit-field: its first bit from there, and its width.
    bits: Option<(u8, u8)>,
}

/// The variable of the new program that `set` is about.
fn set_variable<'b>(binder: &Binder<'b>, subject: &Subject, span: Span) -> Result<&'b Object, Problem> {
    let name = match &subject.root {
        Root::Variable(name) => name.clone(),
        Root::Either(name) => VariableName { file: None, function: None, name: name.clone(), line: None },
        Root::Type(_) | Root::Kernel(_) => {
            let message = "expected a variable of the new program, or a field of one, as in `stats.active`";
            return Err(binder.spec.source.problem(span, message));
        }
    };
    let name = At::new(name, span);
    let (_, object) = binder.object(&name, Side::New)?;
    writable(binder, &name, Side::New, object)?;
    Ok(object)
}

/// A field by its path from something of a type of the new build.
fn field(binder: &Binder<'_>, kind: Option<TypeId>, path: &[String], span: Span) -> Result<FieldAt, Problem> {
    let table = &binder.new.debug.types;
    let mut found = FieldAt { offset: 0, kind, bits: None };
    for name in path {
        let inner = table.peel(found.kind).map(|kind| table.resolve(kind));
        let no_member = || binder.environment.new.no_member(inner, name, span);
        for step in table.member_path(inner, name).ok_or_else(no_member)? {
            let members = table.peel(found.kind).and_then(|kind| table.get(table.resolve(kind)).shape.members());
            let member = members.and_then(|members| members.get(step as usize)).ok_or_else(no_member)?;
            let (first, width) = member.bits.unwrap_or((0, 0));
            // A bit-field is counted from the start of its structure: its bits lie in the bytes from the first of them on.
            let within = if member.bits.is_some() { first / 8 } else { member.offset };
            let narrow = u8::try_from(first % 8).ok().zip(u8::try_from(width).ok()).filter(|(first, width)| first + width <= 64);
            found.bits = match member.bits {
                None => None,
                Some(_) => Some(narrow.ok_or_else(|| binder.spec.source.problem(span, "a bit-field of more than 57 bits"))?),
            };
            found.offset = found.offset.saturating_add(within);
            found.kind = member.kind;
        }
    }
    Ok(found)
}

fn is_aggregate(table: &TypeTable, kind: Option<TypeId>) -> bool {
    let shape = table.peel(kind).map(|kind| &table.get(table.resolve(kind)).shape);
    matches!(shape, Some(Shape::Struct { .. } | Shape::Union { .. } | Shape::Array { .. }))
}

/// How a number or an address of a type is stored.
fn form(table: &TypeTable, kind: Option<TypeId>) -> Option<Form> {
    let peeled = table.peel(kind)?;
    let length = table.size_of(kind).and_then(|size| u8::try_from(size).ok()).filter(|size| matches!(size, 1 | 2 | 4 | 8))?;
    match &table.get(table.resolve(peeled)).shape {
        Shape::Base { encoding } => Some(Form { length, float: is_float(*encoding), signed: is_signed(*encoding) }),
        Shape::Enum { enumerators } => {
            Some(Form { length, float: false, signed: enumerators.iter().any(|(_, value)| *value < 0) })
        }
        Shape::Pointer { .. } => Some(Form { length, float: false, signed: false }),
        _ => None,
    }
}

/// A variable of the old program that an expression names.
fn old_static(binder: &Binder<'_>, name: &str) -> Option<Static> {
    let name = At::new(VariableName::parse(name).ok()?, Span::default());
    let (fixed, local) = (&binder.comparison.sides.old.objects, &binder.comparison.sides.old.locals);
    let named = |list: &[crate::plan::compare::objects::Object]| {
        list.iter().any(|object| object.identity.name == name.value.name && object.identity.function.is_none())
    };
    if !named(fixed.list()) {
        return named(local.list()).then(|| Err("is thread-local, and is not read here".to_owned()));
    }
    match binder.object(&name, Side::Old) {
        Ok((_, object)) => Some(Ok((OldLink(object.start), object.kind))),
        Err(problem) => Some(Err(problem.message)),
    }
}
