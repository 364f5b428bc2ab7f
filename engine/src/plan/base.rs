//! Where the new program goes: a free range near the old one.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{AddressSpace, Generation};

use super::address::{page_ceil, page_floor};

/// Distance between the places that are tried, in bytes.
const STEP: u64 = 16 << 20;
/// Places tried below the old program before any gap will do.
const STEPS_BELOW: u64 = 256;
/// Places tried above the old program, where an earlier generation sat.
const STEPS_ABOVE: u64 = 4;
/// Where what goes with a fixed-address program is tried, and how often: far above four gigabytes, below where the kernel puts anything.
const APART: u64 = 0x2000_0000_0000;
const STEPS_APART: u64 = 1 << 16;
/// Room kept for the heap to grow, and for each stack.
const HEAP_ROOM: u64 = 1 << 30;
const STACK_ROOM: u64 = 64 << 20;
/// Room kept on both sides of every other mapping: the kernel's guard gap of a stack is 256 pages.
const GAP: u64 = 1 << 20;
/// User addresses end here (47 bits, one guard page); nothing is mapped in the first MiB.
const LOWEST: u64 = 1 << 20;
const HIGHEST: u64 = (1 << 47) - (1 << 20);

/// Chooses a page-aligned start for `length` bytes near `old`.
///
/// Clear of every mapping, of the heap's and the stacks' growth, and of ranges that the last update reserved: a pointer that
/// was missed then must go on faulting. `None` when the address space has no such range.
pub fn choose(space: &AddressSpace, generation: &Generation, old: RunRange, length: u64) -> Option<RunAddress> {
    let taken = taken(space, generation);
    let length = page_ceil(length);
    let free = |start: u64| {
        let range = RunRange::new(start, start.checked_add(length)?);
        let inside = LOWEST <= start && range.end.0 <= HIGHEST;
        (inside && !taken.iter().any(|other| other.overlaps(&range))).then_some(range.start)
    };
    let above = (1..=STEPS_ABOVE).rev().filter_map(|step| old.start.0.checked_add(step * STEP));
    let below = (1..=STEPS_BELOW).filter_map(|step| old.start.0.checked_sub(step * STEP));
    above.chain(below).find_map(free).or_else(|| any_gap(&taken, length).and_then(free))
}

/// Chooses a page-aligned start for the `length` bytes that go with a fixed-address program: its literals must have addresses that
/// no small integer looks like.
pub fn choose_apart(space: &AddressSpace, generation: &Generation, length: u64) -> Option<RunAddress> {
    let taken = taken(space, generation);
    let length = page_ceil(length);
    let starts = (0..STEPS_APART).map(|step| APART + step * STEP);
    let ranges = starts.filter_map(|start| Some(RunRange::new(start, start.checked_add(length)?)));
    ranges.into_iter().find(|range| !taken.iter().any(|other| other.overlaps(range))).map(|range| range.start)
}

/// The highest gap below all mappings but the lowest that holds `length` bytes.
fn any_gap(taken: &[RunRange], length: u64) -> Option<u64> {
    let mut sorted = taken.to_vec();
    sorted.sort_unstable();
    let mut end = LOWEST;
    let mut best = None;
    for range in sorted {
        if range.start.0.min(HIGHEST).saturating_sub(end) >= length {
            best = range.start.0.min(HIGHEST).checked_sub(length).map(page_floor).filter(|start| *start >= end);
        }
        end = end.max(range.end.0);
    }
    best
}

/// What must stay clear.
fn taken(space: &AddressSpace, generation: &Generation) -> Vec<RunRange> {
    let mut taken: Vec<RunRange> = space
        .mappings
        .iter()
        .map(|mapping| {
            let below = if mapping.flags.grows_down { STACK_ROOM } else { GAP };
            RunRange::new(mapping.range.start.0.saturating_sub(below), mapping.range.end.0.saturating_add(GAP))
        })
        .collect();
    let heap = space.layout.program_break();
    taken.push(RunRange::new(heap.start.0, heap.end.0.saturating_add(HEAP_ROOM)));
    taken.extend(generation.retained.iter().map(|retained| retained.range));
    taken
}

#[cfg(test)]
mod tests {
    use dsu_formats::model::latest::{Backing, Layout, Mapping, MappingFlags, Protection, Retained, Sharing};

    use super::*;

    const OLD: u64 = 0x5555_5555_4000;

    fn mapping(start: u64, end: u64) -> Mapping {
        Mapping {
            range: RunRange::new(start, end),
            protection: Protection { read: true, write: true, execute: false },
            sharing: Sharing::Private,
            backing: Backing::Anonymous { name: None },
            flags: MappingFlags::default(),
        }
    }

    fn space(mappings: Vec<Mapping>) -> AddressSpace {
        let layout = Layout { start_brk: RunAddress(OLD + 0x5000), brk: RunAddress(OLD + 0x26000), ..Layout::default() };
        AddressSpace { mappings, layout, lock_future: false }
    }

    #[test]
    fn the_first_choice_is_a_step_below_and_clear_of_the_heap() {
        let space = space(vec![mapping(OLD, OLD + 0x5000), mapping(OLD + 0x5000, OLD + 0x26000)]);
        let old = RunRange::new(OLD, OLD + 0x5000);
        assert_eq!(choose(&space, &Generation::default(), old, 0x9000), Some(RunAddress(OLD - STEP)));
    }

    #[test]
    fn the_reservation_of_the_last_update_stays_clear() {
        let space = space(vec![mapping(OLD, OLD + 0x5000)]);
        let reserved =
            Retained { range: RunRange::new(OLD - STEP, OLD - STEP + 0x1000), generation: 0, build_id: vec![], readable: false };
        let generation = Generation { count: 1, retained: vec![reserved] };
        let old = RunRange::new(OLD, OLD + 0x5000);
        assert_eq!(choose(&space, &generation, old, 0x9000), Some(RunAddress(OLD - 2 * STEP)));
    }

    #[test]
    fn apart_is_above_small_numbers_and_beside_what_is_there() {
        let space = space(vec![mapping(APART, APART + 0x5000), mapping(OLD, OLD + 0x5000)]);
        assert_eq!(choose_apart(&space, &Generation::default(), 0x9000), Some(RunAddress(APART + STEP)));
    }

    #[test]
    fn a_full_neighbourhood_leaves_any_gap() {
        let low = OLD - (STEPS_BELOW + 1) * STEP;
        let space = space(vec![mapping(low, OLD + 0x5000)]);
        let old = RunRange::new(OLD, OLD + 0x5000);
        let base = choose(&space, &Generation::default(), old, 0x9000).unwrap();
        assert!(base.0 + 0x9000 <= low, "{base}");
        assert_eq!(base.0 % 4096, 0);
    }
}
