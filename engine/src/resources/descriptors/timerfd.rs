//! `timerfd_create(2)`.

use std::os::fd::{AsFd, OwnedFd};

use dsu_formats::model::latest::Kind;

use super::super::error::ResourceError;
use super::fdinfo::FdInfo;
use crate::tracee::error::TraceeError;
use crate::tracee::objects;

const TFD_TIMER_ABSTIME: u32 = 1;
const TFD_TIMER_CANCEL_ON_SET: u32 = 2;

pub(super) fn capture(info: &FdInfo) -> Result<Kind, TraceeError> {
    Ok(Kind::TimerFd {
        clock: info.decimal("clockid")?,
        ticks: info.decimal("ticks")?,
        settime_flags: info.octal("settime flags")?,
        value_ns: info.pair_ns("it_value")?,
        interval_ns: info.pair_ns("it_interval")?,
    })
}

/// A timer that expires after what was left at the capture. One that a change of the clock cancels stays absolute.
pub(super) fn restore(clock: i32, ticks: u64, flags: u32, value_ns: u64, interval_ns: u64) -> Result<OwnedFd, ResourceError> {
    let failed = |call| move |source| ResourceError::call(call, format_args!("a timer of clock {clock}"), source);
    let timer = objects::timerfd(clock).map_err(failed("timerfd_create"))?;
    if value_ns != 0 {
        let (flags, value_ns) = if flags & TFD_TIMER_CANCEL_ON_SET != 0 {
            let now = objects::clock_now(clock).map_err(failed("clock_gettime"))?;
            (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, now.saturating_add(value_ns))
        } else {
            (0, value_ns)
        };
        objects::arm_timerfd(timer.as_fd(), flags, interval_ns, value_ns).map_err(failed("timerfd_settime"))?;
    }
    if ticks != 0 {
        objects::set_timerfd_ticks(timer.as_fd(), ticks).map_err(failed("ioctl(TFD_IOC_SET_TICKS)"))?;
    }
    Ok(timer)
}
