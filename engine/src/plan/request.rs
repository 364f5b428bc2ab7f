//! What a plan is made from.

use dsu_formats::model::latest::{Module, ProgramId, Snapshot};

use super::compare::Comparison;
use super::data::made::Maker;
use super::frames::{Continuations, StackReports};
use super::link::scope::LoadedLibrary;
use super::link::symbols::IndexedLibrary;
use super::source::MemorySource;
use crate::program::build::Build;

/// Everything that a plan needs; nothing of it is changed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The process at the stop.
    pub snapshot: &'a Snapshot,
    /// Its memory.
    pub memory: &'a dyn MemorySource,
    /// The build that it runs.
    pub old: &'a Build,
    /// The build to move to.
    pub new: &'a Build,
    /// The two compared, before the stop.
    pub comparison: &'a Comparison,
    /// For each of the snapshot's modules its file, indexed before the stop; the program's own is not looked at. A module without
    /// one (`None`) can neither be bound to nor unwound through.
    pub libraries: &'a [Option<&'a IndexedLibrary>],
    /// The new program's file.
    pub file: &'a ProgramId,
    /// Who makes objects of types that a spec gives to plugins.
    pub maker: Option<&'a dyn Maker>,
    /// Who knows how frames of changed functions go on; without it none does.
    pub continuations: Option<&'a dyn Continuations>,
    /// Who wants to know what becomes of every frame, whether or not there is a plan.
    pub stacks: Option<&'a StackReports>,
    /// How much is to be found out, and what evidence is enough.
    pub policy: Policy,
}

/// What the user wants of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether blocks that evidence alone clears (PROOF 2.5) stand in the way, unless the spec takes them as cleared.
    pub strict: bool,
    /// Whether everything that stands in the way is told, though a changed function is active. Else the process is kept waiting no
    /// longer than it takes to see that: another try comes anyway.
    pub complete: bool,
}

impl<'a> Request<'a> {
    /// The program's module.
    pub fn program(&self) -> Option<&'a Module> {
        self.snapshot.modules.iter().find(|module| module.address_space == 0)
    }

    /// All other modules with their files, in the snapshot's order.
    pub fn loaded(&self) -> Vec<LoadedLibrary<'a>> {
        let modules = self.snapshot.modules.iter().enumerate().skip(1);
        modules
            .filter_map(|(index, module)| {
                Some(LoadedLibrary {
                    library: self.libraries.get(index).copied().flatten()?,
                    path: &module.path,
                    bias: module.bias.0,
                    range: module.range,
                    link_map: module.link_map,
                })
            })
            .collect()
    }
}
