//! Looks at a program from outside: everything that a refusal must leave as it was, and what may not grow.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::sys::ptrace::{self, Options, regset};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::deadline;

/// Lines of `/proc/PID/status` that belong to the program's state; the others (state, faults, sizes of kernel tables) move by
/// themselves.
const STATUS: [&str; 34] = [
    "Name",
    "Umask",
    "Tgid",
    "Pid",
    "PPid",
    "TracerPid",
    "Uid",
    "Gid",
    "Groups",
    "NSpid",
    "NSpgid",
    "NSsid",
    "VmSize",
    "VmLck",
    "VmPin",
    "VmData",
    "VmStk",
    "VmExe",
    "VmLib",
    "Threads",
    "SigPnd",
    "ShdPnd",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "Cpus_allowed",
];

/// Bytes below a stack pointer's red zone that hold nothing of the program's, and may have held a signal frame meanwhile.
const DEAD_STACK: u64 = 16 << 10;

/// Bytes of the red zone.
const RED_ZONE: u64 = 128;

/// Mappings beyond this are compared by their line in `maps` only.
const LARGEST_MAPPING: u64 = 64 << 20;

/// What a stopped call that goes on with less time has in rax: `-ERESTART_RESTARTBLOCK`.
const ERESTART_RESTARTBLOCK: u64 = (-516_i64) as u64;

/// Whether the registers can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registers {
    /// Stop each thread for a moment and read them.
    Read,
    /// A thread of this program does not stop, or has a tracer: take what `/proc` shows.
    Skip,
}

/// State of a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Thread {
    status: BTreeMap<String, String>,
    registers: String,
    stack_pointer: u64,
    thread_pointer: u64,
}

/// State of a process at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    maps: String,
    descriptors: BTreeMap<i32, String>,
    threads: BTreeMap<i32, Thread>,
    memory: BTreeMap<u64, Vec<u8>>,
}

impl Snapshot {
    /// Looks at process `pid`, whose threads are stopped meanwhile where `registers` says so.
    pub fn take(pid: Pid, registers: Registers) -> Self {
        let tids = await_rest(pid);
        let stopped: Vec<Pid> =
            if registers == Registers::Read { tids.iter().map(|&tid| stop(tid)).collect() } else { Vec::new() };
        let alive = living(&tids);
        let maps = read_text(&format!("/proc/{alive}/maps"));
        let memory = read_memory(alive, &maps);
        let descriptors = descriptors(alive);
        let threads = tids.iter().map(|&tid| (tid.as_raw(), thread(pid, tid, registers))).collect();
        for tid in stopped {
            ptrace::detach(tid, None).unwrap_or_else(|error| panic!("letting thread {tid} go: {error}"));
        }
        Snapshot { maps, descriptors, threads, memory }
    }

    /// Panics with the first difference to `before`.
    pub fn assert_same_as(&self, before: &Snapshot, what: &str) {
        assert_eq!(self.maps, before.maps, "{what}: mappings");
        assert_eq!(self.descriptors, before.descriptors, "{what}: descriptors");
        assert!(self.threads.keys().eq(before.threads.keys()), "{what}: threads {:?}", self.threads.keys());
        for (tid, old) in &before.threads {
            self.threads[tid].assert_same_as(old, &format!("{what}: thread {tid}"));
        }
        for (&start, old) in &before.memory {
            let new = &self.memory[&start];
            assert_eq!(new.len(), old.len(), "{what}: length of the mapping at {start:#x}");
            for (index, (&was, &is)) in old.iter().zip(new).enumerate() {
                let address = start + index as u64;
                if was != is && !self.threads.values().any(|thread| thread.may_change(address)) {
                    panic!("{what}: byte at {address:#x}, expected {was:#04x}, found {is:#04x}");
                }
            }
        }
    }
}

impl Thread {
    fn assert_same_as(&self, before: &Thread, what: &str) {
        let fields = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
        let (old, new) = (fields(&before.registers), fields(&self.registers));
        let different: Vec<_> = old.iter().zip(&new).filter(|(old, new)| old != new).collect();
        assert!(self.registers == before.registers, "{what}: registers that differ, before and after: {different:?}");
        assert_eq!(self.status, before.status, "{what}: status");
    }

    /// Whether a byte that changed is none of the program's: dead stack, or the area of restartable sequences in the thread's
    /// control block, where the kernel writes the processor's number.
    fn may_change(&self, address: u64) -> bool {
        let dead_end = self.stack_pointer.saturating_sub(RED_ZONE);
        let dead = (dead_end.saturating_sub(DEAD_STACK)..dead_end).contains(&address);
        // In the C library `struct pthread` starts at the thread pointer; the area has 32 bytes within its first 3 KiB.
        let control_block = (self.thread_pointer + 0x900..self.thread_pointer + 0xc00).contains(&address);
        dead || (self.thread_pointer != 0 && control_block)
    }
}

/// What may not grow over many updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    mappings: usize,
    descriptors: usize,
    threads: usize,
    resident_kib: u64,
}

impl Growth {
    /// Resident memory that may come and go by chance, in KiB.
    const SLACK_KIB: u64 = 512;

