//! Descriptors and the open descriptions behind them: a file per kind, each with its capture and its restore side by side.
//!
//! Everything is looked at through duplicates (`pidfd_getfd`) that share the description: nothing is read from it, nothing moved.

mod blockers;
mod capture;
mod epoll;
mod eventfd;
mod fdinfo;
mod files;
mod give_back;
mod identity;
mod kind;
mod memfd;
mod pipe;
mod restore;
mod sharing;
mod signalfd;
mod socket;
mod socket_options;
mod socket_restore;
mod timerfd;
mod unix_diag;
mod unix_pair;

pub use blockers::{blockers_of_exec, blockers_of_restore};
pub use capture::{CaptureRequest, capture};
pub use epoll::{blockers_of_rewrite, rewrite_words};
pub use give_back::{close_on_exec_numbers, give_back_close_on_exec, give_back_owners, verify};
pub use identity::Caution;
pub use restore::{Placed, RestoredFile, bring_in, settle};
pub use sharing::shared_with_others;

#[cfg(test)]
mod tests;
