//! Kernel resources of a process: one file each, with its capture, what an exec takes of it, and its restore.

pub mod agreement;
pub mod credentials;
pub mod descriptors;
mod error;
pub mod filesystem;
pub mod host;
pub mod limits;
pub mod memory;
pub mod modules;
pub(crate) mod proc;
pub mod process;
pub(crate) mod questions;
pub(crate) mod scratch;
pub mod signals;
mod status;
#[cfg(test)]
pub(crate) mod testing;
pub mod threads;
pub mod timers;

pub use error::{ExecProblem, Obstacle, ResourceError};
pub use status::Status;
