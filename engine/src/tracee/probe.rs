//! What this kernel lets this user do, found out by doing it to a child made for the purpose, or so that nothing comes of it.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use dsu_formats::address::RunRange;
use nix::errno::Errno;

use super::error::TraceeError;
use super::{pagemap, ptrace, target};

const LIMIT: Duration = Duration::from_secs(2);

/// A child of the engine that waits to be looked at; ended and reaped when dropped.
#[derive(Debug)]
pub struct Child {
    pid: i32,
}

impl Child {
    /// Starts the child. It ends with the thread that made it.
    pub fn start() -> Result<Self, Errno> {
        // SAFETY: the child calls nothing but prctl and pause, which need no lock that another thread may hold.
        let pid = Errno::result(unsafe { libc::fork() })?;
        if pid == 0 {
            // SAFETY: plain numbers; neither call touches memory of the program.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                loop {
                    libc::pause();
                }
            }
        }
        Ok(Self { pid })
    }

    /// Takes a duplicate of its standard error (`pidfd_getfd(2)`, Linux 5.6).
    pub fn duplicate(&self) -> Result<(), TraceeError> {
        let pidfd = target::open_pidfd(self.pid)?;
        target::duplicate(&pidfd, self.pid, libc::STDERR_FILENO).map(drop)
    }

    /// Stops it with ptrace, as an update stops its process.
    pub fn stop(&self) -> Result<StoppedChild<'_>, TraceeError> {
        ptrace::seize(self.pid, 0)?;
        ptrace::interrupt(self.pid)?;
        ptrace::wait(self.pid, Instant::now() + LIMIT, "stop")?;
        Ok(StoppedChild { child: self })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: plain numbers, and a null pointer that asks for no status; the child is ours and was not reaped yet.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL);
        }
    }
}

/// A [`Child`] in a ptrace stop.
#[derive(Debug)]
pub struct StoppedChild<'a> {
    child: &'a Child,
}

impl StoppedChild<'_> {
    /// Whether the kernel tells the restartable sequence of a thread (PTRACE_GET_RSEQ_CONFIGURATION, Linux 5.13).
    ///
    /// A child of a C library that registers none cannot show it, and counts as no.
    pub fn tells_rseq(&self) -> Result<bool, TraceeError> {
        ptrace::rseq(self.child.pid).map(|rseq| rseq.is_some())
    }

    /// Suspends its seccomp filters (PTRACE_O_SUSPEND_SECCOMP, CAP_SYS_ADMIN).
    pub fn suspend_seccomp(&self) -> Result<(), TraceeError> {
        ptrace::set_options(self.child.pid, ptrace::SUSPEND_SECCOMP)
    }
}

/// Whether a task can be given a TID of the caller's choice (`clone3` with `set_tid`). Asks for one that is taken: a caller
/// without the right is refused before the kernel looks whether it is free (kernel/pid.c, `alloc_pid`).
pub fn choose_tid() -> Result<(), Errno> {
    // SAFETY: plain number out.
    let taken: libc::pid_t = unsafe { libc::getpid() };
    // SAFETY: `clone_args` is plain numbers, for which zero is a value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.set_tid = &raw const taken as u64;
    arguments.set_tid_size = 1;
    // SAFETY: `arguments` and the TID that it names outlive the call; without CLONE_VM a child would have a copy of all memory.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size_of::<libc::clone_args>()) };
    match Errno::result(result) {
        Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(errno),
        // SAFETY: the child of a clone that should have failed ends at once, running no code of the program.
        Ok(0) => unsafe { libc::_exit(0) },
        Ok(_) => Err(Errno::EINVAL),
    }
}

/// Whether `prctl(PR_SET_MM_MAP)` is there (CONFIG_CHECKPOINT_RESTORE): asks for the size of its argument.
pub fn set_memory_layout() -> Result<(), Errno> {
    const PR_SET_MM_MAP_SIZE: libc::c_ulong = 15;
    let mut size: u32 = 0;
    // SAFETY: the kernel writes four bytes to `size`, which outlives the call.
    let result = unsafe { libc::prctl(libc::PR_SET_MM, PR_SET_MM_MAP_SIZE, &raw mut size as libc::c_ulong, 0, 0) };
    Errno::result(result).map(drop)
}

/// Whether a memory file that may be executed can be made (`vm.memfd_noexec` below 2).
pub fn executable_memory_file() -> Result<(), Errno> {
    const MFD_EXEC: u32 = 0x10;
    const NAME: &CStr = c"dsu-probe";
    // SAFETY: the name is a string that outlives the call.
    let create = |flags: u32| Errno::result(unsafe { libc::syscall(libc::SYS_memfd_create, NAME.as_ptr(), flags) });
    let number = match create(libc::MFD_CLOEXEC | MFD_EXEC) {
        // Kernels before 6.3 do not know the flag and need none.
        Err(Errno::EINVAL) => create(libc::MFD_CLOEXEC)?,
        other => other?,
    };
    // SAFETY: the kernel has just made this descriptor for us alone.
    drop(unsafe { OwnedFd::from_raw_fd(number as i32) });
    Ok(())
}

/// Whether a userfaultfd that also serves faults inside the kernel can be made.
pub fn user_fault_descriptor() -> Result<(), Errno> {
    // SAFETY: plain numbers in, a descriptor of our own out.
    let result = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) };
    let number = Errno::result(result)?;
    // SAFETY: the kernel has just made this descriptor for us alone.
    drop(unsafe { OwnedFd::from_raw_fd(number as i32) });
    Ok(())
}

/// Whether the kernel can list the pages that a process has touched (PAGEMAP_SCAN, Linux 6.7).
pub fn scan_pages() -> Result<(), TraceeError> {
    let path = "/proc/self/pagemap";
    let file = File::open(path).map_err(|source| TraceeError::Proc { path: path.to_owned(), source })?;
    let present = pagemap::Wanted { all: pagemap::PAGE_IS_FILE, inverted: pagemap::PAGE_IS_FILE, any: pagemap::PAGE_IS_PRESENT };
    let call = |source| TraceeError::Call { call: "ioctl(PAGEMAP_SCAN)", tid: std::process::id() as i32, source };
    pagemap::scan(&file, RunRange::new(0x10000, 0x11000), present).map(drop).map_err(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_can_be_stopped_and_is_gone_afterwards() {
        let child = Child::start().unwrap();
        let pid = child.pid;
        child.duplicate().unwrap();
        let stopped = child.stop().unwrap();
        assert!(stopped.tells_rseq().unwrap(), "the C library registers a restartable sequence in every process");
        drop(child);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn asking_for_a_tid_makes_no_process() {
        let children = || std::fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
        let before = children();
        let answer = choose_tid();
        assert_eq!(children(), before);
        assert!(matches!(answer, Ok(()) | Err(Errno::EPERM)), "{answer:?}");
    }
}
