//! Threads let on at full speed to where their function has returned: a breakpoint of the processor's own stops them there.
//!
//! It is one of the thread's debug registers (`PTRACE_POKEUSER`, `arch/x86/kernel/ptrace.c`): nothing in the process's memory changes, and no
//! other thread meets it. An engine that dies leaves it, and the handler that takes its traps ([`super::step`]); an exec takes both away.

use std::mem::offset_of;
use std::time::{Duration, Instant};

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Registers;

use super::error::TraceeError;
use super::memory::RemoteMemory;
use super::procfs;
use super::ptrace::{self, Event};
use super::step::{NOT_THROUGH, STEP_LIMIT, Stepped, Stepping};

const OPERATION: &str = "let a thread on to where its function returns";
/// Between two looks at a thread that runs.
const LOOK_AGAIN: Duration = Duration::from_micros(50);
/// Debug register 0, and the one that turns it on: for this thread, at an instruction (Intel SDM 3B, 18.2.4).
const PLACE: usize = offset_of!(libc::user, u_debugreg);
const CONTROL: usize = PLACE + 7 * size_of::<u64>();
const ON: u64 = 1;
/// Bytes of the `syscall` instruction, and the instruction.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// How a run ends.
enum End {
    /// The thread is there.
    There,
    /// A signal is about to be delivered.
    Signal(i32),
    /// It has made an event stop, or was not there in time.
    Stop,
    /// It stands before a call again that it is not let through.
    Before,
}

impl Stepping {
    /// Lets one thread run, all others standing still, until it is about to run the instruction at `place` with its stack pointer at `pointer`
    /// or above: then the function whose frame ended there has returned. What ends steps ends this, too, and so does `until`.
    ///
    /// # Errors
    /// A thread that is gone, or that does not stop.
    pub fn run_out(&mut self, tid: i32, there: (RunAddress, u64), until: Instant) -> Result<Stepped, TraceeError> {
        if self.waits(tid) || self.place(tid).is_none() {
            return Ok(Stepped::Held);
        }
        if has_filter(tid) {
            return Ok(Stepped::Stays);
        }
        self.loosen(tid)?;
        // Whatever fails from here on, the register is off before the handler goes (`Stepping::drop`).
        self.armed = Some(tid);
        // There may be no debug register to be had.
        match ptrace::poke_user(tid, PLACE, there.0.0).and_then(|()| ptrace::poke_user(tid, CONTROL, ON)) {
            Ok(()) => {}
            Err(TraceeError::Ptrace { .. }) => {
                self.disarm(tid)?;
                return Ok(Stepped::Stays);
            }
            Err(error) => return Err(error),
        }
        let end = self.run(tid, there, until)?;
        self.disarm(tid)?;
        match end {
            End::There => Ok(Stepped::On),
            End::Signal(signal) => self.settle(tid, signal).map(|()| Stepped::Held),
            End::Before => self.settle(tid, 0).map(|()| Stepped::Stays),
            End::Stop => match self.has_come(tid, there)? {
                true => Ok(Stepped::On),
                false => self.settle(tid, 0).map(|()| Stepped::Held),
            },
        }
    }

    fn disarm(&mut self, tid: i32) -> Result<(), TraceeError> {
        turn_off(tid)?;
        self.armed = None;
        Ok(())
    }

    fn run(&mut self, tid: i32, there: (RunAddress, u64), until: Instant) -> Result<End, TraceeError> {
        loop {
            ptrace::resume_to_syscall(tid)?;
            TraceeError::at_step("run", tid)?;
            match await_report(tid, until)? {
                Event::Signal(libc::SIGTRAP) if ptrace::is_from_step(tid)? => {
                    if self.is_there(tid, there)? {
                        return Ok(End::There);
                    }
                }
                Event::Syscall => {
                    if let Some(end) = self.at_call(tid, until)? {
                        return Ok(end);
                    }
                }
                Event::Signal(signal) => return Ok(End::Signal(signal)),
                Event::Ended => return Err(TraceeError::Gone { tid, operation: OPERATION }),
                _ => return Ok(End::Stop),
            }
        }
    }

