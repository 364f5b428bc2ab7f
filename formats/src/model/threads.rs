//! Section `threads`: everything that belongs to one thread.

use serde::{Deserialize, Serialize};

use crate::address::RunAddress;

/// One thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadV1 {
    /// Index of its process in the tree.
    pub process: u32,
    /// Thread ID.
    pub tid: i32,
    /// Name (`/proc/PID/task/TID/comm`), without the newline.
    pub name: Vec<u8>,
    /// General registers, as the thread was stopped.
    pub registers: RegistersV1,
    /// The system call that it was stopped in, if any.
    pub in_syscall: Option<InSyscallV1>,
    /// `NT_X86_XSTATE`: the XSAVE area in standard format.
    pub xstate: Vec<u8>,
    /// Blocked signals, bit `n - 1` for signal `n`.
    pub signal_mask: u64,
    /// Signals pending for this thread alone, in delivery order.
    pub pending: Vec<super::signals::PendingV1>,
    /// `sigaltstack(2)`.
    pub alt_stack: AltStackV1,
    /// `set_robust_list(2)`.
    pub robust_list: RobustListV1,
    /// `set_tid_address(2)`; zero when none.
    pub clear_tid: RunAddress,
    /// Registered restartable sequence.
    pub rseq: Option<RseqV1>,
    /// CPU affinity as the bytes of the mask.
    pub affinity: Vec<u8>,
    /// Policy, priority, nice.
    pub scheduling: SchedulingV1,
    /// `ioprio_get(2)`.
    pub io_priority: i32,
    /// `PR_GET_TIMERSLACK`, in nanoseconds.
    pub timer_slack_ns: u64,
    /// `PR_GET_PDEATHSIG`; zero when none.
    pub parent_death_signal: i32,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    pub seccomp_mode: u8,
    /// Number of seccomp filters.
    pub seccomp_filters: u32,
}

/// General registers in the order of `struct user_regs_struct` (`sys/user.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the registers'")]
pub struct RegistersV1 {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

/// A system call in progress at the stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InSyscallV1 {
    /// Its number; for `restart_syscall` the number of the call that is being restarted.
    pub number: u64,
    /// The kernel's result at the stop (`-ERESTARTSYS` and its like, `-EINTR`), as a signed value.
    pub result: i64,
    /// Whether the call must be made again rather than its result returned.
    pub restart: bool,
}

/// `stack_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AltStackV1 {
    /// `ss_sp`.
    pub base: RunAddress,
    /// `ss_flags` as `sigaltstack` reported them.
    pub flags: i32,
    /// `ss_size` in bytes.
    pub size: u64,
}

/// Head of the robust-mutex list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobustListV1 {
    /// Address of `struct robust_list_head`; zero when none.
    pub head: RunAddress,
    /// Its length in bytes.
    pub length: u64,
}

/// Arguments of `rseq(2)` (`struct ptrace_rseq_configuration`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RseqV1 {
    /// Address of `struct rseq`.
    pub address: RunAddress,
    /// Registered length in bytes.
    pub length: u32,
    /// Signature before abort handlers.
    pub signature: u32,
    /// Flags.
    pub flags: u32,
}

/// `struct sched_attr` without utilisation clamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulingV1 {
    /// SCHED_OTHER and its like.
    pub policy: u32,
    /// `sched_flags`.
    pub flags: u64,
    /// Nice value for the time-sharing policies.
    pub nice: i32,
    /// Priority for the real-time policies.
    pub priority: u32,
    /// Deadline policy: run time in nanoseconds.
    pub runtime_ns: u64,
    /// Deadline policy: deadline in nanoseconds.
    pub deadline_ns: u64,
    /// Deadline policy: period in nanoseconds.
    pub period_ns: u64,
}
