//! Threads of a stopped process let on by single instructions, one at a time, while all others stand still.
//!
//! A step ends in a SIGTRAP (`arch/x86/kernel/step.c`). Were the engine to die between two steps, the signal would be delivered, and the
//! default action ends the process. So for as long as threads are stepped the process has a handler for it: a `ret` of its C library, which
//! returns into `rt_sigreturn`. On its way to a handler the kernel turns stepping off (`handle_signal`), and the thread goes on. What such
//! an engine leaves is the handler; [`is_guard`] tells it, so that it is not taken for the program's own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::{Handler, Pending};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

use super::borrowed::Undo;
use super::error::TraceeError;
use super::gadget::Gadgets;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::procfs;
use super::ptrace::{self, Event};
use super::run_out::turn_off;
use super::stopped::{Stopped, StoppedThread, abort_address};

const OPERATION: &str = "let a thread on by one instruction";
/// The signal of a step, for calls.
const SIGNAL: u64 = libc::SIGTRAP as u64;
/// Its bit in masks of signals.
const TRAP: u64 = 1 << (libc::SIGTRAP - 1);
/// Length of the kernel's `struct sigaction`, in bytes.
const ACTION: usize = 32;
/// `SA_RESTORER` (`arch/x86/include/uapi/asm/signal.h`).
const SA_RESTORER: u64 = 0x0400_0000;
/// Signals that the handler would block, had it more than one instruction. Nobody else asks for these. The kernel takes SIGKILL and SIGSTOP out.
const GUARD_MASK: u64 = 0x6473_7520_7374_6570 & !(TRAP | 1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));
/// How long a system call may keep a thread before it counts as one that waits.
const CALL_LIMIT: Duration = Duration::from_millis(2);
/// Between two looks at a thread in a system call.
const LOOK_AGAIN: Duration = Duration::from_micros(50);
/// No instruction takes longer.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(2);
/// The longest instruction, in bytes.
const LONGEST: usize = 15;

/// Calls that a thread is not let on through: they end, split or replace the process, or change what becomes of SIGTRAP.
pub(super) const NOT_THROUGH: [i64; 18] = [
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ptrace,
];

/// What became of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stepped {
    /// It has run one instruction, or one round of a repeated one.
    On,
    /// It is in a system call that keeps it, or a signal has come, which it has got: no more steps for now.
    Held,
    /// It stands before something that it is not stepped over.
    Stays,
}

/// What is done about an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Call,
    Never,
}

/// A stopped process in which threads can be stepped. Dropping it lets the process go on.
#[derive(Debug)]
pub struct Stepping {
    stopped: Option<Stopped>,
    /// What becomes of SIGTRAP without the guard, as `rt_sigaction` has it.
    action: [u8; ACTION],
    /// Kinds of instructions, by address.
    kinds: HashMap<u64, Kind>,
    /// Threads that were stepped and have not been brought back to an event stop.
    loose: Vec<i32>,
    /// The thread whose debug register is on.
    pub(super) armed: Option<i32>,
    /// Threads that have SIGTRAP blocked for a while, with their own masks.
    masked: Vec<(i32, u64)>,
    /// Instructions that threads were let on by.
    steps: u64,
}

/// Whether a handler is one that an engine left which died while it stepped a thread.
pub fn is_guard(handler: &Handler) -> bool {
    i32::from(handler.signal) == libc::SIGTRAP && handler.flags == guard_flags() && handler.mask == GUARD_MASK
}

/// Whether a signal that waits for a thread is a trap of a step's or of a debug register's: where the handler of [`is_guard`] is there, it is of an
/// engine that died, and means nothing to the program.
pub fn is_trap(pending: &Pending) -> bool {
    ptrace::is_of_step(&pending.siginfo)
}

fn guard_flags() -> u64 {
    SA_RESTORER | libc::SA_SIGINFO as u64 | libc::SA_ONSTACK as u64 | libc::SA_NODEFER as u64
}

