//! Functions that changed, came, went.

use std::collections::HashSet;

use serde::Serialize;

use super::names::{Ambiguous, Removed, Thing};
use super::similar;
use crate::plan::compare::Comparison;
use crate::plan::compare::pairs::Partner;
use crate::plan::spec::names::pairing_lines;
use crate::program::build::Build;

/// What differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FunctionChanges {
    /// How many have the same code.
    pub same: usize,
    /// Those with other code.
    pub changed: Vec<ChangedFunction>,
    /// Those that only the new program has.
    pub added: Vec<Thing>,
    /// Those that only the old program has.
    pub removed: Vec<Removed>,
    /// Those with more than one possible partner.
    pub ambiguous: Vec<Ambiguous>,
}

/// A function with other code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedFunction {
    /// In the old program.
    #[serde(flatten)]
    pub thing: Thing,
    /// Its name in the new program, where that is another one.
    pub new_name: Option<String>,
}

impl FunctionChanges {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty() && self.ambiguous.is_empty()
    }
}

/// What differs between two builds.
pub(super) fn changes(old: &Build, new: &Build, comparison: &Comparison) -> FunctionChanges {
    let (from, to) = (comparison.sides.old.functions.list(), comparison.sides.new.functions.list());
    let mut changes = FunctionChanges::default();
    let (mut taken, mut gone) = (HashSet::new(), Vec::new());
    for (index, partner) in comparison.sides.functions.iter().enumerate() {
        let Some(thing) = Thing::of(from, index) else { continue };
        match partner {
            Partner::Gone => gone.push((index, thing)),
            Partner::One(new) => {
                taken.insert(*new);
                if comparison.code.same.get(index) == Some(&true) {
                    changes.same += 1;
                    continue;
                }
                let new_name = to.get(*new).filter(|code| code.identity.name != from[index].identity.name);
                changes.changed.push(ChangedFunction { thing, new_name: new_name.map(|code| code.identity.name.clone()) });
            }
            Partner::Many(candidates) => {
                taken.extend(candidates.iter().copied());
                let answers = pairing_lines("pair.functions", (from, index), (to, candidates));
                changes.ambiguous.push(Ambiguous { thing, answers });
            }
        }
    }
    let come: Vec<usize> = (0..to.len()).filter(|index| !taken.contains(index)).collect();
    changes.added = come.iter().filter_map(|index| Thing::of(to, *index)).collect();
    let come_names: Vec<String> = changes.added.iter().map(|thing| thing.name.clone()).collect();
    let before: Vec<similar::Outline> = gone.iter().map(|(index, _)| similar::outline(&old.elf, &from[*index])).collect();
    let after: Vec<similar::Outline> = come.iter().map(|index| similar::outline(&new.elf, &to[*index])).collect();
    let score = |a: usize, b: usize| {
        let code = before.get(a).zip(after.get(b)).map_or(0.0, |(a, b)| similar::outlines(a, b));
        let name = gone.get(a).zip(come_names.get(b)).map_or(0.0, |((_, thing), name)| similar::names(&thing.name, name));
        0.6 * code + 0.4 * name
    };
    let candidates = similar::candidates(gone.len(), &come_names, score);
    changes.removed = gone.into_iter().zip(candidates).map(|((_, thing), candidates)| Removed { thing, candidates }).collect();
    changes
}
