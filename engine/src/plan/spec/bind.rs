//! All rules of a spec, bound to two builds.

use std::collections::HashMap;

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::model::{Health, Plugin, Spec};
use dsu_formats::spec::names::{Root as Start, Subject, TypeName, VariableName};
use dsu_formats::spec::{At, Problem, SpecError};

use super::calls::{self, BoundCall, KeyedByAddress};
use super::expression::Environment;
use super::names;
use super::types::Types;
use super::{continues, enums, fields, memory, restart};
use crate::plan::address::NewLink;
use crate::plan::compare::Comparison;
use crate::plan::compare::objects::{Object, Objects};
use crate::plan::data::rules::{Allocator, Place, PluginId, Root, Rules};
use crate::plan::frames::FrameRules;
use crate::plan::restart::Restart;
use crate::program::build::Build;
use crate::program::dwarf::Storage;
use crate::program::types::{Shape, TypeId};

/// The answers of a spec, bound to both builds. Pairs are in the comparison already.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// What concerns data.
    pub rules: Rules,
    /// Variables of the new program, by position in its debug information, that keep the old value or take the new initial one.
    pub values: HashMap<u32, Initial>,
    /// Plugins, by [`PluginId`].
    pub plugins: Vec<Plugin>,
    /// Functions of the old program that compute with addresses as with numbers, each with the call that puts it right.
    pub keyed: Vec<KeyedByAddress>,
    /// Calls in the new program before it runs on, in order; those of `keyed` come first.
    pub calls: Vec<BoundCall>,
    /// Functions that threads enter.
    pub restarts: Vec<Restart>,
    /// The health check.
    pub health: Option<Health>,
    /// What frames of changed functions do.
    pub frames: FrameRules,
}

/// What a variable of the new program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// The old program's value.
    Keep,
    /// The new program's initial value.
    New,
}

/// Binds every rule.
///
/// # Errors
/// Everything that is not known, not unique, or does not fit the types, each with line and column.
pub fn bind(spec: &Spec, old: &Build, new: &Build, comparison: &Comparison) -> Result<Bound, SpecError> {
    let mut binder = Binder::new(spec, old, new, comparison);
    let mut bound = Bound::default();
    binder.type_pairs(&mut bound.rules);
    fields::bind(&mut binder, &mut bound);
    enums::bind(&mut binder, &mut bound.rules);
    memory::bind(&mut binder, &mut bound.rules);
    binder.allocators(&mut bound.rules);
    binder.plugins(&mut bound);
    restart::bind(&mut binder, &mut bound);
    calls::bind(&mut binder, &mut bound);
    continues::bind(&mut binder, &mut bound);
    bound.health.clone_from(&spec.health);
    let mut problems = binder.problems;
    problems.sort_by_key(|problem| (problem.line, problem.column));
    if problems.is_empty() { Ok(bound) } else { Err(SpecError(problems)) }
}

/// What binding needs to know, and what was found wrong.
pub(super) struct Binder<'a> {
    pub(super) spec: &'a Spec,
    pub(super) old: &'a Build,
    pub(super) new: &'a Build,
    pub(super) comparison: &'a Comparison,
    pub(super) environment: Environment<'a>,
    problems: Vec<Problem>,
}

/// A subject of a rule, found: where its path begins, the type there, and the path.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) place: Place,
    /// The type at the end of the path.
    pub(super) kind: Option<TypeId>,
}

impl<'a> Binder<'a> {
    fn new(spec: &'a Spec, old: &'a Build, new: &'a Build, comparison: &'a Comparison) -> Self {
        let types = |side, build: &'a Build| Types { source: &spec.source, side, table: &build.debug.types };
        let environment = Environment::new(types(Side::Old, old), types(Side::New, new));
        Self { spec, old, new, comparison, environment, problems: Vec::new() }
    }

