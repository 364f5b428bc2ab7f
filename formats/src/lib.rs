//! What dsu keeps on disk, says to plugins and is told: the image container, the versioned meaning of its sections, the journal of a
//! transaction, the plugin protocol, the spec that a user writes.
//!
//! This crate knows no process and needs no privilege; `unsafe` is allowed only where a file is mapped.
#![deny(unsafe_code)]

pub mod address;
pub mod image;
pub mod journal;
pub mod model;
pub mod plugin;
pub mod spec;
