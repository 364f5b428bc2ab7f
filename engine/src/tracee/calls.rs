//! System calls about other threads and their descriptors that no crate wraps. None of them stops or changes the target
//! unless its name says so.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;

/// `struct sched_attr` (include/uapi/linux/sched/types.h), first version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedAttributes {
    /// Length of the structure in bytes.
    pub size: u32,
    /// Policy.
    pub policy: u32,
    /// `SCHED_FLAG_…`.
    pub flags: u64,
    /// Nice value of the time-sharing policies.
    pub nice: i32,
    /// Priority of the real-time policies.
    pub priority: u32,
    /// Run time in nanoseconds.
    pub runtime_ns: u64,
    /// Deadline in nanoseconds.
    pub deadline_ns: u64,
    /// Period in nanoseconds.
    pub period_ns: u64,
}

/// What `kcmp(2)` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// KCMP_VM: address spaces.
    Memory = 1,
    /// KCMP_FILES: descriptor tables.
    Files = 2,
    /// KCMP_FS: root, working directory, umask.
    Filesystem = 3,
}

/// `sched_getattr(2)` of a thread.
pub fn sched_getattr(tid: i32) -> Result<SchedAttributes, Errno> {
    let mut attributes = SchedAttributes::default();
    // SAFETY: the kernel writes at most the given length into the structure, which is plain data.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, tid, &raw mut attributes, size_of::<SchedAttributes>(), 0) };
    Errno::result(result).map(|_| attributes)
}

/// `sched_setattr(2)` of a thread: changes its policy.
pub fn sched_setattr(tid: i32, attributes: &SchedAttributes) -> Result<(), Errno> {
    let attributes = SchedAttributes { size: size_of::<SchedAttributes>() as u32, ..*attributes };
    // SAFETY: the kernel reads `size` bytes of a live structure of that size.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, tid, &raw const attributes, 0) };
    Errno::result(result).map(drop)
}

/// `sched_getaffinity(2)` of a thread, as the bytes of the kernel's mask.
pub fn sched_getaffinity(tid: i32) -> Result<Vec<u8>, Errno> {
    // The most processors that x86-64 kernels are built for are 8192.
    let mut mask = [0u64; 8192 / 64];
    // SAFETY: the kernel writes at most the given length into the array.
    let result = unsafe { libc::syscall(libc::SYS_sched_getaffinity, tid, size_of_val(&mask), mask.as_mut_ptr()) };
    let length = Errno::result(result)? as usize;
    Ok(mask.iter().flat_map(|word| word.to_le_bytes()).take(length).collect())
}

/// `sched_setaffinity(2)` of a thread: changes where it runs.
pub fn sched_setaffinity(tid: i32, mask: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads at most the given length of a live slice.
    let result = unsafe { libc::syscall(libc::SYS_sched_setaffinity, tid, mask.len(), mask.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Nice value of a thread, whatever its policy.
pub fn nice_of(tid: i32) -> Result<i32, Errno> {
    // SAFETY: no pointers. The raw call gives 20 - nice, so that no valid value is negative.
    let result = unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, tid) };
    Errno::result(result).map(|value| 20 - value as i32)
}

/// Sets the nice value of a thread.
pub fn set_nice(tid: i32, nice: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS, tid, nice) };
    Errno::result(result).map(drop)
}

const IOPRIO_WHO_PROCESS: i32 = 1;

/// `ioprio_get(2)` of a thread.
pub fn ioprio_get(tid: i32) -> Result<i32, Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid) };
    Errno::result(result).map(|value| value as i32)
}

/// `ioprio_set(2)` of a thread: changes its priority.
pub fn ioprio_set(tid: i32, priority: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, tid, priority) };
    Errno::result(result).map(drop)
}

/// `get_robust_list(2)` of a thread: address and length of the list's head.
pub fn get_robust_list(tid: i32) -> Result<(u64, u64), Errno> {
    let (mut head, mut length) = (0u64, 0u64);
    // SAFETY: the kernel writes one word through each pointer; both are live words.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, tid, &raw mut head, &raw mut length) };
    Errno::result(result).map(|_| (head, length))
}

/// `kcmp(2)` of a resource of two threads: whether they share it.
pub fn shares(what: Compared, first: i32, second: i32) -> Result<bool, Errno> {
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_kcmp, first, second, what as i32, 0, 0) };
    Errno::result(result).map(|order| order == 0)
}

/// `kcmp(2)` of two descriptors of `pid`: how their open descriptions order, equal when they are one.
pub fn compare_descriptions(pid: i32, first: RawFd, second: RawFd) -> Result<std::cmp::Ordering, Errno> {
    const KCMP_FILE: i32 = 0;
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, first, second) };
    match Errno::result(result)? {
        0 => Ok(std::cmp::Ordering::Equal),
        1 => Ok(std::cmp::Ordering::Less),
        2 => Ok(std::cmp::Ordering::Greater),
        // 3: different, without an order, which only kernels without the obfuscated order say.
        _ => Err(Errno::ENOTSUP),
    }
}

