//! All functions of one build: the union of what DWARF and the symbol table know.

use std::collections::HashMap;

use object::elf;

use super::names::{self, CloneKinds, SymbolName};
use crate::program::address::LinkAddress;
use crate::program::dwarf::DebugInfo;
use crate::program::elf::{Elf, Symbol};

/// Number of a function in its [`Inventory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub u32);

/// A contiguous piece of a function's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// First byte.
    pub start: LinkAddress,
    /// Length in bytes.
    pub size: u64,
}

impl Part {
    pub(super) fn end(&self) -> u64 {
        self.start.0.saturating_add(self.size)
    }
}

/// A function with code.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Linkage name without the compiler's suffixes; for a C function its source name.
    pub name: String,
    /// Which copy of the source function it is.
    pub clone: CloneKinds,
    /// Source file: of the unit in DWARF, else of the symbol's STT_FILE; `None` for a global symbol without debug information.
    pub unit: Option<String>,
    /// Whether visible outside its unit.
    pub external: bool,
    /// Pieces of code: the entry's first, then rarely run ones (`.cold`) that belong to it.
    pub parts: Vec<Part>,
    /// Full names of the symbols at its entry.
    pub symbols: Vec<String>,
    /// Positions in [`DebugInfo::functions`]; more than one where the linker folded equal functions, none for assembly.
    pub debug: Vec<usize>,
}

impl Function {
    /// Where it is entered.
    pub fn entry(&self) -> LinkAddress {
        self.parts.first().map(|part| part.start).unwrap_or_default()
    }

    /// Name with clone suffixes, for messages.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.name, self.clone)
    }
}

/// A place in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The function.
    pub function: FunctionId,
    /// Position among its parts.
    pub part: usize,
    /// Bytes from the part's start.
    pub offset: u64,
}

impl Place {
    /// Whether it is where the function is entered.
    pub fn is_entry(&self) -> bool {
        self.part == 0 && self.offset == 0
    }
}

/// The functions of one build, by entry address.
#[derive(Debug, Default)]
pub struct Inventory {
    functions: Vec<Function>,
    /// (start, end, function, part) by start.
    ranges: Vec<(u64, u64, FunctionId, usize)>,
}

impl Inventory {
    /// Collects the functions of `elf`; `debug` may be empty.
    pub fn new(elf: &Elf, debug: &DebugInfo) -> Self {
        let mut functions = from_debug_info(elf, debug);
        add_symbols(elf, &mut functions);
        functions.retain(|function| !function.parts.is_empty());
        functions.sort_by_key(Function::entry);
        let mut ranges: Vec<_> = numbered(&functions)
            .flat_map(|(id, function)| {
                function.parts.iter().enumerate().map(move |(part, piece)| (piece.start.0, piece.end(), id, part))
            })
            .collect();
        ranges.sort_unstable_by_key(|range| (range.0, range.2));
        Self { functions, ranges }
    }

    /// The function with this number; `None` for a number of another build.
    pub fn get(&self, id: FunctionId) -> Option<&Function> {
        self.functions.get(id.0 as usize)
    }

    /// All functions with their numbers, by entry address.
    pub fn iter(&self) -> impl Iterator<Item = (FunctionId, &Function)> {
        numbered(&self.functions)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.functions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty()
    }

    /// The function whose code holds `address`.
    pub fn at(&self, address: LinkAddress) -> Option<Place> {
        let after = self.ranges.partition_point(|range| range.0 <= address.0);
        let (start, end, function, part) = *self.ranges.get(after.checked_sub(1)?)?;
        (address.0 < end).then(|| Place { function, part, offset: address.0 - start })
    }

    /// The function entered at `address`.
    pub fn entered_at(&self, address: LinkAddress) -> Option<FunctionId> {
        self.at(address).filter(Place::is_entry).map(|place| place.function)
    }

    /// First address behind `address` at which a part starts.
    fn next_start(ranges: &[u64], address: u64) -> Option<u64> {
        ranges.get(ranges.partition_point(|start| *start <= address)).copied()
    }
}

fn numbered(functions: &[Function]) -> impl Iterator<Item = (FunctionId, &Function)> {
    functions.iter().enumerate().map(|(index, function)| (FunctionId(index as u32), function))
}

