//! What plugins have made: new objects by the addresses of the old ones, and blocks besides. Whoever has it made and checked fills it;
//! a rewriter takes the bytes from it and lets their pointers follow.

use std::collections::HashMap;

use dsu_formats::address::RunAddress;
use dsu_formats::plugin::message::NEW_BLOCKS;

use crate::plan::source::MemorySource;
use crate::program::types::TypeId;

/// Alignment of the addresses of new blocks.
const ALIGNMENT: u64 = 16;

/// An object that a plugin has to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Its old type, canonical.
    pub kind: TypeId,
    /// Its address in the old process.
    pub address: RunAddress,
}

/// A pointer in the new objects of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadePointer {
    /// Its offset in the object.
    pub offset: usize,
    /// The old type that becomes what it points to, canonical; `None`: nobody knows.
    pub target: Option<TypeId>,
}

/// New objects of one type.
#[derive(Debug, Default)]
pub struct MadeKind {
    /// Size of a new object in bytes.
    pub size: usize,
    /// The pointers in each. A pointer holds 0, an old address, or an address of a new block.
    pub pointers: Vec<MadePointer>,
    /// Old addresses, ascending.
    pub addresses: Vec<RunAddress>,
    /// The new objects in the same order, one after the other.
    pub bytes: Vec<u8>,
}

/// A block that a plugin asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MadeBlock {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Offsets of the pointers in it, ascending, multiples of 8; they hold what pointers of objects hold.
    pub pointers: Vec<u32>,
}

/// A new object.
#[derive(Clone, Copy, Debug)]
pub struct MadeObject<'m> {
    /// Its bytes.
    pub bytes: &'m [u8],
    /// Its pointers.
    pub pointers: &'m [MadePointer],
}

/// Who has objects made. The plan asks once, for all objects of a process.
pub trait Maker {
    /// Makes every object of `wanted`, and whatever blocks they need.
    ///
    /// # Errors
    /// Why an object cannot be made: a blocker.
    fn make(&self, wanted: &[Wanted], memory: &dyn MemorySource) -> Result<Made, Box<dyn std::error::Error + Send + Sync>>;
}

/// All that plugins have made for one process.
#[derive(Debug, Default)]
pub struct Made {
    kinds: HashMap<TypeId, MadeKind>,
    blocks: Vec<MadeBlock>,
    /// Where each block begins, from [`NEW_BLOCKS`] on.
    starts: Vec<u64>,
    end: u64,
    is_missing: bool,
}

impl Made {
    /// Nothing, because nobody was asked or an answer failed: a plan that is blocked anyway goes on without the objects.
    pub fn missing() -> Self {
        Self { is_missing: true, ..Self::default() }
    }

    /// Whether the objects are left out.
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// Adds all new objects of the old type `kind`.
    pub fn insert(&mut self, kind: TypeId, made: MadeKind) {
        self.kinds.insert(kind, made);
    }

    /// Adds a block behind all others; it has the next address that its plugin has counted.
    pub fn push_block(&mut self, block: MadeBlock) {
        self.starts.push(self.end);
        self.end = self.end.saturating_add((block.bytes.len() as u64).next_multiple_of(ALIGNMENT));
        self.blocks.push(block);
    }

    /// The object that the one of type `kind` at `address` has become.
    pub fn object(&self, kind: TypeId, address: RunAddress) -> Option<MadeObject<'_>> {
        let made = self.kinds.get(&kind)?;
        let position = made.addresses.binary_search(&address).ok()?;
        let bytes = made.bytes.get(position.checked_mul(made.size)?..)?.get(..made.size)?;
        Some(MadeObject { bytes, pointers: &made.pointers })
    }

    /// Where the next block begins, from [`NEW_BLOCKS`] on.
    pub fn blocks_end(&self) -> u64 {
        self.end
    }

    /// The blocks, in the order of their addresses.
    pub fn blocks(&self) -> &[MadeBlock] {
        &self.blocks
    }

    /// Which block a word of a new object or block points into, and how far; a block's end belongs to it.
    pub fn locate(&self, word: u64) -> Option<(usize, u64)> {
        let from_start = word.checked_sub(NEW_BLOCKS)?;
        let position = self.starts.partition_point(|start| *start <= from_start).checked_sub(1)?;
        let offset = from_start - self.starts.get(position)?;
        (offset <= self.blocks.get(position)?.bytes.len() as u64).then_some((position, offset))
    }

    /// How many objects there are, of all types.
    pub fn len(&self) -> usize {
        self.kinds.values().map(|made| made.addresses.len()).sum()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_by_type_and_address() {
        let mut made = Made::default();
        let addresses = vec![RunAddress(0x10), RunAddress(0x30)];
        made.insert(TypeId(3), MadeKind { size: 2, addresses, bytes: vec![1, 2, 3, 4], ..MadeKind::default() });
        assert_eq!(made.object(TypeId(3), RunAddress(0x30)).expect("made").bytes, [3, 4]);
        assert!(made.object(TypeId(3), RunAddress(0x20)).is_none() && made.object(TypeId(4), RunAddress(0x10)).is_none());
    }

    #[test]
    fn addresses_of_blocks_lead_into_them() {
        let mut made = Made::default();
        made.push_block(MadeBlock { bytes: vec![0; 20], pointers: Vec::new() });
        made.push_block(MadeBlock { bytes: vec![0; 16], pointers: Vec::new() });
        assert_eq!(made.locate(NEW_BLOCKS + 20), Some((0, 20)));
        assert_eq!((made.locate(NEW_BLOCKS + 21), made.locate(NEW_BLOCKS - 1)), (None, None));
        assert_eq!(made.locate(NEW_BLOCKS + 32), Some((1, 0)));
        assert_eq!(made.locate(NEW_BLOCKS + 49), None);
    }
}
