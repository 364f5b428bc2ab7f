//! The named data of one build, by address.

use object::elf;

use super::names::is_compiler_constant;
use crate::program::dwarf::{DebugInfo, Storage};
use crate::program::elf::{Elf, Symbol};

/// Padding that alignment leaves between objects.
const MAX_GAP: u64 = 64;

/// Data with a name of the source's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) name: String,
}

/// Named data, thread-local variables, and names of places.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// By start, then end.
    list: Vec<Object>,
    /// For each of `list` the greatest end up to it: how far back an enclosing object may begin.
    reach: Vec<u64>,
    /// Positions in `list` by end.
    by_end: Vec<usize>,
    /// Symbols without extent (`__TMC_END__`, labels), by address.
    labels: Vec<(u64, String)>,
    /// Thread-local variables as (start, end) in the TLS block, by start.
    thread_locals: Vec<(u64, u64)>,
    /// Starts and ends of the compiler's own constants.
    constants: Vec<u64>,
}

impl Objects {
    pub(super) fn new(elf: &Elf, debug: &DebugInfo) -> Self {
        let mut objects = Self::default();
        let placed = |symbol: &&Symbol| symbol.section != elf::SHN_UNDEF.0 && symbol.section < elf::SHN_LORESERVE;
        for symbol in elf.symbols.iter().filter(placed) {
            objects.add_symbol(symbol);
        }
        objects.add_variables(debug);
        objects.list.sort_unstable_by(|a, b| (a.start, a.end, &a.name).cmp(&(b.start, b.end, &b.name)));
        objects.list.dedup_by(|a, b| (a.start, a.end) == (b.start, b.end));
        objects.reach = objects
            .list
            .iter()
            .scan(0, |reach, object| {
                *reach = object.end.max(*reach);
                Some(*reach)
            })
            .collect();
        objects.by_end = (0..objects.list.len()).collect();
        let list = &objects.list;
        objects.by_end.sort_unstable_by_key(|&index| list.get(index).map(|object| object.end));
        objects.labels.sort_unstable();
        objects.thread_locals.sort_unstable();
        objects.thread_locals.dedup();
        objects
    }

    fn add_symbol(&mut self, symbol: &Symbol) {
        let (start, end) = (symbol.address.0, symbol.address.0.saturating_add(symbol.size));
        match symbol.kind {
            kind if kind == elf::STT_TLS.0 => self.thread_locals.push((start, end)),
            kind if kind == elf::STT_OBJECT.0 && symbol.size > 0 => {
                if is_compiler_constant(&symbol.name) {
                    self.constants.extend([start, end]);
                } else {
                    self.list.push(Object { start, end, name: symbol.name.clone() });
                }
            }
            kind if kind == elf::STT_OBJECT.0 || kind == elf::STT_NOTYPE.0 => self.labels.push((start, symbol.name.clone())),
            _ => {}
        }
    }

    /// Variables that the symbol table does not have (their symbols may be stripped).
    fn add_variables(&mut self, debug: &DebugInfo) {
        let mut known: Vec<u64> = self.list.iter().map(|object| object.start).collect();
        known.sort_unstable();
        let mut known_locals: Vec<u64> = self.thread_locals.iter().map(|local| local.0).collect();
        known_locals.sort_unstable();
        for variable in debug.variables.iter().filter(|variable| !is_compiler_constant(&variable.name)) {
            let Some(size) = debug.types.size_of(variable.kind).filter(|size| *size > 0) else { continue };
            match variable.storage {
                Storage::Static(address) if known.binary_search(&address.0).is_err() => {
                    self.list.push(Object { start: address.0, end: address.0.saturating_add(size), name: variable.name.clone() })
                }
                Storage::ThreadLocal(offset) if known_locals.binary_search(&offset).is_err() => {
                    self.thread_locals.push((offset, offset.saturating_add(size)));
                }
                _ => {}
            }
        }
    }

    /// Objects that hold `address`.
    pub(super) fn holding(&self, address: u64) -> impl Iterator<Item = &Object> {
        let after = self.list.partition_point(|object| object.start <= address);
        let before = self.list.iter().zip(&self.reach).take(after).rev();
        before
            .take_while(move |(_, reach)| **reach > address)
            .map(|(object, _)| object)
            .filter(move |object| object.end > address)
    }

    /// Objects that end at `address`.
    pub(super) fn ending(&self, address: u64) -> impl Iterator<Item = &Object> {
        let end = |index: &usize| self.list.get(*index).map_or(0, |object| object.end);
        let first = self.by_end.partition_point(|index| end(index) < address);
        let after = self.by_end.partition_point(|index| end(index) <= address);
        self.by_end.get(first..after).unwrap_or_default().iter().filter_map(|index| self.list.get(*index))
    }

    /// The nearest objects that start behind `address`, if nothing but padding can be between.
    pub(super) fn following(&self, address: u64) -> impl Iterator<Item = &Object> {
        let after = self.list.partition_point(|object| object.start <= address);
        let first = self.list.get(after).map(|object| object.start).filter(|start| start - address <= MAX_GAP);
        self.list.iter().skip(after).take_while(move |object| Some(object.start) == first)
    }

    /// Names of the place at `address` that have no extent.
    pub(super) fn labels(&self, address: u64) -> impl Iterator<Item = &str> {
        let first = self.labels.partition_point(|label| label.0 < address);
        self.labels.iter().skip(first).take_while(move |label| label.0 == address).map(|label| label.1.as_str())
    }

    /// The thread-local variable that holds this offset of the TLS block, as (start, end).
    pub(super) fn thread_local(&self, offset: u64) -> Option<(u64, u64)> {
        let after = self.thread_locals.partition_point(|local| local.0 <= offset);
        self.thread_locals.get(..after)?.iter().rev().take(4).find(|local| offset < local.1).copied()
    }

    /// Starts of all thread-local variables.
    pub(super) fn thread_locals(&self) -> impl Iterator<Item = u64> {
        self.thread_locals.iter().map(|local| local.0)
    }

    /// Every address at which something with a name starts or ends.
    pub(super) fn edges(&self) -> impl Iterator<Item = u64> {
        let objects = self.list.iter().flat_map(|object| [object.start, object.end]);
        objects.chain(self.labels.iter().map(|label| label.0)).chain(self.constants.iter().copied())
    }
}