fn from_debug_info(elf: &Elf, debug: &DebugInfo) -> Vec<Function> {
    let mut functions: Vec<Function> = Vec::with_capacity(debug.functions.len());
    let mut by_entry: HashMap<u64, usize> = HashMap::new();
    for (index, described) in debug.functions.iter().enumerate() {
        let parts: Vec<Part> = described
            .ranges
            .iter()
            .filter(|(start, size)| *size > 0 && is_code(elf, *start))
            .map(|&(start, size)| Part { start, size })
            .collect();
        let Some(entry) = parts.first().map(|part| part.start.0) else { continue };
        // A unit may describe a function that the linker took from another one: described twice, it is one.
        if let Some(known) = by_entry.get(&entry).and_then(|&known| functions.get_mut(known)) {
            known.debug.push(index);
            continue;
        }
        by_entry.insert(entry, functions.len());
        functions.push(Function {
            name: described.linkage_name.clone().unwrap_or_else(|| described.name.clone()),
            clone: CloneKinds::default(),
            unit: Some(described.unit.clone()),
            external: described.external,
            parts,
            symbols: Vec::new(),
            debug: vec![index],
        });
    }
    functions
}

/// Adds what only the symbol table knows: clone suffixes, assembly, files without debug information.
fn add_symbols(elf: &Elf, functions: &mut Vec<Function>) {
    let mut starts: Vec<u64> = functions.iter().flat_map(|function| &function.parts).map(|part| part.start.0).collect();
    let code = |symbol: &&Symbol| symbol.is_code() && symbol.section < elf::SHN_LORESERVE && is_code(elf, symbol.address);
    starts.extend(elf.symbols.iter().filter(code).map(|symbol| symbol.address.0));
    starts.sort_unstable();
    starts.dedup();
    let mut owners = Owners::new(functions);
    let mut cold = Vec::new();
    for symbol in elf.symbols.iter().filter(code) {
        let name = names::split(&symbol.name);
        match owners.at(functions, symbol.address.0) {
            Some((function, true)) => attach(&mut functions[function], symbol, name),
            // The cold part or an inner label of a function that is known already.
            Some((_, false)) => {}
            None if name.is_cold => cold.push((symbol, name)),
            None => {
                let size = extent(elf, symbol, &starts);
                if size == 0 {
                    continue;
                }
                owners.add(functions.len(), symbol.address.0, size);
                functions.push(from_symbol(symbol, name, size));
            }
        }
    }
    for (symbol, name) in cold {
        let size = extent(elf, symbol, &starts).max(1);
        match parent(functions, &name, symbol) {
            Some(parent) => functions[parent].parts.push(Part { start: symbol.address, size }),
            None => functions.push(from_symbol(symbol, name, size)),
        }
    }
}

/// Which function known so far covers an address.
struct Owners {
    ranges: std::collections::BTreeMap<u64, (u64, usize)>,
}

impl Owners {
    fn new(functions: &[Function]) -> Self {
        let parts =
            functions.iter().enumerate().flat_map(|(index, function)| function.parts.iter().map(move |part| (index, part)));
        Self { ranges: parts.map(|(index, part)| (part.start.0, (part.end(), index))).collect() }
    }

    fn add(&mut self, function: usize, start: u64, size: u64) {
        self.ranges.insert(start, (start.saturating_add(size), function));
    }

    /// The function that holds `address`, and whether it is entered there.
    fn at(&self, functions: &[Function], address: u64) -> Option<(usize, bool)> {
        let (_, &(end, function)) = self.ranges.range(..=address).next_back()?;
        (address < end).then(|| (function, functions.get(function).is_some_and(|known| known.entry().0 == address)))
    }
}

fn attach(function: &mut Function, symbol: &Symbol, name: SymbolName) {
    let is_first = function.symbols.is_empty();
    function.external |= symbol.binding != elf::STB_LOCAL.0;
    function.symbols.push(symbol.name.clone());
    if function.debug.is_empty() {
        // Aliases: the plain, then the lesser name stands for all of them, whatever the order of the table.
        let better = (!name.clone.is_original(), &name.base) < (!function.clone.is_original(), &function.name);
        if better {
            (function.name, function.clone) = (name.base, name.clone);
            function.unit = symbol.file.clone();
        }
    } else if is_first || name.clone.is_original() {
        function.clone = name.clone;
    }
}