/// `kcmp(2)` of an epoll's target (`number`, the `nth` of that number) with descriptor `candidate` of the same process.
pub fn watches(pid: i32, candidate: RawFd, epoll: RawFd, number: RawFd, nth: u32) -> Result<bool, Errno> {
    /// `struct kcmp_epoll_slot`.
    #[repr(C)]
    struct Slot {
        epoll: u32,
        number: u32,
        nth: u32,
    }
    const KCMP_EPOLL_TFD: i32 = 7;
    let slot = Slot { epoll: epoll as u32, number: number as u32, nth };
    // SAFETY: the kernel reads one `kcmp_epoll_slot` through the last argument, which outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_EPOLL_TFD, candidate, &raw const slot) };
    Errno::result(result).map(|order| order == 0)
}

/// `F_GETOWN_EX`: type and ID of who gets SIGIO.
pub fn owner_of(descriptor: BorrowedFd<'_>) -> Result<(i32, i32), Errno> {
    let mut owner = [0i32; 2];
    // SAFETY: the kernel writes one `struct f_owner_ex`, two ints, through the pointer.
    let result = unsafe { libc::fcntl(descriptor.as_raw_fd(), F_GETOWN_EX, owner.as_mut_ptr()) };
    Errno::result(result).map(|_| (owner[0], owner[1]))
}

/// `F_SETOWN_EX`: sets who gets SIGIO.
pub fn set_owner(descriptor: BorrowedFd<'_>, owner: (i32, i32)) -> Result<(), Errno> {
    let owner = [owner.0, owner.1];
    // SAFETY: the kernel reads one `struct f_owner_ex`, two ints, through the pointer.
    let result = unsafe { libc::fcntl(descriptor.as_raw_fd(), F_SETOWN_EX, owner.as_ptr()) };
    Errno::result(result).map(drop)
}

/// `F_GETSIG`: the signal sent instead of SIGIO; zero for SIGIO.
pub fn signal_of(descriptor: BorrowedFd<'_>) -> Result<i32, Errno> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::fcntl(descriptor.as_raw_fd(), F_GETSIG) })
}

/// `F_SETSIG`: sets the signal sent instead of SIGIO.
pub fn set_signal(descriptor: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::fcntl(descriptor.as_raw_fd(), F_SETSIG, signal) }).map(drop)
}

/// `PTRACE_SECCOMP_GET_FILTER`: the instructions of filter `index` (0 is the newest) of a stopped tracee of the caller.
pub fn seccomp_filter(tid: i32, index: u32) -> Result<Vec<u8>, Errno> {
    const PTRACE_SECCOMP_GET_FILTER: u32 = 0x420c;
    const INSTRUCTION_LENGTH: usize = 8;
    // SAFETY: a null buffer asks for the number of instructions; nothing is written.
    let count = unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, tid, u64::from(index), std::ptr::null_mut::<u8>()) };
    let count = Errno::result(count)? as usize;
    let mut program = vec![0u8; count * INSTRUCTION_LENGTH];
    // SAFETY: the kernel writes `count` instructions, and the buffer has room for them: filters never change.
    let copied = unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, tid, u64::from(index), program.as_mut_ptr()) };
    Errno::result(copied).map(|_| program)
}

/// Whether timers can be made with an ID of the caller's choice (`PR_TIMER_CREATE_RESTORE_IDS`, Linux 6.15).
pub fn can_choose_timer_ids() -> bool {
    const PR_TIMER_CREATE_RESTORE_IDS: i32 = 77;
    const PR_TIMER_CREATE_RESTORE_IDS_GET: u64 = 2;
    // SAFETY: no pointers; only asks for the calling process's setting.
    unsafe { libc::prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0u64, 0u64, 0u64) >= 0 }
}

/// include/uapi/asm-generic/fcntl.h.
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;

/// Whether a file gives capabilities to whoever executes it (`security.capability`, capabilities(7)).
pub fn gives_capabilities(file: BorrowedFd<'_>) -> bool {
    let name = c"security.capability";
    // SAFETY: the name is a string that outlives the call; with a length of 0 nothing is written.
    unsafe { libc::fgetxattr(file.as_raw_fd(), name.as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_attributes_are_readable() {
        assert_eq!(sched_getattr(0).unwrap().size as usize, size_of::<SchedAttributes>());
        assert!(sched_getaffinity(0).unwrap().iter().any(|byte| *byte != 0));
        assert_eq!(nice_of(0).unwrap(), sched_getattr(0).unwrap().nice);
        assert_ne!(get_robust_list(0).unwrap().0, 0, "the C library registers a list in every thread");
    }

    #[test]
    fn duplicates_share_their_description_and_others_do_not() {
        use std::cmp::Ordering;
        let file = std::fs::File::open("/dev/null").unwrap();
        let copy = file.try_clone().unwrap();
        let other = std::fs::File::open("/dev/null").unwrap();
        let pid = std::process::id() as i32;
        assert_eq!(compare_descriptions(pid, file.as_raw_fd(), copy.as_raw_fd()), Ok(Ordering::Equal));
        assert_ne!(compare_descriptions(pid, file.as_raw_fd(), other.as_raw_fd()), Ok(Ordering::Equal));
    }
}
