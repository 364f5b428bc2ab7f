//! Objects outside the program's segments that move: thread-local variables, what libraries own a copy of, and those whose type changes.

use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::data::rewrite::{self, Followed};
use super::frames::{self, FrameMoves};
use super::heap::Heap;
use super::walk::PointerSite;
use crate::program::types::TypeId;

/// Where moved objects were, and where they are now.
#[derive(Debug, Default)]
pub struct Moves {
    /// Ascending and without overlap, with the new start of each.
    list: Vec<(RunRange, RunAddress)>,
    /// Objects that are rewritten; they win over the list.
    objects: Arc<rewrite::Moves>,
    /// Words that the walk knows as pointers to such objects, ascending.
    sites: Vec<PointerSite>,
    /// The heap that they are in.
    heap: Option<Heap>,
    /// The program break's extent.
    program_break: RunRange,
    /// Stacks that are made anew.
    frames: FrameMoves,
}

/// What becomes of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// It points to nothing that moves.
    Same,
    /// Its new value, which may be a place-holder.
    To(u64),
    /// It points into the rewritten object at this address, and nothing says where that is now.
    Undecided(RunAddress, Option<TypeId>, &'static str),
    /// It points into a frame that is made anew, and to nothing that has a place in the new one.
    Gone {
        /// The function whose frame it is.
        function: String,
        /// Bytes from its canonical frame address.
        offset: i64,
        /// What is not known.
        what: &'static str,
    },
}

impl Moves {
    /// Moves as (where it was, its new start); empty ranges and those that stay are left out.
    pub fn new(mut list: Vec<(RunRange, RunAddress)>) -> Self {
        list.retain(|(range, to)| !range.is_empty() && range.start != *to);
        list.sort_unstable();
        Self { list, ..Self::default() }
    }

    /// The same with objects that are rewritten, and the words that are known to point to such.
    pub fn with_objects(
        self,
        objects: Arc<rewrite::Moves>,
        sites: Vec<PointerSite>,
        (heap, program_break): (Option<Heap>, RunRange),
    ) -> Self {
        Self { objects, sites, heap, program_break, ..self }
    }

    /// The same with stacks that are made anew.
    pub fn with_frames(self, frames: FrameMoves) -> Self {
        Self { frames, ..self }
    }

    /// Stacks that are made anew.
    pub fn frames(&self) -> &FrameMoves {
        &self.frames
    }

    /// Whether the word at `address` is the allocator's own: its list of chunks stays what it is, whatever becomes of their blocks, and
    /// nobody reads what was left in its spare room.
    pub fn is_allocators(&self, address: RunAddress) -> bool {
        let is_spare = |heap: &Heap| heap.block_of(address).is_none() && heap.ends_before(address, self.program_break);
        let is_own = |heap: &Heap| heap.is_allocators(address) || is_spare(heap);
        self.heap.as_ref().is_some_and(is_own)
    }

    /// Ranges outside which nothing moves.
    pub fn ranges(&self) -> impl Iterator<Item = RunRange> + '_ {
        self.list.iter().map(|entry| entry.0).chain(self.objects.stretches()).chain(self.frames.ranges())
    }

    /// The objects that are rewritten.
    pub fn objects(&self) -> &rewrite::Moves {
        &self.objects
    }

    /// What the word at `address` points to by its type, canonical, where that is a type that changes.
    pub fn pointee(&self, address: RunAddress) -> Option<TypeId> {
        let at = self.sites.binary_search_by_key(&address, |site| site.address).ok()?;
        self.sites.get(at).map(|site| site.target)
    }

    /// What becomes of a word that is a pointer to `pointee`, or to nobody knows what.
    pub fn follow(&self, word: u64, pointee: Option<TypeId>) -> Target {
        match self.objects.follow(RunAddress(word), pointee) {
            Followed::To(place) => Target::To(self.objects.address(place).0),
            Followed::Undecided { object, kind, reason } => Target::Undecided(object, kind, reason),
            Followed::Same => match self.frames.follow(word) {
                frames::Followed::To(moved) => Target::To(moved),
                frames::Followed::Gone { function, offset, what } => Target::Gone { function, offset, what },
                frames::Followed::Same => self.target(word).map_or(Target::Same, Target::To),
            },
        }
    }

    /// The new address for a word that points into a moved object without a change of type.
    fn target(&self, word: u64) -> Option<u64> {
        let index = self.list.partition_point(|entry| entry.0.start.0 <= word).checked_sub(1)?;
        let (range, to) = self.list.get(index)?;
        range.contains(RunAddress(word)).then(|| to.0.wrapping_add(word - range.start.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_object_that_holds_them() {
        let moves = Moves::new(vec![
            (RunRange::new(0x200, 0x210), RunAddress(0x900)),
            (RunRange::new(0x100, 0x108), RunAddress(0x300)),
            (RunRange::new(0x400, 0x500), RunAddress(0x400)),
        ]);
        assert_eq!(moves.target(0x100), Some(0x300));
        assert_eq!(moves.target(0x20f), Some(0x90f));
        assert_eq!(moves.target(0x210), None);
        assert_eq!(moves.target(0x404), None);
    }
}
