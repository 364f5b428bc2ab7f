//! A program that was exec'ed and must not run: a stop signal that waits before its first instruction, and parking code
//! written over that instruction.

use std::time::Instant;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Registers;
use nix::errno::Errno;

use super::call;
use super::emptied::Emptied;
use super::error::TraceeError;
use super::exec::Way;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::procfs;
use super::ptrace;
use super::seize;
use super::site::{PARK, PARK_ENTRY, SYSCALL};
use super::target;
use super::ticker::Ticker;

/// A SIGSTOP that waits for the leader alone while a program is exec'ed.
///
/// It outlives the exec and cannot be blocked: should the engine die, the kernel delivers it on the way to the program's first
/// instruction. Sent to the thread and not to the process, since another thread would take it and die with it in the exec.
#[derive(Debug)]
pub(super) struct Guard {
    leader: i32,
    wanted: bool,
    waiting: bool,
}

impl Guard {
    /// A guard that is not sent yet; a stub needs none.
    pub(super) fn new(leader: i32, way: Way) -> Self {
        Self { leader, wanted: way == Way::Program, waiting: false }
    }

    /// A guard that was sent before an exec that has come to its end.
    pub(super) fn sent(leader: i32, way: Way) -> Self {
        Self { leader, wanted: true, waiting: way == Way::Program }
    }

    /// Sends it. The leader is in a stop, and takes no signal there.
    pub(super) fn send(&mut self) -> Result<(), TraceeError> {
        if !self.wanted {
            return Ok(());
        }
        // SAFETY: tgkill takes plain numbers.
        let sent = unsafe { libc::syscall(libc::SYS_tgkill, self.leader, self.leader, libc::SIGSTOP) };
        Errno::result(sent).map_err(|source| TraceeError::Call { call: "tgkill", tid: self.leader, source })?;
        self.waiting = true;
        Ok(())
    }

    /// Takes it off the leader, which runs from `harmless`, a call without effect, and returns the stop signals that were not
    /// ours: those in `held_back`, and others that came meanwhile.
    ///
    /// A SIGCONT from outside takes it too; then nothing is left to take.
    pub(super) fn take_back(self, harmless: &Registers, mut held_back: Vec<i32>) -> Result<Vec<i32>, TraceeError> {
        if !self.waiting {
            return Ok(held_back);
        }
        let waits = ptrace::pending(self.leader, false)?.iter().any(|pending| pending.signal() == libc::SIGSTOP);
        // Any call takes the leader through the place where signals are delivered.
        let mut came = call::run_with(self.leader, "getpid", harmless, || ())?.held_back;
        if waits && let Some(ours) = came.iter().position(|signal| *signal == libc::SIGSTOP) {
            came.remove(ours);
        }
        held_back.extend(came);
        Ok(held_back)
    }
}

impl Emptied {
    /// Takes over a process that a dead engine left where a program that it had exec'ed would begin: stopped by the guard, or
    /// parked there already. Its memory is the trampoline's alone then.
    pub fn adopt_program(pid: i32, site: RunRange, deadline: Instant) -> Result<Self, TraceeError> {
        let ticker = Ticker::start().map_err(|source| TraceeError::Call { call: "timer_create", tid: pid, source })?;
        let pidfd = target::open_pidfd(pid)?;
        let tids = seize::stop_all(pid, deadline)?;
        // A program that was let go by hand runs: what it has done since cannot be told, and it is not taken back.
        if tids.len() != 1 {
            tids.iter().for_each(|tid| drop(ptrace::detach(*tid)));
            return Err(TraceeError::UnexpectedStop {
                tid: pid,
                status: 0,
                operation: "looking for a program that has not begun",
            });
        }
        ptrace::set_options(pid, ptrace::OPTIONS)?;
        let memory = RemoteMemory::open(pid)?;
        let code = match parking_code_around(&memory, ptrace::registers(pid)?.rip) {
            Some(code) => code,
            None => lay_parking_code(pid, &memory)?,
        };
        let mut emptied = Self::from_parts(tids, memory, pidfd, code, ticker);
        emptied.move_in(site)?;
        Ok(emptied)
    }

    /// Takes the guard of an exec that a dead engine had begun off a process that was taken over, or its effect: else it would
    /// stop when it is let go.
    pub fn end_guard(&mut self) -> Result<(), TraceeError> {
        let harmless = self.call_registers(libc::SYS_getpid, &[])?;
        let held_back = std::mem::take(&mut self.held_back);
        self.held_back = Guard::sent(self.pid, Way::Program).take_back(&harmless, held_back)?;
        self.held_back.retain(|signal| *signal != libc::SIGSTOP);
        // SAFETY: kill takes plain numbers.
        let sent = unsafe { libc::kill(self.pid, libc::SIGCONT) };
        Errno::result(sent).map_err(|source| TraceeError::Call { call: "kill", tid: self.pid, source })?;
        // All signals are blocked, so that it waits; the program must not see it.
        let set = 1u64 << (libc::SIGCONT - 1);
        let at = self.scratch().start;
        let block: Vec<u8> = [set, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect();
        self.memory.write(at, &block)?;
        match self.leader_call("rt_sigtimedwait", libc::SYS_rt_sigtimedwait, &[at.0, 0, at.0 + 8, 8]) {
            Err(TraceeError::Call { source: Errno::EAGAIN, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Writes parking code where the leader, at its exec event, would begin. The page becomes the process's own copy.
pub(super) fn lay_parking_code(pid: i32, memory: &RemoteMemory) -> Result<RunAddress, TraceeError> {
    let entry = RunAddress(ptrace::registers(pid)?.rip);
    memory.write(entry, &PARK)?;
    Ok(entry)
}

/// Whether the only thread of `pid` waits in parking code, wherever that lies; it is not stopped for that.
pub(super) fn is_parked(pid: i32) -> Result<bool, TraceeError> {
    let text = procfs::read_text(pid, "syscall")?;
    // `NUMBER ARGUMENTS SP PC` (Documentation/filesystems/proc.rst).
    let pc = text.split_whitespace().last().and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
    let Some(pc) = pc else { return Ok(false) };
    Ok(parking_code_around(&RemoteMemory::open(pid)?, pc).is_some())
}

/// Parking code around the place where a stopped leader stands, if that is where it parks.
fn parking_code_around(memory: &RemoteMemory, rip: u64) -> Option<RunAddress> {
    // At its start, at the number of the call, before and after the call.
    let places = [0, PARK_ENTRY, SYSCALL, SYSCALL + 2];
    let starts = places.into_iter().filter_map(|place| rip.checked_sub(place)).map(RunAddress);
    starts.into_iter().find(|start| {
        let mut code = [0; PARK.len()];
        memory.read(*start, &mut code).is_ok() && code == PARK
    })
}
