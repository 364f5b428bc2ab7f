//! Whether the seccomp filters of a process would let it find its way back, should the engine die.
//!
//! The engine suspends filters while it lives (PTRACE_O_SUSPEND_SECCOMP). When it dies they are in force again, and the process
//! still has to make the call that it was in, the calls that undo what was done, or to park.

use nix::errno::Errno;

use super::bpf::{Answer, Filter};
use super::calls;
use super::error::TraceeError;
use super::procfs;
use super::stopped::Stopped;

/// More filters than the kernel lets a thread have (32,768 instructions in all).
pub const MOST_FILTERS: u32 = 4096;

/// Calls that must do what they are for: those that undo, those that chains are made of, and parking.
const NEEDED: [(i64, &str); 10] = [
    (libc::SYS_rt_sigreturn, "rt_sigreturn"),
    (libc::SYS_munmap, "munmap"),
    (libc::SYS_close, "close"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_set_robust_list, "set_robust_list"),
    (libc::SYS_set_tid_address, "set_tid_address"),
    (libc::SYS_kill, "kill"),
    (libc::SYS_wait4, "wait4"),
    (libc::SYS_futex, "futex"),
    (libc::SYS_pause, "pause"),
];

/// The other calls that an update or a checkpoint makes in a process: one of them may be under way when the engine dies, so none
/// may be fatal.
const MADE: [(i64, &str); 42] = [
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_mmap, "mmap"),
    (libc::SYS_getpid, "getpid"),
    (libc::SYS_brk, "brk"),
    (libc::SYS_prctl, "prctl"),
    (libc::SYS_sigaltstack, "sigaltstack"),
    (libc::SYS_rt_sigaction, "rt_sigaction"),
    (libc::SYS_getitimer, "getitimer"),
    (libc::SYS_timer_gettime, "timer_gettime"),
    (libc::SYS_timer_getoverrun, "timer_getoverrun"),
    (libc::SYS_membarrier, "membarrier"),
    (libc::SYS_socketpair, "socketpair"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_close_range, "close_range"),
    (libc::SYS_setsid, "setsid"),
    (libc::SYS_execveat, "execveat"),
    (libc::SYS_faccessat2, "faccessat2"),
    (libc::SYS_rseq, "rseq"),
    (libc::SYS_munlockall, "munlockall"),
    (libc::SYS_clone3, "clone3"),
    (libc::SYS_exit, "exit"),
    (libc::SYS_arch_prctl, "arch_prctl"),
    (libc::SYS_mprotect, "mprotect"),
    (libc::SYS_madvise, "madvise"),
    (libc::SYS_mlock2, "mlock2"),
    (libc::SYS_mlockall, "mlockall"),
    (libc::SYS_shmat, "shmat"),
    (libc::SYS_process_vm_readv, "process_vm_readv"),
    (libc::SYS_epoll_ctl, "epoll_ctl"),
    (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait"),
    (libc::SYS_rt_sigqueueinfo, "rt_sigqueueinfo"),
    (libc::SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo"),
    (libc::SYS_timer_create, "timer_create"),
    (libc::SYS_timer_settime, "timer_settime"),
    (libc::SYS_timer_delete, "timer_delete"),
    (libc::SYS_personality, "personality"),
    (libc::SYS_setresuid, "setresuid"),
    (libc::SYS_setfsuid, "setfsuid"),
    (libc::SYS_setresgid, "setresgid"),
    (libc::SYS_setfsgid, "setfsgid"),
    (libc::SYS_capset, "capset"),
];

/// Calls that only a fresh process makes, which `dsu restore` fills and which has no filter.
#[cfg(debug_assertions)]
const FRESH: [i64; 11] = [
    libc::SYS_prlimit64,
    libc::SYS_dup3,
    libc::SYS_umask,
    libc::SYS_chroot,
    libc::SYS_fchdir,
    libc::SYS_setgroups,
    libc::SYS_setitimer,
    libc::SYS_gettid,
    libc::SYS_getpriority,
    libc::SYS_setpriority,
    libc::SYS_ioprio_set,
];

/// Calls of a thread that stand between it and its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// The thread.
    pub tid: i32,
    /// Names of the calls, or why they could not be found out.
    pub calls: Result<Vec<&'static str>, Errno>,
}

