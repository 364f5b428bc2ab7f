//! Where the bytes of private pages come from.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::image::ImageReader;

use crate::tracee::holder::Holder;

/// Source of the pages of one address space.
pub enum PageProvider<'a> {
    /// A parked task that still has the old memory, and the ranges of it to carry.
    Holder {
        /// The task.
        holder: &'a Holder,
        /// Private pages with bytes of their own, ascending.
        ranges: Vec<RunRange>,
    },
    /// An image file.
    Image {
        /// The reader.
        reader: &'a ImageReader,
        /// Index of the address space.
        address_space: u32,
    },
}

/// The parts of `ranges` outside all of `holes`; both ascending.
pub fn subtract(ranges: &[RunRange], holes: &[RunRange]) -> Vec<RunRange> {
    let mut left = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut start = range.start;
        for hole in holes.iter().filter(|hole| hole.overlaps(range)) {
            if start < hole.start {
                left.push(RunRange { start, end: hole.start });
            }
            start = start.max(RunAddress(hole.end.0));
        }
        if start < range.end {
            left.push(RunRange { start, end: range.end });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_cut_ranges_at_either_end_and_in_the_middle() {
        let ranges = [RunRange::new(0x1000, 0x5000), RunRange::new(0x8000, 0x9000)];
        let holes = [RunRange::new(0x0, 0x2000), RunRange::new(0x3000, 0x4000), RunRange::new(0x8000, 0xa000)];
        assert_eq!(subtract(&ranges, &holes), [RunRange::new(0x2000, 0x3000), RunRange::new(0x4000, 0x5000)]);
        assert_eq!(subtract(&ranges, &[]), ranges);
    }
}
