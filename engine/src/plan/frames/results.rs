//! Where the call under way is to put a structure that it gives back (PROOF 3.40): memory of the caller's frame, often without a name.

use super::continuation::FrameObject;
use super::locals::Locals;
use super::parameters;
use crate::plan::view::View;
use crate::program::code::Callee;
use crate::program::compare_types::Comparison;
use crate::program::flow::{Place, Term, Values};

/// The register that has the address (System V ABI, 3.2.3), as instructions number it.
const FIRST: u8 = 7;

/// The memory of both frames that the calls at two paired points put the same structure into, if it is no variable of both already.
pub(super) fn of_calls(
    view: View<'_>,
    (old, new): (&mut Values<'_>, &mut Values<'_>),
    (from, into): (u32, u32),
    objects: &[FrameObject],
    locals: (&Locals, &Locals),
) -> Option<FrameObject> {
    let callee = |values: &Values<'_>, call: u32| match values.function().graph.node(call)?.call? {
        Callee::Function(function) => usize::try_from(function.0).ok(),
        _ => None,
    };
    let (of, to) = (callee(old, from)?, callee(new, into)?);
    let (of, to) = (view.sides.old.functions.list().get(of)?, view.sides.new.functions.list().get(to)?);
    let given = parameters::given_back(view.old, of.entry).zip(parameters::given_back(view.new, to.entry));
    let ((length, kind), (new_length, new_kind)) = given?;
    let mut types = Comparison::new(&view.old.debug.types, &view.new.debug.types);
    if length != new_length || types.compare_own(Some(kind), Some(new_kind)).is_err() {
        return None;
    }
    let place = |values: &mut Values<'_>, call: u32| {
        let passed = values.before(call, Place::Register(FIRST));
        match *values.node(passed) {
            Term::Frame(offset) => Some(offset),
            _ => None,
        }
    };
    let (old, new) = (place(old, from)?, place(new, into)?);
    let bytes = length.cast_signed();
    let meets = |start: i64, other: i64, length: u64| start < other.saturating_add_unsigned(length) && other < start + bytes;
    let is_known = |object: &FrameObject| meets(old, object.old, object.old_length) || meets(new, object.new, object.new_length);
    // Of one that only one of the frames has in memory, nothing tells how the two lie to each other.
    let is_inside = |locals: &Locals, start: i64| {
        let own = locals.in_memory.iter().filter(|own| meets(start, own.offset, own.length));
        own.clone().count() <= 1 && own.clone().all(|own| own.offset == start && own.length == length)
    };
    let is_new = !objects.iter().any(is_known) && is_inside(locals.0, old) && is_inside(locals.1, new);
    (old < 0 && new < 0 && is_new).then(|| FrameObject {
        name: format!("what `{}` gives back", of.identity.name),
        old,
        new,
        old_length: length,
        new_length: length,
        kinds: (Some(kind), Some(new_kind)),
        is_changed: false,
        initial: Vec::new(),
    })
}
