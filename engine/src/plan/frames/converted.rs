//! Variables of a frame whose type changes: which of their bytes become which, by the rules for data (PROOF 2).

use std::sync::Arc;

use super::continuation::FrameObject;
use crate::plan::compare::Comparison;
use crate::plan::data::compile::{Compiler, NoProofs};
use crate::plan::data::recipe::{EnumMap, Number, Recipe, Step};
use crate::plan::view::View;
use crate::program::types::{Shape, TypeId, TypeTable};

/// More parts of one variable are not looked at.
const MOST_PARTS: usize = 1024;

/// A part of a variable: where it is in the old one and in the new one, from their first bytes.
#[derive(Clone, Debug)]
pub(super) struct Part {
    old: (usize, usize),
    new: (usize, usize),
    pub(super) how: How,
}

/// How the new bytes of a part come from the old ones.
#[derive(Clone, Debug)]
pub(super) enum How {
    /// They are carried as they are.
    Same,
    /// As another number of the same value.
    Number(Number, Number),
    /// As another number of the same name.
    Name(Number, Number, Arc<EnumMap>),
}

impl Part {
    /// Bytes that are carried as they are.
    pub(super) fn carried(old: usize, new: usize, length: usize) -> Self {
        Self { old: (old, length), new: (new, length), how: How::Same }
    }

    /// First and behind-last byte in the old variable.
    pub(super) fn old_range(&self) -> (i64, i64) {
        range(self.old)
    }

    /// The same in the new one.
    pub(super) fn new_range(&self) -> (i64, i64) {
        range(self.new)
    }
}

fn range((start, length): (usize, usize)) -> (i64, i64) {
    let at = |offset: usize| i64::try_from(offset).unwrap_or(i64::MAX);
    (at(start), at(start.saturating_add(length)))
}

impl How {
    /// Whether an old number becomes the new one.
    pub(super) fn becomes(&self, old: u64, new: u64) -> bool {
        let amount = |number: &Number| Number { start: 0, ..*number }.read(&old.to_le_bytes(), 0);
        let is = |number: &Number, amount| Number { start: 0, ..*number }.bits_of(amount, false) == Some(new.into());
        match self {
            Self::Same => old == new,
            Self::Number(from, to) => amount(from).is_some_and(|amount| is(to, amount)),
            Self::Name(from, to, map) => match amount(from) {
                Some(crate::plan::data::recipe::Amount::Integer(value)) => {
                    map.map(value).is_some_and(|value| is(to, crate::plan::data::recipe::Amount::Integer(value)))
                }
                _ => false,
            },
        }
    }
}

/// What a variable becomes.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) parts: Vec<Part>,
    /// Bytes of the new variable that come from nothing: first and length.
    pub(super) fresh: Vec<(usize, usize)>,
}

/// How a variable of a frame becomes the new one, where what is new in it has a value of its own.
pub(in crate::plan) fn recipe(view: View<'_>, comparison: &Comparison, object: &FrameObject) -> Option<Arc<Recipe>> {
    let (old, new) = (object.kinds.0?, object.kinds.1?);
    let tables = (&view.old.debug.types, &view.new.debug.types);
    let mut compiler = Compiler::new(tables, &comparison.bound.rules, &comparison.data.types, &NoProofs);
    compiler.local(old, new, &object.name).ok()
}

/// The parts of a variable whose type changes; `None` where it is not known which bytes become which.
pub(super) fn parts(view: View<'_>, comparison: &Comparison, object: &FrameObject) -> Option<Parts> {
    if !object.is_changed {
        let length = object.old_length.min(object.new_length);
        let (length, whole) = (usize::try_from(length).ok()?, usize::try_from(object.new_length).ok()?);
        let fresh = if whole > length { vec![(length, whole - length)] } else { Vec::new() };
        return Some(Parts { parts: vec![Part::carried(0, 0, length)], fresh });
    }
    let recipe = recipe(view, comparison, object)?;
    let mut found = Parts::default();
    add(&recipe.steps, (0, 0), &mut found)?;
    let is_whole = recipe.tail.is_none() && recipe.plugin.is_none();
    is_whole.then_some(found)
}

