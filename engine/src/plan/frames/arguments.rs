//! Whether the call that is under way gets what the new code would have passed (PROOF 3.3a, for the frames below): a function of the
//! program goes on with its old arguments, and its caller would wait for another result.

use super::correspond::Correspondence;
use super::kinds;
use super::parameters::{Fixed, Parameters};
use crate::plan::view::View;
use crate::program::code::{Callee, FunctionId, Symbolic};
use crate::program::elf::Elf;
use crate::program::flow::{Graph, Place, Term, ValueId, Values};
use crate::program::types::{TypeId, TypeTable};

/// An argument by its name, or by where it is passed, with its places on both sides.
type Argument = (String, Place, Place);

/// An argument that the new code makes otherwise than the old code.
pub(super) struct Differing {
    /// The parameter's name, or where it is passed.
    pub(super) name: String,
    /// Where the calls have it, if both pass it as a number or a pointer, and how many bits of it count.
    pub(super) places: Option<(Place, Place, u8)>,
}

/// Arguments of the call under way that the new code makes otherwise than the old code. What libraries are given is not looked
/// at: their results do not depend on what their caller thinks.
pub(super) fn differing(correspondence: &mut Correspondence<'_, '_>, view: View<'_>, (old, new): (u32, u32)) -> Vec<Differing> {
    let call = |correspondence: &Correspondence<'_, '_>| {
        let callee = |graph: &Graph, node: u32| graph.node(node).and_then(|node| node.call);
        let from = callee(correspondence.old.values.function().graph, old);
        let to = callee(correspondence.new.values.function().graph, new);
        from.zip(to)
    };
    let (mut fixed, mut plain) = (Vec::new(), Vec::new());
    let arguments = match call(correspondence) {
        Some((Callee::Function(from), Callee::Function(to))) => parameters(view, from, to).map(|(from, to)| {
            fixed = fixed_ones(correspondence, (old, new), &from, &to);
            let named = named(&from, &to);
            let bits = |(_, old, new): &Argument| plain_bits(view, from.kind(*old), to.kind(*new));
            plain.extend(named.iter().filter_map(|argument| Some((argument.1, argument.2, bits(argument)?))));
            named
        }),
        Some((Callee::Import(_) | Callee::Selected(_), _)) | None => return Vec::new(),
        Some(_) => None,
    };
    let arguments = arguments.unwrap_or_else(|| by_place(correspondence, new));
    let differs = |(_, from, to): &Argument| {
        let (from, to) = (in_caller(correspondence.old.values, old, *from), in_caller(correspondence.new.values, new, *to));
        let (from, to) = (correspondence.old.values.before(old, from), correspondence.new.values.before(new, to));
        !correspondence.same(from, to) && !are_texts(correspondence, view, from, to)
    };
    let passed = arguments.into_iter().filter(differs);
    let passed = passed.map(|(name, from, to)| {
        let places = plain.iter().find(|plain| (plain.0, plain.1) == (from, to)).copied();
        Differing { name, places }
    });
    let mut found: Vec<Differing> = passed.collect();
    found.extend(fixed.into_iter().map(|name| Differing { name, places: None }));
    found
}

/// How many bits count of what is a number or a pointer in both builds: those are what they are, whatever their types are called.
fn plain_bits(view: View<'_>, old: Option<TypeId>, new: Option<TypeId>) -> Option<u8> {
    let bytes = |types: &TypeTable, kind: Option<TypeId>| {
        let kind = types.peel(kind).filter(|_| kinds::is_plain(types, kind))?;
        u8::try_from(types.size_of(Some(kind))?).ok().filter(|bytes| *bytes <= 8)
    };
    let bytes = bytes(&view.old.debug.types, old)?.max(bytes(&view.new.debug.types, new)?);
    Some(if bytes > 4 { 64 } else { 32 })
}

/// Parameters that one side does not pass, since they are always one value there, and that the other side does not give that value.
fn fixed_ones(
    correspondence: &mut Correspondence<'_, '_>,
    (old, new): (u32, u32),
    from: &Parameters,
    to: &Parameters,
) -> Vec<String> {
    let same_fixed = |correspondence: &Correspondence<'_, '_>, one: Fixed, other: Fixed| match (one, other) {
        (Fixed::Address(one), Fixed::Address(other)) => correspondence.same_address(one, other),
        (one, other) => one == other,
    };
    let mut found = Vec::new();
    for (name, value) in from.fixed() {
        let same = match (to.place(name), to.fixed().find(|(other, _)| *other == name)) {
            (Some(place), _) => {
                let passed = correspondence.new.values.before(new, in_caller(correspondence.new.values, new, place));
                match (value, correspondence.new.values.node(passed)) {
                    (Fixed::Number(number), Term::Constant(passed)) => number == *passed,
                    (Fixed::Address(old), Term::Address(Symbolic::Address(new))) => correspondence.same_address(old, *new),
                    _ => false,
                }
            }
            (None, Some((_, other))) => same_fixed(correspondence, value, other),
            // The new function has no such parameter.
            (None, None) => true,
        };
        found.extend((!same).then(|| name.to_owned()));
    }
    for (name, value) in to.fixed() {
        let Some(place) = from.place(name) else { continue };
        let passed = correspondence.old.values.before(old, in_caller(correspondence.old.values, old, place));
        let same = match (correspondence.old.values.node(passed), value) {
            (Term::Constant(passed), Fixed::Number(number)) => number == *passed,
            (Term::Address(Symbolic::Address(old)), Fixed::Address(new)) => correspondence.same_address(*old, new),
            _ => false,
        };
        found.extend((!same).then(|| name.to_owned()));
    }
    found
}

/// The caller's place of an argument: those on the stack count from the called frame, whose address is the stack pointer before the call.
fn in_caller(values: &Values<'_>, call: u32, place: Place) -> Place {
    const STACK_POINTER: u8 = 4;
    match (place, values.function().frame_offset(call, STACK_POINTER)) {
        (Place::Slot { offset, length }, Some(top)) => Place::Slot { offset: top.saturating_add(offset), length },
        _ => place,
    }
}

/// The parameters of a function in both builds.
fn parameters(view: View<'_>, old: FunctionId, new: FunctionId) -> Option<(Parameters, Parameters)> {
    let from = view.sides.old.functions.list().get(old.0 as usize)?;
    let to = view.sides.new.functions.list().get(new.0 as usize)?;
    Some((Parameters::of(view.old, from.entry)?, Parameters::of(view.new, to.entry)?))
}

/// The parameters that a function has in both builds.
fn named(from: &Parameters, to: &Parameters) -> Vec<Argument> {
    let both = from.places().filter_map(|(place, name)| Some((name.to_owned(), *place, to.place(name)?)));
    both.collect()
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
