//! The auxiliary vector: the kernel's copy, and the one above the environment on the first stack.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::AddressSpace;

use crate::plan::abi;
use crate::plan::rewrite::Patch;
use crate::plan::source::{MemorySource, SourceError, read_bytes};
use crate::program::elf::Elf;

/// More than any argument list with an environment leaves between `start_stack` and the vector.
const MOST: u64 = 8 << 20;

/// Values that describe the program: headers, their number, entry.
fn values(elf: &Elf, bias: u64) -> [(u64, u64); 3] {
    [
        (abi::AT_PHDR, bias.wrapping_add(elf.headers_address().0)),
        (abi::AT_PHNUM, u64::from(elf.program_headers.1)),
        (abi::AT_ENTRY, bias.wrapping_add(elf.entry.0)),
    ]
}

/// `vector` with the values of `elf` at `bias`.
pub fn rewritten(vector: &[(u64, u64)], elf: &Elf, bias: u64) -> Vec<(u64, u64)> {
    let values = values(elf, bias);
    let value = |kind: u64, old: u64| values.iter().find(|entry| entry.0 == kind).map_or(old, |entry| entry.1);
    vector.iter().map(|(kind, old)| (*kind, value(*kind, *old))).collect()
}

/// Patches for the copy on the first stack; none when the program has overwritten it.
///
/// # Errors
/// The stack cannot be read.
pub fn stack_patches(
    space: &AddressSpace,
    memory: &dyn MemorySource,
    old: (&Elf, u64),
    new: (&Elf, u64),
) -> Result<Vec<Patch>, SourceError> {
    let from = space.layout.start_stack;
    let Some(stack) = space.mappings.iter().find(|mapping| mapping.range.contains(from)) else { return Ok(Vec::new()) };
    let from = RunAddress(from.0.next_multiple_of(8));
    let length = stack.range.end.0.saturating_sub(from.0).min(MOST);
    let bytes = read_bytes(memory, from, length as usize)?;
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|part| part.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))).collect();
    let headers = values(old.0, old.1)[0];
    let Some(start) = words.windows(2).position(|pair| pair == [headers.0, headers.1]) else { return Ok(Vec::new()) };
    let new_values = values(new.0, new.1);
    let mut patches = Vec::new();
    let pairs = words[start..].chunks_exact(2).take_while(|pair| pair[0] != 0);
    for (index, pair) in pairs.enumerate() {
        if let Some((_, word)) = new_values.iter().find(|entry| entry.0 == pair[0]) {
            patches.push(Patch { address: RunAddress(from.0 + (start + index * 2 + 1) as u64 * 8), word: *word });
        }
    }
    Ok(patches)
}
