//! What stands in the way of emptying a process: tried out while it can still go on.
//!
//! A process with privilege execs a stub and sets its link afterwards. Where the engine may give privilege to files, and the
//! process may take it from them, so does one without. Else it execs the new program itself, and the old one again should it
//! go back; its threads get their IDs through a counter that the engine sets.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dsu_formats::model::latest::{Snapshot, Thread};
use nix::errno::Errno;

use super::capture::Captured;
use super::prepare::{Builds, Running};
use crate::resources::credentials::{self, from_file};
use crate::resources::scratch::put_string;
use crate::resources::{ExecProblem, Obstacle, ResourceError, Status};
use crate::tracee::borrowed::Borrowed;
use crate::tracee::calls;
use crate::tracee::error::TraceeError;
use crate::tracee::exec::Way;
use crate::tracee::inject::Injector;
use crate::tracee::last_pid;
use crate::vessel::files::MappedFiles;
use crate::vessel::stub;

const CAP_SYS_NICE: u64 = 1 << 23;
/// Policies that run before every time-sharing thread (`sched(7)`).
const REAL_TIME: [u32; 3] = [1, 2, 6];
const IOPRIO_CLASS_SHIFT: i32 = 13;
const IOPRIO_CLASS_REAL_TIME: i32 = 1;

/// Whether files that this engine makes can give privilege to process `pid`. Tried out, before the stop.
pub(super) fn files_give_privilege(pid: i32) -> bool {
    stub::may_serve(pid) && stub::can_give_privilege()
}

/// How a captured process is emptied.
pub(super) fn choose(captured: &Captured, files_give_privilege: bool) -> Way {
    let takes_it = captured.snapshot.credentials.iter().all(|saved| from_file(saved) != 0);
    if captured.way == Way::Program && files_give_privilege && takes_it { Way::PrivilegedStub } else { captured.way }
}

/// Finds what the exec, and the restore after it, would be refused. `files` takes what had to be opened for that.
pub(super) fn obstacles(
    borrowed: &mut Borrowed,
    captured: &Captured,
    running: &Running,
    builds: &Builds,
    files: &mut MappedFiles,
) -> Result<Vec<Obstacle>, ResourceError> {
    let snapshot = &captured.snapshot;
    let mut obstacles = unopened(borrowed.memory().pid(), snapshot, files);
    obstacles.extend(scheduling(&snapshot.threads)?);
    for saved in &snapshot.credentials {
        let given = if captured.way == Way::PrivilegedStub { from_file(saved) } else { 0 };
        obstacles.extend(credentials::blockers(saved, given));
    }
    if captured.way != Way::Program {
        return Ok(obstacles);
    }
    let new = (builds.new.path.as_path(), &builds.new_file, &builds.new.elf.interpreter);
    let old = (running.path.as_path(), &running.file, &builds.old.elf.interpreter);
    let programs: &[_] = if builds.are_same() { &[old] } else { &[new, old] };
    for (path, file, loader) in programs {
        obstacles.extend(executable(borrowed, snapshot, path, file, loader.as_deref())?);
    }
    obstacles.extend(thread_ids(snapshot));
    obstacles.extend(flushed_signal(snapshot));
    Ok(obstacles)
}

/// Whether the process could exec a program, and nothing but its memory would change.
fn executable(
    borrowed: &mut Borrowed,
    snapshot: &Snapshot,
    path: &Path,
    file: &File,
    loader: Option<&str>,
) -> Result<Option<Obstacle>, ResourceError> {
    let failed = |source| ResourceError::file("look at", path, source);
    let mode = file.metadata().map_err(failed)?.mode();
    let (set_uid, set_gid) = (mode & libc::S_ISUID != 0, mode & libc::S_ISGID != 0 && mode & libc::S_IXGRP != 0);
    let problem = if set_uid || set_gid || calls::gives_capabilities(file.as_fd()) {
        Some(ExecProblem::GivesPrivilege)
    } else if !may_execute(borrowed, Some(file), b"")? {
        Some(ExecProblem::NotExecutable { user: snapshot.credentials.first().map_or(0, |credentials| credentials.uids[1]) })
    } else {
        match loader {
            Some(loader) if !may_execute(borrowed, None, loader.as_bytes())? => {
                Some(ExecProblem::NoLoader { loader: loader.to_owned(), root: root_of(snapshot) })
            }
            _ => None,
        }
    };
    Ok(problem.map(|problem| Obstacle::Exec { path: path.display().to_string(), problem }))
}

