//! Where the planner reads the memory of the process from: an image file, or a stopped process behind this trait.

use dsu_formats::address::{RunAddress, RunRange};

/// Memory of one address space as it was at the stop.
pub trait MemorySource: Sync {
    /// Ranges of private pages that have bytes of their own (written to, or copied on write), ascending, page aligned.
    fn own_pages(&self) -> &[RunRange];

    /// Pages of memory without a file that the process shares: each page once, in one of its mappings.
    fn shared_pages(&self) -> &[RunRange] {
        &[]
    }

    /// Fills `buffer` from `address` on; pages of files and untouched pages can be read as well.
    fn read(&self, address: RunAddress, buffer: &mut [u8]) -> Result<(), SourceError>;
}

/// One little-endian word.
///
/// # Errors
/// What [`MemorySource::read`] says.
pub fn read_word(memory: &dyn MemorySource, address: RunAddress) -> Result<u64, SourceError> {
    let mut word = [0; 8];
    memory.read(address, &mut word)?;
    Ok(u64::from_le_bytes(word))
}

/// `length` bytes from `address` on.
///
/// # Errors
/// What [`MemorySource::read`] says.
pub fn read_bytes(memory: &dyn MemorySource, address: RunAddress, length: usize) -> Result<Vec<u8>, SourceError> {
    let mut bytes = vec![0; length];
    memory.read(address, &mut bytes)?;
    Ok(bytes)
}

/// The little-endian word at offset `at` of `bytes`.
pub fn word_in(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Memory could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {length} bytes at {address}")]
pub struct SourceError {
    /// First address.
    pub address: RunAddress,
    /// Length in bytes.
    pub length: usize,
    /// Cause.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}
