//! What is known of the bytes of an object, as runs over its offsets.

/// What a byte holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Byte {
    /// What it held when the function was entered, or zero in its stead.
    Kept,
    /// Zero.
    Zero,
    /// Something else, or not known.
    Other,
}

impl Byte {
    /// What is known where two ways meet.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Other, _) | (_, Self::Other) => Self::Other,
            _ => Self::Kept,
        }
    }

    /// What a byte holds that held `self` before something with the effect `effect`.
    fn then(self, effect: Self) -> Self {
        if effect == Self::Kept { self } else { effect }
    }
}

/// Bytes by their offset from a pointer, on both sides of it. Each run reaches up to the next one's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytes {
    /// (start, byte), ascending; the first starts at `i64::MIN`.
    runs: Vec<(i64, Byte)>,
}

impl Bytes {
    /// All of them alike.
    pub(super) fn all(byte: Byte) -> Self {
        Self { runs: vec![(i64::MIN, byte)] }
    }

    /// The byte at `offset`.
    fn at(&self, offset: i64) -> Byte {
        let after = self.runs.partition_point(|run| run.0 <= offset);
        after.checked_sub(1).and_then(|index| self.runs.get(index)).map_or(Byte::Other, |run| run.1)
    }

    /// Sets the bytes from `start` up to `end`.
    pub(super) fn set(&mut self, start: i64, end: i64, byte: Byte) {
        if start >= end {
            return;
        }
        let behind = self.at(end);
        let mut runs: Vec<(i64, Byte)> = self.runs.iter().copied().filter(|run| run.0 < start).collect();
        runs.push((start, byte));
        if end < i64::MAX {
            runs.push((end, behind));
        }
        runs.extend(self.runs.iter().copied().filter(|run| run.0 > end));
        *self = Self::from_runs(runs);
    }

    /// What is known where two ways meet.
    pub(super) fn join(&self, other: &Self) -> Self {
        self.zip(other, Byte::join)
    }

    /// The bytes after something with the effect `effect`, which counts from `at`.
    pub(super) fn then(&self, effect: &Self, at: i64) -> Self {
        self.zip(&effect.moved(at), Byte::then)
    }

    /// An effect that may be one on other bytes instead: its zeros do not count.
    pub(super) fn without_zeros(&self) -> Self {
        let kept = |byte| if byte == Byte::Zero { Byte::Kept } else { byte };
        Self::from_runs(self.runs.iter().map(|run| (run.0, kept(run.1))).collect())
    }

    /// The same bytes counted from a pointer that lies `by` lower.
    pub(super) fn moved(&self, by: i64) -> Self {
        let moved = self.runs.iter().map(|run| (if run.0 == i64::MIN { run.0 } else { run.0.saturating_add(by) }, run.1));
        Self::from_runs(moved.collect())
    }

    /// Whether all bytes from `start` up to `end` are zero.
    pub(super) fn is_zero(&self, start: i64, end: i64) -> bool {
        let inside = self.runs.iter().filter(|run| run.0 > start && run.0 < end);
        self.at(start) == Byte::Zero && inside.into_iter().all(|run| run.1 == Byte::Zero)
    }

    /// What is known of the bytes of each element, where elements of `length` bytes lie from `start` up to `end`.
    pub(super) fn of_elements(&self, start: i64, end: i64, length: i64) -> Self {
        let mut found = Self::all(Byte::Zero);
        let ends = self.runs.iter().skip(1).map(|run| run.0).chain([i64::MAX]);
        for ((from, byte), to) in self.runs.iter().copied().zip(ends) {
            let (from, to) = (from.max(start), to.min(end));
            if byte == Byte::Zero || from >= to {
                continue;
            }
            if length <= 0 || to.saturating_sub(from) >= length {
                return Self::all(Byte::Other);
            }
            let first = (from - start) % length;
            let last = first + (to - from);
            found.set(first, last.min(length), Byte::Other);
            found.set(0, last - length, Byte::Other);
        }
        found
    }

    /// Whether nothing but zeros is ever stored.
    pub(super) fn has_no_other(&self) -> bool {
        self.runs.iter().all(|run| run.1 != Byte::Other)
    }

    fn zip(&self, other: &Self, combine: impl Fn(Byte, Byte) -> Byte) -> Self {
        let mut starts: Vec<i64> = self.runs.iter().chain(&other.runs).map(|run| run.0).collect();
        starts.sort_unstable();
        starts.dedup();
        Self::from_runs(starts.into_iter().map(|start| (start, combine(self.at(start), other.at(start)))).collect())
    }

    fn from_runs(mut runs: Vec<(i64, Byte)>) -> Self {
        runs.dedup_by(|next, last| next.1 == last.1);
        Self { runs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_set_joined_and_put_after_one_another() {
        let mut made = Bytes::all(Byte::Other);
        made.set(8, 16, Byte::Zero);
        made.set(16, 24, Byte::Zero);
        assert!(made.is_zero(8, 24) && !made.is_zero(7, 24) && !made.is_zero(8, 25));
        let mut other = Bytes::all(Byte::Zero);
        other.set(20, 21, Byte::Other);
        let both = made.join(&other);
        assert!(both.is_zero(8, 20) && !both.is_zero(20, 21) && both.is_zero(21, 24) && !both.is_zero(24, 25));
        let mut effect = Bytes::all(Byte::Kept);
        effect.set(-4, 4, Byte::Zero);
        assert!(effect.has_no_other());
        let after = both.then(&effect, 20);
        assert!(after.is_zero(8, 24) && !after.is_zero(8, 25));
        effect.set(0, i64::MAX, Byte::Other);
        assert!(!effect.has_no_other() && !both.then(&effect, 10).is_zero(8, 12) && both.then(&effect, 12).is_zero(8, 12));
    }

    #[test]
    fn elements_are_as_bad_as_the_worst_of_them() {
        let mut array = Bytes::all(Byte::Zero);
        array.set(12, 16, Byte::Other);
        array.set(58, 62, Byte::Other);
        let each = array.of_elements(0, i64::MAX, 20);
        assert!(
            each.is_zero(2, 12) && each.is_zero(16, 18) && !each.is_zero(0, 2) && !each.is_zero(12, 16) && !each.is_zero(18, 20)
        );
        assert!(array.of_elements(20, 40, 20).is_zero(0, 20));
        array.set(100, i64::MAX, Byte::Other);
        assert!(!array.of_elements(0, i64::MAX, 20).is_zero(2, 3));
    }

    #[test]
    fn zero_on_one_way_only_is_what_was_there() {
        let (kept, zero) = (Bytes::all(Byte::Kept), Bytes::all(Byte::Zero));
        let either = kept.join(&zero);
        assert!(Bytes::all(Byte::Zero).then(&either, 0).is_zero(0, 8));
        assert!(!Bytes::all(Byte::Other).then(&either, 0).is_zero(0, 8));
    }
}
