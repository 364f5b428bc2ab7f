//! A set of places with rank and selection: one bit for each 16 bytes of a heap.

/// Words of bits that one count covers.
const GROUP: usize = 8;
/// Bits in a word.
const WORD: usize = 64;

/// Bits by position, with counts so that rank and selection are quick.
#[derive(Default)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    /// Set bits before each group of words.
    before: Vec<u32>,
    count: u32,
}

impl Bitmap {
    /// A set of positions below `length`.
    pub(super) fn new(length: usize) -> Self {
        Self { words: vec![0; length.div_ceil(WORD)], ..Self::default() }
    }

    /// Adds a position.
    pub(super) fn set(&mut self, position: usize) {
        if let Some(word) = self.words.get_mut(position / WORD) {
            *word |= 1 << (position % WORD);
        }
    }

    /// Whether the position is in the set.
    pub(super) fn get(&self, position: usize) -> bool {
        self.words.get(position / WORD).is_some_and(|word| word >> (position % WORD) & 1 != 0)
    }

    /// Makes the counts; no position may be added afterwards.
    pub(super) fn seal(&mut self) {
        self.before = Vec::with_capacity(self.words.len().div_ceil(GROUP));
        let mut count = 0u32;
        for group in self.words.chunks(GROUP) {
            self.before.push(count);
            count += group.iter().map(|word| word.count_ones()).sum::<u32>();
        }
        self.count = count;
    }

    /// Number of positions in the set.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Number of set positions below `position`.
    pub(super) fn rank(&self, position: usize) -> u32 {
        let word = position / WORD;
        let group = word / GROUP;
        let Some(before) = self.before.get(group) else { return self.count };
        let whole = self.words.get(group * GROUP..word).unwrap_or_default();
        let part = self.words.get(word).map_or(0, |bits| (bits & ((1 << (position % WORD)) - 1)).count_ones());
        before + whole.iter().map(|word| word.count_ones()).sum::<u32>() + part
    }

    /// The set position that `number` others precede.
    pub(super) fn select(&self, number: u32) -> Option<usize> {
        if number >= self.count {
            return None;
        }
        let group = self.before.partition_point(|before| *before <= number).checked_sub(1)?;
        let mut left = number - self.before.get(group)?;
        for (index, word) in self.words.iter().enumerate().skip(group * GROUP).take(GROUP) {
            let ones = word.count_ones();
            if left < ones {
                let mut bits = *word;
                for _ in 0..left {
                    bits &= bits - 1;
                }
                return Some(index * WORD + bits.trailing_zeros() as usize);
            }
            left -= ones;
        }
        None
    }

    /// The last set position that is not above `position`.
    pub(super) fn last_up_to(&self, position: usize) -> Option<usize> {
        let first = position / WORD;
        let mask = u64::MAX >> (WORD - 1 - position % WORD);
        let near = self.words.get(first).map_or(0, |bits| bits & mask);
        if near != 0 {
            return Some(first * WORD + highest(near));
        }
        let low = first.saturating_sub(GROUP);
        for index in (low..first.min(self.words.len())).rev() {
            let bits = self.words.get(index).copied().unwrap_or(0);
            if bits != 0 {
                return Some(index * WORD + highest(bits));
            }
        }
        self.select(self.rank(low * WORD).checked_sub(1)?)
    }

    /// The first set position above `position`.
    pub(super) fn next_after(&self, position: usize) -> Option<usize> {
        let position = position + 1;
        let first = position / WORD;
        let near = self.words.get(first).map_or(0, |bits| bits & (u64::MAX << (position % WORD)));
        if near != 0 {
            return Some(first * WORD + near.trailing_zeros() as usize);
        }
        let high = first + 1 + GROUP;
        for index in first + 1..high {
            let bits = self.words.get(index).copied().unwrap_or(0);
            if bits != 0 {
                return Some(index * WORD + bits.trailing_zeros() as usize);
            }
        }
        self.select(self.rank(high * WORD))
    }
}

fn highest(bits: u64) -> usize {
    WORD - 1 - bits.leading_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn answers_are_those_of_a_sorted_list(mut set in proptest::collection::vec(0usize..20_000, 0..60), at in 0usize..20_100) {
            let mut bitmap = Bitmap::new(20_000);
            set.sort_unstable();
            set.dedup();
            for position in &set {
                bitmap.set(*position);
            }
            bitmap.seal();
            prop_assert_eq!(bitmap.count() as usize, set.len());
            prop_assert_eq!(bitmap.rank(at) as usize, set.iter().filter(|p| **p < at).count());
            prop_assert_eq!(bitmap.last_up_to(at), set.iter().rev().find(|p| **p <= at).copied());
            prop_assert_eq!(bitmap.next_after(at), set.iter().find(|p| **p > at).copied());
            for (number, position) in set.iter().enumerate() {
                prop_assert_eq!(bitmap.select(number as u32), Some(*position));
            }
            prop_assert_eq!(bitmap.select(set.len() as u32), None);
        }
    }
}