fn root_of(snapshot: &Snapshot) -> String {
    let root = snapshot.tree.processes.first().map_or(&b"/"[..], |process| &process.filesystem.root);
    String::from_utf8_lossy(root).into_owned()
}

/// Asks the kernel as the process itself (`faccessat2(2)`, which knows of noexec too): about `file`, or about a path in its root.
fn may_execute(borrowed: &mut Borrowed, file: Option<&File>, path: &[u8]) -> Result<bool, ResourceError> {
    let (directory, flags) = match file {
        Some(file) => (borrowed.import(file.as_fd())? as u64, libc::AT_EACCESS | libc::AT_EMPTY_PATH),
        None => (libc::AT_FDCWD as u64, libc::AT_EACCESS),
    };
    let path = put_string(borrowed, 0, path)?;
    let arguments = [directory, path, libc::X_OK as u64, flags as u64];
    match borrowed.leader_call("faccessat2", libc::SYS_faccessat2, &arguments) {
        Ok(_) => Ok(true),
        Err(TraceeError::Call { source: Errno::EACCES | Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP, .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Threads are made anew with the IDs that they had.
fn thread_ids(snapshot: &Snapshot) -> Option<Obstacle> {
    if snapshot.threads.len() < 2 || last_pid::is_settable() {
        return None;
    }
    Some(Obstacle::Privilege {
        what: format!("{} threads", snapshot.threads.len()),
        reason: "their IDs can be given back neither by the process, which has no privilege, nor by this dsu".to_owned(),
        capability: "cap_checkpoint_restore",
    })
}

/// The guard of the exec is a stop signal, and that takes a SIGCONT off the queues.
fn flushed_signal(snapshot: &Snapshot) -> Option<Obstacle> {
    let shared = snapshot.signals.iter().flat_map(|signals| &signals.pending);
    let own = snapshot.threads.iter().flat_map(|thread| &thread.pending);
    shared.chain(own).any(|pending| pending.signal() == libc::SIGCONT).then(|| Obstacle::Attribute {
        attribute: "pending signal",
        value: "SIGCONT".to_owned(),
        reason: "it waits while it is blocked, and would be lost if the exec failed".to_owned(),
    })
}

/// Files below mappings that this engine cannot open: without privilege only through their paths.
fn unopened(pid: i32, snapshot: &Snapshot, files: &mut MappedFiles) -> Vec<Obstacle> {
    let mut obstacles: Vec<Obstacle> = Vec::new();
    for mapping in snapshot.address_spaces.iter().flat_map(|space| &space.mappings) {
        match files.open_missing(pid, std::slice::from_ref(mapping)) {
            Ok(()) => {}
            Err(ResourceError::File { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                let what = format!("mapping {} ({})", mapping.range, crate::resources::memory::label(mapping));
                let reason = "no path leads to its file, which only a privileged dsu can open".to_owned();
                obstacles.push(Obstacle::Privilege { what, reason, capability: "cap_checkpoint_restore" });
            }
            // Memory that is no file's is an obstacle already; anything else is told when it is opened for good.
            Err(error) => tracing::debug!(%error, "a mapped file cannot be opened"),
        }
    }
    obstacles
}

/// Threads inherit the main thread's priorities; another thread's higher ones take privilege to set again.
fn scheduling(threads: &[Thread]) -> Result<Vec<Obstacle>, ResourceError> {
    let Some((leader, others)) = threads.split_first() else { return Ok(Vec::new()) };
    let own = std::process::id() as i32;
    if others.is_empty() || Status::read(own, own)?.capabilities.effective & CAP_SYS_NICE != 0 {
        return Ok(Vec::new());
    }
    let class = |thread: &Thread| thread.io_priority >> IOPRIO_CLASS_SHIFT;
    let is_higher = |thread: &&Thread| {
        let (wanted, inherited) = (thread.scheduling, leader.scheduling);
        let real_time =
            REAL_TIME.contains(&wanted.policy) && (wanted.policy, wanted.priority) != (inherited.policy, inherited.priority);
        let io = class(thread) == IOPRIO_CLASS_REAL_TIME && class(leader) != IOPRIO_CLASS_REAL_TIME;
        wanted.nice < inherited.nice || real_time || io
    };
    let privileged = others.iter().filter(is_higher).map(|thread| Obstacle::Privilege {
        what: format!("thread {}", thread.tid),
        reason: "it has a higher priority than the main thread, which takes privilege to give back".to_owned(),
        capability: "cap_sys_nice",
    });
    Ok(privileged.collect())
}
