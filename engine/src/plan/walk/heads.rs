//! Pointers into the middle of objects, as lists have them, and what only looks like one: the heads of the lists.

use super::items::Item;
use super::kinds::{Kind, Within};
use super::queue::Walker;
use super::regions::Region;

impl Walker<'_> {
    /// Whether a pointer that should lead into the middle of a `kind` leads to what is in no such object: the head of a list, in a
    /// variable or in an object of another type, which are followed by themselves.
    pub(super) fn is_elsewhere(&mut self, within: Within, kind: Kind, value: u64) -> bool {
        let address = value.wrapping_sub(within.back);
        match self.regions.find(value) {
            Region::Program => !self.globals.holds(&mut self.kinds, address, kind),
            Region::Block(index, block) => {
                let (Some(declared), Some(known)) = (within.declared, self.items.of_block(index).copied()) else { return false };
                let size = self.kinds.get(known.kind).map_or(0, |layout| layout.size);
                if known.kind == kind || size == 0 || !self.covers(&known, value) {
                    return false;
                }
                let skip = value - block.address.0;
                let holds_whole = skip >= within.back && self.kinds.contains(known.kind, (skip - within.back) % size, kind);
                !holds_whole && self.kinds.contains(known.kind, skip % size, declared)
            }
            _ => false,
        }
    }

    /// Whether the objects that were found at the start of a block reach to `address` in it.
    pub(super) fn covers(&self, known: &Item, address: u64) -> bool {
        let size = self.kinds.get(known.kind).map_or(0, |layout| layout.size);
        let length = size.saturating_mul(known.most.max(1).into());
        address.checked_sub(known.address).is_some_and(|skip| skip < length)
    }
}
