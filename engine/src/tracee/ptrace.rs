//! The ptrace requests and waits that the other files build on. Every request names its thread in its error.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::{Pending, Registers, Rseq};
use nix::errno::Errno;

use super::error::TraceeError;

/// `NT_PRSTATUS` and `NT_X86_XSTATE` (`elf.h`).
const NT_PRSTATUS: usize = 1;
const NT_X86_XSTATE: usize = 0x202;
/// Larger than any XSAVE area in standard format so far (AMX: 11,008 bytes).
const XSTATE_ROOM: usize = 16 * 1024;
/// `PTRACE_GET_RSEQ_CONFIGURATION` (`include/uapi/linux/ptrace.h`, since 5.13).
const PTRACE_GET_RSEQ_CONFIGURATION: u32 = 0x420f;

/// Options that hold while the engine injects: syscall stops marked, exec reported.
pub(super) const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC;
/// Beside [`OPTIONS`]: `clone` reported, new tasks attached. With CLONE_PTRACE they are attached without a report.
pub(super) const REPORT_CLONES: i32 = libc::PTRACE_O_TRACECLONE;
/// `PTRACE_O_SUSPEND_SECCOMP`.
pub(super) const SUSPEND_SECCOMP: i32 = 1 << 21;

/// What a wait reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Entry or exit of a system call under PTRACE_SYSCALL.
    Syscall,
    /// A signal is about to be delivered.
    Signal(i32),
    /// PTRACE_EVENT_STOP: interrupt, group stop, or the birth of an attached task.
    Stop,
    /// PTRACE_EVENT_CLONE, with the new task.
    Clone(i32),
    /// PTRACE_EVENT_EXEC.
    Exec,
    /// Another ptrace event.
    Other(i32),
    /// The task ended.
    Ended,
}

fn request(name: &'static str, request: u32, tid: i32, address: usize, data: usize) -> Result<i64, TraceeError> {
    // SAFETY: callers of this private function pass, for requests that make the kernel write, pointers to live buffers of
    // the length the request's ABI asks for; all other requests take plain numbers.
    let result = unsafe { libc::ptrace(request as _, tid, address, data) };
    if result == -1 {
        let source = Errno::last();
        if source == Errno::ESRCH {
            return Err(TraceeError::Gone { tid, operation: name });
        }
        return Err(TraceeError::Ptrace { request: name, tid, source });
    }
    Ok(result)
}

pub(super) fn seize(tid: i32, options: i32) -> Result<(), TraceeError> {
    request("SEIZE", libc::PTRACE_SEIZE, tid, 0, options as usize).map(drop)
}

pub(super) fn interrupt(tid: i32) -> Result<(), TraceeError> {
    request("INTERRUPT", libc::PTRACE_INTERRUPT, tid, 0, 0).map(drop)
}

pub(super) fn set_options(tid: i32, options: i32) -> Result<(), TraceeError> {
    request("SETOPTIONS", libc::PTRACE_SETOPTIONS, tid, 0, options as usize).map(drop)
}

pub(super) fn resume(tid: i32, signal: i32) -> Result<(), TraceeError> {
    request("CONT", libc::PTRACE_CONT, tid, 0, signal as usize).map(drop)
}

pub(super) fn resume_to_syscall(tid: i32) -> Result<(), TraceeError> {
    request("SYSCALL", libc::PTRACE_SYSCALL, tid, 0, 0).map(drop)
}

/// Lets a thread on by one instruction; with the next request it is not stepped any more.
pub(super) fn single_step(tid: i32) -> Result<(), TraceeError> {
    request("SINGLESTEP", libc::PTRACE_SINGLESTEP, tid, 0, 0).map(drop)
}

/// Whether the SIGTRAP that a thread is about to get is of a step or of a debug register (`TRAP_BRKPT` to `TRAP_HWBKPT`,
/// `include/uapi/asm-generic/siginfo.h`): it was not sent, nor is it a breakpoint in the program's code (`SI_KERNEL`).
pub(super) fn is_from_step(tid: i32) -> Result<bool, TraceeError> {
    let mut info = [0; 128];
    request("GETSIGINFO", libc::PTRACE_GETSIGINFO, tid, 0, info.as_mut_ptr() as usize)?;
    Ok(is_of_step(&info))
}

/// The same of a signal that waits, by its `siginfo_t`.
pub(super) fn is_of_step(siginfo: &[u8]) -> bool {
    let word = |at: usize| siginfo.get(at..at + 4)?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes));
    word(0) == Some(libc::SIGTRAP) && word(8).is_some_and(|code| (1..=4).contains(&code))
}

