//! Words of stacks that no code can read, among those that nothing decides: what an earlier call left in the frame that is there now.

use std::collections::HashMap;

use dsu_formats::address::{RunAddress, RunRange};

use super::Planner;
use crate::plan::address::NewLink;
use crate::plan::frames::stale;
use crate::plan::moves::{Moves, Target};
use crate::plan::pointers::{Decision, Pointers, Site};
use crate::plan::safe_point::Standing;
use crate::plan::scan::dead::RED_ZONE;
use crate::plan::source::word_in;
use crate::program::address::LinkAddress;
use crate::program::code::{FrameCode, FrameRead, Slots};
use crate::program::types::TypeTable;
use crate::program::unwind::{self, dwarf};
use crate::program::variables::{Frame, Source, Variables};

/// Frames beyond this hold arrays, and words that are read by their index.
const LARGEST_FRAME: u64 = 1 << 16;

impl Planner<'_> {
    /// The words in frames that point into objects that are rewritten, or into frames made anew, that nothing decides, and that the code of the frame and of what
    /// it called cannot read.
    pub(super) fn dead_slots(&self, moves: &Moves) -> Vec<RunRange> {
        let mut dead = Vec::new();
        if moves.objects().is_empty() && moves.frames().is_empty() {
            return dead;
        }
        for ((_, frames), standings) in self.stacks.frames.iter().zip(&self.stacks.standings) {
            dead.extend(self.stale_slots((frames, standings), moves));
            // What the old code of a function does not read, its new code may.
            let is_carried = |position: usize| matches!(standings.get(position), Some(Standing::Carried));
            for (position, frame) in frames.iter().enumerate().filter(|(position, _)| is_carried(*position)) {
                if !position.checked_sub(1).is_none_or(is_carried) {
                    continue;
                }
                let below = position.checked_sub(1).and_then(|below| frames.get(below));
                let Some(pointer) = frame.registers[dwarf::RSP].map(|pointer| pointer.value) else { continue };
                let undecided = self.undecided(frame, below, moves);
                if undecided.is_empty() {
                    continue;
                }
                let called = below.map(|below| (below, self.reads(below)));
                if let (Some(own), None | Some((_, Some(_)))) = (self.reads(frame), &called) {
                    let is_read = |address: RunAddress| {
                        let in_called = called.as_ref().is_some_and(|(below, reads)| {
                            reads.as_ref().is_some_and(|reads| overlaps(reads, distance(address, below), false))
                        });
                        overlaps(&own, distance(address, frame), address.0 < pointer) || in_called
                    };
                    let unread = undecided.into_iter().filter(|address| !is_read(*address));
                    dead.extend(unread.map(|address| RunRange::new(address.0, address.0.saturating_add(8))));
                }
            }
        }
        dead
    }

    /// The same in variables of frames made anew that the new code does not read before it writes them.
    fn stale_slots(&self, (frames, standings): (&[unwind::Frame], &[Standing]), moves: &Moves) -> Vec<RunRange> {
        let mut found = Vec::new();
        let mut known: HashMap<(LinkAddress, NewLink), Vec<Slots>> = HashMap::new();
        for (position, (frame, standing)) in frames.iter().zip(standings).enumerate() {
            let Standing::Rebuilt(continuation) = standing else { continue };
            let below = position.checked_sub(1).and_then(|below| frames.get(below));
            let undecided = self.undecided(frame, below, moves);
            let function = frame.module.filter(|(module, _)| *module == 0).map(|(_, link)| link);
            let function = function.and_then(|link| self.request.comparison.sides.old.functions.containing(link));
            let (Some((function, _)), false) = (function, undecided.is_empty()) else { continue };
            let place = self.old_place(frame).address;
            let slots = known
                .entry((place, continuation.returns_to))
                .or_insert_with(|| stale(self.request.comparison, (function, place), continuation));
            let holds = |(from, to): Slots, slot: i64| from < slot.saturating_add(8) && slot < to;
            let is_stale = |address: &RunAddress| {
                let slot = distance(*address, frame);
                let objects =
                    continuation.objects.iter().map(|object| (object.old, object.old.saturating_add_unsigned(object.old_length)));
                let mut touched = objects.filter(|object| holds(*object, slot)).peekable();
                touched.peek().is_some() && touched.all(|object| slots.contains(&object))
            };
            found.extend(undecided.into_iter().filter(is_stale).map(|at| RunRange::new(at.0, at.0.saturating_add(8))));
        }
        found
    }

    /// Addresses of words in a frame that point into rewritten objects or the program, and nobody knows where to now.
    fn undecided(&self, frame: &unwind::Frame, below: Option<&unwind::Frame>, moves: &Moves) -> Vec<RunAddress> {
        let low = match (below, frame.registers[dwarf::RSP]) {
            (Some(below), _) => below.cfa.0,
            (None, Some(pointer)) => pointer.value.saturating_sub(RED_ZONE),
            (None, None) => return Vec::new(),
        };
        let low = low.next_multiple_of(8);
        let Some(length) = frame.cfa.0.checked_sub(low).filter(|length| *length <= LARGEST_FRAME) else { return Vec::new() };
        let mut bytes = vec![0; length as usize];
        if self.request.memory.read(RunAddress(low), &mut bytes).is_err() {
            return Vec::new();
        }
        let addresses = (0..length / 8).map(|word| RunAddress(low.saturating_add(word * 8)));
        let pointers = Pointers { view: self.ground.view, placement: self.ground.placement, fates: &self.fates };
        let is_undecided = |address: &RunAddress| {
            let word = word_in(&bytes, (address.0 - low) as usize).unwrap_or(0);
            let into_program = || pointers.decide(word, Site::Stack { stale_returns: true });
            moves.pointee(*address).is_none()
                && !self.stacks.returns.contains(address)
                && (matches!(moves.follow(word, None), Target::Undecided(..) | Target::Gone { .. })
                    || matches!(into_program(), Some(Decision::Blocked(_))))
        };
        addresses.filter(is_undecided).collect()
    }

    /// What the function of a frame may read of it, from its frame address.
    fn reads(&self, frame: &unwind::Frame) -> Option<Vec<FrameRead>> {
        let (module, place) = frame.module?;
        let (elf, unwind) = match module.checked_sub(1) {
            None => (&self.request.old.elf, &self.request.comparison.unwind),
            Some(library) => {
                let loaded = self.ground.loaded.get(library)?;
                (&loaded.library.elf, &loaded.library.unwind)
            }
        };
        let (start, end) = unwind.range(place)?;
        // Handlers of exceptions are another part of the function.
        if unwind.handlers(start).is_some() {
            return None;
        }
        let code = elf.file_bytes(start, end.0.checked_sub(start.0)?)?;
        let variables = if module == 0 { self.slots_of_variables(frame, place) } else { Vec::new() };
        let holder = |slot: i64| variables.iter().find(|(from, to)| (*from..*to).contains(&slot)).copied();
        FrameCode { code, start, frame_address: &|address| unwind.frame_address(address), variable: &holder }.reads()
    }

    /// Where the variables of a frame are in it.
    fn slots_of_variables(&self, frame: &unwind::Frame, place: crate::program::address::LinkAddress) -> Vec<Slots> {
        let request = self.request;
        let types: &TypeTable = &request.old.debug.types;
        let mut variables = Variables::new(request.old);
        let Ok(locals) = variables.at(place) else { return Vec::new() };
        let mut word = |address: RunAddress| crate::plan::source::read_word(request.memory, address).ok();
        let bias = self.ground.placement.old_bias();
        let mut at = Frame { registers: &frame.registers, cfa: frame.cfa, bias, word: &mut word };
        let mut found = Vec::new();
        for local in &locals {
            let size = types.size_of(local.kind).and_then(|size| i64::try_from(size).ok());
            if let ([piece], Some(size)) = (variables.locate(local, &mut at).as_slice(), size)
                && let (None, Source::Memory(address)) = (piece.bits, piece.source)
            {
                let slot = distance(address, frame);
                found.push((slot, slot.saturating_add(size)));
            }
        }
        found
    }
}

/// Bytes from a frame's address.
fn distance(address: RunAddress, frame: &unwind::Frame) -> i64 {
    address.0.wrapping_sub(frame.cfa.0).cast_signed()
}

/// Whether the word at `slot` may be read; `below` says that it lies below the stack pointer.
fn overlaps(reads: &[FrameRead], slot: i64, below: bool) -> bool {
    reads.iter().any(|read| (read.below || !below) && read.slots.0 < slot.saturating_add(8) && slot < read.slots.1)
}
