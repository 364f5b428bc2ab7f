//! What the code of a build does with places in its data that it names itself: loads, stores, or takes the address.
//!
//! Accesses through a pointer are not seen, but for the place where the pointer was made.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind};

use super::functions::FunctionId;
use super::image::CodeImage;
use super::reference::{PartCode, Target};
use super::slots::Loaded;

/// A use of a place in data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The function.
    pub function: FunctionId,
    /// The place, a link-time address.
    pub address: u64,
    /// Bytes from there on; 0 where only the address is taken.
    pub size: u64,
    /// Whether it stores something else there than a zero that the instruction itself holds.
    pub stores: bool,
    /// Whether it loads what is there, or takes the address, so that others may.
    pub loads: bool,
}

impl Access {
    /// Whether it touches `range`, or makes a pointer to something in it.
    pub fn touches(&self, range: &Range<u64>) -> bool {
        self.address < range.end && range.start < self.address.saturating_add(self.size.max(1))
    }
}

impl CodeImage<'_> {
    /// All uses of places in `ranges`, which ascend and do not overlap.
    pub fn accesses(&self, ranges: &[Range<u64>]) -> Vec<Access> {
        let mut found = Vec::new();
        if ranges.is_empty() {
            return found;
        }
        for (id, _) in self.inventory().iter() {
            for part in self.code(id).into_iter().flat_map(|code| &code.parts) {
                let near = part.references.iter().filter_map(|reference| {
                    let (address, size) = self.place(reference.target)?;
                    is_in(ranges, address, size).then_some((reference.offset, address, size))
                });
                let near: Vec<(u32, u64, u64)> = near.collect();
                if !near.is_empty() {
                    in_part(id, part, &near, &mut found);
                }
            }
        }
        found
    }

    /// The place in data that an operand names, and how many bytes are accessed there.
    fn place(&self, target: Target) -> Option<(u64, u64)> {
        match target {
            Target::Memory { address, size } => Some((address, u64::from(size.max(1)))),
            Target::Address(address) => Some((address, 0)),
            Target::Slot(slot) => match self.layout.slots.loaded(slot) {
                Loaded::Address(address) => Some((address, 0)),
                _ => None,
            },
            _ => None,
        }
    }
}

fn is_in(ranges: &[Range<u64>], address: u64, size: u64) -> bool {
    let at = ranges.partition_point(|range| range.end <= address);
    ranges.get(at).is_some_and(|range| range.start < address.saturating_add(size.max(1)))
}

/// The accesses of one part; `near` are its operands that matter, by offset.
fn in_part(function: FunctionId, part: &PartCode<'_>, near: &[(u32, u64, u64)], found: &mut Vec<Access>) {
    let mut decoder = Decoder::with_ip(64, part.bytes, part.start, DecoderOptions::NONE);
    let mut factory = InstructionInfoFactory::new();
    let mut near = near.iter().copied().peekable();
    let mut instruction = Instruction::default();
    while decoder.can_decode() && near.peek().is_some() {
        decoder.decode_out(&mut instruction);
        let end = instruction.next_ip().wrapping_sub(part.start);
        while let Some((_, address, size)) = near.next_if(|(offset, ..)| u64::from(*offset) < end) {
            let (loads, stores) = match size {
                0 => (true, false),
                _ => direction(&instruction, &mut factory),
            };
            found.push(Access { function, address, size, stores, loads });
        }
    }
}

/// Whether an instruction loads from its memory operand, and whether it stores there.
fn direction(instruction: &Instruction, factory: &mut InstructionInfoFactory) -> (bool, bool) {
    let memory = instruction.op_kinds().position(|kind| kind == OpKind::Memory);
    let info = factory.info(instruction);
    let access = memory.and_then(|position| u32::try_from(position).ok()).map(|position| info.op_access(position));
    match access {
        Some(OpAccess::Read | OpAccess::CondRead) => (true, false),
        Some(OpAccess::Write | OpAccess::CondWrite) => (false, !is_zero(instruction)),
        Some(OpAccess::NoMemAccess | OpAccess::None) => (false, false),
        _ => (true, true),
    }
}

/// Whether the instruction stores a zero that it holds itself.
fn is_zero(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Mov && instruction.try_immediate(1).is_ok_and(|value| value == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::testing::Compiled;

    #[test]
    fn loads_stores_and_addresses_are_told_apart() {
        let source = "void *stored, *cleared, *loaded, *taken; long counted; void use(void **); void *get(void);
            void store(void) { stored = get(); } void clear(void) { cleared = 0; } void *load(void) { return loaded; }
            void take(void) { use(&taken); } void count(void) { counted++; }
            void use(void **p) { __asm__ volatile(\"\" : : \"r\"(p)); } void *get(void) { return __builtin_return_address(0); }
            int main(void) { return 0; }";
        for flags in [&["-O2", "-g", "-fPIE", "-pie"][..], &["-O2", "-g", "-fno-pie", "-no-pie"]] {
            let build = Compiled::new("accesses", source, flags).build();
            let image = CodeImage::new(&build.elf, &build.debug);
            for (name, stores, loads) in [
                ("stored", true, false),
                ("cleared", false, false),
                ("loaded", false, true),
                ("taken", false, true),
                ("counted", true, true),
            ] {
                let start = build.elf.symbols_named(name).next().expect("a symbol").address.0;
                let range = start..start + 8;
                let found = image.accesses(std::slice::from_ref(&range));
                let told = (found.iter().any(|access| access.stores), found.iter().any(|access| access.loads));
                assert_eq!((told, found.is_empty()), ((stores, loads), false), "{name} {flags:?}: {found:?}");
            }
        }
    }
}