    /// A function that calls itself returns there more than once.
    fn is_there(&mut self, tid: i32, (place, pointer): (RunAddress, u64)) -> Result<bool, TraceeError> {
        self.note(tid)?;
        let now = self.threads().iter().find(|thread| thread.tid == tid).map(|thread| thread.registers);
        Ok(now.is_some_and(|now| now.rip == place.0 && now.rsp >= pointer))
    }

    /// Whether a thread had just come there when it was told to stop: the trap waits behind the stop (`get_signal`), and would be delivered
    /// when nobody takes it any more.
    fn has_come(&mut self, tid: i32, there: (RunAddress, u64)) -> Result<bool, TraceeError> {
        if !ptrace::pending(tid, false)?.iter().any(|pending| ptrace::is_of_step(&pending.siginfo)) {
            return Ok(false);
        }
        ptrace::resume(tid, 0)?;
        match ptrace::wait(tid, Instant::now() + STEP_LIMIT, OPERATION)? {
            Event::Signal(libc::SIGTRAP) if ptrace::is_from_step(tid)? => self.is_there(tid, there),
            Event::Ended => Err(TraceeError::Gone { tid, operation: OPERATION }),
            Event::Signal(signal) => self.settle(tid, signal).map(|()| false),
            _ => Ok(false),
        }
    }

    /// At the entry of a system call: one that steps do not go through is taken back, so that the thread stands before it again.
    fn at_call(&mut self, tid: i32, until: Instant) -> Result<Option<End>, TraceeError> {
        let entered = ptrace::registers(tid)?;
        if may_pass(&entered, self.memory()) {
            ptrace::resume_to_syscall(tid)?;
            return match await_report(tid, until)? {
                Event::Syscall => Ok(None),
                Event::Signal(signal) => Ok(Some(End::Signal(signal))),
                Event::Ended => Err(TraceeError::Gone { tid, operation: OPERATION }),
                _ => Ok(Some(End::Stop)),
            };
        }
        // The kernel makes no call with this number, and comes to the exit.
        ptrace::set_registers(tid, &Registers { orig_rax: u64::MAX, ..entered })?;
        ptrace::resume_to_syscall(tid)?;
        match ptrace::wait(tid, Instant::now() + STEP_LIMIT, OPERATION)? {
            Event::Ended => Err(TraceeError::Gone { tid, operation: OPERATION }),
            _ => ptrace::set_registers(tid, &before_call(entered)).map(|()| Some(End::Before)),
        }
    }
}

pub(super) fn turn_off(tid: i32) -> Result<(), TraceeError> {
    ptrace::poke_user(tid, CONTROL, 0)?;
    ptrace::poke_user(tid, PLACE, 0)
}

/// Whether a thread's system calls are judged by a filter: it may end the process for a call that is taken back (`__seccomp_filter`).
fn has_filter(tid: i32) -> bool {
    let status = procfs::read_text(tid, "status").unwrap_or_default();
    procfs::status_field(&status, "Seccomp").is_none_or(|mode| mode.trim() != "0")
}

/// What a thread had before the instruction by which it entered a call; what the instruction itself destroys (rcx, r11) it destroys again.
fn before_call(entered: Registers) -> Registers {
    let rip = entered.rip.wrapping_sub(SYSCALL.len() as u64);
    Registers { rip, rax: entered.orig_rax, orig_rax: u64::MAX, ..entered }
}

fn may_pass(entered: &Registers, memory: &RemoteMemory) -> bool {
    let mut code = [0; SYSCALL.len()];
    let from = RunAddress(entered.rip.wrapping_sub(SYSCALL.len() as u64));
    // Other ways into the kernel number calls otherwise.
    let is_plain = memory.read_fast(from, &mut code).is_ok() && code == SYSCALL;
    is_plain && !NOT_THROUGH.contains(&(entered.orig_rax as i64))
}

/// What a running thread reports; one that does not in time is told to stop.
fn await_report(tid: i32, until: Instant) -> Result<Event, TraceeError> {
    loop {
        match ptrace::look(tid, OPERATION)? {
            Some(event) => return Ok(event),
            None if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
            None => break,
        }
    }
    ptrace::interrupt(tid)?;
    ptrace::wait(tid, Instant::now() + STEP_LIMIT, OPERATION)
}
