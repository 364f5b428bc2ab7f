//! What a counter of the new code is, told from a counter of the old frame: both have gone round as often (PROOF 3.20).

use super::continuation::{FramePlace, Operation, Value};
use super::lockstep::{Atom, Linear};
use super::terms::{Candidate, Terms};
use crate::program::flow::{Place, Term, ValueId};

/// Counters that change by more than a multiple of this power of two are not divided.
const MOST_ZEROS: u32 = 16;

impl Terms<'_, '_, '_> {
    /// A counter of the new code by the rounds that its loop has been gone round.
    pub(super) fn in_step(&mut self, wanted: ValueId, depth: u32) -> Option<Value> {
        let (whole, bits) = match *self.correspondence.new.values.node(wanted) {
            Term::Extend { from: from @ 32.., signed: false, of } => (of, from),
            _ => (wanted, 64),
        };
        if !matches!(self.correspondence.new.values.node(whole), Term::Choice { .. }) {
            return None;
        }
        let sum = Linear::of(self.correspondence.new.values, whole, bits)?;
        let (other, step) = sum.rounds()?;
        let mut found = times(self.gone_round(other)?, step);
        for (part, factor) in &sum.parts {
            if let Atom::Value(part) = part {
                found = plus(times(self.deep(*part, bits, depth).ok()?, *factor), found);
            }
        }
        let found = plus(found, Value::Constant(sum.constant.cast_unsigned()));
        Some(if bits < 64 { Value::Computed(Operation::ZeroExtend { from: bits }, vec![found]) } else { found })
    }

    /// How often a loop of the new code has been gone round, told from a counter that the old frame keeps.
    fn gone_round(&mut self, other: u32) -> Option<Value> {
        for index in 0..self.candidates.len() {
            let Candidate { place, value } = *self.candidates.get(index)?;
            let values = &self.correspondence.old.values;
            let counted = [64, 32].into_iter().find_map(|bits| {
                let sum = Linear::of(values, value, bits)?;
                Some((sum.rounds()?, sum, bits))
            });
            let Some(((at, step), sum, bits)) = counted else { continue };
            let Some(start) = self.start(&sum) else { continue };
            if step.trailing_zeros() <= MOST_ZEROS && self.correspondence.same_rounds(at, other) {
                return Some(divided(place, start, step, bits));
            }
        }
        None
    }

    /// What a sum is but for the rounds, if the old frame tells. Only of numbers: what an address leads to may move by another distance.
    fn start(&self, sum: &Linear) -> Option<Value> {
        let values = &self.correspondence.old.values;
        let mut found = Value::Constant(sum.constant.cast_unsigned());
        for (part, factor) in &sum.parts {
            let Atom::Value(part) = *part else { continue };
            let part = values.resolve(part);
            let is_narrow = values.width(part) <= 32;
            if !(is_narrow || factor.unsigned_abs() > 1 || matches!(values.node(part), Term::Binary { .. })) {
                return None;
            }
            let is_whole = |place: FramePlace| match place {
                FramePlace::Register(_) => true,
                FramePlace::Slot { length, .. } => length.saturating_mul(8) >= values.width(part),
            };
            let keeps = |candidate: &&Candidate| values.resolve(candidate.value) == part && is_whole(candidate.place);
            let value = match (self.candidates.iter().find(keeps), values.node(part)) {
                (Some(candidate), _) => Value::Old(candidate.place),
                (None, Term::Entry(Place::Register(register))) => Value::Given(*register),
                _ => return None,
            };
            found = plus(times(value, *factor), found);
        }
        Some(found)
    }
}

/// What a place holds less where it began, by what each round adds. A counter never comes back to where it began (PROOF 3.5), so that the
/// highest bits of the quotient are clear.
fn divided(place: FramePlace, start: Value, step: i64, bits: u8) -> Value {
    let zeros = step.trailing_zeros();
    let apart = Value::Computed(Operation::Subtract { bits }, vec![Value::Old(place), start]);
    let shifted = match zeros {
        0 => apart,
        zeros => Value::Computed(Operation::ShiftRight { bits }, vec![apart, Value::Constant(u64::from(zeros))]),
    };
    match step >> zeros {
        1 => shifted,
        odd => {
            let product = vec![shifted, Value::Constant(inverse(odd.cast_unsigned()))];
            let product = Value::Computed(Operation::Multiply { bits: 64 }, product);
            Value::Computed(Operation::ZeroExtend { from: bits.saturating_sub(zeros as u8) }, vec![product])
        }
    }
}

/// The number that an odd one is to be multiplied by to give 1, modulo 2^64 (Newton's iteration: each step doubles the bits that are right).
fn inverse(odd: u64) -> u64 {
    (0..6).fold(odd, |known, _| known.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(known))))
}

fn times(value: Value, factor: i64) -> Value {
    match factor {
        1 => value,
        factor => Value::Computed(Operation::Multiply { bits: 64 }, vec![value, Value::Constant(factor.cast_unsigned())]),
    }
}

fn plus(one: Value, other: Value) -> Value {
    match (&one, &other) {
        (_, Value::Constant(0)) => one,
        (Value::Constant(0), _) => other,
        _ => Value::Computed(Operation::Add { bits: 64 }, vec![one, other]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rebuild_value::{compute, evaluate};
    use super::*;

    struct Frame(u64);

    impl super::super::rebuild_value::Scene for Frame {
        fn old(&mut self, _place: FramePlace, wanted: u64) -> Result<u64, String> {
            Ok(self.0 & wanted)
        }
        fn outer(&mut self, _: usize, _: super::super::continuation::Held, _: u64) -> Result<u64, String> {
            Err(String::new())
        }
        fn address(&self, _: crate::plan::address::NewLink) -> u64 {
            0
        }
        fn frame(&self) -> u64 {
            0
        }
        fn said(&mut self, _: &super::super::said::Said) -> Result<u64, String> {
            Err(String::new())
        }
        fn canary(&mut self) -> Result<u64, String> {
            Err(String::new())
        }
    }

    #[test]
    fn rounds_are_told_from_any_step() {
        for (start, step, rounds) in [(0, 1, 7), (5, -1, 9), (100, 24, 1000), (3, -40, 12), (-8, 3, 1), (1, 1 << 16, 5)] {
            for bits in [64, 32] {
                let now = compute(Operation::ZeroExtend { from: bits }, (start + step * rounds) as u64, 0);
                let value = divided(FramePlace::Register(3), Value::Constant(start as u64), step, bits);
                assert_eq!(evaluate(&value, u64::MAX, &mut Frame(now)), Ok(rounds as u64), "{start} {step} {bits}");
            }
        }
    }
}
