//! The memory of each arena: the program break and what replaces it, or heaps with a `heap_info` of their own.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use super::arena::{self, Arena};
use super::blocks::{ALIGNMENT, Builder, HEADER};
use super::chunks::{self, Walked};
use super::defect::HeapDefect;
use super::parameters::Parameters;
use super::{Scene, is_heap_memory};

/// Heaps of arenas that are not the main one lie at multiples of this, and are no larger (HEAP_MAX_SIZE without huge pages).
pub(super) const HEAP_LIMIT: u64 = 64 << 20;
/// More heaps than an address space has room for.
const HEAP_COUNT: usize = 1 << 21;

/// Adds the chunks of `arena`, the `number`-th. Gives the memory that it has from the system.
pub(super) fn read(
    arena: &Arena,
    number: u16,
    parameters: &Parameters,
    scene: &Scene<'_>,
    builder: &mut Builder,
) -> Result<Vec<RunRange>, HeapDefect> {
    let covered = if number == 0 {
        main(arena, parameters, scene, builder)?
    } else {
        heaps(arena, scene)?
            .iter()
            .map(|heap| {
                let walked = walk(arena, number, heap.first, heap.range.end.0, scene)?;
                let is_last = heap.range.contains(RunAddress(arena.top));
                if walked.is_top != is_last {
                    return Err(odd(arena, "the heap that holds its top chunk", arena.top, heap.range.start.0));
                }
                if walked.end != heap.range.end.0 {
                    return Err(odd(arena, "the end of its heap's chunks", heap.range.end.0, walked.end));
                }
                builder.add(walked.run);
                Ok(heap.range)
            })
            .collect::<Result<_, _>>()?
    };
    let total = covered.iter().map(RunRange::len).sum();
    if total != arena.system {
        return Err(odd(arena, "its memory from the system", arena.system, total));
    }
    Ok(covered)
}

fn odd(arena: &Arena, what: &'static str, expected: u64, found: u64) -> HeapDefect {
    HeapDefect::Arena { address: arena.address, what, expected, found }
}

fn walk(arena: &Arena, number: u16, first: u64, limit: u64, scene: &Scene<'_>) -> Result<Walked, HeapDefect> {
    chunks::walk(number, first, limit, arena.top, scene.memory)
}

/// The main arena: one run from the first program break on. When the break could not grow, further runs in mappings.
fn main(arena: &Arena, parameters: &Parameters, scene: &Scene<'_>, builder: &mut Builder) -> Result<Vec<RunRange>, HeapDefect> {
    if arena.system == 0 {
        return Ok(Vec::new());
    }
    let start = parameters.start;
    let limit =
        limit_of(start, scene).ok_or_else(|| odd(arena, "the start of its memory", scene.space.layout.start_brk.0, start))?;
    let walked = walk(arena, 0, first_chunk(start), limit, scene)?;
    builder.add(walked.run);
    let mut covered = vec![RunRange::new(start, walked.end)];
    if walked.is_top {
        return Ok(covered);
    }
    // A fence: the break moved under malloc's feet, or could not grow.
    if arena.is_contiguous() {
        return Err(odd(
            arena,
            "its top chunk, which others' use of the program break parts from its start",
            walked.end,
            arena.top,
        ));
    }
    let mut has_top = false;
    let memory = scene.space.mappings.iter().filter(|mapping| is_heap_memory(mapping) && !mapping.flags.grows_down);
    let memory: Vec<RunRange> = memory.flat_map(|mapping| mapping.range.without(&covered)).collect();
    for range in memory {
        has_top |= further_runs(arena, range, scene, builder, &mut covered);
    }
    if has_top { Ok(covered) } else { Err(odd(arena, "the run of memory with its top chunk", arena.top, 0)) }
}

/// Runs that start with a page of `range` and end at a fence or the top chunk. Whether the top chunk is in one.
fn further_runs(arena: &Arena, range: RunRange, scene: &Scene<'_>, builder: &mut Builder, covered: &mut Vec<RunRange>) -> bool {
    let mut has_top = false;
    let mut skip = range.start.0;
    for own in scene.memory.own_pages().iter().filter_map(|own| own.intersection(&range)) {
        let mut at = own.start.0.max(skip);
        while at < own.end.0 {
            let plausible = scene.word(at + 8).is_ok_and(|field| field & chunks::FLAGS == 1 && field < range.end.0 - at);
            if !plausible {
                at += PAGE_SIZE;
                continue;
            }
            let end = match walk(arena, 0, at, range.end.0, scene) {
                Ok(walked) if walked.end % PAGE_SIZE == 0 => {
                    has_top |= walked.is_top;
                    builder.add(walked.run);
                    covered.push(RunRange::new(at, walked.end));
                    walked.end
                }
                _ => at + PAGE_SIZE,
            };
            at = end;
        }
        skip = at;
    }
    has_top
}

/// The first place from `start` on whose block is aligned.
fn first_chunk(start: u64) -> u64 {
    start.next_multiple_of(ALIGNMENT)
}

/// Where the writable anonymous memory around `address` ends; of the program break, where that is.
fn limit_of(address: u64, scene: &Scene<'_>) -> Option<u64> {
    let range = scene.space.layout.program_break();
    let range = if range.contains(RunAddress(address)) {
        range
    } else {
        let mapping = scene.space.mappings.iter().find(|mapping| mapping.range.contains(RunAddress(address)))?;
        mapping.range
    };
    let range = RunRange { start: RunAddress(address), end: range.end };
    scene.is_anonymous(range).then_some(range.end.0)
}

/// A heap of an arena that is not the main one.
struct SubHeap {
    range: RunRange,
    /// Header of its first chunk.
    first: u64,
}

/// The heaps of an arena, by the chain from the one with the top chunk to the one with the arena (`struct heap_info`: the arena, the
/// heap before, its size).
fn heaps(arena: &Arena, scene: &Scene<'_>) -> Result<Vec<SubHeap>, HeapDefect> {
    let base = arena.address.0 & !(HEAP_LIMIT - 1);
    let record = arena.address.0 - base;
    if !(32..=64).contains(&record) || !record.is_multiple_of(8) {
        return Err(odd(arena, "the heap's record before it", 48, record));
    }
    let mut heaps = Vec::new();
    let mut at = arena.top & !(HEAP_LIMIT - 1);
    while heaps.len() < HEAP_COUNT {
        let (owner, previous, size) = (scene.word(at)?, scene.word(at + 8)?, scene.word(at + 16)?);
        if owner != arena.address.0 {
            return Err(odd(arena, "the arena that its heap names", arena.address.0, owner));
        }
        let range = RunRange::new(at, at.saturating_add(size));
        if size % PAGE_SIZE != 0 || size <= record || size > HEAP_LIMIT || !scene.is_anonymous(range) {
            return Err(odd(arena, "the size of its heap", HEAP_LIMIT, size));
        }
        let own = if at == base { arena::SIZE as u64 } else { 0 };
        heaps.push(SubHeap { range, first: (at + record + own + HEADER).next_multiple_of(ALIGNMENT) - HEADER });
        match (at == base, previous) {
            (true, 0) => return Ok(heaps),
            (false, previous) if previous != 0 && previous % HEAP_LIMIT == 0 => at = previous,
            _ => return Err(odd(arena, "the heap before its heap", base, previous)),
        }
    }
    Err(odd(arena, "the number of its heaps", HEAP_COUNT as u64, heaps.len() as u64))
}
