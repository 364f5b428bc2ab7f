//! What a plan leaves to the vessel, as an image has it, and back.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::{self, VesselWork};

use crate::plan::rewrite::{Allocations, Allocator, Call, Marks, NewBlock, OtherAllocations, Resolver, Rewrite};

/// What `rewrite` leaves to the vessel; nothing when its pages and mappings are all there is to it.
pub fn saved(rewrite: &Rewrite) -> Vec<VesselWork> {
    let resolvers = rewrite.resolvers.iter();
    let work = VesselWork {
        process: 0,
        resolvers: resolvers
            .map(|resolver| latest::Resolver { function: resolver.function, slots: resolver.slots.clone() })
            .collect(),
        protect_after: rewrite.protect_after.clone(),
        allocations: rewrite.allocations.allocator.map(|allocator| saved_allocations(&rewrite.allocations, allocator)),
        calls: rewrite.calls.iter().map(saved_call).collect(),
    };
    // What is protected last is mapped so to begin with: without anything to store in between there is nothing to do.
    let is_needed = !work.resolvers.is_empty() || work.allocations.is_some() || !work.calls.is_empty();
    if is_needed { vec![work] } else { Vec::new() }
}

fn saved_call(call: &Call) -> latest::Call {
    latest::Call { function: call.function, arguments: call.arguments.clone(), text: call.text.clone() }
}

fn saved_allocations(allocations: &Allocations, allocator: Allocator) -> latest::Allocations {
    let blocks = allocations.blocks.iter();
    let bytes = blocks.clone().filter_map(|block| {
        // Between blocks there are objects that were stored in their places.
        let from = usize::try_from(block.offset).ok()?;
        allocations.bytes.get(from..from.checked_add(usize::try_from(block.length).ok()?)?)
    });
    latest::Allocations {
        allocate: allocator.allocate,
        release: allocator.release,
        bytes: bytes.flatten().copied().collect(),
        blocks: blocks.map(|block| latest::NewBlock { offset: block.offset, length: block.length }).collect(),
        fixups: allocations.marks.iter(0..u64::MAX).map(place_holder).chain(allocations.fixups.iter().copied()).collect(),
        freed: allocations.freed.clone(),
        others: allocations.others.iter().map(saved_others).collect(),
    }
}

fn saved_others(others: &OtherAllocations) -> latest::OtherAllocations {
    let OtherAllocations { allocate, release, blocks, old } = others.clone();
    latest::OtherAllocations { allocate, release, blocks, old }
}

fn place_holder(offset: u64) -> RunAddress {
    RunAddress(Allocations::PLACE_HOLDERS.saturating_add(offset))
}

/// The work of an image, as the vessel does it.
#[derive(Debug, Default)]
pub struct Work {
    /// Selectors of indirect functions to run.
    pub resolvers: Vec<Resolver>,
    /// Ranges that become read-only once they are filled.
    pub protect_after: Vec<dsu_formats::address::RunRange>,
    /// Blocks that the program's allocator makes and frees.
    pub allocations: Option<Allocations>,
    /// Functions of the program to call.
    pub calls: Vec<Call>,
}

/// There is no memory for the blocks of an image.
#[derive(Debug, thiserror::Error)]
#[error("there is no memory for the new blocks, {length} bytes of addresses")]
pub struct NoMemory {
    length: u64,
}

impl Work {
    /// The work in the first process; an image that was captured has none. The image must have been verified.
    ///
    /// # Errors
    /// Blocks that do not fit in memory.
    pub fn of(work: &[VesselWork]) -> Result<Self, NoMemory> {
        let Some(work) = work.iter().find(|work| work.process == 0) else { return Ok(Self::default()) };
        let resolvers = work.resolvers.iter();
        Ok(Self {
            resolvers: resolvers
                .map(|resolver| Resolver { function: resolver.function, slots: resolver.slots.clone() })
                .collect(),
            protect_after: work.protect_after.clone(),
            allocations: work.allocations.as_ref().map(allocations).transpose()?,
            calls: work.calls.iter().map(call).collect(),
        })
    }
}

