//! The process after the exec: the same PID, descriptors, parent and session, and no memory but a trampoline.
//!
//! The stub that is exec'ed parks at once, all signals blocked. Its code is copied into an anonymous mapping so that the
//! stub's file can be unmapped. Every injected call runs through that copy and falls into the parking loop after it, so an
//! engine that dies leaves a parked process behind, never a running wreck.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::model::latest::{Pending, Registers};

use super::call;
use super::error::TraceeError;
use super::holder;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::ptrace;
use super::site::{ARGUMENTS, Layout, PARK, SYSCALL};
use super::target;
use super::ticker::Ticker;
use super::transfer::{self, Channel};

/// End of user addresses with four-level page tables (`TASK_SIZE_MAX`).
const TASK_SIZE: u64 = 0x7fff_ffff_f000;

/// An emptied process. Dropping it leaves it parked.
#[derive(Debug)]
pub struct Emptied {
    pub(super) pid: i32,
    pub(super) tids: Vec<i32>,
    pub(super) memory: RemoteMemory,
    pidfd: OwnedFd,
    pub(super) code: RunAddress,
    pub(super) scratch: RunRange,
    channel: Option<Channel>,
    pub(super) held_back: Vec<i32>,
    /// Held for its effect: waits end at their deadlines as long as it lives.
    _ticker: Ticker,
}

impl Emptied {
    /// A process whose code at `code` is the parking loop, threads in ptrace stops, the leader first.
    pub(super) fn from_parts(tids: Vec<i32>, memory: RemoteMemory, pidfd: OwnedFd, code: RunAddress, ticker: Ticker) -> Self {
        Self {
            pid: memory.pid(),
            tids,
            memory,
            pidfd,
            code,
            scratch: RunRange::default(),
            channel: None,
            held_back: Vec::new(),
            _ticker: ticker,
        }
    }

