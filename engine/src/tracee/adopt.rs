//! Taking over what another engine left behind: a parked vessel, and the holder of its old memory.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use dsu_formats::address::{RunAddress, RunRange};

use super::borrowed::Borrowed;
use super::emptied::Emptied;
use super::entry;
use super::error::{Refusal, TraceeError};
use super::holder::Holder;
use super::inject::Injector;
use super::mark;
use super::memory::RemoteMemory;
use super::procfs;
use super::ptrace;
use super::release::GATE_OPEN;
use super::seize;
use super::site::{Layout, PARK};
use super::target::{self, Target};
use super::ticker::Ticker;

/// How long a process goes on between two looks at where its threads are.
const BETWEEN_STOPS: Duration = Duration::from_millis(1);

/// What stands at the site that a dead engine chose for its vessel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: the process has its own memory.
    Nothing,
    /// A stub or a trampoline: the process is parked, or its threads stand before the gate.
    Vessel,
    /// A program that was exec'ed and has not begun ([`Emptied::adopt_program`]); only the journal can tell.
    Program,
    /// A trampoline whose gate is open: the process runs.
    OpenGate,
}

/// Looks at what an engine left at `site` in process `pid`, without stopping it.
pub fn look(pid: i32, site: RunRange) -> Result<Left, TraceeError> {
    let memory = RemoteMemory::open(pid)?;
    let layout = Layout::at(site);
    if !has_park_code(&memory, layout.code) {
        let at_stub = has_park_code(&memory, layout.stub_code);
        return Ok(if at_stub { Left::Vessel } else { Left::Nothing });
    }
    match memory.read_u64(layout.gate) {
        Ok(GATE_OPEN) => Ok(Left::OpenGate),
        _ => Ok(Left::Vessel),
    }
}

/// Unmaps trampoline and scratch of a vessel at `site` whose gate is open, once no thread is on its way out of them.
pub fn tidy(pid: i32, site: RunRange, deadline: Instant) -> Result<(), TraceeError> {
    let own = RunRange { start: Layout::at(site).code, end: site.end };
    until_done(pid, deadline, "leave the vessel", |borrowed| {
        if borrowed.stopped().may_need(own) {
            return Ok(false);
        }
        borrowed.leader_call("munmap", libc::SYS_munmap, &[own.start.0, own.len()]).map(|_| true)
    })
}

/// Unmaps the scratch mapping of an engine that died before the exec, once no thread is on its way out of it. `false` when there
/// is none.
pub fn clear(pid: i32, deadline: Instant) -> Result<bool, TraceeError> {
    if mark::leftovers(pid).is_empty() {
        return Ok(false);
    }
    until_done(pid, deadline, "leave the mapping of a dsu that was killed", Borrowed::remove_leftovers).map(|()| true)
}

/// Stops the process again and again, the threads going on in between, until `step` says that it is done.
fn until_done(
    pid: i32,
    deadline: Instant,
    awaited: &'static str,
    mut step: impl FnMut(&mut Borrowed) -> Result<bool, TraceeError>,
) -> Result<(), TraceeError> {
    loop {
        let late = Instant::now() >= deadline;
        match Target::open(pid)?.stop(deadline) {
            Ok(stopped) => {
                let mut borrowed = stopped.borrow()?;
                if step(&mut borrowed)? {
                    return borrowed.give_back().map(drop);
                }
                drop(borrowed.give_back()?.resume());
            }
            // A holder that the process is about to end.
            Err(TraceeError::Refused { reason: Refusal::SharedMemory { .. }, .. }) if !late => {}
            Err(error) => return Err(error),
        }
        if late {
            return Err(TraceeError::Deadline { tid: pid, awaited, limit_ms: 0, state: procfs::describe_state(pid) });
        }
        // A process that is stopped without a break never gets to leave.
        std::thread::sleep(BETWEEN_STOPS);
    }
}

/// Whether `pid` stands where the program that it was exec'ed to would begin, stopped or parked: one thread, all signals
/// blocked, and nothing else done yet. An exec that is under way is waited for.
pub fn has_not_begun(pid: i32) -> Result<bool, TraceeError> {
    const ALL_BUT_KILL_AND_STOP: u64 = !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));
    const LIMIT: Duration = Duration::from_secs(1);
    let give_up = Instant::now() + LIMIT;
    loop {
        let status = procfs::read_text(pid, "status")?;
        let field = |key| procfs::status_field(&status, key);
        let blocked = field("SigBlk").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        if field("Threads") != Some("1") || blocked != Some(ALL_BUT_KILL_AND_STOP) {
            return Ok(false);
        }
        let stopped = field("State").is_some_and(|state| state.starts_with('T'));
        if stopped || entry::is_parked(pid)? {
            return Ok(true);
        }
        if Instant::now() >= give_up {
            return Ok(false);
        }
        std::thread::sleep(BETWEEN_STOPS);
    }
}

impl Emptied {
    /// Takes over a parked vessel at `site`; its threads are stopped, and its memory is the trampoline's alone.
    pub fn adopt(pid: i32, site: RunRange, deadline: Instant) -> Result<Self, TraceeError> {
        let ticker = Ticker::start().map_err(|source| TraceeError::Call { call: "timer_create", tid: pid, source })?;
        let pidfd: OwnedFd = target::open_pidfd(pid)?;
        wait_until_parked(pid, deadline)?;
        let tids = seize::stop_all(pid, deadline)?;
        for tid in &tids {
            ptrace::set_options(*tid, ptrace::OPTIONS)?;
        }
        let memory = RemoteMemory::open(pid)?;
        let layout = Layout::at(site);
        let has_trampoline = has_park_code(&memory, layout.code);
        let code = if has_trampoline { layout.code } else { layout.stub_code };
        let mut emptied = Self::from_parts(tids, memory, pidfd, code, ticker);
        emptied.move_in(site)?;
        Ok(emptied)
    }
}

impl Holder {
    /// Takes over a parked holder. It is not traced, which reading its memory does not need.
    pub fn adopt(pid: i32) -> Result<Self, TraceeError> {
        Ok(Self { pid, memory: RemoteMemory::open(pid)? })
    }
}

/// Lets threads come to the end of the tables of calls that their engine had started ([`super::table`]).
fn wait_until_parked(pid: i32, deadline: Instant) -> Result<(), TraceeError> {
    const BETWEEN: Duration = Duration::from_millis(1);
    let works = |tid: i32| matches!(procfs::state(tid), Some('R' | 'D'));
    while procfs::thread_ids(pid)?.into_iter().any(works) && Instant::now() + BETWEEN < deadline {
        std::thread::sleep(BETWEEN);
    }
    Ok(())
}

fn has_park_code(memory: &RemoteMemory, at: RunAddress) -> bool {
    let mut code = [0; PARK.len()];
    memory.read(at, &mut code).is_ok() && code == PARK
}
