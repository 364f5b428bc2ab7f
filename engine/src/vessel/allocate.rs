//! Objects that outgrew their blocks: the program's own allocator makes new ones in the filled vessel.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use dsu_formats::address::{PAGE_SIZE, RunAddress};

use super::error::VesselError;
use super::scatter::{self, Piece};
use crate::plan::rewrite::{Allocations, Allocator, Finder, NewBlock, Stored};
use crate::tracee::emptied::Emptied;
use crate::tracee::inject::Injector;

/// An allocator that waits for a lock waits for ever: this is far beyond what any number of blocks takes.
const LIMIT: Duration = Duration::from_secs(20);

/// Stores the objects that stay where they are.
pub(super) fn store(vessel: &Emptied, allocations: &Allocations) -> Result<(), VesselError> {
    let bytes = |stored: &Stored| allocations.bytes.get(stored.offset as usize..(stored.offset + stored.length) as usize);
    let pieces: Vec<Piece<'_>> = allocations.stored.iter().filter_map(|stored| Some((stored.address, bytes(stored)?))).collect();
    scatter::store(vessel.memory(), &pieces)
}

/// Where the blocks came to lie.
pub(super) struct Places<'a> {
    finder: Finder<'a>,
    /// In their order.
    places: Vec<u64>,
}

impl Places<'_> {
    /// The address for a place-holder.
    pub(super) fn real(&self, word: u64) -> Option<u64> {
        let (index, within) = self.finder.locate(word)?;
        Some(self.places.get(index)?.wrapping_add(within))
    }

    /// The same for a word that must be one.
    fn must(&self, word: u64) -> Result<u64, VesselError> {
        self.real(word).ok_or_else(|| unknown(word))
    }
}

/// Makes the blocks, stores them and the words that point to them, and frees the old ones; `fs_base` is the thread pointer that the
/// allocator runs with.
pub(super) fn allocate<'a>(vessel: &mut Emptied, allocations: &'a Allocations, fs_base: u64) -> Result<Places<'a>, VesselError> {
    let finder = Finder::new(allocations);
    if allocations.blocks.is_empty() {
        return Ok(Places { finder, places: Vec::new() });
    }
    let lent = lent_words(vessel, allocations, &finder)?;
    let places = Places { places: make(vessel, allocations, fs_base)?, finder };
    let taken = take_back(vessel, &lent)?;
    store_blocks(vessel, allocations, &places, &taken)?;
    let own = allocations.allocator.map(|allocator| (allocator.release, &allocations.freed));
    let others = allocations.others.iter().filter_map(|other| Some((other.release?, &other.old)));
    for (release, blocks) in own.into_iter().chain(others) {
        let mut freed: Vec<u64> = blocks.iter().map(|block| block.0).collect();
        vessel.call_for_each(release, &mut freed, fs_base, LIMIT)?;
    }
    Ok(places)
}

/// A word that waits for the address of a new object and has that of the old one meanwhile.
struct Lent {
    address: RunAddress,
    place_holder: u64,
    old: u64,
}

/// Lets words that lead to the starts of objects which functions of the program's own make lead to the old objects while these run: they
/// may follow them, as a pool does that has its blocks in a list.
fn lent_words(vessel: &Emptied, allocations: &Allocations, finder: &Finder<'_>) -> Result<Vec<Lent>, VesselError> {
    let pairs = allocations.others.iter().flat_map(|other| other.blocks.iter().zip(&other.old));
    let old: HashMap<usize, u64> = pairs.map(|(position, old)| (*position as usize, old.0)).collect();
    let mut lent = Vec::new();
    if old.is_empty() {
        return Ok(lent);
    }
    for address in &allocations.fixups {
        let place_holder = vessel.memory().read_u64(*address)?;
        if let Some((index, 0)) = finder.locate(place_holder)
            && let Some(old) = old.get(&index)
        {
            lent.push(Lent { address: *address, place_holder, old: *old });
        }
    }
    lent.sort_unstable_by_key(|lent| lent.address);
    lent.dedup_by_key(|lent| lent.address);
    let words: Vec<_> = lent.iter().map(|lent| (lent.address, lent.old.to_le_bytes())).collect();
    store_pieces(vessel, &words)?;
    Ok(lent)
}

/// Ends that; gives the words that the functions have stored to, which stay as they left them.
fn take_back(vessel: &Emptied, lent: &[Lent]) -> Result<HashSet<RunAddress>, VesselError> {
    let (mut words, mut taken) = (Vec::new(), HashSet::new());
    for Lent { address, place_holder, old } in lent {
        match vessel.memory().read_u64(*address)? {
            now if now == *old => words.push((*address, place_holder.to_le_bytes())),
            _ => drop(taken.insert(*address)),
        }
    }
    store_pieces(vessel, &words)?;
    Ok(taken)
}

fn store_pieces(vessel: &Emptied, words: &[(RunAddress, [u8; 8])]) -> Result<(), VesselError> {
    let pieces: Vec<Piece<'_>> = words.iter().map(|(at, word)| (*at, &word[..])).collect();
    scatter::store(vessel.memory(), &pieces)
}

