//! Where compilers' debug information leaves gaps, the symbol table fills them.

use std::collections::{HashMap, HashSet};

use object::elf;

use crate::program::dwarf::{DebugInfo, Function, Storage};
use crate::program::elf::{Elf, Symbol};

/// clang puts the static locals of an inlined function into a function entry without a name, but calls their symbols
/// `function.variable`.
pub(super) fn name_owners(elf: &Elf, debug: &mut DebugInfo) {
    for variable in &mut debug.variables {
        let Storage::Static(address) = variable.storage else { continue };
        if !variable.function.as_ref().is_some_and(String::is_empty) {
            continue;
        }
        let symbols = elf.symbols.iter().filter(|symbol| symbol.address == address);
        let owner = symbols.filter_map(|symbol| symbol.name.split_once('.')).find(|(_, name)| *name == variable.name);
        if let Some((owner, _)) = owner {
            variable.function = Some(owner.to_owned());
        }
    }
}

/// gcc folds functions of equal code (-fipa-icf) into one, and leaves of the others an alias or a jump, which no entry describes. The
/// symbol says where it is, the abstract entry what it is; where more than one entry could be meant, none is taken.
pub(super) fn add_folded_functions(elf: &Elf, debug: &mut DebugInfo, bodiless: &[Function]) {
    let mut by_name: HashMap<&str, Vec<&Function>> = HashMap::new();
    for function in bodiless {
        by_name.entry(function.linkage_name.as_deref().unwrap_or(&function.name)).or_default().push(function);
    }
    let known: HashSet<(u64, String)> = debug
        .functions
        .iter()
        .filter_map(|function| {
            Some((function.ranges.first()?.0.0, function.linkage_name.clone().unwrap_or(function.name.clone())))
        })
        .collect();
    let mut added = Vec::new();
    for symbol in elf.symbols.iter().filter(|symbol| symbol.is_code() && symbol.size != 0 && symbol.section < elf::SHN_LORESERVE)
    {
        if known.contains(&(symbol.address.0, symbol.name.clone())) {
            continue;
        }
        let Some(candidates) = by_name.get(symbol.name.as_str()) else { continue };
        let mut fitting = candidates.iter().filter(|function| is_of(symbol, function));
        if let (Some(function), None) = (fitting.next(), fitting.next()) {
            added.push(Function { ranges: vec![(symbol.address, symbol.size)], ..(*function).clone() });
        }
    }
    debug.functions.extend(added);
}

/// Whether linkage and file agree. STT_FILE has the file's name, from most compilers without its directory.
fn is_of(symbol: &Symbol, function: &Function) -> bool {
    match &symbol.file {
        Some(file) => !function.external && function.unit.rsplit('/').next() == file.rsplit('/').next(),
        None => function.external,
    }
}
