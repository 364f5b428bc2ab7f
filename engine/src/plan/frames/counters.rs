//! Values that go along with a loop's counter: where the user says how far the counter is, they are as far.
//!
//! Compilers walk arrays with pointers of their own (`p = a + i`). Both start when control comes to the loop and change by constants each
//! time round, so that the rounds that one has seen tell the other.

use super::continuation::{Operation, Value};
use super::terms::Terms;
use crate::program::flow::{Term, ValueId, Values};

/// A value that changes by a constant each time that a loop goes round.
struct Counter {
    /// What it begins with.
    start: ValueId,
    /// What is added each time.
    step: i64,
    /// Which of the ways to the loop are from outside.
    outside: Vec<bool>,
}

impl Terms<'_, '_, '_> {
    /// A value that goes along with a counter that the user gives.
    pub(super) fn counted(&mut self, wanted: ValueId, depth: u32) -> Option<Value> {
        let narrow = match *self.correspondence.new.values.node(wanted) {
            Term::Extend { from: from @ 32.., signed: false, .. } => Some(from),
            Term::Choice { .. } => None,
            _ => return None,
        };
        let choice = stripped(self.correspondence.new.values, wanted);
        let Term::Choice { at, .. } = *self.correspondence.new.values.node(choice) else { return None };
        let own = counter(self.correspondence.new.values, choice)?;
        for (value, bits, given) in self.said {
            let known = stripped(self.correspondence.new.values, *value);
            if !matches!(self.correspondence.new.values.node(known), Term::Choice { at: other, .. } if *other == at) {
                continue;
            }
            let Some(other) = counter(self.correspondence.new.values, known) else { continue };
            if other.step.unsigned_abs() != 1 || other.outside != own.outside {
                continue;
            }
            let start = self.correspondence.new.values.extend(*bits, false, other.start);
            let (Ok(from), Ok(start)) = (self.deep(own.start, 64, depth), self.deep(start, *bits, depth)) else { continue };
            let pair = if other.step == 1 { vec![given.clone(), start] } else { vec![start, given.clone()] };
            let rounds = Value::Computed(Operation::Subtract { bits: *bits }, pair);
            let step = Value::Constant(own.step.cast_unsigned());
            let moved = Value::Computed(Operation::Multiply { bits: 64 }, vec![rounds, step]);
            let whole = Value::Computed(Operation::Add { bits: 64 }, vec![from, moved]);
            return Some(match narrow {
                Some(from) => Value::Computed(Operation::ZeroExtend { from }, vec![whole]),
                None => whole,
            });
        }
        None
    }
}

/// A value without what extends it.
fn stripped(values: &Values<'_>, value: ValueId) -> ValueId {
    let mut value = values.resolve(value);
    while let Term::Extend { from: 32.., of, .. } = values.node(value) {
        value = values.resolve(*of);
    }
    value
}

fn counter(values: &Values<'_>, choice: ValueId) -> Option<Counter> {
    let mut found: Option<(ValueId, i64)> = None;
    let (mut start, mut step) = (None, None);
    let mut outside = Vec::new();
    for input in values.inputs(choice) {
        let whole = stripped(values, input);
        let added = match values.node(whole) {
            Term::Sum { terms, constant, .. } => match terms.as_slice() {
                [(term, 1)] if stripped(values, *term) == choice => Some(*constant),
                _ => None,
            },
            _ => None,
        };
        outside.push(added.is_none());
        let known = match added {
            Some(added) => *step.get_or_insert(added) == added,
            None => *start.get_or_insert(input) == input,
        };
        if !known {
            return None;
        }
        found = start.zip(step);
    }
    found.map(|(start, step)| Counter { start, step, outside })
}
