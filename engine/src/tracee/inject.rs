//! System calls made in the tracee on the engine's behalf.

use std::os::fd::{BorrowedFd, RawFd};

use dsu_formats::address::RunRange;
use nix::errno::Errno;

use super::batch::{Call, Failed};
use super::error::TraceeError;
use super::memory::RemoteMemory;

/// A process in whose threads system calls can be made: the stopped target before the exec, the vessel after it.
///
/// Signals are blocked in every thread while an injector exists. The scratch range is mapped read-write in the tracee, at
/// least 32 KiB, and free for the arguments of one call, or one group of calls, at a time; nothing in it survives the next
/// user of it.
pub trait Injector {
    /// Thread IDs that calls can be made in, the leader first.
    fn threads(&self) -> &[i32];

    /// Makes one system call in thread `tid` and returns its non-negative result (as the raw register).
    ///
    /// `name` is the call's name for messages, `number` a `libc::SYS_…`. A kernel error is `TraceeError::Call`.
    fn call(&mut self, tid: i32, name: &'static str, number: i64, arguments: &[u64]) -> Result<u64, TraceeError>;

    /// Makes several calls: those of one thread in their order, those of different threads side by side where the injector
    /// can. Returns the answer of each; when a call cannot be made at all, none is to be relied on.
    fn call_each(&mut self, calls: &[Call]) -> Result<Vec<Result<u64, Errno>>, TraceeError> {
        let one = |call: &Call| match self.call(call.tid, call.name, call.number, &call.arguments) {
            Ok(value) => Ok(Ok(value)),
            Err(TraceeError::Call { source, .. }) => Ok(Err(source)),
            Err(other) => Err(other),
        };
        calls.iter().map(one).collect()
    }

    /// Makes all of `calls`, none of which may be refused, at most as many as a [`super::batch::Batch`] holds: those of one thread
    /// in their order, perhaps only up to the first that fails, those of different threads perhaps side by side. Returns the
    /// results in the order of `calls`.
    ///
    /// `data` is what the scratch range is to begin with when the first of them is made.
    fn call_all(&mut self, calls: &[Call], data: &[u8]) -> Result<Vec<u64>, Failed> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        self.memory().write(self.scratch().start, data).map_err(|source| Failed::new(0, *first, source))?;
        let made = calls.iter().enumerate().map(|(index, call)| {
            let made = self.call(call.tid, call.name, call.number, &call.arguments);
            made.map_err(|source| Failed::new(index, *call, source))
        });
        made.collect()
    }

    /// Memory of the tracee.
    fn memory(&self) -> &RemoteMemory;

    /// Where arguments can be put.
    fn scratch(&self) -> RunRange;

    /// Gives the tracee a descriptor for the engine's `descriptor` and returns its number there (close-on-exec).
    fn import(&mut self, descriptor: BorrowedFd<'_>) -> Result<RawFd, TraceeError>;

    /// Takes a duplicate of the tracee's descriptor `number` into the engine (pidfd_getfd).
    fn export(&mut self, number: RawFd) -> Result<std::os::fd::OwnedFd, TraceeError>;

    /// Makes a call in the leader.
    fn leader_call(&mut self, name: &'static str, number: i64, arguments: &[u64]) -> Result<u64, TraceeError> {
        let leader = self.threads()[0];
        self.call(leader, name, number, arguments)
    }
}
