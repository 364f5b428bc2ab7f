//! Who owns an address, in words. Nothing is looked up before it is asked for.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Snapshot;

use super::link::scope::LoadedLibrary;

/// Names for the parts of an address space.
#[derive(Clone, Copy, Debug)]
pub struct Owners<'a> {
    snapshot: &'a Snapshot,
    loaded: &'a [LoadedLibrary<'a>],
}

impl<'a> Owners<'a> {
    /// The owners of the first address space of `snapshot`.
    pub fn new(snapshot: &'a Snapshot, loaded: &'a [LoadedLibrary<'a>]) -> Self {
        Self { snapshot, loaded }
    }

    /// The owner of `address`; `None` for memory that a program mapped for itself.
    pub fn describe(&self, address: RunAddress) -> Option<String> {
        let space = self.snapshot.address_spaces.first()?;
        if space.layout.program_break().contains(address) {
            return Some("the heap".to_owned());
        }
        let mapping = space.mappings.iter().find(|mapping| mapping.range.contains(address))?;
        let on_it = self.snapshot.threads.iter().find(|thread| mapping.range.contains(RunAddress(thread.registers.rsp)));
        on_it.map(|thread| format!("the stack of thread {}", thread.tid)).or_else(|| self.library(address))
    }

    fn library(&self, address: RunAddress) -> Option<String> {
        let library = self.loaded.iter().find(|library| library.range.contains(address))?;
        let link = address.0.wrapping_sub(library.bias);
        let symbols = library.library.elf.dynamic_symbols.iter().filter(|symbol| symbol.defined);
        let symbol = symbols.into_iter().find(|symbol| link.checked_sub(symbol.address.0).is_some_and(|skip| skip < symbol.size));
        let path = String::from_utf8_lossy(library.path);
        Some(symbol.map_or_else(|| path.to_string(), |symbol| format!("`{}` of {path}", symbol.name)))
    }
}
