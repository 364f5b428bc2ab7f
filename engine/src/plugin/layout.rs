//! Layouts for plugins, from debug information.

use dsu_formats::plugin::layout::{Field, FieldKind, Layout};
use gimli::constants as dw;

use crate::program::types::{Member, Shape, TypeId, TypeTable};

/// How deep structures may nest; more is a loop in mangled debug information.
const DEPTH_LIMIT: usize = 32;

/// Why a name is no type that a plugin can handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutProblem {
    /// No structure or union has this name.
    Missing,
    /// Several different ones have it.
    Ambiguous,
    /// Its size is not known, or beyond 4 GiB.
    Unsized,
    /// It ends in an array whose length it does not say.
    Flexible,
}

impl LayoutProblem {
    /// The problem in words that follow "which the old program".
    pub fn describe(self) -> &'static str {
        match self {
            Self::Missing => "does not have",
            Self::Ambiguous => "has several of",
            Self::Unsized => "gives no size",
            Self::Flexible => "ends with an array without a length, which plugins cannot take",
        }
    }
}

/// The structure or union that `name` stands for in `types`: one of that name, or behind a typedef of it.
///
/// # Errors
/// No such type, or several.
pub fn find(types: &TypeTable, name: &str) -> Result<TypeId, LayoutProblem> {
    let tags = [dw::DW_TAG_structure_type, dw::DW_TAG_union_type];
    let mut found: Vec<TypeId> =
        tags.iter().flat_map(|tag| types.definitions(tag.0, name)).map(|id| types.canonical(*id)).collect();
    if found.is_empty() {
        let aliases = types.types.iter().filter(|entry| entry.name == name);
        let targets = aliases.filter_map(|entry| match entry.shape {
            Shape::Alias { tag, target } if tag == dw::DW_TAG_typedef.0 => types.peel(target),
            _ => None,
        });
        found.extend(targets.filter(|id| types.get(*id).shape.members().is_some()).map(|id| types.canonical(id)));
    }
    found.sort_unstable();
    found.dedup();
    match found[..] {
        [] => Err(LayoutProblem::Missing),
        [one] => Ok(one),
        _ => Err(LayoutProblem::Ambiguous),
    }
}

/// The layout of a structure or union, under the name that the plugin gave it.
///
/// # Errors
/// A type without a size.
pub fn of(types: &TypeTable, id: TypeId, name: &str) -> Result<Layout, LayoutProblem> {
    let size = types.get(id).size.and_then(|size| u32::try_from(size).ok()).ok_or(LayoutProblem::Unsized)?;
    let mut layout = Layout { name: name.to_owned(), size, fields: Vec::new() };
    add_members(types, id, 0, "", &mut layout.fields, DEPTH_LIMIT);
    Ok(layout)
}

/// Whether a layout has an array whose length it does not say.
pub fn is_flexible(layout: &Layout) -> bool {
    layout.fields.iter().any(|field| field.size == 0 && matches!(field.kind, FieldKind::Array { .. }))
}

/// Offset and target of every pointer in objects of a type, those in arrays included, of unions none. The target is `None` for void.
pub fn pointers(types: &TypeTable, id: TypeId) -> Vec<(u64, Option<TypeId>)> {
    let mut found = Vec::new();
    add_pointers(types, Some(id), 0, &mut found, DEPTH_LIMIT);
    found
}

fn add_pointers(types: &TypeTable, kind: Option<TypeId>, base: u64, found: &mut Vec<(u64, Option<TypeId>)>, depth: usize) {
    let (Some(id), Some(deeper)) = (types.normal(kind), depth.checked_sub(1)) else { return };
    match &types.get(id).shape {
        Shape::Pointer { target } => found.push((base, types.normal(*target))),
        Shape::Struct { members } => {
            for member in members.iter().filter(|member| member.bits.is_none()) {
                add_pointers(types, member.kind, base.saturating_add(member.offset), found, deeper);
            }
        }
        Shape::Array { element, .. } => {
            let (whole, one) = (types.size_of(Some(id)).unwrap_or(0), types.size_of(*element).unwrap_or(0));
            let before = found.len();
            add_pointers(types, *element, base, found, deeper);
            let own: Vec<(u64, Option<TypeId>)> = found.get(before..).unwrap_or(&[]).to_vec();
            if own.is_empty() || one == 0 {
                return;
            }
            for index in 1..whole / one {
                found.extend(own.iter().map(|(offset, target)| (offset + index * one, *target)));
            }
        }
        _ => {}
    }
}

fn add_members(types: &TypeTable, id: TypeId, base: u64, prefix: &str, fields: &mut Vec<Field>, depth: usize) {
    let (Some(members), Some(deeper)) = (types.get(id).shape.members(), depth.checked_sub(1)) else { return };
    for member in members {
        let name = match (prefix, member.name.as_str()) {
            (prefix, "") => prefix.to_owned(),
            ("", name) => name.to_owned(),
            (prefix, name) => format!("{prefix}.{name}"),
        };
        let kind = types.peel(member.kind);
        if let Some(field) = field(types, member, kind, base, &name).filter(|_| !member.name.is_empty()) {
            fields.push(field);
        }
        if let Some(kind) = kind.filter(|kind| types.get(*kind).shape.members().is_some()) {
            add_members(types, kind, base + member.offset, &name, fields, deeper);
        }
    }
}

fn field(types: &TypeTable, member: &Member, kind: Option<TypeId>, base: u64, name: &str) -> Option<Field> {
    let number = |value: u64| u32::try_from(value).ok();
    let name = name.to_owned();
    if let Some((first, width)) = member.bits {
        // Whole bytes around the bits, of a width that a number can have.
        let (start, end) = (first / 8, (first + width).div_ceil(8));
        let size = [1, 2, 4, 8].into_iter().find(|size| end - start <= *size)?;
        let kind = FieldKind::Bits { first: (first % 8) as u8, width: u8::try_from(width).ok()? };
        return Some(Field { name, offset: number(base + start)?, size: number(size)?, kind });
    }
    let size = types.size_of(member.kind).unwrap_or(0);
    let kind = match kind.map(|kind| &types.get(kind).shape) {
        Some(Shape::Pointer { .. }) => FieldKind::Pointer,
        Some(Shape::Array { element, .. }) => {
            let size = number(types.size_of(*element)?)?;
            let element = types.peel(*element).map(|element| &types.get(element).shape);
            FieldKind::Array { pointers: matches!(element, Some(Shape::Pointer { .. })), element: size }
        }
        Some(Shape::Base { encoding }) if crate::plan::data::value::is_float(*encoding) => FieldKind::Float,
        Some(Shape::Base { encoding }) => FieldKind::Integer { signed: crate::plan::data::value::is_signed(*encoding) },
        Some(Shape::Enum { enumerators }) => FieldKind::Integer { signed: enumerators.iter().any(|(_, value)| *value < 0) },
        Some(Shape::Struct { .. } | Shape::Union { .. }) => FieldKind::Aggregate,
        _ => return None,
    };
    Some(Field { name, offset: number(base + member.offset)?, size: number(size)?, kind })
}
