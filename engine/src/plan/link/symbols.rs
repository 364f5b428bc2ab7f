//! The dynamic symbols of one object by name, and the slots that it binds.

use std::collections::HashMap;
use std::sync::Arc;

use object::elf;

use crate::program::address::LinkAddress;
use crate::program::elf::{DynamicSymbol, Elf, Relocation};
use crate::program::unwind::UnwindIndex;

/// A shared library (or any mapped object), indexed once before the stop.
#[derive(Debug)]
pub struct IndexedLibrary {
    /// The object.
    pub elf: Elf,
    /// Its symbols by name.
    pub index: DynamicIndex,
    /// How to unwind it.
    pub unwind: Arc<UnwindIndex>,
    /// (start, length, what) of functions in which a thread cannot be moved.
    unsafe_places: Vec<(LinkAddress, u64, &'static str)>,
    /// What the whole object is, when a thread cannot be moved anywhere in it.
    unsafe_whole: Option<&'static str>,
}

/// Functions of the C library in which a thread cannot be moved, with what they are.
const UNSAFE_FUNCTIONS: [(&str, &str); 14] = [
    ("exit", "exit"),
    ("_exit", "exit"),
    ("quick_exit", "exit"),
    ("__cxa_finalize", "exit"),
    ("fork", "a fork in progress"),
    ("_Fork", "a fork in progress"),
    ("vfork", "a fork in progress"),
    ("posix_spawn", "a fork in progress"),
    ("posix_spawnp", "a fork in progress"),
    ("dlopen", "the loader"),
    ("dlclose", "the loader"),
    ("dlsym", "the loader"),
    ("dlvsym", "the loader"),
    ("dl_iterate_phdr", "the loader"),
];

impl IndexedLibrary {
    /// Indexes `elf`.
    pub fn new(elf: Elf) -> Self {
        let index = DynamicIndex::new(&elf);
        let unwind = Arc::new(UnwindIndex::new(&elf));
        let unsafe_places = UNSAFE_FUNCTIONS
            .iter()
            .flat_map(|(name, what)| {
                elf.dynamic_symbols.iter().filter(|s| s.defined && s.name == *name).map(|s| (s.address, s.size, *what))
            })
            .collect();
        let unsafe_whole = elf.soname.as_deref().and_then(|name| match name {
            name if name.starts_with("ld-linux") => Some("the loader"),
            name if name.starts_with("libgcc_s.so") => Some("the unwinder"),
            name if name.starts_with("libunwind.so") => Some("the unwinder"),
            _ => None,
        });
        Self { elf, index, unwind, unsafe_places, unsafe_whole }
    }

    /// What is at `link`, when no thread may be moved while it is there.
    pub fn unsafe_place(&self, link: LinkAddress) -> Option<&'static str> {
        let inside = |(start, length, _): &&(LinkAddress, u64, &str)| {
            link.0.checked_sub(start.0).is_some_and(|skip| skip < (*length).max(1))
        };
        self.unsafe_whole.or_else(|| self.unsafe_places.iter().find(inside).map(|place| place.2))
    }

    /// Whether the library is the C library or belongs to it: its own use of `swapcontext` and its like is known.
    pub fn is_libc(&self) -> bool {
        let names = ["libc.so", "libpthread.so", "libm.so", "libdl.so", "librt.so", "ld-linux", "libresolv.so", "linux-vdso"];
        self.elf.soname.as_deref().is_some_and(|soname| names.iter().any(|name| soname.starts_with(name)))
    }
}

/// Dynamic symbols and relocations of one object by symbol name.
#[derive(Debug, Default)]
pub struct DynamicIndex {
    defined: HashMap<String, Vec<u32>>,
    bound: HashMap<String, Vec<u32>>,
}

impl DynamicIndex {
    /// Indexes the dynamic symbols and relocations of `elf`.
    pub fn new(elf: &Elf) -> Self {
        let mut index = Self::default();
        for (number, symbol) in (0u32..).zip(&elf.dynamic_symbols) {
            if is_visible(symbol) {
                index.defined.entry(symbol.name.clone()).or_default().push(number);
            }
        }
        for (number, relocation) in (0u32..).zip(&elf.relocations) {
            if let Some(symbol) = symbol_of(elf, relocation) {
                index.bound.entry(symbol.name.clone()).or_default().push(number);
            }
        }
        index
    }

