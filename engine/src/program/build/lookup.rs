//! What lies at an address: functions, variables, symbols, lines.

use object::elf;

use super::Build;
use crate::program::address::LinkAddress;
use crate::program::dwarf::{DebugInfo, Function, Position, Storage, Variable};
use crate::program::elf::{Elf, Symbol};

/// The code around an address, as DWARF and as ELF have it. Either may be missing: assembly has no DWARF, a stripped program no symbol.
#[derive(Clone, Copy, Debug)]
pub struct CodeAt<'b> {
    /// The function whose ranges hold the address.
    pub function: Option<&'b Function>,
    /// The STT_FUNC symbol whose extent holds the address, with its clone suffix (`.isra.0`, `.cold`); a global one before local ones.
    pub symbol: Option<&'b Symbol>,
}

/// Extents in ascending order, with the position of each in its list.
#[derive(Debug, Default)]
struct Extents {
    sorted: Vec<Extent>,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u64,
    end: u64,
    /// The greatest end up to here: how far back an enclosing extent may begin.
    reach: u64,
    position: usize,
}

impl Extents {
    fn new(extents: impl Iterator<Item = (u64, u64, usize)>) -> Self {
        let mut sorted: Vec<Extent> =
            extents.map(|(start, length, position)| (start, start.saturating_add(length), position)).map(Extent::from).collect();
        sorted.sort_by_key(|extent| (extent.start, extent.position));
        let mut reach = 0;
        for extent in &mut sorted {
            reach = extent.end.max(reach);
            extent.reach = reach;
        }
        Self { sorted }
    }

    /// Positions of the extents that hold `address`, the latest start first.
    fn holding(&self, address: LinkAddress) -> impl Iterator<Item = usize> {
        let count = self.sorted.partition_point(|extent| extent.start <= address.0);
        let before = self.sorted.get(..count).unwrap_or(&[]).iter().rev();
        before
            .take_while(move |extent| extent.reach > address.0)
            .filter(move |extent| extent.end > address.0)
            .map(|extent| extent.position)
    }
}

impl From<(u64, u64, usize)> for Extent {
    fn from((start, end, position): (u64, u64, usize)) -> Self {
        Self { start, end, reach: end, position }
    }
}

/// Extents of everything that has an address.
#[derive(Debug, Default)]
pub(super) struct Index {
    functions: Extents,
    variables: Extents,
    code_symbols: Extents,
    data_symbols: Extents,
}

impl Index {
    pub(super) fn new(elf: &Elf, debug: &DebugInfo) -> Self {
        let functions = debug.functions.iter().enumerate();
        let functions = functions
            .flat_map(|(position, function)| function.ranges.iter().map(move |&(start, length)| (start.0, length, position)));
        let placed = |symbol: &Symbol| symbol.section != 0 && symbol.section < elf::SHN_LORESERVE;
        let symbols = |code: bool| {
            let symbols = elf.symbols.iter().enumerate();
            symbols
                .filter(move |(_, symbol)| {
                    placed(symbol) && symbol.is_code() == code && (code || symbol.kind == elf::STT_OBJECT.0)
                })
                .map(|(position, symbol)| (symbol.address.0, symbol.size, position))
        };
        let data_symbols = Extents::new(symbols(false));
        let variables = debug.variables.iter().enumerate().filter_map(|(position, variable)| {
            let Storage::Static(address) = variable.storage else { return None };
            let declared = debug.types.size_of(variable.kind).unwrap_or(0);
            // The symbol is longer than the type when the initialiser fills a flexible array member.
            let symbol = data_symbols.holding(address).filter_map(|position| elf.symbols.get(position));
            let size = symbol.filter(|symbol| symbol.address == address).map(|symbol| symbol.size).fold(declared, u64::max);
            Some((address.0, size, position))
        });
        let variables = Extents::new(variables);
        Self { functions: Extents::new(functions), variables, code_symbols: Extents::new(symbols(true)), data_symbols }
    }
}

