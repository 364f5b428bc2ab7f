//! Damaged input: a changed byte of code is seen, and no file makes the reader panic.

use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::program::dwarf::DebugInfo;

fn sound() -> &'static Build {
    static BUILD: OnceLock<Build> = OnceLock::new();
    BUILD.get_or_init(|| Compiled::new("program", super::edits::SOURCE, &["-O2", "-g"]).build())
}

fn with_bytes(change: impl FnOnce(&mut Vec<u8>)) -> Option<Elf> {
    let mut bytes = sound().elf.bytes.to_vec();
    change(&mut bytes);
    Elf::parse(bytes.into()).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Of all functions the damaged one alone differs, whatever bit of its code is turned over.
    #[test]
    fn a_changed_bit_is_seen(at: prop::sample::Index, bit in 0u8..8) {
        let old = &sound().elf;
        let debug = &sound().debug;
        let from = CodeImage::new(old, debug);
        let functions: Vec<_> = from.inventory().iter().filter(|(_, function)| !function.debug.is_empty()).collect();
        let total: u64 = functions.iter().map(|(_, function)| function.parts[0].size).sum();
        let mut position = at.index(total as usize) as u64;
        let (id, function) = functions
            .iter()
            .find(|(_, function)| {
                let size = function.parts[0].size;
                let found = position < size;
                position -= if found { 0 } else { size };
                found
            })
            .expect("within the code");
        let place = function.parts[0].start.0 + position;
        let segment = old.load_at(LinkAddress(place)).expect("code is loaded");
        let offset = (segment.offset + place - segment.address.0) as usize;
        let new = with_bytes(|bytes| bytes[offset] ^= 1 << bit).expect("headers are whole");
        let to = CodeImage::new(&new, debug);
        let diff = FunctionDiff::new(&from, &to, &ByName::new(old, &new));
        for (other, fate) in diff.iter() {
            // Another no-operation is none, some bits of a prefix mean nothing, and a literal's address may have become another's.
            let (before, after) = (instruction(old, function, position), instruction(&new, function, position));
            let is_padding = |instruction: &iced_x86::Instruction| instruction.mnemonic() == iced_x86::Mnemonic::Nop;
            let harmless = before == after
                || is_padding(&before) && is_padding(&after)
                || matches!(fate, Fate::Paired { comparison: Comparison::SameButLiterals(_), .. });
            // A new address inside a constant of another function cuts that in two.
            let cut = matches!(fate, Fate::Paired { comparison: Comparison::Different(difference), .. }
                if matches!(difference.reason, Reason::Constant | Reason::JumpTable));
            let expected = if other == *id { harmless || !fate.is_same() } else { cut || fate.is_same() };
            prop_assert!(expected, "{}+{position:#x} bit {bit}: {fate:?}", function.name);
        }
    }

    #[test]
    fn damaged_files_are_read_without_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let old = &sound().elf;
        let Some(new) = with_bytes(|bytes| {
            for (position, value) in damage {
                let at = position.index(bytes.len());
                bytes[at] = value;
            }
        }) else {
            return Ok(());
        };
        let none = DebugInfo::default();
        let (from, to) = (CodeImage::new(old, &none), CodeImage::new(&new, &none));
        let diff = FunctionDiff::new(&from, &to, &ByName::new(old, &new));
        prop_assert_eq!(diff.iter().count(), from.inventory().len());
        let graph = CallGraph::new(&to);
        for (id, _) in to.inventory().iter() {
            graph.closure([id]);
        }
    }

    /// Damage where it hurts: symbols, relocations, dynamic tables, section headers.
    #[test]
    fn damaged_tables_are_read_without_panic(
        damage in prop::collection::vec((0usize..8, any::<prop::sample::Index>(), any::<u64>(), 0u32..64), 1..6),
    ) {
        let old = &sound().elf;
        let names = [".symtab", ".dynsym", ".rela.dyn", ".rela.plt", ".plt", ".got", ".dynamic", ".text"];
        let Some(new) = with_bytes(|bytes| {
            for (table, position, value, shift) in damage {
                let Some(section) = old.section(names[table]) else { continue };
                let at = section.offset as usize + position.index((section.size as usize / 8).max(1)) * 8;
                bytes[at..at + 8].copy_from_slice(&(value >> shift).to_le_bytes());
            }
        }) else {
            return Ok(());
        };
        let none = DebugInfo::default();
        let (from, to) = (CodeImage::new(old, &none), CodeImage::new(&new, &none));
        let diff = FunctionDiff::new(&from, &to, &ByName::new(old, &new));
        prop_assert_eq!(diff.iter().count(), from.inventory().len());
        to.address_taken(true);
    }
}

/// The instruction that holds this byte of the function.
fn instruction(elf: &Elf, function: &Function, offset: u64) -> iced_x86::Instruction {
    let part = function.parts[0];
    let bytes = elf.file_bytes(part.start, part.size).expect("code");
    let mut decoder = iced_x86::Decoder::with_ip(64, bytes, 0, iced_x86::DecoderOptions::NONE);
    loop {
        let instruction = decoder.decode();
        if instruction.next_ip() > offset || !decoder.can_decode() {
            return instruction;
        }
    }
}
