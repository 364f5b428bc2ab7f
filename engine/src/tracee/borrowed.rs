//! A stopped process whose threads run system calls for the engine, with the way back laid at every instant.
//!
//! Each thread has a chain of signal frames in a scratch mapping that ends in its own registers, mask and extended state
//! (see `sigframe.rs`). An injected call runs through the target's own `syscall; ret` with `rsp` at the head of its
//! chain. If the engine dies, the call ends, `ret` enters the chain, the calls that undo what was done run, and the thread
//! goes on as if nothing had been. The order of writes keeps this true: memory first, then registers, then the mask.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Registers;
use nix::errno::Errno;

use super::batch::Call;
use super::call;
use super::error::{Refusal, TraceeError};
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
    pub(super) next_frame: u64,
    channel: Option<Channel>,
    /// Text of each thread's `status`, in the order of the threads.
    statuses: Vec<String>,
    pub(super) held_back: Vec<i32>,
}

impl Borrowed {
    pub(super) fn borrow(stopped: Stopped) -> Result<Self, TraceeError> {
        let length = scratch_length(&stopped)?;
        let pid = stopped.pid();
        let status = |thread: &StoppedThread| super::procfs::read_text(pid, &format!("task/{}/status", thread.tid));
        let mut borrowed = Self {
            tids: stopped.threads().iter().map(|thread| thread.tid).collect(),
            statuses: stopped.threads().iter().map(status).collect::<Result<_, _>>()?,
            stopped: Some(stopped),
            chains: Vec::new(),
            scratch: RunRange::default(),
            next_frame: 0,
            channel: None,
            held_back: Vec::new(),
        };
        borrowed.suspend_seccomp()?;
        borrowed.map_scratch(length)?;
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

    /// Text of `/proc/PID/task/TID/status` of each thread at the stop, the leader's first.
    pub fn statuses(&self) -> &[String] {
        &self.statuses
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

    /// [`Borrowed::call_undoable`] for several calls that are made together, none of which may be refused.
    pub fn call_all_undoable(&mut self, calls: &[(Call, Undo)]) -> Result<Vec<u64>, TraceeError> {
        let undos: Vec<(i32, &Undo)> = calls.iter().map(|(call, undo)| (call.tid, undo)).collect();
        self.push_undos(&undos)?;
        let calls: Vec<Call> = calls.iter().map(|(call, _)| *call).collect();
        let answers = self.call_each(&calls)?;
        calls.iter().zip(answers).map(|(call, answer)| answer.map_err(|source| call.refused(source))).collect()
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

    /// Reserves room in the scratch mapping for `count` small frames behind one another.
    pub(super) fn new_frames(&mut self, tid: i32, count: usize) -> Result<RunAddress, TraceeError> {
        let at = self.next_frame;
        let end = at + count as u64 * sigframe::SMALL_FRAME;
        if end > self.scratch.end.0 {
            return Err(TraceeError::Call { call: "signal frame", tid, source: Errno::ENOSPC });
        }
        self.next_frame = end;
        Ok(RunAddress(at))
    }

    /// Registers for a call in the leader that the caller runs itself.
    pub(super) fn leader_registers(&mut self, number: i64, arguments: &[u64]) -> Result<Registers, TraceeError> {
        self.thread_registers(0, number, arguments)
    }

    /// Registers for a call in the thread at `index`, likewise.
    pub(super) fn thread_registers(&mut self, index: usize, number: i64, arguments: &[u64]) -> Result<Registers, TraceeError> {
        self.enter(index)?;
        Ok(self.call_registers(index, number, arguments))
    }

    /// Puts an undoing call before everything that the thread's chain does, and returns where its frame lies.
    pub(super) fn push_undo(&mut self, tid: i32, undo: &Undo) -> Result<RunAddress, TraceeError> {
        self.push_undos(&[(tid, undo)])
    }

    /// [`Borrowed::push_undo`] for several, in one write; returns where the first frame lies. The others follow, each
    /// [`sigframe::SMALL_FRAME`] long.
    pub(super) fn push_undos(&mut self, undos: &[(i32, &Undo)]) -> Result<RunAddress, TraceeError> {
        let indices = undos.iter().map(|(tid, _)| self.index(*tid)).collect::<Result<Vec<_>, _>>()?;
        let start = self.new_frames(self.tids[0], undos.len())?;
        let mut heads: Vec<RunAddress> = self.chains.iter().map(|chain| chain.head).collect();
        let mut frames = Vec::with_capacity(undos.len() * sigframe::SMALL_FRAME as usize);
        for (&index, (_, undo)) in indices.iter().zip(undos) {
            let at = RunAddress(start.0 + frames.len() as u64);
            let base = self.base_registers(index);
            frames.extend(sigframe::call_frame(self.gadgets(), &base, undo.number, &undo.arguments, heads[index]));
            frames.resize(frames.len().next_multiple_of(sigframe::SMALL_FRAME as usize), 0);
            heads[index] = at;
        }
        self.memory().write(start, &frames)?;
        for (position, (index, (_, undo))) in indices.into_iter().zip(undos).enumerate() {
            let chain = &mut self.chains[index];
            chain.undo.push(((*undo).clone(), chain.head));
            chain.head = RunAddress(start.0 + position as u64 * sigframe::SMALL_FRAME);
        }
        Ok(start)
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
        ptrace::set_registers(tid, &self.idle_registers(index))?;
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
            let option = self.seccomp_option(*tid);
            if option != 0 {
                ptrace::set_options(*tid, libc::PTRACE_O_TRACESYSGOOD | option).map_err(|error| match error {
                    TraceeError::Ptrace { source: Errno::EPERM, .. } => {
                        TraceeError::Refused { pid: self.tids[0], reason: Refusal::Filtered }
                    }
                    other => other,
                })?;
            }
        }
        Ok(())
    }

    /// The ptrace option that keeps a thread's filters, if it has any, from what the engine calls.
    pub(super) fn seccomp_option(&self, tid: i32) -> i32 {
        let status = self.tids.iter().zip(&self.statuses).find(|(known, _)| **known == tid);
        let mode = status.and_then(|(_, status)| super::procfs::status_field(status, "Seccomp"));
        if mode.is_some_and(|mode| mode != "0") { ptrace::SUSPEND_SECCOMP } else { 0 }
    }

    pub(super) fn lay_chains(&mut self) -> Result<(), TraceeError> {
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
        self.chains[index].entered = true;
        ptrace::set_registers(tid, &self.idle_registers(index))?;
        ptrace::set_signal_mask(tid, u64::MAX)
    }

    /// Registers of a thread between two calls: before a call that does nothing and returns into the chain.
    fn idle_registers(&self, index: usize) -> Registers {
        self.call_registers(index, libc::SYS_getpid, &[])
    }

    fn call_registers(&self, index: usize, number: i64, arguments: &[u64]) -> Registers {
        let next = self.chains[index].head;
        sigframe::call_registers(self.gadgets(), &self.base_registers(index), number, arguments, next)
    }

    /// Makes a call in the leader while its way back is not in the scratch mapping: it lies below the leader's red zone, where
    /// the kernel would put a signal frame too. What was there is put back afterwards.
    ///
    /// When `lay` has laid chains in what the call made, the leader goes on in its own; else it is back where it was.
    pub(super) fn call_over_stack(
        &mut self,
        name: &'static str,
        number: i64,
        arguments: &[u64],
        lay: impl FnOnce(&mut Self, u64) -> Result<(), TraceeError>,
    ) -> Result<(), TraceeError> {
        let leader = &self.stopped().threads()[0];
        let length = sigframe::full_frame_length(&leader.xstate);
        let at = RunAddress((leader.registers.rsp - RED_ZONE - length) & !63);
        let frame = final_frame(at, self.gadgets(), leader);
        let mut before = vec![0; frame.len()];
        self.memory().read(at, &mut before)?;
        self.memory().write(at, &frame)?;
        let registers = sigframe::call_registers(self.gadgets(), &self.base_registers(0), number, arguments, at);
        let laid = self.call_in_leader(name, &registers).and_then(|result| lay(self, result));
        match self.chains.first_mut() {
            Some(chain) if laid.is_ok() => {
                chain.entered = true;
                ptrace::set_registers(self.tids[0], &self.idle_registers(0))?;
            }
            _ => restore_threads(&self.stopped().threads()[..1])?,
        }
        self.memory().write(at, &before)?;
        laid
    }

    fn call_in_leader(&mut self, name: &'static str, registers: &Registers) -> Result<u64, TraceeError> {
        let tid = self.tids[0];
        ptrace::set_registers(tid, registers)?;
        ptrace::set_signal_mask(tid, u64::MAX)?;
        let outcome = call::run(tid, name, registers)?;
        self.held_back.extend(outcome.held_back);
        call::checked(tid, name, outcome.result)
    }

    /// A descriptor that the leader has from here on goes with the engine.
    fn undo_by_closing(&mut self, number: RawFd) -> Result<(), TraceeError> {
        let leader = self.tids[0];
        self.push_undo(leader, &Undo { number: libc::SYS_close, arguments: vec![number as u64] })?;
        // The call that made it returns past the new frame: the leader must not wait for its next one to go through it.
        ptrace::set_registers(leader, &self.idle_registers(0))
    }

    /// Runs every undoing call, the newest first, as the chains would.
    fn undo_all(&mut self) -> Result<(), TraceeError> {
        for index in 0..self.chains.len() {
            while let Some((undo, head)) = self.chains[index].undo.pop() {
                if !self.chains[index].entered {
                    // No call was ever made in this thread.
                    continue;
                }
                // The thread goes from "will undo this, then the rest" to "undoes this, then the rest" in one step.
                self.chains[index].head = head;
                let registers = self.call_registers(index, undo.number, &undo.arguments);
                let tid = self.tids[index];
                match call::run(tid, "undo", &registers) {
                    Err(error @ TraceeError::Gone { .. }) => return Err(error),
                    Err(error) => tracing::warn!(%error, "a change before the exec could not be undone"),
                    Ok(outcome) => {
                        self.held_back.extend(outcome.held_back);
                        if let Err(error) = call::checked(tid, "undo", outcome.result) {
                            tracing::warn!(%error, "a change before the exec could not be undone");
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn put_back(&mut self) -> Result<(), TraceeError> {
        self.undo_all()?;
        let entered: Vec<bool> = self.chains.iter().map(|chain| chain.entered).collect();
        let borrowed = self.stopped().threads().iter().zip(&entered).skip(1).filter(|(_, entered)| **entered);
        let threads: Vec<StoppedThread> = borrowed.map(|(thread, _)| thread.clone()).collect();
        restore_threads(&threads)?;
        // From here on the chains are no way back any more but the leader's, which goes straight on to its last call.
        for chain in self.chains.iter_mut().skip(1) {
            chain.entered = false;
        }
        if self.scratch.is_empty() {
            return Ok(());
        }
        let scratch = self.scratch;
        let chains = std::mem::take(&mut self.chains);
        let unmapped = self.call_over_stack("munmap", libc::SYS_munmap, &[scratch.start.0, scratch.len()], |_, _| Ok(()));
        if unmapped.is_ok() {
            self.scratch = RunRange::default();
        }
        drop(chains);
        unmapped
    }

    /// The first call of each thread among `calls`, as positions, and the calls that must wait for those.
    fn first_of_each_thread(calls: &[Call], waiting: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let mut busy = std::collections::HashSet::new();
        waiting.iter().partition(|position| busy.insert(calls[**position].tid))
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

    fn call_each(&mut self, calls: &[Call]) -> Result<Vec<Result<u64, Errno>>, TraceeError> {
        for call in calls {
            call::pass(call.tid, call.name)?;
        }
        let mut answers = vec![Err(Errno::ENOSYS); calls.len()];
        let mut waiting: Vec<usize> = (0..calls.len()).collect();
        while !waiting.is_empty() {
            let (now, later) = Self::first_of_each_thread(calls, &waiting);
            let mut prepared: Vec<call::Prepared> = Vec::with_capacity(now.len());
            for call in now.iter().map(|position| &calls[*position]) {
                let index = self.index(call.tid)?;
                self.enter(index)?;
                prepared.push((call.tid, call.name, self.call_registers(index, call.number, &call.arguments)));
            }
            let mut failure = None;
            for (position, outcome) in now.into_iter().zip(call::run_each(&prepared)) {
                match outcome {
                    Ok(outcome) => {
                        self.held_back.extend(outcome.held_back);
                        answers[position] = call::answer(outcome.result);
                    }
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
            waiting = later;
        }
        Ok(answers)
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
fn restore_threads(threads: &[StoppedThread]) -> Result<(), TraceeError> {
    let tids: Vec<i32> = threads.iter().map(|thread| thread.tid).collect();
    let restore = |(thread, stopped): (&StoppedThread, Result<(), TraceeError>)| {
        stopped?;
        ptrace::set_signal_mask(thread.tid, thread.signal_mask)?;
        ptrace::set_registers(thread.tid, &thread.resumed_registers())
    };
    threads.iter().zip(call::to_event_stops(&tids)).try_for_each(restore)
}

fn scratch_length(stopped: &Stopped) -> Result<u64, TraceeError> {
    let pid = stopped.pid();
    let path = format!("/proc/{pid}/fd");
    let descriptors = std::fs::read_dir(&path).map_err(|source| TraceeError::Proc { path, source })?.count() as u64;
    let finals: u64 = stopped.threads().iter().map(|thread| sigframe::full_frame_length(&thread.xstate)).sum();
    let undo = (descriptors + stopped.threads().len() as u64 * 4 + SPARE_FRAMES) * sigframe::SMALL_FRAME;
    Ok((mark::HEADER_ROOM + ARGUMENTS + finals + undo).next_multiple_of(dsu_formats::address::PAGE_SIZE))
}
