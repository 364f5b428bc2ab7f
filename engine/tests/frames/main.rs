//! Threads wherever they are, and frames of every kind, in functions that change and in those that do not.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/moving.rs"]
mod moving;
mod odd;
mod steps;
mod traps;
