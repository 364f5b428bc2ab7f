//! Compiles recipes: walks an old and a new type side by side and writes down what becomes of every byte.

mod arrays;
mod frames;
mod job;
mod numbers;
mod pointers;
mod structs;
mod unions;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use super::change::{TypeChanges, comparison};
use super::partners::Partner;
use super::question::{Question, Unknown};
use super::recipe::{InitialPart, Recipe};
use super::rules::{Place, Root, Rules};
use crate::program::build::Build;
use crate::program::compare_types::Comparison;
use crate::program::fresh::FreshFacts;
use crate::program::types::{TypeId, TypeTable};
use job::Job;

/// What the new program's code says about objects that it makes (PROOF 2.3).
pub trait FreshValues {
    /// Whether every object of `kind` (new build, canonical) that the new program makes starts with zeros in these bytes.
    fn is_zero(&self, kind: TypeId, offset: u64, length: u64) -> bool;
}

/// Nothing is known of the new program's code.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProofs;

impl FreshValues for NoProofs {
    fn is_zero(&self, _: TypeId, _: u64, _: u64) -> bool {
        false
    }
}

impl FreshValues for FreshFacts {
    fn is_zero(&self, kind: TypeId, offset: u64, length: u64) -> bool {
        FreshFacts::is_zero(self, kind, offset, length)
    }
}

/// A recipe, or everything that has to be answered first.
pub type Compiled = Result<Arc<Recipe>, Arc<[Question]>>;

/// Compiles recipes for one pair of builds.
pub struct Compiler<'t> {
    pub(super) old: &'t TypeTable,
    pub(super) new: &'t TypeTable,
    pub(super) rules: &'t Rules,
    pub(super) changes: &'t TypeChanges,
    pub(super) fresh: &'t dyn FreshValues,
    pub(super) comparison: Comparison<'t>,
    initials: Vec<InitialPart>,
}

/// A variable that both builds have: its positions in [`crate::program::dwarf::DebugInfo::variables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariablePair {
    /// In the old build.
    pub old: u32,
    /// In the new build.
    pub new: u32,
}

impl<'t> Compiler<'t> {
    /// A compiler under the user's rules; `changes` were made with the same ones.
    pub fn new(
        (old, new): (&'t TypeTable, &'t TypeTable),
        rules: &'t Rules,
        changes: &'t TypeChanges,
        fresh: &'t dyn FreshValues,
    ) -> Self {
        Self { old, new, rules, changes, fresh, comparison: comparison(old, new, rules), initials: Vec::new() }
    }

    /// How objects of the old type become objects of its partner. A type without one keeps its bytes.
    ///
    /// # Errors
    /// All questions of the pair.
    pub fn object(&mut self, old: TypeId) -> Compiled {
        let old = self.old.canonical(old);
        match self.changes.partner(old).clone() {
            Partner::One(new) => self.pair(old, new),
            Partner::Gone => Job::new(self, Some(old), None).kept(),
            Partner::Doubtful(candidates) => Err([self.doubt(old, &candidates)].into()),
        }
    }

    /// How objects of `old` become objects of `new`, whatever their names.
    ///
    /// # Errors
    /// All questions of the pair.
    pub fn pair(&mut self, old: TypeId, new: TypeId) -> Compiled {
        Job::new(self, Some(old), Some(new)).objects()
    }

    /// How a variable becomes its partner. Fields that only the new build has take the variable's initial value there.
    ///
    /// # Errors
    /// All questions of the variable's type.
    pub fn variable(&mut self, (old, new): (&Build, &Build), pair: VariablePair) -> Compiled {
        let variable = |build: &Build, position: u32| {
            build.debug.variables.get(position as usize).map(|variable| (variable.kind, variable.name.clone()))
        };
        let (old_kind, _) = variable(old, pair.old).unwrap_or_default();
        let (new_kind, name) = variable(new, pair.new).unwrap_or_default();
        Job::new(self, old_kind, new_kind).variable(pair, &name)
    }

    /// How a variable of a frame becomes one of another type. Fields that only the new build has take what the new code has stored there.
    ///
    /// # Errors
    /// All questions of the variable's type.
    pub fn local(&mut self, old: TypeId, new: TypeId, name: &str) -> Compiled {
        Job::new(self, Some(old), Some(new)).local(name)
    }

    /// The parts of the last variable that take its initial value, whatever else is asked of it.
    pub fn take_initials(&mut self) -> Vec<InitialPart> {
        std::mem::take(&mut self.initials)
    }

    /// How a variable is made that only the new build has, from no bytes at all: as the rules say, the rest as its initial value is.
    ///
    /// # Errors
    /// All questions of the variable's type.
    pub fn new_variable(&mut self, new: &Build, position: u32) -> Compiled {
        let variable = new.debug.variables.get(position as usize);
        let (kind, name) = variable.map(|variable| (variable.kind, variable.name.clone())).unwrap_or_default();
        Job::new(self, None, kind).new_variable(position, &name)
    }

    fn doubt(&self, old: TypeId, candidates: &[TypeId]) -> Question {
        let entry = self.old.get(old);
        let names: Vec<String> = candidates.iter().map(|id| self.new.describe(Some(*id))).collect();
        Question {
            what: Unknown::TypeName,
            owner: self.old.describe(Some(old)),
            field: String::new(),
            old: self.old.describe(Some(old)),
            new: names.join(" or "),
            declared: (entry.file.clone(), entry.line),
            likely: if let [one] = names.as_slice() { Some(one.clone()) } else { None },
        }
    }
}

/// All recipes that a walk may need, by old type.
#[derive(Debug, Default)]
pub struct Recipes {
    by_type: HashMap<TypeId, Compiled>,
}

impl Recipes {
    /// Compiles recipes for every structure, union and enumeration that changes or leads to a change.
    pub fn new(compiler: &mut Compiler<'_>) -> Self {
        let types = super::partners::definitions(compiler.old);
        let wanted: Vec<TypeId> = types.filter(|id| compiler.changes.leads_to_change(Some(*id))).collect();
        Self { by_type: wanted.into_iter().map(|id| (id, compiler.object(id))).collect() }
    }

    /// The recipe of an old type, canonical; `None` if it neither changes nor leads to a change.
    pub fn get(&self, old: TypeId) -> Option<&Compiled> {
        self.by_type.get(&old)
    }

    /// Number of types with a recipe or a question.
    pub fn len(&self) -> usize {
        self.by_type.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_type.is_empty()
    }

    /// All questions, each once.
    pub fn questions(&self) -> Vec<Question> {
        let mut all: Vec<Question> =
            self.by_type.values().filter_map(|one| one.as_ref().err()).flat_map(|one| one.iter().cloned()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// A place of the old and one of the new object, for the rules that stand for them.
fn place(root: Root, path: &[u32]) -> Place {
    Place { root, path: path.to_vec() }
}
