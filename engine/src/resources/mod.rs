//! Kernel resources of a process: one file each, with its capture, what an exec takes of it, and its restore.

mod error;
pub mod limits;
pub mod memory;
pub mod modules;
pub(crate) mod proc;
pub(crate) mod scratch;
mod status;
#[cfg(test)]
pub(crate) mod testing;

pub use error::{Obstacle, ResourceError};
pub use status::Status;
