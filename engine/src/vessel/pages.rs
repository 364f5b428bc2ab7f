//! Where the bytes of private pages come from.

use dsu_formats::address::RunRange;
use dsu_formats::image::ImageReader;

use super::stock::Stock;
use crate::tracee::holder::Holder;

/// Source of the pages of one address space.
pub enum PageProvider<'a> {
    /// A parked task that still has the old memory, and the ranges of it to carry.
    Holder {
        /// The task.
        holder: &'a Holder,
        /// Private pages with bytes of their own, ascending.
        ranges: Vec<RunRange>,
        /// Huge pages that were set aside for them.
        stock: &'a Stock,
    },
    /// An image file.
    Image {
        /// The reader.
        reader: &'a ImageReader,
        /// Index of the address space.
        address_space: u32,
    },
}

/// The parts of `ranges` outside all of `holes`.
pub fn subtract(ranges: &[RunRange], holes: &[RunRange]) -> Vec<RunRange> {
    ranges.iter().flat_map(|range| range.without(holes)).collect()
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
