//! What lies at an address: a block, a variable, a stack, a mapping, nothing.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{AddressSpace, Thread};

use super::problem::Nothing;
use crate::plan::heap::{Block, BlockIndex, Heap, State};

/// Below the stack pointer, still in use (System V ABI for AMD64, 3.2.2).
const RED_ZONE: u64 = 128;
/// No process has memory below (`vm.mmap_min_addr`) or above: a number, not an address.
const LOWEST: u64 = 0x1_0000;
const HIGHEST: u64 = 1 << 47;

/// What an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// No address at all.
    Number,
    /// Nothing that a program may use.
    Nothing(Nothing),
    /// A block that the program has.
    Block(BlockIndex, Block),
    /// The program's segments.
    Program,
    /// Other memory: stacks, thread-local storage, libraries, mappings of the program's own.
    Mapped,
}

/// The memory of a process.
pub(super) struct Regions<'a> {
    pub(super) heap: Option<&'a Heap>,
    program: RunRange,
    /// Ascending.
    mappings: Vec<RunRange>,
    /// Parts of stacks below the stack pointers.
    dead: Vec<RunRange>,
}

impl<'a> Regions<'a> {
    pub(super) fn new(space: &AddressSpace, threads: &[Thread], program: RunRange, heap: Option<&'a Heap>) -> Self {
        let mut mappings: Vec<RunRange> = Vec::new();
        for mapping in space.mappings.iter().filter(|mapping| mapping.protection.read) {
            match mappings.last_mut() {
                Some(last) if last.end == mapping.range.start => last.end = mapping.range.end,
                _ => mappings.push(mapping.range),
            }
        }
        let stacks = threads.iter().filter_map(|thread| {
            let pointer = RunAddress(thread.registers.rsp);
            let mapping = space.mappings.iter().find(|mapping| mapping.range.contains(pointer))?;
            // Stacks of threads lie in mappings of their own; a stack in a block or a variable is not cut.
            let holds_blocks = heap.is_some_and(|heap| heap.covers(pointer)) || program.contains(pointer);
            let dead = RunRange::new(mapping.range.start.0, pointer.0.saturating_sub(RED_ZONE));
            (mapping.flags.grows_down && !holds_blocks).then_some(dead)
        });
        Self { heap, program, dead: stacks.collect(), mappings }
    }

    /// What is at `address`.
    pub(super) fn find(&self, address: u64) -> Region {
        if !(LOWEST..HIGHEST).contains(&address) {
            return Region::Number;
        }
        let run = RunAddress(address);
        if let Some(heap) = self.heap {
            match heap.block_of(run) {
                Some((index, block)) if block.state == State::InUse => return Region::Block(index, block),
                Some((_, block)) if block.state == State::Free => return Region::Nothing(Nothing::FreeBlock),
                Some(_) => return Region::Nothing(Nothing::Allocator),
                None if heap.covers(run) => return Region::Nothing(Nothing::Allocator),
                None => {}
            }
        }
        if self.program.contains(run) {
            return Region::Program;
        }
        if self.dead.iter().any(|range| range.contains(run)) {
            return Region::Nothing(Nothing::DeadStack);
        }
        let at = self.mappings.partition_point(|range| range.start <= run);
        match at.checked_sub(1).and_then(|at| self.mappings.get(at)) {
            Some(range) if range.contains(run) => Region::Mapped,
            _ => Region::Nothing(Nothing::Unmapped),
        }
    }
}
