//! Frames of changed functions, rebuilt for the new code (PROOF §3).
//!
//! A [`Continuation`] is made from both builds alone: where a frame goes on, and for every location that the new code reads before it writes
//! it, which rule gives its value. At the stop values are filled in and the frames get their places.

pub mod blocker;
mod continuation;
mod correspond;
mod definitions;
mod events;
mod explain;
mod locals;
mod pairing;
mod parameters;
mod points;
mod prepared;
mod terms;
#[cfg(test)]
mod tests;

pub use blocker::{CodePlace, FrameBlocker};
pub use continuation::{Condition, Continuation, FrameObject, FramePlace, Operation, Placed, Relation, Value};
pub use explain::Explainer;
pub use points::{Candidate, Partners, PointProblem, PointReason, Points};
pub use prepared::{Coded, Prepared};
