//! Which arguments of system calls are addresses (`include/linux/syscalls.h`): what is in those registers while a call waits.

/// Registers of the arguments by their names in a capture.
pub(super) const ARGUMENTS: [&str; 6] = ["rdi", "rsi", "rdx", "r10", "r8", "r9"];

/// (number, arguments, which of them are addresses: bit 0 for the first).
const CALLS: [(i64, u8, u8); 49] = [
    (libc::SYS_read, 3, 0b10),
    (libc::SYS_write, 3, 0b10),
    (libc::SYS_pread64, 4, 0b10),
    (libc::SYS_pwrite64, 4, 0b10),
    (libc::SYS_readv, 3, 0b10),
    (libc::SYS_writev, 3, 0b10),
    (libc::SYS_poll, 3, 0b1),
    (libc::SYS_ppoll, 5, 0b1101),
    (libc::SYS_select, 5, 0b11110),
    (libc::SYS_pselect6, 6, 0b11_1110),
    (libc::SYS_epoll_wait, 4, 0b10),
    (libc::SYS_epoll_pwait, 6, 0b1_0010),
    (libc::SYS_epoll_pwait2, 6, 0b1_1010),
    (libc::SYS_nanosleep, 2, 0b11),
    (libc::SYS_clock_nanosleep, 4, 0b1100),
    (libc::SYS_accept, 3, 0b110),
    (libc::SYS_accept4, 4, 0b110),
    (libc::SYS_connect, 3, 0b10),
    (libc::SYS_recvfrom, 6, 0b11_0010),
    (libc::SYS_recvmsg, 3, 0b10),
    (libc::SYS_recvmmsg, 5, 0b1_0010),
    (libc::SYS_sendto, 6, 0b1_0010),
    (libc::SYS_sendmsg, 3, 0b10),
    (libc::SYS_sendmmsg, 4, 0b10),
    (libc::SYS_wait4, 4, 0b1010),
    (libc::SYS_waitid, 5, 0b1_0100),
    (libc::SYS_rt_sigtimedwait, 4, 0b111),
    (libc::SYS_rt_sigsuspend, 2, 0b1),
    (libc::SYS_pause, 0, 0),
    (libc::SYS_msgrcv, 5, 0b10),
    (libc::SYS_msgsnd, 4, 0b10),
    (libc::SYS_semop, 3, 0b10),
    (libc::SYS_semtimedop, 4, 0b1010),
    (libc::SYS_mq_timedreceive, 5, 0b1_1010),
    (libc::SYS_mq_timedsend, 5, 0b1_0010),
    (libc::SYS_flock, 2, 0),
    (libc::SYS_fsync, 1, 0),
    (libc::SYS_fdatasync, 1, 0),
    (libc::SYS_sendfile, 4, 0b100),
    (libc::SYS_splice, 6, 0b1010),
    (libc::SYS_open, 3, 0b1),
    (libc::SYS_openat, 4, 0b10),
    (libc::SYS_close, 1, 0),
    (libc::SYS_sched_yield, 0, 0),
    (libc::SYS_getrandom, 3, 0b1),
    (libc::SYS_io_getevents, 5, 0b1_1000),
    (libc::SYS_restart_syscall, 0, 0),
    (libc::SYS_clock_gettime, 2, 0b10),
    (libc::SYS_getpid, 0, 0),
];
/// Operations of `futex` of which the fourth argument is a number (`FUTEX_REQUEUE` and its like), by their low seven bits.
const FUTEX_COUNTS: [u64; 4] = [3, 4, 5, 12];

/// Operations that look at one address alone: waits, wakes, locks.
const FUTEX_WAITS: [u64; 7] = [0, 1, 6, 7, 9, 10, 13];

/// Whether the C library makes the call in a function that does nothing else. `futex` is made in the middle of others.
pub(super) fn has_wrapper(number: u64) -> bool {
    CALLS.iter().any(|call| i64::try_from(number) == Ok(call.0))
}

/// Whether argument `index` of the call is an address; `None` where the call is not known or has no such argument.
pub(super) fn is_address(number: u64, index: usize, arguments: [u64; 6]) -> Option<bool> {
    if i64::try_from(number) == Ok(libc::SYS_futex) {
        let operation = arguments[1] & 0x7f;
        let timeout = Some(!FUTEX_COUNTS.contains(&operation));
        let second = (!FUTEX_WAITS.contains(&operation)).then_some(true);
        return [Some(true), Some(false), Some(false), timeout, second, Some(false)].get(index).copied().flatten();
    }
    let (_, count, addresses) = CALLS.iter().find(|call| i64::try_from(number) == Ok(call.0))?;
    (index < usize::from(*count)).then_some(addresses >> index & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_addresses_and_lengths_are_not() {
        let read = |index| is_address(libc::SYS_read as u64, index, [0; 6]);
        assert_eq!([0, 1, 2, 3].map(read), [Some(false), Some(true), Some(false), None]);
        assert_eq!(is_address(libc::SYS_futex as u64, 3, [0, 3, 0, 0, 0, 0]), Some(false));
        assert_eq!(is_address(libc::SYS_futex as u64, 3, [0, 128, 0, 0, 0, 0]), Some(true));
        assert_eq!(is_address(9999, 0, [0; 6]), None);
    }
}
