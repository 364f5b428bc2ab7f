//! The arenas of malloc (`struct malloc_state`): the main one found in the C library's data, the others by its list.

use dsu_formats::address::RunAddress;

use super::defect::HeapDefect;
use super::{Data, Scene};
use crate::plan::source::{read_bytes, word_in};

/// Doubly linked bins of an arena (NBINS - 1).
const BINS: usize = 127;
/// Single lists of small free chunks (NFASTBINS).
pub(super) const FAST_BINS: usize = 10;
/// Offsets in `struct malloc_state`, 2.27 to 2.41.
const FLAGS: usize = 4;
const FAST: usize = 16;
const TOP: usize = FAST + FAST_BINS * 8;
const LISTS: usize = TOP + 16;
const NEXT: usize = LISTS + BINS * 16 + 16;
const SYSTEM: usize = NEXT + 24;
/// Size of `struct malloc_state`.
pub(super) const SIZE: usize = SYSTEM + 16;
/// `flags`: the main arena has memory that the program break does not give (NONCONTIGUOUS_BIT).
const NONCONTIGUOUS: u32 = 2;
/// More arenas than any limit of malloc's allows (`arena_max`: 8 a processor).
const LIMIT: usize = 1 << 15;

/// What of an arena's record matters here.
#[derive(Clone, Debug)]
pub(super) struct Arena {
    pub(super) address: RunAddress,
    mutex: u32,
    flags: u32,
    pub(super) fast: [u64; FAST_BINS],
    pub(super) top: u64,
    next: u64,
    /// Bytes that it has from the system.
    pub(super) system: u64,
}

impl Arena {
    /// Whether a thread is changing it.
    pub(super) fn is_locked(&self) -> bool {
        self.mutex != 0
    }

    pub(super) fn is_contiguous(&self) -> bool {
        self.flags & NONCONTIGUOUS == 0
    }

    /// Reads the record at `address` and checks its bins.
    fn read(address: u64, scene: &Scene<'_>) -> Result<Self, HeapDefect> {
        let bytes = read_bytes(scene.memory, RunAddress(address), SIZE)?;
        let word = |at| word_in(&bytes, at).unwrap_or(0);
        let half = |at: usize| (word(at & !7) >> ((at & 4) * 8)) as u32;
        let odd = |what, expected, found| HeapDefect::Arena { address: RunAddress(address), what, expected, found };
        for bin in 0..BINS {
            let at = LISTS + bin * 16;
            let head = address + at as u64 - 16;
            let (forward, back) = (word(at), word(at + 8));
            if !is_list(head, forward, back, scene) {
                return Err(odd("a bin that is no closed list", head, forward));
            }
        }
        let fast = std::array::from_fn(|bin| word(FAST + bin * 8));
        Ok(Self {
            address: RunAddress(address),
            mutex: half(0),
            flags: half(FLAGS),
            fast,
            top: word(TOP),
            next: word(NEXT),
            system: word(SYSTEM),
        })
    }
}

/// Whether a bin's head agrees with the first and last chunk that it names (`fd` at 16 of a chunk, `bk` at 24).
fn is_list(head: u64, forward: u64, back: u64, scene: &Scene<'_>) -> bool {
    if forward == head || back == head {
        return forward == back;
    }
    let names = |address: u64| scene.word(address).is_ok_and(|word| word == head);
    forward.is_multiple_of(16) && back.is_multiple_of(16) && names(forward.wrapping_add(24)) && names(back.wrapping_add(16))
}

/// Finds the main arena: the one place where 127 bins follow each other, each empty (naming itself) or a closed list, and the list of
/// arenas leads back.
pub(super) fn find_main(data: &[Data], scene: &Scene<'_>) -> Result<Arena, HeapDefect> {
    let mut found = Vec::new();
    for part in data {
        for index in LISTS / 8..part.count().saturating_sub(BINS * 2) {
            // Most bins of most heaps are empty; one that is not at least names aligned memory.
            if (0..BINS).all(|bin| may_be_bin(part, index + bin * 2))
                && let Ok(arena) = Arena::read(part.address(index) - LISTS as u64, scene)
                && is_ring(&arena, scene)
            {
                found.push(arena);
            }
        }
    }
    match <[Arena; 1]>::try_from(found) {
        Ok([arena]) => Ok(arena),
        Err(found) => Err(HeapDefect::NoArena { found: found.len() }),
    }
}

/// Finds the main arena of a malloc that was never called: all zero but the list of arenas, which names the arena itself, and the one
/// thread that is attached to it (`main_arena` as the C library defines it). There is no block then.
pub(super) fn find_untouched(data: &[Data]) -> Option<RunAddress> {
    const ATTACHED: usize = NEXT + 16;
    let is_untouched = |part: &Data, first: usize| {
        let expected = |at| match at {
            NEXT => part.address(first),
            ATTACHED => 1,
            _ => 0,
        };
        (0..SIZE / 8).all(|index| part.word(first + index) == Some(expected(index * 8)))
    };
    let mut found = data.iter().flat_map(|part| {
        let last = part.count().saturating_sub(SIZE / 8);
        (0..=last).filter(move |first| is_untouched(part, *first)).map(|first| RunAddress(part.address(first)))
    });
    let only = found.next()?;
    found.next().is_none().then_some(only)
}

fn may_be_bin(part: &Data, index: usize) -> bool {
    let (Some(forward), Some(back)) = (part.word(index), part.word(index + 1)) else { return false };
    let head = part.address(index) - 16;
    (forward == head && back == head)
        || (forward != head && back != head && forward > 0xffff && forward % 16 == 0 && back % 16 == 0)
}

fn is_ring(main: &Arena, scene: &Scene<'_>) -> bool {
    let mut at = main.next;
    for _ in 0..LIMIT {
        if at == main.address.0 {
            return true;
        }
        match scene.word(at.wrapping_add(NEXT as u64)) {
            Ok(next) if at.is_multiple_of(16) => at = next,
            _ => return false,
        }
    }
    false
}

/// All arenas, the main one first.
pub(super) fn all(main: Arena, scene: &Scene<'_>) -> Result<Vec<Arena>, HeapDefect> {
    let start = main.address.0;
    let mut next = main.next;
    let mut arenas = vec![main];
    while next != start && arenas.len() < LIMIT {
        let arena = Arena::read(next, scene)?;
        next = arena.next;
        arenas.push(arena);
    }
    Ok(arenas)
}
