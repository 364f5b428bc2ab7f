//! From an image to a process: the emptied process gets mappings, pages, threads, and what the exec took.
//!
//! [`restore::restore`] is the one way in, for the hot update, for the way back, and for a cold start; they differ in where
//! pages and files come from.

pub mod error;
pub mod files;
mod fill;
mod mapping;
pub mod pages;
pub mod site;
