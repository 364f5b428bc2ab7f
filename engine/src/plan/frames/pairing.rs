//! Which things of a changed function are which of its partner.

use std::collections::HashMap;

use iced_x86::Mnemonic;

use super::continuation::FrameObject;
use super::copies;
use super::effects::Impact;
use super::pairs::Pairs;
use super::parameters::Parameters;
use super::points::{Partners, Points};
use super::typed::Typed;
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::Comparison;
use crate::plan::compare::layout::LayoutChange;
use crate::plan::compare::objects::Objects;
use crate::plan::compare::pairs::Partner;
use crate::plan::compare::strings::may_hold_literals;
use crate::plan::data::compile::Compiled;
use crate::plan::data::recipe::Recipe;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::code::{Callee, FunctionId, ImportId, Symbolic};
use crate::program::elf::{DynamicSymbol, Elf};
use crate::program::flow::{Graph, Place, ValueId, Values};

/// Registers that a function keeps for its caller, as instructions number them (System V ABI, figure 3.4).
const KEPT: [u8; 6] = [3, 5, 12, 13, 14, 15];

/// A changed function and its partner.
pub(super) struct FunctionPairs<'p> {
    view: View<'p>,
    comparison: &'p Comparison,
    points: &'p Points,
    function: usize,
    partner: usize,
    parameters: Option<(Parameters, Parameters)>,
    /// System calls that both make, and copies of calls that follow one another alike, by where they come back to.
    alike: Vec<(LinkAddress, LinkAddress)>,
    objects: &'p [FrameObject],
}

impl<'p> FunctionPairs<'p> {
    /// The functions at these positions of the old and of the new build; `objects` are pairs of variables in their frames.
    pub(super) fn new(
        (view, comparison, points): (View<'p>, &'p Comparison, &'p Points),
        (function, partner): (usize, usize),
        objects: &'p [FrameObject],
    ) -> Self {
        let old = view.sides.old.functions.list().get(function);
        let new = view.sides.new.functions.list().get(partner);
        let parameters = old
            .zip(new)
            .and_then(|(old, new)| Some((Parameters::of(view.old, old.entry)?, Parameters::of(view.new, new.entry)?)));
        let mut alike = kernel_calls(comparison, (function, partner));
        alike.extend(copies::alike((view, comparison), (function, partner)));
        Self { view, comparison, points, function, partner, parameters, alike, objects }
    }

    fn address(&self, old: LinkAddress, new: LinkAddress, bytes: Option<u8>) -> bool {
        let sides = self.view.sides;
        if sides.old.objects.covering(old).is_some() {
            let objects = (&sides.old.objects, &sides.new.objects);
            let changes = (&self.comparison.layouts[..], &self.comparison.data.variables);
            return same_place(objects, (&sides.objects, changes), (old, new), bytes);
        }
        let content = self.view.content();
        match bytes {
            // What is read decides, not what it would be as a text.
            Some(bytes) => self.both_constant(old, new, bytes) && content.same(old, new, u64::from(bytes)),
            None => content.same_target(old, new),
        }
    }

    /// Distances from the thread pointer to thread-local variables.
    fn thread_local(&self, old: i64, new: i64, bytes: Option<u8>) -> bool {
        let sides = self.view.sides;
        let place = |elf: &Elf, distance: i64| {
            let block = elf.tls()?;
            let size = block.memory_size.checked_next_multiple_of(block.align.max(1))?;
            size.checked_add_signed(distance).map(LinkAddress)
        };
        let (Some(old), Some(new)) = (place(&self.view.old.elf, old), place(&self.view.new.elf, new)) else { return false };
        let objects = (&sides.old.locals, &sides.new.locals);
        let changes = (&self.comparison.local_layouts[..], &self.comparison.data.locals);
        same_place(objects, (&sides.locals, changes), (old, new), bytes)
    }

    fn both_constant(&self, old: LinkAddress, new: LinkAddress, bytes: u8) -> bool {
        is_settled(&self.view.old.elf, old, bytes) && is_settled(&self.view.new.elf, new, bytes)
    }

    fn same_import(&self, old: ImportId, new: ImportId) -> bool {
        let symbol = |elf: &'p Elf, id: ImportId| -> Option<&'p DynamicSymbol> { elf.dynamic_symbols.get(id.0 as usize) };
        let (Some(old), Some(new)) = (symbol(&self.view.old.elf, old), symbol(&self.view.new.elf, new)) else { return false };
        old.name == new.name && old.version == new.version
    }
}

impl Pairs for FunctionPairs<'_> {
    fn same_call(&self, old: LinkAddress, new: LinkAddress) -> bool {
        self.alike.contains(&(old, new))
            || matches!(self.points.partner(self.function, OldLink(old)), Ok(Partners::One(only)) if *only == NewLink(new))
    }

