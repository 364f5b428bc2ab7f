//! Variables that changed, came, went.

use std::collections::HashSet;

use serde::Serialize;

use super::names::{Ambiguous, Removed, Thing};
use super::similar;
use crate::plan::compare::Comparison;
use crate::plan::compare::layout::LayoutChange;
use crate::plan::compare::objects::{Object, Place};
use crate::plan::compare::pairs::Partner;
use crate::plan::spec::names::pairing_lines;
use crate::program::build::Build;
use crate::program::types::TypeTable;

/// What differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VariableChanges {
    /// How many have the same name, type and initialiser.
    pub same: usize,
    /// Those that changed.
    pub changed: Vec<ChangedVariable>,
    /// Those that only the new program has.
    pub added: Vec<Thing>,
    /// Those that only the old program has.
    pub removed: Vec<Removed>,
    /// Those with more than one possible partner.
    pub ambiguous: Vec<Ambiguous>,
}

/// A variable that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangedVariable {
    /// In the old program.
    #[serde(flatten)]
    pub thing: Thing,
    /// As a spec names it for the new program.
    pub new_name: String,
    /// How.
    pub changes: Vec<VariableChange>,
}

/// How a variable changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum VariableChange {
    /// Its type or size.
    #[error("{place}: {old} becomes {new}")]
    Type {
        /// Member or aspect that differs first.
        place: String,
        /// The old side.
        old: String,
        /// The new side.
        new: String,
    },
    /// Its initial value; the program's own value is kept where the program has changed it.
    #[error("another initial value")]
    Initialiser,
    /// What its memory is: a constant, say, that was a variable.
    #[error("{old} becomes {new}")]
    Place {
        /// The old side.
        old: &'static str,
        /// The new side.
        new: &'static str,
    },
    /// Its name, source file or function.
    #[error("it is `{new}` now")]
    Moved {
        /// As a spec names it for the new program.
        new: String,
    },
}

impl VariableChanges {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty() && self.ambiguous.is_empty()
    }
}

/// Variables of one kind of storage in both builds.
struct Storage<'a> {
    old: &'a [Object],
    new: &'a [Object],
    partners: &'a [Partner],
    layouts: &'a [Option<LayoutChange>],
    /// `None` where initialisers are not compared.
    same_initialiser: Option<&'a [bool]>,
}

/// What differs between two builds.
pub(super) fn changes(old: &Build, new: &Build, comparison: &Comparison) -> VariableChanges {
    let sides = &comparison.sides;
    let fixed = Storage {
        old: sides.old.objects.list(),
        new: sides.new.objects.list(),
        partners: &sides.objects,
        layouts: &comparison.layouts,
        same_initialiser: Some(&comparison.same_initialiser),
    };
    let local = Storage {
        old: sides.old.locals.list(),
        new: sides.new.locals.list(),
        partners: &sides.locals,
        layouts: &comparison.local_layouts,
        same_initialiser: None,
    };
    let types = (&old.debug.types, &new.debug.types);
    let mut changes = VariableChanges::default();
    fixed.compare(types, &mut changes);
    local.compare(types, &mut changes);
    changes
}

impl Storage<'_> {
    fn compare(&self, types: (&TypeTable, &TypeTable), changes: &mut VariableChanges) {
        let (mut taken, mut gone) = (HashSet::new(), Vec::new());
        for (index, partner) in self.partners.iter().enumerate() {
            match partner {
                Partner::One(new) => _ = taken.insert(*new),
                Partner::Many(candidates) => taken.extend(candidates.iter().copied()),
                Partner::Gone => {}
            }
            let Some(thing) = self.old.get(index).filter(|object| is_told(object)).and_then(|_| Thing::of(self.old, index))
            else {
                continue;
            };
            match partner {
                Partner::Gone => gone.push((index, thing)),
                Partner::One(new) => self.changed(index, *new, thing, changes),
                Partner::Many(candidates) => {
                    let answers = pairing_lines("pair.globals", (self.old, index), (self.new, candidates));
                    changes.ambiguous.push(Ambiguous { thing, answers });
                }
            }
        }
        let come: Vec<usize> =
            (0..self.new.len()).filter(|index| !taken.contains(index) && self.new.get(*index).is_some_and(is_told)).collect();
        let added: Vec<Thing> = come.iter().filter_map(|index| Thing::of(self.new, *index)).collect();
        let names: Vec<String> = added.iter().map(|thing| thing.name.clone()).collect();
        let score = |a: usize, b: usize| self.alike(types, gone.get(a).map(|(index, _)| *index), come.get(b).copied());
        let candidates = similar::candidates(gone.len(), &names, score);
        changes.added.extend(added);
        changes.removed.extend(gone.into_iter().zip(candidates).map(|((_, thing), candidates)| Removed { thing, candidates }));
    }

    fn changed(&self, old: usize, new: usize, thing: Thing, changes: &mut VariableChanges) {
        let (Some(from), Some(to), Some(new_thing)) = (self.old.get(old), self.new.get(new), Thing::of(self.new, new)) else {
            return;
        };
        let mut found = Vec::new();
        if let Some(LayoutChange { place, old, new }) = self.layouts.get(old).and_then(Option::as_ref) {
            found.push(VariableChange::Type { place: place.clone(), old: old.clone(), new: new.clone() });
        } else if self.same_initialiser.is_some_and(|same| same.get(old) == Some(&false)) {
            found.push(VariableChange::Initialiser);
        }
        if from.place != to.place {
            found.push(VariableChange::Place { old: memory(from.place), new: memory(to.place) });
        }
        if (&from.identity.name, &from.identity.function) != (&to.identity.name, &to.identity.function) {
            found.push(VariableChange::Moved { new: new_thing.name.clone() });
        }
        if found.is_empty() {
            changes.same += 1;
        } else {
            changes.changed.push(ChangedVariable { thing, new_name: new_thing.name, changes: found });
        }
    }

    /// How much a variable is like another: by name, type and file.
    fn alike(&self, types: (&TypeTable, &TypeTable), old: Option<usize>, new: Option<usize>) -> f64 {
        let (Some(old), Some(new)) = (old.and_then(|old| self.old.get(old)), new.and_then(|new| self.new.get(new))) else {
            return 0.0;
        };
        let share = |is: bool, weight: f64| if is { weight } else { 0.0 };
        let file = |object: &Object| object.identity.unit.rsplit('/').next().unwrap_or_default().to_owned();
        let same_name = old.identity.name == new.identity.name;
        let same_type = old.kind.is_some() && types.0.describe(old.kind) == types.1.describe(new.kind);
        let name = if same_name { 1.0 } else { similar::names(&old.identity.name, &new.identity.name) };
        0.5 * name + share(same_type, 0.3) + share(old.size == new.size, 0.1) + share(file(old) == file(new), 0.1)
    }
}

/// Variables of the source; not what compilers make of switches and function names.
fn is_told(object: &Object) -> bool {
    let made = ["__func__", "__FUNCTION__", "__PRETTY_FUNCTION__", "CSWTCH"];
    (object.kind.is_some() || object.place == Place::Writable) && !made.contains(&object.identity.name.as_str())
}

fn memory(place: Place) -> &'static str {
    match place {
        Place::ReadOnly => "a constant",
        Place::Relocated => "a constant with addresses",
        Place::Writable => "a variable",
        Place::ThreadLocal => "a thread-local variable",
    }
}