fn guard(gadgets: Gadgets) -> [u8; ACTION] {
    const RET: u64 = 2;
    let words = [gadgets.syscall_ret.0 + RET, guard_flags(), gadgets.sigreturn.0, GUARD_MASK];
    let mut bytes = [0; ACTION];
    bytes.chunks_exact_mut(8).zip(words).for_each(|(chunk, word)| chunk.copy_from_slice(&word.to_le_bytes()));
    bytes
}

impl Stopped {
    /// Whether threads can be stepped: nothing in the process must depend on what becomes of SIGTRAP.
    pub fn can_step(&self) -> bool {
        let Ok(status) = procfs::read_text(self.pid(), "status") else { return false };
        let bits = |key| procfs::status_field(&status, key).and_then(|text| u64::from_str_radix(text, 16).ok());
        let is_default = [bits("SigIgn"), bits("SigCgt")].into_iter().all(|bits| bits.is_some_and(|bits| bits & TRAP == 0));
        let waits = |pending: &[dsu_formats::model::latest::Pending]| {
            pending.iter().any(|pending| pending.siginfo.first_chunk() == Some(&libc::SIGTRAP.to_le_bytes()))
        };
        is_default && !waits(self.shared_pending()) && !self.threads().iter().any(|thread| waits(&thread.pending))
    }

    /// Prepares the process for steps of its threads.
    pub fn step(self) -> Result<Stepping, TraceeError> {
        let (pid, gadgets) = (self.pid(), self.target().gadgets);
        let mut borrowed = self.borrow()?;
        let (at, before) = (borrowed.scratch().start.0, borrowed.scratch().start.0 + ACTION as u64);
        borrowed.leader_call("rt_sigaction", libc::SYS_rt_sigaction, &[SIGNAL, 0, before, 8])?;
        let mut action = [0; ACTION];
        borrowed.memory().read(RunAddress(before), &mut action)?;
        borrowed.memory().write(RunAddress(at), &guard(gadgets))?;
        let undo = Undo { number: libc::SYS_rt_sigaction, arguments: vec![SIGNAL, before, 0, 8] };
        borrowed.call_undoable(pid, "rt_sigaction", libc::SYS_rt_sigaction, &[SIGNAL, at, 0, 8], &undo)?;
        // From here on it stays, also where the engine dies.
        borrowed.pop_undo(pid)?;
        let stopped = borrowed.give_back()?;
        for thread in stopped.threads() {
            // What threads call by themselves is for their filters to judge.
            ptrace::set_options(thread.tid, libc::PTRACE_O_TRACESYSGOOD)?;
        }
        Ok(Stepping {
            stopped: Some(stopped),
            action,
            kinds: HashMap::new(),
            loose: Vec::new(),
            armed: None,
            masked: Vec::new(),
            steps: 0,
        })
    }
}

/// Gives SIGTRAP back the action that it had.
fn unguard(stopped: Stopped, action: &[u8; ACTION], masked: &[(i32, u64)]) -> Result<Stopped, TraceeError> {
    let mut borrowed = stopped.borrow()?;
    let at = borrowed.scratch().start;
    borrowed.memory().write(at, action)?;
    borrowed.leader_call("rt_sigaction", libc::SYS_rt_sigaction, &[SIGNAL, at.0, 0, 8])?;
    let stopped = borrowed.give_back()?;
    for (tid, mask) in masked {
        ptrace::set_signal_mask(*tid, *mask)?;
    }
    Ok(stopped)
}

impl Stepping {
    /// Its threads, with the registers that they have now; all else as it was at the stop, until [`Stepping::finish`].
    pub fn threads(&self) -> &[StoppedThread] {
        self.stopped().threads()
    }

    /// Its memory.
    pub fn memory(&self) -> &RemoteMemory {
        self.stopped().memory()
    }

