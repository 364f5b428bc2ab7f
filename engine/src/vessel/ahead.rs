//! Pages made before they are filled: huge ones where the old process had all the small ones, else many small ones by one call.
//!
//! Making pages one by one, at the first write to each, is what bounds the copy of a large memory. Nothing here is needed for
//! it to be right: where the kernel refuses, the copy makes the pages.

use std::time::{Duration, Instant};

use dsu_formats::address::{RunAddress, RunRange};
use nix::errno::Errno;

use super::huge::HUGE_PAGE;
use super::stock::Stock;
use crate::tracee::emptied::Emptied;
use crate::tracee::error::TraceeError;
use crate::tracee::inject::Injector;

/// `MADV_POPULATE_WRITE` (Linux 5.14).
const POPULATE: u64 = 23;
/// `MADV_COLLAPSE` (Linux 6.1): makes one huge page of the small ones in each piece, and changes no flag of the mapping.
const COLLAPSE: u64 = 25;
/// Bytes of the first call for huge pages that were not set aside: how fast they come is not known yet.
const FIRST: u64 = 8 << 20;
/// Most bytes of one call for huge pages, up to which the others grow: at each call the kernel waits for every processor once.
const MOST: u64 = 256 << 20;
/// Most bytes of one call for small pages.
const SMALL_CALL: u64 = 32 << 20;
/// What a mebibyte of huge pages may take. Small ones take about half of it; huge ones a tenth, unless the kernel has to look for
/// them.
const PATIENCE: Duration = Duration::from_millis(1);
/// What a call may take beside that: the kernel first empties lists of every processor, which other programs may keep busy.
const GRACE: Duration = Duration::from_millis(10);
/// Runs of small pages that are worth a call of their own.
const SMALLEST: u64 = 256 << 10;

/// Makes pages for `ranges`, which ascend and have no page yet: huge ones for `whole`, pieces within them.
pub(super) fn make(
    vessel: &mut Emptied,
    workers: &[i32],
    ranges: &[RunRange],
    whole: &[RunRange],
    stock: &Stock,
) -> Result<(), TraceeError> {
    let made = collapse(vessel, workers, whole, stock)?;
    stock.release(u64::MAX);
    let long = |range: &RunRange| range.len() >= SMALLEST;
    let small = ranges.iter().filter(|range| long(range)).flat_map(|range| range.without(&made)).filter(long);
    let batches: Vec<RunRange> = small.flat_map(|range| cut(range, SMALL_CALL)).collect();
    for step in batches.chunks(workers.len()) {
        if !advise(vessel, workers, "madvise(MADV_POPULATE_WRITE)", step, POPULATE)? {
            break;
        }
    }
    Ok(())
}

/// Makes huge pages until one is refused, or those that were not set aside come too slowly; gives the ranges that have them, or may.
fn collapse(vessel: &mut Emptied, workers: &[i32], whole: &[RunRange], stock: &Stock) -> Result<Vec<RunRange>, TraceeError> {
    let mut made = Vec::new();
    let total: u64 = whole.iter().map(RunRange::len).sum();
    let mut size = if stock.bytes() >= total { MOST } else { FIRST };
    let mut rest: Vec<RunRange> = whole.iter().rev().copied().collect();
    loop {
        let step = next_step(&mut rest, workers.len(), size);
        let bytes: u64 = step.iter().map(RunRange::len).sum();
        if bytes == 0 {
            return Ok(made);
        }
        let set_aside = stock.release(bytes);
        let started = Instant::now();
        // A piece without any page has nothing to be made a huge page of.
        for piece in step.iter().flat_map(|range| (range.start.0..range.end.0).step_by(HUGE_PAGE as usize)) {
            vessel.memory().write(RunAddress(piece), &[0])?;
        }
        let given = advise(vessel, workers, "madvise(MADV_COLLAPSE)", &step, COLLAPSE)?;
        made.extend_from_slice(&step);
        if !given || (!set_aside && is_slow(started.elapsed(), bytes)) {
            tracing::debug!(given, took = ?started.elapsed(), bytes, "no more huge pages");
            return Ok(made);
        }
        size = (size * 2).min(MOST);
    }
}

fn is_slow(took: Duration, bytes: u64) -> bool {
    took > GRACE + PATIENCE * u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}

/// Takes a range of at most `size` bytes for each of `count` workers off the end of `rest`.
fn next_step(rest: &mut Vec<RunRange>, count: usize, size: u64) -> Vec<RunRange> {
    let mut step = Vec::with_capacity(count);
    while step.len() < count
        && let Some(range) = rest.pop()
    {
        let end = range.end.0.min(range.start.0 + size);
        step.push(RunRange::new(range.start.0, end));
        if end < range.end.0 {
            rest.push(RunRange::new(end, range.end.0));
        }
    }
    step
}

/// Gives each worker one range to advise on. `false` when the kernel refused one.
fn advise(
    vessel: &mut Emptied,
    workers: &[i32],
    name: &'static str,
    ranges: &[RunRange],
    advice: u64,
) -> Result<bool, TraceeError> {
    let calls: Vec<_> = workers.iter().zip(ranges).map(|(tid, range)| (*tid, vec![range.start.0, range.len(), advice])).collect();
    match vessel.call_together(name, libc::SYS_madvise, &calls) {
        // Single pages that the kernel holds for a moment are passed over; the rest of the range was done.
        Ok(_) | Err(TraceeError::Call { source: Errno::EAGAIN, .. }) => Ok(true),
        Err(error) if is_refusal(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the kernel has no room, does not know the call, or forbids it: the work can be done without.
pub(super) fn is_refusal(error: &TraceeError) -> bool {
    use Errno::{EACCES, EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM, ENOSPC, ENOSYS, EPERM};
    let TraceeError::Call { source, .. } = error else { return false };
    [EACCES, EAGAIN, EBUSY, EFAULT, EINVAL, ENOMEM, ENOSPC, ENOSYS, EPERM].contains(source)
}

/// `range` in parts of at most `size` bytes.
pub(super) fn cut(range: RunRange, size: u64) -> impl Iterator<Item = RunRange> {
    let starts = (range.start.0..range.end.0).step_by(size as usize);
    starts.map(move |start| RunRange::new(start, range.end.0.min(start + size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn steps_cover_everything_once_and_no_more_than_asked_for() {
        let whole = [RunRange::new(2 * MIB, 42 * MIB), RunRange::new(64 * MIB, 66 * MIB), RunRange::new(80 * MIB, 90 * MIB)];
        let mut rest: Vec<RunRange> = whole.iter().rev().copied().collect();
        let mut seen = Vec::new();
        loop {
            let step = next_step(&mut rest, 2, 16 * MIB);
            assert!(step.len() <= 2 && step.iter().all(|range| range.len() <= 16 * MIB));
            if step.is_empty() {
                break;
            }
            seen.extend(step);
        }
        let expected =
            [(2, 18), (18, 34), (34, 42), (64, 66), (80, 90)].map(|(start, end)| RunRange::new(start * MIB, end * MIB));
        assert_eq!(seen, expected);
    }

    #[test]
    fn parts_end_where_the_range_does() {
        let parts: Vec<RunRange> = cut(RunRange::new(0x1000, 0x6000), 0x2000).collect();
        assert_eq!(parts, [RunRange::new(0x1000, 0x3000), RunRange::new(0x3000, 0x5000), RunRange::new(0x5000, 0x6000)]);
    }
}
