//! All blocks of a heap by address, in a bit or two for each 16 bytes.

use std::fmt;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use super::arena;
use super::bitmap::Bitmap;
use super::defect::HeapDefect;

/// Chunks and what they give out are aligned to this (MALLOC_ALIGNMENT).
pub(super) const ALIGNMENT: u64 = 16;
/// What a chunk's header takes before the block (CHUNK_HDR_SZ).
pub(super) const HEADER: u64 = 16;
/// Smallest chunk (MINSIZE).
pub(super) const MINIMUM: u64 = 32;

/// What rounding adds to a request is less than this many bytes: see [`Block::slack`].
pub const SLACK: u64 = ALIGNMENT + MINIMUM;

/// Position of a block in the heap's order by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockIndex(pub u32);

/// Whether the program has a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The program has it.
    InUse,
    /// The allocator has it: in a bin, a fast bin, or a thread's cache.
    Free,
    /// The allocator keeps records of its own in it.
    Own,
}

/// What `malloc` gave out, or may give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What `malloc` returned.
    pub address: RunAddress,
    /// `malloc_usable_size`: what was asked for and what rounding added, in bytes.
    pub usable: u64,
    /// Position of its arena in [`Heap::arenas`]; `None` where it has a mapping of its own.
    pub arena: Option<u16>,
    /// Who has it.
    pub state: State,
}

impl Block {
    /// Its bytes.
    pub fn range(&self) -> RunRange {
        RunRange::new(self.address.0, self.address.0.saturating_add(self.usable))
    }

    /// More than rounding can add to a request: of `n` bytes asked for, `n <= usable < n + slack`. Rounding to 16 adds up to 15, a
    /// remainder too small for a chunk of its own another 16, one behind an aligned block 32 (`_int_malloc`, `_int_memalign`).
    pub fn slack(&self) -> u64 {
        if self.arena.is_some() { SLACK } else { PAGE_SIZE + ALIGNMENT }
    }
}

/// Blocks that lie side by side.
pub(super) struct Segment {
    /// The first block's address.
    start: u64,
    /// Behind the last block's chunk.
    end: u64,
    arena: Option<u16>,
    /// Bytes at a block's end that belong to nobody: the next chunk's size, or for a mapping of its own nothing.
    tail: u64,
    starts: Bitmap,
    free: Bitmap,
    /// Blocks in the segments before.
    first: u32,
}

/// A heap that was read.
#[derive(Default)]
pub struct Heap {
    /// Ascending, none overlapping.
    segments: Vec<Segment>,
    arenas: Vec<RunAddress>,
    count: u32,
    own: Vec<u32>,
    /// The allocator's records in the C library's data.
    records: Vec<RunRange>,
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("blocks", &self.count).field("arenas", &self.arenas).finish_non_exhaustive()
    }
}

impl Heap {
    /// Number of blocks, free ones included.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no block.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Addresses of the arenas, the main arena's first.
    pub fn arenas(&self) -> &[RunAddress] {
        &self.arenas
    }

    /// Whether the words at `address` are the allocator's: its records, or what it keeps in blocks that nobody has. They name chunks by
    /// their headers, which begin within the block before.
    pub fn is_allocators(&self, address: RunAddress) -> bool {
        let is_record = |arena: &RunAddress| (arena.0..arena.0.saturating_add(arena::SIZE as u64)).contains(&address.0);
        self.arenas.iter().any(is_record) || self.block_of(address).is_some_and(|(_, block)| block.state != State::InUse)
    }

    /// The block that holds `address`; `None` for headers, for the allocator's spare room and outside the heap.
    pub fn block_of(&self, address: RunAddress) -> Option<(BlockIndex, Block)> {
        let segment = self.segments.get(self.segments.partition_point(|segment| segment.start <= address.0).checked_sub(1)?)?;
        let skip = address.0 - segment.start;
        let position = segment.starts.last_up_to((skip / ALIGNMENT) as usize)?;
        let block = self.at(segment, position);
        let inside = address.0 < block.0.0.saturating_add(block.1);
        inside.then(|| {
            let index = BlockIndex(segment.first + segment.starts.rank(position));
            (index, self.describe(segment, position, index, block))
        })
    }

    /// The block at a position.
    pub fn block(&self, index: BlockIndex) -> Option<Block> {
        let at = self.segments.partition_point(|segment| segment.first <= index.0).checked_sub(1)?;
        let segment = self.segments.get(at)?;
        let position = segment.starts.select(index.0 - segment.first)?;
        Some(self.describe(segment, position, index, self.at(segment, position)))
    }

    /// All blocks, ascending by address.
    pub fn blocks(&self) -> impl Iterator<Item = (BlockIndex, Block)> {
        self.segments.iter().flat_map(move |segment| {
            let mut next = segment.starts.last_up_to(0);
            let mut index = segment.first;
            std::iter::from_fn(move || {
                let position = next?;
                next = segment.starts.next_after(position);
                let number = BlockIndex(index);
                index += 1;
                Some((number, self.describe(segment, position, number, self.at(segment, position))))
            })
        })
    }

    /// Whether chunks lie in `range`.
    pub fn overlaps(&self, range: RunRange) -> bool {
        let at = self.segments.partition_point(|segment| segment.end <= range.start.0);
        self.segments.get(at).is_some_and(|segment| segment.start < range.end.0)
    }

    /// Whether `address` lies where chunks are, be it in a block or not.
    pub fn covers(&self, address: RunAddress) -> bool {
        let at = self.segments.partition_point(|segment| segment.start <= address.0.saturating_add(HEADER));
        at.checked_sub(1).and_then(|at| self.segments.get(at)).is_some_and(|segment| address.0 < segment.end)
    }

