//! Frames of changed functions, rebuilt for the new code (PROOF §3).
//!
//! A [`Continuation`] is made from both builds alone: where a frame goes on, and for every location that the new code reads before it writes
//! it, which rule gives its value. At the stop values are filled in and the frames get their places.

mod continuation;
mod points;

pub use continuation::{Condition, Continuation, FrameObject, FramePlace, Operation, Placed, Relation, Value};
pub use points::{Candidate, Partners, PointProblem, PointReason, Points};
