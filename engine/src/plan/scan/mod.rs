//! The scan of all memory outside the old program for words that point into it.

pub mod dead;
pub mod filter;
pub mod sites;

use std::sync::atomic::{AtomicUsize, Ordering};

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use super::blocker::PointerReason;
use super::rewrite::Patch;
use super::source::{MemorySource, SourceError};
use super::words::{Holder, Words};
use filter::Filter;
use sites::Sites;

/// Bytes read at a time: they are still in the second-level cache when they are looked at.
const CHUNK: u64 = 256 << 10;
/// Threads that scan: memory bandwidth is shared, more gain little.
const THREADS: usize = 2;
/// Memory below which one thread is faster than starting a second.
const SMALL: u64 = 4 << 20;

/// What a scan found.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Words to store, by ascending address.
    pub patches: Vec<Patch>,
    /// Words looked at.
    pub words: u64,
}

/// Scans `ranges` (page aligned) and rewrites what points into the old program or into its literals.
///
/// # Errors
/// Memory that cannot be read.
pub fn scan(ranges: &[RunRange], filter: &Filter, sites: &Sites, words: &mut Words<'_>) -> Result<Scanned, SourceError> {
    let chunks = chunks(ranges);
    let next = AtomicUsize::new(0);
    let total: u64 = ranges.iter().map(RunRange::len).sum();
    let mut scanned =
        if total < SMALL { work(&chunks, &next, filter, sites, words)? } else { parallel(&chunks, &next, filter, sites, words)? };
    scanned.patches.sort_unstable_by_key(|patch| patch.address);
    Ok(scanned)
}

fn parallel(
    chunks: &[RunRange],
    next: &AtomicUsize,
    filter: &Filter,
    sites: &Sites,
    words: &mut Words<'_>,
) -> Result<Scanned, SourceError> {
    let mut forks: Vec<Words<'_>> = (1..THREADS).map(|_| words.fork()).collect();
    let results = std::thread::scope(|scope| {
        let others: Vec<_> = forks.iter_mut().map(|fork| scope.spawn(move || work(chunks, next, filter, sites, fork))).collect();
        let mut results = vec![work(chunks, next, filter, sites, words)];
        for other in others {
            results.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results
    });
    let mut scanned = Scanned::default();
    for result in results {
        let part = result?;
        scanned.patches.extend(part.patches);
        scanned.words += part.words;
    }
    for fork in forks {
        words.join(fork);
    }
    Ok(scanned)
}

fn chunks(ranges: &[RunRange]) -> Vec<RunRange> {
    let mut chunks = Vec::new();
    for range in ranges {
        let mut start = range.start.0;
        while start < range.end.0 {
            let end = range.end.0.min(start.saturating_add(CHUNK));
            chunks.push(RunRange::new(start, end));
            start = end;
        }
    }
    chunks
}

/// Room for any of `chunks`: those of a small program are short, and fresh memory is not for nothing.
fn longest(chunks: &[RunRange]) -> usize {
    chunks.iter().map(RunRange::len).max().unwrap_or(0) as usize
}

fn work(
    chunks: &[RunRange],
    next: &AtomicUsize,
    filter: &Filter,
    sites: &Sites,
    words: &mut Words<'_>,
) -> Result<Scanned, SourceError> {
    let mut scanned = Scanned::default();
    let mut buffer = vec![0; longest(chunks)];
    let mut hits = Vec::new();
    while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
        let bytes = &mut buffer[..chunk.len() as usize];
        words.memory.read(chunk.start, bytes)?;
        filter.find(bytes, &mut hits);
        hits.extend(across_end(words.memory, *chunk, filter));
        scanned.words += chunk.len() / 8;
        for (offset, word) in hits.drain(..) {
            let address = RunAddress(chunk.start.0 + offset);
            let Some(site) = sites.site(address) else { continue };
            if let Some(word) = words.rewrite(word, site, Holder::Memory { address }) {
                scanned.patches.push(Patch { address, word });
            }
        }
    }
    Ok(scanned)
}

/// A pointer of a packed structure that begins in the last four bytes of `chunk`, where memory goes on.
fn across_end(memory: &dyn MemorySource, chunk: RunRange, filter: &Filter) -> Option<(u64, u64)> {
    let mut bytes = [0; 8];
    let start = RunAddress(chunk.end.0.checked_sub(4)?);
    if !filter.looks_halfway() || memory.read(start, &mut bytes).is_err() {
        return None;
    }
    let word = u64::from_le_bytes(bytes);
    filter.passes_halfway(word).then_some((chunk.len() - 4, word))
}

/// Looks for pointers into the old program in memory that other processes may share; each is a blocker.
/// Gives the number of words looked at.
pub fn scan_shared(ranges: &[RunRange], filter: &Filter, words: &mut Words<'_>) -> u64 {
    let chunks = chunks(ranges);
    let mut buffer = vec![0; longest(&chunks)];
    let mut hits = Vec::new();
    let mut count = 0;
    for chunk in chunks {
        let bytes = &mut buffer[..chunk.len() as usize];
        if words.memory.read(chunk.start, bytes).is_err() {
            read_pages(words.memory, chunk.start, bytes);
        }
        filter.find(bytes, &mut hits);
        count += chunk.len() / 8;
        for (offset, word) in hits.drain(..) {
            let Some(link) = words.pointers.placement.old_link(word) else { continue };
            let symbol = words.pointers.view.old.place(link.0);
            let holder = Holder::Memory { address: RunAddress(chunk.start.0 + offset) };
            words.block(word, PointerReason::InTransit { symbol }, false, holder);
        }
    }
    count
}

/// Reads what can be read: pages behind the end of a file cannot, by the program neither.
fn read_pages(memory: &dyn MemorySource, start: RunAddress, bytes: &mut [u8]) {
    for (address, page) in (start.0..).step_by(PAGE_SIZE as usize).zip(bytes.chunks_mut(PAGE_SIZE as usize)) {
        if memory.read(RunAddress(address), page).is_err() {
            page.fill(0);
        }
    }
}

#[cfg(test)]
mod tests;