    /// Whether `address` lies behind the last block of a heap and still in it: in the program break, whose extent is given, or in the
    /// rest of an arena's own.
    pub fn ends_before(&self, address: RunAddress, program_break: RunRange) -> bool {
        let at = self.segments.partition_point(|segment| segment.start <= address.0);
        let Some(segment) = at.checked_sub(1).and_then(|at| self.segments.get(at)) else { return false };
        let both = |range: RunRange| range.contains(address) && range.contains(RunAddress(segment.start));
        let first = segment.start & !(super::regions::HEAP_LIMIT - 1);
        let own = RunRange::new(first, first.saturating_add(super::regions::HEAP_LIMIT));
        match segment.arena {
            None => false,
            Some(0) => both(program_break),
            Some(_) => both(own),
        }
    }

    fn at(&self, segment: &Segment, position: usize) -> (RunAddress, u64) {
        let start = segment.start + position as u64 * ALIGNMENT;
        let end =
            segment.starts.next_after(position).map_or(segment.end, |next| segment.start + next as u64 * ALIGNMENT - HEADER);
        (RunAddress(start), end.saturating_sub(start).saturating_add(segment.tail))
    }

    fn describe(&self, segment: &Segment, position: usize, index: BlockIndex, (address, usable): (RunAddress, u64)) -> Block {
        let state = if segment.free.get(position) {
            State::Free
        } else if self.own.binary_search(&index.0).is_ok() {
            State::Own
        } else {
            State::InUse
        };
        Block { address, usable, arena: segment.arena, state }
    }

    /// Notes that the allocator has the block that starts at `address`. `false` where no block starts, or where it was free already.
    pub(super) fn free_block(&mut self, address: u64) -> bool {
        let at = self.segments.partition_point(|segment| segment.start <= address);
        let Some(segment) = at.checked_sub(1).and_then(|at| self.segments.get_mut(at)) else { return false };
        let skip = address - segment.start;
        let position = (skip / ALIGNMENT) as usize;
        if !skip.is_multiple_of(ALIGNMENT) || !segment.starts.get(position) || segment.free.get(position) {
            return false;
        }
        segment.free.set(position);
        true
    }

    /// Notes where the allocator keeps records outside its blocks.
    pub(super) fn note_records(&mut self, records: Vec<RunRange>) {
        self.records = records;
    }

    /// Whether `address` is in a record of the allocator's: numbers, and addresses of its own.
    pub fn is_record(&self, address: RunAddress) -> bool {
        self.records.iter().any(|range| range.contains(address))
    }

    /// Notes blocks in which the allocator keeps records.
    pub(super) fn own_blocks(&mut self, mut own: Vec<u32>) {
        own.sort_unstable();
        self.own = own;
    }
}

/// Makes a heap of its segments.
pub(super) struct Builder {
    segments: Vec<Segment>,
    arenas: Vec<RunAddress>,
}

impl Builder {
    pub(super) fn new(arenas: Vec<RunAddress>) -> Self {
        Self { segments: Vec::new(), arenas }
    }

    /// Adds a run.
    pub(super) fn add(&mut self, run: Run) {
        if run.any {
            self.segments.push(Segment {
                start: run.start + HEADER,
                end: run.end,
                arena: Some(run.arena),
                tail: HEADER / 2,
                starts: run.starts,
                free: run.free,
                first: 0,
            });
        }
    }

    /// Adds a block with a mapping of its own, by its header's address and the chunk's size.
    pub(super) fn add_mapped(&mut self, header: u64, size: u64) {
        let (mut starts, mut free) = (Bitmap::new(1), Bitmap::new(1));
        starts.set(0);
        free.seal();
        self.segments.push(Segment { start: header + HEADER, end: header + size, arena: None, tail: 0, starts, free, first: 0 });
    }

    /// Sorts and counts.
    pub(super) fn finish(mut self) -> Result<Heap, HeapDefect> {
        self.segments.sort_unstable_by_key(|segment| segment.start);
        let mut count = 0u32;
        let mut end = 0;
        for segment in &mut self.segments {
            let address = RunAddress(segment.start - HEADER);
            if address.0 < end {
                return Err(HeapDefect::Chunk { address, what: "lies in another run of chunks", found: end });
            }
            end = segment.end;
            segment.starts.seal();
            segment.first = count;
            count = count.checked_add(segment.starts.count()).ok_or(HeapDefect::Chunk {
                address,
                what: "more than 2^32 blocks",
                found: count.into(),
            })?;
        }
        Ok(Heap { segments: self.segments, arenas: self.arenas, count, own: Vec::new(), records: Vec::new() })
    }
}

/// A run of chunks while it is read.
pub(super) struct Run {
    start: u64,
    /// Header behind its last chunk.
    end: u64,
    arena: u16,
    starts: Bitmap,
    free: Bitmap,
    any: bool,
}

impl Run {
    /// A run from the header at `start` on, which ends before `limit`.
    pub(super) fn new(arena: u16, start: u64, limit: u64) -> Self {
        let length = (limit.saturating_sub(start) / ALIGNMENT) as usize;
        Run { start, end: start, arena, starts: Bitmap::new(length), free: Bitmap::new(length), any: false }
    }

    /// Adds the chunk whose header is at `header`.
    pub(super) fn chunk(&mut self, header: u64) {
        self.any = true;
        self.starts.set(((header - self.start) / ALIGNMENT) as usize);
    }

    /// Notes that the chunk at `header` is in a bin.
    pub(super) fn free(&mut self, header: u64) {
        self.free.set(((header - self.start) / ALIGNMENT) as usize);
    }

    /// The run, which ends before the header at `end`.
    pub(super) fn ended(self, end: u64) -> Self {
        Self { end, ..self }
    }
}
