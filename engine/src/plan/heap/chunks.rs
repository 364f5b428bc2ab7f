//! The walk over the chunks of one run of heap memory, by their size fields.

use dsu_formats::address::RunAddress;

use super::blocks::{ALIGNMENT, HEADER, MINIMUM, Run};
use super::defect::HeapDefect;
use crate::plan::source::{MemorySource, word_in};

/// Bits of a chunk's size field: the chunk before is in use; a mapping of its own; of an arena that is not the main one.
const PREVIOUS_IN_USE: u64 = 1;
pub(super) const IS_MAPPED: u64 = 2;
const NOT_MAIN: u64 = 4;
pub(super) const FLAGS: u64 = 7;

/// Bytes read at a time: chunks are small, and what lies behind a large one may never be asked for.
const PIECE: u64 = 256 << 10;

/// What a walk gave.
pub(super) struct Walked {
    /// The chunks.
    pub(super) run: Run,
    /// Behind the top chunk or the fence.
    pub(super) end: u64,
    /// Whether it ended at the top chunk.
    pub(super) is_top: bool,
}

/// Walks from the header at `start` to the top chunk, if that is `top`, or to a fence; never beyond `limit`.
pub(super) fn walk(arena: u16, start: u64, limit: u64, top: u64, memory: &dyn MemorySource) -> Result<Walked, HeapDefect> {
    let mut run = Run::new(arena, start, if (start..limit).contains(&top) { top } else { limit });
    let mut window = Window { memory, start: 0, bytes: Vec::new(), limit };
    let mut at = start;
    // Header of the chunk before, where it is in a bin.
    let mut previous = Previous::None;
    loop {
        let (before, field) = window.header(at)?;
        let size = field & !FLAGS;
        let odd = |what, found| Err(HeapDefect::Chunk { address: RunAddress(at), what, found });
        let in_use = field & PREVIOUS_IN_USE != 0;
        match previous {
            Previous::Chunk { header, size, was_after_free, .. } if !in_use => {
                if before != size {
                    return odd("the size of the free chunk before differs", before);
                }
                if was_after_free {
                    return odd("two free chunks side by side", header);
                }
                run.free(header);
            }
            Previous::None if !in_use => return odd("the first chunk says that one before it is free", field),
            Previous::Chunk { field, header, .. } if (field & NOT_MAIN != 0) != (arena != 0) => {
                return Err(HeapDefect::Chunk {
                    address: RunAddress(header),
                    what: "it says to be of another arena",
                    found: field,
                });
            }
            Previous::None | Previous::Chunk { .. } => {}
        }
        if at == top {
            let end = at.wrapping_add(size);
            if size < HEADER || !in_use || end > limit || !size.is_multiple_of(ALIGNMENT) {
                return odd("the top chunk's size", field);
            }
            return Ok(Walked { run: run.ended(at), end, is_top: true });
        }
        if size == HEADER {
            let second = window.header(at + HEADER)?.1;
            if second & !FLAGS > HEADER {
                return odd("a fence that is none", second);
            }
            return Ok(Walked { run: run.ended(at), end: at + 2 * HEADER, is_top: false });
        }
        if size < MINIMUM || !size.is_multiple_of(ALIGNMENT) || field & IS_MAPPED != 0 || size >= limit - at {
            return odd("its size", field);
        }
        run.chunk(at);
        previous = Previous::Chunk { header: at, size, field, was_after_free: !in_use };
        at += size;
    }
}

enum Previous {
    None,
    Chunk { header: u64, size: u64, field: u64, was_after_free: bool },
}

/// Memory read piece by piece in ascending order.
struct Window<'a> {
    memory: &'a dyn MemorySource,
    start: u64,
    bytes: Vec<u8>,
    limit: u64,
}

impl Window<'_> {
    /// The two words of the header at `address`.
    fn header(&mut self, address: u64) -> Result<(u64, u64), HeapDefect> {
        let mut at = address.wrapping_sub(self.start) as usize;
        if address < self.start || at.saturating_add(HEADER as usize) > self.bytes.len() {
            let length = self.limit.saturating_sub(address).min(PIECE);
            self.bytes.resize(length as usize, 0);
            self.memory.read(RunAddress(address), &mut self.bytes)?;
            (self.start, at) = (address, 0);
        }
        let words = (word_in(&self.bytes, at), word_in(&self.bytes, at + 8));
        let (Some(before), Some(field)) = words else {
            return Err(HeapDefect::Chunk {
                address: RunAddress(address),
                what: "it is behind the end of its arena",
                found: self.limit,
            });
        };
        Ok((before, field))
    }
}
