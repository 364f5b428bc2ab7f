//! Values told from sums (PROOF 3.43): what is one term of what the old frame keeps, or of what the call under way was given, is that less
//! the other terms.

use super::continuation::{FramePlace, Operation, Value};
use super::correspond::Side;
use super::lockstep::{Atom, Linear};
use super::parameters;
use super::terms::Terms;
use crate::program::flow::{Place, Term, ValueId, Values};

/// More ways to tell one value are not looked for.
const MOST_WAYS: usize = 4;
/// More terms of one sum are not told one by one.
const MOST_TERMS: usize = 4;

/// What a call passes in the registers that its callee is known to read, or may read.
pub(super) fn arguments(values: &mut Values<'_>, call: u32) -> Vec<(u8, ValueId)> {
    let node = values.function().graph.node(call);
    let general = node.and_then(|node| node.arguments).map_or(0, |passed| passed.registers.general);
    let passed = (0u8..16).filter(|number| general >> number & 1 != 0 && parameters::is_argument(*number));
    passed.map(|number| (number, values.before(call, Place::Register(number)))).collect()
}

impl Terms<'_, '_, '_> {
    /// All ways that are found to tell the lowest `bits` bits of a value of the new code.
    pub(super) fn solved(&mut self, wanted: ValueId, bits: u8) -> Vec<Value> {
        let mut found = Vec::new();
        for (source, value) in self.sources() {
            let value = self.correspondence.old.values.resolve(value);
            let same = matches!(source, Value::Passed(_)) && self.is(value, wanted, bits);
            found.extend(same.then(|| source.clone()));
            let told = self.less(&source, value, wanted, bits).or_else(|| self.began(&source, value, wanted, bits));
            found.extend(told.map(|told| Value::Word(Box::new(told))));
            if found.len() >= MOST_WAYS {
                break;
            }
        }
        found
    }

    /// Whole words that the old frame keeps, and what it has passed to the call under way.
    fn sources(&mut self) -> Vec<(Value, ValueId)> {
        let is_whole = |place: FramePlace| matches!(place, FramePlace::Register(_) | FramePlace::Slot { length: 8, .. });
        let kept = self.candidates.iter().filter(|candidate| is_whole(candidate.place));
        let mut found: Vec<(Value, ValueId)> = kept.map(|candidate| (Value::Old(candidate.place), candidate.value)).collect();
        let Side { values, point, between, .. } = &mut self.correspondence.old;
        if !*between {
            let passed = arguments(values, *point);
            found.extend(passed.into_iter().map(|(register, value)| (Value::Passed(register), value)));
        }
        found
    }

    /// Whether the lowest `bits` bits of a value of the old code are what is wanted.
    fn is(&mut self, old: ValueId, wanted: ValueId, bits: u8) -> bool {
        let old = self.correspondence.old.values.extend(bits, false, old);
        self.correspondence.same(old, wanted)
    }

    /// What is wanted, as a sum less its other terms.
    fn less(&mut self, source: &Value, sum: ValueId, wanted: ValueId, bits: u8) -> Option<Value> {
        let Term::Sum { bits: width, terms, constant } = self.correspondence.old.values.node(sum).clone() else { return None };
        if bits > width || terms.len() > MOST_TERMS {
            return None;
        }
        let position = terms.iter().position(|(term, factor)| factor.abs() == 1 && self.is(*term, wanted, bits))?;
        let (_, sign) = *terms.get(position)?;
        let mut left = plus(source.clone(), constant.wrapping_neg(), bits);
        for (_, (term, factor)) in terms.iter().enumerate().filter(|(index, _)| *index != position) {
            let told = self.told(*term)?;
            let factor = Value::Constant(factor.cast_unsigned());
            let part = Value::Computed(Operation::Multiply { bits }, vec![told, factor]);
            left = Value::Computed(Operation::Subtract { bits }, vec![left, part]);
        }
        Some(match sign {
            1 => left,
            _ => Value::Computed(Operation::Subtract { bits }, vec![Value::Constant(0), left]),
        })
    }

    /// What is wanted, as where a counter began: it has moved by as much in each round, and another one tells how many these were.
    fn began(&mut self, source: &Value, counter: ValueId, wanted: ValueId, bits: u8) -> Option<Value> {
        let sum = Linear::of(self.correspondence.old.values, counter, 64)?;
        let (at, step) = sum.rounds()?;
        let [(start, 1)] = values_of(&sum)?[..] else { return None };
        if !self.is(start, wanted, bits) {
            return None;
        }
        let rounds = self.sources().into_iter().find_map(|(other, value)| {
            let sum = Linear::of(self.correspondence.old.values, value, 64)?;
            let (loop_at, by) = sum.rounds()?;
            let start = match values_of(&sum)?[..] {
                _ if loop_at != at || by.abs() != 1 || other == *source => return None,
                [] => Value::Constant(0),
                [(start, 1)] => self.told(start)?,
                _ => return None,
            };
            let apart =
                Value::Computed(Operation::Subtract { bits: 64 }, vec![plus(other, sum.constant.wrapping_neg(), 64), start]);
            Some(Value::Computed(Operation::Multiply { bits: 64 }, vec![apart, Value::Constant(by.cast_unsigned())]))
        })?;
        let moved = Value::Computed(Operation::Multiply { bits: 64 }, vec![rounds, Value::Constant(step.cast_unsigned())]);
        let begun = plus(source.clone(), sum.constant.wrapping_neg(), 64);
        Some(Value::Computed(Operation::Subtract { bits: 64 }, vec![begun, moved]))
    }

    /// What tells a value of the old code whole: a number, a place, or what the function was given.
    fn told(&mut self, value: ValueId) -> Option<Value> {
        let values = &self.correspondence.old.values;
        let value = values.resolve(value);
        if let Term::Constant(number) = values.node(value) {
            return Some(Value::Constant(*number));
        }
        let kept = self
            .sources()
            .into_iter()
            .find(|(source, held)| matches!(source, Value::Old(_)) && self.correspondence.old.values.resolve(*held) == value);
        match (kept, self.correspondence.old.values.node(value)) {
            (Some((source, _)), _) => Some(source),
            (None, Term::Entry(Place::Register(register))) if parameters::is_argument(*register) => Some(Value::Given(*register)),
            _ => None,
        }
    }
}

/// The values that a sum is made of besides rounds; nothing where the frame's address is one.
fn values_of(sum: &Linear) -> Option<Vec<(ValueId, i64)>> {
    let mut found = Vec::new();
    for (part, factor) in &sum.parts {
        match part {
            Atom::Value(value) => found.push((*value, *factor)),
            Atom::Rounds(_) => {}
            Atom::Frame => return None,
        }
    }
    Some(found)
}

fn plus(value: Value, constant: i64, bits: u8) -> Value {
    Value::Computed(Operation::Add { bits }, vec![value, Value::Constant(constant.cast_unsigned())])
}
