//! The variables of one build by address: of debug information, of the symbol table where that says nothing.

use std::collections::{BTreeMap, HashMap};

use super::pairs::{Identity, without_numbers};
use crate::plan::abi;
use crate::program::address::LinkAddress;
use crate::program::dwarf::{Storage, Variable};
use crate::program::elf::{Elf, Symbol};
use crate::program::types::{TypeId, TypeTable};

/// A variable with an address, or with an offset in the thread-local block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What it is called.
    pub identity: Identity,
    /// Address, or offset in the thread-local block.
    pub start: LinkAddress,
    /// Size in bytes.
    pub size: u64,
    /// Its type, where debug information tells.
    pub kind: Option<TypeId>,
    /// Source file and line of its declaration.
    pub declared: (String, u64),
    /// What its memory is.
    pub place: Place,
}

/// What the memory of a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Never written.
    ReadOnly,
    /// Written by the loader only.
    Relocated,
    /// Written by the program.
    Writable,
    /// One for each thread.
    ThreadLocal,
}

impl Object {
    /// The first address behind it.
    pub fn end(&self) -> LinkAddress {
        self.start.offset(self.size)
    }
}

/// What a symbol without a size is taken to cover, in bytes.
const UNSIZED: u64 = 8;

/// Variables by ascending address.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    list: Vec<Object>,
}

impl Objects {
    /// The static and the thread-local variables of a build.
    pub fn read(elf: &Elf, symbols: &[Symbol], variables: &[Variable], types: &TypeTable) -> (Self, Self) {
        let mut fixed = Collector::new(symbols, false);
        let mut local = Collector::new(symbols, true);
        for variable in variables {
            match variable.storage {
                Storage::Static(address) => fixed.add_variable(variable, address, types, |at| place_of(elf, at)),
                Storage::ThreadLocal(offset) => {
                    local.add_variable(variable, LinkAddress(offset), types, |_| Some(Place::ThreadLocal))
                }
                Storage::None => {}
            }
        }
        // Symbols without a size last: what has one covers them.
        let sized = symbols.iter().filter(|symbol| symbol.size != 0);
        let unsized_ones = symbols.iter().filter(|symbol| symbol.size == 0 && is_inside(elf, symbol));
        for symbol in sized.chain(unsized_ones) {
            if symbol.kind == abi::STT_OBJECT {
                fixed.add_symbol(symbol, |at| place_of(elf, at));
            } else if symbol.kind == abi::STT_TLS {
                local.add_symbol(symbol, |_| Some(Place::ThreadLocal));
            }
        }
        (fixed.finish(), local.finish())
    }

    /// All of them.
    pub fn list(&self) -> &[Object] {
        &self.list
    }

    /// The variable that holds `address`.
    pub fn covering(&self, address: LinkAddress) -> Option<usize> {
        let index = self.list.partition_point(|object| object.start <= address).checked_sub(1)?;
        (address < self.list[index].end()).then_some(index)
    }

    /// The variable that ends at `address`.
    pub fn ending_at(&self, address: LinkAddress) -> Option<usize> {
        let index = self.list.partition_point(|object| object.start < address).checked_sub(1)?;
        (self.list[index].end() == address).then_some(index)
    }

    /// The first variable that starts at or behind `address`.
    pub fn next_start(&self, address: LinkAddress) -> Option<LinkAddress> {
        self.list.get(self.list.partition_point(|object| object.start < address)).map(|object| object.start)
    }

    /// Where the last variable ends that starts before `address`.
    pub fn last_end(&self, address: LinkAddress) -> Option<LinkAddress> {
        let index = self.list.partition_point(|object| object.start < address).checked_sub(1)?;
        Some(self.list[index].end())
    }
}

struct Collector<'a> {
    found: BTreeMap<LinkAddress, Object>,
    symbols: HashMap<LinkAddress, &'a Symbol>,
}

