//! What the kernel offers to this user. Each check does what an update does, on a process of its own.

use std::fs::File;

use dsu_engine::resources::memory;
use dsu_engine::tracee::error::TraceeError;
use dsu_engine::tracee::{calls, last_pid, probe};
use dsu_engine::vessel::stub;
use nix::errno::Errno;

use super::Status::{Degraded, Missing};
use super::user::effective_capabilities;
use super::{Check, Status};

/// Oldest kernel with every call that has no fall-back (PTRACE_GET_RSEQ_CONFIGURATION).
const OLDEST: (u32, u32) = (5, 13);
const AS_ROOT: &str = "run dsu as root, or with the capability CAP_CHECKPOINT_RESTORE";
const FOR_FILES: &str = "run dsu as root (CAP_SETFCAP), with /run, /tmp, /var/tmp or /dev/shm mounted without nosuid and noexec";
const NEWER_KERNEL: &str = "a newer kernel";

/// The kernel's version.
pub(super) fn version() -> Check {
    let release = nix::sys::utsname::uname().map(|names| names.release().to_string_lossy().into_owned()).unwrap_or_default();
    let found = format!("Linux {release}");
    match parse_version(&release) {
        Some(version) if version >= OLDEST => Check::ok("kernel", found),
        _ => Check::gap("kernel", Missing, found, "calls that every update needs are not there", "Linux 5.13 or later"),
    }
}

fn parse_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What ptrace and its companions do with a child.
pub(super) fn tracing() -> Vec<Check> {
    let child = match probe::Child::start() {
        Ok(child) => child,
        Err(errno) => {
            let meaning = "no child could be made to try things on";
            return vec![Check::gap("ptrace", Missing, errno.desc(), meaning, "raise the limit of processes (`ulimit -u`)")];
        }
    };
    let duplicate = child.duplicate();
    let mut checks = vec![check(
        "descriptors",
        duplicate,
        "pidfd_getfd",
        Missing,
        "descriptors of the process cannot be looked at",
        "Linux 5.6 or later, and a container that permits pidfd_getfd",
    )];
    match child.stop() {
        Err(error) => checks.push(Check::gap(
            "ptrace",
            Missing,
            reason(&error),
            "no process can be stopped",
            "run dsu as root, and in a container with the capability SYS_PTRACE and a seccomp profile that permits ptrace",
        )),
        Ok(stopped) => {
            checks.push(Check::ok("ptrace", "a child was stopped"));
            checks.push(rseq(stopped.tells_rseq()));
            checks.push(check(
                "seccomp",
                stopped.suspend_seccomp(),
                "PTRACE_O_SUSPEND_SECCOMP",
                Degraded,
                "programs under a seccomp filter cannot be moved",
                "run dsu as root (CAP_SYS_ADMIN), on a kernel with CONFIG_CHECKPOINT_RESTORE",
            ));
        }
    }
    checks
}

fn rseq(answer: Result<bool, TraceeError>) -> Check {
    let (found, help) = match answer {
        Ok(true) => return Check::ok("rseq", "PTRACE_GET_RSEQ_CONFIGURATION"),
        Ok(false) => ("the kernel tells of no restartable sequence".to_owned(), "Linux 5.13 or later, with glibc 2.35 or later"),
        Err(error) => (reason(&error), NEWER_KERNEL),
    };
    Check::gap("rseq", Degraded, found, "a restartable sequence that a thread has registered may be lost", help)
}

/// Threads must get back their IDs.
pub(super) fn thread_ids() -> Check {
    let errno = match probe::choose_tid() {
        Ok(()) => return Check::ok("thread ids", "clone3 with set_tid"),
        Err(errno) => errno,
    };
    let found = format!("clone3 with set_tid: {}", errno.desc());
    if last_pid::is_settable() {
        let meaning =
            "threads get back their IDs through a counter that other processes move too: an update may take a little longer";
        return Check::gap("thread ids", Degraded, found, meaning, AS_ROOT);
    }
    let meaning = "threads cannot get back their IDs: only programs with one thread can be moved, and no image can be restored";
    Check::gap("thread ids", Degraded, found, meaning, AS_ROOT)
}

