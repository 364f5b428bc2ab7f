//! The transaction: capture → plan → vessel → commit, or back.
//!
//! A process is in one phase at a time ([`phase::Phase`]). Before the exec, giving up is letting go. After it, the old image
//! goes back into the same vessel by the same code. What cannot go back parks, and `recover` finishes it from the journal.

mod aside;
pub mod cache;
pub mod capture;
pub mod checkpoint;
mod cold;
pub mod error;
mod health;
mod image;
pub mod journal;
mod libraries;
pub mod live;
pub mod lock;
mod look;
mod memory;
pub mod operation;
pub mod phase;
mod planner;
pub mod prepare;
pub mod recover;
pub mod restore;
mod room;
mod seccomp;
mod shared;
mod stale;
mod step;
pub mod stored;
pub mod timeline;
pub mod transaction;
pub mod transform;
mod way;
