//! The new program, run from scratch and stopped at its point: its frames, registers and memory.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use dsu_engine::program::build::{Build, DebugSearch};
use dsu_engine::program::elf::Elf;
use dsu_engine::program::unwind::{LoadedModule, Registers, UnwindIndex, Unwinder};
use dsu_engine::tracee::memory::RemoteMemory;
use dsu_engine::tracee::procfs::{self, MapLine};
use dsu_engine::tracee::stopped::Stopped;
use dsu_engine::tracee::target::Target;
use dsu_formats::address::{RunAddress, RunRange};

use super::process::Process;

/// A stopped process. Dropping it lets the process go on.
pub struct Scratch {
    stopped: Stopped,
    /// Its mappings.
    pub maps: Vec<MapLine>,
    /// Where the program is mapped.
    pub program: RunRange,
    /// Its threads, the leader first.
    pub threads: Vec<Thread>,
}

/// One of its threads.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Frames, innermost first.
    pub frames: Vec<Frame>,
    /// The general registers as they stand, by DWARF number.
    pub machine: [u64; 16],
}

/// One of its frames.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Name of its function where that is the program's, else empty.
    pub function: String,
    /// Where it goes on.
    pub pc: u64,
    /// Its canonical frame address.
    pub cfa: u64,
    /// The registers as its code sees them; none for those that a deeper frame may have changed.
    pub registers: [Option<u64>; 16],
}

impl Scratch {
    /// Stops `process`, which runs `executable`, and walks its stacks.
    pub fn stop(process: &Process, executable: &Path) -> Self {
        let pid = process.pid().as_raw();
        let target = Target::open(pid).unwrap_or_else(|error| panic!("opening process {pid}: {error}"));
        let stopped =
            target.stop(Instant::now() + Duration::from_secs(10)).unwrap_or_else(|error| panic!("stopping {pid}: {error}"));
        let maps = procfs::maps(pid).unwrap_or_else(|error| panic!("mappings of {pid}: {error}"));
        let program = span(&maps, &executable.display().to_string());
        let build = Build::open(executable, &DebugSearch::default()).unwrap_or_else(|error| panic!("{executable:?}: {error}"));
        let modules = modules(&maps, stopped.memory());
        let walk = |registers: &Registers| walk(registers, &modules, stopped.memory(), &build, program);
        let threads = stopped.threads().iter().map(|thread| walk(&Registers::from(&thread.registers))).collect();
        Self { stopped, maps, program, threads }
    }

    /// Its memory.
    pub fn memory(&self) -> &RemoteMemory {
        self.stopped.memory()
    }
}

/// From the first to the last mapping of the file `name`.
pub fn span(maps: &[MapLine], name: &str) -> RunRange {
    let of_file = maps.iter().filter(|line| line.name == name);
    let (start, end) = of_file.fold((u64::MAX, 0), |(start, end), line| (start.min(line.start), end.max(line.end)));
    assert!(start < end, "{name} is not mapped");
    // The zero-initialised rest of its data has no file.
    let bss = maps.iter().find(|line| line.start == end && line.name.is_empty()).map_or(end, |line| line.end);
    RunRange::new(start, bss)
}

fn walk(registers: &Registers, modules: &[LoadedModule], memory: &RemoteMemory, build: &Build, program: RunRange) -> Thread {
    let stack = Unwinder::new(modules).walk(registers, |address, buffer| memory.read(address, buffer).map_err(Box::new));
    assert!(stack.end.is_complete(), "the new program's stack is incomplete: {:?}", stack.end);
    let frames = stack.frames.iter().map(|frame| {
        let link = frame.module.filter(|_| program.contains(frame.lookup)).map(|(_, link)| link);
        let function = link.and_then(|link| build.function_at(link)).map_or(String::new(), |function| function.name.clone());
        let registers = frame.registers.map(|register| register.map(|known| known.value));
        Frame { function, pc: frame.pc.0, cfa: frame.cfa.0, registers }
    });
    Thread { frames: frames.collect(), machine: registers.general }
}

/// Call frame information of a file, and its first link-time address.
type Indexed = (Arc<UnwindIndex>, u64);

/// By file, made once.
static INDEXES: LazyLock<Mutex<HashMap<String, Indexed>>> = LazyLock::new(Mutex::default);

/// Every ELF object that is mapped.
fn modules(maps: &[MapLine], memory: &RemoteMemory) -> Vec<LoadedModule> {
    let mut names: Vec<&str> = Vec::new();
    for line in maps.iter().filter(|line| line.name.starts_with('/') || line.name == "[vdso]") {
        if !names.contains(&line.name.as_str()) {
            names.push(&line.name);
        }
    }
    names.iter().filter_map(|name| module(name, span(maps, name), memory)).collect()
}

fn module(name: &str, range: RunRange, memory: &RemoteMemory) -> Option<LoadedModule> {
    let mut indexes = INDEXES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (unwind, first) = match indexes.get(name) {
        Some(known) => known.clone(),
        None => {
            let bytes = if name == "[vdso]" { read(memory, range) } else { std::fs::read(name).ok()? };
            let elf = Elf::parse(bytes.into()).ok()?;
            let first = elf.loads().next()?.address.0 & !0xfff;
            let made = (Arc::new(UnwindIndex::new(&elf)), first);
            indexes.insert(name.to_owned(), made.clone());
            made
        }
    };
    Some(LoadedModule { range, bias: range.start.0.wrapping_sub(first), unwind })
}

fn read(memory: &RemoteMemory, range: RunRange) -> Vec<u8> {
    let mut bytes = vec![0; range.len() as usize];
    memory.read(RunAddress(range.start.0), &mut bytes).unwrap_or_else(|error| panic!("reading {range:?}: {error}"));
    bytes
}
