//! What the plan would ask about objects of types that change, if there are any.

use std::collections::HashMap;

use crate::plan::compare::Comparison;
use crate::plan::compare::objects::{Object, Place};
use crate::plan::data::change::TypeChanges;
use crate::plan::data::compile::{Compiler, NoProofs, Recipes, VariablePair};
use crate::plan::data::question::Question;
use crate::program::build::Build;
use crate::program::dwarf::Storage;

/// What is known of data that changes, under the answers that are there already.
#[derive(Debug)]
pub(super) struct Asked {
    /// Which types change or lead to one that does.
    pub(super) changes: TypeChanges,
    /// All that is not known, each once.
    pub(super) questions: Vec<Question>,
}

impl Asked {
    /// Asks about all types and variables of two builds.
    pub(super) fn new(old: &Build, new: &Build, comparison: &Comparison) -> Self {
        let (types, rules) = ((&old.debug.types, &new.debug.types), &comparison.bound.rules);
        let pairs = pairs(comparison);
        let roots: Vec<_> = pairs.iter().map(|(from, to)| (from.kind, to.kind)).collect();
        let changes = TypeChanges::new(types.0, types.1, rules, &roots);
        let mut compiler = Compiler::new(types, rules, &changes, &NoProofs);
        let mut questions = Recipes::new(&mut compiler).questions();
        let positions = (positions(old), positions(new));
        for (from, to) in pairs.into_iter().filter(|(from, _)| changes.changed(from.kind)) {
            let known = (positions.0.get(&place(from)), positions.1.get(&place(to)));
            let (Some(&old_position), Some(&new_position)) = known else { continue };
            let pair = VariablePair { old: old_position, new: new_position };
            if let Err(asked) = compiler.variable((old, new), pair) {
                questions.extend(asked.iter().cloned());
            }
        }
        questions.sort_unstable();
        questions.dedup();
        Self { changes, questions }
    }

    /// Whether something is asked about a member of a type, or about what is in it.
    pub(super) fn is_about(&self, owner: &str, member: &str) -> bool {
        self.questions.iter().any(|question| {
            let rest = question.field.strip_prefix(member).filter(|_| question.owner == owner);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}

/// The variables that both builds have. What is constant is the new program's, whatever it holds.
fn pairs(comparison: &Comparison) -> Vec<(&Object, &Object)> {
    let sides = &comparison.sides;
    let fixed = sides.old.objects.list().iter().zip(&sides.objects).map(|(old, partner)| (old, partner, &sides.new.objects));
    let local = sides.old.locals.list().iter().zip(&sides.locals).map(|(old, partner)| (old, partner, &sides.new.locals));
    let both = fixed.chain(local).filter(|(old, ..)| matches!(old.place, Place::Writable | Place::ThreadLocal));
    both.filter_map(|(old, partner, new)| Some((old, new.list().get(partner.one()?)?))).collect()
}

/// Whether it is thread-local, and its address or offset.
fn place(object: &Object) -> (bool, u64) {
    (object.place == Place::ThreadLocal, object.start.0)
}

/// Positions in debug information by place.
fn positions(build: &Build) -> HashMap<(bool, u64), u32> {
    let variables = (0u32..).zip(&build.debug.variables);
    let known = variables.filter_map(|(position, variable)| match variable.storage {
        Storage::Static(address) => Some(((false, address.0), position)),
        Storage::ThreadLocal(offset) => Some(((true, offset), position)),
        _ => None,
    });
    known.collect()
}
