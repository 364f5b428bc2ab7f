//! System calls that are made in one go, each with its arguments in the scratch range.
//!
//! Calls of one thread are made in the order in which they were added, up to the first error; those of different threads side
//! by side. What one call needs of another's result has to wait for [`Batch::run`].

use nix::errno::Errno;

use super::error::TraceeError;
use super::inject::Injector;

/// Calls that are made in one go at most.
pub(super) const MOST_CALLS: usize = 500;

/// One system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Thread that makes it.
    pub tid: i32,
    /// Its name, for messages.
    pub name: &'static str,
    /// `libc::SYS_…`.
    pub number: i64,
    /// Raw arguments.
    pub arguments: [u64; 6],
}

impl Call {
    /// A call with fewer arguments than six; the rest is zero.
    pub fn new<const N: usize>(tid: i32, name: &'static str, number: i64, arguments: [u64; N]) -> Self {
        const { assert!(N <= 6, "a system call has six arguments") };
        Self::of(tid, name, number, &arguments)
    }

    /// The same for a list whose length only run time knows; what is beyond the sixth is left out.
    pub fn of(tid: i32, name: &'static str, number: i64, arguments: &[u64]) -> Self {
        Self { tid, name, number, arguments: std::array::from_fn(|i| arguments.get(i).copied().unwrap_or(0)) }
    }

    /// The error for a call that the kernel refused.
    pub fn refused(&self, source: Errno) -> TraceeError {
        TraceeError::Call { call: self.name, tid: self.tid, source }
    }
}

/// A call of a batch that failed. Calls of its thread that came after it were not made.
#[derive(Debug, thiserror::Error)]
#[error("{} in thread {} with {:x?}", call.name, call.tid, call.arguments)]
pub struct Failed {
    /// Its place among all calls of the batch, from 0.
    pub index: usize,
    /// The call.
    pub call: Box<Call>,
    /// Cause.
    #[source]
    pub source: TraceeError,
}

impl Failed {
    pub(super) fn new(index: usize, call: Call, source: TraceeError) -> Self {
        Self { index, call: Box::new(call), source }
    }

    /// The kernel's answer, if it was that which failed.
    pub fn errno(&self) -> Option<Errno> {
        match self.source {
            TraceeError::Call { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<Failed> for TraceeError {
    fn from(failed: Failed) -> Self {
        failed.source
    }
}

/// Calls that are collected. Made by [`together`], which makes them at the end.
pub struct Batch<'a> {
    injector: &'a mut dyn Injector,
    calls: Vec<Call>,
    /// What the scratch range is to hold.
    data: Vec<u8>,
    results: Vec<u64>,
}

/// Lets `collect` add calls and makes those that it has not made itself.
pub fn together<T, E: From<Failed>>(
    injector: &mut dyn Injector,
    collect: impl FnOnce(&mut Batch<'_>) -> Result<T, E>,
) -> Result<T, E> {
    let mut batch = Batch { injector, calls: Vec::new(), data: Vec::new(), results: Vec::new() };
    let value = collect(&mut batch)?;
    batch.run()?;
    Ok(value)
}

impl Batch<'_> {
    /// The process.
    pub fn pid(&self) -> i32 {
        self.injector.memory().pid()
    }

    /// Adds a call of thread `tid` and returns its place. When there is no more room, those added before are made first.
    pub fn add<const N: usize>(
        &mut self,
        tid: i32,
        name: &'static str,
        number: i64,
        arguments: [u64; N],
    ) -> Result<usize, Failed> {
        self.add_with(tid, name, number, |_| (Vec::new(), arguments))
    }

    /// As [`Batch::add`], for a call that is given bytes: `make` gets the address at which they will lie, and returns them and
    /// the arguments. It may be asked twice, and its last answer counts.
    pub fn add_with<const N: usize>(
        &mut self,
        tid: i32,
        name: &'static str,
        number: i64,
        make: impl Fn(u64) -> (Vec<u8>, [u64; N]),
    ) -> Result<usize, Failed> {
        const { assert!(N <= 6, "a system call has six arguments") };
        let room = self.injector.scratch();
        let mut made = make(room.start.0 + self.data.len() as u64);
        let full = |batch: &Self, length: usize| (batch.data.len() + length) as u64 > room.len();
        if self.calls.len() == MOST_CALLS || full(self, made.0.len()) {
            self.run()?;
            made = make(room.start.0);
        }
        let (bytes, given) = made;
        let call = Call::new(tid, name, number, given);
        let index = self.results.len() + self.calls.len();
        if full(self, bytes.len()) {
            let source = TraceeError::Call { call: name, tid, source: Errno::E2BIG };
            return Err(Failed::new(index, call, source));
        }
        self.calls.push(call);
        self.data.extend(bytes);
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        Ok(index)
    }

    /// Adds a call of the leader.
    pub fn leader<const N: usize>(&mut self, name: &'static str, number: i64, arguments: [u64; N]) -> Result<usize, Failed> {
        self.add(self.pid(), name, number, arguments)
    }

    /// Adds a call of the leader that is given bytes.
    pub fn leader_with<const N: usize>(
        &mut self,
        name: &'static str,
        number: i64,
        make: impl Fn(u64) -> (Vec<u8>, [u64; N]),
    ) -> Result<usize, Failed> {
        self.add_with(self.pid(), name, number, make)
    }

    /// Makes the calls that were added since the last time. The results of all calls so far, by place.
    pub fn run(&mut self) -> Result<&[u64], Failed> {
        let calls = std::mem::take(&mut self.calls);
        let data = std::mem::take(&mut self.data);
        let before = self.results.len();
        let made = self.injector.call_all(&calls, &data);
        self.results.extend(made.map_err(|failed| Failed { index: before + failed.index, ..failed })?);
        Ok(&self.results)
    }

    /// Makes what was added and gives the process for calls that are made one by one.
    pub fn alone(&mut self) -> Result<&mut dyn Injector, Failed> {
        self.run()?;
        Ok(self.injector)
    }
}
