//! Pages of a holder into the vessel by one copy of the kernel's: the vessel's own threads call `process_vm_readv`.

use std::iter::Peekable;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Mapping;
use nix::errno::Errno;

use super::ahead;
use super::huge::{self, WORTH_IT};
use super::stock::Stock;
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::holder::Holder;
use crate::tracee::inject::Injector;

/// Entries of one `process_vm_readv` (`UIO_MAXIOV`).
const BATCH: usize = 1024;
/// Most bytes of one entry.
const PIECE: u64 = 4 << 20;
/// Bytes that a call has at least, if there are as many.
const LEAST: u64 = 8 << 20;
/// Threads that copy side by side: as many tables fit into the scratch range.
const MOST_WORKERS: usize = 4;

/// Copies `ranges`, which can be written and have no page yet, with as many threads as there are processors.
///
/// Much memory has its pages made first, and a vessel with too few threads gets more for as long as this takes.
pub(super) fn from_holder(
    vessel: &mut Emptied,
    mappings: &[Mapping],
    holder: &Holder,
    ranges: &[RunRange],
    stock: &Stock,
) -> Result<(), TraceeError> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = processors.min(MOST_WORKERS);
    let own: Vec<i32> = vessel.threads().to_vec();
    let bytes: u64 = ranges.iter().map(RunRange::len).sum();
    if bytes < WORTH_IT {
        return copy(vessel, &own[..own.len().min(wanted)], holder, ranges, bytes);
    }
    let made = hire(vessel, wanted).and_then(|workers| {
        let whole = if huge::are_allowed() { huge::whole_pieces(mappings, ranges) } else { Vec::new() };
        ahead::make(vessel, &workers, ranges, &whole, stock)?;
        copy(vessel, &workers, holder, ranges, bytes)
    });
    made.and(vessel.keep_only(&own))
}

/// As many threads as are `wanted`, or those that the vessel has when it may not have more.
fn hire(vessel: &mut Emptied, wanted: usize) -> Result<Vec<i32>, TraceeError> {
    match vessel.hire(wanted) {
        Err(error) if ahead::is_refusal(&error) => tracing::debug!(%error, "the vessel's own threads copy alone"),
        other => other?,
    }
    Ok(vessel.threads().iter().copied().take(wanted).collect())
}

fn copy(vessel: &mut Emptied, workers: &[i32], holder: &Holder, ranges: &[RunRange], bytes: u64) -> Result<(), TraceeError> {
    let mut rest = bytes;
    let mut pieces = ranges.iter().flat_map(|range| ahead::cut(*range, PIECE)).peekable();
    while pieces.peek().is_some() {
        // Large calls first, then ever smaller ones: the threads come to their ends together.
        let share = (rest / (2 * workers.len() as u64)).max(LEAST);
        let mut calls = Vec::with_capacity(workers.len());
        let mut totals = Vec::with_capacity(workers.len());
        for (slot, tid) in workers.iter().enumerate() {
            let (list, total) = next_list(&mut pieces, share);
            if list.is_empty() {
                break;
            }
            let table = vessel.scratch().start.0 + (slot * BATCH * 16) as u64;
            vessel.memory().write(RunAddress(table), &list)?;
            let count = (list.len() / 16) as u64;
            calls.push((*tid, vec![holder.pid() as u64, table, count, table, count, 0]));
            totals.push(total);
            rest = rest.saturating_sub(total);
        }
        let copied = vessel.call_together("process_vm_readv", libc::SYS_process_vm_readv, &calls)?;
        if copied != totals {
            let tid = vessel.pid();
            return Err(TraceeError::Call { call: "process_vm_readv", tid, source: Errno::EFAULT });
        }
    }
    Ok(())
}

/// The table of one call, pairs of address and length, and how many bytes they are.
fn next_list(pieces: &mut Peekable<impl Iterator<Item = RunRange>>, share: u64) -> (Vec<u8>, u64) {
    let mut list = Vec::new();
    let mut total = 0;
    while list.len() < BATCH * 16
        && total < share
        && let Some(piece) = pieces.next()
    {
        list.extend(piece.start.0.to_le_bytes());
        list.extend(piece.len().to_le_bytes());
        total += piece.len();
    }
    (list, total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_ends_when_it_is_full_or_has_its_share() {
        let pages = |count: u64| (0..count).map(|page| RunRange::new(page * 0x2000, page * 0x2000 + 0x1000)).peekable();
        let mut many = pages(1500);
        let (list, total) = next_list(&mut many, u64::MAX);
        assert_eq!((list.len(), total), (BATCH * 16, BATCH as u64 * 0x1000));
        assert_eq!(next_list(&mut many, 0x3001), (table(&[1024, 1025, 1026, 1027]), 0x4000));
        assert_eq!(next_list(&mut pages(0), 1), (Vec::new(), 0));
    }

    fn table(pages: &[u64]) -> Vec<u8> {
        pages.iter().flat_map(|page| [page * 0x2000, 0x1000]).flat_map(u64::to_le_bytes).collect()
    }
}
