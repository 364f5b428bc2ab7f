//! Memory that the program maps itself, with objects of changed types in it: nothing tells how many there are but typed paths and the
//! user. What lies beside those that were reached may be more of them.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use super::Scene;
use super::found::Found;
use super::items::Item;
use super::problem::Problem;
use super::queue::Walker;

/// Bytes that are looked at a time.
const CHUNK: u64 = 1 << 20;
/// Bytes on each side of a page's border that tell whether data goes on.
const BORDER: u64 = 64;
/// Mappings that are told one by one.
const TOLD: usize = 20;

/// Tells all memory that holds some of `found` outside `variables`, and bytes besides that nothing typed reaches.
pub(super) fn check(walker: &mut Walker<'_>, scene: &Scene<'_>, found: &[Found], variables: &[Item]) {
    let Some(space) = scene.snapshot.address_spaces.first() else { return };
    // Variables and locals are whole, and blocks have bounds. A pointer from elsewhere may be surer of a local than its own frame.
    let is_variable = |found: &Found| {
        variables.iter().any(|variable| {
            let size = walker.kinds.get(variable.kind).map_or(0, |layout| layout.size);
            let end = variable.address.saturating_add(size.saturating_mul(variable.most.into()));
            variable.address <= found.address.0 && found.range().end.0 <= end
        })
    };
    let is_open = |found: &&Found| found.block.is_none() && !found.whole && !is_variable(found);
    let open: Vec<&Found> = found.iter().filter(is_open).collect();
    let mut told = 0;
    for mapping in &space.mappings {
        let range = mapping.range;
        let inside: Vec<&Found> = open.iter().copied().filter(|found| range.contains(found.address)).collect();
        let Some(first) = inside.first().filter(|_| is_programs_own(scene, range)) else { continue };
        let known = known(walker, range, found);
        if let Some((bytes, address)) = unreached(scene, range, &inside, &known) {
            told += 1;
            if told > TOLD {
                return;
            }
            let kind = walker.kinds.types.describe(Some(first.kind));
            let via = walker.items.list.iter().find(|item| item.address == first.address.0).map_or(0, |item| item.via);
            let path = walker.path(via);
            walker.problem(Problem::Unreached { range, kind, path, bytes, address });
        }
    }
}

/// Whether a mapping is neither of the program's file, nor the C library's, nor the heap's.
fn is_programs_own(scene: &Scene<'_>, range: RunRange) -> bool {
    let is_heaps = scene.heap.heap().is_some_and(|heap| heap.overlaps(range));
    !is_heaps && !scene.program.overlaps(&range) && !scene.system.iter().any(|system| system.overlaps(&range))
}

/// What is reached in a mapping, ascending.
fn known(walker: &Walker<'_>, range: RunRange, found: &[Found]) -> Vec<RunRange> {
    let items = walker.items.list.iter().map(|item| {
        let size = walker.kinds.get(item.kind).map_or(0, |layout| layout.size);
        RunRange::new(item.address, item.address.saturating_add(size.saturating_mul(item.count.into())))
    });
    let mut known: Vec<RunRange> =
        items.chain(found.iter().map(Found::range)).filter_map(|known| known.intersection(&range)).collect();
    known.sort_unstable();
    known
}

/// How many bytes around `inside` are neither zero nor in an object that was reached, and where the first of them is.
fn unreached(scene: &Scene<'_>, range: RunRange, inside: &[&Found], known: &[RunRange]) -> Option<(u64, RunAddress)> {
    let mut bytes = 0;
    let mut first = None;
    let mut done = RunAddress(0);
    for found in inside {
        if found.address < done {
            continue;
        }
        let pages = pages_around(scene, range, found);
        done = pages.end;
        let mut at = pages.start.0;
        for known in known.iter().filter(|known| known.end > pages.start && known.start < pages.end) {
            if known.start.0 > at {
                count(scene, RunRange::new(at, known.start.0), &mut bytes, &mut first);
            }
            at = at.max(known.end.0);
        }
        if at < pages.end.0 {
            count(scene, RunRange::new(at, pages.end.0), &mut bytes, &mut first);
        }
    }
    first.map(|first| (bytes, first))
}

/// The pages that an object lies in, with those before and behind as long as data goes on across their borders: what the kernel joined to
/// the mapping is seldom the program's.
fn pages_around(scene: &Scene<'_>, range: RunRange, found: &Found) -> RunRange {
    let mut start = found.address.0 / PAGE_SIZE * PAGE_SIZE;
    let mut end = found.range().end.0.next_multiple_of(PAGE_SIZE).min(range.end.0);
    while start > range.start.0 && goes_on(scene, start) {
        start -= PAGE_SIZE;
    }
    while end < range.end.0 && goes_on(scene, end) {
        end += PAGE_SIZE;
    }
    RunRange::new(start, end)
}

/// Whether there is something on both sides of a page's border.
fn goes_on(scene: &Scene<'_>, border: u64) -> bool {
    let is_used = |start: u64| {
        let mut bytes = [0; BORDER as usize];
        scene.memory.read(RunAddress(start), &mut bytes).is_err() || bytes.iter().any(|byte| *byte != 0)
    };
    is_used(border.saturating_sub(BORDER)) && is_used(border)
}

fn count(scene: &Scene<'_>, part: RunRange, bytes: &mut u64, first: &mut Option<RunAddress>) {
    let mut at = part.start.0;
    let mut chunk = Vec::new();
    while at < part.end.0 {
        chunk.resize((part.end.0 - at).min(CHUNK) as usize, 0);
        // What cannot be read cannot be cleared.
        if scene.memory.read(RunAddress(at), &mut chunk).is_err() {
            chunk.fill(1);
        }
        if let Some(position) = chunk.iter().position(|byte| *byte != 0) {
            *first = first.or(Some(RunAddress(at + position as u64)));
            *bytes += chunk.iter().filter(|byte| **byte != 0).count() as u64;
        }
        at += chunk.len() as u64;
    }
}
