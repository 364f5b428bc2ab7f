//! The exec that empties a process: the stub replaces its address space, all threads but the leader die, the leader parks.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use dsu_formats::address::RunRange;

use super::borrowed::Borrowed;
use super::call;
use super::emptied::Emptied;
use super::error::TraceeError;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::ptrace::{self, Event};
use super::site::Layout;

/// An exec tears down nothing while a holder lives.
const EXEC_LIMIT: Duration = Duration::from_secs(20);

impl Borrowed {
    /// Replaces the address space by the stub's, which `stub_descriptor` (a number in the target) holds, linked at the start of `site`.
    ///
    /// On failure before the point of no return the process can still be given back.
    pub fn exec(mut self, stub_descriptor: RawFd, site: RunRange) -> Result<Emptied, (Option<Box<Borrowed>>, TraceeError)> {
        if let Err(error) = self.start_exec(stub_descriptor) {
            return Err((Some(Box::new(self)), error));
        }
        match self.finish_exec() {
            Ok(true) => {}
            Ok(false) => {
                let tid = self.tids[0];
                let error = ptrace::registers(tid)
                    .and_then(|registers| call::checked(tid, "execveat", registers.rax as i64))
                    .err()
                    .unwrap_or(TraceeError::UnexpectedStop { tid, status: 0, operation: "the exec" });
                return Err((Some(Box::new(self)), error));
            }
            Err(error) => {
                self.stopped = None;
                return Err((None, error));
            }
        }
        self.into_emptied(site).map_err(|error| (None, error))
    }

    fn start_exec(&mut self, stub_descriptor: RawFd) -> Result<(), TraceeError> {
        let leader = self.tids[0];
        ptrace::set_options(leader, ptrace::OPTIONS | self.seccomp_option(leader))?;
        let scratch = self.scratch().start;
        // An empty path, and an empty vector for arguments and environment.
        self.memory().write(scratch, &[0; 16])?;
        let arguments = [stub_descriptor as u64, scratch.0, scratch.0 + 8, scratch.0 + 8, libc::AT_EMPTY_PATH as u64];
        let registers = self.leader_registers(libc::SYS_execveat, &arguments)?;
        ptrace::set_registers(leader, &registers)?;
        ptrace::resume_to_syscall(leader)
    }

    /// Reaps the other threads until the exec event, `true`, or until the leader comes back from a failed call, `false`.
    fn finish_exec(&mut self) -> Result<bool, TraceeError> {
        let leader = self.tids[0];
        let deadline = Instant::now() + EXEC_LIMIT;
        let mut entered = false;
        loop {
            let Some((tid, event)) = ptrace::wait_any(deadline)? else {
                return Err(TraceeError::Deadline {
                    tid: leader,
                    awaited: "exec",
                    limit_ms: EXEC_LIMIT.as_millis() as u64,
                    state: super::procfs::describe_state(leader),
                });
            };
            match event {
                Event::Exec if tid == leader => return Ok(true),
                Event::Ended if tid == leader => return Err(TraceeError::Gone { tid, operation: "the exec" }),
                Event::Syscall if tid == leader && entered => return Ok(false),
                Event::Syscall if tid == leader => {
                    entered = true;
                    ptrace::resume_to_syscall(leader)?;
                }
                // Threads that die in the exec; a thread that is on its way out may stop once more.
                Event::Ended => {}
                _ => ptrace::resume(tid, 0)?,
            }
        }
    }

    fn into_emptied(mut self, site: RunRange) -> Result<Emptied, TraceeError> {
        let pid = self.tids[0];
        let held_back = std::mem::take(&mut self.held_back);
        let stopped = self.stopped.take();
        let Some((target, ticker)) = stopped.and_then(super::stopped::Stopped::into_parts) else {
            return Err(TraceeError::Gone { tid: pid, operation: "the exec" });
        };
        // From the exec event to the exit stop of the call; then the stub's first instruction is next.
        ptrace::resume_to_syscall(pid)?;
        let deadline = Instant::now() + EXEC_LIMIT;
        while ptrace::wait(pid, deadline, "leave the exec")? != Event::Syscall {
            ptrace::resume_to_syscall(pid)?;
        }
        let memory = RemoteMemory::open(pid)?;
        let mut emptied = Emptied::from_parts(vec![pid], memory, target.pidfd, Layout::at(site).stub_code, ticker);
        emptied.held_back = held_back;
        emptied.gadgets = Some(target.gadgets);
        Ok(emptied)
    }
}
