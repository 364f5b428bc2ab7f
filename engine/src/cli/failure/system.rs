//! What the kernel's answers mean, wherever they come from.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::{Exit, Failure, State, Subject, Verdict};

/// Sorts a refusal of the kernel.
pub(super) fn errno_verdict(errno: Errno, subject: &Subject<'_>) -> Verdict {
    match errno {
        Errno::EPERM | Errno::EACCES => Verdict::new(
            Exit::Lacking,
            "not-permitted",
            "run dsu as root (sudo dsu ...); `dsu doctor` names the capability or the setting that is missing",
        ),
        Errno::ENOSYS | Errno::ENOTTY | Errno::EOPNOTSUPP => Verdict::new(
            Exit::Lacking,
            "kernel-lacks-it",
            "this kernel does not offer that call: `dsu doctor` says which version does",
        ),
        Errno::ENOMEM | Errno::EAGAIN => Verdict::new(
            Exit::Failed,
            "no-memory",
            format!(
                "make room and try again: see `free -m`, /proc/sys/vm/overcommit_memory, `prlimit -p {pid}`, and memory.max of the \
                 cgroup in /proc/{pid}/cgroup",
                pid = subject.pid()
            ),
        ),
        Errno::ENOSPC | Errno::EDQUOT => {
            Verdict::new(Exit::Failed, "no-space", "free space there (`df -h`), or name a file on another file system")
        }
        Errno::EMFILE | Errno::ENFILE => Verdict::new(
            Exit::Failed,
            "no-descriptors",
            format!("raise the number of open files: `prlimit --nofile=65536 -p {}`, and `ulimit -n` for dsu", subject.pid()),
        ),
        Errno::ENOENT => Verdict::new(Exit::Failed, "no-such-file", "check the path, and that the file is still there"),
        Errno::EROFS => Verdict::new(Exit::Failed, "read-only", "name a file on a file system that can be written to"),
        Errno::EISDIR | Errno::ENOTDIR => Verdict::new(Exit::Failed, "wrong-path", "name a regular file, not a directory"),
        Errno::ESRCH => ended(subject),
        _ => Verdict::new(Exit::Failed, "system-error", unexpected_hint()),
    }
}

/// Sorts an error of the standard library.
pub(super) fn io_verdict(error: &io::Error, subject: &Subject<'_>) -> Verdict {
    match (error.raw_os_error(), error.kind()) {
        (Some(number), _) => errno_verdict(Errno::from_raw(number), subject),
        (None, io::ErrorKind::NotFound) => errno_verdict(Errno::ENOENT, subject),
        (None, io::ErrorKind::PermissionDenied) => errno_verdict(Errno::EACCES, subject),
        (None, io::ErrorKind::InvalidInput) => Verdict::new(Exit::Failed, "wrong-path", "name a regular file"),
        _ => Verdict::new(Exit::Failed, "system-error", unexpected_hint()),
    }
}

/// Sorts the end of a thread or process in the middle of something.
pub(super) fn ended(subject: &Subject<'_>) -> Verdict {
    let hint = format!(
        "if process {pid} still runs (`ps -p {pid}`), only one of its threads ended at that moment: try again; otherwise start the \
         program anew",
        pid = subject.pid()
    );
    Verdict::new(Exit::Failed, "ended", hint)
}

/// For what should not happen: how to find out more.
pub(super) fn unexpected_hint() -> &'static str {
    "try again; if it stays, run the same command with -vv and report what it prints, together with `dsu doctor`"
}

/// A file that the command line names and that cannot be used.
pub fn file_failure(operation: &str, path: &Path, error: &io::Error) -> Failure {
    let verdict = io_verdict(error, &Subject::File(path));
    let mut failure = Failure::new(verdict.exit, verdict.code, format!("cannot {operation} {}", path.display()), verdict.hint);
    failure.chain.push(error.to_string());
    failure
}

/// The result could not be printed; what was done stays done.
pub fn output_failure(error: &io::Error, exit: Exit) -> Failure {
    let mut failure = Failure::new(exit, "output", "cannot print the result", "check where the output goes (`df -h`)");
    failure.chain.push(error.to_string());
    failure.state = State::Done;
    failure
}
