//! The exec that empties a process: a file replaces its address space, all threads but the leader die, the leader parks.

use std::os::fd::{BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Registers;
use serde::{Deserialize, Serialize};

use super::borrowed::{Borrowed, Undo};
use super::call;
use super::emptied::Emptied;
use super::entry::{self, Guard};
use super::error::TraceeError;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::ptrace::{self, Event};
use super::site::Layout;

/// An exec tears down nothing while a holder lives.
const EXEC_LIMIT: Duration = Duration::from_secs(20);

/// What a process is emptied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// A stub that parks by itself. The link to the executable is set afterwards, which takes privilege of the process's own.
    Stub,
    /// A stub whose file gives a process without privilege what it needs for that, and loses again before it goes on.
    PrivilegedStub,
    /// The program itself, which sets the link. It is kept from running until parking code stands where it would begin.
    Program,
}

impl Borrowed {
    /// Replaces the address space by that of the file behind `descriptor` (a number in the target): a stub that is linked at
    /// the start of `site`, or a program.
    ///
    /// On failure before the point of no return the process can still be given back.
    pub fn exec(mut self, descriptor: RawFd, way: Way, site: RunRange) -> Result<Emptied, (Option<Box<Borrowed>>, TraceeError)> {
        match self.try_exec(descriptor, way) {
            Ok(true) => {}
            Ok(false) => {
                let error = refused(self.tids[0]);
                return Err((Some(Box::new(self)), error));
            }
            Err((true, error)) => return Err((Some(Box::new(self)), error)),
            Err((false, error)) => {
                self.stopped = None;
                return Err((None, error));
            }
        }
        self.into_emptied(way, site).map_err(|error| (None, error))
    }

    /// Runs the call up to the exec event, `true`, or to its failure, `false`. An error says whether the process is what it was.
    fn try_exec(&mut self, descriptor: RawFd, way: Way) -> Result<bool, (bool, TraceeError)> {
        let leader = self.tids[0];
        let prepared = (|| {
            ptrace::set_options(leader, ptrace::OPTIONS | self.seccomp_option(leader))?;
            self.hold_others()?;
            self.leader_registers(libc::SYS_getpid, &[])
        })();
        let harmless = prepared.map_err(|error| (true, error))?;
        let mut guard = Guard::new(leader, way);
        let mut held_back = std::mem::take(&mut self.held_back);
        let arguments = (descriptor, self.scratch().start);
        let outcome = match begin(leader, &harmless, arguments, &mut guard, self.memory(), &mut held_back) {
            Ok(()) => await_event(leader).map_err(|error| (false, error)),
            Err(error) => call_off(leader, &harmless, &mut held_back).and(Err(error)).map_err(|error| (true, error)),
        };
        self.held_back = match outcome {
            Ok(true) | Err((false, _)) => held_back,
            _ => guard.take_back(&harmless, held_back).map_err(|error| (true, error))?,
        };
        outcome
    }

    /// Keeps the other threads where they are until the leader's way back lets them go: should the engine die while the exec is
    /// under way, they must not run on in the memory that the holder keeps.
    fn hold_others(&mut self) -> Result<(), TraceeError> {
        const WAIT: u64 = 128; // FUTEX_WAIT_PRIVATE
        const WAKE_OP: u64 = 5 | 128; // FUTEX_WAKE_OP_PRIVATE
        /// `FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)` (`include/uapi/linux/futex.h`).
        const SET_TO_ONE: u64 = 1 << 12;
        if self.tids.len() == 1 {
            return Ok(());
        }
        let leader = self.tids[0];
        let gate = self.new_frames(leader, 1)?;
        self.memory().write(gate, &[0; 8])?;
        let arguments = vec![gate.0, WAKE_OP, i32::MAX as u64, 0, gate.0, SET_TO_ONE];
        self.push_undo(leader, &Undo { number: libc::SYS_futex, arguments })?;
        // The leader returns into the frame that opens the gate before any thread stands at it.
        let registers = self.leader_registers(libc::SYS_getpid, &[])?;
        ptrace::set_registers(leader, &registers)?;
        for index in 1..self.tids.len() {
            let registers = self.thread_registers(index, libc::SYS_futex, &[gate.0, WAIT, 0, 0])?;
            ptrace::set_registers(self.tids[index], &registers)?;
        }
        Ok(())
    }

