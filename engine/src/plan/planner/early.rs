//! A first look at a stopped process that was refused before: whether a changed function is active that cannot go on in the new code, told
//! by its stacks alone.

use std::sync::Arc;

use dsu_formats::address::RunAddress;

use crate::plan::address::Placement;
use crate::plan::blocker::Blocker;
use crate::plan::frames::Near;
use crate::plan::request::Request;
use crate::plan::safe_point::{self, Examiner, Stacks, Standing};
use crate::program::address::LinkAddress;
use crate::program::unwind::{Frame, LoadedModule};

/// A thread inside a changed function that cannot go on in the new code where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Thread.
    pub tid: i32,
    /// Where it comes to next from which it can, if it runs that function itself.
    pub near: Option<Near>,
    /// Where the outermost frame that cannot go on returns to, and the stack pointer then.
    pub way_out: Option<(RunAddress, u64)>,
}

/// Whether some thread is inside a changed function that cannot go on. Of the snapshot only modules, mappings and threads are looked at; the first
/// two may be those of an earlier stop: the answer decides how soon to try again, never whether to update.
pub fn is_active(request: &Request<'_>) -> bool {
    let is_about = |blocker: &Blocker| matches!(blocker, Blocker::ActiveFunction { .. } | Blocker::Restart { .. });
    examine(request).is_some_and(|(stacks, _)| stacks.blockers.iter().any(is_about))
}

/// The threads that cannot go on where they are; `None` where another one cannot for another reason than its place. What is looked at is that
/// of [`is_active`].
pub fn stuck(request: &Request<'_>) -> Option<Vec<Stuck>> {
    let (stacks, placement) = examine(request)?;
    if stacks.blockers.iter().any(|blocker| matches!(blocker, Blocker::Restart { .. })) {
        return None;
    }
    let threads = stacks.frames.iter().zip(&stacks.standings).filter(|((tid, _), _)| stacks.active.threads.contains(tid));
    let near = |frames: &[Frame], standings: &[Standing]| {
        let own = standings.first().is_some_and(|standing| matches!(standing, Standing::Blocked(_)));
        let place = placement.old_link(frames.first().filter(|_| own)?.pc.0)?.0;
        let (function, _) = request.comparison.view(request.old, request.new).sides.old.functions.containing(place)?;
        request.continuations?.near(function, place)
    };
    let functions = &request.comparison.sides.old.functions;
    let is_own = |frame: &Frame| {
        let link = frame.module.filter(|(module, _)| *module == 0).map(|(_, link)| link);
        let function = link.and_then(|link| functions.containing(link)).and_then(|(index, _)| functions.list().get(index));
        function.is_some_and(|function| function.identity.name != "_start")
    };
    let stuck = |((tid, frames), standings): (&(i32, Vec<Frame>), &Vec<Standing>)| Stuck {
        tid: *tid,
        near: near(frames, standings),
        way_out: way_out(frames, standings, &is_own),
    };
    Some(threads.map(stuck).collect())
}

/// Where the outermost frame that cannot go on returns to, with the stack pointer then. What no other function of the program has called,
/// as a thread's own function, does not return before the thread ends.
fn way_out(frames: &[Frame], standings: &[Standing], is_own: &dyn Fn(&Frame) -> bool) -> Option<(RunAddress, u64)> {
    let outermost = standings.iter().rposition(|standing| matches!(standing, Standing::Blocked(_)))?;
    let (frame, callers) = frames.get(outermost).zip(frames.get(outermost.checked_add(1)?..))?;
    let caller = callers.first().filter(|_| callers.iter().any(is_own))?;
    let returns = !frame.is_signal_frame && !caller.is_signal_frame && caller.pc != caller.lookup;
    returns.then_some((caller.pc, frame.cfa.0))
}

/// Unwinds all threads.
fn examine(request: &Request<'_>) -> Option<(Stacks, Placement)> {
    let (program, space) = request.program().zip(request.snapshot.address_spaces.first())?;
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
    Some((stacks, placement))
}