    fn same_symbol(&self, old: &Symbolic, new: &Symbolic, bytes: Option<u8>) -> bool {
        match (old, new) {
            (Symbolic::Address(old), Symbolic::Address(new)) => self.address(*old, *new, bytes),
            (Symbolic::Import(old, plus), Symbolic::Import(new, more)) => plus == more && self.same_import(*old, *new),
            (Symbolic::Selected(old), Symbolic::Selected(new)) => self.address(*old, *new, None),
            (Symbolic::Thread(old), Symbolic::Thread(new)) => self.thread_local(*old, *new, bytes),
            (Symbolic::ImportedThread(old), Symbolic::ImportedThread(new)) => self.same_import(*old, *new),
            (Symbolic::Null, Symbolic::Null) => true,
            _ => false,
        }
    }

    fn same_part(&self, old: (&Values<'_>, ValueId), new: (&Values<'_>, ValueId), bytes: u8) -> Option<bool> {
        let data = &self.comparison.data;
        if data.types.is_empty() {
            return None;
        }
        let (sides, parameters) = (self.view.sides, self.parameters.as_ref());
        let from = Typed { build: self.view.old, side: &sides.old, parameters: parameters.map(|both| &both.0) };
        let to = Typed { build: self.view.new, side: &sides.new, parameters: parameters.map(|both| &both.1) };
        let (from, to) = (from.at(old.0, old.1), to.at(new.0, new.1));
        let Some(from) = from.filter(|from| data.types.changed(Some(from.kind))) else {
            // A changed type's partner on one side alone: nothing says that it is the same object.
            let origin = to.and_then(|to| data.types.origin(self.view.new.debug.types.canonical(to.kind)));
            return origin.filter(|origin| data.types.changed(Some(*origin))).map(|_| false);
        };
        let kind = self.view.old.debug.types.canonical(from.kind);
        let to = to.filter(|to| data.types.successor(kind) == Some(self.view.new.debug.types.canonical(to.kind)));
        let recipe = data.recipes.get(kind).and_then(|recipe| recipe.as_ref().ok());
        let carried = recipe.and_then(|recipe| recipe.carried(from.offset as usize, bytes.into()));
        Some(to.zip(carried).is_some_and(|(to, carried)| to.offset == carried as u64))
    }

    fn is_apart(&self, is_old: bool, values: &Values<'_>, one: ValueId, other: ValueId) -> bool {
        let (view, parameters) = (self.view, self.parameters.as_ref());
        let typed = match is_old {
            true => Typed { build: view.old, side: &view.sides.old, parameters: parameters.map(|both| &both.0) },
            false => Typed { build: view.new, side: &view.sides.new, parameters: parameters.map(|both| &both.1) },
        };
        typed.are_apart(values, one, other)
    }

    fn same_entry(&self, old: Place, new: Place) -> bool {
        if let (Place::Register(a), Place::Register(b)) = (old, new)
            && KEPT.contains(&a)
        {
            return a == b;
        }
        let Some((from, to)) = &self.parameters else { return false };
        match (from.name(old), to.name(new)) {
            (Some(name), other) => other == Some(name),
            // Whatever the caller left in a register that is no argument, it left it for both.
            (None, None) => matches!(old, Place::Vector(_)) && old == new && from.is_whole() && to.is_whole(),
            (None, Some(_)) => false,
        }
    }

    fn argument(&self, new: Place) -> Option<u8> {
        let (from, to) = self.parameters.as_ref()?;
        match from.place(to.name(new)?)? {
            Place::Register(register) => Some(register),
            _ => None,
        }
    }

    fn same_slot(&self, old: i64, new: i64) -> bool {
        let in_both = |object: &&FrameObject| {
            let distance = old.wrapping_sub(object.old);
            !object.is_changed
                && (0..object.old_length.min(object.new_length).cast_signed()).contains(&distance)
                && new.wrapping_sub(object.new) == distance
        };
        let starts = |object: &&FrameObject| object.old == old && object.new == new;
        self.objects.iter().any(|object| in_both(&object) || starts(&object))
    }

    fn are_texts(&self, old: &Symbolic, new: &Symbolic) -> bool {
        let is_text = |elf: &Elf, symbol: &Symbolic| match symbol {
            Symbolic::Address(link) => elf.section_at(*link).is_some_and(may_hold_literals),
            _ => false,
        };
        is_text(&self.view.old.elf, old) && is_text(&self.view.new.elf, new)
    }

    fn may_change(&self, old: Callee) -> bool {
        self.points.old_impact(old) == Impact::Memory
    }

    fn new_may_change(&self, new: Callee) -> bool {
        self.points.impact(new) == Impact::Memory
    }

    fn number_at(&self, new: &Symbolic, bytes: u8) -> Option<u64> {
        number_at(&self.view.new.elf, new, bytes)
    }

    fn old_number_at(&self, old: &Symbolic, bytes: u8) -> Option<u64> {
        number_at(&self.view.old.elf, old, bytes)
    }

