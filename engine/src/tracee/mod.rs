//! Stopped processes: the only home of ptrace, injected system calls, remote memory and `/proc`.
//!
//! A process goes through states that are types: [`stopped::Stopped`] (every thread in a ptrace stop, nothing touched),
//! [`borrowed::Borrowed`] (system calls can be injected, with the way back laid in its memory), [`emptied::Emptied`] (after the
//! exec: a process with a trampoline and nothing else). Dropping a state lets the process go on, or park, never run astray.
#![allow(unsafe_code, reason = "ptrace requests and raw system calls that nix does not wrap")]

pub mod adopt;
pub mod batch;
mod births;
pub mod borrowed;
mod bpf;
mod call;
pub mod calls;
pub mod emptied;
mod entry;
pub mod error;
pub mod exec;
pub mod fault;
mod functions;
mod gadget;
pub mod holder;
mod hush;
pub mod inject;
pub mod last_pid;
pub mod mark;
pub mod memory;
pub mod objects;
pub mod pagemap;
pub mod priority;
pub mod probe;
pub mod procfs;
mod ptrace;
pub mod release;
mod run_out;
pub mod seccomp;
mod seize;
mod sigframe;
pub mod site;
pub mod sockets;
pub mod spawn;
mod steer;
pub mod step;
pub mod stopped;
pub mod syscall;
mod table;
pub mod target;
pub(crate) mod ticker;
pub mod transfer;
mod workers;