/// Makes all blocks: those of the program's own functions first, for what these may take from `malloc`.
fn make(vessel: &mut Emptied, allocations: &Allocations, fs_base: u64) -> Result<Vec<u64>, VesselError> {
    let lengths: Vec<u64> = allocations.blocks.iter().map(|block| block.length).collect();
    let mut places = vec![0; lengths.len()];
    let mut rest = vec![true; lengths.len()];
    for other in &allocations.others {
        let blocks = || other.blocks.iter().map(|position| *position as usize);
        for position in blocks() {
            if let Some(rest) = rest.get_mut(position) {
                *rest = false;
            }
        }
        make_some(vessel, other.allocate, (&lengths, &mut places), blocks(), fs_base)?;
    }
    if let Some(Allocator { allocate, .. }) = allocations.allocator {
        let blocks = (0..lengths.len()).filter(|position| rest.get(*position) == Some(&true));
        make_some(vessel, allocate, (&lengths, &mut places), blocks, fs_base)?;
    }
    match places.iter().zip(&lengths).find(|(place, _)| **place == 0) {
        Some((_, length)) => Err(VesselError::NoBlock { length: *length }),
        None => Ok(places),
    }
}

fn make_some(
    vessel: &mut Emptied,
    allocate: RunAddress,
    (lengths, places): (&[u64], &mut [u64]),
    blocks: impl Iterator<Item = usize> + Clone,
    fs_base: u64,
) -> Result<(), VesselError> {
    let mut words: Vec<u64> = blocks.clone().filter_map(|position| lengths.get(position).copied()).collect();
    vessel.call_for_each(allocate, &mut words, fs_base, LIMIT)?;
    for (position, word) in blocks.zip(words) {
        if let Some(place) = places.get_mut(position) {
            *place = word;
        }
    }
    Ok(())
}

/// Stores the blocks, and the words in them and elsewhere that wait for their addresses. A part at a time: the bytes of all are many.
fn store_blocks(
    vessel: &Emptied,
    allocations: &Allocations,
    places: &Places<'_>,
    taken: &HashSet<RunAddress>,
) -> Result<(), VesselError> {
    const PART: usize = 1 << 14;
    for (blocks, places_of) in allocations.blocks.chunks(PART).zip(places.places.chunks(PART)) {
        let (first, end) = (blocks[0].offset, blocks[blocks.len() - 1].offset + blocks[blocks.len() - 1].length);
        let mut bytes = allocations.bytes.get(first as usize..end as usize).map(<[u8]>::to_vec).ok_or_else(|| unknown(first))?;
        for offset in allocations.marks.iter(first..end) {
            let at = (offset - first) as usize;
            let word = bytes.get_mut(at..at.saturating_add(8)).ok_or_else(|| unknown(offset))?;
            let place_holder = word.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            word.copy_from_slice(&places.must(place_holder)?.to_le_bytes());
        }
        let piece = |(block, place): (&NewBlock, &u64)| {
            let start = (block.offset - first) as usize;
            (RunAddress(*place), &bytes[start..start + block.length as usize])
        };
        let mut pieces: Vec<Piece<'_>> = blocks.iter().zip(places_of).map(piece).collect();
        pieces.sort_unstable_by_key(|(at, _)| *at);
        scatter::store(vessel.memory(), &pieces)?;
    }
    let words = allocations.fixups.iter().filter(|fixup| !taken.contains(fixup)).copied().collect();
    store_words(vessel, allocations, places, words)
}

/// Words outside the blocks.
fn store_words(
    vessel: &Emptied,
    allocations: &Allocations,
    places: &Places<'_>,
    mut words: Vec<RunAddress>,
) -> Result<(), VesselError> {
    words.sort_unstable();
    words.dedup();
    let mut settled = Vec::with_capacity(words.len());
    let mut page = (0, Vec::new());
    for address in words {
        let word = read_word(vessel, address, &mut page)?;
        // What a function of the program's own has stored there since is its value.
        if !allocations.others.is_empty() && !Allocations::may_hold(word) {
            continue;
        }
        settled.push((address, places.must(word)?.to_le_bytes()));
    }
    store_pieces(vessel, &settled)
}

/// A word, with the rest of its page for those that follow.
fn read_word(vessel: &Emptied, address: RunAddress, (start, bytes): &mut (u64, Vec<u8>)) -> Result<u64, VesselError> {
    let held = |start: u64, bytes: &[u8]| {
        let at = usize::try_from(address.0.checked_sub(start)?).ok()?;
        bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
    };
    if let Some(word) = held(*start, bytes) {
        return Ok(word);
    }
    let end = (address.0 + 8).next_multiple_of(PAGE_SIZE);
    *start = address.0;
    bytes.resize((end - address.0) as usize, 0);
    vessel.memory().read_fast(address, bytes)?;
    held(*start, bytes).ok_or_else(|| unknown(address.0))
}

fn unknown(found: u64) -> VesselError {
    VesselError::Mismatch {
        what: "a place-holder address",
        expected: "one of a new block".to_owned(),
        found: format!("{found:#x}"),
    }
}
