//! What a program has epoll give back: addresses, where all that one epoll gives back are such.

use std::collections::HashSet;

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::{AddressSpace, Kind, Snapshot};

use crate::plan::heap::{HeapView, State};
use crate::plan::view::View;
use crate::program::address::LinkAddress;

/// Values of `epoll_data_t` that are addresses.
#[derive(Debug, Default)]
pub struct Watched(HashSet<u64>);

impl Watched {
    /// Looks at every epoll of a process. A counter or a descriptor is hardly ever where a variable starts; that every value of an epoll
    /// is, or lies in memory that the program has, is taken for what it looks like.
    pub fn new(snapshot: &Snapshot, space: &AddressSpace, heap: &HeapView, view: &View<'_>) -> Self {
        let mut addresses = HashSet::new();
        for description in &snapshot.descriptors.descriptions {
            let Kind::Epoll { watches } = &description.kind else { continue };
            if watches.iter().all(|watch| is_address(watch.data, space, heap, view)) {
                addresses.extend(watches.iter().map(|watch| watch.data));
            }
        }
        Self(addresses)
    }

    pub(super) fn holds(&self, word: u64) -> bool {
        self.0.contains(&word)
    }
}

/// Whether a variable starts there, or memory outside the program is in use there.
fn is_address(word: u64, space: &AddressSpace, heap: &HeapView, view: &View<'_>) -> bool {
    let link = LinkAddress(word);
    if view.old.elf.load_at(link).is_some() {
        let objects = &view.sides.old.objects;
        return objects.covering(link).and_then(|index| objects.list().get(index)).is_some_and(|object| object.start == link);
    }
    let run = RunAddress(word);
    match heap.heap() {
        Some(heap) if heap.covers(run) => heap.block_of(run).is_some_and(|(_, block)| block.state == State::InUse),
        _ => space.mappings.iter().any(|mapping| mapping.protection.write && mapping.range.contains(run)),
    }
}
