//! Libraries that the programs ask for (DT_NEEDED).

use serde::Serialize;

use crate::program::build::Build;

/// What differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LibraryChanges {
    /// Only the new program asks for them.
    pub added: Vec<String>,
    /// Only the old program asks for them.
    pub removed: Vec<String>,
}

impl LibraryChanges {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// What differs between two builds.
pub(super) fn changes(old: &Build, new: &Build) -> LibraryChanges {
    let only = |a: &Build, b: &Build| a.elf.needed.iter().filter(|name| !b.elf.needed.contains(name)).cloned().collect();
    LibraryChanges { added: only(new, old), removed: only(old, new) }
}
