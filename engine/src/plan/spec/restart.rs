//! `[[restart]]`: functions that threads enter, and what they get.

use std::collections::HashMap;

use dsu_formats::spec::expression::{Node, NodeKind, Side};
use dsu_formats::spec::model::{self, Expression};
use dsu_formats::spec::names::VariableName;
use dsu_formats::spec::place::Span;
use dsu_formats::spec::{At, Problem};

use super::bind::{Binder, Bound};
use super::expression::{Checker, Compiled, Environment, Kind, NewFields};
use super::names;
use super::types::Types;
use crate::plan::address::NewLink;
use crate::plan::compare::functions::Code;
use crate::plan::data::value::Value;
use crate::plan::restart::{Argument, Parameter, Restart, WAITS, is_wait, parameter};
use crate::program::build::Build;
use crate::program::types::{Member, Shape, Type, TypeId, TypeTable};
use crate::program::variables::Variables;

/// Most arguments in registers.
const MOST: usize = 6;
/// Longest object of a function's variables, in bytes.
const LONGEST: u64 = 1 << 20;

/// Binds all of them.
pub(super) fn bind(binder: &mut Binder<'_>, bound: &mut Bound) {
    let spec = binder.spec;
    for rule in &spec.restarts {
        let found = restart(binder, rule, &bound.restarts);
        bound.restarts.extend(binder.take(found));
    }
}

fn restart(binder: &Binder<'_>, rule: &model::Restart, known: &[Restart]) -> Result<Restart, Problem> {
    let (source, sides) = (&binder.spec.source, &binder.comparison.sides);
    let function = find(binder, &rule.function, Side::New)?;
    let instead_of = match &rule.instead_of {
        Some(name) => find(binder, name, Side::Old)?,
        None => sides.functions.iter().position(|partner| partner.one() == Some(function)).ok_or_else(|| {
            let message =
                format!("`{}` has no partner in the old program: `instead-of` says whose place it takes", rule.function.value);
            source.problem(rule.function.span, message)
        })?,
    };
    let thread = rule.thread.as_ref().map(|name| find(binder, name, Side::Old)).transpose()?;
    let is_taken = |other: &&Restart| other.instead_of == instead_of && (other.thread.is_none() || other.thread == thread);
    if let Some(other) = known.iter().find(is_taken) {
        let message = format!("an earlier [[restart]] enters `{}` in its place already", other.name);
        return Err(source.problem(rule.span, message));
    }
    let code = code(sides.new.functions.list(), function, binder, rule)?;
    let parameters = parameters(binder.new, code).map_err(|why| source.problem(rule.function.span, why))?;
    results(binder, rule, (function, instead_of))?;
    let waits_in = rule.waits_in.as_ref().map(|names| names.iter().map(|name| wait(binder, name)).collect()).transpose()?;
    let arguments = rule.arguments.as_ref().map(|given| arguments(binder, rule, given, (&parameters, instead_of)));
    Ok(Restart {
        function,
        name: code.identity.name.clone(),
        entry: NewLink(code.entry),
        instead_of,
        thread,
        waits_in,
        arguments: arguments.transpose()?,
        parameters,
        callers: HashMap::new(),
    })
}

fn code<'b>(list: &'b [Code], function: usize, binder: &Binder<'_>, rule: &model::Restart) -> Result<&'b Code, Problem> {
    list.get(function).ok_or_else(|| binder.spec.source.problem(rule.function.span, "it has no code"))
}

fn find(binder: &Binder<'_>, name: &At<VariableName>, side: Side) -> Result<usize, Problem> {
    let sides = &binder.comparison.sides;
    let list = match side {
        Side::Old => sides.old.functions.list(),
        Side::New => sides.new.functions.list(),
    };
    names::find(&binder.spec.source, name, ("function", side), list)
}

fn wait(binder: &Binder<'_>, name: &At<String>) -> Result<String, Problem> {
    if is_wait(&name.value) {
        return Ok(name.value.clone());
    }
    let what = "function of the C library that can be left while it waits";
    Err(binder.spec.source.unknown(name.span, what, &name.value, WAITS.iter().map(|(name, _)| *name)))
}

/// Whoever called the old function is to get what it expects.
fn results(binder: &Binder<'_>, rule: &model::Restart, (function, old): (usize, usize)) -> Result<(), Problem> {
    let sides = &binder.comparison.sides;
    if sides.functions.get(old).and_then(|partner| partner.one()) == Some(function) {
        return Ok(());
    }
    let (from, to) =
        (result(binder.old, sides.old.functions.list(), old), result(binder.new, sides.new.functions.list(), function));
    if from.is_some() && (from == to || from.as_deref() == Some("void")) {
        return Ok(());
    }
    let known = |result: Option<String>| result.unwrap_or_else(|| "something unknown".to_owned());
    let message = format!(
        "`{}` returns `{}`, and who called the function in whose place it is entered expects `{}`",
        rule.function.value,
        known(to),
        known(from)
    );
    Err(binder.spec.source.problem(rule.function.span, message))
}

