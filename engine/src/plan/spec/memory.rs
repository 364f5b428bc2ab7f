//! `[memory]`: what the old program's types leave open.

use std::collections::HashMap;
use std::sync::Arc;

use dsu_formats::spec::expression::{NodeKind, Side};
use dsu_formats::spec::model::{Case, Expression, Meaning, Member, Rule};
use dsu_formats::spec::names::{self as spec_names, Root as Start, Subject, TypeName};
use dsu_formats::spec::{At, Problem, Span};

use super::bind::{Binder, Target};
use super::expression::{Checker, Kind, NewFields};
use crate::plan::data::rules::{FieldValue, Length, Place, Pointee, Root, Rules, UnionChoice, UnionRule};
use crate::plan::walk::KernelWords;
use crate::program::types::{Shape, TypeId};

/// Binds every rule to the places of the old program that it is for.
pub(super) fn bind(binder: &mut Binder<'_>, rules: &mut Rules) {
    for rule in &binder.spec.memory {
        if let Start::Kernel(words) = rule.subject.value.root {
            let words = match words {
                spec_names::KernelWords::Epoll => KernelWords::Epoll,
                spec_names::KernelWords::Signals => KernelWords::Signals,
            };
            let found = kernel_words(binder, rule);
            rules.kernel_words.extend(binder.take(found).map(|found| (words, found)));
            continue;
        }
        let targets = binder.targets(&rule.subject, Side::Old);
        for target in binder.take(targets).into_iter().flatten() {
            let done = meaning(binder, rules, rule, &target);
            binder.take(done);
        }
    }
}

fn meaning(binder: &Binder<'_>, rules: &mut Rules, rule: &Rule<Subject, Meaning>, target: &Target) -> Result<(), Problem> {
    let span = rule.subject.span;
    match &rule.value.value {
        Meaning::Opaque => opaque(binder, rules, span, target),
        Meaning::Holds { kind, at, count } => {
            if let Some(kind) = kind {
                require_pointer(binder, span, target)?;
                let found = pointee(binder, kind, at.as_ref(), Some(target))?;
                rules.pointees.insert(target.place.clone(), found);
            }
            if let Some(count) = count {
                require_many(binder, span, target)?;
                rules.lengths.insert(target.place.clone(), length(binder, target, count)?);
            }
            Ok(())
        }
        Meaning::ByTag { by, types } => {
            require_pointer(binder, span, target)?;
            let (tag, tag_kind) = tag(binder, target, by)?;
            let mut choices = HashMap::new();
            for (case, kind) in types {
                let found = kind.value.as_ref().map(|name| one_type(binder, &At::new(name.clone(), kind.span))).transpose()?;
                insert(binder, &mut choices, (case, tag_kind), found)?;
            }
            rules.pointees.insert(target.place.clone(), Pointee::ByTag { tag, choices });
            Ok(())
        }
        Meaning::Union { by, members, otherwise } => {
            let rule = union_rule(binder, rules, rule, target, (by, members, otherwise.as_ref()))?;
            rules.unions.insert(target.place.clone(), rule);
            Ok(())
        }
    }
}

/// What words of the kernel's lead to.
fn kernel_words(binder: &Binder<'_>, rule: &Rule<Subject, Meaning>) -> Result<Pointee, Problem> {
    match &rule.value.value {
        Meaning::Opaque => Ok(Pointee::Opaque),
        Meaning::Holds { kind: Some(kind), at, count: None } => pointee(binder, kind, at.as_ref(), None),
        _ => {
            let message = format!("expected `{{ type = \"struct x\" }}` or \"opaque\" for the {}", rule.subject.value);
            Err(binder.spec.source.problem(rule.value.span, message))
        }
    }
}

