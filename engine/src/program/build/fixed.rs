//! The words of a fixed-address program that hold addresses of its own. The linker stored them and left no relocation: types tell them.

use std::collections::HashSet;

use object::elf;

use crate::program::address::LinkAddress;
use crate::program::dwarf::{DebugInfo, Storage};
use crate::program::elf::{Elf, Relocation};
use crate::program::types::WordKind;

/// Arrays of functions that the loader and the start files call.
const ARRAYS: [&str; 3] = [".preinit_array", ".init_array", ".fini_array"];

/// Relocations (R_X86_64_RELATIVE at base zero) for every word of initialised data whose type says that it may be an address, and that
/// is one. Where nothing has a type, a word of that size counts as one: taking a number for an address finds it changed at worst.
pub(super) fn relocations(elf: &Elf, debug: &DebugInfo) -> Vec<Relocation> {
    let mut found = Found { elf, known: elf.relocations.iter().map(|entry| entry.address.0).collect(), list: Vec::new() };
    let mut typed: Vec<(u64, u64)> = Vec::new();
    for variable in &debug.variables {
        let (Storage::Static(address), Some(size)) = (variable.storage, debug.types.size_of(variable.kind)) else { continue };
        found.words(address.0, size, |offset| {
            matches!(debug.types.word_at(variable.kind, offset), WordKind::Pointer(_) | WordKind::Unknown)
        });
        typed.push((address.0, address.0.saturating_add(size)));
    }
    typed.sort_unstable();
    for section in &elf.sections {
        let is_data = section.flags & elf::SHF_ALLOC.0 != 0
            && section.flags & (elf::SHF_EXECINSTR.0 | elf::SHF_TLS.0) == 0
            && section.kind != elf::SHT_NOBITS.0
            && (section.name.starts_with(".rodata")
                || section.name.starts_with(".data")
                || ARRAYS.contains(&section.name.as_str()));
        if is_data {
            found.words(section.address.0, section.size, |offset| !covers(&typed, section.address.0 + offset));
        }
    }
    found.list.sort_unstable_by_key(|entry| entry.address);
    found.list
}

fn covers(typed: &[(u64, u64)], address: u64) -> bool {
    let before = typed.partition_point(|range| range.0 <= address);
    // Merged constants share addresses.
    const NEAR: usize = 4;
    typed.get(before.saturating_sub(NEAR)..before).unwrap_or_default().iter().any(|range| address < range.1)
}

struct Found<'a> {
    elf: &'a Elf,
    known: HashSet<u64>,
    list: Vec<Relocation>,
}

impl Found<'_> {
    /// Adds the aligned words of `size` bytes at `start` that are addresses, where `is_address` lets them.
    fn words(&mut self, start: u64, size: u64, is_address: impl Fn(u64) -> bool) {
        let (low, high) = self.elf.load_range();
        let Some(bytes) = self.elf.file_bytes(LinkAddress(start), size) else { return };
        let first = start.next_multiple_of(8) - start;
        for (index, word) in (0u64..).zip(bytes.get(first as usize..).unwrap_or_default().as_chunks::<8>().0) {
            let (offset, value) = (first + index * 8, u64::from_le_bytes(*word));
            let inside = low.0 <= value && value < high.0;
            if inside && is_address(offset) && self.known.insert(start + offset) {
                let address = LinkAddress(start + offset);
                let (kind, addend) = (elf::R_X86_64_RELATIVE.0, value as i64);
                self.list.push(Relocation { address, kind, symbol: 0, addend, plt: false });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::program::testing::Compiled;

    #[test]
    fn pointers_in_data_are_found_by_their_types() {
        let program = Compiled::new(
            "program",
            "static int target; int other; void f(void) {}
             int *pointer = &target; unsigned long number = 0x401000; struct { int a; void (*f)(void); } pair = { 1, f };
             const char *const names[2] = { \"one\", \"two\" }; int main(void) { return *pointer + other + (int)number + names[0][0]; }",
            &["-g", "-no-pie", "-fno-pie"],
        );
        let build = program.build();
        let holds = |name: &str, offset: u64| {
            let symbol = build.elf.symbols.iter().find(|symbol| symbol.name == name).unwrap();
            build.elf.relocations.iter().any(|entry| entry.address.0 == symbol.address.0 + offset && entry.symbol == 0)
        };
        let seen = [("pointer", 0), ("number", 0), ("pair", 8), ("names", 0), ("names", 8)].map(|(name, at)| holds(name, at));
        assert_eq!(seen, [true, false, true, true, true]);
    }
}
