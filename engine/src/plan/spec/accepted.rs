//! What the user takes upon himself (`[accept]`), bound to both builds.

use std::collections::HashSet;

use dsu_formats::spec::expression::Side;
use dsu_formats::spec::{Problem, Spec};

use super::names;
use super::types::Types;
use crate::plan::compare::sides::Sides;
use crate::program::build::Build;
use crate::program::types::TypeId;

/// What need not be proved.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// Functions of the new program, by position, that are constructors and need not run.
    pub constructors: HashSet<usize>,
    /// Old types, canonical, of which no object is in use.
    pub unused_types: HashSet<TypeId>,
    /// How messages name those types.
    unused_names: HashSet<String>,
    /// Whether blocks of the heap that evidence alone clears are taken as cleared.
    pub cleared_blocks: bool,
}

impl Accepted {
    /// Looks up what the spec accepts; functions must have been read.
    ///
    /// # Errors
    /// Every name that is not known.
    pub fn bind(spec: &Spec, old: &Build, sides: &Sides) -> Result<Self, Vec<Problem>> {
        let mut accepted =
            Self { cleared_blocks: spec.accept.cleared_blocks.as_ref().is_some_and(|at| at.value), ..Self::default() };
        let mut problems = Vec::new();
        for name in &spec.accept.constructors {
            match names::find(&spec.source, name, ("function", Side::New), sides.new.functions.list()) {
                Ok(index) => _ = accepted.constructors.insert(index),
                Err(problem) => problems.push(problem),
            }
        }
        let types = Types { source: &spec.source, side: Side::Old, table: &old.debug.types };
        for name in &spec.accept.unused_types {
            match types.find(name) {
                Ok(found) => {
                    accepted.unused_names.extend(found.iter().map(|kind| old.debug.types.describe(Some(*kind))));
                    accepted.unused_types.extend(found);
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(accepted) } else { Err(problems) }
    }

    /// Whether no object of a type, as messages name it, is in use by the user's word.
    pub fn is_unused(&self, kind: &str) -> bool {
        self.unused_names.contains(kind)
    }
}
