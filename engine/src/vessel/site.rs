//! Where stub, trampoline and scratch can lie: a range that no mapping of any image that may be restored uses.

use dsu_formats::address::{RunAddress, RunRange};

use super::error::VesselError;

/// Lowest candidate, above `vm.mmap_min_addr` and where old programs without PIE lie.
const FIRST: u64 = 0x1000_0000;
const STEP: u64 = 0x100_0000;
const LAST: u64 = 0x7000_0000_0000;

/// The first free range of `length` bytes beside all of `taken`.
pub fn choose(length: u64, taken: impl Iterator<Item = RunRange> + Clone) -> Result<RunRange, VesselError> {
    let mut start = FIRST;
    while start < LAST {
        let candidate = RunRange { start: RunAddress(start), end: RunAddress(start + length) };
        match taken.clone().filter(|range| range.overlaps(&candidate)).map(|range| range.end.0).max() {
            None => return Ok(candidate),
            Some(end) => start = end.next_multiple_of(STEP).max(start + STEP),
        }
    }
    Err(VesselError::NoSite { length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_range_is_stepped_over() {
        let taken = [RunRange::new(0x1000_0000, 0x1000_1000), RunRange::new(0x1100_0000, 0x1380_0000)];
        let site = choose(0x10_0000, taken.iter().copied()).unwrap();
        assert_eq!(site, RunRange::new(0x1400_0000, 0x1410_0000));
        assert!(taken.iter().all(|range| !range.overlaps(&site)));
    }
}
