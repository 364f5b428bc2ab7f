//! Functions of the new program that run in the vessel: selectors of indirect functions, the allocator, what the user wants called.
//!
//! A function returns into the trampoline's parking loop, whose entry is where the engine sees that it is done; so an engine
//! that dies meanwhile leaves a process that parks.

use std::time::{Duration, Instant};

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::model::latest::Registers;

use super::emptied::Emptied;
use super::error::TraceeError;
use super::inject::Injector;
use super::ptrace::{self, Event};
use super::site::{ARGUMENTS, LANDING, SYSCALL};

const OPERATION: &str = "run a function of the new program";
/// Where in the trampoline's page the loop of [`Emptied::call_for_each`] lies.
const LOOP: u64 = 0x800;
/// `loop: test r13,r13; jz end; mov (r12),rdi; call *rbx; mov rax,(r12); add $8,r12; dec r13; jmp loop; end: jmp LANDING`.
const LOOP_CODE: [u8; 29] = [
    0x4d, 0x85, 0xed, 0x74, 0x13, 0x49, 0x8b, 0x3c, 0x24, 0xff, 0xd3, 0x49, 0x89, 0x04, 0x24, 0x49, 0x83, 0xc4, 0x08, 0x49, 0xff,
    0xcd, 0xeb, 0xe8, 0xe9, 0xe3, 0xf7, 0xff, 0xff,
];
/// The stack of functions that may need more than the room for arguments.
const STACK: u64 = 1 << 20;
/// How long a thread that overran its time may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Calls that end or split the process, or make another program of it: the engine would lose hold of it.
const FORBIDDEN: [(i64, &str); 8] = [
    (libc::SYS_exit, "exit"),
    (libc::SYS_exit_group, "exit_group"),
    (libc::SYS_execve, "execve"),
    (libc::SYS_execveat, "execveat"),
    (libc::SYS_fork, "fork"),
    (libc::SYS_vfork, "vfork"),
    (libc::SYS_clone, "clone"),
    (libc::SYS_clone3, "clone3"),
];
/// Words that one run of the loop handles: they and the function's stack share the room for arguments.
const WORDS: usize = 2048;

impl Emptied {
    /// Calls the function at `address` in the leader, on a stack in the scratch range, with `fs_base` as its thread
    /// pointer, and returns its result. A function that faults or does not return within `limit` is an error.
    pub fn call_function(
        &mut self,
        address: RunAddress,
        arguments: &[u64],
        fs_base: u64,
        limit: Duration,
    ) -> Result<u64, TraceeError> {
        self.call_from(self.function_stack(), address, arguments, fs_base, limit)
    }

    /// As [`Emptied::call_function`], on a stack that [`Emptied::map_stack`] made.
    pub fn call_on_stack(
        &mut self,
        address: RunAddress,
        arguments: &[u64],
        (stack, fs_base): (RunRange, u64),
        limit: Duration,
    ) -> Result<u64, TraceeError> {
        self.call_from(stack.end.0, address, arguments, fs_base, limit)
    }

