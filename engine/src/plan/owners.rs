//! Who owns an address, in words.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Snapshot;

use super::link::scope::LoadedLibrary;
use crate::program::address::LinkAddress;

/// Names for the parts of an address space.
#[derive(Debug)]
pub struct Owners {
    ranges: Vec<(RunRange, String)>,
    libraries: Vec<Library>,
}

/// A library's variables and functions.
#[derive(Debug)]
struct Library {
    range: RunRange,
    bias: u64,
    path: String,
    symbols: Vec<(LinkAddress, u64, String)>,
}

impl Owners {
    /// The owners of the first address space of `snapshot`.
    pub fn new(snapshot: &Snapshot, loaded: &[LoadedLibrary<'_>]) -> Self {
        let mut ranges = Vec::new();
        if let Some(space) = snapshot.address_spaces.first() {
            ranges.push((RunRange { start: space.layout.start_brk, end: space.layout.brk }, "the heap".to_owned()));
            for thread in &snapshot.threads {
                let pointer = RunAddress(thread.registers.rsp);
                if let Some(mapping) = space.mappings.iter().find(|mapping| mapping.range.contains(pointer)) {
                    ranges.push((mapping.range, format!("the stack of thread {}", thread.tid)));
                }
            }
        }
        let libraries = loaded
            .iter()
            .map(|library| {
                let path = String::from_utf8_lossy(library.path).into_owned();
                let symbols = library.library.elf.dynamic_symbols.iter().filter(|symbol| symbol.defined && symbol.size != 0);
                let symbols = symbols.map(|symbol| (symbol.address, symbol.size, symbol.name.clone())).collect();
                Library { range: library.range, bias: library.bias, path, symbols }
            })
            .collect();
        Self { ranges, libraries }
    }

    /// The owner of `address`; `None` for memory that a program mapped for itself.
    pub fn describe(&self, address: RunAddress) -> Option<String> {
        if let Some((_, name)) = self.ranges.iter().find(|entry| entry.0.contains(address)) {
            return Some(name.clone());
        }
        let Library { bias, path, symbols, .. } = self.libraries.iter().find(|library| library.range.contains(address))?;
        let link = address.0.wrapping_sub(*bias);
        let symbol = symbols.iter().find(|(start, size, _)| link.checked_sub(start.0).is_some_and(|skip| skip < *size));
        Some(symbol.map_or_else(|| path.clone(), |(_, _, name)| format!("`{name}` of {path}")))
    }
}
