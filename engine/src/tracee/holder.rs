//! The task that keeps the old address space alive while the vessel is filled.
//!
//! It shares memory with the target (CLONE_VM), nothing else: its copy of the descriptor table is emptied, it has a session
//! of its own, blocks every signal, and its only code path is a chain that calls `pause` and returns into itself.

use std::time::{Duration, Instant};

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Registers;
use nix::errno::Errno;

use super::borrowed::{Borrowed, Undo};
use super::call;
use super::error::TraceeError;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::procfs;
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
        let seccomp = self.seccomp_option(leader);
        ptrace::set_options(leader, ptrace::OPTIONS | ptrace::REPORT_CLONES | seccomp)?;
        // The kernel itself writes the new task's ID into the frame that would end it, as part of the clone: there is no
        // instant at which the task exists and the chain does not know it.
        let undo = [kill(NOBODY), reap(NOBODY), kill(NOBODY)];
        let holder_undo = self.push_undos(&undo.each_ref().map(|undo| (leader, undo)))?;
        let [_, reap_undo, parent_undo] = frames_from(holder_undo);
        let way = self.lay_way(leader, holder_undo)?;
        let arguments = clone_arguments(sharing, way.parked, parent_undo, reap_undo);
        let registers = self.leader_registers(libc::SYS_clone, &arguments)?;
        let parent = clone(leader, &registers)?;
        self.set_undo_target(0, parent_undo, parent)?;
        self.set_undo_target(1, reap_undo, parent)?;
        let born = self.clone_holder(parent, &way, sharing != 0, seccomp);
        end_task(parent);
        let born = born.or_else(|error| self.unseen_holder(holder_undo).and(Err(error)))?;
        let known = self.set_undo_target(2, holder_undo, born).and_then(|()| self.forget_parent(leader, parent));
        match known.and_then(|()| settle(born, parent, (sharing == 0).then_some(seccomp))).and_then(|()| RemoteMemory::open(born))
        {
            Ok(memory) => Ok(Holder { pid: born, memory }),
            Err(error) => {
                // Waited for, so that nothing shares the memory any more once the process goes on.
                end_task(born);
                Err(error)
            }
        }
    }

    /// Takes over from the frame what the kernel wrote there, should the first task have made a holder that nobody saw.
    fn unseen_holder(&mut self, frame: RunAddress) -> Result<(), TraceeError> {
        let written = self.memory().read_u64(RunAddress(frame.0 + sigframe::FIRST_ARGUMENT))? as i32;
        if written == NOBODY { Ok(()) } else { self.set_undo_target(2, frame, written) }
    }

    /// Takes the ended first task out of the chain and reaps it as its parent.
    fn forget_parent(&mut self, leader: i32, parent: i32) -> Result<(), TraceeError> {
        self.pop_undo(leader)?;
        self.leader_call("wait4", libc::SYS_wait4, &reap(parent).arguments)?;
        self.pop_undo(leader).map(drop)
    }

    /// Sends the first task on its way to the holder, without a stop between.
    ///
    /// Where memory is shared, the kernel writes the holder's ID where the chain finds it; a copy's first task must end with
    /// the engine until the chain was told.
    fn clone_holder(&mut self, parent: i32, way: &Way, shares: bool, seccomp: i32) -> Result<i32, TraceeError> {
        wait_for_birth(parent)?;
        let end_with_engine = if shares { 0 } else { libc::PTRACE_O_EXITKILL };
        ptrace::set_options(parent, ptrace::OPTIONS | ptrace::REPORT_CLONES | seccomp | end_with_engine)?;
        for name in ["close_range", "setsid", "clone"] {
            call::pass(parent, name)?;
        }
        let base = ptrace::registers(parent)?;
        let all = [0, u64::from(u32::MAX), 0];
        let registers = sigframe::call_registers(self.gadgets(), &base, libc::SYS_close_range, &all, way.onward);
        ptrace::set_registers(parent, &registers)?;
        ptrace::resume(parent, 0)?;
        wait_for_clone(parent)
    }

    /// Lays the frames that the first task goes through once its descriptors are closed: out of its session, the clone of the
    /// holder, its end should that fail. All signals are blocked on the way.
    fn lay_way(&mut self, leader: i32, holder_undo: RunAddress) -> Result<Way, TraceeError> {
        let parked = self.new_frames(leader, 4)?;
        let [_, onward, clone, end] = frames_from(parked);
        let base = Registers { fs_base: 0, ..self.stopped().threads()[0].registers };
        let arguments = clone_arguments(libc::CLONE_VM, parked, holder_undo, holder_undo);
        let calls: [(i64, &[u64], RunAddress); 4] = [
            // A frame that returns into itself: the rest of the life of a parked task.
            (libc::SYS_pause, &[], parked),
            (libc::SYS_setsid, &[], clone),
            (libc::SYS_clone, &arguments, end),
            (libc::SYS_exit, &[1], parked),
        ];
        let mut frames = Vec::new();
        for (number, arguments, next) in calls {
            frames.extend(sigframe::call_frame(self.gadgets(), &base, number, arguments, next));
            frames.resize(frames.len().next_multiple_of(sigframe::SMALL_FRAME as usize), 0);
        }
        self.memory().write(parked, &frames)?;
        Ok(Way { parked, onward })
    }
}

/// The way of the task that makes the holder.
struct Way {
    /// A frame that calls `pause` for ever.
    parked: RunAddress,
    /// Where the task goes on once its descriptors are closed.
    onward: RunAddress,
}

/// The addresses of small frames behind one another.
fn frames_from<const N: usize>(first: RunAddress) -> [RunAddress; N] {
    std::array::from_fn(|i| RunAddress(first.0 + i as u64 * sigframe::SMALL_FRAME))
}

/// A new task is there, or not, well before this.
const LIMIT: Duration = Duration::from_secs(5);
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

/// Waits until a task that was let go makes another.
fn wait_for_clone(tid: i32) -> Result<i32, TraceeError> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match ptrace::wait(tid, deadline, "make the holder")? {
            Event::Clone(born) => return Ok(born),
            Event::Ended => return Err(TraceeError::Gone { tid, operation: "making the holder" }),
            Event::Stop | Event::Signal(libc::SIGSTOP) => ptrace::resume(tid, 0)?,
            _ => return Err(TraceeError::UnexpectedStop { tid, status: 0, operation: "making the holder" }),
        }
    }
}

/// Checks what nobody saw the holder's maker do, and lets a copy outlive the engine.
///
/// A holder that shares memory is not waited for: it exists, and that is all it is for. It is in a session of its own, which on
/// a busy machine may not get a processor for a while.
fn settle(holder: i32, parent: i32, copy: Option<i32>) -> Result<(), TraceeError> {
    let refused = |call| TraceeError::Call { call, tid: holder, source: Errno::EPERM };
    let stat = procfs::read_text(holder, "stat")?;
    let session = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(3)?.parse::<i32>().ok());
    if session != Some(parent) {
        return Err(refused("setsid"));
    }
    if !procfs::descriptor_numbers(holder)?.is_empty() {
        return Err(refused("close_range"));
    }
    if let Some(seccomp) = copy {
        wait_for_birth(holder)?;
        ptrace::set_options(holder, ptrace::OPTIONS | seccomp)?;
    }
    Ok(())
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
    let deadline = Instant::now() + LIMIT;
    match ptrace::wait(tid, deadline, "be born")? {
        Event::Stop => Ok(()),
        Event::Ended => Err(TraceeError::Gone { tid, operation: "being born" }),
        _ => Err(TraceeError::UnexpectedStop { tid, status: 0, operation: "being born" }),
    }
}
