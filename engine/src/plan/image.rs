//! The bytes of a program's writable segments, by link-time address: of the file, of memory, or as the plan makes them.

use dsu_formats::address::{PAGE_SIZE, RunAddress};

use super::abi;
use super::address::{page_ceil, page_floor};
use super::rewrite::Contents;
use super::source::{MemorySource, SourceError};
use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Segment};

/// Writable segments in whole pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataImage {
    segments: Vec<DataSegment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct DataSegment {
    start: u64,
    bytes: Vec<u8>,
    /// Where the part that a file lies under ends.
    file_end: u64,
}

/// A writable segment that is not in the file where its header says, or that is too large to lay out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the writable segment at {address} cannot be laid out")]
pub struct LayoutError {
    /// Link-time address of the segment.
    pub address: LinkAddress,
}

impl DataImage {
    /// What the loader maps before relocation.
    ///
    /// # Errors
    /// A segment without its bytes in the file, or beyond what fits in memory.
    pub fn initial(elf: &Elf) -> Result<Self, LayoutError> {
        let segments = writable(elf).map(|segment| initial_segment(elf, segment)).collect::<Result<_, _>>()?;
        Ok(Self { segments })
    }

    /// The same ranges as `elf` has them in memory at `bias`.
    ///
    /// # Errors
    /// Memory that cannot be read.
    pub fn captured(elf: &Elf, bias: u64, memory: &dyn MemorySource) -> Result<Self, SourceError> {
        let segments = writable(elf)
            .map(|segment| {
                let (start, end) = pages(segment);
                let mut bytes = vec![0; (end - start) as usize];
                memory.read(RunAddress(bias.wrapping_add(start)), &mut bytes)?;
                Ok(DataSegment { start, bytes, file_end: file_end(segment) })
            })
            .collect::<Result<_, SourceError>>()?;
        Ok(Self { segments })
    }

    /// The bytes of a range, when one segment holds all of it.
    pub fn slice(&self, address: LinkAddress, length: u64) -> Option<&[u8]> {
        self.segments.iter().find_map(|segment| segment.bytes.get(segment.span(address, length)?))
    }

    /// The same to write to.
    pub fn slice_mut(&mut self, address: LinkAddress, length: u64) -> Option<&mut [u8]> {
        self.segments.iter_mut().find_map(|segment| {
            let span = segment.span(address, length)?;
            segment.bytes.get_mut(span)
        })
    }

    /// The word at `address`.
    pub fn word(&self, address: LinkAddress) -> Option<u64> {
        Some(u64::from_le_bytes(*self.slice(address, 8)?.first_chunk()?))
    }

    /// Stores a word; `false` when no writable segment holds its place.
    pub fn set_word(&mut self, address: LinkAddress, word: u64) -> bool {
        let Some(place) = self.slice_mut(address, 8) else { return false };
        place.copy_from_slice(&word.to_le_bytes());
        true
    }

    /// Pages by link-time address as (start, end).
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.segments.iter().map(|segment| (segment.start, segment.start + segment.bytes.len() as u64))
    }

    /// The pages to store at `bias`: all that a file lies under, and of the others those that are not zero.
    pub fn contents(&self, bias: u64) -> Vec<Contents> {
        let mut contents: Vec<Contents> = Vec::new();
        for segment in &self.segments {
            for (address, page) in (segment.start..).step_by(PAGE_SIZE as usize).zip(segment.bytes.chunks(PAGE_SIZE as usize)) {
                if address >= segment.file_end && page.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let address = RunAddress(bias.wrapping_add(address));
                match contents.last_mut() {
                    Some(last) if last.address.0 + last.bytes.len() as u64 == address.0 => last.bytes.extend_from_slice(page),
                    _ => contents.push(Contents { address, bytes: page.to_vec() }),
                }
            }
        }
        contents
    }
}

impl DataSegment {
    fn span(&self, address: LinkAddress, length: u64) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(address.0.checked_sub(self.start)?).ok()?;
        Some(start..start.checked_add(usize::try_from(length).ok()?)?)
    }
}

fn writable(elf: &Elf) -> impl Iterator<Item = &Segment> {
    elf.loads().filter(|segment| segment.flags & abi::PF_W != 0)
}

fn pages(segment: &Segment) -> (u64, u64) {
    (page_floor(segment.address.0), page_ceil(segment.address.0.saturating_add(segment.memory_size)))
}

fn file_end(segment: &Segment) -> u64 {
    page_ceil(segment.address.0.saturating_add(segment.file_size))
}

fn initial_segment(elf: &Elf, segment: &Segment) -> Result<DataSegment, LayoutError> {
    let failed = LayoutError { address: segment.address };
    let (start, end) = pages(segment);
    let length = usize::try_from(end - start).map_err(|_| failed)?;
    let lead = segment.address.0 - start;
    // The bytes before the segment's start on its first page come from the file too.
    let from = segment.offset.checked_sub(lead).ok_or(failed)?;
    let to = segment.offset.checked_add(segment.file_size).ok_or(failed)?;
    let file = elf.bytes.get(from as usize..to as usize).ok_or(failed)?;
    if file.len() > length {
        return Err(failed);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| failed)?;
    bytes.extend_from_slice(file);
    bytes.resize(length, 0);
    Ok(DataSegment { start, bytes, file_end: file_end(segment) })
}