fn call(saved: &latest::Call) -> Call {
    Call { function: saved.function, arguments: saved.arguments.clone(), text: saved.text.clone() }
}

fn allocations(saved: &latest::Allocations) -> Result<Allocations, NoMemory> {
    let length = saved.blocks.last().map_or(0, |block| block.offset.saturating_add(block.length));
    let room = usize::try_from(length).map_err(|_| NoMemory { length })?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(room).map_err(|_| NoMemory { length })?;
    bytes.resize(room, 0);
    let mut rest = saved.bytes.as_slice();
    for block in &saved.blocks {
        let from = usize::try_from(block.offset).unwrap_or(usize::MAX);
        let place = bytes.get_mut(from..).unwrap_or_default();
        let taken = usize::try_from(block.length).unwrap_or(usize::MAX).min(place.len()).min(rest.len());
        let (own, others) = rest.split_at(taken);
        place[..taken].copy_from_slice(own);
        rest = others;
    }
    let mut marks = Marks::within(0..length);
    let offset_of = |fixup: &RunAddress| fixup.0.checked_sub(Allocations::PLACE_HOLDERS).filter(|offset| *offset <= length);
    saved.fixups.iter().filter_map(offset_of).for_each(|offset| marks.add(offset));
    marks.finish();
    Ok(Allocations {
        allocator: Some(Allocator { allocate: saved.allocate, release: saved.release }),
        blocks: saved.blocks.iter().map(|block| NewBlock { offset: block.offset, length: block.length }).collect(),
        bytes,
        marks,
        fixups: saved.fixups.iter().filter(|fixup| offset_of(fixup).is_none()).copied().collect(),
        freed: saved.freed.clone(),
        others: saved.others.iter().map(others).collect(),
        stored: Vec::new(),
    })
}

fn others(saved: &latest::OtherAllocations) -> OtherAllocations {
    let latest::OtherAllocations { allocate, release, blocks, old } = saved.clone();
    OtherAllocations { allocate, release, blocks, old }
}

#[cfg(test)]
mod tests {
    use dsu_formats::address::RunRange;

    use super::*;

    #[test]
    fn work_comes_back_as_it_was_saved_without_what_lies_between_blocks() {
        let mut before = Allocations::default();
        before.add(&[1; 24]);
        before.bytes.extend([9; 40]);
        before.add(&[2; 8]);
        before.allocator = Some(Allocator { allocate: RunAddress(0x1000), release: RunAddress(0x2000) });
        before.fixups = vec![RunAddress(0x5000)];
        before.marks = Marks::within(0..72);
        before.marks.add(8);
        before.freed = vec![RunAddress(0x6000)];
        let (blocks, old) = (vec![1], vec![RunAddress(0x7000)]);
        before.others = vec![OtherAllocations { allocate: RunAddress(0x3000), release: None, blocks, old }];
        let saved = saved_allocations(&before, before.allocator.unwrap());
        assert_eq!(saved.bytes, [[1; 24].as_slice(), &[2; 8]].concat());
        let work = VesselWork {
            process: 0,
            resolvers: vec![latest::Resolver { function: RunAddress(7), slots: vec![(RunAddress(8), -1)] }],
            protect_after: vec![RunRange::new(0x1000, 0x2000)],
            allocations: Some(saved),
            calls: vec![latest::Call { function: RunAddress(9), arguments: vec![1, 2], text: "f(1, 2)".to_owned() }],
        };
        let after = Work::of(std::slice::from_ref(&work)).unwrap();
        assert_eq!(after.resolvers, [Resolver { function: RunAddress(7), slots: vec![(RunAddress(8), -1)] }]);
        assert_eq!(after.protect_after, work.protect_after);
        assert_eq!(after.calls, [Call { function: RunAddress(9), arguments: vec![1, 2], text: "f(1, 2)".to_owned() }]);
        let found = after.allocations.unwrap();
        before.bytes[24..64].fill(0);
        assert_eq!(found, before);
    }
}
