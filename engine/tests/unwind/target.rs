//! A traced child and what the unwinder needs of it, read through `/proc` and ptrace.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;

use dsu_engine::program::elf::Elf;
use dsu_engine::program::unwind::{LoadedModule, Registers, Stack, UnwindIndex, Unwinder, dwarf};
use dsu_formats::address::{RunAddress, RunRange};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A mapped module with its symbols.
pub struct Module {
    pub path: String,
    pub elf: Elf,
    pub bias: u64,
}

/// The child, killed and reaped when dropped.
pub struct Target {
    child: Child,
    memory: std::fs::File,
    /// The thread that stopped.
    pub thread: Pid,
    pub modules: Vec<Module>,
    pub loaded: Vec<LoadedModule>,
}

/// Compiles the C program beside this file with the given flags.
pub fn compile(directory: &Path, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/unwind/stops.c");
    let output = directory.join("stops");
    let status = Command::new("cc").args(flags).args(["-pthread", "-o"]).arg(&output).arg(source).status();
    assert!(status.expect("cc runs").success());
    output
}

impl Target {
    /// Starts `program WHAT` and waits until a thread of it has stopped itself.
    pub fn stopped(program: &Path, what: &str) -> Self {
        let child = Command::new(program).arg(what).spawn().expect("the program starts");
        let pid = Pid::from_raw(child.id() as i32);
        let memory = std::fs::File::open(format!("/proc/{pid}/mem")).expect("memory");
        let mut target = Self { child, memory, thread: pid, modules: Vec::new(), loaded: Vec::new() };
        target.thread = target.wait();
        target.map_modules(pid);
        target
    }

    /// Waits for a child of this thread (tests run side by side) to stop with SIGSTOP.
    fn wait(&self) -> Pid {
        match waitpid(None::<Pid>, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).expect("a child stops") {
            WaitStatus::Stopped(thread, Signal::SIGSTOP) => thread,
            other => panic!("expected the program to stop itself, found {other:?}"),
        }
    }

    fn map_modules(&mut self, pid: Pid) {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps");
        let mut ranges: Vec<(String, u64, u64)> = Vec::new();
        for line in maps.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [span, _, _, _, _, path] = fields[..] else { continue };
            let (start, end) = span.split_once('-').expect("a range");
            let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
            match ranges.iter_mut().find(|(known, ..)| known == path) {
                Some(known) => known.2 = end,
                None => ranges.push((path.to_owned(), start, end)),
            }
        }
        for (path, start, end) in ranges.into_iter().filter(|(path, ..)| path.starts_with('/') || path == "[vdso]") {
            let bytes = match path.as_str() {
                "[vdso]" => {
                    let mut bytes = vec![0; (end - start) as usize];
                    self.memory.read_exact_at(&mut bytes, start).expect("the vdso is readable");
                    bytes
                }
                path => std::fs::read(path).expect("a mapped file"),
            };
            let Ok(elf) = Elf::parse(bytes.into()) else { continue };
            let first = elf.loads().next().expect("a segment").address.0;
            let bias = start.wrapping_sub(first & !4095);
            let unwind = Arc::new(UnwindIndex::new(&elf));
            assert_eq!(unwind.defects(), [], "{path}");
            let range = RunRange::new(start, end);
            self.loaded.push(LoadedModule { range, bias, unwind });
            self.modules.push(Module { path, elf, bias });
        }
    }

    pub fn registers(&self) -> Registers {
        let r = ptrace::getregs(self.thread).expect("registers of a stopped thread");
        let mut general = [0; 16];
        for (number, value) in [
            (dwarf::RAX, r.rax),
            (dwarf::RDX, r.rdx),
            (dwarf::RCX, r.rcx),
            (dwarf::RBX, r.rbx),
            (dwarf::RSI, r.rsi),
            (dwarf::RDI, r.rdi),
            (dwarf::RBP, r.rbp),
            (dwarf::RSP, r.rsp),
            (dwarf::R8, r.r8),
            (dwarf::R9, r.r9),
            (dwarf::R10, r.r10),
            (dwarf::R11, r.r11),
            (dwarf::R12, r.r12),
            (dwarf::R13, r.r13),
            (dwarf::R14, r.r14),
            (dwarf::R15, r.r15),
        ] {
            general[number] = value;
        }
        Registers { general, pc: RunAddress(r.rip) }
    }

    pub fn unwinder(&self) -> Unwinder<'_, [LoadedModule]> {
        Unwinder::new(&self.loaded[..])
    }

    pub fn read(&self, address: RunAddress, buffer: &mut [u8]) -> std::io::Result<()> {
        self.memory.read_exact_at(buffer, address.0)
    }

    pub fn walk(&self) -> Stack {
        self.unwinder().walk(&self.registers(), |address, buffer| self.read(address, buffer))
    }

    /// The function that holds a run-time address, or its module's file name where there is no symbol.
    pub fn function(&self, address: RunAddress) -> String {
        let Some(index) = self.loaded.iter().position(|module| module.range.contains(address)) else {
            return format!("{address}");
        };
        let module = &self.modules[index];
        let link = address.0.wrapping_sub(module.bias);
        let named = |start: u64, size: u64| link >= start && link - start < size.max(1);
        let local = module.elf.symbols.iter().find(|s| s.is_code() && named(s.address.0, s.size)).map(|s| s.name.clone());
        let exported = || {
            let symbols = module.elf.dynamic_symbols.iter();
            symbols.filter(|s| s.defined && s.kind == 2).find(|s| named(s.address.0, s.size)).map(|s| s.name.clone())
        };
        let file = || Path::new(&module.path).file_name().map(|name| name.to_string_lossy().into_owned());
        local.or_else(exported).or_else(file).unwrap_or_default()
    }

    /// Function names by frame, innermost first.
    pub fn functions(&self, stack: &Stack) -> Vec<String> {
        stack.frames.iter().map(|frame| self.function(frame.lookup)).collect()
    }

    /// Which module an address is in.
    pub fn module_path(&self, address: RunAddress) -> Option<&str> {
        let index = self.loaded.iter().position(|module| module.range.contains(address))?;
        Some(&self.modules[index].path)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        // A traced thread is reaped like a child, and the process only after it.
        while waitpid(None::<Pid>, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).is_ok() {}
    }
}
