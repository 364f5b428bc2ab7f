//! Structures, field by field.

use super::job::{Job, Spot};
use crate::plan::data::fields::{Field, fields, pair};
use crate::plan::data::question::Unknown;
use crate::plan::data::recipe::{Body, Span};
use crate::plan::data::rules::{FieldSource, Root};
use crate::program::types::{TypeId, TypeTable};

impl<'t> Job<'_, 't> {
    /// A structure that changes.
    pub(super) fn structs(&mut self, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) {
        let (old_types, new_types) = (self.compiler.old, self.compiler.new);
        let (Some(length), Some(to_length)) = (self.size(true, Some(a)), self.size(false, Some(b))) else { return };
        let (old_fields, new_fields) = (fields(old_types, Some(a)), fields(new_types, Some(b)));
        let is_described = |table: &TypeTable, id, fields: &[Field<'_>]| {
            !fields.is_empty() || table.get(id).shape.members().is_none_or(<[_]>::is_empty)
        };
        if !is_described(old_types, a, &old_fields) || !is_described(new_types, b, &new_fields) {
            return self.ask(Unknown::Undescribed, "it has too many members", "");
        }
        if !(self.inside(&old_fields, old_types, length) && self.inside(&new_fields, new_types, to_length)) {
            return self.ask(Unknown::Undescribed, "a field lies outside its structure", "");
        }
        let pairs = self.pair_fields(b, (old_types, &old_fields), (new_types, &new_fields));
        let names = self.enter_named(b);
        self.frames.push((Some(Root::Type(a)), Some(a), old.offset), (Some(Root::Type(b)), new.offset));
        let before = std::mem::take(&mut self.out.spans);
        for (field, position) in new_fields.iter().zip(&pairs) {
            let from = position.and_then(|position| old_fields.get(position));
            let moved =
                if from.is_none() && field.name.is_empty() { moved_in(&old_fields, &pairs, field, new_types) } else { None };
            if let Some((position, inner)) = moved {
                self.one_field(old_fields.get(position), &inner, old.offset, new.offset);
                continue;
            }
            let likely = || likely(&old_fields, &pairs, field, (old_types, new_types));
            self.likely = if from.is_none() { likely() } else { None };
            self.one_field(from, field, old.offset, new.offset);
        }
        let mut spans = std::mem::replace(&mut self.out.spans, before);
        spans.sort_by_key(|span| span.from);
        let body = Body::Fields(spans);
        self.span(Span { from: old.offset, length, to: new.offset, to_length, kind: Some(a), body, ..Span::default() });
        self.frames.pop();
        self.leave_named(names);
    }

    fn one_field(&mut self, from: Option<&Field<'t>>, field: &Field<'t>, old_base: usize, new_base: usize) {
        if !self.spend() {
            return;
        }
        let shown = if field.name.is_empty() { inner_name(self.compiler.new, field) } else { field.name.to_owned() };
        self.names.push(shown);
        let depths = self.frames.enter(from.map_or(&[][..], |from| &from.path), &field.path);
        if let Some(new) = spot(field).map(|spot| spot.moved(new_base)) {
            self.field(from.and_then(spot).map(|spot| spot.moved(old_base)), new);
        }
        self.frames.leave(depths);
        self.names.pop();
    }

    /// For each new field the old one: as a rule says, by name, or as the only one of a new union's members that the old type has.
    pub(super) fn pair_fields(
        &self,
        b: TypeId,
        (old_types, old): (&TypeTable, &[Field<'_>]),
        (new_types, new): (&TypeTable, &[Field<'_>]),
    ) -> Vec<Option<usize>> {
        let mut pairs = pair((old_types, old), (new_types, new));
        let by_name = pairs.clone();
        let is_new = |path: &[u32]| new.iter().zip(&by_name).any(|(field, pair)| field.path == path && pair.is_none());
        // A field that a rule gives to a new name is not the one that still has its name; one whose value another one takes is.
        for (place, rule) in &self.compiler.rules.fields {
            if let (true, FieldSource::Old(path)) = (place.root == Root::Type(b) && is_new(&place.path), &rule.source) {
                let taken = old.iter().position(|field| field.path == *path);
                for (slot, field) in pairs.iter_mut().zip(new) {
                    if taken.is_some() && *slot == taken && field.path != place.path {
                        *slot = None;
                    }
                }
            }
        }
        pairs
    }

    /// Whether all fields lie within their structure, as nothing but mangled debug information says otherwise.
    fn inside(&self, fields: &[Field<'_>], table: &TypeTable, size: usize) -> bool {
        fields.iter().all(|field| {
            let end = match field.bits {
                Some((start, width)) => start.checked_add(width).map(|end| end.div_ceil(8)),
                None => field.offset.checked_add(table.size_of(field.kind).unwrap_or(0)),
            };
            end.is_some_and(|end| end <= size as u64)
        })
    }

    /// The fields of a new structure of which some have rules.
    pub(super) fn fresh_fields(&mut self, new: Spot) {
        let Some(b) = self.compiler.new.normal(new.kind) else { return };
        if self.depth >= super::job::DEPTH_LIMIT {
            return self.ask(Unknown::Undescribed, "its types nest too deep", "");
        }
        if !self.spend() {
            return;
        }
        self.depth += 1;
        let new_fields = fields(self.compiler.new, Some(b));
        self.frames.push((None, None, 0), (Some(Root::Type(b)), new.offset));
        for field in &new_fields {
            self.one_field(None, field, 0, new.offset);
        }
        self.frames.pop();
        self.depth -= 1;
    }

    /// Names start anew at a type that has one, so that a question about it is asked once.
    pub(super) fn enter_named(&mut self, b: TypeId) -> Option<Vec<String>> {
        let new = self.compiler.new;
        let is_named = !new.get(b).name.is_empty() || new.typedef_of(b).is_some();
        (is_named && self.depth > 1).then(|| std::mem::replace(&mut self.names, vec![new.describe(Some(b))]))
    }

    pub(super) fn leave_named(&mut self, names: Option<Vec<String>>) {
        if let Some(names) = names {
            self.names = names;
        }
    }
}

/// Type and place of a field from its structure's start; `None` for numbers that no machine has.
pub(super) fn spot(field: &Field<'_>) -> Option<Spot> {
    let bits = match field.bits {
        Some((start, width)) => Some((usize::try_from(start).ok()?, u32::try_from(width).ok()?)),
        None => None,
    };
    Some(Spot { kind: field.kind, offset: usize::try_from(field.offset).ok()?, bits })
}

/// The first name within an anonymous union: users write that.
fn inner_name(table: &TypeTable, field: &Field<'_>) -> String {
    let inner = fields(table, field.kind);
    inner.iter().find(|inner| !inner.name.is_empty()).map_or("(anonymous)".to_owned(), |inner| inner.name.to_owned())
}

/// An old field without a partner that looks like the new one: the same type, and the same place or the only one left.
fn likely(
    old: &[Field<'_>],
    pairs: &[Option<usize>],
    field: &Field<'_>,
    (old_types, new_types): (&TypeTable, &TypeTable),
) -> Option<String> {
    let shown = new_types.describe(field.kind);
    let is_left = |position: &usize| !pairs.contains(&Some(*position));
    let alike = |other: &Field<'_>| old_types.describe(other.kind) == shown && !other.name.is_empty();
    let left: Vec<&Field<'_>> =
        (0..old.len()).filter(is_left).filter_map(|at| old.get(at)).filter(|other| alike(other)).collect();
    let here = left.iter().find(|other| other.offset == field.offset && other.bits == field.bits);
    let found = here.or(if let [one] = left.as_slice() { Some(one) } else { None })?;
    Some(found.name.to_owned())
}

/// The one old field without a partner that is a member of the new anonymous union `field`: it has moved in there.
fn moved_in<'t>(
    old: &[Field<'t>],
    pairs: &[Option<usize>],
    field: &Field<'t>,
    new_types: &'t TypeTable,
) -> Option<(usize, Field<'t>)> {
    let inner = fields(new_types, field.kind);
    let is_left = |position: &usize| !pairs.contains(&Some(*position));
    let mut found = (0..old.len()).filter(is_left).filter_map(|position| {
        let name = old.get(position)?.name;
        let inner = inner.iter().find(|inner| !name.is_empty() && inner.name == name)?;
        let path = field.path.iter().chain(&inner.path).copied().collect();
        let offset = field.offset.saturating_add(inner.offset);
        let bits = inner.bits.map(|(start, width)| (start.saturating_add(field.offset.saturating_mul(8)), width));
        Some((position, Field { path, offset, bits, ..*inner }))
    });
    // Of two old fields only one can be in use in a union: which, nothing says.
    let first = found.next()?;
    found.next().is_none().then_some(first)
}
