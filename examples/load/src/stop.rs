//! When to stop: at the end of standard input, or at SIGTERM. Nothing here looks at a clock.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use crate::LoadError;

/// Shared by all sessions of a client; set once, never cleared.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Starts to listen for a request to stop. To be called before any other thread is started: they inherit a mask
    /// that leaves SIGTERM to the listener.
    ///
    /// # Errors
    /// When the signal mask cannot be set.
    pub fn listen() -> Result<Self, LoadError> {
        let stop = Self::default();
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.thread_block()?;

        let on_signal = stop.clone();
        thread::spawn(move || {
            if signals.wait().is_ok() {
                on_signal.request();
            }
        });
        let on_end = stop.clone();
        thread::spawn(move || {
            let mut ignored = [0; 64];
            while matches!(std::io::stdin().lock().read(&mut ignored), Ok(count) if count > 0) {}
            on_end.request();
        });
        Ok(stop)
    }

    /// Asks every session to end after the request that it is at.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether sessions should end.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
