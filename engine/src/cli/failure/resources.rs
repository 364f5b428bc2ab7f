//! Kernel resources that cannot be captured or given back, and the obstacles that are found before.

use dsu_engine::resources::{ExecProblem, Obstacle, ResourceError};

use super::system::{errno_verdict, io_verdict, unexpected_hint};
use super::{Exit, Reason, Sorted, Subject, Verdict};

impl Sorted for ResourceError {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        match self {
            ResourceError::Tracee(error) => error.verdict(subject),
            ResourceError::Call { source, .. } => errno_verdict(*source, subject),
            ResourceError::File { source, .. } => io_verdict(source, subject),
            ResourceError::Unexpected { .. } => Verdict::new(
                Exit::Failed,
                "unexpected-answer",
                "this kernel answers in a way that dsu does not know: report it with the output of `uname -r`",
            ),
            ResourceError::NotGivenBack { .. } => Verdict::new(Exit::Failed, "not-given-back", unexpected_hint()),
            ResourceError::Obstacle(obstacle) => obstacle.verdict(subject),
        }
    }
}

impl Sorted for Obstacle {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        let pid = subject.pid();
        let (code, hint) = match self {
            Obstacle::Mapping { range, .. } => (
                "mapping",
                format!("see the mapping that starts at {} in /proc/{pid}/smaps; the program has to unmap it first", range.start),
            ),
            Obstacle::ThreadDiffers { tid, attribute, .. } => (
                "thread-differs",
                format!("give thread {tid} the same {attribute} as the main thread, or wait until that thread has ended"),
            ),
            Obstacle::Thread { tid, .. } | Obstacle::RestartedCall { tid } => {
                ("thread", format!("try again when thread {tid} does something else; /proc/{pid}/task/{tid}/status shows it"))
            }
            Obstacle::Timer { id, .. } => (
                "timer",
                format!(
                    "/proc/{pid}/timers shows timer {id}; the program has to delete it first, or use a kernel that can keep it"
                ),
            ),
            Obstacle::Descriptor { number, .. } => {
                ("descriptor", format!("see /proc/{pid}/fdinfo/{number}; the program has to close descriptor {number} first"))
            }
            Obstacle::Attribute { attribute, .. } => (
                "attribute",
                format!(
                    "the program has to give up its {attribute}, or dsu needs more privilege: `dsu doctor` tells what it has"
                ),
            ),
            Obstacle::SeccompRisk { .. } => (
                "seccomp-risk",
                "--accept-seccomp-risk goes on all the same: dsu suspends the filter, and the risk is its own end by a signal, no other failure"
                    .to_owned(),
            ),
            Obstacle::Room { limit, needed, .. } => (
                "room",
                format!("raise {limit} so that it allows {needed} bytes more while the old and the new memory are both there"),
            ),
            Obstacle::Exec { path, problem } => ("exec", exec_hint(path, problem, &pid)),
            Obstacle::Privilege { capability, .. } => {
                return Verdict::new(Exit::Lacking, "privilege", privilege_hint(capability));
            }
            Obstacle::Host { .. } => (
                "host",
                "restore it on the machine where it was made, with the same kernel, or one with the same kernel and processor"
                    .to_owned(),
            ),
        };
        Verdict::new(Exit::Blocked, code, hint)
    }
}

/// The process runs without privilege, so only an exec of the program itself names it in `/proc/PID/exe`.
fn exec_hint(path: &str, problem: &ExecProblem, pid: &str) -> String {
    match problem {
        ExecProblem::GivesPrivilege => {
            format!("install the program without these (`chmod ug-s {path}`, `setcap -r {path}`), or start it anew")
        }
        ExecProblem::NotExecutable { .. } => format!(
            "put it where that user can execute it: see its mode and its directory's (`namei -l {path}`), and whether its file \
             system is mounted with noexec (`findmnt -T {path}`)"
        ),
        ExecProblem::NoLoader { loader, .. } => {
            format!("put a copy of {loader} at that path below /proc/{pid}/root for the time of the update")
        }
    }
}

fn privilege_hint(capability: &str) -> String {
    format!("run dsu as root, or give it the privilege: `setcap cap_sys_ptrace,{capability}+ep` on the dsu binary")
}

/// An obstacle in a list.
pub(super) fn reason(obstacle: &Obstacle, subject: &Subject<'_>) -> Reason {
    let hint = obstacle.verdict(subject).hint;
    let facts = serde_json::to_value(obstacle).unwrap_or_default();
    Reason { message: obstacle.to_string(), thread: None, hint, facts }
}
