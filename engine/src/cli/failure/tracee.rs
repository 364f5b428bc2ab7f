//! Failed dealings with a running process.

use dsu_engine::tracee::error::{Refusal, TraceeError};
use nix::errno::Errno;

use super::system::{ended, errno_verdict, io_verdict, unexpected_hint};
use super::{Exit, Sorted, Subject, Verdict};

impl Sorted for TraceeError {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        match self {
            TraceeError::Ptrace { source: Errno::EPERM | Errno::EACCES, .. } => not_permitted(&subject.pid()),
            TraceeError::Ptrace { source, .. } | TraceeError::Call { source, .. } => errno_verdict(*source, subject),
            TraceeError::Gone { .. } => ended(subject),
            TraceeError::Deadline { tid, state, .. } => Verdict::new(Exit::Blocked, "did-not-stop", deadline_hint(*tid, state)),
            TraceeError::UnexpectedStop { .. } => Verdict::new(Exit::Failed, "unexpected-stop", unexpected_hint()),
            TraceeError::FunctionSignal { .. } => Verdict::new(
                Exit::Failed,
                "function-failed",
                "correct the function or the call in the spec: it runs in the new program, with the state of the old one in place",
            ),
            TraceeError::ForbiddenCall { .. } => Verdict::new(
                Exit::Failed,
                "function-failed",
                "a function that is called before the new program runs on may neither end it nor start threads or processes",
            ),
            TraceeError::Memory { source, .. } | TraceeError::Proc { source, .. } => proc_verdict(source, subject),
            TraceeError::ProcText { path, .. } => Verdict::new(
                Exit::Failed,
                "unknown-proc-text",
                format!("this kernel writes {path} in a way that dsu does not know: report it with the output of `uname -r`"),
            ),
            TraceeError::Refused { pid, reason } => refusal(*pid, reason),
            TraceeError::NoGadget { .. } => Verdict::new(
                Exit::Blocked,
                "no-gadget",
                "only programs that map the C library or the vdso can be moved; this one has to be restarted",
            ),
        }
    }
}

/// A file of `/proc` that is gone means that its process is.
fn proc_verdict(error: &std::io::Error, subject: &Subject<'_>) -> Verdict {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT | Errno::ESRCH) => ended(subject),
        _ => io_verdict(error, subject),
    }
}

fn deadline_hint(tid: i32, state: &str) -> String {
    if state.starts_with("state D") {
        return format!(
            "the thread waits inside the kernel, for a disk or network file system or for a child of vfork, and cannot be stopped \
             there: see /proc/{tid}/stack, and try again when it has gone on"
        );
    }
    format!(
        "try again; if it stays, see what the thread does (/proc/{tid}/stack, /proc/{tid}/status) and how busy the machine is"
    )
}

fn not_permitted(pid: &str) -> Verdict {
    let hint = format!(
        "run dsu as root (sudo dsu ...) or as the user of process {pid}; a container may forbid ptrace, and so does \
         /proc/sys/kernel/yama/ptrace_scope at 2 or 3: `dsu doctor` tells"
    );
    Verdict::new(Exit::Lacking, "not-permitted", hint)
}

fn refusal(pid: i32, reason: &Refusal) -> Verdict {
    let (exit, code, hint) = match reason {
        Refusal::NoSuchProcess => {
            (Exit::Failed, "no-such-process", "look its number up: `pgrep -a NAME` or `ps -e`, in the same container".to_owned())
        }
        Refusal::NotPermitted => return not_permitted(&pid.to_string()),
        Refusal::KernelThread => (
            Exit::Failed,
            "kernel-thread",
            "name the process of a program; kernel threads stand in brackets in the output of `ps -ef`".to_owned(),
        ),
        Refusal::Zombie => (
            Exit::Failed,
            "zombie",
            format!("its program is over: start it anew; its parent (`ps -o ppid= -p {pid}`) has yet to read its exit status"),
        ),
        Refusal::Traced { tracer } => (
            Exit::Blocked,
            "traced",
            format!("detach the debugger or tracer first (`ps -fp {tracer}` shows which), then try again"),
        ),
        Refusal::WrongArchitecture => {
            (Exit::Blocked, "wrong-architecture", "dsu moves 64-bit x86-64 programs only; restart this one instead".to_owned())
        }
        Refusal::SharedMemory { other } => (
            Exit::Blocked,
            "shared-memory",
            format!("if process {other} is a child of vfork, try again in a moment; else it has to end first (`ps -fp {other}`)"),
        ),
        Refusal::ZombieLeader => (
            Exit::Blocked,
            "zombie-leader",
            "its main function has called pthread_exit, and no process like that can be made anew; restart the program"
                .to_owned(),
        ),
        Refusal::Myself => (Exit::Failed, "dsu-itself", "name the process that is to be moved (`pgrep -a NAME`)".to_owned()),
        Refusal::NotALeader => (
            Exit::Failed,
            "not-a-process",
            format!("name the process that the thread belongs to: `grep Tgid /proc/{pid}/status` shows it"),
        ),
        Refusal::Filtered => (
            Exit::Lacking,
            "filtered",
            "run dsu as root, or give it the privilege: `setcap cap_sys_ptrace,cap_sys_admin+ep` on the dsu binary".to_owned(),
        ),
    };
    Verdict::new(exit, code, hint)
}