    fn into_emptied(mut self, way: Way, site: RunRange) -> Result<Emptied, TraceeError> {
        let pid = self.tids[0];
        let held_back = std::mem::take(&mut self.held_back);
        let stopped = self.stopped.take();
        let Some((target, ticker)) = stopped.and_then(super::stopped::Stopped::into_parts) else {
            return Err(TraceeError::Gone { tid: pid, operation: "the exec" });
        };
        let (memory, code) = park(pid, way, site)?;
        let mut emptied = Emptied::from_parts(vec![pid], memory, target.pidfd, code, ticker);
        let harmless = emptied.call_registers(libc::SYS_getpid, &[])?;
        emptied.held_back = Guard::sent(pid, way).take_back(&harmless, held_back)?;
        emptied.gadgets = Some(target.gadgets);
        Ok(emptied)
    }
}

impl Emptied {
    /// Replaces the address space once more, by that of `program`, a file as `way` says. Only trampoline and scratch may be
    /// mapped, and no descriptor that is to stay may be close-on-exec.
    ///
    /// The process has one thread afterwards, and as after the first exec [`Emptied::move_in`] comes next.
    pub fn exec_again(&mut self, program: BorrowedFd<'_>, way: Way, site: RunRange) -> Result<(), TraceeError> {
        let number = self.import(program)?;
        self.close_channel()?;
        let leader = self.pid;
        ptrace::set_options(leader, ptrace::OPTIONS)?;
        let harmless = self.call_registers(libc::SYS_getpid, &[])?;
        let mut guard = Guard::new(leader, way);
        let mut held_back = std::mem::take(&mut self.held_back);
        let arguments = (number, self.scratch.start);
        let replaced = match begin(leader, &harmless, arguments, &mut guard, &self.memory, &mut held_back) {
            Ok(()) => await_event(leader)?,
            Err(error) => {
                call_off(leader, &harmless, &mut held_back)?;
                self.held_back = guard.take_back(&harmless, held_back)?;
                return Err(error);
            }
        };
        if !replaced {
            let error = refused(leader);
            self.held_back = guard.take_back(&harmless, held_back)?;
            return Err(error);
        }
        let (memory, code) = park(leader, way, site)?;
        self.tids = vec![leader];
        self.memory = memory;
        self.code = code;
        (self.tables, self.scratch) = Default::default();
        let harmless = self.call_registers(libc::SYS_getpid, &[])?;
        self.held_back = guard.take_back(&harmless, held_back)?;
        Ok(())
    }
}

/// Takes `leader` into an `execveat` of a descriptor; the second of `arguments` is room for two words.
///
/// It enters the kernel with a harmless call, and only there is that turned into the exec: whatever becomes of the engine
/// before, nothing has happened; from then on the guard stops a program before its first instruction.
fn begin(
    leader: i32,
    harmless: &Registers,
    (descriptor, scratch): (RawFd, RunAddress),
    guard: &mut Guard,
    memory: &RemoteMemory,
    held_back: &mut Vec<i32>,
) -> Result<(), TraceeError> {
    // An empty path, and an empty vector for arguments and environment.
    memory.write(scratch, &[0; 16])?;
    ptrace::set_registers(leader, harmless)?;
    ptrace::resume_to_syscall(leader)?;
    to_syscall_stop(leader, held_back)?;
    TraceeError::at_step("exec", leader)?;
    guard.send()?;
    TraceeError::at_step("exec", leader)?;
    let at_entry = ptrace::registers(leader)?;
    let exec = Registers {
        orig_rax: libc::SYS_execveat as u64,
        rdi: descriptor as u64,
        rsi: scratch.0,
        rdx: scratch.0 + 8,
        r10: scratch.0 + 8,
        r8: libc::AT_EMPTY_PATH as u64,
        ..at_entry
    };
    ptrace::set_registers(leader, &exec)?;
    TraceeError::at_step("exec", leader)?;
    ptrace::resume_to_syscall(leader)
}

