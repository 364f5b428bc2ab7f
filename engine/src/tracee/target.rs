//! A running process that can be stopped. What needs no stop is looked up here, before it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Instant;

use dsu_formats::address::RunRange;
use nix::errno::Errno;

use super::error::{Refusal, TraceeError};
use super::gadget::Gadgets;
use super::mark;
use super::memory::RemoteMemory;
use super::seize;
use super::sigframe;
use super::stopped::Stopped;

/// A process that runs, untouched. [`Target::stop`] consumes it.
#[derive(Debug)]
pub struct Target {
    pub(super) pid: i32,
    pub(super) memory: RemoteMemory,
    pub(super) gadgets: Gadgets,
    pub(super) pidfd: OwnedFd,
    pub(super) strangers: seize::Strangers,
    /// Scratch mappings that engines seem to have left in it; looked at again when it is stopped.
    pub(super) leftovers: Vec<RunRange>,
}

impl Target {
    /// Checks that `pid` can be taken and finds what injection needs. The process is not touched.
    pub fn open(pid: i32) -> Result<Self, TraceeError> {
        seize::preflight(pid)?;
        let pidfd = open_pidfd(pid)?;
        let memory = RemoteMemory::open(pid).map_err(|error| match error {
            TraceeError::Proc { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                TraceeError::Refused { pid, reason: Refusal::NotPermitted }
            }
            other => other,
        })?;
        let gadgets = Gadgets::find(&memory)?;
        sigframe::learn();
        let (strangers, leftovers) = (seize::Strangers::look(pid), mark::leftovers(pid));
        Ok(Self { pid, memory, gadgets, pidfd, strangers, leftovers })
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its memory, which changes while it runs.
    pub fn memory(&self) -> &RemoteMemory {
        &self.memory
    }

    /// Takes a duplicate of one of its descriptors (`pidfd_getfd(2)`).
    pub fn duplicate(&self, number: i32) -> Result<OwnedFd, TraceeError> {
        duplicate(&self.pidfd, self.pid, number)
    }

    /// Stops every thread, or none when the deadline passes first.
    pub fn stop(self, deadline: Instant) -> Result<Stopped, TraceeError> {
        Stopped::stop(self, deadline)
    }
}

pub(super) fn open_pidfd(pid: i32) -> Result<OwnedFd, TraceeError> {
    // SAFETY: plain numbers in, a descriptor of our own out.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = Errno::result(result).map_err(|_| TraceeError::Refused { pid, reason: Refusal::NoSuchProcess })?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

pub(super) fn duplicate(pidfd: &OwnedFd, pid: i32, number: i32) -> Result<OwnedFd, TraceeError> {
    // SAFETY: plain numbers in, a descriptor of our own out.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    let number = Errno::result(result).map_err(|source| TraceeError::Call { call: "pidfd_getfd", tid: pid, source })?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}