    /// How many instructions threads were let on by, all together.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Where a thread is.
    pub fn place(&self, tid: i32) -> Option<RunAddress> {
        self.threads().iter().find(|thread| thread.tid == tid).map(|thread| RunAddress(thread.registers.rip))
    }

    /// Lets one thread on by one instruction. A system call that keeps it is left to the kernel to make again; a signal is delivered as
    /// ever, and the thread stands before the first instruction of its handler.
    pub fn step(&mut self, tid: i32) -> Result<Stepped, TraceeError> {
        let Some(place) = self.place(tid) else { return Ok(Stepped::Stays) };
        if self.waits(tid) {
            return Ok(Stepped::Held);
        }
        if self.is_in_sequence(tid, place) {
            return Ok(Stepped::Stays);
        }
        match self.kind(place) {
            Kind::Never => Ok(Stepped::Stays),
            Kind::Call => self.through_call(tid),
            Kind::Plain => self.plain(tid),
        }
    }

    /// Puts everything back: all threads are in event stops, as after any stop, with what is true of them now.
    pub fn finish(mut self) -> Result<Stopped, TraceeError> {
        while let Some(tid) = self.loose.last() {
            self.settle(*tid, 0)?;
        }
        let stopped = self.stopped.take().unwrap_or_else(|| unreachable!("a process that is stepped is stopped"));
        let mut stopped = unguard(stopped, &self.action, &self.masked)?;
        stopped.read_pending()?;
        Ok(stopped)
    }

    fn stopped(&self) -> &Stopped {
        self.stopped.as_ref().unwrap_or_else(|| unreachable!("a process that is stepped is stopped"))
    }

    /// Whether a thread is in a restartable sequence: each stop is a preemption, for which the kernel has it give up and begin again, so that
    /// steps never lead out of it.
    fn is_in_sequence(&self, tid: i32, place: RunAddress) -> bool {
        let thread = self.threads().iter().find(|thread| thread.tid == tid);
        let rseq = thread.and_then(|thread| thread.rseq);
        rseq.is_some_and(|rseq| abort_address(self.memory(), rseq, place.0).is_some())
    }

    fn kind(&mut self, place: RunAddress) -> Kind {
        if let Some(kind) = self.kinds.get(&place.0) {
            return *kind;
        }
        let mut code = [0; LONGEST];
        // The last instruction of a mapping may be shorter.
        let read = (1..=LONGEST).rev().find(|length| self.memory().read_fast(place, &mut code[..*length]).is_ok());
        let kind =
            read.map_or(Kind::Never, |length| kind(&Decoder::with_ip(64, &code[..length], 0, DecoderOptions::NONE).decode()));
        self.kinds.insert(place.0, kind);
        kind
    }

    /// Prepares a thread for traps.
    pub(super) fn loosen(&mut self, tid: i32) -> Result<(), TraceeError> {
        if self.loose.contains(&tid) {
            return Ok(());
        }
        // A SIGTRAP that is blocked would take the handler away (`force_sig_info_to_task`).
        let mask = ptrace::signal_mask(tid)?;
        if mask & TRAP != 0 {
            ptrace::set_signal_mask(tid, mask & !TRAP)?;
        }
        self.loose.push(tid);
        Ok(())
    }

    fn plain(&mut self, tid: i32) -> Result<Stepped, TraceeError> {
        self.loosen(tid)?;
        ptrace::single_step(tid)?;
        self.steps += 1;
        TraceeError::at_step("step", tid)?;
        match ptrace::wait(tid, Instant::now() + STEP_LIMIT, OPERATION)? {
            Event::Signal(libc::SIGTRAP) if ptrace::is_from_step(tid)? => {
                self.note(tid)?;
                Ok(Stepped::On)
            }
            Event::Signal(signal) => self.settle(tid, signal).map(|()| Stepped::Held),
            Event::Ended => Err(TraceeError::Gone { tid, operation: OPERATION }),
            _ => self.settle(tid, 0).map(|()| Stepped::Held),
        }
    }

