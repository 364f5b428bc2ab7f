//! What is new in a variable whose address others know: whether code of the new program besides the function itself may store there before
//! control comes back to it (PROOF 3.34).

use std::collections::HashSet;

use super::continuation::FrameObject;
use super::effects::Impact;
use super::events;
use super::explain::Explainer;
use super::parameters::Parameters;
use super::points::Points;
use super::prepared::Facts;
use super::typed::{Typed, Within};
use crate::program::code::{Callee, Symbolic};
use crate::program::flow::{Place, Term, ValueId, Values};
use crate::program::types::{Shape, TypeId, TypeTable};

/// How deep types nest.
const DEPTH: u32 = 32;
/// Registers of the first integer arguments (System V ABI, 3.2.3), as instructions number them.
const ARGUMENTS: [u8; 6] = [7, 6, 2, 1, 8, 9];

/// Bytes of types that may be the new bytes of a variable.
struct Wanted<'t> {
    types: &'t TypeTable,
    /// Where they begin in the variable.
    from: u64,
    /// Types that have them, with where: first and behind-last byte.
    parts: Vec<(TypeId, u64, u64)>,
}

impl Explainer<'_> {
    /// Whether no code that changes, or that only the new program has, may store into `length` bytes of a variable from `from` on by what it
    /// knows of their types. Code that stays the same stores to what it did: it does not know of them.
    pub(super) fn leave_alone(&self, points: &Points, object: &FrameObject, (from, length): (u64, u64)) -> bool {
        let types = &self.view.new.debug.types;
        let mut wanted = Wanted { types, from, parts: Vec::new() };
        if wanted.add(object.kinds.1, (from, from.saturating_add(length)), DEPTH).is_none() {
            return false;
        }
        let partners = self.view.sides.functions.iter().zip(&self.view.code.same);
        let same: HashSet<usize> = partners.filter(|(_, same)| **same).filter_map(|(partner, _)| partner.one()).collect();
        (0..self.view.sides.new.functions.list().len()).filter(|function| !same.contains(function)).all(|function| {
            match self.comparison.prepared.new_function(function) {
                Ok(facts) => self.leaves_alone(points, (function, facts), &wanted),
                Err(_) => {
                    let id = u32::try_from(function).map(crate::program::code::FunctionId);
                    id.is_ok_and(|id| points.impact(Callee::Function(id)) != Impact::Memory)
                }
            }
        })
    }

    fn leaves_alone(&self, points: &Points, (function, facts): (usize, &Facts), wanted: &Wanted<'_>) -> bool {
        let entry = self.view.sides.new.functions.list().get(function).map(|code| code.entry);
        let parameters = entry.and_then(|entry| Parameters::of(self.view.new, entry));
        let typed = Typed { build: self.view.new, side: &self.view.sides.new, parameters: parameters.as_ref() };
        let mut values = Values::new(facts.function());
        let nodes = 0..u32::try_from(facts.graph.nodes().len()).unwrap_or(u32::MAX);
        let mut is_harmless = |node: u32| {
            let Some(own) = facts.graph.node(node) else { return false };
            if let Some(callee) = own.call {
                if points.impact(callee) != Impact::Memory {
                    return true;
                }
                let given = ARGUMENTS.map(|register| values.before(node, Place::Register(register)));
                // Of what is no function of the program, or is told how long something is, nobody knows how much it stores.
                let is_length = |given: &ValueId| matches!(values.node(*given), Term::Constant(number) if *number > wanted.from);
                let may_store = !matches!(callee, Callee::Function(_)) || given.iter().any(is_length);
                return given.iter().all(|given| wanted.is_safe(&typed, &values, *given, may_store));
            }
            if !events::writes_memory(facts.function(), node) || values.fill_of_frame(node, &own.instruction).is_some() {
                return true;
            }
            let bytes = own.instruction.memory_size().size() as u64;
            let address = values.address_at(node);
            !own.instruction.is_string_instruction()
                && address.is_some_and(|address| wanted.is_missed(&typed, &values, (address, bytes)))
        };
        nodes.into_iter().all(&mut is_harmless)
    }
}

impl Wanted<'_> {
    /// Adds what is at some bytes of a type, and the type itself; `None` where that is not understood.
    fn add(&mut self, kind: Option<TypeId>, (from, to): (u64, u64), depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let types = self.types;
        let kind = types.canonical(types.peel(kind)?);
        self.parts.push((kind, from, to));
        match &types.get(kind).shape {
            Shape::Struct { members } => {
                for member in members {
                    let (start, size) = (member.offset, types.size_of(member.kind)?);
                    let end = start.saturating_add(size);
                    if start < to && from < end {
                        self.add(member.kind, (from.saturating_sub(start), to.min(end) - start), depth)?;
                    }
                }
                Some(())
            }
            Shape::Array { element, .. } => {
                // Which element it is does not matter.
                let size = types.size_of(*element)?;
                self.add(*element, (0, size), depth)
            }
            Shape::Union { .. } => None,
            _ => Some(()),
        }
    }

    fn holds(&self, place: Within, bytes: u64) -> bool {
        let types = self.types;
        let kind = types.canonical(place.kind);
        let end = place.offset.saturating_add(bytes);
        self.parts.iter().any(|(own, from, to)| *own == kind && place.offset < *to && *from < end)
    }

    /// Whether bytes at an address are certainly none of those.
    fn is_missed(&self, typed: &Typed<'_>, values: &Values<'_>, (address, bytes): (ValueId, u64)) -> bool {
        if is_own(values, address) {
            return true;
        }
        match typed.at(values, address) {
            // A character may be a part of anything.
            Some(place) => !self.holds(place, bytes) && self.types.size_of(Some(place.kind)) != Some(1),
            None => false,
        }
    }

    /// Whether an argument is no pointer to them, nor, where what is called `may_store` to all that it reaches, to what has them.
    fn is_safe(&self, typed: &Typed<'_>, values: &Values<'_>, given: ValueId, may_store: bool) -> bool {
        if is_own(values, given) {
            return true;
        }
        let Some(place) = typed.at(values, given) else { return true };
        let kind = self.types.canonical(place.kind);
        if may_store { !self.parts.iter().any(|(own, ..)| *own == kind) } else { !self.holds(place, 1) }
    }
}

/// Whether an address is in the frame of the function that makes it, or of a variable outside of all frames.
fn is_own(values: &Values<'_>, address: ValueId) -> bool {
    let is_base = |value: ValueId| {
        matches!(values.node(value), Term::Frame(_) | Term::Address(Symbolic::Address(_) | Symbolic::Import(..)))
    };
    match values.node(address) {
        Term::Sum { terms, .. } => terms.iter().any(|(term, factor)| *factor == 1 && is_base(*term)),
        _ => is_base(address),
    }
}
