//! Symbols that the new program defines and that libraries have bound to the old one or elsewhere: their slots move to the new one.

use super::scope::LoadedLibrary;
use super::symbols::DynamicIndex;
use crate::plan::abi;
use crate::plan::rewrite::Patch;
use crate::plan::source::{MemorySource, SourceError, read_word};
use crate::program::elf::Elf;

/// The slots of `libraries` to store, had the new program been there when they were bound.
///
/// Both programs come with their symbols and biases. A slot says by its symbol what it points to: no rule about addresses is
/// needed. A slot that is still unbound is left to the loader.
///
/// # Errors
/// A slot that cannot be read.
pub fn interposed_slots(
    old: Program<'_>,
    new: Program<'_>,
    libraries: &[LoadedLibrary<'_>],
    memory: &dyn MemorySource,
) -> Result<Vec<Patch>, SourceError> {
    let mut patches = Vec::new();
    for name in new.index.defined_names() {
        for library in libraries {
            for (relocation, reference) in library.library.index.relocations(&library.library.elf, name) {
                let version = reference.version.as_deref();
                let Some(address) = new.address(name, version) else { continue };
                let addend = match relocation.kind {
                    abi::R_64 => relocation.addend,
                    abi::R_GLOB_DAT | abi::R_JUMP_SLOT => 0,
                    _ => continue,
                };
                let slot = library.run(relocation.address.0);
                let held = read_word(memory, slot)?;
                let bound = match old.address(name, version) {
                    Some(before) => held == before.wrapping_add_signed(addend),
                    None => !(relocation.plt && library.is_plt(held)),
                };
                if bound {
                    patches.push(Patch { address: slot, word: address.wrapping_add_signed(addend) });
                }
            }
        }
    }
    Ok(patches)
}

/// A program with its dynamic symbols where it is, or will be.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The program.
    pub elf: &'a Elf,
    /// Its symbols.
    pub index: &'a DynamicIndex,
    /// Difference of run-time and link-time addresses.
    pub bias: u64,
}

impl Program<'_> {
    /// Run-time address of the definition that a reference to `name` binds to, if it is no thread-local one.
    fn address(&self, name: &str, version: Option<&str>) -> Option<u64> {
        let symbol = self.index.lookup(self.elf, name, version).filter(|symbol| symbol.kind != abi::STT_TLS)?;
        Some(self.bias.wrapping_add(symbol.address.0))
    }
}
