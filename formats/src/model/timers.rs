//! Section `timers`: interval and POSIX timers.

use serde::{Deserialize, Serialize};

use crate::address::RunAddress;

/// Timers of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessTimersV1 {
    /// ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF, in that order.
    pub interval: [IntervalTimerV1; 3],
    /// Timers of `timer_create(2)`, by ascending ID.
    pub posix: Vec<PosixTimerV1>,
}

/// `struct itimerval`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalTimerV1 {
    /// Time to the next expiry in microseconds; zero when disarmed.
    pub value_us: u64,
    /// Period in microseconds.
    pub interval_us: u64,
}

/// One timer of `timer_create(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PosixTimerV1 {
    /// The kernel's timer ID.
    pub id: i32,
    /// Clock.
    pub clock: i32,
    /// `sigev_notify`.
    pub notify: i32,
    /// `sigev_signo`.
    pub signal: i32,
    /// `sigev_value`: a word of the program's.
    pub value: RunAddress,
    /// Thread for SIGEV_THREAD_ID.
    pub thread: i32,
    /// Time to the next expiry in nanoseconds; zero when disarmed.
    pub value_ns: u64,
    /// Period in nanoseconds.
    pub interval_ns: u64,
    /// Overrun count at the capture.
    pub overrun: i32,
}
