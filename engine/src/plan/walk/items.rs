//! Objects that were reached, each once for a place and a type.

use std::collections::HashMap;

use super::kinds::Kind;
use super::pieces::Multiply;
use crate::plan::heap::BlockIndex;

/// How sure it is that an object is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    /// A pointer in what may be the allocator's rounding says so.
    Doubtful,
    /// A variable of a function says so, which may not have been stored to yet.
    Local,
    /// A pointer in a further element of a block whose size says that it is an array.
    Firm,
    /// A pointer in an object that a variable leads to by single pointers alone.
    Solid,
}

/// Objects of one type, side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) address: u64,
    /// Address of the word that led here; 0 for roots. [`ROOT`] and the root's number for variables.
    pub(super) via: u64,
    pub(super) kind: Kind,
    /// Objects that are there for sure.
    pub(super) count: u32,
    /// Objects that may be there.
    pub(super) most: u32,
    /// Whether the user says how many there are.
    pub(super) counted: bool,
    pub(super) strength: Strength,
}

/// Marks `via` as the number of a root.
pub(super) const ROOT: u64 = 1 << 63;

/// All items.
#[derive(Default)]
pub(super) struct Items {
    pub(super) list: Vec<Item>,
    /// Items that started with a block until the user's word on how many there are took their place.
    pub(super) replaced: Vec<u32>,
    /// By block, one more than the item that starts with it; 0 for none.
    primary: Vec<u32>,
    /// The others, by address and type.
    others: HashMap<(u64, u32), u32, Multiply>,
}

impl Items {
    pub(super) fn new(blocks: usize) -> Self {
        Self { primary: vec![0; blocks], ..Self::default() }
    }

    /// The item that starts with a block.
    pub(super) fn of_block(&self, block: BlockIndex) -> Option<&Item> {
        let number = self.primary.get(block.0 as usize)?.checked_sub(1)?;
        self.list.get(number as usize)
    }

    /// Whether the item with this number is the one that starts with a block.
    pub(super) fn is_of_block(&self, block: BlockIndex, number: u32) -> bool {
        self.primary.get(block.0 as usize).is_some_and(|primary| primary.checked_sub(1) == Some(number))
    }

    /// The items that do not start with a block, or are not the one that does.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = &Item> {
        self.others.values().filter_map(|number| self.list.get(*number as usize))
    }

    /// Makes `item` the one that starts with a block.
    pub(super) fn set_block(&mut self, block: BlockIndex, item: Item) {
        self.list.push(item);
        if let Some(primary) = self.primary.get_mut(block.0 as usize) {
            self.replaced.extend(primary.checked_sub(1).filter(|_| item.counted));
            *primary = self.list.len() as u32;
        }
    }

    /// Adds an item that is elsewhere, once.
    pub(super) fn add(&mut self, item: Item) {
        let next = self.list.len() as u32;
        let known = self.others.entry((item.address, item.kind.0)).or_insert(next);
        // What the user says of their number wins over a pointer to the first.
        let is_more = self.list.get(*known as usize).is_none_or(|known| item.counted && item.count > known.count);
        if is_more {
            *known = next;
            self.list.push(item);
        }
    }
}
