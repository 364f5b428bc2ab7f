//! Memory of a stopped process, as the planner reads it.

use dsu_formats::address::{RunAddress, RunRange};

use crate::plan::source::{MemorySource, SourceError};
use crate::tracee::memory::RemoteMemory;

/// A stopped process's memory and the pages of it that are its own.
#[derive(Debug)]
pub struct StoppedMemory<'a> {
    memory: &'a RemoteMemory,
    own_pages: &'a [RunRange],
    shared_pages: &'a [RunRange],
}

impl<'a> StoppedMemory<'a> {
    /// Memory of a process that stays stopped as long as the value lives.
    pub fn new(memory: &'a RemoteMemory, own_pages: &'a [RunRange], shared_pages: &'a [RunRange]) -> Self {
        Self { memory, own_pages, shared_pages }
    }
}

impl MemorySource for StoppedMemory<'_> {
    fn own_pages(&self) -> &[RunRange] {
        self.own_pages
    }

    fn shared_pages(&self) -> &[RunRange] {
        self.shared_pages
    }

    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError> {
        let length = buffer.len();
        self.memory.read_fast(address, buffer).map_err(|source| SourceError { address, length, source: Box::new(source) })
    }
}