    /// Names of all visible definitions.
    pub fn defined_names(&self) -> impl Iterator<Item = &str> {
        self.defined.keys().map(String::as_str)
    }

    /// The definition of `name` that a reference to `version` binds to, by the loader's rules (`do_lookup_x`).
    pub fn lookup<'e>(&self, elf: &'e Elf, name: &str, version: Option<&str>) -> Option<&'e DynamicSymbol> {
        let candidates = self.defined.get(name)?.iter().filter_map(|number| elf.dynamic_symbols.get(*number as usize));
        let mut fallback = None;
        for symbol in candidates {
            match (version, symbol.version.as_deref()) {
                (Some(wanted), Some(found)) if wanted == found => return Some(symbol),
                // An unversioned definition serves a versioned reference unless it is hidden.
                (Some(_), None) if !symbol.hidden => return Some(symbol),
                (Some(_), _) => {}
                (None, None) => return Some(symbol),
                (None, Some(_)) if !symbol.hidden && fallback.is_none() => fallback = Some(symbol),
                (None, Some(_)) => {}
            }
        }
        fallback
    }

    /// Relocations of `elf` that bind `name`, whatever the version.
    pub fn relocations<'e>(&'e self, elf: &'e Elf, name: &str) -> impl Iterator<Item = (&'e Relocation, &'e DynamicSymbol)> {
        let numbers = self.bound.get(name).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(move |number| {
            let relocation = elf.relocations.get(*number as usize)?;
            Some((relocation, symbol_of(elf, relocation)?))
        })
    }
}

/// The symbol that a relocation binds.
pub fn symbol_of<'e>(elf: &'e Elf, relocation: &Relocation) -> Option<&'e DynamicSymbol> {
    (relocation.symbol != 0).then(|| elf.dynamic_symbols.get(relocation.symbol as usize)).flatten()
}

/// Whether other objects can bind to the symbol.
fn is_visible(symbol: &DynamicSymbol) -> bool {
    let kinds = [elf::STT_NOTYPE.0, elf::STT_OBJECT.0, elf::STT_FUNC.0, elf::STT_COMMON.0, elf::STT_TLS.0, elf::STT_GNU_IFUNC.0];
    symbol.defined
        && symbol.binding != elf::STB_LOCAL.0
        && kinds.contains(&symbol.kind)
        && (symbol.address.0 != 0 || symbol.kind == elf::STT_TLS.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str, version: Option<&str>, hidden: bool, address: u64) -> DynamicSymbol {
        DynamicSymbol {
            name: name.to_owned(),
            version: version.map(str::to_owned),
            hidden,
            address: LinkAddress(address),
            size: 8,
            kind: elf::STT_FUNC.0,
            binding: elf::STB_GLOBAL.0,
            defined: true,
        }
    }

    fn library(symbols: Vec<DynamicSymbol>) -> (DynamicIndex, Vec<DynamicSymbol>) {
        let mut index = DynamicIndex::default();
        for (number, symbol) in (0u32..).zip(&symbols) {
            index.defined.entry(symbol.name.clone()).or_default().push(number);
        }
        (index, symbols)
    }

    #[test]
    fn a_version_picks_its_own_definition_and_no_version_the_default() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let mut elf = Elf::parse(bytes.into()).unwrap();
        let (index, symbols) = library(vec![
            symbol("f", Some("V1"), true, 0x10),
            symbol("f", Some("V2"), false, 0x20),
            symbol("g", None, false, 0x30),
        ]);
        elf.dynamic_symbols = symbols;
        let found = |name: &str, version| index.lookup(&elf, name, version).map(|symbol| symbol.address.0);
        assert_eq!(found("f", Some("V1")), Some(0x10));
        assert_eq!(found("f", Some("V2")), Some(0x20));
        assert_eq!(found("f", None), Some(0x20));
        assert_eq!(found("f", Some("V3")), None);
        assert_eq!(found("g", Some("V3")), Some(0x30));
        assert_eq!(found("h", None), None);
    }
}
