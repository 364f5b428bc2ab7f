//! What the operands of instructions stand for that depend on where things lie, and other questions about one function's code.

use super::functions::FunctionId;
use super::image::CodeImage;
use super::jumps::Table;
use super::layout::Layout;
use super::reference::{Reference, Role, Target};
use super::slots::{ImportId, Loaded};
use crate::program::address::LinkAddress;

/// What an operand supplies, where that is not just a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Symbolic {
    /// An address of this object.
    Address(LinkAddress),
    /// What lies at an address of this object.
    Memory(LinkAddress),
    /// The address of another object's symbol, plus bytes.
    Import(ImportId, i64),
    /// What the selector of an indirect function at this address chose.
    Selected(LinkAddress),
    /// An offset from the thread pointer into this object's own block.
    Thread(i64),
    /// An offset from the thread pointer of another object's variable.
    ImportedThread(ImportId),
    /// Null: a weak symbol that nobody defines.
    Null,
    /// A word that the loader fills in a way that is not known.
    Unknown,
}

/// The operands of one instruction that stand for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Operands {
    /// The operand in memory, or the instruction's result as a whole.
    pub memory: Option<Symbolic>,
    /// The immediate operand (addresses in fixed-address programs, thread offsets).
    pub immediate: Option<Symbolic>,
}

impl CodeImage<'_> {
    /// Why the code of a function cannot be looked at, and where.
    pub fn defect(&self, function: FunctionId) -> Option<(LinkAddress, &'static str)> {
        self.code(function)?.defect
    }

    /// The bytes of each part of a function, without padding at the end, with where they are.
    pub fn parts(&self, function: FunctionId) -> impl Iterator<Item = (LinkAddress, &[u8])> {
        let parts = self.code(function).into_iter().flat_map(|code| &code.parts);
        parts.map(|part| (LinkAddress(part.start), part.bytes.get(..part.length as usize).unwrap_or(part.bytes)))
    }

    /// What the operands of the instruction at `address`, `length` bytes long, stand for; its immediate, if any, is at `immediate` in it.
    pub fn operands(&self, function: FunctionId, address: LinkAddress, length: usize, immediate: Option<usize>) -> Operands {
        let mut found = Operands::default();
        let parts = self.code(function).into_iter().flat_map(|code| &code.parts);
        let inside = |start: u64, size: usize| address.0.checked_sub(start).filter(|offset| *offset < size as u64);
        let Some((part, offset)) = parts.into_iter().find_map(|part| Some((part, inside(part.start, part.bytes.len())? as u32)))
        else {
            return found;
        };
        let end = offset.saturating_add(length as u32);
        let first = part.references.partition_point(|reference| reference.offset < offset);
        for reference in part.references.iter().skip(first).take_while(|reference| reference.offset < end) {
            let Some(symbolic) = symbolic(&self.layout, reference) else { continue };
            let is_immediate = reference.role == Role::Field && immediate == Some((reference.offset - offset) as usize);
            match is_immediate {
                true => found.immediate = Some(symbolic),
                false => found.memory = Some(symbolic),
            }
        }
        found
    }

    /// Where the jumps through the table at `address` lead, if it is one of a function's.
    pub fn targets_of_table(&self, function: FunctionId, address: LinkAddress) -> Vec<LinkAddress> {
        Table { layout: &self.layout, function, address: address.0 }.targets()
    }

    /// Places within a function, its entry apart, whose address is a value somewhere: labels that a computed jump may lead to.
    pub fn label_addresses(&self, function: FunctionId) -> Vec<LinkAddress> {
        let references = self.code(function).into_iter().flat_map(|code| &code.parts).flat_map(|part| &part.references);
        let by_code = references.filter(|reference| !matches!(reference.role, Role::Call | Role::Jump));
        let by_code = by_code.filter_map(|reference| match reference.target {
            Target::Address(address) => Some(address),
            Target::Slot(slot) => match self.layout.slots.loaded(slot) {
                Loaded::Address(address) => Some(address),
                _ => None,
            },
            _ => None,
        });
        let by_data = self.layout.elf.relocations.iter().filter_map(|relocation| match self.layout.slots.relocated(relocation) {
            Loaded::Address(address) => Some(address),
            _ => None,
        });
        let inside = |address: &u64| {
            let place = self.inventory().at(LinkAddress(*address));
            place.is_some_and(|place| place.function == function && !place.is_entry())
        };
        let mut found: Vec<_> = by_code.chain(by_data).chain(self.layout.fixed_words()).filter(inside).map(LinkAddress).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Whether `length` bytes at `address` never change while the program runs, so that what is read there is known.
    pub fn is_constant_memory(&self, address: LinkAddress, length: u64) -> bool {
        let last = address.0.saturating_add(length.saturating_sub(1));
        self.layout.is_read_only(address.0) && self.layout.is_read_only(last)
    }
}

fn symbolic(layout: &Layout<'_>, reference: &Reference) -> Option<Symbolic> {
    Some(match reference.target {
        Target::None | Target::Code(_) => return None,
        Target::Address(address) => Symbolic::Address(LinkAddress(address)),
        Target::Memory { address, .. } => Symbolic::Memory(LinkAddress(address)),
        Target::Thread(offset) => Symbolic::Thread(offset),
        Target::Slot(slot) | Target::ThreadSlot(slot) => match layout.slots.loaded(slot) {
            Loaded::Address(address) => Symbolic::Address(LinkAddress(address)),
            Loaded::Import(import, plus) => Symbolic::Import(import, plus),
            Loaded::Selected(selector) => Symbolic::Selected(LinkAddress(selector)),
            Loaded::ThreadOffset(offset) => Symbolic::Thread(layout.thread_distance(offset)),
            Loaded::ImportedThreadOffset(import) => Symbolic::ImportedThread(import),
            Loaded::Null => Symbolic::Null,
            Loaded::Unknown => Symbolic::Unknown,
        },
    })
}
