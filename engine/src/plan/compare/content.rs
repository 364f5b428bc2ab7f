//! Whether two builds initialise memory alike: bytes by value, pointers by what they point to.

use super::sides::Sides;
use super::strings::{may_hold_literals, string_at};
use crate::plan::abi;
use crate::plan::link::symbols::symbol_of;
use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Relocation};

/// Compares initial content of an old and a new build.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The old build.
    pub old: &'a Elf,
    /// The new build.
    pub new: &'a Elf,
    /// What is what.
    pub sides: &'a Sides,
}

/// What a relocated word points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target<'a> {
    Own(LinkAddress),
    Selector(LinkAddress),
    External(&'a str, i64),
    Other(u32, &'a str, i64),
}

impl Content<'_> {
    /// Whether `length` bytes at `old` and at `new` are initialised alike.
    pub fn same(&self, old: LinkAddress, new: LinkAddress, length: u64) -> bool {
        let (Some(from), Some(to)) = (self.old.initial_bytes(old, length), self.new.initial_bytes(new, length)) else {
            return false;
        };
        let sides = self.sides;
        if !sides.old.is_relocated(old, length) && !sides.new.is_relocated(new, length) {
            return from == to;
        }
        let slots: Vec<_> = sides.old.relocations(self.old, old, length).map(|entry| (entry.address.0 - old.0, entry)).collect();
        let others: Vec<_> = sides.new.relocations(self.new, new, length).map(|entry| (entry.address.0 - new.0, entry)).collect();
        let alike =
            slots.len() == others.len() && slots.iter().zip(&others).all(|(a, b)| a.0 == b.0 && self.same_relocation(a.1, b.1));
        alike && same_between(&from, &to, slots.iter().map(|slot| slot.0))
    }

    /// Whether the slots at `old` and `new` are bound to one symbol.
    pub fn same_slot_symbol(&self, old: LinkAddress, new: LinkAddress) -> bool {
        let mut a = self.sides.old.relocations(self.old, old, 8);
        let mut b = self.sides.new.relocations(self.new, new, 8);
        matches!((a.next(), b.next()), (Some(a), Some(b)) if a.kind == b.kind && self.same_relocation(a, b))
    }

    fn same_relocation(&self, old: &Relocation, new: &Relocation) -> bool {
        match (target(self.old, old), target(self.new, new)) {
            (Target::Own(old), Target::Own(new)) => self.same_target(old, new),
            (Target::Selector(old), Target::Selector(new)) => self.same_target(old, new),
            (old, new) => old == new,
        }
    }

    /// Whether `old` and `new` are one function, one place in one variable, or equal string literals.
    pub fn same_target(&self, old: LinkAddress, new: LinkAddress) -> bool {
        let sides = self.sides;
        if let Some(function) = sides.old.functions.at_entry(old) {
            let partner = sides.functions[function].one().and_then(|index| sides.new.functions.list().get(index));
            return partner.is_some_and(|code| code.entry == new);
        }
        if let Some(index) = sides.old.objects.covering(old) {
            let object = &sides.old.objects.list()[index];
            let partner = sides.objects[index].one().and_then(|partner| sides.new.objects.list().get(partner));
            return partner.is_some_and(|partner| partner.start.offset(old.0 - object.start.0) == new);
        }
        self.same_literal(old, new)
    }

    fn same_literal(&self, old: LinkAddress, new: LinkAddress) -> bool {
        let literal = |elf: &Elf, address| elf.section_at(address).is_some_and(may_hold_literals);
        if !literal(self.old, old) || !literal(self.new, new) || self.sides.new.objects.covering(new).is_some() {
            return false;
        }
        match (string_at(self.old, old), string_at(self.new, new)) {
            (Some(text), Some(same)) => text == same,
            _ => false,
        }
    }
}

fn target<'a>(elf: &'a Elf, relocation: &Relocation) -> Target<'a> {
    let symbol = symbol_of(elf, relocation);
    match (relocation.kind, symbol) {
        (abi::R_RELATIVE, _) => Target::Own(LinkAddress(relocation.addend as u64)),
        (abi::R_IRELATIVE, _) => Target::Selector(LinkAddress(relocation.addend as u64)),
        (abi::R_64 | abi::R_GLOB_DAT | abi::R_JUMP_SLOT, Some(symbol)) => {
            let addend = if relocation.kind == abi::R_64 { relocation.addend } else { 0 };
            match symbol.defined {
                true => Target::Own(LinkAddress(symbol.address.0.wrapping_add_signed(addend))),
                false => Target::External(&symbol.name, addend),
            }
        }
        (kind, symbol) => Target::Other(kind, symbol.map_or("", |symbol| &symbol.name), relocation.addend),
    }
}

/// Whether all bytes but the words at `slots` are equal.
fn same_between(from: &[u8], to: &[u8], slots: impl Iterator<Item = u64>) -> bool {
    let mut at = 0;
    for slot in slots {
        let slot = slot as usize;
        if from.get(at..slot) != to.get(at..slot) {
            return false;
        }
        at = (slot + 8).min(from.len());
    }
    from.get(at..) == to.get(at..)
}
