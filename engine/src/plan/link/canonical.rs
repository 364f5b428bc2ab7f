//! Functions of libraries whose address, in a fixed-address program, is that of their entry in its linkage table: an undefined symbol with
//! a value (psABI, "Function Addresses"). Whoever asks for the function's address gets that one, libraries too.

use dsu_formats::address::RunAddress;

use super::scope::LoadedLibrary;
use crate::plan::abi;
use crate::plan::address::NewLink;
use crate::plan::pointers::Decision;
use crate::plan::rewrite::Patch;
use crate::plan::source::{MemorySource, SourceError, read_word};
use crate::program::address::LinkAddress;
use crate::program::elf::{DynamicSymbol, Elf};

/// What becomes of one such address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    name: String,
    /// The old entry.
    old: LinkAddress,
    /// What it becomes; `None` where nobody can say.
    new: Option<Decision>,
}

/// Whether the symbol stands for an entry of the program's linkage table.
pub fn is_canonical(symbol: &DynamicSymbol) -> bool {
    !symbol.defined && symbol.address.0 != 0 && matches!(symbol.kind, abi::STT_FUNC | abi::STT_GNU_IFUNC)
}

/// Such addresses of the old program, and what they become. `libraries` are in the order of search.
pub fn canonical(old: &Elf, new: &Elf, libraries: &[LoadedLibrary<'_>]) -> Vec<Canonical> {
    let one = |symbol: &DynamicSymbol| {
        let same = |other: &&DynamicSymbol| is_canonical(other) && other.name == symbol.name && other.version == symbol.version;
        let entry = new.dynamic_symbols.iter().find(same).map(|other| Decision::Move(NewLink(other.address)));
        let library = || {
            let found = libraries.iter().find_map(|loaded| {
                let found = loaded.library.index.lookup(&loaded.library.elf, &symbol.name, symbol.version.as_deref())?;
                Some((loaded, found))
            });
            found
                .filter(|(_, found)| found.kind != abi::STT_GNU_IFUNC)
                .map(|(loaded, found)| Decision::Elsewhere(loaded.run(found.address.0)))
        };
        let new = entry.or_else(library);
        Canonical { name: symbol.name.clone(), old: symbol.address, new }
    };
    old.dynamic_symbols.iter().filter(|symbol| is_canonical(symbol)).map(one).collect()
}

/// For pointers: what each old entry becomes.
pub fn decisions(canonical: &[Canonical]) -> impl Iterator<Item = (LinkAddress, Decision)> {
    canonical.iter().filter_map(|one| Some((one.old, one.new.clone()?)))
}

/// The slots of libraries that hold an old entry.
///
/// # Errors
/// A slot that cannot be read.
pub fn slots(
    canonical: &[Canonical],
    libraries: &[LoadedLibrary<'_>],
    memory: &dyn MemorySource,
) -> Result<Vec<Patch>, SourceError> {
    let mut patches = Vec::new();
    for one in canonical {
        let new = match &one.new {
            // A fixed-address program runs where it was linked.
            Some(Decision::Move(link)) => RunAddress(link.0.0),
            Some(Decision::Elsewhere(address)) => *address,
            _ => continue,
        };
        for library in libraries {
            for (relocation, _) in library.library.index.relocations(&library.library.elf, &one.name) {
                let addend = match relocation.kind {
                    abi::R_64 => relocation.addend,
                    abi::R_GLOB_DAT => 0,
                    _ => continue,
                };
                let slot = library.run(relocation.address.0);
                if read_word(memory, slot)? == one.old.0.wrapping_add_signed(addend) {
                    patches.push(Patch { address: slot, word: new.0.wrapping_add_signed(addend) });
                }
            }
        }
    }
    Ok(patches)
}
