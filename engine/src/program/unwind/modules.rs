//! Which module runs at an address.

use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::index::UnwindIndex;
use crate::program::address::LinkAddress;

/// The modules of a process: program, shared libraries, loader, vdso.
pub trait ModuleMap {
    /// The module whose mapped code holds `pc`, if any.
    fn module_at(&self, pc: RunAddress) -> Option<ModuleAt<'_>>;
}

/// A module as a [`ModuleMap`] finds it.
#[derive(Clone, Copy, Debug)]
pub struct ModuleAt<'a> {
    /// The caller's own number for it.
    pub index: usize,
    /// Run-time address minus link-time address.
    pub bias: u64,
    /// Its call frame information.
    pub unwind: &'a UnwindIndex,
}

impl ModuleAt<'_> {
    /// `pc` as an address of the module.
    pub(super) fn link(&self, pc: RunAddress) -> LinkAddress {
        LinkAddress(pc.0.wrapping_sub(self.bias))
    }
}

/// A mapped module; a slice of them is the plainest [`ModuleMap`], the position in it the index.
#[derive(Clone, Debug)]
pub struct LoadedModule {
    /// Where it is mapped.
    pub range: RunRange,
    /// Run-time address minus link-time address.
    pub bias: u64,
    /// Its call frame information.
    pub unwind: Arc<UnwindIndex>,
}

impl ModuleMap for [LoadedModule] {
    fn module_at(&self, pc: RunAddress) -> Option<ModuleAt<'_>> {
        let (index, module) = self.iter().enumerate().find(|(_, module)| module.range.contains(pc))?;
        Some(ModuleAt { index, bias: module.bias, unwind: &module.unwind })
    }
}

impl ModuleMap for Vec<LoadedModule> {
    fn module_at(&self, pc: RunAddress) -> Option<ModuleAt<'_>> {
        self.as_slice().module_at(pc)
    }
}
