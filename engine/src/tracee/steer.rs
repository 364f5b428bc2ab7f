//! Threads with given IDs in a process that may not choose them: the kernel's counter is set to the ID before, by an engine that
//! may, at the instant before the thread is made.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::call;
use super::emptied::Emptied;
use super::error::TraceeError;
use super::hush::Hush;
use super::last_pid::Steering;
use super::priority::RealTime;

/// Another process may come in between and take the ID. Most are short-lived; the way back needs the same ID, so that giving up
/// early helps nobody.
pub(super) const LIMIT: Duration = Duration::from_secs(15);
/// Between two tries while another task has the ID.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

impl Emptied {
    /// Makes a thread and checks that it has the ID `tid`; one with another ID is ended, and the next try follows.
    pub(super) fn create_steered(&mut self, tid: i32) -> Result<(), TraceeError> {
        let give_up = Instant::now() + LIMIT;
        call::pass(self.pid, "clone3")?;
        // Between the setting and the making nothing but these two should have to wait for a processor.
        let _engine = RealTime::raise(nix::unistd::gettid().as_raw());
        let _maker = RealTime::raise(self.pid);
        loop {
            let steering = Steering::begin()?;
            let quiet = Hush::fall();
            // At the entry of the call, which leaves others the least time.
            let set = || steering.set_next(tid);
            let born = self.create_next(set, || {
                // The counter first: what others make next must not be given what other vessels wait for.
                steering.end();
                drop(quiet);
            })?;
            if born == tid {
                return Ok(());
            }
            tracing::debug!(tid, born, "another task was given the ID of a thread");
            self.end_thread(born)?;
            if Instant::now() >= give_up {
                return Err(TraceeError::Call { call: "clone3 (another task has the thread's ID)", tid, source: Errno::EEXIST });
            }
            std::thread::sleep(PAUSE);
        }
    }
}
