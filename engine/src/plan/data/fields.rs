//! The fields of a structure as its users see them, and which of them both builds have.

use std::collections::HashMap;

use crate::program::types::{Member, Shape, TypeId, TypeTable};

/// How deep anonymous structures may nest; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 16;
/// How many members one structure may have, anonymous ones included; more is mangled debug information.
const MEMBER_LIMIT: usize = 1 << 13;

/// A field of a structure or union. Fields of anonymous structures count as the outer one's, anonymous unions as one field.
#[derive(Clone, Debug)]
pub(crate) struct Field<'t> {
    /// Name; empty for an anonymous union.
    pub(crate) name: &'t str,
    /// Positions in member lists from the structure.
    pub(crate) path: Vec<u32>,
    /// Type; `None` is void.
    pub(crate) kind: Option<TypeId>,
    /// Offset in bytes from the structure.
    pub(crate) offset: u64,
    /// For a bit-field: first bit from the structure's start, and width.
    pub(crate) bits: Option<(u64, u64)>,
}

/// All fields of `kind`; empty for anything but a structure or union, and for one with more members than any source has.
pub(crate) fn fields(table: &TypeTable, kind: Option<TypeId>) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    let mut left = MEMBER_LIMIT;
    match collect(table, kind, (0, &[]), DEPTH_LIMIT, &mut left, &mut found) {
        Some(()) => found,
        None => Vec::new(),
    }
}

fn collect<'t>(
    table: &'t TypeTable,
    kind: Option<TypeId>,
    (base, path): (u64, &[u32]),
    depth: usize,
    left: &mut usize,
    found: &mut Vec<Field<'t>>,
) -> Option<()> {
    let Some(members) = table.normal(kind).and_then(|id| table.get(id).shape.members()) else { return Some(()) };
    for (position, member) in (0u32..).zip(members) {
        *left = left.checked_sub(1)?;
        let path: Vec<u32> = path.iter().copied().chain([position]).collect();
        let offset = base.saturating_add(member.offset);
        if is_anonymous_structure(table, member) {
            collect(table, member.kind, (offset, &path), depth.checked_sub(1)?, left, found)?;
            continue;
        }
        let bits = member.bits.map(|(start, width)| (base.saturating_mul(8).saturating_add(start), width));
        found.push(Field { name: &member.name, path, kind: member.kind, offset, bits });
    }
    Some(())
}

fn is_anonymous_structure(table: &TypeTable, member: &Member) -> bool {
    let shape = table.peel(member.kind).map(|id| &table.get(id).shape);
    member.name.is_empty() && matches!(shape, Some(Shape::Struct { .. }))
}

/// For each new field the old one with the same name, if any. Anonymous unions pair by a name that both have within.
pub(crate) fn pair(
    (old_types, old): (&TypeTable, &[Field<'_>]),
    (new_types, new): (&TypeTable, &[Field<'_>]),
) -> Vec<Option<usize>> {
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    for (position, field) in old.iter().enumerate() {
        for name in names(old_types, field) {
            by_name.entry(name).or_insert(position);
        }
    }
    let mut taken = vec![false; old.len()];
    let mut partner = |field: &Field<'_>| {
        let alike = |position: &usize| old.get(*position).is_some_and(|other| other.name.is_empty() == field.name.is_empty());
        let found = names(new_types, field).into_iter().find_map(|name| by_name.get(name).copied().filter(alike))?;
        (!std::mem::replace(taken.get_mut(found)?, true)).then_some(found)
    };
    new.iter().map(&mut partner).collect()
}

/// The names by which a field is reached: its own, or those within an anonymous union.
fn names<'t>(table: &'t TypeTable, field: &Field<'t>) -> Vec<&'t str> {
    match field.name {
        "" => fields(table, field.kind).iter().map(|inner| inner.name).filter(|name| !name.is_empty()).collect(),
        name => vec![name],
    }
}
