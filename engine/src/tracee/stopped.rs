//! A process whose threads are all in a ptrace stop, with nothing changed yet.

use std::time::Instant;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{InSyscall, Pending, Registers, Rseq};

use super::borrowed::Borrowed;
use super::error::{Refusal, TraceeError};
use super::gadget;
use super::memory::RemoteMemory;
use super::ptrace;
use super::seize;
use super::syscall;
use super::target::Target;
use super::ticker::Ticker;

/// What belongs to one stopped thread and only ptrace can tell.
#[derive(Clone, Debug)]
pub struct StoppedThread {
    /// Thread ID.
    pub tid: i32,
    /// General registers; inside a restartable sequence `rip` is its abort address, as a preemption would have it.
    pub registers: Registers,
    /// XSAVE area.
    pub xstate: Vec<u8>,
    /// Blocked signals.
    pub signal_mask: u64,
    /// Signals that wait for this thread alone.
    pub pending: Vec<Pending>,
    /// Registered restartable sequence.
    pub rseq: Option<Rseq>,
    /// System call in progress.
    pub in_syscall: Option<InSyscall>,
}

/// A process with all threads stopped. Dropping it lets the process go on as if nothing had been.
#[derive(Debug)]
pub struct Stopped {
    pub(super) target: Option<Target>,
    pub(super) threads: Vec<StoppedThread>,
    pub(super) shared_pending: Vec<Pending>,
    /// Held for its effect: waits end at their deadlines as long as it lives.
    ticker: Option<Ticker>,
}

impl Stopped {
    pub(super) fn stop(target: Target, deadline: Instant) -> Result<Self, TraceeError> {
        let ticker = Ticker::start().map_err(|source| TraceeError::Call { call: "timer_create", tid: target.pid, source })?;
        let pid = target.pid;
        let tids = seize::stop_all(pid, deadline)?;
        // From here on a failure must let every thread go: the value exists before anything else is read.
        let mut stopped = Self { target: Some(target), threads: Vec::new(), shared_pending: Vec::new(), ticker: Some(ticker) };
        let mut failure = None;
        for tid in tids {
            match stopped.read_thread(tid) {
                Ok(thread) => stopped.threads.push(thread),
                Err(error) => {
                    let _ = ptrace::detach(tid);
                    failure = failure.or(Some(error));
                }
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        stopped.read_pending()?;
        if let Some(other) = stopped.target().strangers.sharer(pid) {
            return Err(TraceeError::Refused { pid, reason: Refusal::SharedMemory { other } });
        }
        Ok(stopped)
    }

    /// Reads which signals wait for the process as a whole.
    pub(super) fn read_pending(&mut self) -> Result<(), TraceeError> {
        self.shared_pending = ptrace::pending(self.target().pid, true)?;
        Ok(())
    }

    pub(super) fn read_thread(&self, tid: i32) -> Result<StoppedThread, TraceeError> {
        let memory = self.memory();
        let mut registers = ptrace::registers(tid)?;
        let rseq = ptrace::rseq(tid)?;
        if let Some(abort) = rseq.and_then(|rseq| abort_address(memory, rseq, registers.rip)) {
            registers.rip = abort;
        }
        Ok(StoppedThread {
            tid,
            registers,
            xstate: ptrace::xstate(tid)?,
            signal_mask: ptrace::signal_mask(tid)?,
            pending: ptrace::pending(tid, false)?,
            rseq,
            in_syscall: syscall::in_progress(&registers, memory),
        })
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        self.threads.first().map_or(0, |thread| thread.tid)
    }

    /// Its threads, the leader first.
    pub fn threads(&self) -> &[StoppedThread] {
        &self.threads
    }

    /// Signals that wait for the process as a whole.
    pub fn shared_pending(&self) -> &[Pending] {
        &self.shared_pending
    }

    /// Its memory, which stands still except for what is shared with others.
    pub fn memory(&self) -> &RemoteMemory {
        &self.target().memory
    }

    /// Takes a duplicate of one of its descriptors.
    pub fn duplicate(&self, number: i32) -> Result<std::os::fd::OwnedFd, TraceeError> {
        self.target().duplicate(number)
    }

    /// Makes its threads able to run injected calls; on failure the process goes on untouched.
    pub fn borrow(self) -> Result<Borrowed, TraceeError> {
        Borrowed::borrow(self)
    }

    /// Lets every thread go on, and gives back the handle to stop it again.
    pub fn resume(mut self) -> Target {
        self.let_go();
        // `target` is taken only here and by `Drop`, and a value is consumed once.
        self.target.take().unwrap_or_else(|| unreachable!("a stopped process has its target"))
    }

    /// Takes the value apart after an exec, when its threads are no more.
    pub(super) fn into_parts(mut self) -> Option<(Target, Ticker)> {
        self.threads.clear();
        self.target.take().zip(self.ticker.take())
    }

    /// Whether a thread may still need `range`, in which an engine that died laid chains: it is inside, or it is in a chain on
    /// its own stack, whose call may be about the range.
    pub(super) fn may_need(&self, range: RunRange) -> bool {
        self.threads.iter().map(|thread| &thread.registers).any(|registers| {
            let inside = [registers.rip, registers.rsp].into_iter().any(|address| range.contains(RunAddress(address)));
            inside || gadget::is_in_chain(self.memory(), registers)
        })
    }

    pub(super) fn target(&self) -> &Target {
        self.target.as_ref().unwrap_or_else(|| unreachable!("a stopped process has its target"))
    }

    pub(super) fn let_go(&mut self) {
        for thread in std::mem::take(&mut self.threads) {
            let wanted = thread.resumed_registers();
            // A thread that was killed meanwhile cannot be let go and need not be.
            if ptrace::registers(thread.tid).is_ok_and(|now| now != wanted) {
                let _ = ptrace::set_signal_mask(thread.tid, thread.signal_mask);
                let _ = ptrace::set_registers(thread.tid, &wanted);
            }
            let _ = ptrace::detach(thread.tid);
        }
    }
}

impl StoppedThread {
    /// Registers to let the same task go on with: the kernel restarts its call itself, also one of those that would return
    /// EINTR for no reason but the stop.
    pub(super) fn resumed_registers(&self) -> Registers {
        match self.in_syscall {
            Some(call) if call.restart && call.result == syscall::EINTR => {
                syscall::kernel_restarting(&self.registers, self.in_syscall.as_ref())
            }
            _ => self.registers,
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// The abort address when `rip` lies in the critical section that `rseq` announces (`struct rseq_cs`,
/// `include/uapi/linux/rseq.h`): the kernel would go there after a preemption, and a stop is one.
pub(super) fn abort_address(memory: &RemoteMemory, rseq: Rseq, rip: u64) -> Option<u64> {
    let descriptor = memory.read_u64(RunAddress(rseq.address.0.checked_add(8)?)).ok()?;
    if descriptor == 0 {
        return None;
    }
    let field = |at: u64| memory.read_u64(RunAddress(descriptor.checked_add(at)?)).ok();
    let (start, length, abort) = (field(8)?, field(16)?, field(24)?);
    (rip.wrapping_sub(start) < length).then_some(abort)
}
