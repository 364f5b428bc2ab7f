//! One injected system call: registers in, two syscall stops, result out.

use std::time::{Duration, Instant};

use dsu_formats::model::latest::Registers;
use nix::errno::Errno;

use super::error::TraceeError;
use super::ptrace::{self, Event};

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

/// Runs `tid` from `registers`, which stand before a `syscall` instruction, to the exit stop of that call.
pub(super) fn run(tid: i32, name: &'static str, registers: &Registers) -> Result<Outcome, TraceeError> {
    super::fault::pass("call").map_err(|source| TraceeError::Call { call: name, tid, source })?;
    #[cfg(debug_assertions)]
    assert!(super::seccomp::is_listed(registers.rax as i64), "{name} is missing in the list of `seccomp.rs`");
    ptrace::set_registers(tid, registers)?;
    let deadline = Instant::now() + LIMIT;
    let mut outcome = Outcome { result: 0, born: None, held_back: Vec::new() };
    let mut stops = 0;
    while stops < 2 {
        ptrace::resume_to_syscall(tid)?;
        match ptrace::wait(tid, deadline, name)? {
            Event::Syscall => stops += 1,
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
    }
    outcome.result = ptrace::registers(tid)?.rax as i64;
    Ok(outcome)
}

/// Runs one call in each of several threads at the same time; `calls` are threads with registers before a `syscall`
/// instruction. All have come to their exit stops, or the first error is returned once all are waited for.
pub(super) fn run_together(name: &'static str, calls: &[(i32, Registers)]) -> Result<Vec<i64>, TraceeError> {
    let deadline = Instant::now() + LIMIT;
    // A fault must strike before the first thread is under way: all end at exit stops, or none has left its own.
    for (tid, _) in calls {
        super::fault::pass("call").map_err(|source| TraceeError::Call { call: name, tid: *tid, source })?;
    }
    for (tid, registers) in calls {
        ptrace::set_registers(*tid, registers)?;
        ptrace::resume_to_syscall(*tid)?;
        to_syscall_stop(*tid, name, deadline)?;
    }
    // Every thread stands at the entry of its call: from here on they work side by side.
    let started: Vec<_> = calls.iter().map(|(tid, _)| ptrace::resume_to_syscall(*tid)).collect();
    let ended: Vec<_> = calls
        .iter()
        .zip(started)
        .map(|((tid, _), started)| {
            started?;
            to_syscall_stop(*tid, name, deadline)?;
            Ok(ptrace::registers(*tid)?.rax as i64)
        })
        .collect();
    ended.into_iter().collect()
}

fn to_syscall_stop(tid: i32, name: &'static str, deadline: Instant) -> Result<(), TraceeError> {
    loop {
        match ptrace::wait(tid, deadline, name)? {
            Event::Syscall => return Ok(()),
            Event::Ended => return Err(TraceeError::Gone { tid, operation: name }),
            Event::Stop => ptrace::resume_to_syscall(tid)?,
            _ => return Err(TraceeError::UnexpectedStop { tid, status: 0, operation: name }),
        }
    }
}

/// Turns a raw result into a value or the kernel's error.
pub(super) fn checked(tid: i32, call: &'static str, result: i64) -> Result<u64, TraceeError> {
    if (-4095..0).contains(&result) {
        return Err(TraceeError::Call { call, tid, source: Errno::from_raw(-result as i32) });
    }
    Ok(result as u64)
}

/// Brings a thread from a syscall stop to an event stop, where the kernel restarts calls as the registers ask for.
pub(super) fn to_event_stop(tid: i32) -> Result<(), TraceeError> {
    ptrace::interrupt(tid)?;
    let deadline = Instant::now() + LIMIT;
    loop {
        ptrace::resume(tid, 0)?;
        match ptrace::wait(tid, deadline, "reach its final stop")? {
            Event::Stop => return Ok(()),
            Event::Ended => return Err(TraceeError::Gone { tid, operation: "reaching its final stop" }),
            _ => {}
        }
    }
}
