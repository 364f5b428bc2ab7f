//! The driver of the self-checking programs in `programs/`: compiles them, starts them, and moves them with `dsu`.
//!
//! A program prepares one resource, says `ready`, waits, and then checks itself (`programs/check.h`). What happens during the
//! wait is the flavour: nothing, an update, fifty updates, a checkpoint and a restore, a refusal, a fault.
#![forbid(unsafe_code)]

pub mod build;
pub mod catalogue;
pub mod deadline;
pub mod dsu;
pub mod flavours;
pub mod leaks;
pub mod observe;
pub mod oracle;
pub mod reach;
pub mod target;