impl<'a> Collector<'a> {
    fn new(symbols: &'a [Symbol], thread_local: bool) -> Self {
        let wanted = if thread_local { abi::STT_TLS } else { abi::STT_OBJECT };
        let mut by_address: HashMap<LinkAddress, &Symbol> = HashMap::new();
        for symbol in symbols.iter().filter(|symbol| symbol.kind == wanted) {
            let best = by_address.entry(symbol.address).or_insert(symbol);
            if symbol.size > best.size {
                *best = symbol;
            }
        }
        Self { found: BTreeMap::new(), symbols: by_address }
    }

    fn add_variable(
        &mut self,
        variable: &Variable,
        address: LinkAddress,
        types: &TypeTable,
        place: impl Fn(LinkAddress) -> Option<Place>,
    ) {
        let Some(place) = place(address) else { return };
        let symbol_size = self.symbols.get(&address).map(|symbol| symbol.size).filter(|size| *size != 0);
        let Some(size) = symbol_size.or_else(|| types.size_of(variable.kind)) else { return };
        let identity = Identity {
            name: variable.linkage_name.clone().unwrap_or_else(|| variable.name.clone()),
            unit: variable.unit.clone(),
            function: variable.function.clone(),
            external: variable.external,
            part: variable.part.clone(),
        };
        let object = Object { identity, start: address, size, kind: variable.kind, declared: variable.declared.clone(), place };
        // Merged constants share an address: the larger one covers all of it.
        match self.found.get(&address) {
            Some(other) if other.size >= size => {}
            _ => drop(self.found.insert(address, object)),
        }
    }

    fn add_symbol(&mut self, symbol: &Symbol, place: impl Fn(LinkAddress) -> Option<Place>) {
        let local = symbol.binding == abi::STB_LOCAL;
        if symbol.section >= object::elf::SHN_LORESERVE {
            return;
        }
        // `__dso_handle` and its like have no size: a word is the least that a variable of assembly holds.
        let size = if symbol.size == 0 { UNSIZED } else { symbol.size };
        let Some(place) = place(symbol.address) else { return };
        let identity = Identity {
            name: if local { without_numbers(&symbol.name) } else { symbol.name.clone() },
            unit: symbol.file.clone().unwrap_or_default(),
            function: None,
            external: !local,
            part: None,
        };
        match self.found.get_mut(&symbol.address) {
            None => {
                let declared = (identity.unit.clone(), 0);
                let object = Object { identity, start: symbol.address, size, kind: None, declared, place };
                self.found.insert(symbol.address, object);
            }
            // Aliases of one copied object (`environ`, `__environ`): the first name in order stands for all, in both builds.
            Some(other) if other.kind.is_none() && other.identity.external && !local => {
                if symbol.name < other.identity.name {
                    other.identity.name.clone_from(&symbol.name);
                }
            }
            Some(_) => {}
        }
    }

    /// Ascending and without overlap: an object inside another (a symbol in the middle of a section's block) goes.
    fn finish(self) -> Objects {
        let mut list: Vec<Object> = Vec::with_capacity(self.found.len());
        for (_, object) in self.found {
            match list.last_mut() {
                Some(last) if last.end() > object.start && last.size == UNSIZED && last.kind.is_none() => {
                    last.size = object.start.0 - last.start.0;
                    list.push(object);
                }
                Some(last) if last.end() > object.start => {}
                _ => list.push(object),
            }
        }
        Objects { list }
    }
}

/// Whether a symbol lies in its section: a label of its end (`__TMC_END__`) is no variable.
fn is_inside(elf: &Elf, symbol: &Symbol) -> bool {
    let section = elf.sections.get(usize::from(symbol.section));
    section.is_some_and(|section| symbol.address.0.checked_sub(section.address.0).is_some_and(|skip| skip < section.size))
}

/// What the memory at `address` is; `None` outside every section that a variable can be in.
fn place_of(elf: &Elf, address: LinkAddress) -> Option<Place> {
    let section = elf.section_at(address)?;
    if section.flags & abi::SHF_EXECINSTR != 0 {
        return Some(Place::ReadOnly);
    }
    if section.flags & abi::SHF_WRITE == 0 {
        return Some(Place::ReadOnly);
    }
    let relro =
        elf.relro().is_some_and(|relro| address.0.checked_sub(relro.address.0).is_some_and(|skip| skip < relro.memory_size));
    Some(if relro { Place::Relocated } else { Place::Writable })
}
