//! Objects that outgrew their blocks: the program's own allocator makes new ones in the filled vessel.

use std::time::Duration;

use dsu_formats::address::RunAddress;

use super::error::VesselError;
use super::scatter::{self, Piece};
use crate::plan::rewrite::{Allocations, Allocator, Stored};
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

/// Where the blocks came to lie, in their order.
pub(super) struct Places(Vec<u64>);

impl Places {
    /// The address for a place-holder.
    pub(super) fn real(&self, allocations: &Allocations, word: u64) -> Option<u64> {
        let (index, within) = allocations.locate(word)?;
        Some(self.0.get(index)?.wrapping_add(within))
    }
}

/// Makes the blocks, stores them and the words that point to them, and frees the old ones; `fs_base` is the thread pointer that the
/// allocator runs with.
pub(super) fn allocate(vessel: &mut Emptied, allocations: &Allocations, fs_base: u64) -> Result<Places, VesselError> {
    if allocations.blocks.is_empty() {
        return Ok(Places(Vec::new()));
    }
    let places = make(vessel, allocations, fs_base)?;
    let settled = settle(vessel, allocations, &places)?;
    let mut pieces: Vec<Piece<'_>> = settled.words.iter().map(|(at, word)| (*at, &word[..])).collect();
    for (block, place) in allocations.blocks.iter().zip(&places) {
        let bytes = &settled.bytes[block.offset as usize..(block.offset + block.length) as usize];
        pieces.push((RunAddress(*place), bytes));
    }
    pieces.sort_unstable_by_key(|(at, _)| *at);
    scatter::store(vessel.memory(), &pieces)?;
    let own = allocations.allocator.map(|allocator| (allocator.release, &allocations.freed));
    let others = allocations.others.iter().filter_map(|other| Some((other.release?, &other.freed)));
    for (release, blocks) in own.into_iter().chain(others) {
        let mut freed: Vec<u64> = blocks.iter().map(|block| block.0).collect();
        vessel.call_for_each(release, &mut freed, fs_base, LIMIT)?;
    }
    Ok(Places(places))
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

/// Blocks and words with the addresses that the blocks got.
struct Settled {
    bytes: Vec<u8>,
    words: Vec<(RunAddress, [u8; 8])>,
}

fn settle(vessel: &Emptied, allocations: &Allocations, places: &[u64]) -> Result<Settled, VesselError> {
    let mut settled = Settled { bytes: allocations.bytes.clone(), words: Vec::new() };
    let unknown = |found: u64| VesselError::Mismatch {
        what: "a place-holder address",
        expected: "one of a new block".to_owned(),
        found: format!("{found:#x}"),
    };
    let real = |word: [u8; 8]| -> Result<[u8; 8], VesselError> {
        let word = u64::from_le_bytes(word);
        let (index, within) = allocations.locate(word).ok_or_else(|| unknown(word))?;
        Ok((places[index] + within).to_le_bytes())
    };
    for fixup in &allocations.fixups {
        match allocations.offset_of(fixup.0) {
            Some(offset) => {
                let slot = settled.bytes.get_mut(offset as usize..offset as usize + 8).ok_or_else(|| unknown(fixup.0))?;
                let word: &mut [u8; 8] = slot.try_into().map_err(|_| unknown(fixup.0))?;
                *word = real(*word)?;
            }
            None => {
                let word = vessel.memory().read_u64(*fixup)?.to_le_bytes();
                settled.words.push((*fixup, real(word)?));
            }
        }
    }
    Ok(settled)
}
