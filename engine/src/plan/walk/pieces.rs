//! Memory read in large pieces and kept: objects lie side by side, and each read may be a system call.

use std::collections::HashMap;

use dsu_formats::address::{PAGE_SIZE, RunAddress};

use crate::plan::source::MemorySource;

/// Bytes of a piece.
const PIECE: u64 = 64 << 10;
/// Pieces that are set aside at a time. The C library gives back at once what is so large; before that it takes no memory but for the
/// pieces that are there.
const SLAB: usize = 1024;
/// Pieces kept, 1 GiB; beyond, all are forgotten. Lists lead back and forth, so that what is forgotten is soon read again.
const LIMIT: usize = 1 << 14;

/// Pieces of memory by address.
pub(super) struct Pieces<'a> {
    memory: &'a dyn MemorySource,
    index: HashMap<u64, u32, Multiply>,
    /// Of each piece which pages could be read.
    pages: Vec<u16>,
    slabs: Vec<Vec<u8>>,
    last: (u64, u32),
    /// What lies across pieces.
    joined: Vec<u8>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(memory: &'a dyn MemorySource) -> Self {
        Self { memory, index: HashMap::default(), pages: Vec::new(), slabs: Vec::new(), last: (u64::MAX, 0), joined: Vec::new() }
    }

    /// `length` bytes from `address` on; `None` where not all of them can be read.
    pub(super) fn bytes(&mut self, address: u64, length: u64) -> Option<&[u8]> {
        let skip = address % PIECE;
        if length <= PIECE - skip {
            let piece = self.piece(address - skip);
            return self.get(piece, skip, length);
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        let mut at = address;
        let end = address.checked_add(length)?;
        while at < end {
            let skip = at % PIECE;
            let part = (PIECE - skip).min(end - at);
            let piece = self.piece(at - skip);
            joined.extend_from_slice(self.get(piece, skip, part)?);
            at += part;
        }
        self.joined = joined;
        Some(&self.joined)
    }

    /// The word at `address`.
    pub(super) fn word(&mut self, address: u64) -> Option<u64> {
        self.bytes(address, 8).and_then(|bytes| bytes.first_chunk()).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// Has what is kept of these addresses at hand. They lie all over the memory, and loads that do not wait for each other take hardly
    /// longer than one.
    pub(super) fn touch(&self, addresses: impl Iterator<Item = u64>) {
        let byte = |address: u64| {
            let skip = address % PIECE;
            let piece = *self.index.get(&(address - skip))? as usize;
            self.slabs.get(piece / SLAB)?.get(place(piece, skip, 1).start).copied()
        };
        std::hint::black_box(addresses.filter_map(byte).fold(0, std::ops::BitXor::bitxor));
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
        if self.pages.len() >= LIMIT {
            self.pages.clear();
            self.index.clear();
        }
        let at = self.pages.len();
        if at / SLAB >= self.slabs.len() {
            self.slabs.push(vec![0; SLAB * PIECE as usize]);
        }
        let mut pages = u16::MAX;
        let bytes = self.slabs.get_mut(at / SLAB).and_then(|slab| slab.get_mut(place(at, 0, PIECE))).unwrap_or_default();
        if self.memory.read(RunAddress(start), bytes).is_err() {
            pages = 0;
            for (number, page) in bytes.chunks_mut(PAGE_SIZE as usize).enumerate() {
                let address = RunAddress(start + number as u64 * PAGE_SIZE);
                pages |= u16::from(self.memory.read(address, page).is_ok()) << number;
            }
        }
        self.pages.push(pages);
        self.index.insert(start, at as u32);
        at as u32
    }

    fn get(&self, piece: usize, skip: u64, length: u64) -> Option<&[u8]> {
        let read = *self.pages.get(piece)?;
        let mut pages = skip / PAGE_SIZE..skip.saturating_add(length.max(1)).div_ceil(PAGE_SIZE);
        let all = pages.all(|page| read >> page & 1 != 0);
        all.then(|| self.slabs.get(piece / SLAB)?.get(place(piece, skip, length))).flatten()
    }

    /// Forgets all that was read and gives its memory back.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.memory);
    }
}

/// Bytes of a piece in its slab.
fn place(piece: usize, skip: u64, length: u64) -> std::ops::Range<usize> {
    let start = piece % SLAB * PIECE as usize + skip as usize;
    start..start + length as usize
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
