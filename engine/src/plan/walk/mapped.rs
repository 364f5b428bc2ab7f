//! Memory that the program maps itself, with objects of changed types in it: nothing tells how many there are but typed paths and the
//! user. What lies beside those that were reached may be more of them.

use dsu_formats::address::{RunAddress, RunRange};

use super::Scene;
use super::found::Found;
use super::problem::Problem;
use super::queue::Walker;

/// Bytes that are looked at a time.
const CHUNK: u64 = 1 << 20;
/// Regions that are told one by one.
const TOLD: usize = 20;

/// Tells every mapping that holds some of `found`, and bytes besides that nothing typed reaches.
pub(super) fn check(walker: &mut Walker<'_>, scene: &Scene<'_>, found: &[Found]) {
    let Some(space) = scene.snapshot.address_spaces.first() else { return };
    let mut told = 0;
    for mapping in &space.mappings {
        let range = mapping.range;
        let first = found.iter().find(|found| found.block.is_none() && range.contains(found.address));
        let Some(first) = first.filter(|_| is_programs_own(scene, mapping.range)) else { continue };
        if let Some((bytes, address)) = unreached(walker, scene, range, found) {
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

/// Whether a mapping is neither a stack, nor thread-local storage, nor of the program's file, the C library's or the heap's.
fn is_programs_own(scene: &Scene<'_>, range: RunRange) -> bool {
    let threads = &scene.snapshot.threads;
    let is_threads = threads.iter().any(|thread| {
        let registers = &thread.registers;
        range.contains(RunAddress(registers.rsp)) || range.contains(RunAddress(registers.fs_base))
    });
    let is_heaps = scene.heap.heap().is_some_and(|heap| heap.overlaps(range));
    !is_threads && !is_heaps && !scene.program.overlaps(&range) && !scene.system.iter().any(|system| system.overlaps(&range))
}

/// How many bytes of a mapping are neither zero nor in an object that was reached, and where the first of them is.
fn unreached(walker: &Walker<'_>, scene: &Scene<'_>, range: RunRange, found: &[Found]) -> Option<(u64, RunAddress)> {
    let items = walker.items.list.iter().map(|item| {
        let size = walker.kinds.get(item.kind).map_or(0, |layout| layout.size);
        RunRange::new(item.address, item.address.saturating_add(size.saturating_mul(item.count.into())))
    });
    let mut known: Vec<RunRange> =
        items.chain(found.iter().map(Found::range)).filter_map(|known| known.intersection(&range)).collect();
    known.sort_unstable();
    let mut at = range.start.0;
    let mut gaps = Vec::new();
    for known in known {
        if known.start.0 > at {
            gaps.push(RunRange::new(at, known.start.0));
        }
        at = at.max(known.end.0);
    }
    gaps.push(RunRange::new(at, range.end.0.max(at)));
    let pages = || scene.memory.own_pages().iter().chain(scene.memory.shared_pages());
    let parts = gaps.iter().flat_map(|gap| pages().filter_map(|pages| pages.intersection(gap)));
    let mut bytes = 0;
    let mut first = None;
    for part in parts {
        count(scene, part, &mut bytes, &mut first);
    }
    first.map(|first| (bytes, first))
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
