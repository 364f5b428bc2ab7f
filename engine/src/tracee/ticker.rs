//! A periodic signal to the engine's own thread, so that no wait for a tracee can outlast its deadline.
//!
//! `waitpid` has no time-out. A signal that is handled by doing nothing makes it return EINTR, after which the caller looks
//! at its deadline; ticking for as long as the ticker lives leaves no window in which a tick is missed for good.

use std::sync::Once;

use nix::errno::Errno;

/// Time between ticks: what a deadline may be missed by.
const TICK_NS: i64 = 20_000_000;

/// Ticks from creation to drop, to the thread that created it.
#[derive(Debug)]
pub(crate) struct Ticker {
    timer: libc::timer_t,
}

// SAFETY: a timer ID is a number of the process; any thread may delete it.
unsafe impl Send for Ticker {}

extern "C" fn on_tick(_: i32) {}

fn tick_signal() -> i32 {
    libc::SIGRTMIN() + 5
}

impl Ticker {
    pub(crate) fn start() -> Result<Self, Errno> {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            // SAFETY: the handler does nothing and so is safe in any context; SA_RESTART is left out on purpose.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_tick as *const () as usize;
                libc::sigaction(tick_signal(), &raw const action, std::ptr::null_mut());
            }
        });
        // SAFETY: the event is a plain value and `timer` outlives the call.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = tick_signal();
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer: libc::timer_t = std::ptr::null_mut();
            Errno::result(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer))?;
            let period = libc::timespec { tv_sec: 0, tv_nsec: TICK_NS };
            let spec = libc::itimerspec { it_interval: period, it_value: period };
            let ticker = Self { timer };
            Errno::result(libc::timer_settime(timer, 0, &raw const spec, std::ptr::null_mut()))?;
            Ok(ticker)
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // SAFETY: the timer was created by `start` and is deleted once.
        unsafe { libc::timer_delete(self.timer) };
    }
}
