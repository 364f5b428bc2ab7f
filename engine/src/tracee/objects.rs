//! Kernel objects that the engine makes for a fresh process, where no crate has the call with the kernel's own arguments.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// `TFD_IOC_SET_TICKS` (include/uapi/linux/timerfd.h): `_IOW('T', 0, __u64)`.
const TFD_IOC_SET_TICKS: u64 = 0x4008_5400;

fn owned(result: i64) -> Result<OwnedFd, Errno> {
    let number = Errno::result(result)?;
    // SAFETY: the caller passes what a system call has just returned: a descriptor made for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number as i32) })
}

/// `signalfd4(2)` with a mask of 64 signals, close-on-exec.
pub fn signalfd(mask: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads eight bytes through the pointer to a live word.
    owned(unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, 8, libc::SFD_CLOEXEC) })
}

/// `timerfd_create(2)`, close-on-exec.
pub fn timerfd(clock: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers.
    owned(unsafe { libc::syscall(libc::SYS_timerfd_create, clock, libc::TFD_CLOEXEC) })
}

/// `timerfd_settime(2)`: period and time to the first expiry in nanoseconds.
pub fn arm_timerfd(timer: BorrowedFd<'_>, flags: u32, interval_ns: u64, value_ns: u64) -> Result<(), Errno> {
    const SECOND: u64 = 1_000_000_000;
    let setting = [interval_ns / SECOND, interval_ns % SECOND, value_ns / SECOND, value_ns % SECOND];
    // SAFETY: the kernel reads one `itimerspec`, four words, and writes nothing to the null pointer.
    let result = unsafe {
        libc::syscall(libc::SYS_timerfd_settime, timer.as_raw_fd(), flags, setting.as_ptr(), std::ptr::null_mut::<u8>())
    };
    Errno::result(result).map(drop)
}

/// Sets how many expirations a timerfd holds that were not read yet.
pub fn set_timerfd_ticks(timer: BorrowedFd<'_>, ticks: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads eight bytes through the pointer to a live word.
    Errno::result(unsafe { libc::ioctl(timer.as_raw_fd(), TFD_IOC_SET_TICKS, &raw const ticks) }).map(drop)
}

/// `FIONREAD`: bytes that can be read.
pub fn readable_bytes(descriptor: BorrowedFd<'_>) -> Result<usize, Errno> {
    let mut count = 0i32;
    // SAFETY: the kernel writes one int through the pointer.
    let result = unsafe { libc::ioctl(descriptor.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    Errno::result(result).map(|_| usize::try_from(count).unwrap_or(0))
}

/// `F_SETFL` with raw flags.
pub fn set_status_flags(descriptor: BorrowedFd<'_>, flags: u32) -> Result<(), Errno> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, flags) }).map(drop)
}

/// `F_OFD_SETLK`: takes a lock that belongs to the open description.
pub fn lock_description(descriptor: BorrowedFd<'_>, write: bool, start: i64, length: i64) -> Result<(), Errno> {
    // SAFETY: an all-zero flock is a valid one.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = if write { libc::F_WRLCK } else { libc::F_RDLCK } as i16;
    lock.l_whence = libc::SEEK_SET as i16;
    lock.l_start = start;
    lock.l_len = length;
    // SAFETY: the kernel reads one `flock` through the pointer, which outlives the call.
    Errno::result(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }).map(drop)
}

/// `flock(2)` without waiting.
pub fn lock_file(descriptor: BorrowedFd<'_>, write: bool) -> Result<(), Errno> {
    let operation = if write { libc::LOCK_EX } else { libc::LOCK_SH } | libc::LOCK_NB;
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::flock(descriptor.as_raw_fd(), operation) }).map(drop)
}

/// Now on `clock`, in nanoseconds.
pub fn clock_now(clock: i32) -> Result<u64, Errno> {
    // SAFETY: an all-zero timespec is a valid one.
    let mut now: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one timespec through the pointer.
    Errno::result(unsafe { libc::clock_gettime(clock, &raw mut now) })?;
    Ok((now.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(now.tv_nsec as u64))
}

/// New memory of `MAP_SHARED | MAP_ANONYMOUS`, as an open file of its own, through `/proc/self/map_files`.
pub fn shared_memory(length: usize) -> Result<std::fs::File, Errno> {
    // SAFETY: a new mapping at an address of the kernel's choice; nothing else is replaced.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    let end = address as usize + length.next_multiple_of(4096);
    let path = format!("/proc/self/map_files/{:x}-{end:x}", address as usize);
    let opened = std::fs::File::options().read(true).write(true).open(path);
    // SAFETY: exactly the mapping made above, to which no reference was made.
    unsafe { libc::munmap(address, length) };
    opened.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
}
