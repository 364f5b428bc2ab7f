//! Memory that is read in ascending order, many objects at a time.

use dsu_formats::address::RunAddress;

use crate::plan::source::{MemorySource, SourceError};

/// Bytes that are read ahead.
const AHEAD: u64 = 256 << 10;

/// A stretch of memory.
pub(crate) struct Window<'m> {
    memory: &'m dyn MemorySource,
    start: u64,
    bytes: Vec<u8>,
    /// End of what can be read, where reading ahead has failed.
    barrier: u64,
}

impl<'m> Window<'m> {
    pub(crate) fn new(memory: &'m dyn MemorySource) -> Self {
        Self { memory, start: 0, bytes: Vec::new(), barrier: 0 }
    }

    /// `length` bytes from `address` on.
    pub(crate) fn read(&mut self, address: RunAddress, length: u64) -> Result<&[u8], SourceError> {
        if !self.holds(address.0, length) {
            self.load(address, length)?;
        }
        let skip = address.0.saturating_sub(self.start) as usize;
        let end = skip.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        let missing = || SourceError { address, length: length as usize, source: "the object is too long".into() };
        self.bytes.get(skip..end).ok_or_else(missing)
    }

    fn holds(&self, address: u64, length: u64) -> bool {
        let end = self.start.saturating_add(self.bytes.len() as u64);
        address >= self.start && address.saturating_add(length) <= end
    }

    fn load(&mut self, address: RunAddress, length: u64) -> Result<(), SourceError> {
        self.start = address.0;
        // Up to where reading has failed, nothing is tried in vain again.
        let ahead = if address.0 < self.barrier { 0 } else { AHEAD };
        if ahead > length {
            self.bytes.resize(ahead as usize, 0);
            if self.memory.read(address, &mut self.bytes).is_ok() {
                return Ok(());
            }
            self.barrier = address.0.saturating_add(ahead);
        }
        self.bytes.resize(usize::try_from(length).unwrap_or(0), 0);
        let read = self.memory.read(address, &mut self.bytes);
        if read.is_err() {
            self.bytes.clear();
        }
        read
    }
}