/// Writes a word of a thread's `struct user`, such as a debug register.
pub(super) fn poke_user(tid: i32, offset: usize, word: u64) -> Result<(), TraceeError> {
    request("POKEUSER", libc::PTRACE_POKEUSER, tid, offset, word as usize).map(drop)
}

pub(super) fn detach(tid: i32) -> Result<(), TraceeError> {
    request("DETACH", libc::PTRACE_DETACH, tid, 0, 0).map(drop)
}

pub(super) fn signal_mask(tid: i32) -> Result<u64, TraceeError> {
    let mut mask = 0u64;
    request("GETSIGMASK", 0x420a, tid, 8, &raw mut mask as usize)?;
    Ok(mask)
}

pub(super) fn set_signal_mask(tid: i32, mask: u64) -> Result<(), TraceeError> {
    request("SETSIGMASK", 0x420b, tid, 8, &raw const mask as usize).map(drop)
}

fn regset(name: &'static str, ptrace_request: u32, tid: i32, note: usize, buffer: &mut [u8]) -> Result<usize, TraceeError> {
    let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    request(name, ptrace_request, tid, note, &raw mut iov as usize)?;
    Ok(iov.iov_len)
}

pub(super) fn registers(tid: i32) -> Result<Registers, TraceeError> {
    let mut bytes = [0u8; 27 * 8];
    let length = regset("GETREGSET(PRSTATUS)", libc::PTRACE_GETREGSET, tid, NT_PRSTATUS, &mut bytes)?;
    if length != bytes.len() {
        return Err(TraceeError::Refused { pid: tid, reason: super::error::Refusal::WrongArchitecture });
    }
    Ok(registers_from_words(&std::array::from_fn(|i| u64::from_le_bytes(std::array::from_fn(|k| bytes[i * 8 + k])))))
}

pub(super) fn set_registers(tid: i32, registers: &Registers) -> Result<(), TraceeError> {
    let mut bytes = [0u8; 27 * 8];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words_from_registers(registers)) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    regset("SETREGSET(PRSTATUS)", libc::PTRACE_SETREGSET, tid, NT_PRSTATUS, &mut bytes).map(drop)
}

pub(super) fn xstate(tid: i32) -> Result<Vec<u8>, TraceeError> {
    let mut bytes = vec![0u8; XSTATE_ROOM];
    let length = regset("GETREGSET(XSTATE)", libc::PTRACE_GETREGSET, tid, NT_X86_XSTATE, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

pub(super) fn set_xstate(tid: i32, xstate: &[u8]) -> Result<(), TraceeError> {
    let mut bytes = xstate.to_vec();
    regset("SETREGSET(XSTATE)", libc::PTRACE_SETREGSET, tid, NT_X86_XSTATE, &mut bytes).map(drop)
}

/// The registered restartable sequence; `None` when there is none or the kernel cannot tell.
pub(super) fn rseq(tid: i32) -> Result<Option<Rseq>, TraceeError> {
    let mut words = [0u64; 3];
    match request("GET_RSEQ_CONFIGURATION", PTRACE_GET_RSEQ_CONFIGURATION, tid, 24, words.as_mut_ptr() as usize) {
        Err(TraceeError::Ptrace { source: Errno::EINVAL | Errno::EIO, .. }) => return Ok(None),
        other => other?,
    };
    Ok((words[0] != 0).then(|| Rseq {
        address: RunAddress(words[0]),
        length: words[1] as u32,
        signature: (words[1] >> 32) as u32,
        flags: words[2] as u32,
    }))
}

/// Signals that wait for the thread, or with `shared` for the whole process (`struct ptrace_peeksiginfo_args`).
pub(super) fn pending(tid: i32, shared: bool) -> Result<Vec<Pending>, TraceeError> {
    #[repr(C)]
    struct Arguments {
        offset: u64,
        flags: u32,
        count: i32,
    }
    const BATCH: usize = 32;
    let mut found = Vec::new();
    loop {
        let arguments = Arguments { offset: found.len() as u64, flags: shared.into(), count: BATCH as i32 };
        let mut buffer = [0u8; 128 * BATCH];
        let count =
            request("PEEKSIGINFO", libc::PTRACE_PEEKSIGINFO, tid, &raw const arguments as usize, buffer.as_mut_ptr() as usize)?
                as usize;
        found.extend(buffer.chunks_exact(128).take(count).map(|bytes| Pending { siginfo: bytes.to_vec() }));
        if count < BATCH {
            return Ok(found);
        }
    }
}

/// Waits until `tid` reports something, or the deadline passes.
///
/// The wait is interrupted by the ticks of [`super::ticker::Ticker`], which every holder of a traced process keeps alive.
pub(super) fn wait(tid: i32, deadline: Instant, awaited: &'static str) -> Result<Event, TraceeError> {
    let started = Instant::now();
    loop {
        let mut status = 0;
        if comes_soon(tid, started, &mut status) {
            return decode(tid, status, awaited);
        }
        // SAFETY: `status` outlives the call.
        let result = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) };
        if result == tid {
            return decode(tid, status, awaited);
        }
        match Errno::last() {
            // The end of a main thread is reported only after that of all others, which may be waiting to be reaped.
            Errno::EINTR if super::procfs::has_ended(tid) => return Err(TraceeError::Gone { tid, operation: awaited }),
            Errno::EINTR if Instant::now() < deadline => {}
            Errno::EINTR => {
                return Err(TraceeError::Deadline {
                    tid,
                    awaited,
                    limit_ms: (deadline - started).as_millis() as u64,
                    state: super::procfs::describe_state(tid),
                });
            }
            _ => return Err(TraceeError::Gone { tid, operation: awaited }),
        }
    }
}

