//! What is known of the place of a word.

use std::collections::HashSet;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use crate::plan::moves::Moves;
use crate::plan::pointers::Site;

/// Places with more known of them than plain memory.
#[derive(Debug, Default)]
pub struct Sites {
    /// Live parts of stacks, ascending, with whether return addresses elsewhere in them are leftovers.
    pub stacks: Vec<(RunRange, bool)>,
    /// Slots of return addresses that unwinding found.
    pub returns: HashSet<RunAddress>,
    /// The loader's data.
    pub loader: Vec<RunRange>,
    /// Words that are decided otherwise.
    pub handled: HashSet<RunAddress>,
    /// Memory that nobody reads before writing it, as [`merged`] gives it.
    pub dead: Vec<RunRange>,
    /// Objects that are rewritten, with the words in them.
    pub moves: Arc<Moves>,
}

impl Sites {
    /// The site of the word at `address`; `None` when the scan must leave it alone.
    pub fn site(&self, address: RunAddress) -> Option<Site> {
        if self.handled.contains(&address) || within(&self.dead, address, |range| *range).is_some() {
            return None;
        }
        if self.moves.objects().holds(address) {
            return None;
        }
        if self.returns.contains(&address) {
            return Some(Site::ReturnAddress);
        }
        if let Some((_, stale_returns)) = within(&self.stacks, address, |stack| stack.0) {
            return Some(Site::Stack { stale_returns: *stale_returns });
        }
        if self.loader.iter().any(|range| range.contains(address)) {
            return Some(Site::Loader);
        }
        Some(Site::Memory)
    }
}

/// `ranges` ascending, overlapping ones as one.
pub fn merged(mut ranges: Vec<RunRange>) -> Vec<RunRange> {
    ranges.sort_unstable();
    let mut merged: Vec<RunRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn within<T>(ranges: &[T], address: RunAddress, range: impl Fn(&T) -> RunRange) -> Option<&T> {
    let index = ranges.partition_point(|entry| range(entry).start <= address).checked_sub(1)?;
    ranges.get(index).filter(|entry| range(entry).contains(address))
}
