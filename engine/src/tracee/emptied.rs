//! The process after the exec: the same PID, descriptors, parent and session, and no memory but a trampoline.
//!
//! The stub that is exec'ed parks at once, all signals blocked. Its code is copied into an anonymous mapping so that the
//! stub's file can be unmapped. Every injected call runs through that copy and falls into the parking loop after it, and so
//! does a thread at the end of a table of calls (`table`): an engine that dies leaves a parked process, never a running wreck.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::model::latest::{Pending, Registers};

use super::batch::{Call, Failed, together};
use super::call;
use super::error::TraceeError;
use super::gadget::Gadgets;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::ptrace;
use super::site::{ARGUMENTS, CODE, Layout, SYSCALL};
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
    pub(super) tables: RunRange,
    pub(super) scratch: RunRange,
    channel: Option<Channel>,
    /// Segments and flags that calls are made with.
    base: Option<Registers>,
    pub(super) held_back: Vec<i32>,
    /// Where the program had the code that calls run through, before it was emptied.
    pub(super) gadgets: Option<Gadgets>,
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
            tables: RunRange::default(),
            scratch: RunRange::default(),
            channel: None,
            base: None,
            held_back: Vec::new(),
            gadgets: None,
            _ticker: ticker,
        }
    }

    /// Maps trampoline, tables and scratch after the stub, unless they are there, and unmaps everything else, the stub included.
    ///
    /// Comes first after the exec; may be repeated when it failed.
    pub fn move_in(&mut self, site: RunRange) -> Result<(), TraceeError> {
        let has_trampoline = self.code == Layout::at(site).code;
        let Layout { code, tables, scratch, .. } = Layout::at(site);
        let map = |protection: i32, start: u64, length: u64| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            [start, length, protection as u64, flags as u64, u64::MAX, 0]
        };
        if !has_trampoline {
            // Never writable and executable at once: the code is written through the kernel.
            let executable = libc::PROT_READ | libc::PROT_EXEC;
            self.leader_call("mmap", libc::SYS_mmap, &map(executable, code.0, PAGE_SIZE))?;
            self.memory.write(code, &CODE)?;
        }
        self.code = code;
        let writable = libc::PROT_READ | libc::PROT_WRITE;
        self.leader_call("mmap", libc::SYS_mmap, &map(writable, tables.start.0, scratch.end.0 - tables.start.0))?;
        (self.tables, self.scratch) = (tables, scratch);
        self.unmap_all()
    }

    /// Unmaps everything but the trampoline and what follows it.
    ///
    /// A restartable sequence that a restore had registered goes first: the kernel kills a thread whose area is not there
    /// (`kernel/rseq.c`).
    fn unmap_all(&mut self) -> Result<(), TraceeError> {
        const UNREGISTER: u64 = 1;
        let rseqs: Vec<_> =
            self.tids.iter().map(|tid| Ok(ptrace::rseq(*tid)?.map(|rseq| (*tid, rseq)))).collect::<Result<_, TraceeError>>()?;
        let (start, end) = (self.code.0, self.scratch.end.0);
        let spare = match self.channel {
            Some(_) => None,
            None => {
                let (channel, spare) = Channel::make(self)?;
                self.channel = Some(channel);
                Some(spare)
            }
        };
        let unmapped: Result<(), Failed> = together(self, |batch| {
            if let Some(spare) = spare {
                batch.leader("close", libc::SYS_close, [spare as u64])?;
            }
            for (tid, rseq) in rseqs.into_iter().flatten() {
                let arguments = [rseq.address.0, u64::from(rseq.length), UNREGISTER, u64::from(rseq.signature)];
                batch.add(tid, "rseq", libc::SYS_rseq, arguments)?;
            }
            batch.run()?;
            // A restore that is taken back may have asked for locks on all that is mapped from then on.
            batch.leader("munlockall", libc::SYS_munlockall, [])?;
            batch.leader("munmap", libc::SYS_munmap, [0, start])?;
            batch.leader("munmap", libc::SYS_munmap, [end, TASK_SIZE - end])?;
            Ok(())
        });
        Ok(unmapped?)
    }

    /// The process.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Signals that wait for thread `tid` alone, or with `shared` for the process as a whole.
    pub fn pending(&self, tid: i32, shared: bool) -> Result<Vec<Pending>, TraceeError> {
        ptrace::pending(tid, shared)
    }

    /// Trampoline, tables and scratch: what is mapped beside the image.
    pub fn own_range(&self) -> RunRange {
        RunRange { start: self.code, end: self.scratch.end }
    }

    /// Gives the process a descriptor for each of `descriptors`; all are close-on-exec.
    pub fn import_all(&mut self, descriptors: &[BorrowedFd<'_>]) -> Result<Vec<RawFd>, TraceeError> {
        let mut numbers = Vec::with_capacity(descriptors.len());
        for batch in descriptors.chunks(transfer::BATCH) {
            self.open_channel()?;
            let Some(channel) = self.channel.take() else { continue };
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

    /// The channel to the process, made if need be.
    pub(super) fn open_channel(&mut self) -> Result<&Channel, TraceeError> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => Channel::open(self)?,
        };
        Ok(self.channel.insert(channel))
    }

    /// The number of the process's end of the channel, while there is one.
    pub fn channel_number(&self) -> Option<RawFd> {
        self.channel.as_ref().map(Channel::theirs)
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
        let calls: Vec<Call> = calls.iter().map(|(tid, given)| Call::of(*tid, name, number, given)).collect();
        Ok(self.call_tables(&calls)?)
    }

    /// Registers of a thread in the vessel: what calls need of them is the same for all.
    pub(super) fn base_registers(&mut self) -> Result<Registers, TraceeError> {
        match self.base {
            Some(base) => Ok(base),
            None => Ok(*self.base.insert(ptrace::registers(self.pid)?)),
        }
    }

    pub(super) fn call_registers(&mut self, number: i64, arguments: &[u64]) -> Result<Registers, TraceeError> {
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
            ..self.base_registers()?
        })
    }
}

impl Injector for Emptied {
    fn threads(&self) -> &[i32] {
        &self.tids
    }

    fn call(&mut self, tid: i32, name: &'static str, number: i64, arguments: &[u64]) -> Result<u64, TraceeError> {
        let registers = self.call_registers(number, arguments)?;
        let outcome = call::run(tid, name, &registers)?;
        self.held_back.extend(outcome.held_back);
        call::checked(tid, name, outcome.result)
    }

    fn call_all(&mut self, calls: &[Call], data: &[u8]) -> Result<Vec<u64>, Failed> {
        let Some(first) = calls.first() else { return Ok(Vec::new()) };
        let failed = |source| Failed::new(0, *first, source);
        // Before the data: a channel is made by way of the scratch range.
        self.open_channel().map_err(failed)?;
        self.memory.write(self.scratch.start, data).map_err(failed)?;
        self.call_tables(calls)
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
