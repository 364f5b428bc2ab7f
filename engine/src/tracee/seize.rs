//! Taking a process: checks that it can be taken, then a ptrace stop of every thread.

use std::collections::HashSet;
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

/// Processes that are known to have address spaces of their own.
///
/// Another process with the address space of the target (CLONE_VM without CLONE_THREAD) would run on in the old memory, or
/// write to it meanwhile. A process gets the address space that it shares when it is made, so one that was seen not to share
/// needs no second look: at the stop only those are compared that were not there before. A child of vfork is none by the time
/// that its parent has stopped.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// PID, and inode of its directory in `/proc`: a later process with the same PID has another.
    seen: HashSet<(i32, u64)>,
}

impl Strangers {
    /// Compares every process with `pid`: one call for each. A process that may not be compared does not share memory with
    /// one that may be taken.
    pub(super) fn look(pid: i32) -> Self {
        let stranger = |(other, _): &(i32, u64)| !calls::shares(Compared::Memory, pid, *other).unwrap_or(false);
        Self { seen: processes().filter(stranger).collect() }
    }

    /// Another process with the address space of `pid`.
    pub(super) fn sharer(&self, pid: i32) -> Option<i32> {
        let sharing = |other: i32| other != pid && calls::shares(Compared::Memory, pid, other).unwrap_or(false);
        let mut unseen = processes().filter(|process| !self.seen.contains(process)).map(|(other, _)| other);
        // A holder that was killed may not have let go of the memory yet; it runs no instruction any more.
        unseen.find(|other| sharing(*other) && !procfs::is_killed(*other))
    }
}

/// Every process of this PID namespace, with the inode of its directory.
fn processes() -> impl Iterator<Item = (i32, u64)> {
    use std::os::unix::fs::DirEntryExt;
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<i32>().ok()?, entry.ino())))
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
    // The leader alone: what cannot be taken is refused before any other thread is touched.
    let mut new = vec![pid];
    loop {
        stop_together(pid, &new, deadline, taken)?;
        // A thread that was not stopped yet can start others: look again until a look finds none.
        new = procfs::thread_ids(pid)?;
        new.retain(|tid| !taken.contains(tid));
        if new.is_empty() {
            return Ok(());
        }
    }
}

/// Stops threads side by side. Those that were stopped are in `taken`, also when others could not be.
fn stop_together(pid: i32, tids: &[i32], deadline: Instant, taken: &mut Vec<i32>) -> Result<(), TraceeError> {
    let mut failure = None;
    let mut interrupted = Vec::with_capacity(tids.len());
    for tid in tids {
        match seize(pid, *tid) {
            Ok(true) => interrupted.push(*tid),
            Ok(false) => {}
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    for tid in interrupted {
        match wait_for_stop(tid, deadline) {
            Ok(true) => taken.push(tid),
            Ok(false) if tid != pid => {}
            Ok(false) => failure = failure.or(Some(TraceeError::Refused { pid, reason: Refusal::NoSuchProcess })),
            Err(error) => {
                let _ = ptrace::detach(tid);
                failure = failure.or(Some(error));
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Seizes a thread and tells it to stop; `false` when it has ended.
fn seize(pid: i32, tid: i32) -> Result<bool, TraceeError> {
    match ptrace::seize(tid, libc::PTRACE_O_TRACESYSGOOD) {
        Err(TraceeError::Gone { .. }) if tid != pid => return Ok(false),
        Err(TraceeError::Gone { .. }) => return Err(TraceeError::Refused { pid, reason: Refusal::NoSuchProcess }),
        Err(TraceeError::Ptrace { source: Errno::EPERM, .. }) => {
            return Err(TraceeError::Refused { pid, reason: why_not(pid) });
        }
        other => other?,
    }
    ptrace::interrupt(tid).map(|()| true)
}

/// Waits for a thread that was told to stop; `false` when it ended instead.
fn wait_for_stop(tid: i32, deadline: Instant) -> Result<bool, TraceeError> {
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
