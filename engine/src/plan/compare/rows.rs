//! Rows of initialised tables: which row of the new table is a row of the old one (PROOF 1.1).

use super::content::Content;
use super::objects::Object;
use crate::program::types::{Shape, TypeId, TypeTable};

/// An array inside a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Offset of its first row in the variable, in bytes.
    pub start: u64,
    /// Size of a row in bytes.
    pub row: u64,
    /// Number of rows.
    pub count: u64,
    /// Type of a row.
    pub kind: TypeId,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMatch {
    /// It is this row now.
    Row(u64),
    /// That many rows could be it.
    Unclear(u64),
}

/// How deep structures are followed for the array that holds an offset.
const DEEPEST: u32 = 16;

/// The outermost array of `object` that holds `offset`.
pub fn table_at(types: &TypeTable, object: &Object, offset: u64) -> Option<Table> {
    let kind = object.kind?;
    let mut table = find(types, kind, offset, 0, DEEPEST)?;
    // An array of unknown length at the end (`int rows[] = {…}` declared elsewhere) is as long as the variable.
    if table.count == 0 {
        table.count = object.size.checked_sub(table.start)?.checked_div(table.row)?;
    }
    Some(table)
}

fn find(types: &TypeTable, kind: TypeId, offset: u64, start: u64, depth: u32) -> Option<Table> {
    let kind = types.peel(Some(kind))?;
    if depth == 0 {
        return None;
    }
    match &types.get(kind).shape {
        Shape::Array { element, counts } => {
            let inner = counts.get(1..)?.iter().try_fold(1u64, |product, count| product.checked_mul((*count)?))?;
            let element = (*element)?;
            let row = types.size_of(Some(element))?.checked_mul(inner)?;
            (row != 0).then(|| Table { start, row, count: counts.first().copied().flatten().unwrap_or(0), kind: element })
        }
        Shape::Struct { members } => members.iter().rev().find_map(|member| {
            let within = offset.checked_sub(member.offset)?;
            let size = types.size_of(member.kind).unwrap_or(u64::MAX);
            (within < size).then(|| find(types, member.kind?, within, start + member.offset, depth - 1)).flatten()
        }),
        _ => None,
    }
}

/// Whether the last bytes of a type belong to an array, so that a pointer to its end can be an end pointer. Unknown types may.
pub fn ends_in_array(types: &TypeTable, kind: Option<TypeId>) -> bool {
    trailing_element(types, kind, DEEPEST).is_none_or(|element| element.is_some())
}

/// `Some(Some(element))` for a trailing array, `Some(None)` for none, `None` when not known.
pub fn trailing_element(types: &TypeTable, kind: Option<TypeId>, depth: u32) -> Option<Option<TypeId>> {
    let id = types.peel(Some(kind?))?;
    if depth == 0 {
        return None;
    }
    match &types.get(id).shape {
        Shape::Array { element, .. } => Some(*element),
        Shape::Struct { members } => {
            let size = types.size_of(Some(id))?;
            let last = members.iter().rev().find(|member| member.bits.is_none())?;
            let end = types.size_of(last.kind).map(|length| last.offset + length);
            match end {
                // Padding behind the last member: its end is not the structure's.
                Some(end) if end != size => Some(None),
                _ => trailing_element(types, last.kind, depth - 1),
            }
        }
        // Any member may be the one in use.
        Shape::Union { .. } | Shape::Incomplete { .. } | Shape::Void | Shape::Other { .. } => None,
        _ => Some(None),
    }
}

impl Content<'_> {
    /// Where row `row` of `old` (a table of the variable `from`) is in `new` (of the variable `to`).
    ///
    /// The same place when every row up to it is initialised alike; else the one row with equal content, if the old table has no
    /// other like it either; else the one row with an equal key: its first member, if no two rows of a table share it. A row that is
    /// a single value has no key: it stays where it is in a table of the same length in which no row has moved.
    pub fn row(&self, types: &TypeTable, from: (&Object, Table), to: (&Object, Table), row: u64) -> RowMatch {
        let ((old, a), (new, b)) = (from, to);
        if a.row != b.row || row >= a.count {
            return RowMatch::Unclear(0);
        }
        let at_old = |index: u64| old.start.offset(a.start + index * a.row);
        let at_new = |index: u64| new.start.offset(b.start + index * b.row);
        let same = |from: u64, to: u64, length: u64| self.same(at_old(from), at_new(to), length);
        if row < b.count && (0..=row).all(|index| same(index, index, a.row)) {
            return RowMatch::Row(row);
        }
        let equal: Vec<u64> = (0..b.count).filter(|index| same(row, *index, a.row)).collect();
        if let [only] = equal.as_slice() {
            let twins = (0..a.count).filter(|index| same(*index, *only, a.row)).count();
            return if twins == 1 { RowMatch::Row(*only) } else { RowMatch::Unclear(1) };
        }
        if !equal.is_empty() {
            return RowMatch::Unclear(equal.len() as u64);
        }
        let Some(key) = key_length(types, a.kind) else {
            // Rows without a key: one that changes in place is the same row, if no row of the table has moved.
            let moved = |index: u64| (0..b.count).any(|to| to != index && same(index, to, a.row) && !same(index, index, a.row));
            let in_place = a.count == b.count && !(0..a.count).any(moved);
            return if in_place { RowMatch::Row(row) } else { RowMatch::Unclear(0) };
        };
        let keyed: Vec<u64> = (0..b.count).filter(|index| same(row, *index, key)).collect();
        let twins = |index: u64| (0..a.count).filter(|from| same(*from, index, key)).count();
        match keyed.as_slice() {
            [only] if twins(*only) == 1 => RowMatch::Row(*only),
            _ => RowMatch::Unclear(keyed.len() as u64),
        }
    }
}

/// Size of the first member of a row, when a row has several and the first is something to recognise it by.
fn key_length(types: &TypeTable, kind: TypeId) -> Option<u64> {
    let kind = types.peel(Some(kind))?;
    let members = types.get(kind).shape.members()?;
    let first = members.first().filter(|first| first.offset == 0 && first.bits.is_none() && members.len() > 1)?;
    let id = types.peel(first.kind)?;
    let named =
        matches!(types.get(id).shape, Shape::Pointer { .. } | Shape::Base { .. } | Shape::Enum { .. } | Shape::Array { .. });
    types.size_of(first.kind).filter(|size| named && *size != 0)
}
