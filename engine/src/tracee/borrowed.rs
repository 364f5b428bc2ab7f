//! A stopped process whose threads run system calls for the engine, with the way back laid at every instant.
//!
//! Each thread has a chain of signal frames in a scratch mapping that ends in its own registers, mask and extended state
//! (see `sigframe.rs`). An injected call runs through the target's own `syscall; ret` with `rsp` at the head of its
//! chain. If the engine dies, the call ends, `ret` enters the chain, the calls that undo what was done run, and the thread
//! goes on as if nothing had been. The order of writes keeps this true: memory first, then registers, then the mask.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Registers;

use super::call;
use super::error::TraceeError;
use super::gadget::Gadgets;
use super::inject::Injector;
use super::mark;
use super::memory::RemoteMemory;
use super::ptrace;
use super::sigframe;
use super::stopped::{Stopped, StoppedThread};
use super::syscall;
use super::transfer::Channel;

/// Room for the arguments of calls.
const ARGUMENTS: u64 = 64 * 1024;
/// Frames for undoing calls that a thread gets beyond one for each descriptor.
const SPARE_FRAMES: u64 = 16;
/// The part of the stack below `rsp` that a function may use without moving it (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;

/// A call that undoes another.
#[derive(Clone, Debug)]
pub struct Undo {
    /// `libc::SYS_…`.
    pub number: i64,
    /// Its arguments.
    pub arguments: Vec<u64>,
}

/// A thread's chain.
#[derive(Debug)]
struct Chain {
    /// Where an injected call returns to.
    head: RunAddress,
    /// Whether the thread's registers have been replaced by a call into the chain.
    entered: bool,
    /// What the chain undoes before its last frame, the oldest first, each with the head that it was laid over.
    undo: Vec<(Undo, RunAddress)>,
}

/// A process that can be called into. Dropping it puts everything back and lets the process go on.
#[derive(Debug)]
pub struct Borrowed {
    pub(super) stopped: Option<Stopped>,
    pub(super) tids: Vec<i32>,
    chains: Vec<Chain>,
    pub(super) scratch: RunRange,
    next_frame: u64,
    channel: Option<Channel>,
    pub(super) held_back: Vec<i32>,
}

impl Borrowed {
    pub(super) fn borrow(stopped: Stopped) -> Result<Self, TraceeError> {
        let length = scratch_length(&stopped)?;
        let mut borrowed = Self {
            tids: stopped.threads().iter().map(|thread| thread.tid).collect(),
            stopped: Some(stopped),
            chains: Vec::new(),
            scratch: RunRange::default(),
            next_frame: 0,
            channel: None,
            held_back: Vec::new(),
        };
        borrowed.suspend_seccomp()?;
        borrowed.map_scratch(length)?;
        borrowed.next_frame = borrowed.scratch().end.0;
        borrowed.lay_chains()?;
        if !borrowed.stopped().target().leftovers.is_empty()
            && let Err(error) = borrowed.remove_leftovers()
        {
            tracing::warn!(%error, "what an earlier dsu left in the process stays there");
        }
        Ok(borrowed)
    }

    /// The threads as they were stopped, the leader first.
    pub fn stopped_threads(&self) -> &[StoppedThread] {
        self.stopped().threads()
    }

    /// Signals that wait for the process as a whole.
    pub fn shared_pending(&self) -> &[dsu_formats::model::latest::Pending] {
        self.stopped().shared_pending()
    }

    /// Descriptors that the engine has in the target.
    pub fn own_descriptors(&self) -> Vec<RawFd> {
        self.channel.iter().map(Channel::theirs).collect()
    }

    /// Every mapping that the engine made in the target, to be left out of what is captured.
    pub fn scratch_mapping(&self) -> RunRange {
        self.scratch
    }

    /// Makes a call whose effect `undo` takes back should the engine die before [`Borrowed::give_back`] or an exec.
    ///
    /// The undoing call is in the thread's chain before the call is made, so it must do no harm when the call was not.
    pub fn call_undoable(
        &mut self,
        tid: i32,
        name: &'static str,
        number: i64,
        arguments: &[u64],
        undo: &Undo,
    ) -> Result<u64, TraceeError> {
        self.push_undo(tid, undo)?;
        self.call(tid, name, number, arguments)
    }

