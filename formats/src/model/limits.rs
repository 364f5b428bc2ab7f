//! Section `limits`: resource limits.

use serde::{Deserialize, Serialize};

/// Limits of one process, indexed by the `RLIMIT_…` number (0 to 15).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsV1 {
    /// One entry per resource.
    pub limits: Vec<LimitV1>,
}

/// Soft and hard limit; `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitV1 {
    /// Soft limit.
    pub soft: u64,
    /// Hard limit.
    pub hard: u64,
}
