//! Why a heap of glibc's cannot be read.

use dsu_formats::address::RunAddress;

use crate::plan::source::SourceError;

/// What is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum HeapDefect {
    /// Memory that the allocator's records name cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The C library's data holds nothing that is laid out as an initialised main arena, or more than one such thing.
    #[error("the main arena of malloc was not found in the C library's data: {found} places look like it")]
    NoArena {
        /// How many places fit.
        found: usize,
    },
    /// The C library's data holds no record of malloc's parameters, or more than one.
    #[error("malloc's parameters were not found in the C library's data: {found} places look like them")]
    NoParameters {
        /// How many places fit.
        found: usize,
    },
    /// A thread holds an arena's lock: its lists are in the middle of a change. Waiting may help.
    #[error("a thread is inside malloc: the arena at {arena} is locked")]
    Busy {
        /// The arena.
        arena: RunAddress,
    },
    /// A thread is inside malloc, which takes no lock while there is one thread only. Waiting may help.
    #[error("thread {tid} is inside malloc: {defect}")]
    Inside {
        /// The thread.
        tid: i32,
        /// What is in the middle of a change, or broken.
        defect: Box<HeapDefect>,
    },
    /// A record of the allocator's that contradicts another one.
    #[error("the arena at {address}: {what}: expected {expected:#x}, found {found:#x}")]
    Arena {
        /// The record.
        address: RunAddress,
        /// Which of its numbers.
        what: &'static str,
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// A chunk that contradicts its neighbours.
    #[error("the chunk at {address}: {what} ({found:#x})")]
    Chunk {
        /// Address of the chunk's header.
        address: RunAddress,
        /// What is wrong.
        what: &'static str,
        /// The value that is.
        found: u64,
    },
    /// A list of free chunks that leads to something else.
    #[error("{list} of {owner}: {what} ({found:#x})")]
    List {
        /// Which list.
        list: String,
        /// Address of the arena or of the thread's cache.
        owner: RunAddress,
        /// What is wrong.
        what: &'static str,
        /// The value that is.
        found: u64,
    },
    /// Blocks with a mapping of their own that do not add up to what the allocator counts.
    #[error(
        "blocks with mappings of their own: malloc counts {count} of {bytes} bytes, found {found_count} of {found_bytes} bytes"
    )]
    Mapped {
        /// The allocator's count.
        count: u64,
        /// The allocator's sum.
        bytes: u64,
        /// Found.
        found_count: u64,
        /// Found.
        found_bytes: u64,
    },
}

impl HeapDefect {
    /// Whether the same heap may be readable a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Inside { .. })
    }
}
