//! Variables of a frame whose kind changes: their value is not what it was, although it was made in the same way.

use super::locals::Locals;
use crate::plan::compare::pairs::Partner;
use crate::plan::view::View;
use crate::program::compare_types::Comparison;
use crate::program::types::{Shape, TypeId, TypeTable};

/// Whether the variable `name` of the new frame has a type whose values mean something else than in the old one: numbers and pointers are
/// what they are, whatever their types are called.
pub(super) fn is_retyped(view: View<'_>, (old, new): (&Locals, &Locals), name: &str) -> bool {
    let (Some(from), Some(to)) = (old.kind_of(name), new.kind_of(name)) else { return false };
    let tables = (&view.old.debug.types, &view.new.debug.types);
    let plain = is_plain(tables.0, from) && is_plain(tables.1, to);
    !plain && Comparison::new(tables.0, tables.1).compare_own(from, to).is_err()
}

/// Whether values of a type are numbers or pointers.
pub(super) fn is_plain(types: &TypeTable, kind: Option<TypeId>) -> bool {
    let shape = types.peel(kind).map(|kind| &types.get(kind).shape);
    matches!(shape, Some(Shape::Base { .. } | Shape::Pointer { .. }))
}

/// Variables of the old frame that the new program has as static ones of the same function: they begin with their initial values, whatever
/// the frame holds.
pub(super) fn become_static(view: View<'_>, function: &str, (old, new): (&Locals, &Locals)) -> Vec<String> {
    let sides = view.sides;
    let is_known = |index: usize| sides.objects.iter().filter_map(Partner::one).any(|partner| partner == index);
    let statics = sides
        .new
        .objects
        .list()
        .iter()
        .enumerate()
        .filter(|(index, object)| object.identity.function.as_deref() == Some(function) && !is_known(*index));
    let is_local = |name: &str| old.names().any(|own| own == name) && !new.names().any(|own| own == name);
    statics.map(|(_, object)| object.identity.name.clone()).filter(|name| is_local(name)).collect()
}
