//! Waiting for a moment without sleep: most of what the engine waits for is a few microseconds away, and to sleep until then, with
//! a processor to be woken at the end, takes longer.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

const MOMENT: Duration = Duration::from_micros(50);

/// Looks again and again until `has_come` says so or a moment has gone since `started`. Does not look where there is one
/// processor, which the tracee needs.
pub(super) fn comes_within(started: Instant, mut has_come: impl FnMut() -> bool) -> bool {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    if *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from)) < 2 {
        return false;
    }
    loop {
        if has_come() {
            return true;
        }
        if started.elapsed() > MOMENT {
            return false;
        }
        std::hint::spin_loop();
    }
}
