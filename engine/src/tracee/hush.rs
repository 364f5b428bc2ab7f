//! A machine on which, for some ten microseconds, nothing runs but the engine and the process that it restores.
//!
//! One thread for each processor keeps it busy at a priority above every time-sharing thread, and below the engine's own. What
//! else the machine does waits that long; what matters is that no other program can make a task meanwhile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::calls;
use super::priority::RealTime;

/// More threads than this would take longer to wake than the quiet is worth.
const MOST_PROCESSORS: usize = 128;
/// How long a processor may take to leave kernel code that is not preempted; most are there in some ten microseconds.
const FALLS_WITHIN: Duration = Duration::from_millis(10);
/// No quiet is longer, whatever becomes of the engine's other thread.
const LONGEST: Duration = Duration::from_millis(20);

static ACTIVE: AtomicBool = AtomicBool::new(false);
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// Quiet that ends when it is dropped.
#[derive(Debug)]
pub(super) struct Hush {
    _private: (),
}

impl Hush {
    /// Waits until every processor that this engine may use is kept busy. Without the privilege for it, or when that takes too
    /// long, the machine is as loud as before.
    pub(super) fn fall() -> Self {
        static KEEPERS: OnceLock<Vec<Thread>> = OnceLock::new();
        let keepers = KEEPERS.get_or_init(start_keepers);
        ACTIVE.store(true, Ordering::SeqCst);
        keepers.iter().for_each(Thread::unpark);
        let give_up = Instant::now() + FALLS_WITHIN;
        // Asleep, since the keeper of this very processor must come to run as well.
        while BUSY.load(Ordering::SeqCst) < keepers.len() && Instant::now() < give_up {
            std::thread::park_timeout(Duration::from_micros(20));
        }
        Self { _private: () }
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        ACTIVE.store(false, Ordering::SeqCst);
    }
}

/// One thread for each processor; they live as long as the engine, asleep. None if one of them cannot have its priority.
fn start_keepers() -> Vec<Thread> {
    let mine = nix::unistd::gettid().as_raw();
    let allowed = calls::sched_getaffinity(mine).unwrap_or_default();
    let processors: Vec<usize> = (0..allowed.len() * 8).filter(|number| allowed[number / 8] >> (number % 8) & 1 == 1).collect();
    if processors.len() > MOST_PROCESSORS || !RealTime::raise(mine).is_raised() {
        return Vec::new();
    }
    let keeper = |number: &usize| {
        let mut mask = vec![0u8; allowed.len()];
        mask[number / 8] = 1 << (number % 8);
        std::thread::Builder::new().name("dsu-quiet".to_owned()).spawn(move || keep_busy(&mask)).ok()
    };
    processors.iter().filter_map(keeper).map(|started| started.thread().clone()).collect()
}

fn keep_busy(processor: &[u8]) {
    let tid = nix::unistd::gettid().as_raw();
    if calls::sched_setaffinity(tid, processor).is_err() {
        return;
    }
    let _raised = RealTime::keep(tid);
    loop {
        std::thread::park();
        if !ACTIVE.load(Ordering::SeqCst) {
            continue;
        }
        let end = Instant::now() + LONGEST;
        BUSY.fetch_add(1, Ordering::SeqCst);
        while ACTIVE.load(Ordering::SeqCst) && Instant::now() < end {
            std::hint::spin_loop();
        }
        BUSY.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_ends_and_can_fall_again() {
        for _ in 0..20 {
            let began = Instant::now();
            drop(Hush::fall());
            assert!(began.elapsed() < Duration::from_secs(1));
            while BUSY.load(Ordering::SeqCst) > 0 {
                std::thread::yield_now();
            }
        }
    }
}
