//! Memory for tests: pages made up from bytes, and this very process.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use super::source::{MemorySource, SourceError};

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
