//! The loader's own record of the program (`struct link_map` of glibc), rewritten for the new one.
//!
//! Offsets differ between releases of glibc. They are found by value: the old program says what each field must hold.

pub mod auxv;
pub mod dynamic;
pub mod info;
pub mod record;
pub mod search;
pub mod versions;

#[cfg(test)]
mod tests;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::AddressSpace;

use super::address::Placement;
use super::link::scope::LoadedLibrary;
use super::rewrite::Patch;
use super::source::{MemorySource, SourceError, read_bytes};
use crate::program::elf::Elf;
use record::Record;

/// Writable memory of the loader and the C library: their segments and the anonymous pages right behind them.
pub fn data_ranges(space: &AddressSpace, loaded: &[LoadedLibrary<'_>]) -> Vec<RunRange> {
    let system = loaded.iter().filter(|library| library.library.is_libc());
    let modules: Vec<RunRange> = system.map(|library| library.range).collect();
    let mappings = space.mappings.iter().filter(|mapping| !mapping.protection.execute);
    mappings
        .map(|mapping| mapping.range)
        .filter(|range| modules.iter().any(|module| module.overlaps(range) || module.end == range.start))
        .collect()
}

/// Words of the record and of its old version table that only a relocation in progress looks at (`l_lookup_cache`), or nothing any
/// more: they become zero where they point into the old program.
///
/// # Errors
/// The table cannot be read.
pub fn leftovers(
    record: &Record,
    placement: &Placement,
    patched: &[Patch],
    memory: &dyn MemorySource,
) -> Result<Vec<Patch>, SourceError> {
    let old = |word: u64| placement.old_link(word).is_some();
    let free = |address: RunAddress| !patched.iter().any(|patch| patch.address == address);
    let mut patches: Vec<Patch> = record
        .symbol_cache()
        .into_iter()
        .filter(|(address, word)| old(*word) && free(*address))
        .map(|(address, _)| Patch { address, word: 0 })
        .collect();
    let Some((table, length)) = record.old_versions() else { return Ok(patches) };
    // The table of an update before this one is in the annex, which goes as a whole.
    if placement.old_range().end <= table && table.0 - placement.old_range().end.0 < 1 << 24 {
        return Ok(patches);
    }
    let bytes = read_bytes(memory, table, length as usize)?;
    for (offset, part) in (0u64..).step_by(8).zip(bytes.chunks_exact(8)) {
        let word = part.first_chunk().map_or(0, |part| u64::from_le_bytes(*part));
        if old(word) {
            patches.push(Patch { address: RunAddress(table.0 + offset), word: 0 });
        }
    }
    Ok(patches)
}

/// `_dl_phnum` behind `_dl_phdr`: a count right behind a pointer to the program headers, in the loader's data.
///
/// # Errors
/// The loader's data cannot be read.
pub fn header_counts(
    ranges: &[RunRange],
    old: (&Elf, u64),
    new: &Elf,
    memory: &dyn MemorySource,
) -> Result<Vec<Patch>, SourceError> {
    let mut patches = Vec::new();
    let (count, headers) = (u64::from(old.0.program_headers.1), old.1.wrapping_add(old.0.program_headers.0));
    if count == u64::from(new.program_headers.1) {
        return Ok(patches);
    }
    for range in ranges.iter().flat_map(|range| own_parts(range, memory)) {
        let bytes = read_bytes(memory, range.start, range.len() as usize)?;
        let words: Vec<u64> =
            bytes.chunks_exact(8).map(|part| part.first_chunk().map_or(0, |part| u64::from_le_bytes(*part))).collect();
        let places = words.windows(2).enumerate().filter(|(_, pair)| *pair == [headers, count]);
        patches.extend(places.map(|(index, _)| Patch {
            address: RunAddress(range.start.0 + (index as u64 + 1) * 8),
            word: u64::from(new.program_headers.1),
        }));
    }
    Ok(patches)
}

fn own_parts(range: &RunRange, memory: &dyn MemorySource) -> Vec<RunRange> {
    memory.own_pages().iter().filter_map(|own| own.intersection(range)).collect()
}