/// In debug builds: every call that the engine injects must be in the lists above.
pub(super) fn expect_listed(_number: i64, _name: &str) {
    #[cfg(debug_assertions)]
    assert!(
        NEEDED.iter().chain(&MADE).any(|(listed, _)| *listed == _number) || FRESH.contains(&_number),
        "{_name} is missing in the lists of `seccomp.rs`"
    );
}

impl Stopped {
    /// What filters would do to the process should the engine die; one entry for each set of filters that is in the way.
    pub fn seccomp_risks(&self) -> Result<Vec<Risk>, TraceeError> {
        let mut risks: Vec<Risk> = Vec::new();
        let mut judged: Vec<Vec<Vec<u8>>> = Vec::new();
        for thread in self.threads() {
            let calls = match mode(thread.tid)? {
                0 => continue,
                // SECCOMP_MODE_STRICT allows read, write, exit and sigreturn.
                1 => Ok(NEEDED.iter().chain(&MADE).map(|(_, name)| *name).filter(|name| !name.contains("exit")).collect()),
                _ => match filters(thread.tid) {
                    Ok(filters) if judged.contains(&filters) => continue,
                    Ok(filters) => {
                        let calls = in_the_way(&filters);
                        judged.push(filters);
                        Ok(calls)
                    }
                    Err(error) => Err(error),
                },
            };
            let known = risks.iter().any(|risk| risk.calls == calls);
            if !known && calls.as_ref().map_or(true, |calls| !calls.is_empty()) {
                risks.push(Risk { tid: thread.tid, calls });
            }
        }
        Ok(risks)
    }
}

fn mode(tid: i32) -> Result<u32, TraceeError> {
    let status = procfs::read_text(tid, "status")?;
    Ok(procfs::status_field(&status, "Seccomp").and_then(|mode| mode.parse().ok()).unwrap_or(0))
}

/// The filters of a stopped thread, the newest first.
fn filters(tid: i32) -> Result<Vec<Vec<u8>>, Errno> {
    let mut found = Vec::new();
    for index in 0..MOST_FILTERS {
        match calls::seccomp_filter(tid, index) {
            Ok(filter) => found.push(filter),
            Err(Errno::ENOENT) => return Ok(found),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The kernel asks every filter and takes the severest answer.
fn in_the_way(filters: &[Vec<u8>]) -> Vec<&'static str> {
    let filters: Vec<Filter> = filters.iter().map(|bytes| Filter::parse(bytes)).collect();
    let worst = |number: i64| filters.iter().map(|filter| filter.worst(number as u32)).max().unwrap_or(Answer::Allowed);
    let needed = NEEDED.iter().filter(|(number, _)| worst(*number) != Answer::Allowed);
    let made = MADE.iter().filter(|(number, _)| worst(*number) == Answer::Fatal);
    needed.chain(made).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `if (nr == number) return action; return otherwise;`
    fn one(number: i64, action: u32, otherwise: u32) -> Vec<u8> {
        let instructions: [(u16, u8, u8, u32); 4] =
            [(0x20, 0, 0, 0), (0x15, 0, 1, number as u32), (0x06, 0, 0, action), (0x06, 0, 0, otherwise)];
        let bytes = |(code, yes, no, k): (u16, u8, u8, u32)| {
            let mut bytes = code.to_le_bytes().to_vec();
            bytes.extend([yes, no]);
            bytes.extend(k.to_le_bytes());
            bytes
        };
        instructions.into_iter().flat_map(bytes).collect()
    }

    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0001;
    const KILL: u32 = 0x8000_0000;

    #[test]
    fn calls_are_named_by_what_they_must_be_able_to_do() {
        assert_eq!(in_the_way(&[]), [""; 0]);
        assert_eq!(in_the_way(&[one(libc::SYS_munmap, ERRNO, ALLOW)]), ["munmap"]);
        assert_eq!(in_the_way(&[one(libc::SYS_prctl, KILL, ALLOW)]), ["prctl"]);
        assert_eq!(in_the_way(&[one(libc::SYS_prctl, ERRNO, ALLOW)]), [""; 0]);
        assert_eq!(in_the_way(&[one(libc::SYS_ptrace, KILL, ALLOW)]), [""; 0]);
        let both = [one(libc::SYS_ptrace, KILL, ALLOW), one(libc::SYS_pause, KILL, ALLOW)];
        assert_eq!(in_the_way(&both), ["pause"]);
        assert_eq!(in_the_way(&[one(libc::SYS_read, ALLOW, KILL)]).len(), NEEDED.len() + MADE.len());
    }
}
