//! The journal of a transaction ([`crate::journal`]): what a later engine needs to finish or take back an update.

use serde::{Deserialize, Serialize};

use crate::address::{RunAddress, RunRange};

/// What a transaction made, written before the exec. Where it is, the process itself shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalV1 {
    /// The process.
    pub pid: i32,
    /// Its start time in clock ticks since boot: tells it from a later process with its PID.
    pub start_time: u64,
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
