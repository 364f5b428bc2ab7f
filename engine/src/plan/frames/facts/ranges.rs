//! Sets of numbers that comparisons with a constant let through, as ranges of unsigned numbers.

use super::super::continuation::Relation;

/// Disjoint inclusive ranges, ascending.
pub(super) type Ranges = Vec<(u64, u64)>;

/// The greatest number of `bits` bits.
pub(super) fn greatest(bits: u8) -> u64 {
    u64::MAX >> (64 - u32::from(bits.clamp(1, 64)))
}

/// The numbers of `bits` bits that relate so to `to`; `None` where that is no matter of ranges.
pub(super) fn of(relation: Relation, to: u64, bits: u8) -> Option<Ranges> {
    let (top, to) = (greatest(bits), to & greatest(bits));
    // Signed order is unsigned order with the upper half of the numbers put before the lower one.
    let middle = (top >> 1) + 1;
    let signed = |ranges: Ranges| unite(ranges.iter().flat_map(|range| turned(*range, middle, top)).collect());
    let turn = |number: u64| number.wrapping_add(middle) & top;
    let below = |to: u64| if to == 0 { Vec::new() } else { vec![(0, to - 1)] };
    let above = |to: u64| if to == top { Vec::new() } else { vec![(to + 1, top)] };
    Some(match relation {
        Relation::Equal => vec![(to, to)],
        Relation::Different => below(to).into_iter().chain(above(to)).collect(),
        Relation::Below => below(to),
        Relation::BelowOrEqual => vec![(0, to)],
        Relation::Above => above(to),
        Relation::AboveOrEqual => vec![(to, top)],
        Relation::Less => signed(below(turn(to))),
        Relation::LessOrEqual => signed(vec![(0, turn(to))]),
        Relation::Greater => signed(above(turn(to))),
        Relation::GreaterOrEqual => signed(vec![(turn(to), top)]),
        Relation::NoCommonBit | Relation::CommonBit => return None,
    })
}

/// A range of turned numbers, turned back.
fn turned((low, high): (u64, u64), middle: u64, top: u64) -> Ranges {
    let back = |number: u64| number.wrapping_sub(middle) & top;
    if low < middle && high >= middle { vec![(back(low), top), (0, back(high))] } else { vec![(back(low), back(high))] }
}

/// Sorts ranges and joins those that touch.
pub(super) fn unite(mut ranges: Ranges) -> Ranges {
    ranges.sort_unstable();
    let mut united: Ranges = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match united.last_mut() {
            Some(last) if last.1.checked_add(1).is_none_or(|next| low <= next) => last.1 = last.1.max(high),
            _ => united.push((low, high)),
        }
    }
    united
}

/// The numbers that are in both.
pub(super) fn common(a: &[(u64, u64)], b: &[(u64, u64)]) -> Ranges {
    let both = a.iter().flat_map(|one| b.iter().map(move |other| (one.0.max(other.0), one.1.min(other.1))));
    unite(both.filter(|(low, high)| low <= high).collect())
}

/// Whether every number of `inner` is in `outer`.
pub(super) fn within(inner: &[(u64, u64)], outer: &[(u64, u64)]) -> bool {
    inner.iter().all(|(low, high)| outer.iter().any(|(from, to)| from <= low && high <= to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_let_ranges_through() {
        assert_eq!(of(Relation::Different, 3, 8), Some(vec![(0, 2), (4, 255)]));
        assert_eq!(of(Relation::Below, 0, 8), Some(vec![]));
        assert_eq!(of(Relation::Less, 0, 8), Some(vec![(128, 255)]));
        assert_eq!(of(Relation::Less, 5, 8), Some(vec![(0, 4), (128, 255)]));
        assert_eq!(of(Relation::Greater, 5, 8), Some(vec![(6, 127)]));
        assert_eq!(of(Relation::GreaterOrEqual, 0xff, 8), Some(vec![(0, 127), (255, 255)]));
        assert_eq!(of(Relation::LessOrEqual, 0x7f, 8), Some(vec![(0, 255)]));
        assert_eq!(of(Relation::AboveOrEqual, 1, 64), Some(vec![(1, u64::MAX)]));
        assert_eq!(of(Relation::CommonBit, 1, 8), None);
    }

    #[test]
    fn ranges_agree_with_the_comparisons_themselves() {
        type Test = fn(u8, u8) -> bool;
        let relations: [(Relation, Test); 10] = [
            (Relation::Equal, |a, b| a == b),
            (Relation::Different, |a, b| a != b),
            (Relation::Below, |a, b| a < b),
            (Relation::BelowOrEqual, |a, b| a <= b),
            (Relation::Above, |a, b| a > b),
            (Relation::AboveOrEqual, |a, b| a >= b),
            (Relation::Less, |a, b| a.cast_signed() < b.cast_signed()),
            (Relation::LessOrEqual, |a, b| a.cast_signed() <= b.cast_signed()),
            (Relation::Greater, |a, b| a.cast_signed() > b.cast_signed()),
            (Relation::GreaterOrEqual, |a, b| a.cast_signed() >= b.cast_signed()),
        ];
        for (relation, test) in relations {
            for to in [0, 1, 5, 126, 127, 128, 129, 254, 255] {
                let ranges = of(relation, u64::from(to), 8).expect("ranges");
                for number in 0..=255u8 {
                    let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&u64::from(number)));
                    assert_eq!(inside, test(number, to), "{number} {relation:?} {to}");
                }
            }
        }
    }

    #[test]
    fn sets_are_compared() {
        assert_eq!(unite(vec![(4, 9), (0, 3), (20, 21)]), vec![(0, 9), (20, 21)]);
        assert_eq!(common(&[(0, 5), (9, 20)], &[(4, 10)]), vec![(4, 5), (9, 10)]);
        assert!(within(&[(2, 3), (9, 9)], &[(0, 3), (9, 20)]));
        assert!(!within(&[(2, 4)], &[(0, 3), (5, 20)]));
        assert!(within(&[], &[]));
    }
}