/// Looks for a report again and again for a moment: most stops are a few microseconds away, and to sleep until then, with a
/// processor to be woken at the end, takes longer. Not where there is one processor, which the tracee needs.
fn comes_soon(tid: i32, started: Instant, status: &mut i32) -> bool {
    const MOMENT: Duration = Duration::from_micros(50);
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    if *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from)) < 2 {
        return false;
    }
    loop {
        // SAFETY: the kernel writes one int through the pointer to a live one.
        let result = unsafe { libc::waitpid(tid, status, libc::__WALL | libc::WNOHANG) };
        if result != 0 || started.elapsed() > MOMENT {
            // An error shows itself again to the wait that follows.
            return result == tid;
        }
        std::hint::spin_loop();
    }
}

/// What `tid` has to report at this moment, if anything.
pub(super) fn look(tid: i32, operation: &'static str) -> Result<Option<Event>, TraceeError> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    match unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) } {
        0 => Ok(None),
        reported if reported == tid => decode(tid, status, operation).map(Some),
        _ => Err(TraceeError::Gone { tid, operation }),
    }
}

fn decode(tid: i32, status: i32, operation: &'static str) -> Result<Event, TraceeError> {
    if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
        return Ok(Event::Ended);
    }
    if !libc::WIFSTOPPED(status) {
        return Err(TraceeError::UnexpectedStop { tid, status, operation });
    }
    let signal = libc::WSTOPSIG(status);
    Ok(match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Event::Syscall,
        0 => Event::Signal(signal),
        libc::PTRACE_EVENT_STOP => Event::Stop,
        libc::PTRACE_EVENT_EXEC => Event::Exec,
        libc::PTRACE_EVENT_CLONE => Event::Clone(event_message(tid)? as i32),
        other => Event::Other(other),
    })
}

fn event_message(tid: i32) -> Result<u64, TraceeError> {
    let mut message = 0u64;
    request("GETEVENTMSG", libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message as usize)?;
    Ok(message)
}

/// Reaps whatever any traced task reports next; `None` when the deadline passed first.
pub(super) fn wait_any(deadline: Instant) -> Result<Option<(i32, Event)>, TraceeError> {
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        let tid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if tid > 0 {
            return decode(tid, status, "waiting for the exec").map(|event| Some((tid, event)));
        }
        match Errno::last() {
            Errno::EINTR if Instant::now() < deadline => {}
            Errno::EINTR => return Ok(None),
            _ => return Err(TraceeError::Gone { tid: -1, operation: "waiting for the exec" }),
        }
    }
}

fn registers_from_words(w: &[u64; 27]) -> Registers {
    Registers {
        r15: w[0],
        r14: w[1],
        r13: w[2],
        r12: w[3],
        rbp: w[4],
        rbx: w[5],
        r11: w[6],
        r10: w[7],
        r9: w[8],
        r8: w[9],
        rax: w[10],
        rcx: w[11],
        rdx: w[12],
        rsi: w[13],
        rdi: w[14],
        orig_rax: w[15],
        rip: w[16],
        cs: w[17],
        eflags: w[18],
        rsp: w[19],
        ss: w[20],
        fs_base: w[21],
        gs_base: w[22],
        ds: w[23],
        es: w[24],
        fs: w[25],
        gs: w[26],
    }
}

fn words_from_registers(r: &Registers) -> [u64; 27] {
    [
        r.r15, r.r14, r.r13, r.r12, r.rbp, r.rbx, r.r11, r.r10, r.r9, r.r8, r.rax, r.rcx, r.rdx, r.rsi, r.rdi, r.orig_rax, r.rip,
        r.cs, r.eflags, r.rsp, r.ss, r.fs_base, r.gs_base, r.ds, r.es, r.fs, r.gs,
    ]
}
