//! What the user gives variables of the new program, and fields of objects, when frames go on: stored over what is made of the old values.

use dsu_formats::address::{RunAddress, RunRange};

use crate::plan::blocker::Blocker;
use crate::plan::frames::{CallWord, SetTo, SetWord};
use crate::plan::planner::Planner;
use crate::plan::rewrite::{Allocations, Patch, Stored};
use crate::plan::source::read_bytes;
use crate::program::address::LinkAddress;

/// Bytes of a word.
const WORD: u64 = 8;

impl Planner<'_> {
    /// Stores all of it, once everything else has its bytes.
    pub(in crate::plan::planner) fn store_settings(&mut self) {
        let mut known: Vec<(u64, SetWord)> = Vec::new();
        let mut failed = Vec::new();
        let made = self.frames.threads.iter().map(|one| one.thread).zip(&self.frames.made);
        let all: Vec<(usize, SetWord)> = made.flat_map(|(thread, made)| made.set.iter().map(move |set| (thread, *set))).collect();
        for (thread, set) in all {
            let Some(at) = self.address_of(thread, &set) else {
                failed.push((thread, set.frame, "the new program has no thread-local variables here".to_owned()));
                continue;
            };
            if known.iter().any(|(other, value)| *other == at && value.bits == set.bits && value.word != set.word) {
                let reason = "another frame gives the same variable, or the same field, another value".to_owned();
                failed.push((thread, set.frame, reason));
            }
            if let Err(reason) = self.store_setting(at, &set) {
                failed.push((thread, set.frame, reason));
            }
            known.push((at, set));
        }
        let waits = |word: &CallWord| matches!(word, CallWord::Word(word) if Allocations::may_hold(*word));
        for (one, made) in self.frames.threads.iter().zip(&self.frames.made) {
            if made.calls.iter().any(|(_, arguments, _)| arguments.iter().any(waits)) {
                let reason = "a call before it goes on is given the address of an object that is yet to be made".to_owned();
                failed.push((one.thread, 0, reason));
            }
        }
        for (thread, frame, reason) in failed {
            let tid = self.stacks.frames.get(thread).map_or(0, |(tid, _)| *tid);
            let frame = self.frame_blocker(thread, frame, reason);
            self.blockers.push(Blocker::Frame { tid, frame });
        }
    }

    /// Where it goes: a run-time address of the new process, or a place-holder.
    fn address_of(&self, thread: usize, set: &SetWord) -> Option<u64> {
        match set.to {
            SetTo::Link(link) => Some(self.ground.placement.new_run(link).0.0),
            SetTo::Address(address) => Some(address),
            SetTo::Thread(offset) => {
                let blocks = self.ground.blocks.as_ref().filter(|blocks| blocks.new.is_some())?;
                let thread = self.request.snapshot.threads.get(thread)?;
                Some(blocks.new_start(thread).wrapping_add(offset))
            }
        }
    }

    fn store_setting(&mut self, at: u64, set: &SetWord) -> Result<(), String> {
        let length = match set.bits {
            Some((first, width)) => usize::from((first + width).div_ceil(8)),
            None => usize::from(set.length),
        };
        let mut bytes = [0; WORD as usize];
        let wanted = bytes.get_mut(..length).ok_or("a value of more than eight bytes")?;
        if set.bits.is_some() {
            self.read_new(at, wanted)?;
        }
        let before = u64::from_le_bytes(bytes);
        let after = match set.bits {
            Some((first, width)) => {
                let mask = (u64::MAX >> (64 - u32::from(width.clamp(1, 64)))) << first;
                (before & !mask) | ((set.word << first) & mask)
            }
            None => set.word,
        };
        let stored = after.to_le_bytes();
        self.write_new(at, stored.get(..length).unwrap_or(&stored))?;
        let waits = set.bits.is_none() && Allocations::may_hold(set.word);
        match (self.allocations.offset_of(at).filter(|_| Allocations::may_hold(at)), waits) {
            (Some(offset), true) => {
                self.allocations.marks.add(offset);
                self.allocations.marks.finish();
            }
            (None, true) => self.allocations.fixups.push(RunAddress(at)),
            (_, false) => self.allocations.fixups.retain(|fixup| fixup.0 != at),
        }
        Ok(())
    }

    /// What the plan has made of some bytes of the new process so far.
    fn read_new(&self, at: u64, into: &mut [u8]) -> Result<(), String> {
        let length = into.len() as u64;
        if let Some(bytes) = self.allocation_bytes(at, length).and_then(|range| self.allocations.bytes.get(range)) {
            into.copy_from_slice(bytes);
            return Ok(());
        }
        if let Some(bytes) = self.link_of(at).and_then(|link| self.image.slice(link, length)) {
            into.copy_from_slice(bytes);
            return Ok(());
        }
        let bytes = read_bytes(self.request.memory, RunAddress(at), into.len()).map_err(|error| error.to_string())?;
        into.copy_from_slice(&bytes);
        let mut patches: Vec<&Patch> = self.patches.iter().filter(|patch| overlaps(patch, at, length)).collect();
        patches.sort_by_key(|patch| patch.address);
        for patch in patches {
            let places = into.iter_mut().zip(at..);
            places.for_each(|(byte, address)| *byte = byte_of(patch, address).unwrap_or(*byte));
        }
        Ok(())
    }

    fn write_new(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        let length = bytes.len() as u64;
        if let Some(range) = self.allocation_bytes(at, length)
            && let Some(place) = self.allocations.bytes.get_mut(range)
        {
            place.copy_from_slice(bytes);
            return Ok(());
        }
        if let Some(link) = self.link_of(at) {
            let place = self.image.slice_mut(link, length).ok_or_else(|| format!("{link} is nothing that can be stored to"))?;
            place.copy_from_slice(bytes);
            return Ok(());
        }
        let whole = RunRange::new(at, at.saturating_add(length));
        let is_partly = |stored: &Stored| RunRange::new(stored.address.0, stored.address.0 + stored.length).overlaps(&whole);
        if Allocations::may_hold(at) || self.allocations.stored.iter().any(is_partly) {
            return Err(format!("{at:#x} is not within one object that is made anew"));
        }
        let carried =
            self.ground.space.mappings.iter().any(|mapping| mapping.protection.write && mapping.range.contains(whole.start));
        if !carried {
            return Err(format!("{at:#x} is no memory that can be stored to"));
        }
        for word in (at & !(WORD - 1)..at.saturating_add(length)).step_by(WORD as usize) {
            let mut content = [0; WORD as usize];
            self.read_new(word, &mut content)?;
            for (place, address) in content.iter_mut().zip(word..) {
                let own = address.checked_sub(at).and_then(|index| bytes.get(usize::try_from(index).ok()?));
                *place = own.copied().unwrap_or(*place);
            }
            self.patch(Patch { address: RunAddress(word), word: u64::from_le_bytes(content) });
        }
        Ok(())
    }

    /// Adds a patch; those that overlap it say the same where they do.
    fn patch(&mut self, new: Patch) {
        for patch in self.patches.iter_mut().filter(|patch| overlaps(patch, new.address.0, WORD)) {
            let mut bytes = patch.word.to_le_bytes();
            let places = bytes.iter_mut().zip(patch.address.0..);
            places.for_each(|(byte, address)| *byte = byte_of(&new, address).unwrap_or(*byte));
            patch.word = u64::from_le_bytes(bytes);
        }
        if !self.patches.iter().any(|patch| patch.address == new.address) {
            self.patches.push(new);
        }
    }

    /// Bytes of objects that are made anew: in blocks to come, or stored over what is carried.
    fn allocation_bytes(&self, at: u64, length: u64) -> Option<std::ops::Range<usize>> {
        let offset = match Allocations::may_hold(at) {
            true => self.allocations.offset_of(at)?,
            false => {
                let holds = |stored: &&Stored| {
                    stored.address.0 <= at && at.saturating_add(length) <= stored.address.0.saturating_add(stored.length)
                };
                let stored = self.allocations.stored.iter().find(holds)?;
                stored.offset.checked_add(at - stored.address.0)?
            }
        };
        let start = usize::try_from(offset).ok()?;
        Some(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    fn link_of(&self, at: u64) -> Option<LinkAddress> {
        let placement = &self.ground.placement;
        let within = placement.new_range().contains(RunAddress(at));
        within.then(|| LinkAddress(at.wrapping_sub(placement.new_bias())))
    }
}

fn overlaps(patch: &Patch, at: u64, length: u64) -> bool {
    patch.address.0 < at.saturating_add(length) && at < patch.address.0.saturating_add(WORD)
}

/// What a patch stores at an address.
fn byte_of(patch: &Patch, address: u64) -> Option<u8> {
    let index = address.checked_sub(patch.address.0)?;
    patch.word.to_le_bytes().get(usize::try_from(index).ok()?).copied()
}