    /// Puts everything back; the process is stopped and untouched again.
    pub fn give_back(mut self) -> Result<Stopped, TraceeError> {
        self.put_back()?;
        // `put_back` leaves the stopped process in place; a consumed value hands it on once.
        Ok(self.stopped.take().unwrap_or_else(|| unreachable!("a borrowed process is a stopped one")))
    }

    pub(super) fn stopped(&self) -> &Stopped {
        self.stopped.as_ref().unwrap_or_else(|| unreachable!("a borrowed process is a stopped one"))
    }

    pub(super) fn gadgets(&self) -> Gadgets {
        self.stopped().target().gadgets
    }

    /// Reserves room for one small frame in the scratch mapping.
    pub(super) fn new_frame(&mut self, tid: i32) -> Result<RunAddress, TraceeError> {
        let at = self.next_frame;
        if at + sigframe::SMALL_FRAME > self.scratch.end.0 {
            return Err(TraceeError::Call { call: "signal frame", tid, source: nix::errno::Errno::ENOSPC });
        }
        self.next_frame += sigframe::SMALL_FRAME;
        Ok(RunAddress(at))
    }

    /// Registers for a call in the leader that the caller runs itself.
    pub(super) fn leader_registers(&mut self, number: i64, arguments: &[u64]) -> Result<Registers, TraceeError> {
        self.enter(0)?;
        Ok(self.call_registers(0, number, arguments))
    }

    /// Puts an undoing call before everything that the thread's chain does, and returns where its frame lies.
    pub(super) fn push_undo(&mut self, tid: i32, undo: &Undo) -> Result<RunAddress, TraceeError> {
        let index = self.index(tid)?;
        let at = self.new_frame(tid)?;
        let base = self.base_registers(index);
        let head = self.chains[index].head;
        let frame = sigframe::call_frame(self.gadgets(), &base, undo.number, &undo.arguments, head);
        self.memory().write(at, &frame)?;
        self.chains[index].head = at;
        self.chains[index].undo.push((undo.clone(), head));
        Ok(at)
    }

    /// Fills in the task that an undoing call of the leader, `depth` below its newest, is about. The kernel has written it
    /// into the frame already where the maker and the made share memory.
    pub(super) fn set_undo_target(&mut self, depth: usize, frame: RunAddress, target: i32) -> Result<(), TraceeError> {
        let newest_first = self.chains.first_mut().map(|chain| chain.undo.iter_mut().rev());
        if let Some((undo, _)) = newest_first.and_then(|mut all| all.nth(depth)) {
            undo.arguments[0] = target as u64;
        }
        self.memory().write(RunAddress(frame.0 + sigframe::FIRST_ARGUMENT), &target.to_le_bytes())
    }

    /// Takes the newest undoing call out of a thread's chain: what it would undo is no longer there.
    pub(super) fn pop_undo(&mut self, tid: i32) -> Result<Option<Undo>, TraceeError> {
        let index = self.index(tid)?;
        let Some((undo, head)) = self.chains[index].undo.pop() else { return Ok(None) };
        self.chains[index].head = head;
        // The thread itself stands before a return into the old head until its next call.
        let registers = self.call_registers(index, libc::SYS_getpid, &[]);
        ptrace::set_registers(tid, &registers)?;
        Ok(Some(undo))
    }

    fn index(&self, tid: i32) -> Result<usize, TraceeError> {
        self.tids
            .iter()
            .position(|known| *known == tid)
            .ok_or(TraceeError::Gone { tid, operation: "looking for the thread to call in" })
    }

    fn base_registers(&self, index: usize) -> Registers {
        // Single-stepping would trap after the call; everything else stays as the thread has it.
        const TRAP_FLAG: u64 = 0x100;
        let mut registers = self.stopped().threads()[index].registers;
        registers.eflags &= !TRAP_FLAG;
        registers
    }

    fn suspend_seccomp(&self) -> Result<(), TraceeError> {
        for tid in &self.tids {
            let status = super::procfs::read_text(*tid, "status")?;
            if super::procfs::status_field(&status, "Seccomp").is_some_and(|mode| mode != "0") {
                let options = libc::PTRACE_O_TRACESYSGOOD | ptrace::SUSPEND_SECCOMP;
                ptrace::set_options(*tid, options)?;
            }
        }
        Ok(())
    }

