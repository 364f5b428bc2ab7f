//! The meaning of each section of an image, and of the journal's record.
//!
//! Every saved type carries its version in its name (`…V1`) and lives in the file of its section. What the engine works
//! with are the aliases in [`latest`]; a type that changes gets a `…V2` beside the old one, a converter, and `latest`
//! moves on. A released version is never edited.

pub mod credentials;
pub mod descriptors;
pub mod generations;
pub mod journal;
pub mod latest;
pub mod limits;
pub mod manifest;
pub mod memory;
pub mod modules;
pub mod pages;
pub mod signals;
pub mod threads;
pub mod timers;
pub mod tree;
pub mod work;
