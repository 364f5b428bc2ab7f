//! What can go wrong with a kernel resource, and what stands in the way of carrying one.

use std::path::PathBuf;

use dsu_formats::address::RunRange;
use nix::errno::Errno;

use crate::tracee::batch::Failed;
use crate::tracee::error::TraceeError;

/// A failed dealing with a resource. Each names the operation, its object and the kernel's answer.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// The tracee could not be read or called.
    #[error(transparent)]
    Tracee(#[from] TraceeError),
    /// A system call of the engine's own failed.
    #[error("{call} on {object} failed")]
    Call {
        /// Name of the call.
        call: &'static str,
        /// What it was made on.
        object: String,
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
    /// A file outside `/proc` could not be used.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The kernel's answer has another form than expected.
    #[error("{object}: expected {expected}, found {found}")]
    Unexpected {
        /// What was looked at.
        object: String,
        /// What should have been there.
        expected: &'static str,
        /// What was there.
        found: String,
    },
    /// A resource does not have the value that was given back to it.
    #[error("{object} should be {expected}, but is {found}")]
    NotGivenBack {
        /// The resource.
        object: String,
        /// Value at the capture.
        expected: String,
        /// Value now.
        found: String,
    },
    /// An obstacle that shows only while the resource is being made.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
}

impl From<Failed> for ResourceError {
    fn from(failed: Failed) -> Self {
        match failed.errno() {
            // The arguments tell which signal, descriptor, range it was.
            Some(source) => {
                let arguments = failed.call.arguments.map(|argument| format!("{argument:#x}")).join(", ");
                Self::call(failed.call.name, format_args!("thread {} ({arguments})", failed.call.tid), source)
            }
            None => Self::Tracee(failed.source),
        }
    }
}

impl ResourceError {
    /// The failure of a system call of the engine's own on `object`.
    pub(crate) fn call(call: &'static str, object: impl std::fmt::Display, source: Errno) -> Self {
        Self::Call { call, object: object.to_string(), source }
    }

    /// The failure to `operation` the file at `path`.
    pub(crate) fn file(operation: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { operation, path: path.into(), source }
    }
}

/// A reason why a resource cannot be carried, found before anything is done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Obstacle {
    /// A mapping that cannot be made again.
    #[error("mapping {range} ({what}): {reason}")]
    Mapping {
        /// Its addresses.
        range: RunRange,
        /// Its path or kind.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A thread differs from the main thread in something that threads made by `clone` inherit.
    #[error("thread {tid}: its {attribute} is {found}, the main thread's is {expected}")]
    ThreadDiffers {
        /// The thread.
        tid: i32,
        /// What differs.
        attribute: &'static str,
        /// The main thread's value.
        expected: String,
        /// This thread's value.
        found: String,
    },
    /// A thread attribute that cannot be made again.
    #[error("thread {tid}: {reason}")]
    Thread {
        /// The thread.
        tid: i32,
        /// Why not.
        reason: String,
    },
    /// A thread that the kernel lets go on with a call whose number is lost (`restart_syscall`), until that call is over.
    #[error("thread {tid}: it restarts a system call whose number its code does not show")]
    RestartedCall {
        /// The thread.
        tid: i32,
    },
    /// A POSIX timer that cannot be made again.
    #[error("timer {id}: {reason}")]
    Timer {
        /// The kernel's ID.
        id: i32,
        /// Why not.
        reason: String,
    },
    /// A descriptor that cannot be made again.
    #[error("descriptor {number} ({target}): {reason}")]
    Descriptor {
        /// Its number.
        number: i32,
        /// Target of its `/proc/PID/fd` link, or its addresses.
        target: String,
        /// Why not.
        reason: String,
    },
    /// An attribute of the process that cannot be given back.
    #[error("{attribute} {value}: {reason}")]
    Attribute {
        /// The attribute.
        attribute: &'static str,
        /// Its value.
        value: String,
        /// Why not.
        reason: String,
    },
    /// A seccomp filter would end the process, or keep it from its way back, were the engine killed in the middle.
    #[error("thread {tid}: {reason}")]
    SeccompRisk {
        /// A thread with the filter.
        tid: i32,
        /// The calls that are in the way; empty when the filter cannot be read.
        calls: Vec<&'static str>,
        /// What the filter does.
        reason: String,
    },
    /// The machine or a limit has less room than is needed.
    #[error("{limit} allows {available} bytes more, {needed} are needed")]
    Room {
        /// The limit.
        limit: String,
        /// Bytes that it still allows.
        available: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// The host is not the one that the image was made on.
    #[error("{what} was {expected} at the capture and is {found} here")]
    Host {
        /// What differs.
        what: &'static str,
        /// In the image.
        expected: String,
        /// Here.
        found: String,
    },
    /// A program that the process could not exec, or not as it is.
    #[error("{path}: {problem}")]
    Exec {
        /// The program.
        path: String,
        /// What is wrong.
        problem: ExecProblem,
    },
    /// Something that takes a capability which this engine does not have.
    #[error("{what}: {reason}")]
    Privilege {
        /// What it is about.
        what: String,
        /// Why it takes one.
        reason: String,
        /// The capability, as `setcap(8)` writes it.
        capability: &'static str,
    },
}

impl Obstacle {
    /// Whether it may be gone a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::RestartedCall { .. })
    }
}

/// Why a process that is to become a program by an exec of it cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum ExecProblem {
    /// Its set-uid or set-gid bit, or file capabilities.
    #[error("an exec of it gives privileges (set-uid, set-gid or file capabilities), which the process does not have")]
    GivesPrivilege,
    /// Permissions of the file, or `noexec` of its file system.
    #[error("the process's user {user} may not execute it")]
    NotExecutable {
        /// Effective user of the process.
        user: u32,
    },
    /// The loader that the program names is not there for the process.
    #[error("its loader {loader} cannot be executed from the process's root directory {root}")]
    NoLoader {
        /// PT_INTERP.
        loader: String,
        /// Root directory of the process.
        root: String,
    },
}
