//! The engine's own priority while a process stands still for it: on a busy machine the wait for a processor at each of some
//! hundred round trips would be most of the pause.

use super::calls;

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
}