    /// Lets a thread through the system call that it stands before, with its own mask.
    fn through_call(&mut self, tid: i32) -> Result<Stepped, TraceeError> {
        let number = self.threads().iter().find(|thread| thread.tid == tid).map_or(u64::MAX, |thread| thread.registers.rax);
        if NOT_THROUGH.contains(&(number as i64)) {
            return Ok(Stepped::Stays);
        }
        self.settle(tid, 0)?;
        if self.place(tid).is_none_or(|place| self.kind(place) != Kind::Call) {
            return Ok(Stepped::Held);
        }
        ptrace::resume_to_syscall(tid)?;
        // At the entry first, where it cannot be kept.
        match ptrace::wait(tid, Instant::now() + STEP_LIMIT, OPERATION)? {
            Event::Syscall => ptrace::resume_to_syscall(tid)?,
            Event::Signal(signal) => return self.settle(tid, signal).map(|()| Stepped::Held),
            Event::Ended => return Err(TraceeError::Gone { tid, operation: OPERATION }),
            _ => return self.settle(tid, 0).map(|()| Stepped::Held),
        }
        let until = Instant::now() + CALL_LIMIT;
        loop {
            match ptrace::look(tid, OPERATION)? {
                Some(Event::Syscall) => break,
                Some(Event::Ended) => return Err(TraceeError::Gone { tid, operation: OPERATION }),
                Some(Event::Signal(signal)) => return self.settle(tid, signal).map(|()| Stepped::Held),
                Some(_) => return self.settle(tid, 0).map(|()| Stepped::Held),
                None if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
                None => return self.interrupt(tid),
            }
        }
        // At an exit stop, an event stop is near where the kernel still has to make the call again.
        self.settle(tid, 0)?;
        Ok(if self.waits(tid) { Stepped::Held } else { Stepped::On })
    }

    /// Whether a thread is in a call that the kernel is to make again.
    pub fn waits(&self, tid: i32) -> bool {
        self.threads().iter().any(|thread| thread.tid == tid && thread.in_syscall.is_some_and(|call| call.restart))
    }

    /// Takes a thread out of a call that keeps it.
    pub(super) fn interrupt(&mut self, tid: i32) -> Result<Stepped, TraceeError> {
        ptrace::interrupt(tid)?;
        match ptrace::wait(tid, Instant::now() + STEP_LIMIT, OPERATION)? {
            Event::Ended => Err(TraceeError::Gone { tid, operation: OPERATION }),
            Event::Signal(signal) => self.settle(tid, signal).map(|()| Stepped::Held),
            _ => self.settle(tid, 0).map(|()| Stepped::Held),
        }
    }

    /// Brings a thread to an event stop with its own mask, and reads it anew. `signal` is delivered on the way.
    pub(super) fn settle(&mut self, tid: i32, signal: i32) -> Result<(), TraceeError> {
        self.loose.retain(|loose| *loose != tid);
        let Some(own) = self.threads().iter().find(|thread| thread.tid == tid).map(|thread| thread.signal_mask) else {
            return Ok(());
        };
        if ptrace::signal_mask(tid)? != own {
            ptrace::set_signal_mask(tid, own)?;
        }
        ptrace::interrupt(tid)?;
        let mut held = deliver(tid, signal)?;
        loop {
            match ptrace::wait(tid, Instant::now() + STEP_LIMIT, OPERATION)? {
                Event::Stop => break,
                Event::Ended => return Err(TraceeError::Gone { tid, operation: OPERATION }),
                Event::Signal(signal) => held |= deliver(tid, signal)?,
                _ => ptrace::resume(tid, 0)?,
            }
        }
        let stopped = self.stopped.as_mut().unwrap_or_else(|| unreachable!("a process that is stepped is stopped"));
        let mut now = stopped.read_thread(tid)?;
        if held {
            now.signal_mask &= !TRAP | own;
            self.masked.push((tid, now.signal_mask));
        }
        if let Some(thread) = stopped.threads.iter_mut().find(|thread| thread.tid == tid) {
            *thread = now;
        }
        Ok(())
    }

