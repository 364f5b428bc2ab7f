//! The modules that symbols are looked up in, in the loader's order.

use dsu_formats::address::{RunAddress, RunRange};

use super::symbols::{DynamicIndex, IndexedLibrary};
use crate::plan::source::MemorySource;
use crate::program::elf::{DynamicSymbol, Elf};

/// A library where it is mapped.
#[derive(Clone, Copy, Debug)]
pub struct LoadedLibrary<'a> {
    /// The library.
    pub library: &'a IndexedLibrary,
    /// Path, for messages.
    pub path: &'a [u8],
    /// Difference of run-time and link-time addresses.
    pub bias: u64,
    /// Its pages.
    pub range: RunRange,
    /// The loader's record of it.
    pub link_map: Option<RunAddress>,
}

impl LoadedLibrary<'_> {
    /// Run-time address of a link-time value of this library.
    pub fn run(&self, link: u64) -> RunAddress {
        RunAddress(self.bias.wrapping_add(link))
    }

    /// Whether `word` is an address in an executable segment of this library.
    pub fn is_code(&self, word: u64) -> bool {
        let link = crate::program::address::LinkAddress(word.wrapping_sub(self.bias));
        self.library.elf.load_at(link).is_some_and(|segment| segment.flags & crate::plan::abi::PF_X != 0)
    }

    /// Whether `word` is an address in one of this library's PLT sections.
    pub fn is_plt(&self, word: u64) -> bool {
        let link = crate::program::address::LinkAddress(word.wrapping_sub(self.bias));
        self.library.elf.section_at(link).is_some_and(|section| section.name.starts_with(".plt"))
    }
}

/// A definition in a library.
#[derive(Clone, Copy, Debug)]
pub struct Definition<'a> {
    /// Position of the library in the scope.
    pub library: usize,
    /// The symbol.
    pub symbol: &'a DynamicSymbol,
}

/// The libraries in search order, without the program, which comes before them.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Search order.
    pub libraries: &'a [LoadedLibrary<'a>],
}

impl<'a> Scope<'a> {
    /// The first definition of `name` that serves a reference to `version`.
    pub fn lookup(&self, name: &str, version: Option<&str>) -> Option<Definition<'a>> {
        self.libraries.iter().enumerate().find_map(|(library, loaded)| {
            let symbol = loaded.library.index.lookup(&loaded.library.elf, name, version)?;
            Some(Definition { library, symbol })
        })
    }
}

/// An object with its slots in memory: a place to learn what an indirect function was resolved to.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a> {
    /// The object.
    pub elf: &'a Elf,
    /// Its relocations by symbol.
    pub index: &'a DynamicIndex,
    /// Difference of run-time and link-time addresses.
    pub bias: u64,
}

impl Slots<'_> {
    /// The words in the slots that bind `name` to `version`, with whether each is of the PLT. Unreadable ones are left out.
    pub fn words(&self, memory: &dyn MemorySource, name: &str, version: Option<&str>) -> Vec<(u64, bool)> {
        let same = |found: Option<&str>| found == version || version.is_none() || found.is_none();
        self.index
            .relocations(self.elf, name)
            .filter(|(relocation, symbol)| relocation.kind != crate::plan::abi::R_COPY && same(symbol.version.as_deref()))
            .filter_map(|(relocation, _)| {
                let mut word = [0; 8];
                memory.read(RunAddress(self.bias.wrapping_add(relocation.address.0)), &mut word).ok()?;
                Some((
                    u64::from_le_bytes(word)
                        .wrapping_sub(relocation.addend as u64 * u64::from(relocation.kind == crate::plan::abi::R_64)),
                    relocation.plt,
                ))
            })
            .collect()
    }
}
