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
    pub(super) pid: i32,
    pub(super) memory: RemoteMemory,
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

    /// Ends the task.
    pub fn end(self) {
        end_task(self.pid);
    }
}

impl Borrowed {
    /// Makes the holder. Should the engine die later, the leader's chain ends it.
    ///
    /// A first task makes the second and ends, so that the holder is nobody's child: the target never sees one, and whoever
    /// adopts orphans reaps it.
    pub fn start_holder(&mut self) -> Result<Holder, TraceeError> {
        self.start_keeper(libc::CLONE_VM)
    }

    /// Makes a parked task with a copy of the memory as it is now (copy on write), which stays as it is when the process goes
    /// on. Mappings that are not inherited, or wiped, by a fork are missing in it.
    pub fn start_copy(&mut self) -> Result<Holder, TraceeError> {
        self.start_keeper(0)
    }

    /// Lets a copy outlive the engine's hold on the process: giving back ends it no more, its holder must.
    pub fn keep(&mut self, copy: &Holder) -> Result<(), TraceeError> {
        let leader = self.tids[0];
        match self.pop_undo(leader)? {
            Some(undo) if undo.arguments.first() == Some(&(copy.pid as u64)) => Ok(()),
            Some(undo) => self.push_undo(leader, &undo).map(drop),
            None => Ok(()),
        }
    }

    fn start_keeper(&mut self, sharing: i32) -> Result<Holder, TraceeError> {
        let leader = self.tids[0];
        let parked = self.lay_parking_frame(leader)?;
        ptrace::set_options(leader, ptrace::OPTIONS | ptrace::REPORT_CLONES | self.seccomp_option(leader))?;
        // The kernel itself writes the new task's ID into the frame that would end it, as part of the clone: there is no
        // instant at which the task exists and the chain does not know it.
        let holder_undo = self.push_undo(leader, &kill(NOBODY))?;
        let reap_undo = self.push_undo(leader, &reap(NOBODY))?;
        let parent_undo = self.push_undo(leader, &kill(NOBODY))?;
        let arguments = clone_arguments(sharing, parked, parent_undo, reap_undo);
        let registers = self.leader_registers(libc::SYS_clone, &arguments)?;
        let parent = clone(leader, &registers)?;
        self.set_undo_target(0, parent_undo, parent)?;
        self.set_undo_target(1, reap_undo, parent)?;
        let born = self.clone_holder(parent, parked, holder_undo);
        if let Ok(born) = &born {
            self.set_undo_target(2, holder_undo, *born)?;
        }
        end_task(parent);
        let born = born?;
        match self.forget_parent(leader, parent).and_then(|()| RemoteMemory::open(born)) {
            Ok(memory) => Ok(Holder { pid: born, memory }),
            Err(error) => {
                // Waited for, so that nothing shares the memory any more once the process goes on.
                end_task(born);
                Err(error)
            }
        }
    }

    /// Takes the ended first task out of the chain and reaps it as its parent.
    fn forget_parent(&mut self, leader: i32, parent: i32) -> Result<(), TraceeError> {
        self.pop_undo(leader)?;
        self.leader_call("wait4", libc::SYS_wait4, &reap(parent).arguments)?;
        self.pop_undo(leader).map(drop)
    }

    fn clone_holder(&mut self, parent: i32, parked: RunAddress, undo: RunAddress) -> Result<i32, TraceeError> {
        wait_for_birth(parent)?;
        let base = ptrace::registers(parent)?;
        let gadgets = self.gadgets();
        let registers = |number, arguments: &[u64]| sigframe::call_registers(gadgets, &base, number, arguments, parked);
        let in_parent = |name, number, arguments: &[u64]| {
            let outcome = call::run(parent, name, &registers(number, arguments))?;
            call::checked(parent, name, outcome.result)
        };
        in_parent("close_range", libc::SYS_close_range, &[0, u64::from(u32::MAX), 0])?;
        in_parent("setsid", libc::SYS_setsid, &[])?;
        ptrace::set_options(parent, ptrace::OPTIONS | ptrace::REPORT_CLONES)?;
        let arguments = clone_arguments(libc::CLONE_VM, parked, undo, undo);
        let born = clone(parent, &registers(libc::SYS_clone, &arguments))?;
        wait_for_birth(born)?;
        Ok(born)
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

/// No process has this ID (`PID_MAX_LIMIT` is 4,194,304).
const NOBODY: i32 = i32::MAX;

/// Nothing shared but memory, if that; no signal at its end; the parking frame as its stack. The maker writes the new ID into
/// the frame at `ours`, the new task into the frame at `its`, if it sees it.
fn clone_arguments(sharing: i32, parked: RunAddress, ours: RunAddress, its: RunAddress) -> [u64; 5] {
    let flags = (sharing | libc::CLONE_PARENT_SETTID | libc::CLONE_CHILD_SETTID) as u64;
    [flags, parked.0, ours.0 + sigframe::FIRST_ARGUMENT, its.0 + sigframe::FIRST_ARGUMENT, 0]
}

fn clone(tid: i32, registers: &Registers) -> Result<i32, TraceeError> {
    let outcome = call::run(tid, "clone", registers)?;
    call::checked(tid, "clone", outcome.result)?;
    outcome.born.ok_or(TraceeError::Gone { tid, operation: "making the holder" })
}

fn reap(pid: i32) -> Undo {
    Undo { number: libc::SYS_wait4, arguments: vec![pid as u64, 0, libc::__WALL as u32 as u64, 0] }
}

fn kill(pid: i32) -> Undo {
    Undo { number: libc::SYS_kill, arguments: vec![pid as u64, libc::SIGKILL as u64] }
}

/// Kills a traced task and takes the report of its end.
fn end_task(pid: i32) {
    // SAFETY: kill and waitpid take plain numbers and a status that outlives the call.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        let mut status = 0;
        loop {
            let reaped = libc::waitpid(pid, &raw mut status, libc::__WALL);
            let again = reaped == pid && !libc::WIFEXITED(status) && !libc::WIFSIGNALED(status);
            let interrupted = reaped == -1 && nix::errno::Errno::last() == nix::errno::Errno::EINTR;
            if !again && !interrupted {
                return;
            }
        }
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
