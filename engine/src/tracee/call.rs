//! One injected system call: registers in, two syscall stops, result out.

use std::time::{Duration, Instant};

use dsu_formats::model::latest::Registers;
use nix::errno::Errno;

use super::error::TraceeError;
use super::ptrace::{self, Event};
use super::seccomp::expect_listed;

/// No call that the engine injects takes long; unmapping the largest process takes a second or two.
const LIMIT: Duration = Duration::from_secs(20);

/// Result of a call that was run to its end.
pub(super) struct Outcome {
    /// The raw result.
    pub(super) result: i64,
    /// A task that the call made; it is attached and about to report its first stop.
    pub(super) born: Option<i32>,
    /// Stop signals that arrived meanwhile and were held back; the holder of the process sends them again at the end.
    pub(super) held_back: Vec<i32>,
}

impl Outcome {
    const UNDER_WAY: Self = Self { result: 0, born: None, held_back: Vec::new() };
}

/// Runs `tid` from `registers`, which stand before a `syscall` instruction, to the exit stop of that call.
pub(super) fn run(tid: i32, name: &'static str, registers: &Registers) -> Result<Outcome, TraceeError> {
    pass(tid, name)?;
    run_with(tid, name, registers, || ())
}

/// As [`run`], and does `at_entry` while the thread stands at the entry of the call. No fault strikes here.
pub(super) fn run_with(tid: i32, name: &'static str, registers: &Registers, at_entry: impl Fn()) -> Result<Outcome, TraceeError> {
    let deadline = Instant::now() + LIMIT;
    let mut outcome = Outcome::UNDER_WAY;
    expect_listed(registers.rax as i64, name);
    ptrace::set_registers(tid, registers)?;
    ptrace::resume_to_syscall(tid)?;
    to_syscall_stop(tid, name, deadline, &mut outcome)?;
    at_entry();
    ptrace::resume_to_syscall(tid)?;
    to_syscall_stop(tid, name, deadline, &mut outcome)?;
    outcome.result = ptrace::registers(tid)?.rax as i64;
    Ok(outcome)
}

/// A call about to be made: the thread, the call's name, registers before a `syscall` instruction.
pub(super) type Prepared = (i32, &'static str, Registers);

/// Runs one call in each of several threads side by side. All have come to their exit stops, or failed by themselves, when
/// this returns.
///
/// Passes no fault: one must strike before the first thread is under way, so the caller has [`pass`]ed for all calls.
pub(super) fn run_each(calls: &[Prepared]) -> Vec<Result<Outcome, TraceeError>> {
    let deadline = Instant::now() + LIMIT;
    let start = |(tid, name, registers): &Prepared| {
        expect_listed(registers.rax as i64, name);
        ptrace::set_registers(*tid, registers)?;
        ptrace::resume_to_syscall(*tid)?;
        Ok(Outcome::UNDER_WAY)
    };
    let mut outcomes: Vec<_> = calls.iter().map(start).collect();
    let mut advance = |step: &dyn Fn(&Prepared, &mut Outcome) -> Result<(), TraceeError>| {
        for (call, outcome) in calls.iter().zip(&mut outcomes) {
            if let Ok(under_way) = outcome
                && let Err(error) = step(call, under_way)
            {
                *outcome = Err(error);
            }
        }
    };
    advance(&|(tid, name, _), outcome| {
        to_syscall_stop(*tid, name, deadline, outcome)?;
        ptrace::resume_to_syscall(*tid)
    });
    advance(&|(tid, name, _), outcome| {
        to_syscall_stop(*tid, name, deadline, outcome)?;
        outcome.result = ptrace::registers(*tid)?.rax as i64;
        Ok(())
    });
    outcomes
}

/// Passes the step of one injected call.
pub(super) fn pass(tid: i32, name: &'static str) -> Result<(), TraceeError> {
    super::fault::pass("call").map_err(|source| TraceeError::Call { call: name, tid, source })
}

/// Waits for the next syscall stop of a thread that was let go towards it.
fn to_syscall_stop(tid: i32, name: &'static str, deadline: Instant, outcome: &mut Outcome) -> Result<(), TraceeError> {
    loop {
        match ptrace::wait(tid, deadline, name)? {
            Event::Syscall => return Ok(()),
            Event::Clone(task) => outcome.born = Some(task),
            Event::Signal(signal @ libc::SIGSTOP) => outcome.held_back.push(signal),
            Event::Stop => {}
            Event::Signal(signal) => {
                return Err(TraceeError::UnexpectedStop { tid, status: signal << 8, operation: name });
            }
            Event::Exec | Event::Other(_) => {
                return Err(TraceeError::UnexpectedStop { tid, status: 0, operation: name });
            }
            Event::Ended => return Err(TraceeError::Gone { tid, operation: name }),
        }
        ptrace::resume_to_syscall(tid)?;
    }
}

/// Turns a raw result into a value or the kernel's error.
pub(super) fn checked(tid: i32, call: &'static str, result: i64) -> Result<u64, TraceeError> {
    answer(result).map_err(|source| TraceeError::Call { call, tid, source })
}

/// The same without the words of a message.
pub(super) fn answer(result: i64) -> Result<u64, Errno> {
    if (-4095..0).contains(&result) { Err(Errno::from_raw(-result as i32)) } else { Ok(result as u64) }
}

/// Brings threads from syscall stops to event stops, where the kernel restarts calls as the registers ask for; all are on
/// their way at once. An error of one does not keep the others from theirs.
pub(super) fn to_event_stops(tids: &[i32]) -> Vec<Result<(), TraceeError>> {
    let deadline = Instant::now() + LIMIT;
    let started: Vec<_> = tids.iter().map(|tid| ptrace::interrupt(*tid).and_then(|()| ptrace::resume(*tid, 0))).collect();
    tids.iter().zip(started).map(|(tid, started)| started.and_then(|()| wait_for_event_stop(*tid, deadline))).collect()
}

fn wait_for_event_stop(tid: i32, deadline: Instant) -> Result<(), TraceeError> {
    loop {
        match ptrace::wait(tid, deadline, "reach its final stop")? {
            Event::Stop => return Ok(()),
            Event::Ended => return Err(TraceeError::Gone { tid, operation: "reaching its final stop" }),
            _ => ptrace::resume(tid, 0)?,
        }
    }
}
