//! Waiting for events without trusting time: a condition is looked at until it holds, and a deadline only ends what hangs.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long one program, from its start to its end, may take in one flavour before it counts as hanging.
pub const PROGRAM: Duration = Duration::from_secs(120);

/// How long one run of `dsu` may take before it counts as hanging.
pub const COMMAND: Duration = Duration::from_secs(60);

/// Looks at `condition` until it yields a value or `limit` has passed; `None` then.
pub fn until<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}
