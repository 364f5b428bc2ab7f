//! Symbols that only the new program defines and that libraries have bound elsewhere: their slots move to the program.

use super::scope::LoadedLibrary;
use super::symbols::DynamicIndex;
use crate::plan::abi;
use crate::plan::rewrite::Patch;
use crate::plan::source::{MemorySource, SourceError, read_word};
use crate::program::elf::Elf;

/// The slots of `libraries` to store, had the new program been there when they were bound.
///
/// `old` and `new` are the two programs' symbols, `bias` is the new program's. A slot that is still unbound is left to the
/// loader. What both programs define is not here: those slots hold pointers into the old program and follow like any other.
///
/// # Errors
/// A slot that cannot be read.
pub fn interposed_slots(
    old: (&Elf, &DynamicIndex),
    new: (&Elf, &DynamicIndex),
    bias: u64,
    libraries: &[LoadedLibrary<'_>],
    memory: &dyn MemorySource,
) -> Result<Vec<Patch>, SourceError> {
    let mut patches = Vec::new();
    for name in new.1.defined_names() {
        for library in libraries {
            for (relocation, reference) in library.library.index.relocations(&library.library.elf, name) {
                let version = reference.version.as_deref();
                let Some(definition) = new.1.lookup(new.0, name, version) else { continue };
                if old.1.lookup(old.0, name, version).is_some() || definition.kind == abi::STT_TLS {
                    continue;
                }
                let addend = match relocation.kind {
                    abi::R_64 => relocation.addend,
                    abi::R_GLOB_DAT | abi::R_JUMP_SLOT => 0,
                    _ => continue,
                };
                let slot = library.run(relocation.address.0);
                if relocation.plt && library.is_plt(read_word(memory, slot)?) {
                    continue;
                }
                let word = bias.wrapping_add(definition.address.0).wrapping_add_signed(addend);
                patches.push(Patch { address: slot, word });
            }
        }
    }
    Ok(patches)
}
