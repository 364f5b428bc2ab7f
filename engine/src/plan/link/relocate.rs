//! The dynamic relocations of the new program.

use std::collections::HashMap;

use dsu_formats::address::RunAddress;

use super::canonical::is_canonical;
use super::scope::{Definition, Scope, Slots};
use super::symbols::{DynamicIndex, symbol_of};
use crate::plan::abi;
use crate::plan::address::{NewLink, NewRun};
use crate::plan::blocker::Blocker;
use crate::plan::rewrite::Resolver;
use crate::plan::source::MemorySource;
use crate::program::elf::{DynamicSymbol, Elf, Relocation};

/// What linking needs to know.
pub struct Linker<'a> {
    /// The new program.
    pub elf: &'a Elf,
    /// Its symbols.
    pub index: &'a DynamicIndex,
    /// Its bias.
    pub bias: u64,
    /// Where else to look, in the loader's order.
    pub scope: Scope<'a>,
    /// The old program's slots, then the libraries': where results of indirect functions can be learnt.
    pub slots: Vec<Slots<'a>>,
    /// Memory at the stop.
    pub memory: &'a dyn MemorySource,
    /// Whether PLT slots stay unbound until their first call.
    pub lazy: bool,
    /// Thread-local storage of the modules.
    pub tls: TlsOffsets,
}

/// Thread-local storage as the loader laid it out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOffsets {
    /// `l_tls_modid` and `l_tls_offset` of the program, as they will be.
    pub program: Option<(u64, u64)>,
    /// The same of each library of the scope.
    pub libraries: Vec<Option<(u64, u64)>>,
}

/// An object of a library that the new program holds a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedObject {
    /// Symbol.
    pub name: String,
    /// Version.
    pub version: Option<String>,
    /// The copy.
    pub copy: NewLink,
    /// Size in bytes of the copy.
    pub size: u64,
    /// The library's own object, and its size.
    pub original: RunAddress,
    /// Size in bytes of the library's object.
    pub original_size: u64,
}

/// The result of linking.
#[derive(Debug, Default)]
pub struct Linked {
    /// Words of the new program after relocation.
    pub words: Vec<(NewLink, u64)>,
    /// Slots that wait for a selector to run.
    pub resolvers: Vec<Resolver>,
    /// Objects copied from libraries.
    pub copies: Vec<CopiedObject>,
    /// What cannot be linked.
    pub blockers: Vec<Blocker>,
}

/// What a symbol is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Address(u64),
    Selector(u64),
}

