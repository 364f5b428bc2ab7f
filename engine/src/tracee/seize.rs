//! Taking a process: checks that it can be taken, then a ptrace stop of every thread.

use std::time::Instant;

use nix::errno::Errno;

use super::calls::{self, Compared};
use super::error::{Refusal, TraceeError};
use super::procfs;
use super::ptrace::{self, Event};

/// Whether `pid` names a process that can be taken at all. Reads `/proc` only.
pub fn preflight(pid: i32) -> Result<(), TraceeError> {
    let refused = |reason| Err(TraceeError::Refused { pid, reason });
    if pid == std::process::id() as i32 {
        return refused(Refusal::Myself);
    }
    let Ok(status) = procfs::read_text(pid, "status") else {
        return refused(Refusal::NoSuchProcess);
    };
    let field = |key| procfs::status_field(&status, key);
    if field("Tgid").and_then(|tgid| tgid.parse().ok()) != Some(pid) {
        return refused(Refusal::NotALeader);
    }
    if let Some(tracer) = field("TracerPid").and_then(|text| text.parse().ok()).filter(|tracer| *tracer != 0) {
        return refused(Refusal::Traced { tracer });
    }
    match field("State").and_then(|state| state.chars().next()) {
        Some('Z' | 'X') if procfs::thread_ids(pid).is_ok_and(|ids| ids.len() > 1) => return refused(Refusal::ZombieLeader),
        Some('Z' | 'X') => return refused(Refusal::Zombie),
        _ => {}
    }
    // A kernel thread has no memory, so its status has no line of it.
    if field("VmSize").is_none() {
        return refused(Refusal::KernelThread);
    }
    check_architecture(pid)
}

fn check_architecture(pid: i32) -> Result<(), TraceeError> {
    use std::io::Read;
    let refused = |reason| Err(TraceeError::Refused { pid, reason });
    let mut ident = [0u8; 20];
    match std::fs::File::open(format!("/proc/{pid}/exe")).and_then(|mut file| file.read_exact(&mut ident)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return refused(Refusal::NotPermitted),
        Err(_) => return refused(Refusal::NoSuchProcess),
        Ok(()) => {}
    }
    const ELFCLASS64: u8 = 2;
    const EM_X86_64: u16 = 62;
    if ident[4] != ELFCLASS64 || u16::from_le_bytes([ident[18], ident[19]]) != EM_X86_64 {
        return refused(Refusal::WrongArchitecture);
    }
    Ok(())
}

/// Another process with the address space of `pid` (CLONE_VM without CLONE_THREAD): it would run on in the old memory, or
/// write to it meanwhile. A child of vfork is none by the time that its parent has stopped.
///
/// One call for each process; a process that may not be compared does not share memory with one that may be taken.
pub(super) fn sharer(pid: i32) -> Option<i32> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let mut others = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let sharing = |other: &i32| *other != pid && calls::shares(Compared::Memory, pid, *other).unwrap_or(false);
    // A holder that was killed may not have let go of the memory yet; it runs no instruction any more.
    others.find(|other| sharing(other) && !procfs::is_killed(*other))
}

/// Seizes and stops every thread of `pid`; the leader comes first in the result.
///
/// On failure all threads that were taken have been let go.
pub(super) fn stop_all(pid: i32, deadline: Instant) -> Result<Vec<i32>, TraceeError> {
    let mut taken = Vec::new();
    match stop_until_complete(pid, deadline, &mut taken) {
        Ok(()) => Ok(taken),
        Err(error) => {
            for tid in taken {
                // The thread may have ended; there is nothing left to let go then.
                let _ = ptrace::detach(tid);
            }
            Err(error)
        }
    }
}

fn stop_until_complete(pid: i32, deadline: Instant, taken: &mut Vec<i32>) -> Result<(), TraceeError> {
    stop_one(pid, pid, deadline, taken)?;
    // A thread that was not stopped yet can start others: look again until a look finds none.
    loop {
        let known = taken.len();
        for tid in procfs::thread_ids(pid)? {
            if !taken.contains(&tid) {
                stop_one(pid, tid, deadline, taken)?;
            }
        }
        if taken.len() == known {
            return Ok(());
        }
    }
}

fn stop_one(pid: i32, tid: i32, deadline: Instant, taken: &mut Vec<i32>) -> Result<(), TraceeError> {
    match ptrace::seize(tid, libc::PTRACE_O_TRACESYSGOOD) {
        Err(TraceeError::Gone { .. }) if tid != pid => return Ok(()),
        Err(TraceeError::Gone { .. }) => return Err(TraceeError::Refused { pid, reason: Refusal::NoSuchProcess }),
        Err(TraceeError::Ptrace { source: Errno::EPERM, .. }) => {
            return Err(TraceeError::Refused { pid, reason: why_not(pid) });
        }
        other => other?,
    }
    match interrupt_and_wait(tid, deadline) {
        Ok(true) => taken.push(tid),
        Ok(false) if tid != pid => {}
        Ok(false) => return Err(TraceeError::Refused { pid, reason: Refusal::NoSuchProcess }),
        Err(error) => {
            let _ = ptrace::detach(tid);
            return Err(error);
        }
    }
    Ok(())
}

/// Stops a seized thread; `false` when it ended instead.
fn interrupt_and_wait(tid: i32, deadline: Instant) -> Result<bool, TraceeError> {
    ptrace::interrupt(tid)?;
    loop {
        match ptrace::wait(tid, deadline, "stop")? {
            Event::Stop => return Ok(true),
            Event::Ended => return Ok(false),
            // Delivered as it would have been; the stop that was asked for comes before the handler's first instruction.
            Event::Signal(signal) => ptrace::resume(tid, signal)?,
            _ => ptrace::resume(tid, 0)?,
        }
    }
}

/// EPERM has several causes that a user can tell apart.
fn why_not(pid: i32) -> Refusal {
    match preflight(pid) {
        Err(TraceeError::Refused { reason, .. }) => reason,
        _ => Refusal::NotPermitted,
    }
}