/// Objects of a type, or the field `at` of such; `pointer` is the place of what leads there.
fn pointee(
    binder: &Binder<'_>,
    kind: &At<TypeName>,
    at: Option<&At<Vec<String>>>,
    pointer: Option<&Target>,
) -> Result<Pointee, Problem> {
    let found = one_type(binder, kind)?;
    let Some(at) = at else { return Ok(Pointee::Type(found)) };
    let (types, source) = (binder.environment.old, &binder.spec.source);
    let (path, member) = types.path(Some(found), &at.value, at.span)?;
    let Some((back, plain)) = offset(binder, found, &path) else {
        return Err(source.problem(at.span, "expected a field that lies in no array and is no bit-field"));
    };
    let wanted = pointer.and_then(|target| match binder.shape(Side::Old, types.through_arrays(target.kind)) {
        Some(Shape::Pointer { target }) => *target,
        _ => None,
    });
    let canonical = |kind: Option<TypeId>| types.table.peel(kind).map(|kind| types.table.canonical(kind));
    if canonical(wanted).is_some_and(|wanted| canonical(member) != Some(wanted) && canonical(plain) != Some(wanted)) {
        let (expected, found) = (types.table.describe(wanted), types.table.describe(member));
        return Err(source.problem(at.span, format!("type mismatch: the pointer is to `{expected}`, the field is `{found}`")));
    }
    Ok(Pointee::Within { kind: found, back })
}

/// Bytes from the start of an object of `kind` to the member at `path`, and the member's type.
fn offset(binder: &Binder<'_>, kind: TypeId, path: &[u32]) -> Option<(u64, Option<TypeId>)> {
    let (mut kind, mut offset) = (Some(kind), 0u64);
    for position in path {
        let member = binder.shape(Side::Old, kind)?.members()?.get(*position as usize)?;
        if member.bits.is_some() {
            return None;
        }
        offset = offset.checked_add(member.offset)?;
        kind = member.kind;
    }
    Some((offset, kind))
}

fn opaque(binder: &Binder<'_>, rules: &mut Rules, span: Span, target: &Target) -> Result<(), Problem> {
    match (&target.place, binder.shape(Side::Old, binder.environment.old.through_arrays(target.kind))) {
        (Place { root: Root::Type(kind), path }, _) if path.is_empty() => _ = rules.opaque.insert(*kind),
        (place, Some(Shape::Pointer { .. })) => _ = rules.pointees.insert(place.clone(), Pointee::Opaque),
        _ => return Err(binder.wrong_kind(span, Side::Old, "a type, or a pointer to bytes", target.kind)),
    }
    Ok(())
}

fn require_pointer(binder: &Binder<'_>, span: Span, target: &Target) -> Result<(), Problem> {
    match binder.shape(Side::Old, binder.environment.old.through_arrays(target.kind)) {
        Some(Shape::Pointer { .. }) => Ok(()),
        _ => Err(binder.wrong_kind(span, Side::Old, "a pointer", target.kind)),
    }
}

/// A pointer, or an array without a length.
fn require_many(binder: &Binder<'_>, span: Span, target: &Target) -> Result<(), Problem> {
    match binder.shape(Side::Old, target.kind) {
        Some(Shape::Pointer { .. }) => Ok(()),
        Some(Shape::Array { counts, .. }) if counts.first().is_none_or(|count| count.is_none_or(|count| count == 0)) => Ok(()),
        _ => Err(binder.wrong_kind(span, Side::Old, "a pointer or an array without a length", target.kind)),
    }
}

/// A type by a name that has one definition.
fn one_type(binder: &Binder<'_>, name: &At<TypeName>) -> Result<TypeId, Problem> {
    match binder.environment.old.find(name)?[..] {
        [only] => Ok(only),
        _ => {
            let message = format!("`{}` has several definitions in the old program", name.value);
            Err(binder.spec.source.problem(name.span, message))
        }
    }
}

/// The type of the object that the path of a place begins at.
fn root_kind(binder: &Binder<'_>, place: &Place) -> Option<TypeId> {
    match place.root {
        Root::Type(kind) => Some(kind),
        Root::Variable(position) => binder.old.debug.variables.get(position as usize).and_then(|variable| variable.kind),
    }
}

fn length(binder: &Binder<'_>, target: &Target, count: &At<Expression>) -> Result<Length, Problem> {
    let root = root_kind(binder, &target.place);
    if let NodeKind::Integer(value) = &count.value.root.kind {
        let fixed = u64::try_from(*value)
            .map_err(|_| binder.spec.source.problem(count.span, format!("expected a number of elements, found {value}")));
        return fixed.map(Length::Fixed);
    }
    if let Some(names) = Checker::field_path(&count.value).filter(|names| !names.is_empty()) {
        let (path, kind) = binder.environment.old.path(root, &names, count.span)?;
        require_number(binder, count.span, kind)?;
        return Ok(Length::Field(path));
    }
    let none = NewFields::new();
    let compiled = Checker::new(&binder.environment, root, &none, None).compile(&count.value)?;
    if compiled.kind != Kind::Integer {
        return Err(binder.spec.source.problem(count.span, "type mismatch: expected a whole number of elements"));
    }
    let compiled = compiled.within(0, i64::MAX.into(), "a number of elements");
    Ok(Length::Expression(Arc::new(compiled) as Arc<dyn FieldValue>))
}

