//! Frames of changed functions, rebuilt for the new code (PROOF §3).
//!
//! A [`Continuation`] is made from both builds alone: where a frame goes on, and for every location that the new code reads before it writes
//! it, which rule gives its value. At the stop values are filled in and the frames get their places.

use std::fmt;
use std::sync::Arc;

mod apart;
mod arguments;
mod attempt;
mod attempt_objects;
mod between;
mod blocker;
mod by_byte;
mod by_rules;
mod choice;
mod chosen;
mod continuation;
mod converted;
mod copies;
mod correspond;
mod counters;
mod definitions;
mod effects;
mod events;
mod explain;
mod explain_said;
mod facts;
mod follow;
mod given;
mod history;
mod kinds;
mod layout;
mod layout_arguments;
mod layout_depth;
mod layout_shape;
mod locals;
mod lockstep;
mod lockstep_value;
mod meeting;
mod other_fields;
mod pairing;
mod pairs;
mod parameters;
mod passings;
mod points;
mod prepared;
mod rebuild;
#[cfg(test)]
mod rebuild_tests;
mod rebuild_value;
mod report;
mod results;
mod said;
mod same_memory;
mod solved;
mod stack;
mod stack_idle;
mod stale;
mod strangers;
mod terms;
#[cfg(test)]
mod tests;
mod typed;
mod unread;

pub use apart::{come_apart, is_inside};
pub use between::Near;
pub use blocker::{CodePlace, FrameBlocker};
pub use choice::choose;
pub use continuation::{
    AskedArgument, Condition, Continuation, FrameObject, FramePlace, Held, Operation, Placed, Relation, Rival, Value,
};
pub(in crate::plan) use converted::recipe as recipe_of_local;
pub use explain::Explainer;
pub use follow::SavedFrame;
pub use given::Givers;
pub use layout::{Fate, Layout, LayoutProblem, Piece, Position, Rebuilt, StackRoom, Surroundings, Tie, lay_out};
pub use layout_arguments::{arguments_pushed, arguments_read};
pub use layout_shape::{Shape, shape};
pub use other_fields::{Described, other_fields};
pub use points::{Candidate, Partners, PointProblem, PointReason, Points};
pub use prepared::{Coded, Prepared};
pub use rebuild::{CallWord, Filled, Follow, KEPT, Made, RebuildProblem, SetTo, SetWord, Subject, overridden, rebuild};
pub use report::{FrameFate, FrameReport, NextPoint, ObjectReport, PlaceReport, StackReports, ThreadReport, ValueReport};
pub use said::{
    Besides, CallArgument, CallRule, Form, Formula, FrameAt, FrameRule, FrameRules, Inner, LocalRule, NotFound, OldProcess,
    OldScope, Piece as SaidPiece, Read, Readable, Said, SaidArgument, SaidCall, SaidSet, ScopeVariable, SetPlace, SetRule,
    Source, Whole, Word, calls_of, code_points, scope_of, word,
};
pub use stack::{Followed, FrameMoves};
pub use stack_idle::{IdleRegisters, JUMP_POINTER};
pub use stale::stale;

use crate::program::address::LinkAddress;

/// Who knows how frames of changed functions go on in the new code.
pub trait Continuations: fmt::Debug + Send + Sync {
    /// How the frame of the function at position `old_function` of the old build goes on that a call returns to at `old_return`.
    ///
    /// # Errors
    /// Everything about it that is not proved.
    fn of(&self, old_function: usize, old_return: LinkAddress) -> Result<Arc<Continuation>, Vec<FrameBlocker>>;

    /// How many frames further in vanish with one, because the user says so.
    fn drops(&self, frame: &FrameAt) -> usize {
        let _ = frame;
        0
    }

    /// Whether the code of a frame (the position of its function in the old build, a place, and whether that is the next instruction) reads
    /// so many bytes at a place again before it writes them.
    fn reads(&self, frame: (usize, LinkAddress, bool), place: FramePlace, length: u64) -> bool {
        let _ = (frame, place, length);
        false
    }

    /// How a frame goes on that the user says something of; `None` where he does not.
    fn told(&self, frame: &FrameAt) -> Option<Result<Arc<Continuation>, Vec<FrameBlocker>>> {
        let _ = frame;
        None
    }

    /// How the frame of a thread goes on that was stopped, or struck by a signal, before the instruction at `place` of the function at
    /// position `old_function`.
    ///
    /// # Errors
    /// Everything about it that is not proved; nothing where that is all there is to say.
    fn between(&self, old_function: usize, place: LinkAddress) -> Result<Arc<Continuation>, Vec<FrameBlocker>> {
        let _ = (old_function, place);
        Err(Vec::new())
    }

    /// The nearest point at or after `place` at which [`Continuations::between`] is known to say how the frame goes on.
    fn near(&self, old_function: usize, place: LinkAddress) -> Option<Near> {
        let _ = (old_function, place);
        None
    }

    /// What the call of the function at position `caller` that returns to `returns` gave the function at position `callee` in an argument
    /// register (by the number that instructions have it by), in terms of the caller's old frame. Where an earlier update may have made that
    /// frame anew (`was_updated`), only what its code reads again counts.
    ///
    /// # Errors
    /// Why that is not known any more.
    fn given(&self, caller: (usize, LinkAddress), callee: usize, register: u8, was_updated: bool) -> Result<Value, String>;

    /// What the same call gave, in terms of the old frame of the function that it called, which waits in a call that returns to the place
    /// beside it.
    ///
    /// # Errors
    /// Why that is not known any more.
    fn passed(
        &self,
        caller: (usize, LinkAddress),
        callee: (usize, LinkAddress),
        register: u8,
        was_updated: bool,
    ) -> Result<Value, String> {
        let _ = (caller, callee, register, was_updated);
        Err("what is further in is not known".to_owned())
    }
}
