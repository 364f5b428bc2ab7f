//! Stack memory that nobody reads before writing it: below a stack pointer, and stacks that the C library keeps for later.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{AddressSpace, Mapping, Thread};

use crate::plan::safe_point::alternate_stack;
use crate::plan::source::{MemorySource, read_bytes, read_word};

/// Bytes below the stack pointer that leaf functions use (System V ABI, 3.2.2).
pub const RED_ZONE: u64 = 128;
/// More than `struct pthread` of any release.
const THREAD_RECORD: u64 = 0x1000;
/// How far from the end of a stack its thread record can start: it and the static thread-local storage.
const HIGHEST_RECORDS: u64 = 256 << 10;
/// `tcbhead_t`: pointers to itself at both offsets.
const SELF_POINTER: u64 = 0x10;

/// Dead parts of the stacks of `threads` and of cached stacks. `live` gives for each thread the lowest stack pointer in each mapping
/// that holds part of its stack.
pub fn dead_ranges(
    space: &AddressSpace,
    threads: &[Thread],
    live: &[(RunAddress, RunRange)],
    memory: &dyn MemorySource,
) -> Vec<RunRange> {
    let mut dead = Vec::new();
    for (pointer, mapping) in live {
        let alone = live.iter().filter(|(_, other)| other == mapping).count() == 1;
        let whole = space.mappings.iter().find(|other| other.range == *mapping);
        if alone && whole.is_some_and(|whole| is_whole_stack(space, whole, threads, memory)) {
            dead.push(RunRange::new(mapping.start.0, pointer.0.saturating_sub(RED_ZONE)));
        }
    }
    // The kernel begins at the end of an alternate stack each time: what lies below is nobody's.
    for stack in threads.iter().filter_map(alternate_stack) {
        let in_use = live.iter().find(|(_, region)| *region == stack);
        dead.push(in_use.map_or(stack, |(pointer, _)| RunRange::new(stack.start.0, pointer.0.saturating_sub(RED_ZONE))));
    }
    let tid_offset = threads.first().and_then(|leader| leader.clear_tid.0.checked_sub(leader.registers.fs_base));
    for mapping in &space.mappings {
        let taken = live.iter().any(|(_, other)| *other == mapping.range);
        if let Some(offset) = tid_offset.filter(|_| !taken) {
            dead.extend(cached_stack(space, mapping, threads, offset, memory));
        }
    }
    dead
}

/// Whether a mapping is one stack and nothing else: the kernel's, or one that the C library mapped with its guard.
pub fn is_whole_stack(space: &AddressSpace, mapping: &Mapping, threads: &[Thread], memory: &dyn MemorySource) -> bool {
    if mapping.flags.grows_down || mapping.range.contains(space.layout.start_stack) {
        return true;
    }
    let inside = threads.iter().map(|thread| thread.registers.fs_base).filter(|base| mapping.range.contains(RunAddress(*base)));
    let records: Vec<u64> = inside.collect();
    matches!(records.as_slice(), [record] if is_library_stack(space, mapping, *record, memory))
}

/// Whether the thread record at `record` says that the C library mapped this stack: `stackblock`, `stackblock_size`, `guardsize` in a row.
fn is_library_stack(space: &AddressSpace, mapping: &Mapping, record: u64, memory: &dyn MemorySource) -> bool {
    let Some(guard) = guard_below(space, mapping) else { return false };
    let length = mapping.range.end.0.saturating_sub(record).min(THREAD_RECORD);
    let Ok(bytes) = read_bytes(memory, RunAddress(record), length as usize) else { return false };
    let expected = [guard.start.0, mapping.range.end.0 - guard.start.0, guard.len()];
    let expected: Vec<u8> = expected.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.windows(expected.len()).step_by(8).any(|window| window == expected)
}

fn guard_below(space: &AddressSpace, mapping: &Mapping) -> Option<RunRange> {
    let below = space.mappings.iter().find(|other| other.range.end == mapping.range.start)?;
    let none = !below.protection.read && !below.protection.write && !below.protection.execute;
    none.then_some(below.range)
}

/// The stack of a thread that has ended, kept by the C library for the next one: its record has no thread ID.
fn cached_stack(
    space: &AddressSpace,
    mapping: &Mapping,
    threads: &[Thread],
    tid_offset: u64,
    memory: &dyn MemorySource,
) -> Option<RunRange> {
    if !mapping.protection.write || guard_below(space, mapping).is_none() {
        return None;
    }
    let record = distances(threads, space).into_iter().find_map(|distance| {
        let record = mapping.range.end.0.checked_sub(distance).filter(|record| *record >= mapping.range.start.0)?;
        let own = [0, SELF_POINTER].iter().all(|offset| read_word(memory, RunAddress(record + offset)).ok() == Some(record));
        own.then_some(record)
    })?;
    let mut tid = [0; 4];
    memory.read(RunAddress(record.checked_add(tid_offset)?), &mut tid).ok()?;
    // The kernel clears it when the thread ends, the C library makes it negative when the thread is joined: before that the record
    // holds the thread's result.
    let end = match i32::from_le_bytes(tid) {
        0 => record,
        tid if tid < 0 => mapping.range.end.0,
        _ => return None,
    };
    is_library_stack(space, mapping, record, memory).then(|| RunRange::new(mapping.range.start.0, end))
}

/// How far below the end of their stacks the records of live threads are; and the places that a record can be at.
fn distances(threads: &[Thread], space: &AddressSpace) -> Vec<u64> {
    let mut distances: Vec<u64> = threads
        .iter()
        .filter_map(|thread| {
            let base = RunAddress(thread.registers.fs_base);
            let mapping = space.mappings.iter().find(|mapping| mapping.range.contains(base))?;
            Some(mapping.range.end.0 - base.0)
        })
        .filter(|distance| *distance <= HIGHEST_RECORDS)
        .collect();
    // Records are aligned to 64 bytes.
    distances.extend((64..0x2000).step_by(64));
    distances.dedup();
    distances
}
