//! What the call under way is to give, where that is a structure too long for registers: its caller has made room for it and passes the address
//! (System V ABI, 3.2.3), whether or not it has a name there.

use super::continuation::FrameObject;
use super::parameters;
use super::prepared::Facts;
use super::typed::Typed;
use crate::plan::view::View;
use crate::program::compare_types::Comparison;

/// The register in which the address is passed, as instructions number it.
const PLACE: u8 = 7;

/// The room for what the calls at two nodes give, if both are of functions of the program that give such a structure and neither frame has
/// a pair of variables there.
pub(super) fn room(
    view: View<'_>,
    (old, from): (&Facts, u32),
    (new, to): (&Facts, u32),
    objects: &[FrameObject],
) -> Option<FrameObject> {
    let place = |facts: &Facts, call: u32| facts.function().frame_offset(call, PLACE);
    let (start, new_start) = (place(old, from)?, place(new, to)?);
    let olds = Typed { build: view.old, side: &view.sides.old, parameters: None };
    let news = Typed { build: view.new, side: &view.sides.new, parameters: None };
    let (kind, new_kind) = (olds.result(&old.graph, from)?, news.result(&new.graph, to)?);
    let old_length = parameters::in_memory(view.old, Some(kind))?;
    let new_length = parameters::in_memory(view.new, Some(new_kind))?;
    let meets = |object: &&FrameObject| {
        let has = |own: i64, length: u64, start: i64, bytes: u64| {
            own < start.saturating_add_unsigned(bytes) && start < own.saturating_add_unsigned(length)
        };
        has(object.old, object.old_length, start, old_length) || has(object.new, object.new_length, new_start, new_length)
    };
    if objects.iter().any(|object| meets(&object)) {
        return None;
    }
    let mut types = Comparison::new(&view.old.debug.types, &view.new.debug.types);
    let same = old_length == new_length && types.compare_own(Some(kind), Some(new_kind)).is_ok();
    Some(FrameObject {
        name: "what the call gives".to_owned(),
        old: start,
        new: new_start,
        old_length,
        new_length,
        kinds: (Some(kind), Some(new_kind)),
        is_changed: !same,
        initial: Vec::new(),
    })
}