/// What a function returns.
fn result(build: &Build, list: &[Code], function: usize) -> Option<String> {
    let entry = list.get(function)?.entry;
    let described =
        build.debug.functions.iter().find(|function| function.ranges.first().is_some_and(|range| range.0 == entry))?;
    let types = &build.debug.types;
    match &types.get(types.peel(described.kind)?).shape {
        Shape::Function { result, .. } => Some(types.describe(*result)),
        _ => None,
    }
}

/// The parameters of a function of the new program, all of them in general registers.
fn parameters(build: &Build, code: &Code) -> Result<Vec<Parameter>, String> {
    let name = &code.identity.name;
    let described =
        build.debug.functions.iter().find(|function| function.ranges.first().is_some_and(|range| range.0 == code.entry));
    let unknown = || format!("the parameters of `{name}` are not known from debug information");
    let types = &build.debug.types;
    let kind = described.and_then(|function| types.peel(function.kind)).ok_or_else(unknown)?;
    let is_copy =
        |symbol: &crate::program::elf::Symbol| symbol.is_code() && symbol.address == code.entry && symbol.name.contains('.');
    if build.elf.symbols.iter().any(is_copy) {
        return Err(format!("`{name}` is a copy that the compiler made for calls of its own, and cannot be entered"));
    }
    let Shape::Function { parameters: kinds, .. } = &types.get(kind).shape else { return Err(unknown()) };
    let body = Variables::new(build).body(code.entry).map_err(|error| error.to_string())?;
    if kinds.len() > MOST {
        return Err(format!("`{name}` takes {} arguments, and {MOST} at most can be given", kinds.len()));
    }
    // Parameters stand before all other variables.
    let names = body.variables.iter().map(|variable| variable.name.as_str()).chain(std::iter::repeat(""));
    let one = |(kind, own): (&Option<TypeId>, &str)| {
        parameter(types, own, *kind).ok_or_else(|| {
            format!("parameter `{own}` of `{name}` is a `{}`, which is not passed in a general register", types.describe(*kind))
        })
    };
    kinds.iter().zip(names).map(one).collect()
}

fn arguments(
    binder: &Binder<'_>,
    rule: &model::Restart,
    given: &[At<model::Argument>],
    (parameters, old): (&[Parameter], usize),
) -> Result<Vec<Argument>, Problem> {
    if given.len() != parameters.len() {
        let (takes, name) = (parameters.len(), &rule.function.value);
        let message = format!("`{name}` takes {takes} arguments, and {} are given", given.len());
        return Err(binder.spec.source.problem(given.first().map_or(rule.span, |first| first.span), message));
    }
    given.iter().zip(parameters).map(|(argument, parameter)| one(binder, argument, parameter, old)).collect()
}

fn one(binder: &Binder<'_>, argument: &At<model::Argument>, parameter: &Parameter, old: usize) -> Result<Argument, Problem> {
    let source = &binder.spec.source;
    let expression = match &argument.value {
        model::Argument::Address(name) if parameter.is_pointer => {
            let name = At::new(name.clone(), argument.span);
            return match binder.object(&name, Side::New) {
                Ok((_, object)) if object.place == crate::plan::compare::objects::Place::ThreadLocal => Err(source
                    .problem(argument.span, format!("`{}` is thread-local: each thread has another address of it", name.value))),
                Ok((_, object)) => Ok(Argument::Address(NewLink(object.start))),
                Err(problem) => binder.function(&name).map(Argument::Address).map_err(|_| problem),
            };
        }
        model::Argument::Address(_) | model::Argument::Text(_) => {
            let message = format!("an address does not suit the parameter `{}`", parameter.name);
            return Err(source.problem(argument.span, message));
        }
        model::Argument::Value(expression) => expression,
    };
    let names = named(&expression.root);
    let fields = NewFields::new();
    if names.is_empty() && !is_old(&expression.root) {
        let compiled = Checker::new(&binder.environment, None, &fields, None).compile(expression)?;
        return match ranged(binder, compiled, parameter, argument.span)?.constant() {
            Some(Ok(Value::Integer(value))) => Ok(Argument::Word(value as u64)),
            Some(Err(error)) => Err(source.problem(argument.span, error.to_string())),
            _ => Err(source.problem(argument.span, "expected a whole number, the address of something, or `old.VARIABLE`")),
        };
    }
    over_frame(binder, (expression, argument.span), names, (parameter, old))
}