impl Linker<'_> {
    /// Applies every relocation.
    pub fn link(&self) -> Linked {
        let mut linked = Linked::default();
        let mut pending: HashMap<u64, Vec<(RunAddress, i64)>> = HashMap::new();
        for relocation in &self.elf.relocations {
            if let Err(blocker) = self.apply(relocation, &mut linked, &mut pending) {
                linked.blockers.push(*blocker);
            }
        }
        linked.blockers.dedup();
        let mut selectors: Vec<_> = pending.into_iter().collect();
        selectors.sort_unstable();
        linked.resolvers =
            selectors.into_iter().map(|(function, slots)| Resolver { function: RunAddress(function), slots }).collect();
        linked
    }

    fn apply(
        &self,
        relocation: &Relocation,
        linked: &mut Linked,
        pending: &mut HashMap<u64, Vec<(RunAddress, i64)>>,
    ) -> Result<(), Box<Blocker>> {
        let place = NewLink(relocation.address);
        let slot = self.run(place).0;
        let mut store = |bound: Bound, addend: i64| match bound {
            Bound::Address(address) => linked.words.push((place, address.wrapping_add_signed(addend))),
            Bound::Selector(selector) => pending.entry(selector).or_default().push((slot, addend)),
        };
        match relocation.kind {
            abi::R_NONE => {}
            // In the file already, as the linker left it.
            abi::R_RELATIVE if self.elf.is_fixed_address() => {}
            abi::R_RELATIVE => store(Bound::Address(self.bias), relocation.addend),
            abi::R_IRELATIVE => store(Bound::Selector(self.bias.wrapping_add_signed(relocation.addend)), 0),
            abi::R_JUMP_SLOT if self.lazy && relocation.plt => match self.initial(relocation) {
                Some(stub) => store(Bound::Address(self.bias.wrapping_add(stub)), 0),
                None => return Err(self.unsupported(relocation)),
            },
            abi::R_JUMP_SLOT => store(self.bind(self.symbol(relocation)?)?, 0),
            abi::R_GLOB_DAT => store(self.value(self.symbol(relocation)?)?, 0),
            abi::R_64 => store(self.value(self.symbol(relocation)?)?, relocation.addend),
            abi::R_COPY => linked.copies.push(self.copy(relocation)?),
            abi::R_DTPMOD64 | abi::R_DTPOFF64 | abi::R_TPOFF64 => store(Bound::Address(self.thread_local(relocation)?), 0),
            _ => return Err(self.unsupported(relocation)),
        }
        Ok(())
    }

    fn run(&self, link: NewLink) -> NewRun {
        NewRun(RunAddress(self.bias.wrapping_add(link.0.0)))
    }

    fn symbol(&self, relocation: &Relocation) -> Result<&DynamicSymbol, Box<Blocker>> {
        symbol_of(self.elf, relocation).ok_or_else(|| self.unsupported(relocation))
    }

    fn unsupported(&self, relocation: &Relocation) -> Box<Blocker> {
        Box::new(Blocker::Relocation {
            relocation: relocation.kind,
            address: RunAddress(relocation.address.0),
            symbol: symbol_of(self.elf, relocation).map(|symbol| symbol.name.clone()),
        })
    }

    /// The word in the file at a relocation's place: for a lazy PLT slot the link-time address of its stub.
    fn initial(&self, relocation: &Relocation) -> Option<u64> {
        let bytes = self.elf.file_bytes(relocation.address, 8)?;
        Some(u64::from_le_bytes(*bytes.first_chunk::<8>()?))
    }

    /// What a symbol is bound to where its address is asked for: for a library's function maybe the program's own stub for it.
    fn value(&self, symbol: &DynamicSymbol) -> Result<Bound, Box<Blocker>> {
        match self.elf.is_fixed_address() && is_canonical(symbol) {
            true => Ok(Bound::Address(self.bias.wrapping_add(symbol.address.0))),
            false => self.bind(symbol),
        }
    }

    /// The program first, then the libraries; a weak symbol without definition is zero.
    fn bind(&self, symbol: &DynamicSymbol) -> Result<Bound, Box<Blocker>> {
        let version = symbol.version.as_deref();
        if let Some(own) = self.own(symbol) {
            let address = self.bias.wrapping_add(own.address.0);
            return Ok(if own.kind == abi::STT_GNU_IFUNC { Bound::Selector(address) } else { Bound::Address(address) });
        }
        match self.scope.lookup(&symbol.name, version) {
            Some(found) => Ok(self.defined(symbol, found)),
            None if symbol.binding == abi::STB_WEAK => Ok(Bound::Address(0)),
            None => Err(unresolved(symbol)),
        }
    }

    /// The program's own definition that a reference of its own binds to.
    fn own(&self, symbol: &DynamicSymbol) -> Option<&DynamicSymbol> {
        self.index.lookup(self.elf, &symbol.name, symbol.version.as_deref()).or(if symbol.defined {
            self.same(symbol)
        } else {
            None
        })
    }

    fn same(&self, symbol: &DynamicSymbol) -> Option<&DynamicSymbol> {
        self.elf.dynamic_symbols.iter().find(|other| std::ptr::eq(*other, symbol))
    }

    fn defined(&self, symbol: &DynamicSymbol, found: Definition<'_>) -> Bound {
        let library = &self.scope.libraries[found.library];
        let address = library.run(found.symbol.address.0).0;
        if found.symbol.kind != abi::STT_GNU_IFUNC {
            return Bound::Address(address);
        }
        // A slot of the library's own PLT may still hold the address of a stub, which is code of the library as well.
        let resolved = self
            .slots
            .iter()
            .flat_map(|slots| slots.words(self.memory, &symbol.name, found.symbol.version.as_deref()))
            .find(|(word, plt)| library.is_code(*word) && !(*plt && library.is_plt(*word)));
        resolved.map_or(Bound::Selector(address), |(word, _)| Bound::Address(word))
    }

    fn copy(&self, relocation: &Relocation) -> Result<CopiedObject, Box<Blocker>> {
        let symbol = self.symbol(relocation)?;
        // The program itself is left out of the search (ELF_RTYPE_CLASS_COPY).
        let found = self.scope.lookup(&symbol.name, symbol.version.as_deref()).ok_or_else(|| unresolved(symbol))?;
        Ok(CopiedObject {
            name: symbol.name.clone(),
            version: symbol.version.clone(),
            copy: NewLink(relocation.address),
            size: symbol.size,
            original: self.scope.libraries[found.library].run(found.symbol.address.0),
            original_size: found.symbol.size,
        })
    }

    fn thread_local(&self, relocation: &Relocation) -> Result<u64, Box<Blocker>> {
        let (value, layout) = match symbol_of(self.elf, relocation) {
            None => (0, self.tls.program),
            Some(symbol) => match self.own(symbol) {
                Some(own) => (own.address.0, self.tls.program),
                None => {
                    let found = self.scope.lookup(&symbol.name, symbol.version.as_deref());
                    let Some(found) = found else {
                        return if symbol.binding == abi::STB_WEAK { Ok(0) } else { Err(unresolved(symbol)) };
                    };
                    (found.symbol.address.0, self.tls.libraries.get(found.library).copied().flatten())
                }
            },
        };
        let (module, offset) = layout.ok_or_else(|| self.unsupported(relocation))?;
        Ok(match relocation.kind {
            abi::R_DTPMOD64 => module,
            abi::R_DTPOFF64 => value.wrapping_add_signed(relocation.addend),
            _ => value.wrapping_add_signed(relocation.addend).wrapping_sub(offset),
        })
    }
}

fn unresolved(symbol: &DynamicSymbol) -> Box<Blocker> {
    Box::new(Blocker::UnresolvedSymbol { symbol: symbol.name.clone(), version: symbol.version.clone() })
}
