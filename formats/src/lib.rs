//! What dsu keeps on disk and says to plugins: the image container, the versioned meaning of its sections, the plugin protocol.
//!
//! This crate knows no process and needs no privilege; `unsafe` is allowed only where a file is mapped.
#![deny(unsafe_code)]

pub mod address;
pub mod image;
pub mod model;
pub mod plugin;
