//! The scan of all memory outside the old program for words that point into it.

pub mod dead;
pub mod filter;
pub mod sites;

use std::sync::atomic::{AtomicUsize, Ordering};

use dsu_formats::address::{RunAddress, RunRange};

use super::rewrite::Patch;
use super::source::SourceError;
use super::words::{Holder, Words};
use filter::Filter;
use sites::Sites;

/// Bytes read at a time.
const CHUNK: u64 = 512 << 10;
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

fn work(
    chunks: &[RunRange],
    next: &AtomicUsize,
    filter: &Filter,
    sites: &Sites,
    words: &mut Words<'_>,
) -> Result<Scanned, SourceError> {
    let mut scanned = Scanned::default();
    let mut buffer = vec![0; CHUNK as usize];
    let mut hits = Vec::new();
    while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
        let bytes = &mut buffer[..chunk.len() as usize];
        words.memory.read(chunk.start, bytes)?;
        filter.find(bytes, &mut hits);
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
