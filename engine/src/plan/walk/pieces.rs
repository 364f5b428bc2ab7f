//! Memory read in large pieces and kept: objects lie side by side, and each read may be a system call.

use std::collections::HashMap;

use dsu_formats::address::{PAGE_SIZE, RunAddress};

use crate::plan::source::MemorySource;

/// Bytes of a piece.
const PIECE: u64 = 64 << 10;
/// Pieces kept; beyond, all are forgotten.
const LIMIT: usize = 4096;

/// Pieces of memory by address.
pub(super) struct Pieces<'a> {
    memory: &'a dyn MemorySource,
    index: HashMap<u64, u32, Multiply>,
    pieces: Vec<Piece>,
    last: (u64, u32),
    /// What lies across pieces.
    joined: Vec<u8>,
}

struct Piece {
    bytes: Box<[u8]>,
    /// Which pages could be read.
    pages: u16,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(memory: &'a dyn MemorySource) -> Self {
        Self { memory, index: HashMap::default(), pieces: Vec::new(), last: (u64::MAX, 0), joined: Vec::new() }
    }

    /// `length` bytes from `address` on; `None` where not all of them can be read.
    pub(super) fn bytes(&mut self, address: u64, length: u64) -> Option<&[u8]> {
        let skip = address % PIECE;
        if length <= PIECE - skip {
            let piece = self.piece(address - skip);
            let piece = self.pieces.get(piece)?;
            return piece.get(skip, length);
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        let mut at = address;
        let end = address.checked_add(length)?;
        while at < end {
            let skip = at % PIECE;
            let part = (PIECE - skip).min(end - at);
            let piece = self.piece(at - skip);
            joined.extend_from_slice(self.pieces.get(piece)?.get(skip, part)?);
            at += part;
        }
        self.joined = joined;
        Some(&self.joined)
    }

    /// The word at `address`.
    pub(super) fn word(&mut self, address: u64) -> Option<u64> {
        self.bytes(address, 8).and_then(|bytes| bytes.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes))
    }

    fn piece(&mut self, start: u64) -> usize {
        if self.last.0 == start {
            return self.last.1 as usize;
        }
        let at = match self.index.get(&start) {
            Some(at) => *at,
            None => self.load(start),
        };
        self.last = (start, at);
        at as usize
    }

    fn load(&mut self, start: u64) -> u32 {
        if self.pieces.len() >= LIMIT {
            self.pieces.clear();
            self.index.clear();
        }
        let mut bytes = vec![0; PIECE as usize].into_boxed_slice();
        let mut pages = u16::MAX;
        if self.memory.read(RunAddress(start), &mut bytes).is_err() {
            pages = 0;
            for (number, page) in bytes.chunks_mut(PAGE_SIZE as usize).enumerate() {
                let address = RunAddress(start + number as u64 * PAGE_SIZE);
                pages |= u16::from(self.memory.read(address, page).is_ok()) << number;
            }
        }
        let at = self.pieces.len() as u32;
        self.pieces.push(Piece { bytes, pages });
        self.index.insert(start, at);
        at
    }
}

impl Piece {
    fn get(&self, skip: u64, length: u64) -> Option<&[u8]> {
        let pages = skip / PAGE_SIZE..skip.saturating_add(length.max(1)).div_ceil(PAGE_SIZE);
        let all = pages.clone().all(|page| self.pages >> page & 1 != 0);
        all.then(|| self.bytes.get(skip as usize..(skip + length) as usize)).flatten()
    }
}

/// A hash of addresses by one multiplication: they come from the process, but only a process that works against its own update
/// could make them collide.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Multiply;

/// State of [`Multiply`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Multiplied(u64);

impl std::hash::BuildHasher for Multiply {
    type Hasher = Multiplied;

    fn build_hasher(&self) -> Multiplied {
        Multiplied(0)
    }
}

impl std::hash::Hasher for Multiplied {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64((*byte).into());
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(29) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