    /// Notes a problem.
    pub(super) fn take<T>(&mut self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.problems.push(problem)).ok()
    }

    pub(super) fn types(&self, side: Side) -> Types<'a> {
        match side {
            Side::Old => self.environment.old,
            Side::New => self.environment.new,
        }
    }

    fn build(&self, side: Side) -> &'a Build {
        match side {
            Side::Old => self.old,
            Side::New => self.new,
        }
    }

    fn objects(&self, side: Side) -> (&'a Objects, &'a Objects) {
        let sides = &self.comparison.sides;
        match side {
            Side::Old => (&sides.old.objects, &sides.old.locals),
            Side::New => (&sides.new.objects, &sides.new.locals),
        }
    }

    /// `[pair.types]`.
    fn type_pairs(&mut self, rules: &mut Rules) {
        for rule in &self.spec.types {
            let old = self.environment.old.find(&rule.old);
            let Some(old) = self.take(old) else { continue };
            let Some(name) = &rule.new.value else { continue };
            let name = At::new(name.clone(), rule.new.span);
            let found = self.environment.new.find(&name);
            let Some(found) = self.take(found) else { continue };
            for id in old {
                match counterpart((self.old, id), self.new, &found) {
                    Some(to) => _ = rules.types.insert(id, to),
                    None => {
                        let message = format!(
                            "`{}` has several definitions in the new program, and none in a file of that name",
                            name.value
                        );
                        self.problems.push(self.spec.source.problem(name.span, message));
                    }
                }
            }
        }
    }

    /// The old type that a new one was: by `[pair.types]`, else by its name; `None`: there is none, or several that cannot be told apart.
    pub(super) fn old_type(&self, rules: &Rules, new: TypeId, name: &TypeName) -> Option<TypeId> {
        let mut given = rules.types.iter().filter(|(_, to)| **to == new).map(|(old, _)| *old);
        if let Some(old) = given.next() {
            // Where several become one, a field of one of them is not there in the other, or at another place.
            let types = &self.old.debug.types;
            return given.all(|other| types.describe(Some(other)) == types.describe(Some(old))).then_some(old);
        }
        let found = self.environment.old.get(name)?;
        counterpart((self.new, new), self.old, &found)
    }

    /// The new type that an old one is.
    pub(super) fn new_type(&self, rules: &Rules, old: TypeId, name: &TypeName) -> Option<TypeId> {
        if let Some(new) = rules.types.get(&old) {
            return Some(*new);
        }
        let found = self.environment.new.get(name)?;
        counterpart((self.old, old), self.new, &found)
    }

    /// Everything that a subject means in one build: a place for each definition of a type's name, one for a variable.
    pub(super) fn targets(&self, subject: &At<Subject>, side: Side) -> Result<Vec<Target>, Problem> {
        let types = self.types(side);
        let roots = match &subject.value.root {
            Start::Type(name) => type_roots(types.find(&At::new(name.clone(), subject.span))?),
            Start::Variable(name) => vec![self.variable(&At::new(name.clone(), subject.span), side)?],
            Start::Kernel(_) => {
                let message = format!("the {} stand in [memory] alone", subject.value);
                return Err(self.spec.source.problem(subject.span, message));
            }
            Start::Either(name) => self.either(name, subject, side)?,
        };
        let path = |(root, kind): (Root, Option<TypeId>)| {
            let (path, kind) = types.path(kind, &subject.value.path, subject.span)?;
            Ok(Target { place: Place { root, path }, kind })
        };
        roots.into_iter().map(path).collect()
    }

    /// A bare name: a typedef, or a variable.
    fn either(&self, name: &str, subject: &At<Subject>, side: Side) -> Result<Vec<(Root, Option<TypeId>)>, Problem> {
        let kind = self.types(side).get(&TypeName { keyword: None, name: name.to_owned() });
        let variable = VariableName { file: None, function: None, name: name.to_owned(), line: None };
        let variable = self.variable(&At::new(variable, subject.span), side);
        match (kind, variable) {
            (Some(_), Ok(_)) => {
                let message =
                    format!("`{name}` is a type and a variable of the {side} program; write `FILE:{name}` for the variable");
                Err(self.spec.source.problem(subject.span, message))
            }
            (Some(found), Err(_)) => Ok(type_roots(found)),
            (None, found) => Ok(vec![found?]),
        }
    }

    /// A variable with debug information, and its type.
    fn variable(&self, name: &At<VariableName>, side: Side) -> Result<(Root, Option<TypeId>), Problem> {
        let (index, object) = self.object(name, side)?;
        Ok((Root::Variable(index), object.kind))
    }

    /// A variable: its position in the debug information, and what else is known of it.
    pub(super) fn object(&self, name: &At<VariableName>, side: Side) -> Result<(u32, &'a Object), Problem> {
        let (fixed, local) = self.objects(side);
        let what = ("variable", side);
        let found = names::find(&self.spec.source, name, what, fixed.list());
        let (object, is_local) = match found {
            Ok(index) => (&fixed.list()[index], false),
            Err(problem) => match names::find(&self.spec.source, name, what, local.list()) {
                Ok(index) => (&local.list()[index], true),
                Err(_) => return Err(problem),
            },
        };
        let storage = if is_local { Storage::ThreadLocal(object.start.0) } else { Storage::Static(object.start) };
        let mut variables = (0u32..).zip(&self.build(side).debug.variables);
        let position = variables.find(|(_, variable)| variable.storage == storage && variable.kind == object.kind);
        match position {
            Some((position, _)) => Ok((position, object)),
            None => {
                let message = format!("`{}` has no type in the {side} program's debug information", name.value);
                Err(self.spec.source.problem(name.span, message))
            }
        }
    }

    /// The old variable whose partner is `new`.
    pub(super) fn old_object(&self, new: &Object) -> Option<&'a Object> {
        let sides = &self.comparison.sides;
        let of = |old: &'a Objects, list: &[Object], partners: &[crate::plan::compare::pairs::Partner]| {
            let position = partners.iter().position(|partner| partner.one().and_then(|at| list.get(at)) == Some(new))?;
            old.list().get(position)
        };
        let fixed = of(&sides.old.objects, sides.new.objects.list(), &sides.objects);
        fixed.or_else(|| of(&sides.old.locals, sides.new.locals.list(), &sides.locals))
    }

    /// A function of the new program.
    pub(super) fn function(&self, name: &At<VariableName>) -> Result<NewLink, Problem> {
        let list = self.comparison.sides.new.functions.list();
        names::find(&self.spec.source, name, ("function", Side::New), list).map(|index| NewLink(list[index].entry))
    }

    fn allocators(&mut self, rules: &mut Rules) {
        for rule in &self.spec.allocators {
            let (kinds, allocate) = (self.environment.old.find(&rule.subject), self.function(&rule.value.value.allocate));
            let free = rule.value.value.free.as_ref().map(|name| self.function(name)).transpose();
            let (kinds, allocate, free) = (self.take(kinds), self.take(allocate), self.take(free));
            let (Some(kinds), Some(allocate), Some(free)) = (kinds, allocate, free) else { continue };
            rules.allocators.extend(kinds.into_iter().map(|kind| (kind, Allocator { allocate, free })));
        }
    }

    fn plugins(&mut self, bound: &mut Bound) {
        for (position, rule) in (0u32..).zip(&self.spec.plugins) {
            bound.plugins.push(rule.value.value.clone());
            let kinds = self.environment.old.find(&rule.subject);
            for kind in self.take(kinds).into_iter().flatten() {
                bound.rules.plugins.insert(kind, PluginId(position));
            }
        }
    }

    /// What `place` is reached through, as an error at `span` where it is nothing that a rule of this kind is about.
    pub(super) fn wrong_kind(&self, span: dsu_formats::spec::Span, side: Side, expected: &str, kind: Option<TypeId>) -> Problem {
        let found = self.types(side).table.describe(kind);
        self.spec.source.problem(span, format!("type mismatch: expected {expected}, found `{found}`"))
    }

    /// The shape of a type behind typedefs.
    pub(super) fn shape(&self, side: Side, kind: Option<TypeId>) -> Option<&'a Shape> {
        let table = self.types(side).table;
        table.peel(kind).map(|kind| &table.get(table.resolve(kind)).shape)
    }
}

fn type_roots(found: Vec<TypeId>) -> Vec<(Root, Option<TypeId>)> {
    found.into_iter().map(|kind| (Root::Type(kind), Some(kind))).collect()
}

/// Which of `found` is the type `id` of the other build: the only one, else the one that a file of the same name declares.
fn counterpart((from, id): (&Build, TypeId), to: &Build, found: &[TypeId]) -> Option<TypeId> {
    if let [only] = found {
        return Some(*only);
    }
    let file = |build: &'_ Build, id| build.debug.types.get(id).file.rsplit('/').next().map(str::to_owned);
    let wanted = file(from, id);
    let mut same = found.iter().filter(|other| file(to, **other) == wanted);
    let only = same.next()?;
    same.next().is_none().then_some(*only)
}