fn require_number(binder: &Binder<'_>, span: Span, kind: Option<TypeId>) -> Result<(), Problem> {
    match binder.shape(Side::Old, kind) {
        Some(Shape::Base { encoding }) if !crate::plan::data::value::is_float(*encoding) => Ok(()),
        Some(Shape::Enum { .. }) => Ok(()),
        _ => Err(binder.wrong_kind(span, Side::Old, "a whole number or an enumeration", kind)),
    }
}

/// A tag: a field of the object at the root of the place, outside the place itself.
fn tag(binder: &Binder<'_>, target: &Target, by: &At<Expression>) -> Result<(Vec<u32>, Option<TypeId>), Problem> {
    let Some(names) = Checker::field_path(&by.value).filter(|names| !names.is_empty()) else {
        return Err(binder.spec.source.problem(by.span, "expected a field of the old object as the tag, such as `old.kind`"));
    };
    let (path, kind) = binder.environment.old.path(root_kind(binder, &target.place), &names, by.span)?;
    require_number(binder, by.span, kind)?;
    if path.starts_with(&target.place.path) {
        return Err(binder.spec.source.problem(by.span, "cyclic rule: the tag lies within what it is to tell"));
    }
    Ok((path, kind))
}

fn insert<V>(
    binder: &Binder<'_>,
    choices: &mut HashMap<i128, V>,
    (case, tag): (&At<Case>, Option<TypeId>),
    value: V,
) -> Result<(), Problem> {
    let number = binder.case(case, Side::Old, tag)?;
    match choices.insert(number, value) {
        None => Ok(()),
        Some(_) => Err(binder.spec.source.problem(case.span, format!("the value {number} stands here twice"))),
    }
}

type UnionParts<'r> = (&'r At<Expression>, &'r [(At<Case>, At<Member>)], Option<&'r At<Member>>);

fn union_rule(
    binder: &Binder<'_>,
    rules: &Rules,
    rule: &Rule<Subject, Meaning>,
    target: &Target,
    (by, members, otherwise): UnionParts<'_>,
) -> Result<UnionRule, Problem> {
    if !matches!(binder.shape(Side::Old, target.kind), Some(Shape::Union { .. })) {
        return Err(binder.wrong_kind(rule.subject.span, Side::Old, "a union", target.kind));
    }
    let (tag, tag_kind) = tag(binder, target, by)?;
    let new = new_union(binder, rules, &rule.subject.value, target);
    let choice = |member: &At<Member>| union_choice(binder, target.kind, new, member);
    let mut choices = HashMap::new();
    for (case, member) in members {
        insert(binder, &mut choices, (case, tag_kind), choice(member)?)?;
    }
    Ok(UnionRule { tag, choices, otherwise: otherwise.map(choice).transpose()? })
}

/// The union at the same path of the new type, for the names of its members.
fn new_union(binder: &Binder<'_>, rules: &Rules, subject: &Subject, target: &Target) -> Option<TypeId> {
    let Root::Type(old) = target.place.root else { return None };
    let name = subject.type_name()?;
    let root = binder.new_type(rules, old, &name)?;
    binder.environment.new.path(Some(root), &subject.path, Span::default()).ok()?.1
}

fn union_choice(
    binder: &Binder<'_>,
    old: Option<TypeId>,
    new: Option<TypeId>,
    member: &At<Member>,
) -> Result<UnionChoice, Problem> {
    let find = |side: Side, kind: Option<TypeId>, name: &At<String>| {
        let members = binder.shape(side, kind).and_then(Shape::members).unwrap_or_default();
        match (0u32..).zip(members).find(|(_, member)| member.name == name.value) {
            Some((position, _)) => Ok(position),
            None => Err(binder.types(side).no_member(kind, &name.value, name.span)),
        }
    };
    let old = member.value.old.as_ref().map(|name| find(Side::Old, old, name)).transpose()?;
    let new = member.value.new.as_ref().map(|name| find(Side::New, new, name)).transpose()?;
    Ok(UnionChoice { old, new })
}
