//! malloc's parameters and counts (`struct malloc_par`), found in the C library's data by value.

use dsu_formats::address::{PAGE_SIZE, RunRange};

use super::Data;
use super::defect::HeapDefect;

/// Bins of a thread's cache (TCACHE_MAX_BINS), and the largest chunk's usable size in the last: `tidx2usize`.
pub(super) const CACHE_BINS: u64 = 64;

/// What of malloc's parameters matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parameters {
    /// Blocks with a mapping of their own.
    pub(super) mapped: u64,
    /// Bytes of these mappings.
    pub(super) mapped_bytes: u64,
    /// Where the main arena's memory begins.
    pub(super) start: u64,
    /// The record: all numbers but `start`.
    pub(super) record: RunRange,
}

/// Finds the record by its end: `sbrk_base`, the numbers of the thread caches (bins, largest size, entries a bin), and what must hold
/// of the counts before it.
pub(super) fn find(data: &[Data]) -> Result<Parameters, HeapDefect> {
    let mut found = Vec::new();
    for part in data {
        for index in 7..part.count().saturating_sub(3) {
            found.extend(at(part, index));
        }
    }
    match found.as_slice() {
        [only] => Ok(*only),
        _ => Err(HeapDefect::NoParameters { found: found.len() }),
    }
}

/// The record whose `sbrk_base` is the word `index`.
fn at(part: &Data, index: usize) -> Option<Parameters> {
    let (start, bins) = (part.word(index)?, part.word(index + 1)?);
    let (largest, entries) = (part.word(index + 2)?, part.word(index + 3)?);
    if !(1..=CACHE_BINS).contains(&bins) || largest != (bins - 1) * 16 + 24 || entries > 0xffff || !start.is_multiple_of(16) {
        return None;
    }
    let (bytes, most) = (part.word(index - 2)?, part.word(index - 1)?);
    if bytes > most || bytes % PAGE_SIZE != 0 {
        return None;
    }
    // Four counts (now, limit, most, whether the threshold is fixed) end before the padding or, since 2.35, one place earlier.
    let base = index * 8;
    let mut layouts = [32, 36].into_iter().filter_map(|back| {
        let count = |at: usize| part.half(base - back + at * 4);
        let [now, limit, most, fixed] = [count(0)?, count(1)?, count(2)?, count(3)?];
        let sound = now <= most && most <= limit && fixed <= 1 && (now == 0) == (bytes == 0);
        // Before the counts lie five numbers, since 2.35 another two and a half; behind `sbrk_base` the numbers of the caches.
        let before = if back == 32 { 72 } else { 96 };
        sound.then_some((u64::from(now), before))
    });
    match (layouts.next(), layouts.next()) {
        (Some((mapped, before)), None) => {
            let at = part.address(index);
            let record = RunRange::new(at.saturating_sub(before), at + 40);
            Some(Parameters { mapped, mapped_bytes: bytes, start, record })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record with the counts `back` bytes before `sbrk_base`, between other words.
    fn record(back: usize, now: u32, most: u32) -> Data {
        let mut bytes = vec![0u8; 256];
        let base = 128;
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        for (at, count) in [(0, now), (4, 65536), (8, most), (12, 1)] {
            put(base - back + at, &count.to_le_bytes());
        }
        let sizes = [u64::from(now) * 0x21000, u64::from(most) * 0x21000, 0x55aa_0000, 64, 1032, 7];
        for (index, word) in sizes.into_iter().enumerate() {
            put(base - 16 + index * 8, &word.to_le_bytes());
        }
        Data { start: 0x7000, bytes }
    }

    #[test]
    fn both_layouts_are_told_apart_by_their_numbers() {
        for (back, now, most) in [(32, 0, 0), (36, 0, 0), (32, 1, 1), (36, 1, 1), (32, 3, 9), (36, 3, 9)] {
            let record_start = 0x7000 + 128 - if back == 32 { 72 } else { 96 };
            let expected = Parameters {
                mapped: now.into(),
                mapped_bytes: u64::from(now) * 0x21000,
                start: 0x55aa_0000,
                record: RunRange::new(record_start, 0x7000 + 128 + 40),
            };
            assert_eq!(find(&[record(back, now, most)]).unwrap(), expected, "{back} {now} {most}");
        }
        assert!(find(&[record(32, 4, 2)]).is_err(), "more now than ever before");
        assert!(find(&[record(32, 1, 1), record(36, 1, 1)]).is_err(), "two records");
    }
}
