//! Functions and variables as debug information describes them.

mod attributes;
mod image;
mod lines;
mod merge;
mod pieces;
mod raw;
mod read;
mod sections;
mod split;
#[cfg(test)]
mod tests;
mod unit;

pub use lines::{Lines, Position};
pub use read::{Reading, read};
pub use sections::{DebugSections, Reader, has_debug_info};
pub use split::{SplitSearch, join};

use super::address::LinkAddress;
use super::types::{TypeId, TypeTable};

/// What DWARF says of one build.
#[derive(Debug, Default)]
pub struct DebugInfo {
    /// Every function with code of its own (out-of-line concrete instances, clones included).
    pub functions: Vec<Function>,
    /// Every variable with static or thread-local storage.
    pub variables: Vec<Variable>,
    /// Types.
    pub types: TypeTable,
    /// Places of the types' entries, ascending; the id of each is its position.
    type_keys: Vec<raw::Key>,
}

impl DebugInfo {
    /// The type that the entry at `offset` of `.debug_info` describes.
    pub(super) fn type_at(&self, offset: usize) -> Option<TypeId> {
        let position = self.type_keys.binary_search(&(offset as raw::Key)).ok()?;
        u32::try_from(position).ok().map(TypeId)
    }
}

/// A function with code.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Source name.
    pub name: String,
    /// Linkage name where it differs.
    pub linkage_name: Option<String>,
    /// Source file of its unit, as DW_AT_name gives it (relative to the compilation directory where it was).
    pub unit: String,
    /// Source file and line of its declaration.
    pub declared: (String, u64),
    /// Whether visible outside its unit (DW_AT_external).
    pub external: bool,
    /// Code ranges as (start, length), the entry's first. More than one: hot and cold parts.
    pub ranges: Vec<(LinkAddress, u64)>,
    /// Its type: result and parameters.
    pub kind: Option<TypeId>,
}

/// A variable that lives as long as the program or a thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Source name.
    pub name: String,
    /// Linkage name where it differs.
    pub linkage_name: Option<String>,
    /// Source file of its unit.
    pub unit: String,
    /// Source file and line of its declaration.
    pub declared: (String, u64),
    /// Function that a static local belongs to.
    pub function: Option<String>,
    /// Whether visible outside its unit.
    pub external: bool,
    /// Where it is.
    pub storage: Storage,
    /// Its type.
    pub kind: Option<TypeId>,
    /// Which part of the variable this is, where the compiler made several objects of it: the path to a field or an element (DW_OP_piece).
    pub part: Option<String>,
}

/// Where a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// At a fixed address of the object (DW_OP_addr).
    Static(LinkAddress),
    /// At an offset in the object's TLS block (DW_OP_const8u, DW_OP_GNU_push_tls_address).
    ThreadLocal(u64),
    /// Optimised away, or not at one place.
    None,
}
