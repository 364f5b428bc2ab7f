//! What can go wrong between the engine and a stopped process.

use dsu_formats::address::RunAddress;
use nix::errno::Errno;

/// A failed dealing with a tracee. Each names the operation, the thread and the kernel's answer.
#[derive(Debug, thiserror::Error)]
pub enum TraceeError {
    /// A ptrace request failed.
    #[error("ptrace {request} of thread {tid} failed")]
    Ptrace {
        /// Name of the request.
        request: &'static str,
        /// Thread.
        tid: i32,
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
    /// The thread is gone.
    #[error("thread {tid} ended while {operation}")]
    Gone {
        /// Thread.
        tid: i32,
        /// What the engine was doing.
        operation: &'static str,
    },
    /// Something did not happen within its deadline.
    #[error("thread {tid} did not {awaited} within {limit_ms} ms ({state})")]
    Deadline {
        /// Thread.
        tid: i32,
        /// What was waited for.
        awaited: &'static str,
        /// The limit in milliseconds.
        limit_ms: u64,
        /// What `/proc` says the thread is doing.
        state: String,
    },
    /// A stop that the engine did not ask for.
    #[error("thread {tid} stopped unexpectedly (wait status {status:#x}) while {operation}")]
    UnexpectedStop {
        /// Thread.
        tid: i32,
        /// Raw status from waitpid.
        status: i32,
        /// What the engine was doing.
        operation: &'static str,
    },
    /// A function of the program's faulted or raised a signal.
    #[error("a function of the new program, run by thread {tid}, got {signal} at {address}")]
    FunctionSignal {
        /// Thread.
        tid: i32,
        /// The signal's name.
        signal: &'static str,
        /// Where the thread was.
        address: RunAddress,
    },
    /// A function of the program's made a system call that the engine does not let pass.
    #[error("a function of the new program, run by thread {tid}, called {call}, which would end, split or replace the process")]
    ForbiddenCall {
        /// Thread.
        tid: i32,
        /// The system call.
        call: &'static str,
    },
    /// An injected system call was refused by the kernel.
    #[error("{call} in thread {tid} failed")]
    Call {
        /// Name of the call.
        call: &'static str,
        /// Thread.
        tid: i32,
        /// The kernel's answer.
        #[source]
        source: Errno,
    },
    /// Remote memory could not be read or written.
    #[error("cannot {access} {length} bytes at {address} of process {pid}")]
    Memory {
        /// `read` or `write`.
        access: &'static str,
        /// First address.
        address: RunAddress,
        /// Length in bytes.
        length: usize,
        /// Process.
        pid: i32,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A file of `/proc` could not be read.
    #[error("cannot read {path}")]
    Proc {
        /// Path.
        path: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A file of `/proc` says something that the engine does not understand.
    #[error("{path}: expected {expected}, found `{found}`")]
    ProcText {
        /// Path.
        path: String,
        /// What was expected.
        expected: &'static str,
        /// The text.
        found: String,
    },
    /// The target cannot be taken at all.
    #[error("process {pid} cannot be taken: {reason}")]
    Refused {
        /// Process.
        pid: i32,
        /// Why.
        reason: Refusal,
    },
    /// The process's code lacks an instruction sequence that injection needs.
    #[error("process {pid} maps no `{sequence}` to inject system calls through")]
    NoGadget {
        /// Process.
        pid: i32,
        /// The sequence.
        sequence: &'static str,
    },
}

/// Why a process cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such process.
    #[error("there is no such process")]
    NoSuchProcess,
    /// Not permitted.
    #[error("not permitted")]
    NotPermitted,
    /// A kernel thread.
    #[error("it is a kernel thread")]
    KernelThread,
    /// A zombie.
    #[error("it is a zombie: it has ended and waits to be reaped")]
    Zombie,
    /// Traced by somebody else.
    #[error("it is traced by process {tracer}")]
    Traced {
        /// The tracer.
        tracer: i32,
    },
    /// Not a 64-bit x86 program.
    #[error("it is a 32-bit program or one for another machine, not x86-64")]
    WrongArchitecture,
    /// The address space is shared with another process.
    #[error("its memory is shared with process {other}")]
    SharedMemory {
        /// The other process.
        other: i32,
    },
    /// The leader ended while other threads run on.
    #[error("its main thread has ended while others run on")]
    ZombieLeader,
    /// The engine itself.
    #[error("it is dsu itself")]
    Myself,
    /// A thread's ID that is not a process's.
    #[error("it is a thread, not a process")]
    NotALeader,
    /// A seccomp filter that this engine may not suspend.
    #[error(
        "it runs under a seccomp filter, which would act on the calls that dsu makes in it and which only CAP_SYS_ADMIN suspends"
    )]
    Filtered,
}

impl TraceeError {
    /// Passes a step at which tests let the engine fail or die ([`super::fault`]).
    pub fn at_step(step: &'static str, pid: i32) -> Result<(), TraceeError> {
        super::fault::pass(step).map_err(|source| TraceeError::Call { call: step, tid: pid, source })
    }
}