fn add(steps: &[Step], base: (usize, usize), found: &mut Parts) -> Option<()> {
    for step in steps {
        match step {
            Step::Copy { from, to, length } => {
                found.parts.push(Part::carried(base.0.checked_add(*from)?, base.1.checked_add(*to)?, *length));
            }
            Step::Number { from, to, cut: false, .. } => {
                let how = How::Number(*from, *to);
                found.parts.push(Part { old: bytes(from, base.0)?, new: bytes(to, base.1)?, how });
            }
            Step::Enumerator { from, to, map, .. } => {
                let how = How::Name(*from, *to, Arc::clone(map));
                found.parts.push(Part { old: bytes(from, base.0)?, new: bytes(to, base.1)?, how });
            }
            Step::Initial { to, length, .. } => found.fresh.push((base.1.checked_add(*to)?, *length)),
            Step::Repeat { count, from, from_stride, to, to_stride, steps } => {
                for number in 0..*count {
                    let at = |start: usize, first: usize, stride: usize| {
                        start.checked_add(first)?.checked_add(number.checked_mul(stride)?)
                    };
                    add(steps, (at(base.0, *from, *from_stride)?, at(base.1, *to, *to_stride)?), found)?;
                }
            }
            // What the user says is so, whatever was there.
            Step::Fill { .. } | Step::New { .. } | Step::Compute { .. } | Step::Zeros { .. } => {}
            // Fields that share bytes are not compared one by one.
            Step::Number { .. } | Step::Bits { .. } | Step::InitialBits { .. } | Step::Choose(_) => return None,
        }
        if found.parts.len() > MOST_PARTS {
            return None;
        }
    }
    Some(())
}

/// The bytes that a number takes whole.
fn bytes(number: &Number, base: usize) -> Option<(usize, usize)> {
    let (start, width) = (number.start, usize::try_from(number.width).ok()?);
    let is_whole = start.is_multiple_of(8) && width.is_multiple_of(8) && width <= 64;
    is_whole.then_some((base.checked_add(start / 8)?, width / 8))
}

/// Whether a type is an array of another one's elements that only has more of them.
pub(super) fn is_longer_array((old, from): (&TypeTable, Option<TypeId>), (new, to): (&TypeTable, Option<TypeId>)) -> bool {
    let array = |types: &TypeTable, kind: Option<TypeId>| match &types.get(types.peel(kind)?).shape {
        Shape::Array { element, counts } => match counts.as_slice() {
            [Some(count), rest @ ..] => Some((*element, *count, rest.to_vec())),
            _ => None,
        },
        _ => None,
    };
    let (Some(from), Some(to)) = (array(old, from), array(new, to)) else { return false };
    let mut types = crate::program::compare_types::Comparison::new(old, new);
    from.1 < to.1 && from.2 == to.2 && types.compare_own(from.0, to.0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::data::recipe::Meaning;

    #[test]
    fn numbers_become_those_of_the_same_value_only() {
        let (int, long) = (Number::at(4, 4, Meaning::Signed), Number::at(16, 8, Meaning::Signed));
        let wider = How::Number(int, long);
        assert!(wider.becomes(5, 5) && !wider.becomes(5, 6));
        assert!(wider.becomes(0xffff_ffff, u64::MAX) && !wider.becomes(0xffff_ffff, 0xffff_ffff));
        let narrower = How::Number(long, int);
        assert!(narrower.becomes(u64::MAX, 0xffff_ffff) && !narrower.becomes(1 << 40, 0));
        assert!(How::Same.becomes(7, 7) && !How::Same.becomes(7, 8));
    }

    #[test]
    fn bytes_of_a_number_are_whole_or_none() {
        assert_eq!(bytes(&Number::at(4, 4, Meaning::Signed), 8), Some((12, 4)));
        assert_eq!(bytes(&Number { start: 3, width: 8, meaning: Meaning::Unsigned }, 0), None);
        assert_eq!(bytes(&Number { start: 0, width: 5, meaning: Meaning::Unsigned }, 0), None);
    }
}
