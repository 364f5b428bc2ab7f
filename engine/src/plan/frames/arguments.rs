//! Whether the call that is under way gets what the new code would have passed (PROOF 3.3a, for the frames below): a function of the
//! program goes on with its old arguments, and its caller would wait for another result.

use super::correspond::Correspondence;
use super::parameters::Parameters;
use crate::plan::view::View;
use crate::program::code::{Callee, FunctionId, Symbolic};
use crate::program::elf::Elf;
use crate::program::flow::{Graph, Place, Term, ValueId, Values};

/// An argument by its name, or by where it is passed, with its places on both sides.
type Argument = (String, Place, Place);

/// Arguments of the call under way that the new code makes otherwise than the old code, by name. What libraries are given is not looked
/// at: their results do not depend on what their caller thinks.
pub(super) fn differing(correspondence: &mut Correspondence<'_, '_>, view: View<'_>, (old, new): (u32, u32)) -> Vec<String> {
    let call = |correspondence: &Correspondence<'_, '_>| {
        let callee = |graph: &Graph, node: u32| graph.node(node).and_then(|node| node.call);
        let from = callee(correspondence.old.values.function().graph, old);
        let to = callee(correspondence.new.values.function().graph, new);
        from.zip(to)
    };
    let arguments = match call(correspondence) {
        Some((Callee::Function(from), Callee::Function(to))) => named(view, from, to),
        Some((Callee::Import(_) | Callee::Selected(_), _)) | None => return Vec::new(),
        Some(_) => None,
    };
    let arguments = arguments.unwrap_or_else(|| by_place(correspondence, new));
    let differs = |(_, from, to): &Argument| {
        let (from, to) = (in_caller(correspondence.old.values, old, *from), in_caller(correspondence.new.values, new, *to));
        let (from, to) = (correspondence.old.values.before(old, from), correspondence.new.values.before(new, to));
        !correspondence.same(from, to) && !are_texts(correspondence, view, from, to)
    };
    arguments.into_iter().filter(differs).map(|(name, ..)| name).collect()
}

/// The caller's place of an argument: those on the stack count from the called frame, whose address is the stack pointer before the call.
fn in_caller(values: &Values<'_>, call: u32, place: Place) -> Place {
    const STACK_POINTER: u8 = 4;
    match (place, values.function().frame_offset(call, STACK_POINTER)) {
        (Place::Slot { offset, length }, Some(top)) => Place::Slot { offset: top.saturating_add(offset), length },
        _ => place,
    }
}

/// The parameters that a function has in both builds.
fn named(view: View<'_>, old: FunctionId, new: FunctionId) -> Option<Vec<Argument>> {
    let from = view.sides.old.functions.list().get(old.0 as usize)?;
    let to = view.sides.new.functions.list().get(new.0 as usize)?;
    let (from, to) = (Parameters::of(view.old, from.entry)?, Parameters::of(view.new, to.entry)?);
    let both = from.places().filter_map(|(place, name)| Some((name.to_owned(), *place, to.place(name)?)));
    Some(both.collect())
}

/// What a call passes in registers.
fn by_place(correspondence: &Correspondence<'_, '_>, call: u32) -> Vec<Argument> {
    let graph = correspondence.new.values.function().graph;
    let passed = graph.node(call).and_then(|node| node.arguments);
    let general = passed.map_or(0, |passed| passed.registers.general);
    let vectors = passed.map_or(0, |passed| passed.registers.vector);
    let general = (0u8..16).filter(|number| general >> number & 1 != 0).map(Place::Register);
    let vectors = (0u8..16).filter(|number| vectors >> number & 1 != 0).map(Place::Vector);
    let numbered = |(number, place)| (format!("number {number} in registers"), place, place);
    (1..).zip(general.chain(vectors)).map(numbered).collect()
}

/// Whether both are texts of the programs: what a text says is no difference (PROOF §3).
fn are_texts(correspondence: &Correspondence<'_, '_>, view: View<'_>, old: ValueId, new: ValueId) -> bool {
    let is_text = |elf: &Elf, term: &Term| match term {
        Term::Address(Symbolic::Address(link)) => {
            elf.section_at(*link).is_some_and(crate::plan::compare::strings::may_hold_literals)
        }
        _ => false,
    };
    is_text(&view.old.elf, correspondence.old.values.node(old)) && is_text(&view.new.elf, correspondence.new.values.node(new))
}