/// The numbers behind `/proc/PID/stat`, cmdline and auxv.
pub(super) fn memory_layout() -> Check {
    check(
        "memory layout",
        probe::set_memory_layout(),
        "prctl(PR_SET_MM)",
        Missing,
        "heap and command line of a process cannot be put in their place",
        "a kernel with CONFIG_CHECKPOINT_RESTORE, and a container that permits prctl(PR_SET_MM)",
    )
}

/// How a process without privilege gets the link `/proc/PID/exe` to its new program.
pub(super) fn executable_link() -> Check {
    let capabilities = effective_capabilities();
    if memory::is_layout_link_settable(capabilities.mask()) && stub::can_give_privilege() {
        return Check::ok("program link", "/proc/PID/exe can be set, also for processes without privilege");
    }
    let meaning = "a process without privilege execs its new program itself: that must be executable for its user, with its loader, \
                   and not set-uid";
    Check::gap("program link", Degraded, "no file can be made that gives a process CAP_CHECKPOINT_RESTORE", meaning, FOR_FILES)
}

/// Files below mappings, also those whose path is gone.
pub(super) fn mapped_files() -> Check {
    let answer = std::fs::read_dir("/proc/self/map_files").and_then(|mut entries| match entries.next() {
        Some(entry) => File::open(entry?.path()).map(drop),
        None => Ok(()),
    });
    check(
        "mapped files",
        answer,
        "/proc/PID/map_files",
        Degraded,
        "a program or library that was replaced or deleted on disk cannot be mapped again: such processes are blocked",
        AS_ROOT,
    )
}

/// The stub that empties a process is a memory file.
pub(super) fn memory_files() -> Check {
    check(
        "memory files",
        probe::executable_memory_file(),
        "executable memfd",
        Degraded,
        "the stub that a process is emptied with goes through an unlinked file in the directory for temporary files",
        "`sysctl vm.memfd_noexec=1`, or 0",
    )
}

/// Which pages were touched.
pub(super) fn page_scan() -> Check {
    check(
        "page scan",
        probe::scan_pages(),
        "PAGEMAP_SCAN",
        Degraded,
        "touched pages are found by reading the whole page map, which takes longer: the pause of large processes grows",
        "Linux 6.7 or later",
    )
}

/// IDs of POSIX timers.
pub(super) fn timer_ids() -> Check {
    if calls::can_choose_timer_ids() {
        return Check::ok("timer ids", "PR_TIMER_CREATE_RESTORE_IDS");
    }
    let found = "PR_TIMER_CREATE_RESTORE_IDS is not there";
    Check::gap("timer ids", Degraded, found, "programs that use timer_create cannot be moved", "Linux 6.15 or later")
}

/// Filling memory after the process goes on.
pub(super) fn user_faults() -> Check {
    check(
        "user faults",
        probe::user_fault_descriptor(),
        "userfaultfd",
        Degraded,
        "memory can never be filled after the process goes on; this version of dsu does not do that yet",
        "run dsu as root, or `sysctl vm.unprivileged_userfaultfd=1`",
    )
}

fn check<E: Reason>(name: &'static str, answer: Result<(), E>, what: &str, gap: Status, meaning: &str, help: &str) -> Check {
    match answer {
        Ok(()) => Check::ok(name, what),
        Err(error) => Check::gap(name, gap, format!("{what}: {}", error.words()), meaning, help),
    }
}

/// The kernel's answer alone: what was tried is in the check's name.
trait Reason {
    fn words(&self) -> String;
}

impl Reason for Errno {
    fn words(&self) -> String {
        self.desc().to_owned()
    }
}

impl Reason for std::io::Error {
    fn words(&self) -> String {
        self.to_string()
    }
}

impl Reason for TraceeError {
    fn words(&self) -> String {
        reason(self)
    }
}

fn reason(error: &TraceeError) -> String {
    match error {
        TraceeError::Ptrace { source, .. } | TraceeError::Call { source, .. } => source.desc().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_are_understood() {
        assert_eq!(parse_version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(parse_version("5.13"), Some((5, 13)));
        assert_eq!(parse_version("6.18.0+"), Some((6, 18)));
        assert_eq!(parse_version("unknown"), None);
    }
}
