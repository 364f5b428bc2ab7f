//! Addresses of the process that an image describes. They are numbers to this crate, never dereferenced.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Size in bytes of the pages that x86-64 Linux maps user memory with.
pub const PAGE_SIZE: u64 = 4096;

/// A run-time virtual address in the address space that an image describes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct RunAddress(pub u64);

impl RunAddress {
    /// The address `bytes` above this one, or `None` past the end of the address space.
    pub fn checked_add(self, bytes: u64) -> Option<Self> {
        self.0.checked_add(bytes).map(Self)
    }

    /// The first address of the page that holds this one.
    pub fn page_floor(self) -> Self {
        Self(self.0 & !(PAGE_SIZE - 1))
    }

    /// The first page boundary that is not below this address.
    pub fn page_ceil(self) -> Self {
        Self(self.0.saturating_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1))
    }
}

impl fmt::Debug for RunAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for RunAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A half-open range of run-time addresses. An inverted one cannot be decoded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(try_from = "SavedRange")]
pub struct RunRange {
    /// First address in the range.
    pub start: RunAddress,
    /// First address past the range; never below `start`.
    pub end: RunAddress,
}

impl RunRange {
    /// The range `[start, end)`; an inverted pair gives an empty range at `start`.
    pub fn new(start: u64, end: u64) -> Self {
        Self { start: RunAddress(start), end: RunAddress(end.max(start)) }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether the range holds no address.
    pub fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Whether `address` lies inside.
    pub fn contains(&self, address: RunAddress) -> bool {
        self.start <= address && address < self.end
    }

    /// Whether the two ranges share an address.
    pub fn overlaps(&self, other: &RunRange) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The parts that none of `holes`, in any order, covers; ascending.
    pub fn without(&self, holes: &[RunRange]) -> Vec<RunRange> {
        let mut holes: Vec<RunRange> = holes.iter().filter_map(|hole| hole.intersection(self)).collect();
        holes.sort_unstable();
        let mut parts = Vec::new();
        let mut start = self.start;
        for hole in holes {
            if start < hole.start {
                parts.push(RunRange { start, end: hole.start });
            }
            start = start.max(hole.end);
        }
        if start < self.end {
            parts.push(RunRange { start, end: self.end });
        }
        parts
    }

    /// The part that both ranges share, if any.
    pub fn intersection(&self, other: &RunRange) -> Option<RunRange> {
        let start = self.start.max(other.start);
        let end = self.end.min(other.end);
        (start < end).then_some(RunRange { start, end })
    }
}

/// What a range is in an image: the same two numbers, in any order.
#[derive(Deserialize)]
struct SavedRange {
    start: RunAddress,
    end: RunAddress,
}

impl TryFrom<SavedRange> for RunRange {
    type Error = String;

    fn try_from(saved: SavedRange) -> Result<Self, String> {
        let SavedRange { start, end } = saved;
        if start <= end { Ok(Self { start, end }) } else { Err(format!("range from {start} ends before it, at {end}")) }
    }
}

impl fmt::Debug for RunRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

impl fmt::Display for RunRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}
