//! The engine's own priority while a process stands still for it: on a busy machine the wait for a processor at each of some
//! hundred round trips would be most of the pause.

use super::calls::{self, SchedAttributes};

/// The highest priority among time-sharing threads (`sched(7)`).
const HIGHEST: i32 = -20;

/// The calling thread, and what it starts, runs before others; back as it was when dropped.
#[derive(Debug)]
pub struct Raised {
    tid: i32,
    before: Option<i32>,
}

impl Raised {
    /// Raises the calling thread, where the privilege for it is there; else it stays as it is.
    pub fn new() -> Self {
        let tid = nix::unistd::gettid().as_raw();
        let before = calls::nice_of(tid).ok().filter(|_| calls::set_nice(tid, HIGHEST).is_ok());
        Self { tid, before }
    }
}

impl Default for Raised {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // Lowering is always allowed.
            let _ = calls::set_nice(self.tid, before);
        }
    }
}

/// A thread that runs before all time-sharing ones; back as it was when dropped.
#[derive(Debug)]
pub(super) struct RealTime {
    tid: i32,
    before: Option<SchedAttributes>,
}

impl RealTime {
    /// Raises a thread for a moment, where the privilege for it is there; what it makes meanwhile is not raised.
    pub(super) fn raise(tid: i32) -> Self {
        Self::with_priority(tid, 2)
    }

    /// As [`RealTime::raise`], but below it: for threads that only keep processors busy.
    pub(super) fn keep(tid: i32) -> Self {
        Self::with_priority(tid, 1)
    }

    /// Whether the privilege was there.
    pub(super) fn is_raised(&self) -> bool {
        self.before.is_some()
    }

    fn with_priority(tid: i32, priority: u32) -> Self {
        const SCHED_FIFO: u32 = 1;
        const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
        let raised = SchedAttributes { policy: SCHED_FIFO, flags: SCHED_FLAG_RESET_ON_FORK, priority, ..Default::default() };
        let before = calls::sched_getattr(tid).ok().filter(|_| calls::sched_setattr(tid, &raised).is_ok());
        Self { tid, before }
    }
}

impl Drop for RealTime {
    fn drop(&mut self) {
        const SCHED_DEADLINE: u32 = 6;
        if let Some(before) = &self.before {
            // Of a time-sharing thread the kernel tells its time slice as run time; set again, that would pin it.
            let runtime_ns = if before.policy == SCHED_DEADLINE { before.runtime_ns } else { 0 };
            // Lowering is always allowed; a vessel's thread is given its own scheduling later, whatever comes of this.
            let _ = calls::sched_setattr(self.tid, &SchedAttributes { runtime_ns, ..*before });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_priority_is_back_afterwards() {
        let tid = nix::unistd::gettid().as_raw();
        let before = calls::nice_of(tid).unwrap();
        let raised = Raised::new();
        let expected = if raised.before.is_some() { HIGHEST } else { before };
        assert_eq!(calls::nice_of(tid).unwrap(), expected);
        drop(raised);
        assert_eq!(calls::nice_of(tid).unwrap(), before);
    }

    #[test]
    fn a_raised_thread_is_as_it_was_afterwards() {
        let tid = nix::unistd::gettid().as_raw();
        let before = calls::sched_getattr(tid).unwrap();
        let raised = RealTime::raise(tid);
        assert_eq!(calls::sched_getattr(tid).unwrap().policy, u32::from(raised.before.is_some()));
        drop(raised);
        assert_eq!(calls::sched_getattr(tid).unwrap(), before);
    }
}
