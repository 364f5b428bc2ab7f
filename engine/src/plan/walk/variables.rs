//! The variables of the old program at fixed addresses, as roots and as what pointers into the program lead to.

use super::kinds::{Kind, Kinds};
use super::paths;
use crate::program::build::Build;
use crate::program::dwarf::Storage;
use crate::program::types::{TypeId, TypeTable};

/// Variables by run-time address.
pub(super) struct Globals<'a> {
    build: &'a Build,
    /// Ascending by address; larger ones first where two share one.
    list: Vec<Global>,
}

/// A variable at a fixed address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Global {
    pub(super) address: u64,
    pub(super) size: u64,
    /// Position in [`crate::program::dwarf::DebugInfo::variables`].
    pub(super) position: u32,
    pub(super) kind: Option<TypeId>,
}

impl<'a> Globals<'a> {
    pub(super) fn new(build: &'a Build, bias: u64) -> Self {
        let types = &build.debug.types;
        let mut list: Vec<Global> = (0u32..)
            .zip(&build.debug.variables)
            .filter_map(|(position, variable)| {
                let Storage::Static(address) = variable.storage else { return None };
                let declared = types.size_of(variable.kind).unwrap_or(0);
                let symbol =
                    build.data_symbol_at(address).filter(|symbol| symbol.address == address).map_or(0, |symbol| symbol.size);
                let size = declared.max(symbol);
                Some(Global { address: bias.wrapping_add(address.0), size, position, kind: variable.kind })
            })
            .collect();
        list.sort_unstable_by_key(|global| (global.address, u64::MAX - global.size, global.position));
        list.dedup_by_key(|global| (global.address, global.size, global.kind));
        Self { build, list }
    }

    pub(super) fn list(&self) -> &[Global] {
        &self.list
    }

    /// Whether a variable has an object of `kind` at `address`, or one that ends there.
    pub(super) fn holds(&self, kinds: &mut Kinds<'_>, address: u64, kind: Kind) -> bool {
        let size = kinds.get(kind).map_or(0, |layout| layout.size);
        // Merged constants and aliases share addresses.
        const NEAR: usize = 4;
        let at = self.list.partition_point(|global| global.address <= address);
        let before = self.list.get(at.saturating_sub(NEAR)..at).unwrap_or_default();
        before.iter().rev().any(|global| {
            let skip = address - global.address;
            let inside = skip < global.size && kinds.type_contains(global.kind, skip, kind);
            inside || (skip == global.size && skip >= size && kinds.type_contains(global.kind, skip - size, kind))
        })
    }

    /// The variable around `address`, in words.
    pub(super) fn name(&self, types: &TypeTable, address: u64) -> Option<String> {
        let at = self.list.partition_point(|global| global.address <= address).checked_sub(1)?;
        let global = self.list.get(at).filter(|global| address - global.address < global.size)?;
        let variable = self.build.debug.variables.get(global.position as usize)?;
        Some(format!("{}{}", variable.name, paths::at(types, global.kind, address - global.address)))
    }

    /// The variable around `address`.
    pub(super) fn around(&self, address: u64) -> Option<&Global> {
        let at = self.list.partition_point(|global| global.address <= address).checked_sub(1)?;
        self.list.get(at).filter(|global| address - global.address < global.size)
    }
}