    /// Takes down where a thread is.
    pub(super) fn note(&mut self, tid: i32) -> Result<(), TraceeError> {
        let now = ptrace::registers(tid)?;
        let stopped = self.stopped.as_mut().unwrap_or_else(|| unreachable!("a process that is stepped is stopped"));
        if let Some(thread) = stopped.threads.iter_mut().find(|thread| thread.tid == tid) {
            (thread.registers, thread.in_syscall) = (now, None);
        }
        Ok(())
    }
}

/// Lets a thread on with a signal that is about to be delivered, towards the event stop that it was told to make. A SIGTRAP that somebody sent
/// must not meet the guard: it is blocked, and the kernel puts it back among those that wait (`ptrace_signal`). Whether that was done.
fn deliver(tid: i32, signal: i32) -> Result<bool, TraceeError> {
    let is_sent = signal == libc::SIGTRAP && !ptrace::is_from_step(tid)?;
    let is_step = signal == libc::SIGTRAP && !is_sent;
    if is_sent {
        let mask = ptrace::signal_mask(tid)?;
        ptrace::set_signal_mask(tid, mask | TRAP)?;
    }
    ptrace::resume(tid, if is_step { 0 } else { signal })?;
    Ok(is_sent)
}

fn kind(instruction: &Instruction) -> Kind {
    match instruction.mnemonic() {
        Mnemonic::Syscall => Kind::Call,
        // Those that see or set the trap flag, and traps of the program's own.
        Mnemonic::Pushf | Mnemonic::Pushfd | Mnemonic::Pushfq | Mnemonic::Popf | Mnemonic::Popfd | Mnemonic::Popfq => Kind::Never,
        Mnemonic::Sysenter | Mnemonic::Sysret | Mnemonic::Retf | Mnemonic::Lss | Mnemonic::Hlt | Mnemonic::INVALID => Kind::Never,
        _ => match instruction.flow_control() {
            FlowControl::Interrupt | FlowControl::Exception | FlowControl::XbeginXabortXend => Kind::Never,
            _ if instruction.is_jmp_far() || instruction.is_call_far() => Kind::Never,
            _ if matches!(instruction.mnemonic(), Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq) => Kind::Never,
            _ => Kind::Plain,
        },
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        if self.stopped.is_none() {
            return;
        }
        for tid in self.loose.clone() {
            // A thread that is gone needs nothing.
            let _ = self.settle(tid, 0);
        }
        // A debug register that stays on needs the handler: the trap would end the process.
        if let Some(error) = self.armed.and_then(|tid| turn_off(tid).err()) {
            tracing::warn!(%error, "a debug register, and a handler of SIGTRAP that does nothing, are left in the process");
            return;
        }
        if let Some(stopped) = self.stopped.take()
            && let Err(error) = unguard(stopped, &self.action, &self.masked)
        {
            tracing::warn!(%error, "a handler of SIGTRAP that does nothing is left in the process");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &[u8]) -> Kind {
        kind(&Decoder::with_ip(64, code, 0, DecoderOptions::NONE).decode())
    }

    #[test]
    fn what_sees_the_trap_flag_and_traps_is_not_stepped_over() {
        // int3; int $3; int1; pushf; popf; iretq; ud2; xbegin
        let never: [&[u8]; 8] =
            [&[0xcc], &[0xcd, 3], &[0xf1], &[0x9c], &[0x9d], &[0x48, 0xcf], &[0x0f, 0x0b], &[0xc7, 0xf8, 0, 0, 0, 0]];
        assert!(never.iter().all(|code| of(code) == Kind::Never));
        assert_eq!(of(&[0x0f, 0x05]), Kind::Call);
        // rep movsb; ret; jmp
        assert!([&[0xf3, 0xa4][..], &[0xc3], &[0xeb, 0xfe]].iter().all(|code| of(code) == Kind::Plain));
    }
}
