//! Finds the move that holds an address: most words that are looked at point nowhere near one.

use super::moves::Move;

/// How many moves share an entry of the index at most, on average.
const PER_BUCKET: usize = 4;
/// A gap between moves that starts another stretch of the index.
const GAP: u64 = 1 << 26;

/// An index over moves that lie near to each other.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) start: u64,
    pub(super) end: u64,
    shift: u32,
    /// For each bucket the first move that ends behind the bucket's start.
    buckets: Vec<u32>,
    /// Behind the stretch's last move.
    last: usize,
}

impl Stretch {
    /// The stretches of ascending moves; `end_of` says where the old objects of one end.
    pub(super) fn all(moves: &[Move], end_of: impl Fn(&Move) -> u64) -> Vec<Self> {
        let mut stretches = Vec::new();
        let mut first = 0;
        while first < moves.len() {
            let rest = moves.get(first..).unwrap_or(&[]);
            let far =
                rest.windows(2).position(|pair| matches!(pair, [one, next] if next.start.saturating_sub(end_of(one)) > GAP));
            let count = far.map_or(rest.len(), |position| position + 1);
            stretches.extend(Self::new(rest.get(..count).unwrap_or(&[]), first, &end_of));
            first += count;
        }
        stretches
    }

    fn new(moves: &[Move], first: usize, end_of: impl Fn(&Move) -> u64) -> Option<Self> {
        let (start, end) = (moves.first()?.start, end_of(moves.last()?));
        let wanted = (moves.len() / PER_BUCKET).max(1) as u64;
        let mut shift = 4;
        while (end - start) >> shift > wanted {
            shift += 1;
        }
        let count = ((end - start) >> shift) as usize + 1;
        let mut buckets = Vec::with_capacity(count);
        let mut at = 0;
        for bucket in 0..count {
            let from = start.saturating_add((bucket as u64) << shift);
            while moves.get(at).is_some_and(|one| end_of(one) < from) {
                at += 1;
            }
            buckets.push((first + at) as u32);
        }
        Some(Self { start, end, shift, buckets, last: first + moves.len() })
    }

    /// The moves among which one may hold `address`, which lies in the stretch.
    pub(super) fn from(&self, address: u64) -> Option<std::ops::Range<usize>> {
        let bucket = (address.checked_sub(self.start)? >> self.shift) as usize;
        Some(*self.buckets.get(bucket)? as usize..self.last)
    }
}
