//! From an image to a process: the emptied process gets mappings, pages, threads, and what the exec took.
//!
//! [`restore::restore`] is the one way in, for the hot update, for the way back, and for a cold start; they differ in where
//! pages and files come from.

#![allow(unsafe_code, reason = "a memory file is made by a system call that nix wraps without its flags")]

mod ahead;
mod allocate;
pub mod back;
mod calls;
mod copy;
pub mod error;
pub mod files;
mod fill;
mod huge;
mod mapping;
pub mod pages;
mod pending;
pub mod restore;
mod scatter;
pub mod site;
pub mod stock;
pub mod stub;
mod threads;
mod verify;
