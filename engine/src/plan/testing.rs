//! Memory for tests: pages made up from bytes, and this very process.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::spec::Spec;

use super::address::{NewLink, OldLink, Placement};
use super::compare::Comparison;
use super::pointers::{Fates, Pointers};
use super::source::{MemorySource, SourceError};
use crate::program::build::{Build, DebugSearch};
use crate::program::testing::Compiled;

/// Where tests pretend that the old and the new program are.
pub(crate) const OLD_BIAS: u64 = 0x5555_0000_0000;
pub(crate) const NEW_BIAS: u64 = 0x5554_0000_0000;

/// Two programs compiled from two sources, compared.
pub(crate) struct Pair {
    pub(crate) old: Build,
    pub(crate) new: Build,
    pub(crate) comparison: Comparison,
    pub(crate) fates: Fates,
    _files: [Compiled; 2],
}

/// Compiles and compares two programs; no variable's value is carried.
pub(crate) fn pair(old: &str, new: &str) -> Pair {
    answered(old, new, "").expect("no answer is wrong")
}

/// As [`pair`], with the user's answers.
pub(crate) fn answered(old: &str, new: &str, spec: &str) -> Result<Pair, String> {
    let spec = Spec::parse(std::path::Path::new("u.toml"), spec).map_err(|error| error.to_string())?;
    let flags = ["-g", "-O1", "-fno-toplevel-reorder"];
    let files = [old, new].map(|source| Compiled::new("program", source, &flags));
    let open = |file: &Compiled| Build::open(&file.path, &DebugSearch::default()).expect("a compiler's output opens");
    let (old, new) = (open(&files[0]), open(&files[1]));
    let comparison = Comparison::answered(&old, &new, &spec).map_err(|error| error.to_string())?;
    let carried = vec![false; comparison.sides.old.objects.list().len()];
    Ok(Pair { old, new, comparison, fates: Fates { carried, ..Fates::default() }, _files: files })
}

impl Pair {
    pub(crate) fn placement(&self) -> Placement {
        Placement::new(OLD_BIAS, self.old.elf.load_range(), NEW_BIAS, self.new.elf.load_range(), 0x1000)
    }

    pub(crate) fn pointers(&self) -> Pointers<'_> {
        Pointers { view: self.comparison.view(&self.old, &self.new), placement: self.placement(), fates: &self.fates }
    }

    pub(crate) fn old_symbol(&self, name: &str) -> OldLink {
        OldLink(self.old.elf.symbols_named(name).next().unwrap_or_else(|| panic!("no {name}")).address)
    }

    pub(crate) fn new_symbol(&self, name: &str) -> NewLink {
        NewLink(self.new.elf.symbols_named(name).next().unwrap_or_else(|| panic!("no {name}")).address)
    }

    /// Run-time address of a symbol of the old program.
    pub(crate) fn old_run(&self, name: &str) -> u64 {
        self.placement().old_run(self.old_symbol(name)).0.0
    }

    /// Run-time address of a symbol of the new program.
    pub(crate) fn new_run(&self, name: &str) -> u64 {
        self.placement().new_run(self.new_symbol(name)).0.0
    }
}

/// Link-time address of a string in `.rodata`.
pub(crate) fn find_string(build: &Build, text: &str) -> Option<u64> {
    let rodata = build.elf.section(".rodata")?;
    let bytes = build.elf.file_bytes(rodata.address, rodata.size)?;
    let sought: Vec<u8> = text.bytes().chain([0]).collect();
    Some(rodata.address.0 + bytes.windows(sought.len()).position(|window| window == sought)? as u64)
}

/// Memory that a test lays out.
#[derive(Debug, Default)]
pub(crate) struct FakeMemory {
    pages: BTreeMap<u64, Vec<u8>>,
    own: Vec<RunRange>,
}

impl FakeMemory {
    /// Puts `bytes` at `address`; the pages count as own pages.
    pub(crate) fn put(&mut self, address: u64, bytes: &[u8]) {
        for (at, byte) in (address..).zip(bytes) {
            let page = self.pages.entry(at & !(PAGE_SIZE - 1)).or_insert_with(|| vec![0; PAGE_SIZE as usize]);
            page[(at % PAGE_SIZE) as usize] = *byte;
        }
        self.own = Vec::new();
        for start in self.pages.keys() {
            match self.own.last_mut() {
                Some(last) if last.end.0 == *start => last.end.0 += PAGE_SIZE,
                _ => self.own.push(RunRange::new(*start, start + PAGE_SIZE)),
            }
        }
    }

    /// Puts a word at `address`.
    pub(crate) fn put_word(&mut self, address: u64, word: u64) {
        self.put(address, &word.to_le_bytes());
    }
}

impl MemorySource for FakeMemory {
    fn own_pages(&self) -> &[RunRange] {
        &self.own
    }

    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = buffer.len();
        for (at, byte) in (address.0..).zip(buffer) {
            let page = self.pages.get(&(at & !(PAGE_SIZE - 1)));
            *byte =
                page.ok_or_else(|| SourceError { address, length, source: "no such page".into() })?[(at % PAGE_SIZE) as usize];
        }
        Ok(())
    }
}

/// The memory of the test itself: a real loader's work to read.
#[derive(Debug)]
pub(crate) struct SelfMemory {
    file: std::fs::File,
}

impl SelfMemory {
    pub(crate) fn open() -> Self {
        Self { file: std::fs::File::open("/proc/self/mem").expect("own memory") }
    }
}

impl MemorySource for SelfMemory {
    fn own_pages(&self) -> &[RunRange] {
        &[]
    }

    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = buffer.len();
        self.file.read_exact_at(buffer, address.0).map_err(|source| SourceError { address, length, source: source.into() })
    }
}
