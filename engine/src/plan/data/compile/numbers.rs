//! Integers, booleans, enumerations and floating-point numbers.

use std::sync::Arc;

use gimli::constants as dw;

use super::job::{Job, Spot};
use crate::plan::data::question::Unknown;
use crate::plan::data::recipe::{Body, EnumMap, Meaning, Number, Span, Step};
use crate::plan::data::rules::{EnumRule, Unmapped};
use crate::plan::data::value::{is_float, is_signed};
use crate::program::types::{Shape, TypeId, TypeTable};

/// A number as recipes read and write it; `None` for other types, and numbers of a kind that only their own type can hold (complex,
/// decimal, extended precision).
pub(super) fn number(table: &TypeTable, spot: Spot) -> Option<Number> {
    let kind = table.normal(spot.kind)?;
    let entry = table.get(kind);
    let meaning = match &entry.shape {
        Shape::Base { encoding } => meaning(*encoding)?,
        Shape::Enum { enumerators } if enumerators.iter().any(|(_, value)| *value < 0) => Meaning::Signed,
        Shape::Enum { .. } => Meaning::Unsigned,
        _ => return None,
    };
    let size = usize::try_from(entry.size?).ok().filter(|size| (1..=16).contains(size))?;
    if meaning == Meaning::Float && !matches!(size, 4 | 8) {
        return None;
    }
    match spot.bits {
        Some((start, width)) if (1..=128).contains(&width) => Some(Number { start, width, meaning }),
        Some(_) => None,
        None => Some(Number::at(spot.offset, size, meaning)),
    }
}

fn meaning(encoding: u8) -> Option<Meaning> {
    let unsigned = [dw::DW_ATE_unsigned, dw::DW_ATE_unsigned_char, dw::DW_ATE_UTF, dw::DW_ATE_ASCII, dw::DW_ATE_address];
    match encoding {
        encoding if encoding == dw::DW_ATE_float.0 => Some(Meaning::Float),
        encoding if is_float(encoding) => None,
        encoding if encoding == dw::DW_ATE_boolean.0 => Some(Meaning::Bool),
        encoding if is_signed(encoding) => Some(Meaning::Signed),
        encoding => unsigned.iter().any(|known| known.0 == encoding).then_some(Meaning::Unsigned),
    }
}

impl Job<'_, '_> {
    /// Between numbers of any kind.
    pub(super) fn number(&mut self, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) {
        let (Some(from), Some(to)) = (number(self.compiler.old, old), number(self.compiler.new, new)) else {
            return self.retyped(old, new);
        };
        let is_enum = |table: &TypeTable, id| matches!(table.get(id).shape, Shape::Enum { .. });
        match (is_enum(self.compiler.old, a), is_enum(self.compiler.new, b)) {
            (_, true) => match self.enum_map(a, b) {
                Some(Some(map)) => {
                    let field = self.field_number(new.kind);
                    self.step(Step::Enumerator { from, to, map: Arc::new(map), field });
                }
                Some(None) => self.plain_number(from, to, old, new),
                None => return,
            },
            (_, false) => self.plain_number(from, to, old, new),
        }
        if old.bits.is_none() && new.bits.is_none() {
            let (length, to_length) = (from.width as usize / 8, to.width as usize / 8);
            let is_same = matches!(self.out.steps.last(), Some(Step::Copy { .. })) && length == to_length;
            let body = if is_same { Body::Linear } else { Body::Fixed };
            let (from, to, kind) = (old.offset, new.offset, Some(a));
            self.span(Span { from, length, to, to_length, kind, body, ..Span::default() });
        }
    }

    fn plain_number(&mut self, from: Number, to: Number, old: Spot, new: Spot) {
        let is_whole = old.bits.is_none() && new.bits.is_none() && from.width == to.width;
        // Single bytes are characters as often as numbers.
        let is_bytes = from.width == 8 && !matches!((from.meaning, to.meaning), (_, Meaning::Bool));
        if is_whole && (from.meaning == to.meaning || is_bytes) {
            return self.copy(old.offset, new.offset, from.width as usize / 8);
        }
        let (cut, field) = (self.may_lose(), self.field_number(new.kind));
        self.step(Step::Number { from, to, cut, field });
    }

    /// How an old number or enumerator becomes an enumerator: `Some(None)`: as it is; `None`: that is a question.
    fn enum_map(&mut self, a: TypeId, b: TypeId) -> Option<Option<EnumMap>> {
        let (old_types, new_types) = (self.compiler.old, self.compiler.new);
        let Shape::Enum { enumerators: new } = &new_types.get(b).shape else { return Some(None) };
        let Shape::Enum { enumerators: old } = &old_types.get(a).shape else {
            // A number becomes the enumerator of its value.
            return Some(Some(EnumMap::new(new.iter().map(|(_, value)| (*value, *value)).collect(), false, Unmapped::Refuse)));
        };
        let none = EnumRule::default();
        let rule = self.compiler.rules.enums.get(&a).unwrap_or(&none);
        let mut values: Vec<(i128, i128)> = Vec::new();
        for (name, value) in old {
            let Some(mapped) = rule.values.get(value).copied().or_else(|| by_name((name, *value), old, new)) else { continue };
            match values.iter().find(|(known, _)| known == value) {
                Some((_, other)) if *other != mapped => {
                    self.ask(Unknown::Enumerator, &value.to_string(), &new_types.describe(Some(b)));
                    return None;
                }
                _ => values.push((*value, mapped)),
            }
        }
        values.extend(rule.values.iter().map(|(old, new)| (*old, *new)));
        let is_same =
            values.iter().all(|(old, new)| old == new) && old.iter().all(|(_, value)| values.contains(&(*value, *value)));
        let is_strict = rule.otherwise == Unmapped::Refuse && self.compiler.rules.enums.contains_key(&a);
        if is_same && !is_strict {
            return Some(None);
        }
        Some(Some(EnumMap::new(values, rule.flags, rule.otherwise)))
    }
}

/// The new value of an old enumerator: by its name, else the same value under a name that is new.
fn by_name((name, value): (&str, i128), old: &[(String, i128)], new: &[(String, i128)]) -> Option<i128> {
    let named = new.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
    named.or_else(|| {
        let renamed = |(other, number): &&(String, i128)| *number == value && old.iter().all(|(known, _)| known != other);
        new.iter().find(renamed).map(|(_, value)| *value)
    })
}
