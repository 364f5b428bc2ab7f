//! A process in an image instead of one that is stopped: its memory, the files below it, its program, and the image that is written
//! of what a plan made of it.

pub mod files;
pub mod memory;
mod overlay;
pub mod program;
pub mod rewritten;
pub mod work;