    fn lay_chains(&mut self) -> Result<(), TraceeError> {
        let gadgets = self.gadgets();
        let start = self.next_frame;
        let mut frames = Vec::new();
        let mut chains = Vec::new();
        for thread in self.stopped().threads() {
            let at = RunAddress(start + frames.len() as u64);
            frames.extend(final_frame(at, gadgets, thread));
            frames.resize(frames.len().next_multiple_of(64), 0);
            chains.push(Chain { head: at, entered: false, undo: Vec::new() });
        }
        self.memory().write(RunAddress(start), &frames)?;
        self.next_frame += frames.len() as u64;
        self.chains = chains;
        Ok(())
    }

    /// The thread's first call replaces its registers, and only then may its signals be blocked: a thread whose registers are
    /// its own must have its own mask.
    fn enter(&mut self, index: usize) -> Result<(), TraceeError> {
        if self.chains[index].entered {
            return Ok(());
        }
        let tid = self.tids[index];
        let registers = self.call_registers(index, libc::SYS_getpid, &[]);
        self.chains[index].entered = true;
        ptrace::set_registers(tid, &registers)?;
        ptrace::set_signal_mask(tid, u64::MAX)
    }

    fn call_registers(&self, index: usize, number: i64, arguments: &[u64]) -> Registers {
        let next = self.chains[index].head;
        sigframe::call_registers(self.gadgets(), &self.base_registers(index), number, arguments, next)
    }

    /// Makes a call in the leader while there is no scratch mapping: the way back lies below the leader's red zone, where
    /// the kernel would put a signal frame too. What was there is put back afterwards.
    pub(super) fn call_over_stack(&mut self, name: &'static str, number: i64, arguments: &[u64]) -> Result<u64, TraceeError> {
        let leader = &self.stopped().threads()[0];
        let length = sigframe::full_frame_length(&leader.xstate);
        let at = RunAddress((leader.registers.rsp - RED_ZONE - length) & !63);
        let frame = final_frame(at, self.gadgets(), leader);
        let mut before = vec![0; frame.len()];
        self.memory().read(at, &mut before)?;
        self.memory().write(at, &frame)?;
        let registers = sigframe::call_registers(self.gadgets(), &self.base_registers(0), number, arguments, at);
        let result = self.call_in_leader(name, &registers);
        self.restore_leader()?;
        self.memory().write(at, &before)?;
        result
    }

    fn call_in_leader(&mut self, name: &'static str, registers: &Registers) -> Result<u64, TraceeError> {
        let tid = self.tids[0];
        ptrace::set_registers(tid, registers)?;
        ptrace::set_signal_mask(tid, u64::MAX)?;
        let outcome = call::run(tid, name, registers)?;
        self.held_back.extend(outcome.held_back);
        call::checked(tid, name, outcome.result)
    }

    fn restore_leader(&self) -> Result<(), TraceeError> {
        restore_thread(&self.stopped().threads()[0])
    }

    fn undo_by_closing(&mut self, number: RawFd) -> Result<(), TraceeError> {
        let leader = self.tids[0];
        self.push_undo(leader, &Undo { number: libc::SYS_close, arguments: vec![number as u64] }).map(drop)
    }

    /// Runs every undoing call, the newest first, as the chains would.
    fn undo_all(&mut self) -> Result<(), TraceeError> {
        let laid = self.tids[..self.chains.len()].to_vec();
        for tid in laid {
            while let Some(undo) = self.pop_undo(tid)? {
                match self.call(tid, "undo", undo.number, &undo.arguments) {
                    Err(error @ TraceeError::Gone { .. }) => return Err(error),
                    Err(error) => tracing::warn!(%error, "a change before the exec could not be undone"),
                    Ok(_) => {}
                }
            }
        }
        Ok(())
    }

    fn put_back(&mut self) -> Result<(), TraceeError> {
        self.undo_all()?;
        for index in 0..self.chains.len() {
            if std::mem::take(&mut self.chains[index].entered) {
                restore_thread(&self.stopped().threads()[index])?;
            }
        }
        if !self.scratch.is_empty() {
            let scratch = std::mem::take(&mut self.scratch);
            self.call_over_stack("munmap", libc::SYS_munmap, &[scratch.start.0, scratch.len()])?;
        }
        Ok(())
    }
}

