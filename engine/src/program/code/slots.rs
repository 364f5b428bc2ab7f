//! What the loader stores where: global offset table slots, and the stubs that jump through them.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::elf;

use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Relocation, Section};

/// Position of an undefined dynamic symbol in [`Elf::dynamic_symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportId(pub u32);

/// What a word holds once the loader has relocated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// An address in this object.
    Address(u64),
    /// The address of another object's symbol, plus bytes.
    Import(ImportId, i64),
    /// What the selector at this address answers.
    Selected(u64),
    /// Offset from the thread pointer of a place in this object's TLS block.
    ThreadOffset(u64),
    /// The same for another object's symbol.
    ImportedThreadOffset(ImportId),
    /// A weak symbol that nobody defines.
    Null,
    /// Something else.
    Unknown,
}

/// The relocated words and call stubs of one object.
#[derive(Debug)]
pub(super) struct Slots<'a> {
    elf: &'a Elf,
    /// Relocations by address.
    relocations: Vec<Relocation>,
    /// Call stub → the slot that it jumps through.
    stubs: HashMap<u64, u64>,
    /// Objects of libraries that live here (R_X86_64_COPY) as (start, end, symbol), by start.
    copies: Vec<(u64, u64, ImportId)>,
    got: Vec<(u64, u64)>,
}

impl<'a> Slots<'a> {
    pub(super) fn new(elf: &'a Elf) -> Self {
        let mut relocations = elf.relocations.clone();
        relocations.sort_by_key(|relocation| relocation.address);
        let got = elf.sections.iter().filter(|section| section.name.starts_with(".got"));
        let got = got.map(|section| (section.address.0, section.address.0.saturating_add(section.size))).collect();
        let mut slots = Self { elf, copies: copies(elf, &relocations), relocations, stubs: HashMap::new(), got };
        for section in elf.sections.iter().filter(|section| section.name == ".iplt" || section.name.starts_with(".plt")) {
            slots.read_stubs(section);
        }
        slots
    }

    /// Each entry of a linkage table that jumps through a slot; the lazy entries of an IBT table do not and are never called.
    fn read_stubs(&mut self, section: &Section) {
        let step = if section.entry_size == 8 { 8 } else { 16 };
        let Some(bytes) = self.elf.file_bytes(section.address, section.size) else { return };
        for (index, entry) in bytes.chunks(step).enumerate() {
            let start = section.address.0.wrapping_add((index * step) as u64);
            let mut decoder = Decoder::with_ip(64, entry, start, DecoderOptions::NONE);
            while decoder.can_decode() {
                let instruction = decoder.decode();
                if instruction.is_invalid() || instruction.flow_control() == FlowControl::UnconditionalBranch {
                    break;
                }
                if instruction.flow_control() == FlowControl::IndirectBranch {
                    if instruction.is_ip_rel_memory_operand() {
                        self.stubs.insert(start, instruction.ip_rel_memory_address());
                    }
                    break;
                }
            }
        }
    }

    /// The slot that the call stub at `address` jumps through.
    pub(super) fn stub(&self, address: u64) -> Option<u64> {
        self.stubs.get(&address).copied()
    }

    /// Whether `address` is a word of the global offset table.
    pub(super) fn is_slot(&self, address: u64) -> bool {
        self.got.iter().any(|(start, end)| (*start..*end).contains(&address))
    }

    /// The library's object that is copied to where `address` is, and how far into it.
    pub(super) fn copied(&self, address: u64) -> Option<(ImportId, u64)> {
        let after = self.copies.partition_point(|copy| copy.0 <= address);
        let (start, end, import) = *self.copies.get(after.checked_sub(1)?)?;
        (address < end).then(|| (import, address - start))
    }

    /// Relocations of `length` bytes at `address`, ascending.
    pub(super) fn relocations(&self, address: u64, length: u64) -> &[Relocation] {
        let end = address.saturating_add(length);
        let first = self.relocations.partition_point(|relocation| relocation.address.0 < address);
        let after = self.relocations.partition_point(|relocation| relocation.address.0 < end);
        self.relocations.get(first..after.max(first)).unwrap_or_default()
    }

    /// What the word at `address` holds after loading.
    pub(super) fn loaded(&self, address: u64) -> Loaded {
        match self.relocations(address, 1) {
            [relocation] => self.relocated(relocation),
            // A slot that the linker could fill in itself (static or fixed-address programs).
            [] => match self.elf.file_bytes(LinkAddress(address), 8).and_then(|bytes| bytes.try_into().ok()) {
                Some(word) => match u64::from_le_bytes(word) {
                    0 => Loaded::Null,
                    word => Loaded::Address(word),
                },
                None => Loaded::Unknown,
            },
            _ => Loaded::Unknown,
        }
    }

    /// What `relocation` stores.
    pub(super) fn relocated(&self, relocation: &Relocation) -> Loaded {
        let addend = relocation.addend;
        match relocation.kind {
            kind if kind == elf::R_X86_64_RELATIVE.0 => Loaded::Address(addend as u64),
            kind if kind == elf::R_X86_64_IRELATIVE.0 => Loaded::Selected(addend as u64),
            kind if kind == elf::R_X86_64_GLOB_DAT.0 || kind == elf::R_X86_64_JUMP_SLOT.0 => self.symbol(relocation.symbol, 0),
            kind if kind == elf::R_X86_64_64.0 => self.symbol(relocation.symbol, addend),
            kind if kind == elf::R_X86_64_TPOFF64.0 => self.thread_symbol(relocation.symbol, addend),
            _ => Loaded::Unknown,
        }
    }

    /// A program's own definition comes first in the loader's scope, so that a reference by name ends at it.
    fn symbol(&self, index: u32, addend: i64) -> Loaded {
        let Some(symbol) = self.elf.dynamic_symbols.get(index as usize) else { return Loaded::Unknown };
        match () {
            () if !symbol.defined => Loaded::Import(ImportId(index), addend),
            () if symbol.kind == elf::STT_GNU_IFUNC.0 && addend == 0 => Loaded::Selected(symbol.address.0),
            () if symbol.kind == elf::STT_TLS.0 => Loaded::Unknown,
            () => match self.copied(symbol.address.0) {
                Some((import, offset)) => Loaded::Import(import, addend.wrapping_add_unsigned(offset)),
                None => Loaded::Address(symbol.address.0.wrapping_add_signed(addend)),
            },
        }
    }

    fn thread_symbol(&self, index: u32, addend: i64) -> Loaded {
        if index == 0 {
            return Loaded::ThreadOffset(addend as u64);
        }
        match self.elf.dynamic_symbols.get(index as usize) {
            Some(symbol) if symbol.defined => Loaded::ThreadOffset(symbol.address.0.wrapping_add_signed(addend)),
            Some(_) if addend == 0 => Loaded::ImportedThreadOffset(ImportId(index)),
            _ => Loaded::Unknown,
        }
    }
}

fn copies(elf: &Elf, relocations: &[Relocation]) -> Vec<(u64, u64, ImportId)> {
    let mut copies: Vec<_> = relocations
        .iter()
        .filter(|relocation| relocation.kind == elf::R_X86_64_COPY.0)
        .filter_map(|relocation| {
            let symbol = elf.dynamic_symbols.get(relocation.symbol as usize)?;
            let start = relocation.address.0;
            Some((start, start.saturating_add(symbol.size), ImportId(relocation.symbol)))
        })
        .collect();
    copies.sort_unstable();
    copies
}
