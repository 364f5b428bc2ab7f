//! `[fields]` and `[globals]`: what fields and variables of the new program take.

use std::collections::HashMap;
use std::sync::Arc;

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::model::{Case, Expression, FieldValue as Given, GlobalValue, Rule};
use dsu_formats::spec::names::{Root as Start, Subject, VariableName};
use dsu_formats::spec::{At, Problem, Span};

use super::bind::{Binder, Bound, Initial, Target};
use super::expression::{Checker, Compiled, Kind, NewFields, integer_range};
use crate::plan::compare::objects::{Object, Place as ObjectPlace};
use crate::plan::data::rules::{FieldRule, FieldSource, FieldValue, Place, Root, Rules};
use crate::plan::data::value::{Value, is_float, is_signed};
use crate::program::types::{Shape, TypeId, TypeTable};

/// Binds `[fields]`, `[globals]` and `[accept] may-lose`.
pub(super) fn bind(binder: &mut Binder<'_>, bound: &mut Bound) {
    let spec = binder.spec;
    let by_root = rules_by_root(&spec.fields);
    for rule in &spec.fields {
        let found = field(binder, &bound.rules, rule, &by_root);
        for (place, field) in binder.take(found).into_iter().flatten() {
            let rules = &mut bound.rules;
            if rule.subject.value.new_elements { &mut rules.new_elements } else { &mut rules.fields }.insert(place, field);
        }
    }
    for rule in &spec.values {
        let found = global(binder, rule);
        match binder.take(found) {
            Some(GlobalRule::Initial(position, initial)) => _ = bound.values.insert(position, initial),
            Some(GlobalRule::Value(position, field)) => _ = bound.rules.fields.insert(Place::variable(position), field),
            None => {}
        }
    }
    for subject in &spec.accept.may_lose {
        let found = binder.targets(subject, Side::New);
        bound.rules.may_lose.extend(binder.take(found).into_iter().flatten().map(|target| target.place));
    }
}

/// The rules of each type or variable by the path of the field, so that one can use another.
type RulesByRoot<'a> = HashMap<&'a Start, NewFields<'a>>;

fn rules_by_root(rules: &[Rule<Subject, Given>]) -> RulesByRoot<'_> {
    let mut found = RulesByRoot::new();
    for rule in rules.iter().filter(|rule| !rule.subject.value.new_elements) {
        let expression = match &rule.value.value {
            Given::Expression(expression) => Some(expression),
            Given::Map { .. } => None,
        };
        found.entry(&rule.subject.value.root).or_default().insert(rule.subject.value.path.join("."), expression);
    }
    found
}

fn field(
    binder: &Binder<'_>,
    rules: &Rules,
    rule: &Rule<Subject, Given>,
    by_root: &RulesByRoot<'_>,
) -> Result<Vec<(Place, FieldRule)>, Problem> {
    let subject = &rule.subject;
    if subject.value.path.is_empty() && !subject.value.new_elements {
        let message = "expected a field such as `struct conn.count`; whole variables stand in [globals]";
        return Err(binder.spec.source.problem(subject.span, message));
    }
    let none = NewFields::new();
    let new_fields = by_root.get(&subject.value.root).unwrap_or(&none);
    let mut found = Vec::new();
    for target in binder.targets(subject, Side::New)? {
        let old = old_root(binder, rules, &target, subject)?;
        let name = subject.value.path.join(".");
        let within = (!subject.value.new_elements).then_some(name.as_str());
        let mut checker = Checker::new(&binder.environment, old, new_fields, within);
        let kind = if subject.value.new_elements { element_kind(binder, &target, subject.span)? } else { target.kind };
        let source = match &rule.value.value {
            Given::Expression(expression) => value(binder, &mut checker, expression, kind, rule.value.span)?,
            Given::Map { of, values, otherwise } => {
                let cases = cases(binder, old, &of.value, values)?;
                let compiled = checker.compile_map(&of.value, &cases, otherwise.as_ref().map(|at| &at.value))?;
                computed(binder, compiled, kind, rule.value.span)?
            }
        };
        found.push((target.place, FieldRule { source, origin: origin(binder, rule.subject.span) }));
    }
    Ok(found)
}

pub(super) fn origin(binder: &Binder<'_>, span: Span) -> Arc<str> {
    let source = &binder.spec.source;
    let (line, column) = source.line_and_column(span.start);
    Arc::from(format!("{}:{line}:{column}", source.path.display()))
}

