//! What the walk found.

use dsu_formats::address::{RunAddress, RunRange};

use super::problem::{Dangling, Problem};
use crate::plan::heap::BlockIndex;
use crate::program::types::TypeId;

/// Objects of one changed type that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Address of the first.
    pub address: RunAddress,
    /// Their type, canonical.
    pub kind: TypeId,
    /// How many there are at least. A block's size tells only up to the allocator's rounding.
    pub count: u32,
    /// How many there may be.
    pub most: u32,
    /// Bytes that they take, a flexible array at the end included.
    pub length: u64,
    /// The block that they are in.
    pub block: Option<BlockIndex>,
    /// Whether the user says how many there are.
    pub counted: bool,
    /// Whether the block, or the variable, holds nothing else: it starts with the first, and what follows the last is rounding.
    pub whole: bool,
}

impl Found {
    /// Their bytes.
    pub fn range(&self) -> RunRange {
        RunRange::new(self.address.0, self.address.0.saturating_add(self.length))
    }
}

/// A word that holds a pointer to objects of a changed type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PointerSite {
    /// Address of the word.
    pub address: RunAddress,
    /// Type of what it points to, canonical.
    pub target: TypeId,
}

/// Objects of one type side by side, as a typed pointer or a thread-local variable says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypedSpan {
    /// The first.
    pub start: u64,
    /// Behind the last.
    pub end: u64,
    /// Bytes of one.
    pub size: u64,
    /// Their type, canonical.
    pub kind: TypeId,
    /// How sure that is; more is surer.
    pub strength: u8,
}

/// Why a block that could hold a changed type is taken not to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleared {
    /// Its address.
    pub address: RunAddress,
    /// Its usable size.
    pub usable: u64,
    /// The evidence.
    pub reason: String,
}

/// All that a walk gives.
#[derive(Debug, Default)]
pub struct Walked {
    /// Objects of changed types, ascending by address, none overlapping.
    pub found: Vec<Found>,
    /// Pointers to them that lie in nothing that is rewritten itself, ascending by address.
    pub sites: Vec<PointerSite>,
    /// Typed pointers that lead to nothing.
    pub dangling: Vec<Dangling>,
    /// What blocks.
    pub problems: Vec<Problem>,
    /// Blocks that could hold a changed type, and what clears them (PROOF 2.5).
    pub cleared: Vec<Cleared>,
    /// Objects looked at, of unchanged types too.
    pub objects: u64,
}
