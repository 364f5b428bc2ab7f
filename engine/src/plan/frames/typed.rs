//! What memory that a function reaches through pointers is, by the types of both builds (PROOF 3.27): the same bytes of the code are another
//! field where a type changed.

use super::parameters::Parameters;
use crate::plan::compare::sides::Side;
use crate::program::build::Build;
use crate::program::code::{Callee, Symbolic};
use crate::program::flow::{Graph, Place, Term, ValueId, Values};
use crate::program::types::{Shape, TypeId, TypeTable, WordKind};

/// How far pointers are followed back to what has a type.
const DEPTH: u32 = 12;

/// A place in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Within {
    /// The object's type; arrays are their elements.
    pub(super) kind: TypeId,
    /// Bytes from the object's start.
    pub(super) offset: u64,
}

/// One build, and what a function of it is given.
pub(super) struct Typed<'t> {
    pub(super) build: &'t Build,
    pub(super) side: &'t Side,
    pub(super) parameters: Option<&'t Parameters>,
}

impl Typed<'_> {
    fn types(&self) -> &TypeTable {
        &self.build.debug.types
    }

    /// What lies at an address, as far as types tell.
    pub(super) fn at(&self, values: &Values<'_>, address: ValueId) -> Option<Within> {
        let place = self.within(values, address, DEPTH)?;
        self.element(place.kind, place.offset)
    }

    /// Whether one address is in a variable, and the other in a structure that a pointer leads to and that is longer than the variable.
    pub(super) fn are_apart(&self, values: &Values<'_>, one: ValueId, other: ValueId) -> bool {
        let variable = |address: ValueId| match values.node(address) {
            Term::Address(Symbolic::Address(link)) => {
                let objects = &self.side.objects;
                objects.list().get(objects.covering(*link)?).map(|object| object.size)
            }
            _ => None,
        };
        let structure = |address: ValueId| {
            let place = self.at(values, address)?;
            let is_structure = matches!(self.types().get(place.kind).shape, Shape::Struct { .. });
            self.types().size_of(Some(place.kind)).filter(|_| is_structure)
        };
        let is_shorter = |one: ValueId, other: ValueId| {
            let sizes = variable(one).and_then(|size| structure(other).map(|longer| (size, longer)));
            sizes.is_some_and(|(size, longer)| size < longer)
        };
        is_shorter(one, other) || is_shorter(other, one)
    }

    fn within(&self, values: &Values<'_>, address: ValueId, depth: u32) -> Option<Within> {
        let depth = depth.checked_sub(1)?;
        let address = values.resolve(address);
        match values.node(address) {
            Term::Address(Symbolic::Address(link)) => {
                let object = self.side.objects.list().get(self.side.objects.covering(*link)?)?;
                self.sized(object.kind?, link.0.checked_sub(object.start.0)?)
            }
            Term::Sum { bits: 64, terms, constant } => {
                let mut bases = terms
                    .iter()
                    .filter(|(_, factor)| *factor == 1)
                    .filter_map(|(value, _)| self.within(values, *value, depth).map(|place| (*value, place)));
                let (base, place) = bases.next().filter(|_| bases.next().is_none())?;
                let offset = place.offset.checked_add_signed(*constant)?;
                let mut steps = terms.iter().filter(|(value, _)| *value != base).map(|(_, factor)| factor.unsigned_abs());
                let place = self.sized(place.kind, offset)?;
                steps.all(|step| self.is_element(place, step)).then_some(place)
            }
            Term::Choice { .. } => {
                // What steps through an array is at the same field of each element.
                let inputs = values.inputs(address);
                let steps: Vec<u64> = inputs.iter().filter_map(|input| step(values, *input, address)).collect();
                let mut starts = inputs.iter().filter(|input| step(values, **input, address).is_none());
                let first = self.within(values, *starts.next()?, depth)?;
                let is_one = starts.all(|input| self.within(values, *input, depth) == Some(first))
                    && steps.iter().all(|step| self.is_element(first, *step));
                is_one.then_some(first)
            }
            _ => self.sized(self.pointee(values, address, depth)?, 0),
        }
    }

    /// A place that is in an object of the type, and not behind it.
    fn sized(&self, kind: TypeId, offset: u64) -> Option<Within> {
        (offset < self.types().size_of(Some(kind))?).then_some(Within { kind, offset })
    }

    /// What a pointer points to.
    fn pointee(&self, values: &Values<'_>, pointer: ValueId, depth: u32) -> Option<TypeId> {
        let types = self.types();
        let kind = match values.node(pointer) {
            Term::Entry(place) => self.parameters?.kind(*place),
            Term::Load { address, bytes: 8, .. } => {
                let place = self.within(values, *address, depth)?;
                match types.word_at(Some(place.kind), place.offset) {
                    WordKind::Pointer(kind) => Some(kind),
                    _ => None,
                }
            }
            Term::Result { call, place: Place::Register(0) } => self.result(values.function().graph, *call),
            _ => None,
        };
        match types.get(types.peel(kind)?).shape {
            Shape::Pointer { target } => types.peel(target),
            _ => None,
        }
    }

    /// Type of what a call gives, where it calls a function of the program.
    pub(super) fn result(&self, graph: &Graph, call: u32) -> Option<TypeId> {
        let Some(Callee::Function(callee)) = graph.node(call)?.call else { return None };
        let kind = self.side.functions.list().get(callee.0 as usize)?.kind;
        match self.types().get(self.types().peel(kind)?).shape {
            Shape::Function { result, .. } => result,
            _ => None,
        }
    }

    /// Whether `step` bytes on from a place there is the same of another element of an array.
    fn is_element(&self, place: Within, step: u64) -> bool {
        let types = self.types();
        let is_multiple = |kind| types.size_of(Some(kind)).is_some_and(|size| size != 0 && step.is_multiple_of(size));
        if is_multiple(place.kind) {
            return true;
        }
        let inner = match &types.get(place.kind).shape {
            Shape::Array { element, .. } => self.element_at(types.peel(*element), place.offset),
            Shape::Struct { members } => {
                let mut of = members.iter().filter(|member| {
                    let size = types.size_of(member.kind).unwrap_or(0);
                    member.bits.is_none() && (member.offset..member.offset.saturating_add(size)).contains(&place.offset)
                });
                let member = of.next().filter(|_| of.next().is_none());
                member.and_then(|member| self.sized(types.peel(member.kind)?, place.offset - member.offset))
            }
            _ => None,
        };
        inner.is_some_and(|inner| self.is_element(inner, step))
    }

    fn element_at(&self, element: Option<TypeId>, offset: u64) -> Option<Within> {
        let element = element?;
        let size = self.types().size_of(Some(element)).filter(|size| *size != 0)?;
        Some(Within { kind: element, offset: offset % size })
    }

    /// The element that a place in arrays is in.
    fn element(&self, kind: TypeId, offset: u64) -> Option<Within> {
        let types = self.types();
        let mut place = Within { kind: types.peel(Some(kind))?, offset };
        for _ in 0..DEPTH {
            let Shape::Array { element, .. } = types.get(place.kind).shape else { break };
            place = self.element_at(types.peel(element), place.offset)?;
        }
        Some(place)
    }
}

/// How far a value is from another one, if it is that one with a number added.
fn step(values: &Values<'_>, value: ValueId, of: ValueId) -> Option<u64> {
    let value = values.resolve(value);
    match values.node(value) {
        Term::Sum { terms, constant, .. } => match terms.as_slice() {
            [(term, 1)] if values.resolve(*term) == of => Some(constant.unsigned_abs()),
            _ => None,
        },
        _ => (value == of).then_some(0),
    }
}
