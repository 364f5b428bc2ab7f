//! The page store while it is written: raw pages at their place in the file, and their checksums.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crc32fast::Hasher;

use super::header::HEADER_LEN;
use crate::address::PAGE_SIZE;

/// Pages of the page store that share a checksum.
pub const PAGES_PER_CHUNK: u64 = 256;

/// Bytes of a whole chunk.
pub(super) const CHUNK_LEN: usize = (PAGES_PER_CHUNK * PAGE_SIZE) as usize;

/// Writes pages one after the other from the end of the header block on.
#[derive(Default)]
pub(super) struct StoreWriter {
    pages: u64,
    checksums: Vec<u8>,
    chunk: Hasher,
    whole: Hasher,
}

/// What is recorded of a finished page store.
pub(super) struct FinishedStore {
    /// Length in bytes.
    pub(super) len: u64,
    /// CRC32 of all pages.
    pub(super) crc: u32,
    /// The section of checksums.
    pub(super) checksums: Vec<u8>,
}

impl StoreWriter {
    /// Number of pages written.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Writes whole pages; after an error nothing of them counts.
    pub(super) fn append(&mut self, file: &File, pages: &[u8]) -> io::Result<()> {
        file.write_all_at(pages, HEADER_LEN + self.pages * PAGE_SIZE)?;
        let mut rest = pages;
        while !rest.is_empty() {
            let room = CHUNK_LEN - (self.pages % PAGES_PER_CHUNK * PAGE_SIZE) as usize;
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.chunk.update(now);
            self.pages += now.len() as u64 / PAGE_SIZE;
            if self.pages.is_multiple_of(PAGES_PER_CHUNK) {
                self.end_chunk();
            }
            rest = later;
        }
        Ok(())
    }

    /// Ends the last chunk.
    pub(super) fn finish(mut self) -> FinishedStore {
        if !self.pages.is_multiple_of(PAGES_PER_CHUNK) {
            self.end_chunk();
        }
        FinishedStore { len: self.pages * PAGE_SIZE, crc: self.whole.finalize(), checksums: self.checksums }
    }

    fn end_chunk(&mut self) {
        let chunk = std::mem::take(&mut self.chunk);
        self.whole.combine(&chunk);
        self.checksums.extend_from_slice(&chunk.finalize().to_le_bytes());
    }
}