impl Build {
    /// The code around `address`.
    pub fn code_at(&self, address: LinkAddress) -> CodeAt<'_> {
        CodeAt { function: self.function_at(address), symbol: self.code_symbol_at(address) }
    }

    /// The function whose ranges hold `address`, from DWARF.
    pub fn function_at(&self, address: LinkAddress) -> Option<&Function> {
        self.index.functions.holding(address).find_map(|position| self.debug.functions.get(position))
    }

    /// The function symbol whose extent holds `address`; a global one before local ones.
    pub fn code_symbol_at(&self, address: LinkAddress) -> Option<&Symbol> {
        first_global(self.index.code_symbols.holding(address).filter_map(|position| self.elf.symbols.get(position)))
    }

    /// The data symbol whose extent holds `address`; a global one before local ones.
    pub fn data_symbol_at(&self, address: LinkAddress) -> Option<&Symbol> {
        first_global(self.index.data_symbols.holding(address).filter_map(|position| self.elf.symbols.get(position)))
    }

    /// The variable with static storage that holds `address`, and how many bytes into it the address is.
    pub fn variable_at(&self, address: LinkAddress) -> Option<(&Variable, u64)> {
        self.variables_at(address).next()
    }

    /// All variables that hold `address`: more than one where the compiler merged them or gave one an alias.
    pub fn variables_at(&self, address: LinkAddress) -> impl Iterator<Item = (&Variable, u64)> {
        self.index.variables.holding(address).filter_map(move |position| {
            let variable = self.debug.variables.get(position)?;
            match variable.storage {
                Storage::Static(start) => Some((variable, address.0.wrapping_sub(start.0))),
                _ => None,
            }
        })
    }

    /// Source file and line of the instruction at `address`, from the line table.
    pub fn line_at(&self, address: LinkAddress) -> Option<(String, u64)> {
        self.lines.find(&self.sections, address)
    }

    /// Where in the source the instruction at `address` comes from, to the column.
    pub fn position_at(&self, address: LinkAddress) -> Option<Position> {
        self.lines.position(&self.sections, address)
    }

    /// Source file by its number in the unit at `unit` of `.debug_info`.
    pub fn source_file(&self, unit: usize, number: u64) -> Option<String> {
        self.lines.file(&self.sections, unit, number)
    }

    /// A place as messages name it: `function+0x12 (file.c:123)`, `variable+0x8 (file.c:4)`, `symbol+0x0`, `.section+0x10`, or the
    /// bare address.
    pub fn place(&self, address: LinkAddress) -> String {
        let line = self.line_at(address);
        if let Some(name) = self.code_name(address) {
            return with_line(name, line);
        }
        if let Some((variable, offset)) = self.variable_at(address) {
            let owner = variable.function.as_ref().map(|function| format!("{function}::")).unwrap_or_default();
            let declared = (!variable.declared.0.is_empty()).then(|| variable.declared.clone());
            return with_line(format!("{owner}{}{}", variable.name, plus(offset)), declared);
        }
        if let Some(symbol) = self.data_symbol_at(address) {
            return format!("{}{}", symbol.name, plus(address.0 - symbol.address.0));
        }
        match self.elf.section_at(address) {
            Some(section) => format!("{}{}", section.name, plus(address.0 - section.address.0)),
            None => address.to_string(),
        }
    }

    fn code_name(&self, address: LinkAddress) -> Option<String> {
        let CodeAt { function, symbol } = self.code_at(address);
        if let Some(symbol) = symbol {
            return Some(format!("{}{}", symbol.name, plus(address.0 - symbol.address.0)));
        }
        let function = function?;
        let offset =
            function.ranges.iter().find_map(|&(start, length)| address.0.checked_sub(start.0).filter(|&skip| skip < length))?;
        Some(format!("{}{}", function.name, plus(offset)))
    }
}

fn first_global<'b>(symbols: impl Iterator<Item = &'b Symbol>) -> Option<&'b Symbol> {
    let mut first = None;
    for symbol in symbols {
        if symbol.binding != elf::STB_LOCAL.0 {
            return Some(symbol);
        }
        first = first.or(Some(symbol));
    }
    first
}

fn plus(offset: u64) -> String {
    if offset == 0 { String::new() } else { format!("+{offset:#x}") }
}

fn with_line(name: String, line: Option<(String, u64)>) -> String {
    match line {
        Some((file, line)) => format!("{name} ({file}:{line})"),
        None => name,
    }
}
