//! The task that keeps the old address space alive while the vessel is filled.
//!
//! It shares memory with the target (CLONE_VM), nothing else: its copy of the descriptor table is emptied, it has a session
//! of its own, blocks every signal, and its only code path is a chain that calls `pause` and returns into itself.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Registers;

use super::borrowed::{Borrowed, Undo};
use super::call;
use super::error::TraceeError;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::ptrace::{self, Event};
use super::sigframe;

/// A parked holder, traced by the engine. It outlives the value: ending it is a decision of the transaction.
#[derive(Debug)]
pub struct Holder {
    pid: i32,
    memory: RemoteMemory,
}

impl Holder {
    /// The task.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The old address space.
    pub fn memory(&self) -> &RemoteMemory {
        &self.memory
    }

    /// Ends the task; whoever is its parent then reaps it, see [`super::emptied::Emptied::reap`].
    pub fn end(self) {
        // SAFETY: kill and waitpid take plain numbers and a status that outlives the call.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            let mut status = 0;
            while libc::waitpid(self.pid, &raw mut status, libc::__WALL) == -1
                && nix::errno::Errno::last() == nix::errno::Errno::EINTR
            {}
        }
    }
}

impl Borrowed {
    /// Makes the holder. Should the engine die later, the leader's chain ends it.
    pub fn start_holder(&mut self) -> Result<Holder, TraceeError> {
        let leader = self.tids[0];
        let parked = self.lay_parking_frame(leader)?;
        ptrace::set_options(leader, ptrace::OPTIONS | self.seccomp_option(leader))?;
        let born = self.clone_with_stack(leader, parked)?;
        let kill = Undo { number: libc::SYS_kill, arguments: vec![born as u64, libc::SIGKILL as u64] };
        let prepared = self.prepare_holder(leader, born, parked, &kill);
        match prepared {
            Ok(memory) => Ok(Holder { pid: born, memory }),
            Err(error) => {
                Holder { pid: born, memory: RemoteMemory::open(leader)? }.end();
                Err(error)
            }
        }
    }

    fn prepare_holder(&mut self, leader: i32, born: i32, parked: RunAddress, kill: &Undo) -> Result<RemoteMemory, TraceeError> {
        self.call_undoable(leader, "getpid", libc::SYS_getpid, &[], kill)?;
        wait_for_birth(born)?;
        let base = ptrace::registers(born)?;
        let registers = |number, arguments: &[u64]| sigframe::call_registers(self.gadgets(), &base, number, arguments, parked);
        let close = call::run(born, "close_range", &registers(libc::SYS_close_range, &[0, u64::from(u32::MAX), 0]))?;
        call::checked(born, "close_range", close.result)?;
        let session = call::run(born, "setsid", &registers(libc::SYS_setsid, &[]))?;
        call::checked(born, "setsid", session.result)?;
        RemoteMemory::open(born)
    }

    fn clone_with_stack(&mut self, leader: i32, stack: RunAddress) -> Result<i32, TraceeError> {
        let registers = self.leader_registers(libc::SYS_clone, &[libc::CLONE_VM as u64, stack.0, 0, 0, 0])?;
        let outcome = call::run(leader, "clone", &registers)?;
        call::checked(leader, "clone", outcome.result)?;
        outcome.born.ok_or(TraceeError::Gone { tid: leader, operation: "making the holder" })
    }

    /// A frame whose registers call `pause` and return into the frame itself, all signals blocked.
    fn lay_parking_frame(&mut self, leader: i32) -> Result<RunAddress, TraceeError> {
        let at = self.new_frame(leader)?;
        let base = Registers { fs_base: 0, ..self.stopped().threads()[0].registers };
        let frame = sigframe::call_frame(self.gadgets(), &base, libc::SYS_pause, &[], at);
        self.memory().write(at, &frame)?;
        Ok(at)
    }
}

/// Waits for the first stop of a task that a traced task has just made.
pub(super) fn wait_for_birth(tid: i32) -> Result<(), TraceeError> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    match ptrace::wait(tid, deadline, "be born")? {
        Event::Stop => Ok(()),
        Event::Ended => Err(TraceeError::Gone { tid, operation: "being born" }),
        _ => Err(TraceeError::UnexpectedStop { tid, status: 0, operation: "being born" }),
    }
}
