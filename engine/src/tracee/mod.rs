//! Stopped processes: the only home of ptrace, injected system calls, remote memory and `/proc`.
#![allow(unsafe_code, reason = "ptrace requests and raw system calls that nix does not wrap")]

pub mod calls;
pub mod error;
pub mod inject;
pub mod memory;
pub mod pagemap;
