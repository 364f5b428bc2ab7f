//! Whether two types of two builds are the same by structure, and if not, where they differ.
//!
//! Names of types do not count, names of members and enumerators do: a value keeps its meaning only under its name. Pairs are settled once,
//! with everything that they reach; comparing a whole program is linear in its types.

mod difference;
mod local;
mod named;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use difference::{Difference, DifferenceKind};
pub use named::{NamedChange, changed_named_types};

use super::types::{TypeId, TypeTable};
use difference::{Local, Step};

/// Compares types of an old and a new build, and remembers what it found.
pub struct Comparison<'t> {
    old: &'t TypeTable,
    new: &'t TypeTable,
    renamed: Renamed,
    /// Position in `outcomes` of every pair that was met.
    known: HashMap<Pair, u32>,
    outcomes: Vec<Outcome>,
}

/// Members that have another name in the new build: by new type (canonical), positions in the old and in the new member list.
pub type Renamed = HashMap<TypeId, Vec<(u32, u32)>>;

/// Two types behind typedefs and declarations; `None` is void.
type Pair = (Option<TypeId>, Option<TypeId>);

/// What is known of a pair.
struct Outcome {
    pair: Pair,
    /// What differs between the two themselves.
    local: Vec<Local>,
    /// Whether the values' own bytes mean the same: the types and what they hold by value.
    own: Verdict,
    /// Whether, besides, everything that they point to does.
    whole: Verdict,
}

/// How a pair came out.
#[derive(Clone)]
enum Verdict {
    Same,
    /// The pair itself differs.
    Differs,
    /// A pair that it holds or points to differs: the next step on the way there, and that pair.
    Through(Step, u32),
}

impl<'t> Comparison<'t> {
    /// Compares types of `old` with types of `new`.
    pub fn new(old: &'t TypeTable, new: &'t TypeTable) -> Self {
        Self::with_renamed(old, new, Renamed::new())
    }

    /// As [`Comparison::new`], where somebody knows which members have another name.
    pub fn with_renamed(old: &'t TypeTable, new: &'t TypeTable, renamed: Renamed) -> Self {
        Self { old, new, renamed, known: HashMap::new(), outcomes: Vec::new() }
    }

    /// Whether values of `a` (old build) may be used as `b` (new build), with everything that they point to; `None` is void.
    ///
    /// # Errors
    /// A difference, with the way to it.
    pub fn compare(&mut self, a: Option<TypeId>, b: Option<TypeId>) -> Result<(), Difference> {
        let root = self.settle((a, b));
        self.verdict(root, true)
    }

    /// As [`Comparison::compare`], for the value's own bytes only: pointers may lead to anything of the same kind.
    ///
    /// # Errors
    /// A difference, with the way to it.
    pub fn compare_own(&mut self, a: Option<TypeId>, b: Option<TypeId>) -> Result<(), Difference> {
        let root = self.settle((a, b));
        self.verdict(root, false)
    }

    /// All differences between the two types themselves, not of what they hold or point to.
    pub fn local_differences(&mut self, a: Option<TypeId>, b: Option<TypeId>) -> Vec<Difference> {
        let root = self.settle((a, b));
        let Some(outcome) = self.outcomes.get(root as usize) else { return Vec::new() };
        outcome.local.iter().map(|local| self.difference(root, &[], local)).collect()
    }

    fn verdict(&self, root: u32, whole: bool) -> Result<(), Difference> {
        let mut steps = Vec::new();
        let mut at = root;
        // Each step was found nearer to the difference than the one before: the way ends.
        while let Some(outcome) = self.outcomes.get(at as usize) {
            match if whole { &outcome.whole } else { &outcome.own } {
                Verdict::Same => break,
                Verdict::Through(step, next) => {
                    steps.push((step.clone(), *next));
                    at = *next;
                }
                Verdict::Differs => {
                    let Some(local) = outcome.local.first() else { break };
                    return Err(self.difference(root, &steps, local));
                }
            }
        }
        Ok(())
    }
}

/// Compares one pair; see [`Comparison::compare`]. For many pairs keep one [`Comparison`].
///
/// # Errors
/// A difference, with the way to it.
pub fn compare(old: &TypeTable, a: Option<TypeId>, new: &TypeTable, b: Option<TypeId>) -> Result<(), Difference> {
    Comparison::new(old, new).compare(a, b)
}
