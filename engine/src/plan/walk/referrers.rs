//! Who points to some blocks: one scan over all that a process has written to.

use std::collections::HashMap;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{Kind as DescriptorKind, Snapshot};

use super::regions::{Region, Regions};
use crate::plan::heap::{BlockIndex, Heap, State};
use crate::plan::source::{MemorySource, SourceError, word_in};
use crate::program::unwind::Registers;

/// Bytes read at a time.
const PIECE: u64 = 512 << 10;
/// Referrers of one block that are kept.
const LIMIT: usize = 16;

/// A word that points into a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Referrer {
    /// In memory.
    Memory(u64),
    /// In a register of a thread.
    Register(i32),
    /// What the kernel gives back with the events of this descriptor.
    Epoll(i32),
}

/// The referrers of each of some blocks.
pub(super) type Referrers = HashMap<BlockIndex, Vec<Referrer>>;

/// Finds who points to `blocks`. Words in what nobody reads any more (free blocks, dead parts of stacks) do not count.
pub(super) fn find(
    blocks: &[BlockIndex],
    heap: &Heap,
    regions: &Regions<'_>,
    snapshot: &Snapshot,
    memory: &dyn MemorySource,
) -> Result<Referrers, SourceError> {
    let mut search =
        Search { heap, regions, found: blocks.iter().map(|block| (*block, Vec::new())).collect(), range: span(blocks, heap) };
    let mut buffer = vec![0; PIECE as usize];
    for range in memory.own_pages() {
        let mut at = range.start.0;
        while at < range.end.0 {
            let length = (range.end.0 - at).min(PIECE);
            let bytes = &mut buffer[..length as usize];
            memory.read(RunAddress(at), bytes)?;
            for offset in (0..length).step_by(8) {
                let word = word_in(bytes, offset as usize).unwrap_or(0);
                search.word(word, || Referrer::Memory(at + offset));
            }
            at += length;
        }
    }
    for thread in &snapshot.threads {
        for register in Registers::from(&thread.registers).general {
            search.word(register, || Referrer::Register(thread.tid));
        }
        // Across a system call no vector register is live.
        for lane in thread.xstate.chunks_exact(8).filter(|_| thread.in_syscall.is_none()) {
            search.word(word_in(lane, 0).unwrap_or(0), || Referrer::Register(thread.tid));
        }
    }
    for description in &snapshot.descriptors.descriptions {
        if let DescriptorKind::Epoll { watches } = &description.kind {
            for watch in watches {
                search.word(watch.data, || Referrer::Epoll(watch.descriptor));
            }
        }
    }
    Ok(search.found)
}

/// From the first to the last of some blocks.
fn span(blocks: &[BlockIndex], heap: &Heap) -> RunRange {
    let ranges: Vec<RunRange> = blocks.iter().filter_map(|block| heap.block(*block)).map(|block| block.range()).collect();
    let start = ranges.iter().map(|range| range.start.0).min().unwrap_or(0);
    RunRange::new(start, ranges.iter().map(|range| range.end.0).max().unwrap_or(0))
}

struct Search<'a> {
    heap: &'a Heap,
    regions: &'a Regions<'a>,
    found: Referrers,
    range: RunRange,
}

impl Search<'_> {
    fn word(&mut self, word: u64, referrer: impl FnOnce() -> Referrer) {
        if !self.range.contains(RunAddress(word)) {
            return;
        }
        let Some((index, _)) = self.heap.block_of(RunAddress(word)) else { return };
        let Some(list) = self.found.get_mut(&index).filter(|list| list.len() < LIMIT) else { return };
        let referrer = referrer();
        if let Referrer::Memory(address) = referrer {
            let own = self.heap.block_of(RunAddress(address));
            let dead = own.is_some_and(|(owner, block)| owner == index || block.state != State::InUse)
                || matches!(self.regions.find(address), Region::Nothing(_));
            if dead {
                return;
            }
        }
        list.push(referrer);
    }
}