    /// Maps trampoline and scratch after the stub, unless they are there, and unmaps everything else, the stub included.
    ///
    /// Comes first after the exec; may be repeated when it failed.
    pub fn move_in(&mut self, site: RunRange) -> Result<(), TraceeError> {
        let has_trampoline = self.code == Layout::at(site).code;
        let Layout { code, scratch, .. } = Layout::at(site);
        let map = |protection: i32, start: u64, length: u64| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            [start, length, protection as u64, flags as u64, u64::MAX, 0]
        };
        if !has_trampoline {
            // Never writable and executable at once: the code is written through the kernel.
            let executable = libc::PROT_READ | libc::PROT_EXEC;
            self.leader_call("mmap", libc::SYS_mmap, &map(executable, code.0, PAGE_SIZE))?;
            self.memory.write(code, &PARK)?;
        }
        self.code = code;
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        self.leader_call("mmap", libc::SYS_mmap, &map(writable, scratch.start.0, scratch.len()))?;
        self.scratch = scratch;
        self.unmap_all()
    }

    /// Unmaps everything but the trampoline and the scratch range.
    ///
    /// A restartable sequence that a restore had registered goes first: the kernel kills a thread whose area is not there
    /// (`kernel/rseq.c`).
    pub fn unmap_all(&mut self) -> Result<(), TraceeError> {
        const UNREGISTER: u64 = 1;
        for tid in self.tids.clone() {
            if let Some(rseq) = ptrace::rseq(tid)? {
                let arguments = [rseq.address.0, u64::from(rseq.length), UNREGISTER, u64::from(rseq.signature)];
                self.call(tid, "rseq", libc::SYS_rseq, &arguments)?;
            }
        }
        // A restore that is taken back may have asked for locks on all that is mapped from then on.
        self.leader_call("munlockall", libc::SYS_munlockall, &[])?;
        let end = self.scratch.end.0;
        self.leader_call("munmap", libc::SYS_munmap, &[0, self.code.0])?;
        self.leader_call("munmap", libc::SYS_munmap, &[end, TASK_SIZE - end])?;
        Ok(())
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Signals that wait for thread `tid` alone, or with `shared` for the process as a whole.
    pub fn pending(&self, tid: i32, shared: bool) -> Result<Vec<Pending>, TraceeError> {
        ptrace::pending(tid, shared)
    }

    /// Trampoline and scratch: what is mapped beside the image.
    pub fn own_range(&self) -> RunRange {
        RunRange { start: self.code, end: self.scratch.end }
    }

    /// Makes a thread with the given ID; it parks (`clone3` with `set_tid`, `include/uapi/linux/sched.h`).
    ///
    /// Without the privilege for that the next free ID is steered through `ns_last_pid`, and a wrong one is an error.
    pub fn create_thread(&mut self, tid: i32) -> Result<(), TraceeError> {
        const SHARED: i32 =
            libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD | libc::CLONE_SYSVSEM;
        if self.tids.contains(&tid) {
            return Ok(());
        }
        let born = match self.clone3(SHARED, Some(tid)) {
            Err(TraceeError::Call { source: nix::errno::Errno::EPERM, .. }) => {
                let path = "/proc/sys/kernel/ns_last_pid".to_owned();
                std::fs::write(&path, (tid - 1).to_string()).map_err(|source| TraceeError::Proc { path, source })?;
                self.clone3(SHARED, None)?
            }
            other => other?,
        };
        holder::wait_for_birth(born)?;
        self.tids.push(born);
        if born == tid {
            return Ok(());
        }
        self.end_thread(born)?;
        Err(TraceeError::Call { call: "clone3 (thread ID taken)", tid, source: nix::errno::Errno::EEXIST })
    }

    fn clone3(&mut self, flags: i32, tid: Option<i32>) -> Result<i32, TraceeError> {
        // struct clone_args up to cgroup; set_tid and set_tid_size are its ninth and tenth words.
        let at = self.scratch.start;
        let list = RunAddress(at.0 + 128);
        let mut block = [0u64; 11];
        block[0] = flags as u64;
        if tid.is_some() {
            (block[8], block[9]) = (list.0, 1);
        }
        let mut bytes: Vec<u8> = block.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.resize(128, 0);
        bytes.extend(tid.unwrap_or(0).to_le_bytes());
        self.memory.write(at, &bytes)?;
        let registers = self.call_registers(self.pid, libc::SYS_clone3, &[at.0, 88])?;
        let outcome = call::run(self.pid, "clone3", &registers)?;
        self.held_back.extend(outcome.held_back);
        call::checked(self.pid, "clone3", outcome.result)?;
        outcome.born.ok_or(TraceeError::Gone { tid: self.pid, operation: "making a thread" })
    }

    /// Ends a thread that must not be there.
    fn end_thread(&mut self, tid: i32) -> Result<(), TraceeError> {
        let registers = self.call_registers(tid, libc::SYS_exit, &[0])?;
        self.tids.retain(|known| *known != tid);
        match call::run(tid, "exit", &registers) {
            Err(TraceeError::Gone { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(TraceeError::UnexpectedStop { tid, status: 0, operation: "exit" }),
        }
    }

    /// Gives the process a descriptor for each of `descriptors`; all are close-on-exec.
    pub fn import_all(&mut self, descriptors: &[BorrowedFd<'_>]) -> Result<Vec<RawFd>, TraceeError> {
        let mut numbers = Vec::with_capacity(descriptors.len());
        for batch in descriptors.chunks(transfer::BATCH) {
            let channel = match self.channel.take() {
                Some(channel) => channel,
                None => Channel::open(self)?,
            };
            match channel.send(self, batch) {
                Ok(sent) => numbers.extend(sent),
                Err(error) => {
                    // What was sent may still be in the channel, and would come out in place of what is sent next.
                    channel.close(self)?;
                    return Err(error);
                }
            }
            self.channel = Some(channel);
        }
        Ok(numbers)
    }

    /// Closes the channel that descriptors came through, so that the process has its own descriptors only.
    pub fn close_channel(&mut self) -> Result<(), TraceeError> {
        match self.channel.take() {
            Some(channel) => channel.close(self),
            None => Ok(()),
        }
    }

    /// Makes one call in each of several threads side by side, and returns the results in order.
    pub fn call_together(&mut self, name: &'static str, number: i64, calls: &[(i32, Vec<u64>)]) -> Result<Vec<u64>, TraceeError> {
        let prepared = calls
            .iter()
            .map(|(tid, arguments)| Ok((*tid, self.call_registers(*tid, number, arguments)?)))
            .collect::<Result<Vec<_>, TraceeError>>()?;
        let results = call::run_together(name, &prepared)?;
        calls.iter().zip(results).map(|((tid, _), result)| call::checked(*tid, name, result)).collect()
    }

    fn call_registers(&self, tid: i32, number: i64, arguments: &[u64]) -> Result<Registers, TraceeError> {
        let argument = |i: usize| arguments.get(i).copied().unwrap_or(0);
        Ok(Registers {
            rip: self.code.0 + SYSCALL,
            rax: number as u64,
            orig_rax: u64::MAX,
            rdi: argument(0),
            rsi: argument(1),
            rdx: argument(2),
            r10: argument(3),
            r8: argument(4),
            r9: argument(5),
            ..ptrace::registers(tid)?
        })
    }
}

impl Injector for Emptied {
    fn threads(&self) -> &[i32] {
        &self.tids
    }

    fn call(&mut self, tid: i32, name: &'static str, number: i64, arguments: &[u64]) -> Result<u64, TraceeError> {
        let registers = self.call_registers(tid, number, arguments)?;
        let outcome = call::run(tid, name, &registers)?;
        self.held_back.extend(outcome.held_back);
        call::checked(tid, name, outcome.result)
    }

    fn memory(&self) -> &RemoteMemory {
        &self.memory
    }

    fn scratch(&self) -> RunRange {
        RunRange::new(self.scratch.start.0, self.scratch.start.0 + ARGUMENTS)
    }

    fn import(&mut self, descriptor: BorrowedFd<'_>) -> Result<RawFd, TraceeError> {
        Ok(self.import_all(&[descriptor])?[0])
    }

    fn export(&mut self, number: RawFd) -> Result<OwnedFd, TraceeError> {
        target::duplicate(&self.pidfd, self.pid, number)
    }
}
