//! Which words of new blocks wait for an address: one bit for each eight bytes, as there are millions of them.

use std::ops::Range;

/// Bytes that a bit stands for.
const WORD: u64 = 8;
/// Bytes that the bits of one number stand for.
const GROUP: u64 = 64 * WORD;

/// A set of offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Position of the first number of `bits` among those of all offsets.
    first: usize,
    /// A bit for each multiple of eight.
    bits: Vec<u64>,
    /// The other offsets, in no order; packed structures have them.
    others: Vec<u64>,
}

impl Marks {
    /// None of the offsets in `range`; only such may be added.
    pub fn within(range: Range<u64>) -> Self {
        let first = (range.start / GROUP) as usize;
        let end = usize::try_from(range.end.div_ceil(GROUP)).unwrap_or(usize::MAX);
        Self { first, bits: vec![0; end.saturating_sub(first)], others: Vec::new() }
    }

    /// Adds an offset.
    pub fn add(&mut self, offset: u64) {
        let at = usize::try_from(offset / GROUP).ok().and_then(|at| at.checked_sub(self.first));
        match at.and_then(|at| self.bits.get_mut(at)).filter(|_| offset.is_multiple_of(WORD)) {
            Some(bits) => *bits |= 1 << (offset % GROUP / WORD),
            None => self.others.push(offset),
        }
    }

    /// Adds all of another set.
    pub fn merge(&mut self, other: &Self) {
        other.within_bits(0..u64::MAX).for_each(|offset| self.add(offset));
        other.others.iter().for_each(|offset| self.add(*offset));
    }

    /// Makes the set ready to be read part by part.
    pub fn finish(&mut self) {
        self.others.sort_unstable();
        self.others.dedup();
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty() && self.bits.iter().all(|bits| *bits == 0)
    }

    /// The offsets in a range, those at multiples of eight first. For a part of all the set must have been made ready.
    pub fn iter(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let from = self.others.partition_point(|offset| *offset < range.start);
        let others = self.others.get(from..).unwrap_or_default();
        let end = range.end;
        self.within_bits(range).chain(others.iter().copied().take_while(move |offset| *offset < end))
    }

    fn within_bits(&self, range: Range<u64>) -> impl Iterator<Item = u64> + '_ {
        let from = usize::try_from(range.start / GROUP).unwrap_or(usize::MAX).saturating_sub(self.first).min(self.bits.len());
        let to = usize::try_from(range.end.div_ceil(GROUP)).unwrap_or(usize::MAX).saturating_sub(self.first).min(self.bits.len());
        let groups = (from..to).zip(self.bits.get(from..to).unwrap_or_default());
        let offsets = groups.flat_map(move |(at, bits)| {
            let start = (self.first + at) as u64 * GROUP;
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| u64::from(bits.trailing_zeros()))?;
                bits &= bits - 1;
                Some(start + bit * WORD)
            })
        });
        offsets.filter(move |offset| range.contains(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_has_what_was_added_and_its_parts_make_the_whole(
            one in proptest::collection::vec(0u64..5000, 0..80), other in proptest::collection::vec(0u64..5000, 0..80), cut in 0u64..5100,
        ) {
            let (mut all, mut part) = (Marks::within(0..5000), Marks::within(1000..5000));
            one.iter().for_each(|offset| all.add(*offset));
            other.iter().for_each(|offset| part.add(*offset));
            all.merge(&part);
            all.finish();
            let mut expected: Vec<u64> = one.into_iter().chain(other).collect();
            expected.sort_unstable();
            expected.dedup();
            let sorted = |range| { let mut list: Vec<u64> = all.iter(range).collect(); list.sort_unstable(); list };
            prop_assert_eq!(all.is_empty(), expected.is_empty());
            prop_assert_eq!([sorted(0..cut), sorted(cut..u64::MAX)].concat(), expected);
        }
    }
}
