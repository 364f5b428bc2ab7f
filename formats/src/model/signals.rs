//! Section `signals`: handlers, and signals that wait for the whole process.

use serde::{Deserialize, Serialize};

use crate::address::RunAddress;

/// Handlers and pending signals of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessSignalsV1 {
    /// One entry per signal whose disposition is not the default, by ascending number.
    pub handlers: Vec<HandlerV1>,
    /// Signals pending for the process, in delivery order.
    pub pending: Vec<PendingV1>,
}

/// `struct kernel_sigaction` of one signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerV1 {
    /// Signal number, 1 to 64.
    pub signal: u8,
    /// Handler; 0 is the default, 1 is ignore.
    pub handler: RunAddress,
    /// `sa_flags`.
    pub flags: u64,
    /// `sa_restorer`.
    pub restorer: RunAddress,
    /// `sa_mask`.
    pub mask: u64,
}

/// One queued signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingV1 {
    /// The 128 bytes of `siginfo_t`.
    pub siginfo: Vec<u8>,
}

impl PendingV1 {
    /// The signal's number (`si_signo`).
    pub fn signal(&self) -> i32 {
        self.siginfo.first_chunk::<4>().map_or(0, |bytes| i32::from_le_bytes(*bytes))
    }
}
