//! Constructors: they ran when the old program started, and will not run again (PROOF 2.2).

use std::collections::HashSet;

use crate::plan::abi;
use crate::plan::blocker::Blocker;
use crate::plan::compare::functions::position;
use crate::plan::spec::names::written_among;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::code::FunctionId;

/// A blocker for each constructor of the new program that the old one lacks, or that does something else now.
/// Those at the positions `accepted` need not run, by the user's word.
pub fn changed(view: &View<'_>, accepted: &HashSet<usize>) -> Vec<Blocker> {
    let unchanged = unchanged_functions(view);
    let mut blockers = Vec::new();
    for entry in constructors(view.new) {
        let Some(function) = view.sides.new.functions.at_entry(entry) else {
            blockers.push(blocker(view, entry, "is in no known function".to_owned()));
            continue;
        };
        if accepted.contains(&function) {
            continue;
        }
        let closure = view.code.new_calls.closure([FunctionId(function as u32)]);
        let mut called = std::iter::once(function).chain(closure.functions.iter().map(|id| position(*id)));
        if let Some(changed) = called.find(|index| !unchanged.contains(index)) {
            let name = &view.sides.new.functions.list()[changed].identity.name;
            let change = match (changed == function, is_paired(view, changed)) {
                (true, false) => "is new".to_owned(),
                (true, true) => "changes".to_owned(),
                (false, _) => format!("changes through `{name}`"),
            };
            blockers.push(blocker(view, entry, change));
        }
    }
    blockers
}

/// The addresses in DT_INIT_ARRAY, as relocations fill them.
fn constructors(build: &Build) -> Vec<LinkAddress> {
    let elf = &build.elf;
    let array = elf.dynamic_value(abi::DT_INIT_ARRAY).zip(elf.dynamic_value(abi::DT_INIT_ARRAYSZ));
    let Some((start, length)) = array else { return Vec::new() };
    let inside = |address: LinkAddress| address.0.checked_sub(start).is_some_and(|skip| skip < length);
    let slots = elf.relocations.iter().filter(|relocation| inside(relocation.address));
    slots.map(|relocation| LinkAddress(relocation.addend as u64)).collect()
}

/// Functions of the new build whose partner in the old one has the same code.
fn unchanged_functions(view: &View<'_>) -> HashSet<usize> {
    let partners = view.sides.functions.iter().enumerate();
    partners.filter(|(index, _)| view.same_code(*index)).filter_map(|(_, partner)| partner.one()).collect()
}

fn is_paired(view: &View<'_>, function: usize) -> bool {
    view.sides.functions.iter().any(|partner| partner.one() == Some(function))
}

fn blocker(view: &View<'_>, entry: LinkAddress, change: String) -> Blocker {
    let functions = view.sides.new.functions.list();
    let known = view.sides.new.functions.at_entry(entry);
    let code = known.and_then(|index| functions.get(index));
    let function = code.map_or_else(|| entry.to_string(), |code| code.identity.name.clone());
    // A constructor that the compiler or its library brings has a symbol at most.
    let place = match (view.new.line_at(entry), code.map(|code| code.identity.unit.as_str())) {
        (Some((file, line)), _) => format!("{file}:{line}"),
        (None, Some(unit)) if !unit.is_empty() => unit.to_owned(),
        (None, _) => "without debug information".to_owned(),
    };
    let name = known.and_then(|index| written_among(functions, index));
    let answers = name.map(|name| format!("[accept] constructors = [\"{name}\"]")).into_iter().collect();
    Blocker::Constructor { function, place, change, answers }
}
