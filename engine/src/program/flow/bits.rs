//! Sets of frame bytes: the frame is cut where accesses and variables begin and end, and a set says which of the pieces are in it.

use std::ops::Range;

/// A set of small numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & 1 << (index % 64) != 0)
    }

    pub(super) fn set(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    pub(super) fn clear(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word &= !(1 << (index % 64));
        }
    }

    pub(super) fn set_all(&mut self, range: Range<usize>) {
        range.for_each(|index| self.set(index));
    }

    pub(super) fn clear_all(&mut self, range: Range<usize>) {
        range.for_each(|index| self.clear(index));
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    pub(super) fn remove(&mut self, other: &Self) {
        for (word, less) in self.0.iter_mut().zip(&other.0) {
            *word &= !less;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.0.iter().enumerate();
        words.flat_map(|(position, word)| (0..64).filter(move |bit| word & 1 << bit != 0).map(move |bit| position * 64 + bit))
    }
}

/// The pieces of a frame, by number, ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    edges: Vec<i64>,
}

impl Pieces {
    /// A frame cut at `edges`.
    pub(super) fn new(mut edges: Vec<i64>) -> Self {
        edges.sort_unstable();
        edges.dedup();
        Self { edges }
    }

    pub(super) fn len(&self) -> usize {
        self.edges.len().saturating_sub(1)
    }

    /// First byte and behind-last byte of a piece, from the canonical frame address.
    pub(super) fn bytes(&self, piece: usize) -> Option<(i64, i64)> {
        Some((*self.edges.get(piece)?, *self.edges.get(piece + 1)?))
    }

    /// The pieces that have a byte from `start` to `end`.
    pub(super) fn touching(&self, start: i64, end: i64) -> Range<usize> {
        let first = self.edges.partition_point(|edge| *edge <= start).saturating_sub(1);
        let last = self.edges.partition_point(|edge| *edge < end).min(self.len());
        if start >= end { 0..0 } else { first.min(last)..last }
    }

    /// The pieces below `end`.
    pub(super) fn below(&self, end: i64) -> Range<usize> {
        0..self.edges.partition_point(|edge| *edge <= end).saturating_sub(1).min(self.len())
    }

    pub(super) fn set_of(&self, start: i64, end: i64) -> Bits {
        let mut bits = Bits::new(self.len());
        bits.set_all(self.touching(start, end));
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_by_their_bytes() {
        let pieces = Pieces::new(vec![-24, -16, -8, 0, 16]);
        assert_eq!((pieces.len(), pieces.bytes(1)), (4, Some((-16, -8))));
        assert_eq!(pieces.touching(-16, -8), 1..2);
        assert_eq!(pieces.touching(-17, -7), 0..3);
        assert_eq!(pieces.touching(-20, -18), 0..1);
        assert_eq!(pieces.touching(8, 40), 3..4);
        assert_eq!(pieces.touching(-40, -30), 0..0);
        assert_eq!(pieces.touching(20, 30), 4..4);
        assert_eq!(pieces.touching(-8, -8), 0..0);
        assert_eq!(pieces.below(-8), 0..2);
        assert_eq!(pieces.below(-12), 0..1);
        assert_eq!(pieces.below(100), 0..4);
        assert!(Pieces::default().touching(0, 8).is_empty() && Pieces::default().below(8).is_empty());
    }

    #[test]
    fn sets_are_joined_and_taken_apart() {
        let pieces = Pieces::new((0..200).collect());
        let mut all = pieces.set_of(0, 70);
        all.add(&pieces.set_of(150, 152));
        all.remove(&pieces.set_of(1, 69));
        assert_eq!(all.iter().collect::<Vec<_>>(), [0, 69, 150, 151]);
        all.clear(69);
        assert!(!all.has(69) && all.has(150) && !all.has(10_000));
    }
}
