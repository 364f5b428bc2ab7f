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
    annex: RunRange,
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
    if annex.contains(table) || (placement.old_range().end <= table && table.0 - placement.old_range().end.0 < 1 << 24) {
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

/// Words of the loader's data that only their neighbours explain: `_dl_phnum` behind `_dl_phdr`, and `_dlfo_main`, which holds the
/// program's first address, its end and its record in a row.
///
/// # Errors
/// The loader's data cannot be read.
pub fn known_words(
    ranges: &[RunRange],
    old: (&Elf, u64),
    new: (&Elf, u64),
    record: RunAddress,
    memory: &dyn MemorySource,
) -> Result<Vec<Patch>, SourceError> {
    let headers = |(elf, bias): (&Elf, u64)| [bias.wrapping_add(elf.headers_address().0), u64::from(elf.program_headers.1)];
    let object = |program: (&Elf, u64)| {
        let (start, end) = record::span(program.0, program.1);
        [start, end, record.0]
    };
    let mut patches = Vec::new();
    for (start, words) in words(ranges, memory)? {
        replace(&words, start, &headers(old), &headers(new), &mut patches);
        replace(&words, start, &object(old), &object(new), &mut patches);
    }
    Ok(patches)
}

/// The words of the own pages of `ranges`, run by run, with the address of each run.
///
/// # Errors
/// Memory that cannot be read.
pub fn words(ranges: &[RunRange], memory: &dyn MemorySource) -> Result<Vec<(RunAddress, Vec<u64>)>, SourceError> {
    let runs = ranges.iter().flat_map(|range| own_parts(range, memory));
    let read = |range: RunRange| {
        let bytes = read_bytes(memory, range.start, range.len() as usize)?;
        let words = bytes.chunks_exact(8).map(|part| part.first_chunk().map_or(0, |part| u64::from_le_bytes(*part)));
        Ok((range.start, words.collect()))
    };
    runs.map(read).collect()
}

/// Replaces every run of words equal to `from` by `to`.
fn replace(words: &[u64], start: RunAddress, from: &[u64], to: &[u64], patches: &mut Vec<Patch>) {
    for (index, _) in words.windows(from.len()).enumerate().filter(|(_, window)| *window == from) {
        let places = (index as u64..).map(|index| RunAddress(start.0 + index * 8));
        let changed = from.iter().zip(to).zip(places).filter(|((from, to), _)| from != to);
        patches.extend(changed.map(|((_, to), address)| Patch { address, word: *to }));
    }
}

fn own_parts(range: &RunRange, memory: &dyn MemorySource) -> Vec<RunRange> {
    memory.own_pages().iter().filter_map(|own| own.intersection(range)).collect()
}
