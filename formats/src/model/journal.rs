//! The journal of a transaction ([`crate::journal`]): what a later engine needs to finish or take back an update.

use serde::{Deserialize, Serialize};

use crate::address::{RunAddress, RunRange};

/// Where a transaction is, and what it made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalV1 {
    /// The process.
    pub pid: i32,
    /// Its start time in clock ticks since boot: tells it from a later process with its PID.
    pub start_time: u64,
    /// Phase that was reached.
    pub phase: JournalPhaseV1,
    /// The holder.
    pub holder: i32,
    /// Start time of the holder.
    pub holder_start_time: u64,
    /// Stub, trampoline and scratch of the vessel.
    pub site: RunRange,
    /// Private pages that the holder has.
    pub own_pages: Vec<RunRange>,
    /// Guards inside mappings.
    pub guards: Vec<RunRange>,
    /// Words in shared memory that the new image may have changed, as they were.
    pub shared_words: Vec<(RunAddress, u64)>,
}

/// The phases that a journal tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JournalPhaseV1 {
    /// The exec is next, or done; the vessel is not filled.
    Executed,
    /// The new image is in the vessel; the gate may be open.
    Filled,
}
