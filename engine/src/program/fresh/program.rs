//! The whole program: its functions in an order in which what is called comes first, and what is known of each.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;

use super::function::Walk;
use super::locals::Locals;
use super::summary::{Summary, Testimony};
use super::types::Types;
use crate::program::build::Build;
use crate::program::code::{Callee, CodeImage, Function, FunctionId};
use crate::program::dwarf;
use crate::program::error::ProgramError;
use crate::program::types::{Shape, TypeId};

/// Passes over functions that call themselves through others; what still changes then is not known.
const ROUNDS: usize = 4;
/// Integer arguments that come in registers.
const IN_REGISTERS: usize = 6;
/// DW_ATE_complex_float and DW_ATE_float.
const FLOATS: [u8; 2] = [3, 4];

/// A program whose functions are looked into.
pub(super) struct Program<'b> {
    pub(super) build: &'b Build,
    pub(super) image: CodeImage<'b>,
    pub(super) locals: Locals,
    pub(super) types: Types<'b>,
    summaries: RefCell<Vec<Option<Rc<Summary>>>>,
    /// Entries of functions whose address is a value somewhere.
    taken: HashSet<u64>,
    /// Whether a function was asked about before it was looked into.
    asked_early: Cell<bool>,
}

/// What the functions of a program say; `None` where that does not settle.
pub(super) type Testimonies = Option<Vec<Testimony>>;

impl<'b> Program<'b> {
    pub(super) fn new(build: &'b Build, wanted: &[TypeId]) -> Result<Self, ProgramError> {
        let image = CodeImage::new(&build.elf, &build.debug);
        let summaries = RefCell::new(vec![None; image.inventory().len()]);
        let (locals, types) = (Locals::read(build)?, Types::new(&build.debug.types, wanted));
        let taken = image.address_taken(false);
        let taken = taken.iter().filter_map(|id| image.inventory().get(*id)).map(|function| function.entry().0).collect();
        Ok(Self { build, image, locals, types, summaries, taken, asked_early: Cell::new(false) })
    }

    /// Whether the function that is entered at `entry` may be called through a pointer.
    pub(super) fn is_taken(&self, entry: u64) -> bool {
        self.taken.contains(&entry)
    }

    /// Looks into every function, callees first; again where functions call each other in circles.
    pub(super) fn testimonies(&self) -> Testimonies {
        let order = self.order();
        for _ in 0..ROUNDS {
            self.asked_early.set(false);
            let before = self.summaries.borrow().clone();
            let mut found = Vec::new();
            for id in &order {
                let Some(function) = self.image.inventory().get(*id) else { continue };
                let (summary, testimony) = Walk::new(self, *id, function).run()?;
                if let Some(slot) = self.summaries.borrow_mut().get_mut(id.0 as usize) {
                    *slot = Some(Rc::new(summary));
                }
                found.push(testimony);
            }
            if !self.asked_early.get() || *self.summaries.borrow() == before {
                return Some(found);
            }
        }
        None
    }

    /// What is known of a function; `None` while it has not been looked into.
    pub(super) fn summary(&self, id: FunctionId) -> Option<Rc<Summary>> {
        let known = self.summaries.borrow().get(id.0 as usize).cloned().flatten();
        if known.is_none() {
            self.asked_early.set(true);
        }
        known
    }

    /// Functions, those that a function calls before it but for circles.
    fn order(&self) -> Vec<FunctionId> {
        let count = self.image.inventory().len();
        let mut seen = vec![false; count];
        let mut order = Vec::with_capacity(count);
        for (root, _) in self.image.inventory().iter() {
            let mut open = vec![(root, false)];
            while let Some((id, is_done)) = open.pop() {
                if is_done {
                    order.push(id);
                    continue;
                }
                match seen.get_mut(id.0 as usize) {
                    Some(seen) if !*seen => *seen = true,
                    _ => continue,
                }
                open.push((id, true));
                let callees = self.image.calls(id).iter().filter_map(|call| match call.callee {
                    Callee::Function(callee) => Some((callee, false)),
                    _ => None,
                });
                open.extend(callees);
            }
        }
        order
    }

    /// What DWARF says of a function.
    pub(super) fn described(&self, function: &Function) -> Option<&'b dwarf::Function> {
        function.debug.first().and_then(|index| self.build.debug.functions.get(*index))
    }

    /// The types of the arguments that come in general registers, as far as all before them are words.
    pub(super) fn parameters(&self, function: &Function) -> Vec<TypeId> {
        let Some((_, parameters)) = self.prototype(function) else { return Vec::new() };
        let mut found = Vec::new();
        for parameter in parameters {
            match self.class(*parameter) {
                Class::Word => found.extend(*parameter),
                Class::Vector => {}
                Class::Other => break,
            }
        }
        found.truncate(IN_REGISTERS);
        found
    }

    /// Whether a function takes arguments on the stack.
    pub(super) fn takes_more(&self, function: &Function) -> bool {
        let Some((_, parameters)) = self.prototype(function) else { return false };
        let words = parameters.iter().filter(|parameter| self.class(**parameter) == Class::Word).count();
        words > IN_REGISTERS || parameters.iter().any(|parameter| self.class(*parameter) == Class::Other)
    }

    /// The declared type of a function's result.
    pub(super) fn result(&self, function: &Function) -> Option<TypeId> {
        self.prototype(function)?.0
    }

    /// Whether a function takes any number of arguments.
    pub(super) fn is_variadic(&self, function: &Function) -> bool {
        let types = self.types.table();
        let kind = self.described(function).and_then(|described| types.peel(described.kind));
        kind.is_some_and(|kind| matches!(types.get(kind).shape, Shape::Function { variadic: true, .. }))
    }

    /// Result and parameters as declared.
    pub(super) fn prototype(&self, function: &Function) -> Option<(Option<TypeId>, &'b [Option<TypeId>])> {
        let types = self.types.table();
        let kind = types.peel(self.described(function)?.kind)?;
        match &types.get(kind).shape {
            Shape::Function { result, parameters, .. } => Some((*result, parameters)),
            _ => None,
        }
    }

    fn class(&self, kind: Option<TypeId>) -> Class {
        let Some(kind) = self.types.normal(kind) else { return Class::Other };
        let entry = self.types.table().get(kind);
        match &entry.shape {
            Shape::Pointer { .. } | Shape::Enum { .. } => Class::Word,
            Shape::Base { encoding } if FLOATS.contains(encoding) => {
                if entry.size <= Some(8) {
                    Class::Vector
                } else {
                    Class::Other
                }
            }
            Shape::Base { .. } if entry.size <= Some(8) => Class::Word,
            _ => Class::Other,
        }
    }

    /// Structures and unions that functions pass by value.
    pub(super) fn passed_by_value(&self) -> impl Iterator<Item = TypeId> + '_ {
        let types = self.types.table();
        let kinds = self.build.debug.functions.iter().filter_map(|function| types.peel(function.kind));
        kinds.flat_map(|kind| match &types.get(kind).shape {
            Shape::Function { result, parameters, .. } => result.iter().chain(parameters.iter().flatten()).copied().collect(),
            _ => Vec::new(),
        })
    }
}

/// How an argument is passed (System V ABI, 3.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Word,
    Vector,
    Other,
}