impl Injector for Borrowed {
    fn threads(&self) -> &[i32] {
        &self.tids
    }

    fn call(&mut self, tid: i32, name: &'static str, number: i64, arguments: &[u64]) -> Result<u64, TraceeError> {
        let index = self.index(tid)?;
        self.enter(index)?;
        let registers = self.call_registers(index, number, arguments);
        let outcome = call::run(tid, name, &registers)?;
        self.held_back.extend(outcome.held_back);
        call::checked(tid, name, outcome.result)
    }

    fn memory(&self) -> &RemoteMemory {
        self.stopped().memory()
    }

    fn scratch(&self) -> RunRange {
        let start = self.scratch.start.0 + mark::HEADER_ROOM;
        RunRange::new(start, start + ARGUMENTS)
    }

    fn import(&mut self, descriptor: BorrowedFd<'_>) -> Result<RawFd, TraceeError> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => {
                let channel = Channel::open(self)?;
                self.undo_by_closing(channel.theirs())?;
                channel
            }
        };
        let numbers = channel.send(self, &[descriptor]);
        self.channel = Some(channel);
        let number = numbers?[0];
        self.undo_by_closing(number)?;
        Ok(number)
    }

    fn export(&mut self, number: RawFd) -> Result<OwnedFd, TraceeError> {
        self.stopped().duplicate(number)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if self.stopped.is_none() {
            return;
        }
        if let Err(error) = self.put_back() {
            tracing::warn!(%error, "a thread was let go through its signal frame");
        }
        let held_back = std::mem::take(&mut self.held_back);
        let pid = self.tids.first().copied();
        // Threads that were not put back heal through their chains once they are let go: their registers must stay.
        if let Some(mut stopped) = self.stopped.take() {
            let entered: Vec<bool> = self.chains.iter().map(|chain| chain.entered).collect();
            let threads = std::mem::take(&mut stopped.threads);
            for (i, thread) in threads.into_iter().enumerate() {
                if entered.get(i).copied().unwrap_or(false) {
                    let _ = ptrace::detach(thread.tid);
                } else {
                    stopped.threads.push(thread);
                }
            }
        }
        if let Some(pid) = pid {
            resend(pid, &held_back);
        }
    }
}

/// Sends stop signals that arrived during a call and were held back.
pub(super) fn resend(pid: i32, signals: &[i32]) {
    if let Some(signal) = signals.first() {
        // SAFETY: kill takes plain numbers.
        unsafe { libc::kill(pid, *signal) };
    }
}

fn final_frame(at: RunAddress, gadgets: Gadgets, thread: &StoppedThread) -> Vec<u8> {
    let registers = syscall::self_restarting(&thread.registers, thread.in_syscall.as_ref());
    sigframe::full_frame(at, gadgets, &registers, thread.signal_mask, &thread.xstate)
}

/// Back to the registers of the stop, at an event stop so that the kernel restarts the call in progress. The mask comes
/// first: a thread with its own registers must never be seen with the engine's mask.
fn restore_thread(thread: &StoppedThread) -> Result<(), TraceeError> {
    call::to_event_stop(thread.tid)?;
    ptrace::set_signal_mask(thread.tid, thread.signal_mask)?;
    ptrace::set_registers(thread.tid, &thread.resumed_registers())
}

fn scratch_length(stopped: &Stopped) -> Result<u64, TraceeError> {
    let pid = stopped.pid();
    let path = format!("/proc/{pid}/fd");
    let descriptors = std::fs::read_dir(&path).map_err(|source| TraceeError::Proc { path, source })?.count() as u64;
    let finals: u64 = stopped.threads().iter().map(|thread| sigframe::full_frame_length(&thread.xstate)).sum();
    let undo = (descriptors + stopped.threads().len() as u64 * 4 + SPARE_FRAMES) * sigframe::SMALL_FRAME;
    Ok((mark::HEADER_ROOM + ARGUMENTS + finals + undo).next_multiple_of(dsu_formats::address::PAGE_SIZE))
}
