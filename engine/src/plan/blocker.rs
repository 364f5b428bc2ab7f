//! Reasons not to update, each with what, where, why.

use dsu_formats::address::RunAddress;

/// One reason.
#[derive(Clone, Debug, PartialEq, thiserror::Error, serde::Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Blocker {
    /// A changed function is active on a thread's stack; waiting may help.
    #[error("thread {tid} is inside `{function}`, which changes ({place})")]
    ActiveFunction {
        /// Thread.
        tid: i32,
        /// Function of the old program.
        function: String,
        /// Source file and line, or address.
        place: String,
    },
    /// A thread is at a place that is never safe (loader, PLT, unwinder, exit); waiting may help.
    #[error("thread {tid} is inside {what} at {address:?}")]
    UnsafePlace {
        /// Thread.
        tid: i32,
        /// Which place.
        what: String,
        /// Program counter.
        address: RunAddress,
    },
}

impl Blocker {
    /// Whether the same plan may succeed a moment later, once threads have gone on.
    pub fn is_transient(&self) -> bool {
        matches!(self, Blocker::ActiveFunction { .. } | Blocker::UnsafePlace { .. })
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The update is blocked; the process is untouched.
    #[error("{} blockers", .0.len())]
    Blocked(Vec<Blocker>),
    /// Memory of the process or image could not be read.
    #[error(transparent)]
    Source(#[from] super::source::SourceError),
}
