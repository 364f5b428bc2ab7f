//! The functions of one build by address: of debug information, of the symbol table where that says nothing.

use std::collections::HashMap;

use super::pairs::{Identity, without_numbers};
use crate::plan::abi;
use crate::program::address::LinkAddress;
use crate::program::dwarf::Function;
use crate::program::elf::Symbol;

/// A function with code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// What it is called.
    pub identity: Identity,
    /// Its entry.
    pub entry: LinkAddress,
    /// Code ranges as (start, length), the entry's first.
    pub ranges: Vec<(LinkAddress, u64)>,
    /// Source file and line of its declaration.
    pub declared: (String, u64),
    /// Its number in the debug information; `None` when only the symbol table knows it.
    pub number: Option<usize>,
}

/// Functions, and which of them holds an address.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    list: Vec<Code>,
    /// (start, end, function) by ascending start.
    ranges: Vec<(LinkAddress, LinkAddress, usize)>,
    entries: HashMap<LinkAddress, usize>,
}

impl Functions {
    /// The functions of a build.
    pub fn read(functions: &[Function], symbols: &[Symbol]) -> Self {
        let mut found = Self::default();
        let names = clone_names(symbols);
        for (number, function) in functions.iter().enumerate() {
            let Some((entry, _)) = function.ranges.first().copied().filter(|range| range.1 != 0) else { continue };
            let plain = function.linkage_name.clone().unwrap_or_else(|| function.name.clone());
            let identity = Identity {
                name: names.get(&entry).cloned().unwrap_or(plain),
                unit: function.unit.clone(),
                function: None,
                external: function.external,
            };
            let ranges = function.ranges.clone();
            found.add(Code { identity, entry, ranges, declared: function.declared.clone(), number: Some(number) });
        }
        for symbol in symbols.iter().filter(|symbol| is_code(symbol)) {
            let identity = Identity {
                name: without_numbers(&symbol.name),
                unit: symbol.file.clone().unwrap_or_default(),
                function: None,
                external: symbol.binding != abi::STB_LOCAL,
            };
            if found.containing(symbol.address).is_some() {
                continue;
            }
            let declared = (identity.unit.clone(), 0);
            // Hand-written code may have no size; its entry is known all the same.
            let ranges = vec![(symbol.address, symbol.size.max(1))];
            found.add(Code { identity, entry: symbol.address, ranges, declared, number: None });
        }
        found.ranges.sort_unstable();
        found
    }

    fn add(&mut self, code: Code) {
        // Identical functions may have been folded into one: the first keeps the entry.
        if self.entries.contains_key(&code.entry) {
            return;
        }
        let index = self.list.len();
        self.entries.insert(code.entry, index);
        for (start, length) in &code.ranges {
            let range = (*start, start.offset(*length), index);
            let at = self.ranges.partition_point(|other| other.0 <= range.0);
            self.ranges.insert(at, range);
        }
        self.list.push(code);
    }

    /// All of them.
    pub fn list(&self) -> &[Code] {
        &self.list
    }

    /// The function whose entry is `address`.
    pub fn at_entry(&self, address: LinkAddress) -> Option<usize> {
        self.entries.get(&address).copied()
    }

    /// The function that holds `address`, with the start of its range there.
    pub fn containing(&self, address: LinkAddress) -> Option<(usize, LinkAddress)> {
        let index = self.ranges.partition_point(|range| range.0 <= address).checked_sub(1)?;
        let (start, end, function) = self.ranges[index];
        (address < end).then_some((function, start))
    }

    /// The function with a range that ends at `address`, with the start of that range.
    pub fn ending_at(&self, address: LinkAddress) -> Option<(usize, LinkAddress)> {
        let index = self.ranges.partition_point(|range| range.0 < address).checked_sub(1)?;
        let (start, end, function) = self.ranges[index];
        (address == end).then_some((function, start))
    }
}

fn is_code(symbol: &Symbol) -> bool {
    matches!(symbol.kind, abi::STT_FUNC | abi::STT_GNU_IFUNC) && symbol.section < object::elf::SHN_LORESERVE
}

/// Names of clones (`f.constprop`, `f.part`) by entry: debug information calls them like the function that they come from.
fn clone_names(symbols: &[Symbol]) -> HashMap<LinkAddress, String> {
    let clones = symbols.iter().filter(|symbol| is_code(symbol) && symbol.name.trim_start_matches('.').contains('.'));
    clones
        .map(|symbol| (symbol.address, without_numbers(&symbol.name)))
        .filter(|(_, name)| name.trim_start_matches('.').contains('.'))
        .collect()
}
