//! What changed between two builds, for people, programs, and the draft of a spec. No process is needed.

pub mod draft;
mod frames;
mod functions;
mod libraries;
mod names;
mod questions;
mod similar;
#[cfg(test)]
mod tests;
mod types;
mod variables;

use serde::Serialize;

use super::compare::Comparison;
use crate::program::build::Build;

pub use frames::{CallChange, CallSite, FrameChange};
pub use functions::{ChangedFunction, FunctionChanges};
pub use libraries::LibraryChanges;
pub use names::{Ambiguous, Candidate, Removed, Thing};
pub use types::{Change, EnumeratorChange, MemberAt, MemberChange, TypeChange, TypeChanges, UnclearMember, UnclearReason};
pub use variables::{ChangedVariable, VariableChange, VariableChanges};

/// Everything that differs between two builds.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// The old build.
    pub old: BuildName,
    /// The new build.
    pub new: BuildName,
    /// Functions.
    pub functions: FunctionChanges,
    /// Where frames of changed functions would go on.
    pub frames: Vec<FrameChange>,
    /// Variables, thread-local ones included.
    pub variables: VariableChanges,
    /// Structures, unions, enumerations.
    pub types: TypeChanges,
    /// What has to be answered if there are objects of the types that it is about.
    pub questions: Vec<String>,
    /// What is new in variables and starts as zero, although code stores to it.
    pub unset: Vec<Unset>,
    /// Libraries that the programs ask for.
    pub libraries: LibraryChanges,
    /// Constructors of the new program that are new or do something else: they do not run in an update.
    pub constructors: Vec<Constructor>,
}

/// Which build it is.
#[derive(Clone, Debug, Serialize)]
pub struct BuildName {
    /// Its file.
    pub path: String,
    /// Its build-id in hexadecimal; empty when it has none.
    pub build_id: String,
}

/// Something new in a variable whose value the new program's start-up code may make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unset {
    /// What is asked.
    pub message: String,
    /// Lines of a spec of which one answers it.
    pub answers: Vec<String>,
}

/// A constructor that an update does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Constructor {
    /// What is said of it.
    pub message: String,
    /// The lines of a spec that do without it.
    pub answers: Vec<String>,
}

impl Diff {
    /// What `comparison` and the two builds say.
    pub fn new(old: &Build, new: &Build, comparison: &Comparison) -> Self {
        use super::blocker::Blocker;
        let constructors = comparison.blockers.iter().filter(|blocker| matches!(blocker, Blocker::Constructor { .. }));
        let asked = questions::Asked::new(&comparison.data);
        Self {
            old: BuildName::of(old),
            new: BuildName::of(new),
            functions: functions::changes(old, new, comparison),
            frames: frames::changes(old, new, comparison),
            variables: variables::changes(old, new, comparison),
            types: types::changes(old, new, &comparison.data.types, &asked),
            questions: asked.0.iter().map(ToString::to_string).collect(),
            unset: asked.unset(),
            libraries: libraries::changes(old, new),
            constructors: constructors
                .map(|blocker| Constructor { message: blocker.to_string(), answers: blocker.answers().to_vec() })
                .collect(),
        }
    }

    /// Whether nothing differs that this describes.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
            && self.variables.is_empty()
            && self.types.is_empty()
            && self.libraries.is_empty()
            && self.constructors.is_empty()
    }
}

impl BuildName {
    fn of(build: &Build) -> Self {
        Self {
            path: build.path.display().to_string(),
            build_id: build.elf.build_id.iter().flatten().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}