/// Ends the harmless call that [`begin`] left half done.
fn call_off(leader: i32, harmless: &Registers, held_back: &mut Vec<i32>) -> Result<(), TraceeError> {
    let now = ptrace::registers(leader)?;
    ptrace::set_registers(leader, &Registers { orig_rax: harmless.rax, ..now })?;
    ptrace::resume_to_syscall(leader)?;
    to_syscall_stop(leader, held_back)
}

/// On to the next entry or exit of a system call.
fn to_syscall_stop(tid: i32, held_back: &mut Vec<i32>) -> Result<(), TraceeError> {
    const OPERATION: &str = "come to the exec";
    let deadline = Instant::now() + EXEC_LIMIT;
    loop {
        match ptrace::wait(tid, deadline, OPERATION)? {
            Event::Syscall => return Ok(()),
            Event::Signal(signal @ libc::SIGSTOP) => held_back.push(signal),
            Event::Stop => {}
            Event::Ended => return Err(TraceeError::Gone { tid, operation: OPERATION }),
            _ => return Err(TraceeError::UnexpectedStop { tid, status: 0, operation: OPERATION }),
        }
        ptrace::resume_to_syscall(tid)?;
    }
}

/// Reaps the other threads until the exec event, `true`, or until the leader comes back from a failed call, `false`.
fn await_event(leader: i32) -> Result<bool, TraceeError> {
    let deadline = Instant::now() + EXEC_LIMIT;
    loop {
        let Some((tid, event)) = ptrace::wait_any(deadline)? else {
            return Err(TraceeError::Deadline {
                tid: leader,
                awaited: "exec",
                limit_ms: EXEC_LIMIT.as_millis() as u64,
                state: super::procfs::describe_state(leader),
            });
        };
        match event {
            Event::Exec if tid == leader => return Ok(true),
            Event::Ended if tid == leader => return Err(TraceeError::Gone { tid, operation: "the exec" }),
            Event::Syscall if tid == leader => return Ok(false),
            // Threads that die in the exec; a thread that is on its way out may stop once more.
            Event::Ended => {}
            _ => ptrace::resume(tid, 0)?,
        }
    }
}

/// The kernel's answer to an exec that failed; the leader is at the exit stop of the call.
fn refused(tid: i32) -> TraceeError {
    let answer = ptrace::registers(tid).and_then(|registers| call::checked(tid, "execveat", registers.rax as i64));
    answer.err().unwrap_or(TraceeError::UnexpectedStop { tid, status: 0, operation: "the exec" })
}

/// From the exec event to the exit stop of the call, after which parking code is all that can run.
fn park(pid: i32, way: Way, site: RunRange) -> Result<(RemoteMemory, RunAddress), TraceeError> {
    let memory = RemoteMemory::open(pid)?;
    let code = match way {
        Way::Stub | Way::PrivilegedStub => Layout::at(site).stub_code,
        Way::Program => {
            TraceeError::at_step("exec-event", pid)?;
            let code = entry::lay_parking_code(pid, &memory)?;
            TraceeError::at_step("exec-event", pid)?;
            code
        }
    };
    ptrace::resume_to_syscall(pid)?;
    let deadline = Instant::now() + EXEC_LIMIT;
    while ptrace::wait(pid, deadline, "leave the exec")? != Event::Syscall {
        ptrace::resume_to_syscall(pid)?;
    }
    Ok((memory, code))
}
