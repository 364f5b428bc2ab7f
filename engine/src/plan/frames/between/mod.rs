//! Points between calls: where a thread goes on that was stopped, or struck by a signal, inside a changed function (PROOF 3.14).
//!
//! Every register counts there, and every register of the old code is known. Which instruction of the new code it is, is proposed by how
//! the two codes run along each other, and proved by what is proved of calls, and by what both have done last: between two effects it does
//! not matter where control is, as long as every value that is read from there on is made in the same way.

mod align;
mod last;
mod near;

use std::sync::Arc;

use iced_x86::{Instruction, Mnemonic};

use super::blocker::FrameBlocker;
use super::continuation::{Continuation, FramePlace};
use super::correspond::Correspondence;
use super::explain::{Explainer, Seen, Way};
use super::locals::DWARF;
use super::points::{Partners, Points};
use super::prepared::Facts;
use super::said::About;
use super::terms::Candidate;
use crate::plan::address::{NewLink, OldLink};
use crate::plan::scan::dead::RED_ZONE;
use crate::program::code::RegisterSet;
use crate::program::flow::{Live, LiveKind, LivePlace, Location, Place, Values};

pub(super) use align::Aligned;
pub(super) use last::same_last_effects;
pub use near::Near;

/// Registers that calls need not keep.
const CLOBBERED: u16 = RegisterSet::CLOBBERED.general;
/// Number of the stack pointer, as instructions encode registers.
const STACK_POINTER: u8 = 4;
/// Registers that hold something else once the kernel was called: the number's place its answer, and two that `syscall` overwrites
/// (System V ABI, A.2.1).
const LOST_TO_KERNEL: [u8; 3] = [0, 1, 11];

impl Explainer<'_> {
    /// How the frame of a thread goes on that is about to run the instruction at `place` of a changed function.
    ///
    /// # Errors
    /// All that is not proved.
    pub fn between_calls(&self, function: usize, place: OldLink) -> Result<Continuation, Vec<FrameBlocker>> {
        self.between_calls_about(function, place, &About::default())
    }

    /// The same, with rules of the user's about the frame.
    pub(super) fn between_calls_about(
        &self,
        function: usize,
        place: OldLink,
        about: &About,
    ) -> Result<Continuation, Vec<FrameBlocker>> {
        let told = |reason: String| vec![self.point_blocker(function, (place, None), true, reason)];
        let points = about.points(self.comparison);
        let Some(partner) = points.function(function) else {
            return Err(told("the new program has no such function".to_owned()));
        };
        let prepared = &self.comparison.prepared;
        let old = prepared.old(function).map_err(|unclear| told(unclear.to_string()))?;
        let new = prepared.new_function(partner).map_err(|unclear| told(unclear.to_string()))?;
        let Some(node) = old.point(place.0, true) else {
            return Err(told("control does not come there by any way that is known".to_owned()));
        };
        if old.graph.node(node).is_some_and(|node| is_repeated(&node.instruction)) {
            return Err(told("it repeats itself there, and how often it has is not known".to_owned()));
        }
        let aligned = self.aligned(points, (function, partner), old, new);
        let mut first = None;
        for to in aligned.of(node) {
            let Some(to) = new.graph.node(*to).map(|node| NewLink(node.address())) else { continue };
            let way = Way { between: (true, true), aligned: Some(&aligned), about, is_other_call: false };
            match self.attempt_as((function, partner), (place, to), way, &mut Seen::default()) {
                Ok(continuation) => return Ok(continuation),
                Err(reasons) => drop(first.get_or_insert(reasons)),
            }
        }
        Err(first.unwrap_or_else(|| told("no instruction of the new code is known to be the one that is next there".to_owned())))
    }
}

