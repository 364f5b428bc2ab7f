//! What an address stands for, so that addresses of two processes can be compared.

use dsu_engine::tracee::memory::RemoteMemory;
use dsu_engine::tracee::procfs::{self, MapLine};
use dsu_formats::address::{RunAddress, RunRange};

/// How deep blocks of the heap are followed.
const DEPTH: usize = 3;

/// The longest string, and the largest block, that is compared, in bytes.
const LONGEST: usize = 4096;

/// An address space in which addresses have a meaning.
pub struct Space<'a> {
    /// Where the new program is.
    pub program: RunRange,
    /// Where the old program was, whose literals stay readable.
    pub old_program: Option<RunRange>,
    /// Mappings, for heap, stacks and libraries.
    pub maps: &'a [MapLine],
    /// Canonical frame addresses of each thread's frames, innermost first.
    pub stacks: Vec<Vec<u64>>,
    /// What the stack protector puts into frames: another number in every process.
    pub canary: Option<u64>,
    /// Its memory; that of the process before the update where it has not been made.
    pub memory: &'a RemoteMemory,
}

/// Entry of the auxiliary vector with the address of the kernel's random bytes (`include/uapi/linux/auxvec.h`).
const AT_RANDOM: u64 = 25;

/// What the C library makes its canary of: eight of the kernel's random bytes, the lowest one cleared
/// (`sysdeps/generic/dl-osinfo.h`).
pub fn canary(memory: &RemoteMemory) -> Option<u64> {
    let vector = procfs::read(memory.pid(), "auxv").ok()?;
    let entries = vector.chunks_exact(16).filter_map(|entry| {
        let (key, value) = entry.split_at_checked(8)?;
        Some((u64::from_le_bytes(key.try_into().ok()?), u64::from_le_bytes(value.try_into().ok()?)))
    });
    let (_, address) = entries.into_iter().find(|(key, _)| *key == AT_RANDOM)?;
    Some(memory.read_u64(RunAddress(address)).ok()? & !0xff)
}

/// What an address stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A place in the new program.
    Program(u64),
    /// A place in the old one.
    OldProgram,
    /// A place in a frame.
    Frame {
        /// Position of the thread.
        thread: usize,
        /// Position of the frame, from the outermost; none above that.
        frame: Option<usize>,
        /// Distance from its canonical frame address.
        offset: i64,
    },
    /// A place in the heap.
    Heap(u64),
    /// A place in another mapped file or named mapping.
    Mapped(String, u64),
    /// The stack protector's number.
    Canary,
    /// A number.
    Number,
}

impl Space<'_> {
    /// What `address` stands for.
    pub fn meaning(&self, address: u64) -> Meaning {
        let at = RunAddress(address);
        if self.canary == Some(address) {
            return Meaning::Canary;
        }
        if self.program.contains(at) {
            return Meaning::Program(address - self.program.start.0);
        }
        if self.old_program.is_some_and(|range| range.contains(at)) {
            return Meaning::OldProgram;
        }
        if let Some(meaning) = self.in_frame(address) {
            return meaning;
        }
        let Some(line) = self.maps.iter().find(|line| (line.start..line.end).contains(&address)) else { return Meaning::Number };
        match line.name.as_str() {
            "" => Meaning::Number,
            "[heap]" => Meaning::Heap(address - line.start),
            name => Meaning::Mapped(name.to_owned(), address - line.start + line.offset),
        }
    }

    fn in_frame(&self, address: u64) -> Option<Meaning> {
        self.stacks.iter().enumerate().find_map(|(thread, frames)| {
            let (innermost, outermost) = (*frames.first()?, *frames.last()?);
            let line = self.maps.iter().find(|line| (line.start..line.end).contains(&outermost))?;
            // Red zone and the innermost frame, which may have grown below the mapping.
            let lowest = line.start.min(innermost.saturating_sub(1 << 16));
            if !(lowest..line.end).contains(&address) {
                return None;
            }
            let index = frames.iter().position(|cfa| *cfa > address);
            let cfa = index.and_then(|index| frames.get(index)).unwrap_or(frames.last()?);
            let frame = index.map(|index| frames.len() - 1 - index);
            Some(Meaning::Frame { thread, frame, offset: address.wrapping_sub(*cfa).cast_signed() })
        })
    }

    /// Whether the word `ours` of this space means what `theirs` means in `other`.
    pub fn same(&self, ours: u64, other: &Space<'_>, theirs: u64) -> bool {
        self.same_within(ours, other, theirs, DEPTH)
    }

    fn same_within(&self, ours: u64, other: &Space<'_>, theirs: u64, depth: usize) -> bool {
        match (self.meaning(ours), other.meaning(theirs)) {
            (Meaning::Number, _) | (_, Meaning::Number) => ours == theirs,
            (Meaning::OldProgram, Meaning::Program(_)) => {
                let text = self.text(ours);
                text.is_some() && text == other.text(theirs)
            }
            (Meaning::Heap(left), Meaning::Heap(right)) => left == right || self.same_blocks(ours, other, theirs, depth),
            (left, right) => left == right,
        }
    }

    /// The string at `address`.
    fn text(&self, address: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < LONGEST {
            let mut byte = [0];
            self.memory.read(RunAddress(address + text.len() as u64), &mut byte).ok()?;
            if byte == [0] {
                return Some(text);
            }
            text.extend(byte);
        }
        None
    }

    /// Whether two blocks of the C library's heap are as long and hold the same.
    fn same_blocks(&self, ours: u64, other: &Space<'_>, theirs: u64, depth: usize) -> bool {
        let (Some(left), Some(right)) = (self.block(ours), other.block(theirs)) else { return false };
        let words = left.iter().zip(&right);
        depth > 0
            && left.len() == right.len()
            && words.clone().count() > 0
            && words.clone().all(|(left, right)| left == right || self.same_within(*left, other, *right, depth - 1))
    }

    /// The words of the block that starts at `address`.
    fn block(&self, address: u64) -> Option<Vec<u64>> {
        let word = |address: u64| self.memory.read_u64(RunAddress(address)).ok();
        // The size of a chunk stands before its block; the next chunk's first word belongs to the block.
        let size = word(address.checked_sub(8)?)? & !7;
        if !(32..LONGEST as u64).contains(&size) || size % 16 != 0 {
            return None;
        }
        (0..(size - 8) / 8).map(|index| word(address + index * 8)).collect()
    }
}
