//! Blocks with a mapping of their own: found at the start of pages, and counted against what malloc counts.

use std::collections::BTreeMap;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use super::Scene;
use super::blocks::{Builder, HEADER, MINIMUM};
use super::chunks::{FLAGS, IS_MAPPED};
use super::defect::HeapDefect;
use super::is_heap_memory;
use super::parameters::Parameters;
use crate::plan::source::word_in;

/// Pages looked at together.
const PIECE: u64 = 64 * PAGE_SIZE;

/// Adds all blocks with mappings of their own. `covered` is the arenas' memory.
pub(super) fn read(
    parameters: &Parameters,
    covered: &[RunRange],
    scene: &Scene<'_>,
    builder: &mut Builder,
) -> Result<(), HeapDefect> {
    if parameters.mapped == 0 {
        return Ok(());
    }
    let mut search = Search { parameters, scene, found: BTreeMap::new(), bytes: 0 };
    let memory: Vec<RunRange> = scene
        .space
        .mappings
        .iter()
        .filter(|mapping| is_heap_memory(mapping) && !mapping.flags.grows_down)
        .flat_map(|mapping| mapping.range.without(covered))
        .collect();
    // Where mappings start, and where blocks before end, is nearly every block; if not, each page is looked at.
    for range in &memory {
        search.chain(*range);
    }
    for range in &memory {
        if !search.is_complete() {
            search.pages(*range)?;
        }
    }
    if !search.is_complete() {
        return Err(HeapDefect::Mapped {
            count: parameters.mapped,
            bytes: parameters.mapped_bytes,
            found_count: search.found.len() as u64,
            found_bytes: search.bytes,
        });
    }
    for (header, size) in search.found {
        builder.add_mapped(header, size);
    }
    Ok(())
}

/// Alignments that a program may ask for, as powers of two: more than the 16 bytes that every block has.
const ALIGNMENTS: std::ops::Range<u32> = 5..40;

/// The header of a block aligned to `alignment` in a mapping at `start` (`_int_memalign`: what is skipped is a chunk at least).
fn aligned_header(start: u64, alignment: u64) -> u64 {
    let header = (start + HEADER).next_multiple_of(alignment) - HEADER;
    if header - start < MINIMUM { header + alignment } else { header }
}

struct Search<'a> {
    parameters: &'a Parameters,
    scene: &'a Scene<'a>,
    /// Sizes by header.
    found: BTreeMap<u64, u64>,
    /// Of the mappings found.
    bytes: u64,
}

impl Search<'_> {
    fn is_complete(&self) -> bool {
        (self.found.len() as u64, self.bytes) == (self.parameters.mapped, self.parameters.mapped_bytes)
    }

    /// Blocks from the start of `range` on, as long as one follows the other.
    fn chain(&mut self, range: RunRange) {
        let mut at = range.start.0;
        while at < range.end.0 {
            let Some(end) = self.block(at, self.header(at), range) else { return };
            at = end;
        }
    }

    /// The two words at `address`, in a page that was written to.
    fn header(&self, address: u64) -> Option<(u64, u64)> {
        if !self.is_own(address) {
            return None;
        }
        let mut bytes = [0; HEADER as usize];
        self.scene.memory.read(RunAddress(address), &mut bytes).ok()?;
        Some((word_in(&bytes, 0)?, word_in(&bytes, 8)?))
    }

    /// A block whose mapping starts at `start`, where these two words are. Gives the mapping's end.
    ///
    /// Memory that was asked for with an alignment has its header before the aligned place; the one at the mapping's start is then a
    /// leftover. The header says how far it is from the start.
    fn block(&mut self, start: u64, first: Option<(u64, u64)>, range: RunRange) -> Option<u64> {
        let sound = |header: u64, (lead, field): (u64, u64)| {
            let size = field & !FLAGS;
            let end = header.checked_add(size)?;
            let fits = field & FLAGS == IS_MAPPED && header - start == lead && end <= range.end.0 && size > 2 * HEADER;
            (fits && end % PAGE_SIZE == 0).then_some((header, end))
        };
        let plain = sound(start, first?);
        let aligned = ALIGNMENTS.rev().map(|power| aligned_header(start, 1 << power));
        let aligned = aligned.filter(|header| *header < range.end.0);
        let mut aligned = aligned.filter_map(|header| sound(header, self.header(header)?));
        let (header, end) = aligned.next().or(plain)?;
        if self.found.insert(header, end - header).is_none() {
            self.bytes += end - start;
        }
        Some(end)
    }

    fn is_own(&self, address: u64) -> bool {
        let own = self.scene.memory.own_pages();
        let at = own.partition_point(|range| range.start.0 <= address);
        at.checked_sub(1).and_then(|at| own.get(at)).is_some_and(|range| range.contains(RunAddress(address)))
    }

    /// Looks at every page of `range` that was written to: the header of such a block always was.
    fn pages(&mut self, range: RunRange) -> Result<(), HeapDefect> {
        let mut buffer = vec![0; PIECE as usize];
        let mut skip = range.start.0;
        for own in self.scene.memory.own_pages().iter().filter_map(|own| own.intersection(&range)) {
            let mut at = own.start.0.max(skip);
            while at < own.end.0 {
                let length = (own.end.0 - at).min(PIECE);
                let bytes = &mut buffer[..length as usize];
                self.scene.memory.read(RunAddress(at), bytes)?;
                let mut next = at + length;
                for (page, bytes) in (at..).step_by(PAGE_SIZE as usize).zip(bytes.chunks(PAGE_SIZE as usize)) {
                    let first =
                        word_in(bytes, 0).zip(word_in(bytes, 8)).filter(|words| words.0 == 0 && words.1 & FLAGS == IS_MAPPED);
                    if let Some(end) = self.block(page, first, range) {
                        next = end.max(page + PAGE_SIZE);
                        break;
                    }
                }
                at = next;
            }
            skip = at;
        }
        Ok(())
    }
}