impl Explainer<'_> {
    /// How the old code of a function and the new one of its partner run along each other.
    pub(super) fn aligned(&self, points: &Points, (function, partner): (usize, usize), old: &Facts, new: &Facts) -> Arc<Aligned> {
        let aligned = || Arc::new(Aligned::new(&old.graph, &new.graph, &paired(points, function, old, new)));
        self.comparison.prepared.aligned((function, partner), aligned)
    }
}

/// The calls of a function that are certain to be one, as pairs of nodes.
fn paired(points: &Points, function: usize, old: &Facts, new: &Facts) -> Vec<(u32, u32)> {
    let calls = points.calls(function).filter_map(|(returns, partners)| match partners {
        Ok(Partners::One(to)) => Some((old.graph.call_before(returns.0)?, new.graph.call_before(to.0)?)),
        _ => None,
    });
    calls.collect()
}

/// Whether an instruction may be interrupted when part of it is done: its registers are then not what they were before it.
fn is_repeated(instruction: &Instruction) -> bool {
    let repeats = instruction.has_rep_prefix() || instruction.has_repe_prefix() || instruction.has_repne_prefix();
    instruction.is_string_instruction() && repeats
}

/// Places of the old frame that hold the function's own values before an instruction.
pub(super) fn candidates(old: &Facts, point: u32, values: &mut Values<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    let is_to_kernel = old.graph.node(point).is_some_and(|node| node.instruction.mnemonic() == Mnemonic::Syscall);
    let is_known = |register: &u8| *register != STACK_POINTER && !(is_to_kernel && LOST_TO_KERNEL.contains(register));
    for (register, number) in (0u8..).zip(DWARF).filter(|(register, _)| is_known(register)) {
        let value = values.before(point, Place::Register(register));
        found.push(Candidate { place: FramePlace::Register(number), value });
    }
    let pointer = old.function().frame_offset(point, STACK_POINTER);
    let lowest = pointer.map_or(0, |pointer| pointer.saturating_sub_unsigned(RED_ZONE));
    for (offset, length) in old.slots() {
        if offset >= lowest && old.function().is_private(point, offset, i64::from(length)) {
            let value = values.before(point, Place::Slot { offset, length });
            found.push(Candidate { place: FramePlace::Slot { offset, length }, value });
        }
    }
    found
}

/// Registers, by DWARF number, that hold what the caller left in them: those that are read as such, and those that the function never
/// writes, in which a caller that knows that may keep a value.
pub(super) fn given_back(new: &Facts, live: &[Live]) -> Vec<u8> {
    let written = |register: u8| {
        (0u32..).zip(new.graph.nodes()).any(|(index, node)| {
            let effects = new.escapes.effects(index);
            let touches = effects.into_iter().flat_map(|effects| effects.writes.iter().chain(&effects.may_write));
            node.clobbers.general & 1 << register != 0
                || touches.into_iter().any(|touch| touch.location == Location::Register(register))
        })
    };
    let untouched = (0u8..).zip(DWARF).filter(|(register, _)| CLOBBERED & 1 << register != 0 && !written(*register));
    let untouched: Vec<u8> = untouched.map(|(_, number)| number).collect();
    let own = live.iter().filter_map(|live| match (live.kind, live.place) {
        (LiveKind::Saved(register), LivePlace::Register(_)) => Some(register),
        _ => None,
    });
    own.chain(untouched).collect()
}

/// Whether a place that values cannot be put into holds in the old code what the new code reads from it.
///
/// # Errors
/// That it does not.
pub(super) fn same_as_it_is(correspondence: &mut Correspondence<'_, '_>, place: LivePlace) -> Result<(), &'static str> {
    let place = match place {
        LivePlace::Flags => Place::Flags,
        LivePlace::Vector(number) => Place::Vector(number),
        _ => return Err("the new code reads it there, and no value can be put into it"),
    };
    let (old, new) = (correspondence.old.here(place), correspondence.new.here(place));
    match correspondence.same(old, new) {
        true => Ok(()),
        false => Err("the new code reads it there, and the old code has something else in it"),
    }
}
