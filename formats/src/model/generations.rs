//! Section `generations`: what earlier updates left in an address space, and who owns it.

use serde::{Deserialize, Serialize};

use crate::address::RunRange;

/// How many updates an address space has seen, and the ranges that they retained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationV1 {
    /// Number of updates so far; zero for a process that was never updated.
    pub count: u64,
    /// Ranges of earlier builds that are still there.
    pub retained: Vec<RetainedV1>,
}

/// A range of an earlier build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetainedV1 {
    /// Addresses.
    pub range: RunRange,
    /// Generation that the build ran as.
    pub generation: u64,
    /// Its build-id; empty when it had none.
    pub build_id: Vec<u8>,
    /// Whether the range is readable (literals that something points to) rather than reserved without access.
    pub readable: bool,
}