    /// A stack for functions, where the kernel finds room, above a page that cannot be reached.
    pub fn map_stack(&mut self) -> Result<RunRange, TraceeError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let length = PAGE_SIZE + STACK;
        let arguments = [0, length, libc::PROT_NONE as u64, flags as u64, u64::MAX, 0];
        let start = self.leader_call("mmap", libc::SYS_mmap, &arguments)?;
        let stack = RunRange::new(start, start.wrapping_add(length));
        let writable = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        self.leader_call("mprotect", libc::SYS_mprotect, &[stack.start.0 + PAGE_SIZE, STACK, writable])?;
        Ok(stack)
    }

    /// Unmaps what [`Emptied::map_stack`] made.
    pub fn unmap_stack(&mut self, stack: RunRange) -> Result<(), TraceeError> {
        self.leader_call("munmap", libc::SYS_munmap, &[stack.start.0, stack.len()]).map(drop)
    }

    fn call_from(
        &mut self,
        top: u64,
        address: RunAddress,
        arguments: &[u64],
        fs_base: u64,
        limit: Duration,
    ) -> Result<u64, TraceeError> {
        // As a `call` instruction leaves it (System V ABI, 3.2.2).
        let stack = top - 8;
        self.memory.write(RunAddress(stack), &(self.code.0 + LANDING).to_le_bytes())?;
        let argument = |i: usize| arguments.get(i).copied().unwrap_or(0);
        let registers = Registers {
            rip: address.0,
            rsp: stack,
            rdi: argument(0),
            rsi: argument(1),
            rdx: argument(2),
            rcx: argument(3),
            r8: argument(4),
            r9: argument(5),
            // Vector registers that a variable argument list uses.
            rax: 0,
            fs_base,
            orig_rax: u64::MAX,
            ..ptrace::registers(self.pid)?
        };
        self.run_to_landing(&registers, Instant::now() + limit)
    }

    /// Replaces each of `words` by what the function at `address` returns for it, all within `limit`.
    ///
    /// The loop runs in the vessel: a million calls cost hardly more than the function itself.
    pub fn call_for_each(
        &mut self,
        address: RunAddress,
        words: &mut [u64],
        fs_base: u64,
        limit: Duration,
    ) -> Result<(), TraceeError> {
        let deadline = Instant::now() + limit;
        let table = self.scratch.start;
        self.memory.write(RunAddress(self.code.0 + LOOP), &LOOP_CODE)?;
        for part in words.chunks_mut(WORDS) {
            let bytes: Vec<u8> = part.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.memory.write(table, &bytes)?;
            let registers = Registers {
                rip: self.code.0 + LOOP,
                rsp: self.function_stack(),
                rbx: address.0,
                r12: table.0,
                r13: part.len() as u64,
                fs_base,
                orig_rax: u64::MAX,
                ..ptrace::registers(self.pid)?
            };
            self.run_to_landing(&registers, deadline)?;
            let mut bytes = bytes;
            self.memory.read(table, &mut bytes)?;
            for (word, bytes) in part.iter_mut().zip(bytes.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
        Ok(())
    }

    /// Top of the stack that functions get: the end of the room for arguments, a multiple of 16 (System V ABI, 3.2.2).
    fn function_stack(&self) -> u64 {
        (self.scratch.start.0 + ARGUMENTS) & !15
    }

    /// Lets the leader go on with `registers` until it stands in the landing's `pause`, and returns the result of what ran. The
    /// leader has stopped also where that is an error, unless it is gone.
    fn run_to_landing(&mut self, registers: &Registers, deadline: Instant) -> Result<u64, TraceeError> {
        let tid = self.pid;
        ptrace::set_registers(tid, registers)?;
        loop {
            ptrace::resume_to_syscall(tid)?;
            let event = match ptrace::wait(tid, deadline, OPERATION) {
                Err(late @ TraceeError::Deadline { .. }) => {
                    self.stop_function()?;
                    return Err(late);
                }
                other => other?,
            };
            match event {
                // The landing calls `pause` with the result in rdi; any other call belongs to the function.
                Event::Syscall => {
                    let now = ptrace::registers(tid)?;
                    if now.rip == self.code.0 + SYSCALL + 2 && now.orig_rax == libc::SYS_pause as u64 {
                        self.skip_call(now, deadline)?;
                        return Ok(now.rdi);
                    }
                    if let Some((_, call)) = FORBIDDEN.iter().find(|(number, _)| *number as u64 == now.orig_rax) {
                        self.skip_call(now, Instant::now() + STOP_LIMIT)?;
                        return Err(TraceeError::ForbiddenCall { tid, call });
                    }
                }
                Event::Stop => {}
                // It stands for all threads and is sent again when they go on.
                Event::Signal(signal @ libc::SIGSTOP) => self.held_back.push(signal),
                Event::Signal(signal) => {
                    let address = RunAddress(ptrace::registers(tid)?.rip);
                    let signal = nix::sys::signal::Signal::try_from(signal).map_or("an unknown signal", |signal| signal.as_str());
                    return Err(TraceeError::FunctionSignal { tid, signal, address });
                }
                Event::Ended => return Err(TraceeError::Gone { tid, operation: OPERATION }),
                _ => return Err(TraceeError::UnexpectedStop { tid, status: 0, operation: OPERATION }),
            }
        }
    }

    /// Stops a function that has overrun its time, wherever it is.
    fn stop_function(&self) -> Result<(), TraceeError> {
        ptrace::interrupt(self.pid)?;
        match ptrace::wait(self.pid, Instant::now() + STOP_LIMIT, "stop in a function of the new program")? {
            Event::Ended => Err(TraceeError::Gone { tid: self.pid, operation: OPERATION }),
            _ => Ok(()),
        }
    }

    /// Takes the leader from the entry stop of a call to its exit stop without making it: the next call starts from there.
    fn skip_call(&self, at_entry: Registers, deadline: Instant) -> Result<(), TraceeError> {
        ptrace::set_registers(self.pid, &Registers { orig_rax: u64::MAX, ..at_entry })?;
        loop {
            ptrace::resume_to_syscall(self.pid)?;
            match ptrace::wait(self.pid, deadline, "leave a function of the new program")? {
                Event::Syscall => return Ok(()),
                Event::Ended => return Err(TraceeError::Gone { tid: self.pid, operation: "leaving a function" }),
                _ => {}
            }
        }
    }
}
