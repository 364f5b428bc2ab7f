//! Checks of what is left to the vessel: each address lies in the process, each block among the bytes, each fix-up at a word.

use std::collections::HashSet;

use super::{Coverage, Findings, whole_pages};
use crate::address::RunAddress;
use crate::image::SectionKind;
use crate::model::latest::{Allocations, NewBlock, OtherAllocations, Snapshot, VesselWork};
use crate::model::work::{PLACE_HOLDERS, PLACE_HOLDERS_LEN};

/// Blocks start on multiples of this in their bytes, as `malloc` returns them.
const BLOCK_ALIGNMENT: u64 = 16;

/// Argument registers of the System V ABI.
const ARGUMENTS: usize = 6;

pub(super) fn check(snapshot: &Snapshot, work: &[VesselWork], coverage: &Coverage, findings: &mut Findings) {
    findings.enter(SectionKind::VesselWork);
    let mut previous = None;
    for entry in work {
        let index = entry.process;
        let item = format_args!("process {index}");
        findings.check(previous < Some(index), item, format_args!("it does not come after the entry before it"));
        previous = Some(index);
        let Some(process) = snapshot.tree.processes.get(index as usize) else {
            let processes = snapshot.tree.processes.len();
            findings.check(false, item, format_args!("process {index} of {processes} does not exist"));
            continue;
        };
        let place = Place { index, space: process.address_space, snapshot, coverage };
        place.entry(entry, findings);
        if let Some(allocations) = &entry.allocations {
            place.allocations(allocations, findings);
        }
    }
}

/// One process and what is mapped in it.
struct Place<'a> {
    index: u32,
    space: u32,
    snapshot: &'a Snapshot,
    coverage: &'a Coverage,
}

impl Place<'_> {
    fn entry(&self, work: &VesselWork, findings: &mut Findings) {
        for resolver in &work.resolvers {
            self.code("selector", resolver.function, findings);
            for (slot, _) in &resolver.slots {
                self.word("slot", *slot, findings);
            }
        }
        for range in &work.protect_after {
            let mapped = whole_pages(range) && self.coverage.covers(self.space, *range);
            let item = format_args!("range {range} of process {}", self.index);
            findings.check(mapped, item, format_args!("it is not mapped, or not whole pages"));
        }
        for call in &work.calls {
            self.code("called function", call.function, findings);
            let (item, found) = (format_args!("call of {}", call.function), call.arguments.len());
            findings.check(found <= ARGUMENTS, item, format_args!("it has {found} arguments, and {ARGUMENTS} fit in registers"));
        }
    }

    fn allocations(&self, allocations: &Allocations, findings: &mut Findings) {
        self.code("allocating function", allocations.allocate, findings);
        self.code("freeing function", allocations.release, findings);
        self.blocks(allocations, findings);
        for fixup in &allocations.fixups {
            match fixup.0.checked_sub(PLACE_HOLDERS).filter(|offset| *offset < PLACE_HOLDERS_LEN) {
                Some(offset) => {
                    let item = format_args!("fix-up {fixup} of process {}", self.index);
                    let inside = block_at(&allocations.blocks, offset).is_some_and(|left| left >= 8);
                    findings.check(inside, item, format_args!("no word of a new block is there"));
                }
                None => self.word("fix-up", *fixup, findings),
            }
        }
        for block in &allocations.freed {
            self.word("freed block", *block, findings);
        }
        let mut taken = HashSet::new();
        for other in &allocations.others {
            self.others(other, allocations.blocks.len(), &mut taken, findings);
        }
    }

    /// Blocks of the program's own functions; `taken` are those that have one already.
    fn others(&self, other: &OtherAllocations, count: usize, taken: &mut HashSet<u32>, findings: &mut Findings) {
        self.code("allocating function", other.allocate, findings);
        if let Some(release) = other.release {
            self.code("freeing function", release, findings);
        }
        for old in &other.old {
            self.word("replaced block", *old, findings);
        }
        let item = format_args!("blocks that {} makes in process {}", other.allocate, self.index);
        let (blocks, old) = (other.blocks.len(), other.old.len());
        findings.check(blocks == old, item, format_args!("they are {blocks}, in the place of {old}"));
        let ascend = other.blocks.windows(2).all(|pair| matches!(pair, [one, next] if one < next));
        findings.check(ascend, item, format_args!("they do not ascend"));
        for block in &other.blocks {
            findings.check((*block as usize) < count, item, format_args!("block {block} of {count} does not exist"));
            findings.check(taken.insert(*block), item, format_args!("block {block} is made twice"));
        }
    }

    fn blocks(&self, allocations: &Allocations, findings: &mut Findings) {
        let (mut end, mut total) = (0, 0u64);
        for (number, block) in allocations.blocks.iter().enumerate() {
            let item = format_args!("new block {number} of process {}", self.index);
            let apart = block.offset >= end && block.offset.is_multiple_of(BLOCK_ALIGNMENT);
            findings.check(apart, item, format_args!("offset {} is inside another block or not aligned", block.offset));
            end = block.offset.saturating_add(block.length);
            findings.check(end <= PLACE_HOLDERS_LEN, item, format_args!("it ends at {end}, where no place-holder is"));
            total = total.saturating_add(block.length);
        }
        let (item, found) = (format_args!("new blocks of process {}", self.index), allocations.bytes.len());
        findings.check(total == found as u64, item, format_args!("they have {total} bytes, and {found} are there"));
    }

    fn code(&self, what: &str, address: RunAddress, findings: &mut Findings) {
        let mappings = self.snapshot.address_spaces.get(self.space as usize).map_or(&[][..], |space| &space.mappings);
        let inside = mappings.iter().any(|mapping| mapping.protection.execute && mapping.range.contains(address));
        findings.check(inside, format_args!("{what} {address} of process {}", self.index), format_args!("it is no code"));
    }

    fn word(&self, what: &str, address: RunAddress, findings: &mut Findings) {
        let mapped = self.coverage.covers_bytes(self.space, address, 8);
        findings.check(mapped, format_args!("{what} {address} of process {}", self.index), format_args!("it is not mapped"));
    }
}

/// How many bytes of the block that holds `offset` are left from there on.
fn block_at(blocks: &[NewBlock], offset: u64) -> Option<u64> {
    let block = blocks.get(blocks.partition_point(|block| block.offset <= offset).checked_sub(1)?)?;
    block.length.checked_sub(offset - block.offset)
}