    /// Measures process `pid`.
    pub fn measure(pid: Pid) -> Self {
        let status = read_text(&format!("/proc/{pid}/status"));
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        Growth {
            mappings: read_text(&format!("/proc/{pid}/maps")).lines().count(),
            descriptors: descriptors(pid).len(),
            threads: thread_ids(pid).len(),
            resident_kib: resident.unwrap_or_else(|| panic!("no VmRSS in {status}")),
        }
    }

    /// Panics if anything is more than it was `before`.
    pub fn assert_no_more_than(&self, before: &Growth, what: &str) {
        let grown = self.mappings > before.mappings
            || self.descriptors > before.descriptors
            || self.threads > before.threads
            || self.resident_kib > before.resident_kib + Self::SLACK_KIB;
        assert!(!grown, "{what}: grown from {before:?} to {self:?}");
    }
}

fn read_text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("reading {path}: {error}"))
}

fn thread_ids(pid: Pid) -> Vec<Pid> {
    let path = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    let mut tids: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    tids.sort_unstable();
    tids.into_iter().map(Pid::from_raw).collect()
}

/// Waits until the program sleeps in the read of the driver's answer, not merely on its way there; returns its threads.
fn await_rest(pid: Pid) -> Vec<Pid> {
    let reads_answer = |tid: &Pid| {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
        // read is system call 0, and 3 for a 32-bit program.
        text.starts_with("0 0x0 ") || text.starts_with("3 0x0 ")
    };
    deadline::until(Duration::from_secs(10), || {
        let tids = thread_ids(pid);
        tids.iter().any(reads_answer).then_some(tids)
    })
    .unwrap_or_else(|| panic!("process {pid} does not wait for an answer"))
}

/// A thread through which the memory can be reached: that of a main thread that has ended is out of reach.
fn living(tids: &[Pid]) -> Pid {
    let lives = |tid: &&Pid| fs::read_to_string(format!("/proc/{tid}/stat")).is_ok_and(|text| !text.contains(") Z "));
    *tids.iter().find(lives).expect("a thread is alive")
}

/// Stops one thread; it stays so until it is let go.
fn stop(tid: Pid) -> Pid {
    ptrace::seize(tid, Options::empty()).unwrap_or_else(|error| panic!("seizing thread {tid}: {error}"));
    ptrace::interrupt(tid).unwrap_or_else(|error| panic!("interrupting thread {tid}: {error}"));
    let flags = WaitPidFlag::from_bits_retain(nix::libc::__WALL) | WaitPidFlag::WNOHANG;
    let status = deadline::until(Duration::from_secs(10), || match waitpid(tid, Some(flags)) {
        Ok(WaitStatus::StillAlive) => None,
        other => Some(other),
    });
    assert!(matches!(status, Some(Ok(WaitStatus::PtraceEvent(..)))), "stopping thread {tid}: {status:?}");
    tid
}

fn thread(pid: Pid, tid: Pid, registers: Registers) -> Thread {
    let status = read_text(&format!("/proc/{pid}/task/{tid}/status"));
    let lines = status.lines().filter_map(|line| line.split_once(':'));
    let own = |name: &str| registers == Registers::Read && name == "TracerPid";
    let status = lines
        .filter(|(name, _)| STATUS.contains(name) && !own(name))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    if registers == Registers::Skip {
        let registers = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
        return Thread { status, registers, ..Thread::default() };
    }
    let mut general = ptrace::getregs(tid).unwrap_or_else(|error| panic!("registers of thread {tid}: {error}"));
    let floating = ptrace::getregset::<regset::NT_PRFPREG>(tid).unwrap_or_else(|error| panic!("FP registers of {tid}: {error}"));
    if general.rax == ERESTART_RESTARTBLOCK {
        // Stopping such a call makes restart_syscall of it; the program cannot tell.
        general.orig_rax = 0;
    }
    let registers = format!("{general:?}, {floating:?}");
    Thread { status, registers, stack_pointer: general.rsp, thread_pointer: general.fs_base }
}

fn descriptors(pid: Pid) -> BTreeMap<i32, String> {
    let path = format!("/proc/{pid}/fd");
    let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("reading {path}: {error}"));
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let describe = |number: i32| {
        let link = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        // The time left of a timer moves by itself.
        let lines = info.lines().filter(|line| !line.starts_with("it_value"));
        format!("{}\n{}", link.display(), lines.collect::<Vec<_>>().join("\n"))
    };
    numbers.map(|number| (number, describe(number))).collect()
}

/// Content of each readable mapping by its start, except what the kernel alone writes and what is too large.
fn read_memory(pid: Pid, maps: &str) -> BTreeMap<u64, Vec<u8>> {
    let path = format!("/proc/{pid}/mem");
    let memory = File::open(&path).unwrap_or_else(|error| panic!("opening {path}: {error}"));
    let mut contents = BTreeMap::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (Some(range), Some(permissions)) = (fields.next(), fields.next()) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else { continue };
        let kernels = ["[vvar]", "[vvar_vclock]", "[vsyscall]"].iter().any(|name| line.ends_with(name));
        if !permissions.starts_with('r') || kernels || end - start > LARGEST_MAPPING {
            continue;
        }
        let mut bytes = vec![0; (end - start) as usize];
        // A mapping may go beyond its file; what cannot be read has no content to compare.
        if memory.read_exact_at(&mut bytes, start).is_ok() {
            contents.insert(start, bytes);
        }
    }
    contents
}