/// An expression over the variables of the old function.
fn over_frame(
    binder: &Binder<'_>,
    (expression, span): (&Expression, Span),
    names: Vec<(String, Span)>,
    (parameter, old): (&Parameter, usize),
) -> Result<Argument, Problem> {
    let source = &binder.spec.source;
    let all = variables(binder, old, span)?;
    let (mut members, mut used) = (Vec::new(), Vec::new());
    let mut length = 0u64;
    let types = &binder.old.debug.types;
    for (name, at) in names {
        let mut kinds = all.iter().filter(|(own, _)| *own == name).map(|(_, kind)| *kind);
        let Some(kind) = kinds.next() else {
            return Err(source.unknown(at, "variable of the old function", &name, all.iter().map(|(own, _)| own.as_str())));
        };
        if kinds.any(|other| types.describe(other) != types.describe(kind)) {
            return Err(source.problem(at, format!("the old function has several variables `{name}` of different types")));
        }
        let size = types.size_of(kind).filter(|size| *size <= LONGEST);
        let size =
            size.ok_or_else(|| source.problem(at, format!("the size of the old function's variable `{name}` is not known")))?;
        if members.iter().any(|member: &Member| member.name == name) {
            continue;
        }
        members.push(Member { name: name.clone(), kind, offset: length, bits: None });
        used.push((name, length, kind));
        length = (length + size).next_multiple_of(16);
    }
    let (table, kind) = with_object(types, members, length);
    let old_types = Types { source, side: Side::Old, table: &table };
    let environment = Environment::new(old_types, binder.types(Side::New));
    let fields = NewFields::new();
    let compiled = Checker::new(&environment, Some(kind), &fields, None).compile(expression)?;
    let code = Box::new(ranged(binder, compiled, parameter, span)?);
    Ok(Argument::Expression { code, variables: used, length })
}

/// The types of a build and one more: a structure of these members.
fn with_object(types: &TypeTable, members: Vec<Member>, length: u64) -> (TypeTable, TypeId) {
    let mut all = types.types.clone();
    let kind = TypeId(u32::try_from(all.len()).unwrap_or(u32::MAX));
    let (name, file) = ("the old function's frame".to_owned(), String::new());
    all.push(Type { name, file, line: 0, size: Some(length), alignment: None, shape: Shape::Struct { members } });
    (TypeTable::new(all), kind)
}

/// The expression, if it gives what the parameter takes.
fn ranged(binder: &Binder<'_>, compiled: Compiled, parameter: &Parameter, span: Span) -> Result<Compiled, Problem> {
    let types = binder.types(Side::New).table;
    let name = format!("`{}`, the type of `{}`,", types.describe(parameter.kind), parameter.name);
    let bits = u32::from(parameter.size) * 8;
    match (compiled.kind, parameter.is_pointer) {
        (Kind::Pointer(_), true) => Ok(compiled),
        (Kind::Integer, true) => Ok(compiled.within(0, 0, "a pointer that is no address")),
        (Kind::Integer, false) => {
            let (low, high) = match parameter.is_signed {
                true => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
                false => (0, (1i128 << bits) - 1),
            };
            Ok(compiled.within(low, high, &name))
        }
        _ => {
            let message = format!(
                "type mismatch: {name} does not take what `{}` is",
                binder.spec.source.text.get(span.start..span.end).unwrap_or_default()
            );
            Err(binder.spec.source.problem(span, message))
        }
    }
}

/// All variables of a function of the old program, with their types.
fn variables(binder: &Binder<'_>, old: usize, span: Span) -> Result<Vec<(String, Option<TypeId>)>, Problem> {
    let entry = binder.comparison.sides.old.functions.list().get(old).map(|code| code.entry);
    let body = entry.map(|entry| Variables::new(binder.old).body(entry)).transpose();
    let body = body.map_err(|error| binder.spec.source.problem(span, error.to_string()))?.unwrap_or_default();
    Ok(body.variables.into_iter().map(|variable| (variable.name, variable.kind)).collect())
}

/// The variables that an expression names as `old.NAME`, each once.
fn named(node: &Node) -> Vec<(String, Span)> {
    let mut found = Vec::new();
    collect(node, &mut found);
    found
}

fn collect(node: &Node, found: &mut Vec<(String, Span)>) {
    if let NodeKind::Member(object, name) = &node.kind
        && matches!(object.kind, NodeKind::Object(Side::Old))
    {
        if !found.iter().any(|(own, _)| own == name) {
            found.push((name.clone(), node.span));
        }
        return;
    }
    match &node.kind {
        NodeKind::Member(a, _) | NodeKind::Measure(_, a) | NodeKind::Cast(_, a) | NodeKind::Unary(_, a) => collect(a, found),
        NodeKind::Index(a, b) | NodeKind::Binary(_, a, b) => [a, b].into_iter().for_each(|node| collect(node, found)),
        NodeKind::Choice(a, b, c) => [a, b, c].into_iter().for_each(|node| collect(node, found)),
        _ => {}
    }
}

/// Whether an expression is `old` and nothing else.
fn is_old(node: &Node) -> bool {
    matches!(node.kind, NodeKind::Object(Side::Old))
}
