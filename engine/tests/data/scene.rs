//! A real process, stopped and captured, with what the planner knows of its files.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dsu_engine::plan::heap::{self, HeapView};
use dsu_engine::plan::link::scope::LoadedLibrary;
use dsu_engine::plan::link::symbols::IndexedLibrary;
use dsu_engine::plan::loader::data_ranges;
use dsu_engine::plan::source::{MemorySource, SourceError};
use dsu_engine::plan::walk::{self, Interest, ThreadStack};
use dsu_engine::program::build::{Build, DebugSearch, Library};
use dsu_engine::program::unwind::{Frame, LoadedModule, Registers, UnwindIndex, Unwinder};
use dsu_engine::tracee::borrowed::Borrowed;
use dsu_engine::tracee::inject::Injector;
use dsu_engine::tracee::memory::RemoteMemory;
use dsu_engine::tracee::target::Target;
use dsu_engine::update::capture::{self, Captured, Facts, Purpose};
use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{Host, Module, ProgramId};

/// Compiles `tests/data/programs/NAME.c` as `directory/output`.
pub fn compile(name: &str, directory: &Path, output: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/programs").join(name).with_extension("c");
    let binary = directory.join(output);
    let compiler = Command::new("cc").args(["-g", "-pthread", "-o"]).arg(&binary).arg(&source).args(flags).status();
    assert!(compiler.expect("cc can be started").success(), "cc failed on {}", source.display());
    binary
}

/// A program that has said what it had to say, and waits.
pub struct Program {
    child: Child,
    _input: ChildStdin,
    pub said: Vec<String>,
}

impl Program {
    /// Starts a program and reads its lines up to `ready`.
    pub fn start(binary: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary);
        let mut child =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program can be started");
        let input = child.stdin.take().expect("stdin is piped");
        let output = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let lines = output.lines().map(|line| line.expect("the program says what it has"));
        let said: Vec<String> = lines.take_while(|line| line != "ready").collect();
        Self { child, _input: input, said }
    }

    /// Starts a program that says one line and then serves.
    pub fn serving(binary: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(binary);
        let mut child =
            command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program can be started");
        let input = child.stdin.take().expect("stdin is piped");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("the program says its port");
        Self { child, _input: input, said: vec![line.trim_end().to_owned()] }
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A captured process; it stays stopped as long as the scene lives.
pub struct Scene {
    pub captured: Captured,
    pub build: Build,
    pub libraries: Vec<IndexedLibrary>,
    modules: Vec<Module>,
    borrowed: Borrowed,
    system: Vec<RunRange>,
    pub program: Program,
}

impl Scene {
    /// Starts and captures.
    pub fn new(binary: &Path, arguments: &[&str]) -> Self {
        Self::of(binary, Program::start(binary, arguments))
    }

    /// Captures a running program.
    pub fn of(binary: &Path, program: Program) -> Self {
        let target = Target::open(program.pid()).expect("the process");
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut borrowed = target.stop(deadline).expect("it stops").borrow().expect("it can be borrowed");
        let captured = capture::capture(&mut borrowed, &facts(), Purpose::Update).expect("it can be captured");
        let build = Build::open(binary, &DebugSearch::default()).expect("a compiler's output opens");
        let mut libraries = Vec::new();
        let mut modules = Vec::new();
        for module in captured.snapshot.modules.iter().skip(1) {
            let path = PathBuf::from(String::from_utf8_lossy(&module.path).into_owned());
            if let Ok(library) = Library::open(&path) {
                libraries.push(IndexedLibrary::new(library.elf));
                modules.push(module.clone());
            }
        }
        let mut scene = Self { captured, build, libraries, modules, borrowed, system: Vec::new(), program };
        scene.system = data_ranges(&scene.captured.snapshot.address_spaces[0], &scene.loaded());
        scene
    }

    /// Lets the process go on.
    pub fn let_go(self) -> Program {
        drop(self.borrowed);
        self.program
    }

    pub fn memory(&self) -> Memory<'_> {
        Memory { memory: self.borrowed.memory(), own_pages: &self.captured.own_pages.runs }
    }

    pub fn loaded(&self) -> Vec<LoadedLibrary<'_>> {
        let pairs = self.libraries.iter().zip(&self.modules);
        pairs
            .map(|(library, module)| LoadedLibrary {
                library,
                path: &module.path,
                bias: module.bias.0,
                range: module.range,
                link_map: module.link_map,
            })
            .collect()
    }

    /// All threads' frames; the program is module 0, the libraries follow.
    pub fn unwind(&self) -> Vec<(i32, Vec<Frame>)> {
        let module = &self.captured.snapshot.modules[0];
        let unwind = Arc::new(UnwindIndex::new(&self.build.elf));
        let mut modules = vec![LoadedModule { range: module.range, bias: module.bias.0, unwind }];
        modules.extend(self.loaded().iter().map(|library| LoadedModule {
            range: library.range,
            bias: library.bias,
            unwind: Arc::clone(&library.library.unwind),
        }));
        let memory = self.memory();
        let mut unwinder = Unwinder::new(&modules);
        let threads = self.captured.snapshot.threads.iter();
        threads
            .map(|thread| {
                let stack = unwinder
                    .walk(&Registers::from(&thread.registers), |address, buffer| memory.read(address, buffer).map_err(Box::new));
                assert!(stack.end.is_complete(), "{:?}", stack.end);
                (thread.tid, stack.frames)
            })
            .collect()
    }

    pub fn stacks<'a>(&self, unwound: &'a [(i32, Vec<Frame>)]) -> Vec<ThreadStack<'a>> {
        unwound.iter().map(|(tid, frames)| ThreadStack { tid: *tid, frames }).collect()
    }

    /// What a walk looks at.
    pub fn walk<'a>(&'a self, memory: &'a Memory<'a>, heap: &'a HeapView, interest: &'a dyn Interest) -> walk::Scene<'a> {
        let module = &self.captured.snapshot.modules[0];
        walk::Scene {
            build: &self.build,
            bias: module.bias.0,
            program: module.range,
            snapshot: &self.captured.snapshot,
            memory,
            heap,
            stacks: &[],
            system: &self.system,
            interest,
        }
    }

    pub fn heap(&self) -> HeapView {
        heap::read(&self.captured.snapshot, &self.build.elf, &self.loaded(), &self.memory())
    }
}

/// The stopped process's memory.
pub struct Memory<'a> {
    memory: &'a RemoteMemory,
    own_pages: &'a [RunRange],
}

impl MemorySource for Memory<'_> {
    fn own_pages(&self) -> &[RunRange] {
        self.own_pages
    }

    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = buffer.len();
        self.memory.read_fast(address, buffer).map_err(|source| SourceError { address, length, source: Box::new(source) })
    }
}

fn facts() -> Facts {
    let program = ProgramId { path: Vec::new(), build_id: None, device: 0, inode: 0, size: 0, mtime_ns: 0, deleted: false };
    let host = Host {
        hostname: String::new(),
        kernel: String::new(),
        vdso_crc: 0,
        vdso_len: 0,
        xfeatures: 0,
        cpu: String::new(),
        hwcap: [0; 2],
    };
    Facts { program, host }
}
