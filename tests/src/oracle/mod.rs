//! The oracle (PROOF §4): the old program stands at a point, a plan says what the new program's frames would hold there; the new program,
//! run from scratch to the same point, says what they should hold.
//!
//! Then the update is made, and what the process says from there on must be what the new program says.

pub mod compare;
pub mod kept;
pub mod meaning;
pub mod plan;
pub mod process;
pub mod program;
pub mod random;
pub mod run;
pub mod scratch;
pub mod tally;

#[cfg(test)]
mod tests;
