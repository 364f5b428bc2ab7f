//! From an image, an old and a new program to a rewritten image, or to blockers. Pure: no process, no privilege.
//!
//! What depends on the two builds alone ([`compare::Comparison`]) is made before the process is stopped.

pub mod blocker;
pub mod rewrite;
pub mod source;