/// The type of the old object that `old` means.
fn old_root(binder: &Binder<'_>, rules: &Rules, target: &Target, subject: &At<Subject>) -> Result<Option<TypeId>, Problem> {
    match (target.place.root, subject.value.type_name()) {
        (Root::Type(kind), Some(name)) => Ok(binder.old_type(rules, kind, &name)),
        _ => {
            let name = match &subject.value.root {
                Start::Variable(name) => name.clone(),
                _ => VariableName { file: None, function: None, name: subject.value.root_name().to_owned(), line: None },
            };
            let name = At::new(name, subject.span);
            let (_, object) = binder.object(&name, Side::New)?;
            writable(binder, &name, Side::New, object)?;
            Ok(binder.old_object(object).and_then(|old| old.kind))
        }
    }
}

fn element_kind(binder: &Binder<'_>, target: &Target, span: Span) -> Result<Option<TypeId>, Problem> {
    match binder.shape(Side::New, target.kind) {
        Some(Shape::Array { element, .. }) => Ok(*element),
        _ => Err(binder.wrong_kind(span, Side::New, "an array, whose new elements take a value", target.kind)),
    }
}

/// The cases of a map as numbers: enumerators are those of the tag's own enumeration, else any of the old program's.
fn cases<'v>(
    binder: &Binder<'_>,
    old: Option<TypeId>,
    of: &Expression,
    values: &'v [(At<Case>, At<Expression>)],
) -> Result<Vec<(i128, &'v Expression)>, Problem> {
    let types = binder.environment.old;
    let path = Checker::field_path(of).and_then(|names| types.path(old, &names, of.root.span).ok());
    let tag = path.and_then(|(_, kind)| kind);
    let mut found: Vec<(i128, &Expression)> = Vec::new();
    for (case, expression) in values {
        let value = binder.case(case, Side::Old, tag)?;
        if found.iter().any(|(other, _)| *other == value) {
            return Err(binder.spec.source.problem(case.span, format!("the value {value} stands here twice")));
        }
        found.push((value, &expression.value));
    }
    Ok(found)
}

/// An expression for a field of type `kind`.
fn value(
    binder: &Binder<'_>,
    checker: &mut Checker<'_>,
    expression: &Expression,
    kind: Option<TypeId>,
    span: Span,
) -> Result<FieldSource, Problem> {
    if let Some(names) = Checker::field_path(expression).filter(|names| !names.is_empty()) {
        if checker.old.is_none() {
            return Err(binder.spec.source.problem(expression.root.span, "there is no old object that `old` could mean here"));
        }
        // One that leads through a pointer is an expression.
        if let Ok((path, _)) = binder.environment.old.path(checker.old, &names, expression.root.span) {
            return Ok(FieldSource::Old(path));
        }
    }
    let compiled = checker.compile(expression)?;
    computed(binder, compiled, kind, span)
}

/// What a field of type `kind` takes of a checked expression.
pub(super) fn computed(
    binder: &Binder<'_>,
    compiled: Compiled,
    kind: Option<TypeId>,
    span: Span,
) -> Result<FieldSource, Problem> {
    let constant = compiled.constant().transpose().map_err(|error| binder.spec.source.problem(span, reason(error)))?;
    if constant == Some(Value::Integer(0)) {
        return Ok(FieldSource::Constant(Value::Zero));
    }
    let compiled = fitted(binder, compiled, kind, span)?;
    let constant = compiled.constant().transpose().map_err(|error| binder.spec.source.problem(span, reason(error)))?;
    match (constant, binder.shape(Side::New, kind)) {
        (Some(Value::Bytes(text)), Some(Shape::Array { .. })) => {
            let size = binder.environment.new.table.size_of(kind).unwrap_or(u64::MAX);
            if text.len() as u64 >= size {
                let message = format!("the text has {} characters and a zero, the field has room for {size}", text.len());
                return Err(binder.spec.source.problem(span, message));
            }
            Ok(FieldSource::Constant(Value::Bytes(text)))
        }
        (Some(Value::Integer(value)), Some(Shape::Base { encoding })) if is_float(*encoding) => {
            Ok(FieldSource::Constant(Value::Float(value as f64)))
        }
        (Some(value), _) => Ok(FieldSource::Constant(value)),
        (None, _) => Ok(FieldSource::Expression(Arc::new(compiled) as Arc<dyn FieldValue>)),
    }
}

