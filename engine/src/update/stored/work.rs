//! What a plan leaves to the vessel, as an image has it, and back.

use dsu_formats::model::latest::{self, VesselWork};

use crate::plan::rewrite::{Allocations, Allocator, NewBlock, Resolver, Rewrite};

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
    };
    // What is protected last is mapped so to begin with: without anything to store in between there is nothing to do.
    let is_needed = !work.resolvers.is_empty() || work.allocations.is_some();
    if is_needed { vec![work] } else { Vec::new() }
}

fn saved_allocations(allocations: &Allocations, allocator: Allocator) -> latest::Allocations {
    let blocks = allocations.blocks.iter();
    latest::Allocations {
        allocate: allocator.allocate,
        release: allocator.release,
        blocks: blocks.map(|block| latest::NewBlock { offset: block.offset, length: block.length }).collect(),
        bytes: allocations.bytes.clone(),
        fixups: allocations.fixups.clone(),
        freed: allocations.freed.clone(),
    }
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
}

impl Work {
    /// The work in the first process; an image that was captured has none.
    pub fn of(work: &[VesselWork]) -> Self {
        let Some(work) = work.iter().find(|work| work.process == 0) else { return Self::default() };
        let resolvers = work.resolvers.iter();
        Self {
            resolvers: resolvers
                .map(|resolver| Resolver { function: resolver.function, slots: resolver.slots.clone() })
                .collect(),
            protect_after: work.protect_after.clone(),
            allocations: work.allocations.as_ref().map(allocations),
        }
    }
}

fn allocations(saved: &latest::Allocations) -> Allocations {
    let blocks = saved.blocks.iter();
    Allocations {
        allocator: Some(Allocator { allocate: saved.allocate, release: saved.release }),
        blocks: blocks.map(|block| NewBlock { offset: block.offset, length: block.length }).collect(),
        bytes: saved.bytes.clone(),
        fixups: saved.fixups.clone(),
        freed: saved.freed.clone(),
    }
}
