//! A first look at a stopped process that was refused before: whether a changed function is active that cannot go on in the new code, told
//! by its stacks alone.

use std::sync::Arc;

use crate::plan::address::Placement;
use crate::plan::blocker::Blocker;
use crate::plan::request::Request;
use crate::plan::safe_point::{self, Examiner};
use crate::program::address::LinkAddress;
use crate::program::unwind::LoadedModule;

/// Whether some thread is inside a changed function that cannot go on. Of the snapshot only modules, mappings and threads are looked at; the first
/// two may be those of an earlier stop: the answer decides how soon to try again, never whether to update.
pub fn is_active(request: &Request<'_>) -> bool {
    let Some((program, space)) = request.program().zip(request.snapshot.address_spaces.first()) else { return false };
    let nowhere = (LinkAddress(0), LinkAddress(0));
    let placement = Placement::new(program.bias.0, request.old.elf.load_range(), 0, nowhere, 0);
    let loaded = request.loaded();
    let libraries = loaded.iter().map(|loaded| LoadedModule {
        range: loaded.range,
        bias: loaded.bias,
        unwind: Arc::clone(&loaded.library.unwind),
    });
    let program = LoadedModule { range: program.range, bias: program.bias.0, unwind: Arc::clone(&request.comparison.unwind) };
    let modules: Vec<LoadedModule> = std::iter::once(program).chain(libraries).collect();
    let view = request.comparison.view(request.old, request.new);
    let continuations = request.continuations;
    let (memory, restarts) = (request.memory, request.comparison.bound.restarts.as_slice());
    let was_updated = request.snapshot.generations.first().is_some_and(|generation| generation.count > 0);
    let examiner =
        Examiner { view: &view, placement: &placement, libraries: &loaded, continuations, memory, space, restarts, was_updated };
    let stacks = safe_point::examine(&examiner, &request.snapshot.threads, space, &modules, request.memory);
    stacks.blockers.iter().any(|blocker| matches!(blocker, Blocker::ActiveFunction { .. } | Blocker::Restart { .. }))
}
