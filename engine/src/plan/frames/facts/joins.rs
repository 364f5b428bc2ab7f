//! What holds where ways meet because each of them asked it, each of its own value: a loop whose test compilers put at its end asks before
//! the first round and behind every other one.

use super::super::correspond::Side;
use super::question::{self, Asked, Question};
use super::ranges::{self, Ranges};
use crate::program::build::Build;
use crate::program::flow::{ENTRY, Place, Term, ValueId, Values};

/// More places where ways meet are not looked at.
const MOST_JOINS: usize = 48;
/// Nor more ways to one.
const MOST_WAYS: usize = 8;

/// What all ways to nodes that every way to `point` passes have asked of what then is one value.
pub(super) fn questions(side: &mut Side<'_, '_>, build: &Build, point: u32, slots: &[(i64, u8)]) -> Vec<Question> {
    let graph = side.values.function().graph;
    let mut found = Vec::new();
    let mut here = Some(point);
    let mut joins = 0;
    while let Some(node) = here {
        here = side.dominators.immediate(node);
        let ways = graph.node(node).map_or(&[][..], |node| &node.before);
        let is_join = (2..=MOST_WAYS).contains(&ways.len()) && node != ENTRY;
        if is_join && joins < MOST_JOINS {
            joins += 1;
            let asked: Vec<Vec<Question>> = ways.iter().map(|way| super::on_way(side, build, *way, node)).collect();
            let places: Vec<Place> =
                (0..16u8).map(Place::Register).chain(slots.iter().map(|(offset, length)| slot(*offset, *length))).collect();
            for place in places {
                found.extend(of_choice(side.values, node, place, &asked));
            }
        }
    }
    found
}

fn slot(offset: i64, length: u8) -> Place {
    Place::Slot { offset, length }
}

/// What all ways ask of their own value of a place.
fn of_choice(values: &mut Values<'_>, node: u32, place: Place, asked: &[Vec<Question>]) -> Vec<Question> {
    let choice = values.before(node, place);
    if !matches!(values.node(choice), Term::Choice { at, .. } if *at == node) {
        return Vec::new();
    }
    let inputs = values.inputs(choice);
    if inputs.len() != asked.len() {
        return Vec::new();
    }
    let mut found: Vec<Question> = Vec::new();
    // The way that asks of something that is no number: those of numbers fold.
    for (way, questions) in asked.iter().enumerate() {
        for question in questions {
            let Some(input) = inputs.get(way).copied() else { continue };
            let Some(general) = generalised(values, &question.asked, input, choice) else { continue };
            let holds = |(other, input): (usize, &ValueId), values: &mut Values<'_>| {
                let one = instance(values, &general, choice, *input);
                other == way || asked.get(other).is_some_and(|known| is_known(values, known, &one))
            };
            if inputs.iter().enumerate().all(|input| holds(input, values)) {
                found.push(Question { branch: question.branch, asked: general });
            }
        }
    }
    found
}

/// What is asked of an input of a choice, asked of the choice.
fn generalised(values: &mut Values<'_>, asked: &Asked, input: ValueId, choice: ValueId) -> Option<Asked> {
    match asked {
        Asked::Within { value, bits, ranges } => {
            let (base, plus) = parts(values, input, *bits);
            if base != values.resolve(*value) || matches!(values.node(base), Term::Constant(_)) {
                return None;
            }
            let value = values.extend(*bits, false, choice);
            Some(Asked::Within { value, bits: *bits, ranges: moved(ranges, plus, *bits) })
        }
        Asked::Compared { left, relation, right, bits } => {
            let own = values.extend(*bits, false, input);
            let (own, left, right) = (values.resolve(own), values.resolve(*left), values.resolve(*right));
            let whole = values.extend(*bits, false, choice);
            if own == left {
                Some(Asked::Compared { left: whole, relation: *relation, right, bits: *bits })
            } else if own == right {
                Some(Asked::Compared { left, relation: *relation, right: whole, bits: *bits })
            } else {
                None
            }
        }
        Asked::Flags { .. } | Asked::Other(_) => None,
    }
}

/// What is asked of a choice, asked of one of its inputs.
fn instance(values: &mut Values<'_>, asked: &Asked, choice: ValueId, input: ValueId) -> Asked {
    match asked {
        Asked::Within { bits, ranges, .. } => {
            let (base, plus) = parts(values, input, *bits);
            let back = plus.wrapping_neg();
            Asked::Within { value: base, bits: *bits, ranges: moved(ranges, back, *bits) }
        }
        Asked::Compared { left, relation, right, bits } => {
            let whole = values.extend(*bits, false, choice);
            let whole = values.resolve(whole);
            let own = values.extend(*bits, false, input);
            let (left, right) = (if *left == whole { own } else { *left }, if *right == whole { own } else { *right });
            question::related(values, left, *relation, right, *bits)
        }
        other => other.clone(),
    }
}

/// A value as another plus a number.
pub(super) fn parts(values: &mut Values<'_>, value: ValueId, bits: u8) -> (ValueId, u64) {
    let whole = values.extend(bits, false, value);
    match values.node(whole).clone() {
        Term::Sum { bits: width, terms, constant } if width == bits => match terms.as_slice() {
            [(term, 1)] => {
                let term = values.extend(bits, false, *term);
                (values.resolve(term), constant.cast_unsigned())
            }
            _ => (values.resolve(whole), 0),
        },
        _ => (values.resolve(whole), 0),
    }
}

/// Ranges of numbers, each plus another.
fn moved(ranges: &[(u64, u64)], plus: u64, bits: u8) -> Ranges {
    let top = ranges::greatest(bits);
    let add = |number: u64| number.wrapping_add(plus) & top;
    let parts = ranges.iter().flat_map(|(low, high)| match (add(*low), add(*high)) {
        _ if *low == 0 && *high == top => vec![(0, top)],
        (low, high) if low <= high => vec![(low, high)],
        (low, high) => vec![(low, top), (0, high)],
    });
    ranges::unite(parts.collect())
}

/// Whether questions of the same function say as much.
fn is_known(values: &Values<'_>, known: &[Question], asked: &Asked) -> bool {
    match asked {
        Asked::Within { value, bits, ranges } => {
            if let Term::Constant(number) = values.node(*value) {
                let number = number & ranges::greatest(*bits);
                return ranges::within(&[(number, number)], ranges);
            }
            let mut left: Ranges = vec![(0, ranges::greatest(*bits))];
            for question in known {
                if let Asked::Within { value: other, bits: width, ranges } = &question.asked
                    && width == bits
                    && values.resolve(*other) == values.resolve(*value)
                {
                    left = ranges::common(&left, ranges);
                }
            }
            ranges::within(&left, ranges)
        }
        Asked::Compared { left, relation, right, bits } => known.iter().any(|question| match &question.asked {
            Asked::Compared { left: a, relation: own, right: b, bits: width } => {
                let (a, b, c, d) = (values.resolve(*a), values.resolve(*b), values.resolve(*left), values.resolve(*right));
                let straight = (a, b) == (c, d) && super::implies(*own, *relation);
                let crossed = (a, b) == (d, c) && super::implies(question::swapped(*own), *relation);
                bits == width && (straight || crossed)
            }
            _ => false,
        }),
        Asked::Flags { .. } | Asked::Other(_) => false,
    }
}
