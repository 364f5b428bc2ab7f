//! A fresh process for a cold start: a child that execs the stub and is emptied like a process that was updated.

use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use dsu_formats::address::RunRange;
use nix::errno::Errno;

use super::emptied::Emptied;
use super::error::TraceeError;
use super::memory::RemoteMemory;
use super::ptrace::{self, Event};
use super::site::Layout;
use super::target;
use super::ticker::Ticker;

const LIMIT: Duration = Duration::from_secs(5);

/// What a fresh process is among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parentage {
    /// Whether it leads a session of its own, or only a process group.
    pub leads_session: bool,
}

/// Ends a process of [`spawn`] that could not be finished.
pub fn discard(pid: i32) {
    // SAFETY: kill and waitpid take plain numbers and a null status; the process is our child.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        while libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) == -1 && Errno::last() == Errno::EINTR {}
    }
}

/// Starts a process with the given PID and empties it. `stub` is linked at the start of `site`. EEXIST says that the PID is taken.
pub fn spawn(pid: i32, parentage: Parentage, stub: BorrowedFd<'_>, site: RunRange) -> Result<Emptied, TraceeError> {
    let ticker = Ticker::start().map_err(|source| TraceeError::Call { call: "timer_create", tid: pid, source })?;
    let (go, ours) = pipe().map_err(|source| TraceeError::Call { call: "pipe2", tid: pid, source })?;
    fork_into_stub(pid, parentage.leads_session, stub, &go)?;
    drop(go);
    match drive(pid, ours, site, ticker) {
        Ok(emptied) => Ok(emptied),
        Err(error) => {
            discard(pid);
            Err(error)
        }
    }
}

fn drive(pid: i32, mut ours: std::fs::File, site: RunRange, ticker: Ticker) -> Result<Emptied, TraceeError> {
    ptrace::seize(pid, ptrace::OPTIONS)?;
    ours.write_all(b"x").map_err(|source| TraceeError::Memory {
        access: "write",
        address: site.start,
        length: 1,
        pid,
        source,
    })?;
    let deadline = Instant::now() + LIMIT;
    loop {
        match ptrace::wait(pid, deadline, "exec the stub")? {
            Event::Exec => break,
            Event::Ended => return Err(TraceeError::Gone { tid: pid, operation: "the exec of the stub" }),
            Event::Signal(signal) => ptrace::resume(pid, signal)?,
            _ => ptrace::resume(pid, 0)?,
        }
    }
    ptrace::resume_to_syscall(pid)?;
    while ptrace::wait(pid, deadline, "leave the exec")? != Event::Syscall {
        ptrace::resume_to_syscall(pid)?;
    }
    let pidfd = target::open_pidfd(pid)?;
    let memory = RemoteMemory::open(pid)?;
    let mut emptied = Emptied::from_parts(vec![pid], memory, pidfd, Layout::at(site).stub_code, ticker);
    emptied.move_in(site)?;
    Ok(emptied)
}

fn pipe() -> Result<(OwnedFd, std::fs::File), Errno> {
    let mut ends = [0; 2];
    // SAFETY: the array outlives the call; both descriptors are new and ours.
    unsafe {
        Errno::result(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((OwnedFd::from_raw_fd(ends[0]), std::fs::File::from_raw_fd(ends[1])))
    }
}

/// `clone3` with `set_tid`, as a fork: the child waits for a byte, closes everything but the stub, and execs it.
fn fork_into_stub(pid: i32, session: bool, stub: BorrowedFd<'_>, go: &OwnedFd) -> Result<(), TraceeError> {
    let list = [pid];
    let mut arguments = [0u64; 11];
    arguments[4] = libc::SIGCHLD as u64;
    arguments[8] = list.as_ptr() as u64;
    arguments[9] = 1;
    let (stub, go) = (stub.as_raw_fd(), go.as_raw_fd());
    // SAFETY: without CLONE_VM the child has its own copy of everything; until its exec it makes system calls on values that
    // were computed before, allocates nothing and takes no lock, so the state of other threads of the engine is no matter.
    let born = unsafe {
        let born = libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments));
        if born == 0 {
            become_stub(session, stub, go);
        }
        born
    };
    Errno::result(born).map(drop).map_err(|source| TraceeError::Call { call: "clone3", tid: pid, source })
}

/// The child's side: never returns.
///
/// # Safety
/// To be called in a fresh child only, which has nothing to lose.
unsafe fn become_stub(session: bool, stub: i32, go: i32) -> ! {
    // SAFETY: plain system calls on descriptors and buffers of this process.
    unsafe {
        if session {
            libc::setsid();
        } else {
            libc::setpgid(0, 0);
        }
        let mut byte = 0u8;
        libc::read(go, (&raw mut byte).cast(), 1);
        let all = u64::MAX;
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, 0usize, 8usize);
        let number = stub as u32;
        if number > 0 {
            libc::syscall(libc::SYS_close_range, 0u32, number - 1, 0u32);
        }
        libc::syscall(libc::SYS_close_range, number + 1, u32::MAX, 0u32);
        let empty = [0u64; 1];
        libc::syscall(libc::SYS_execveat, stub, c"".as_ptr(), empty.as_ptr(), empty.as_ptr(), libc::AT_EMPTY_PATH);
        libc::_exit(127)
    }
}