/// The reason alone: the place stands before it already.
fn reason(error: crate::plan::data::value::ValueError) -> String {
    match error {
        crate::plan::data::value::ValueError::Computation { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// The expression with the range that the field's type has; a problem if the type takes nothing like it.
fn fitted(binder: &Binder<'_>, compiled: Compiled, kind: Option<TypeId>, span: Span) -> Result<Compiled, Problem> {
    let table = binder.environment.new.table;
    let wrong = |expected: &str| {
        let message = format!("type mismatch: the field is `{}` and takes {expected}", table.describe(kind));
        Err(binder.spec.source.problem(span, message))
    };
    match (binder.shape(Side::New, kind), compiled.kind) {
        (Some(Shape::Base { encoding }), Kind::Integer | Kind::Float) if is_float(*encoding) => Ok(compiled),
        (Some(Shape::Base { .. } | Shape::Enum { .. }), Kind::Integer) => match number_range(table, kind) {
            Some((low, high)) => Ok(compiled.within(low, high, &format!("`{}`", table.describe(kind)))),
            None => Ok(compiled),
        },
        (Some(Shape::Base { encoding }), _) => {
            wrong(if is_float(*encoding) { "a number" } else { "a whole number; cast it, as in `(int)(…)`" })
        }
        (Some(Shape::Enum { .. }), _) => wrong("an enumerator or a whole number"),
        (Some(Shape::Pointer { .. }), Kind::Pointer(_)) => Ok(compiled),
        (Some(Shape::Pointer { .. }), _) => wrong("a pointer of the old object, or 0"),
        (Some(Shape::Array { element, .. }), Kind::Text) if table.size_of(*element) == Some(1) => Ok(compiled),
        (Some(Shape::Array { .. }), _) => wrong("a field of the old object; an array of characters also a text"),
        _ => wrong("a field of the old object"),
    }
}

/// The values that an integer type takes.
fn number_range(table: &TypeTable, kind: Option<TypeId>) -> Option<(i128, i128)> {
    let entry = table.get(table.peel(kind)?);
    let bits = u32::try_from(entry.size?.checked_mul(8)?).ok().filter(|bits| *bits <= 64)?;
    let signed = match &entry.shape {
        Shape::Base { encoding } if *encoding == gimli::constants::DW_ATE_boolean.0 => return Some((0, 1)),
        Shape::Base { encoding } => is_signed(*encoding),
        Shape::Enum { enumerators } => enumerators.iter().any(|(_, value)| *value < 0),
        _ => return None,
    };
    Some(integer_range(bits, signed))
}

enum GlobalRule {
    Initial(u32, Initial),
    Value(u32, FieldRule),
}

fn global(binder: &Binder<'_>, rule: &Rule<VariableName, GlobalValue>) -> Result<GlobalRule, Problem> {
    let (position, object) = binder.object(&rule.subject, Side::New)?;
    let old = binder.old_object(object);
    writable(binder, &rule.subject, Side::New, object)?;
    let expression = match &rule.value.value {
        GlobalValue::Keep if old.is_none() => {
            let message = format!("`{}` has no partner in the old program whose value it could keep", rule.subject.value);
            return Err(binder.spec.source.problem(rule.value.span, message));
        }
        GlobalValue::Keep => {
            let name = &At::new(rule.subject.value.clone(), rule.value.span);
            old.map_or(Ok(()), |old| writable(binder, name, Side::Old, old))?;
            return Ok(GlobalRule::Initial(position, Initial::Keep));
        }
        GlobalValue::New => return Ok(GlobalRule::Initial(position, Initial::New)),
        GlobalValue::Expression(expression) => expression,
    };
    let none = NewFields::new();
    let mut checker = Checker::new(&binder.environment, old.and_then(|old| old.kind), &none, None);
    let source = value(binder, &mut checker, expression, object.kind, rule.value.span)?;
    Ok(GlobalRule::Value(position, FieldRule { source, origin: origin(binder, rule.subject.span) }))
}

/// Only variables take and keep values.
pub(super) fn writable(binder: &Binder<'_>, name: &At<VariableName>, side: Side, object: &Object) -> Result<(), Problem> {
    match object.place {
        ObjectPlace::ReadOnly | ObjectPlace::Relocated => {
            let message = format!("`{}` is a constant of the {side} program, not a variable", name.value);
            Err(binder.spec.source.problem(name.span, message))
        }
        ObjectPlace::Writable | ObjectPlace::ThreadLocal => Ok(()),
    }
}