    fn steady(&self, new: &Symbolic, bytes: u8) -> Option<LinkAddress> {
        let Symbolic::Address(new) = new else { return None };
        let View { sides, code, .. } = self.view;
        let there = sides.new.objects.covering(*new)?;
        let partner = sides.objects.iter().position(|partner| partner.one() == Some(there))?;
        let (from, to) = (sides.old.objects.list().get(partner)?, sides.new.objects.list().get(there)?);
        let old = from.start.offset(new.0.checked_sub(to.start.0)?);
        let is_same = self.comparison.layouts.get(partner).is_some_and(Option::is_none)
            && self.view.is_same_initialiser(partner, there)
            && self.address(old, *new, Some(bytes));
        let id = |position: usize| u32::try_from(position).ok().map(FunctionId);
        let (function, partner) = (id(self.function)?, id(self.partner)?);
        let is_steady = || {
            code.writers.is_steady(&code.calls, function, (old, bytes.into()))
                && code.new_writers.is_steady(&code.new_calls, partner, (*new, bytes.into()))
        };
        (is_same && is_steady()).then_some(old)
    }

    fn is_constant(&self, old: &Symbolic, bytes: u8) -> bool {
        matches!(old, Symbolic::Address(old) if is_settled(&self.view.old.elf, *old, bytes))
    }
}

/// The system calls that two functions make by themselves, if both make as many: in their order.
fn kernel_calls(comparison: &Comparison, (function, partner): (usize, usize)) -> Vec<(LinkAddress, LinkAddress)> {
    let (Ok(old), Ok(new)) = (comparison.prepared.old(function), comparison.prepared.new_function(partner)) else {
        return Vec::new();
    };
    let of = |graph: &Graph| -> Vec<LinkAddress> {
        let calls = graph.nodes().iter().filter(|node| node.instruction.mnemonic() == Mnemonic::Syscall);
        calls.map(crate::program::flow::Node::behind).collect()
    };
    let (olds, news) = (of(&old.graph), of(&new.graph));
    if olds.len() == news.len() { olds.into_iter().zip(news).collect() } else { Vec::new() }
}

/// Of each old variable how its type changes, and how those become their partners that do.
type Changes<'c> = (&'c [Option<LayoutChange>], &'c HashMap<usize, Compiled>);

/// Whether two places are the same one of paired variables. Where a variable's parts move, a part is that which is carried there as it is;
/// without a length, as an address, only what lies there decides.
fn same_place(
    (olds, news): (&Objects, &Objects),
    (partners, (layouts, recipes)): (&[Partner], Changes<'_>),
    (old, new): (LinkAddress, LinkAddress),
    bytes: Option<u8>,
) -> bool {
    let Some(index) = olds.covering(old) else { return false };
    let partner = partners.get(index).and_then(Partner::one).and_then(|partner| news.list().get(partner));
    let (Some(from), Some(to)) = (olds.list().get(index), partner) else { return false };
    let (distance, other) = (old.0.wrapping_sub(from.start.0), new.0.wrapping_sub(to.start.0));
    if layouts.get(index).is_some_and(Option::is_none) {
        return distance == other;
    }
    // As a start it is the variable's, whatever lies there.
    if bytes.is_none() && distance == 0 {
        return other == 0;
    }
    let carried = |recipe: &Recipe| recipe.carried(distance as usize, bytes.unwrap_or(1).into());
    let place = recipes.get(&index).and_then(|recipe| recipe.as_ref().ok()).and_then(|recipe| carried(recipe));
    place.is_some_and(|place| place as u64 == other)
}

/// The number that bytes are which are never written.
fn number_at(elf: &Elf, symbol: &Symbolic, bytes: u8) -> Option<u64> {
    let Symbolic::Address(at) = symbol else { return None };
    let read = elf.file_bytes(*at, u64::from(bytes)).filter(|_| is_constant(elf, *at, bytes))?;
    let mut whole = [0; 8];
    whole.get_mut(..usize::from(bytes))?.copy_from_slice(read);
    Some(u64::from_le_bytes(whole))
}

/// Whether bytes are in memory that is never written once the loader is done (constants with addresses in them).
fn is_settled(elf: &Elf, address: LinkAddress, bytes: u8) -> bool {
    let end = address.0.checked_add(bytes.into());
    let holds =
        |(start, size): (LinkAddress, u64)| end.is_some_and(|end| address >= start && end <= start.0.saturating_add(size));
    is_constant(elf, address, bytes)
        || (elf.relro().is_some_and(|relro| holds((relro.address, relro.memory_size)))
            && elf.file_bytes(address, u64::from(bytes)).is_some())
}

/// Whether bytes are in memory that is never written: not even by the loader.
fn is_constant(elf: &Elf, address: LinkAddress, bytes: u8) -> bool {
    elf.load_at(address).is_some_and(|segment| segment.flags & object::elf::PF_W.0 == 0)
        && elf.file_bytes(address, u64::from(bytes)).is_some()
}