fn from_symbol(symbol: &Symbol, name: SymbolName, size: u64) -> Function {
    Function {
        name: if name.is_cold { symbol.name.clone() } else { name.base },
        clone: name.clone,
        unit: symbol.file.clone(),
        external: symbol.binding != elf::STB_LOCAL.0,
        parts: vec![Part { start: symbol.address, size }],
        symbols: vec![symbol.name.clone()],
        debug: Vec::new(),
    }
}

/// The one function whose `.cold` part `symbol` is.
fn parent(functions: &[Function], name: &SymbolName, symbol: &Symbol) -> Option<usize> {
    let fits = |function: &Function| {
        let of_name = function.symbols.iter().map(|symbol| names::split(symbol));
        of_name.clone().any(|own| own.base == name.base && own.clone == name.clone)
            && (function.external || function.unit == symbol.file || function.unit.is_none())
    };
    let mut candidates = functions.iter().enumerate().filter(|(_, function)| fits(function)).map(|(index, _)| index);
    let only = candidates.next()?;
    candidates.next().is_none().then_some(only)
}

/// A symbol's size; without one, hand-written code reaches up to the next function or the end of its section.
fn extent(elf: &Elf, symbol: &Symbol, starts: &[u64]) -> u64 {
    if symbol.size > 0 {
        return symbol.size;
    }
    let section = elf.sections.get(usize::from(symbol.section));
    let section_end = section.map_or(symbol.address.0, |section| section.address.0.saturating_add(section.size));
    let end = Inventory::next_start(starts, symbol.address.0).unwrap_or(section_end).min(section_end);
    end.saturating_sub(symbol.address.0)
}

fn is_code(elf: &Elf, address: LinkAddress) -> bool {
    elf.load_at(address).is_some_and(|segment| segment.flags & elf::PF_X.0 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::testing::Compiled;

    const SOURCE: &str = "
        #include <stdio.h>
        #include <stdlib.h>
        __attribute__((cold, noinline)) static void fail(const char *why) { fputs(why, stderr); exit(1); }
        __attribute__((noinline)) static int helper(int a, int b) { if (a > 1000) fail(\"big\"); return a * b + (a ^ b); }
        __attribute__((noinline)) int work(int n) { int s = 0; for (int i = 0; i < n; i++) { if (i == 77) { fail(\"x\"); } s += helper(i, 3); } return s; }
        int main(int c, char **v) { return work(c) + (v == 0); }";

    #[test]
    fn parts_and_clones_belong_to_their_functions() {
        let compiled = Compiled::new("parts", SOURCE, &["-O2", "-g"]);
        let build = compiled.build();
        for debug in [&build.debug, &DebugInfo::default()] {
            let inventory = Inventory::new(&build.elf, debug);
            let named = |name: &str| inventory.iter().find(|(_, function)| function.name == name).map(|(_, function)| function);
            assert!(named("main").is_some_and(|main| main.external));
            assert!(inventory.iter().all(|(_, function)| !function.full_name().contains("cold")), "cold parts are parts");
            for symbol in build.elf.symbols.iter().filter(|symbol| symbol.is_code() && symbol.name.ends_with(".cold")) {
                let place = inventory.at(symbol.address).expect("cold code belongs to a function");
                assert!(place.part > 0 && place.offset == 0, "{}", symbol.name);
            }
            assert!(named("_start").is_some_and(|start| start.debug.is_empty()));
            for (id, function) in inventory.iter() {
                assert_eq!(inventory.entered_at(function.entry()), Some(id), "{}", function.full_name());
            }
        }
    }

    #[test]
    fn code_without_size_reaches_to_the_next_symbol() {
        let source = "__asm__(\".globl raw\\n.type raw,@function\\nraw: nop\\n nop\\n ret\\n.globl next\\n.type next,@function\\nnext: ret\\n\");
            void raw(void); void next(void); int main(void) { raw(); next(); return 0; }";
        let build = Compiled::new("raw", source, &["-O2", "-g"]).build();
        let inventory = Inventory::new(&build.elf, &build.debug);
        let raw = inventory.iter().find(|(_, function)| function.name == "raw").expect("a symbol").1;
        assert_eq!(raw.parts[0].size, 3);
    }
}
