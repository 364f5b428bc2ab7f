//! From an image, an old and a new program to a rewritten image, or to blockers. Pure: no process, no privilege.
//!
//! What depends on the two builds alone ([`compare::Comparison`]) is made before the process is stopped.

pub mod abi;
pub mod address;
pub mod base;
pub mod blocker;
pub mod compare;
pub mod generations;
pub mod globals;
pub mod image;
pub mod kernel_words;
pub mod link;
pub mod loader;
pub mod pointers;
pub mod rewrite;
pub mod safe_point;
pub mod scan;
pub mod source;
#[cfg(test)]
pub(crate) mod testing;
pub mod view;
pub mod words;
