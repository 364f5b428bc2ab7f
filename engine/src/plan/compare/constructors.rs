//! Constructors: they ran when the old program started, and will not run again (PROOF 2.2).

use std::collections::HashSet;

use crate::plan::abi;
use crate::plan::blocker::Blocker;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use iced_x86::{Decoder, DecoderOptions, FlowControl};

/// A blocker for each constructor of the new program that the old one lacks, or that does something else now.
pub fn changed(view: &View<'_>) -> Vec<Blocker> {
    let unchanged = unchanged_functions(view);
    let mut blockers = Vec::new();
    for entry in constructors(view.new) {
        let Some(function) = view.sides.new.functions.at_entry(entry) else {
            blockers.push(blocker(view, entry, "is in no known function".to_owned()));
            continue;
        };
        let mut seen = HashSet::new();
        if let Some(changed) = first_changed(view, function, &unchanged, &mut seen) {
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

/// The first function among `function` and all that it calls directly which is not unchanged.
fn first_changed(view: &View<'_>, function: usize, unchanged: &HashSet<usize>, seen: &mut HashSet<usize>) -> Option<usize> {
    let mut open = vec![function];
    while let Some(next) = open.pop() {
        if !seen.insert(next) {
            continue;
        }
        if !unchanged.contains(&next) {
            return Some(next);
        }
        open.extend(callees(view, next));
    }
    None
}

/// Functions that `function` of the new build calls or jumps to directly.
fn callees(view: &View<'_>, function: usize) -> Vec<usize> {
    let functions = &view.sides.new.functions;
    let mut found = Vec::new();
    for (start, length) in &functions.list()[function].ranges {
        let Some(bytes) = view.new.elf.file_bytes(*start, *length) else { continue };
        let mut decoder = Decoder::with_ip(64, bytes, start.0, DecoderOptions::NONE);
        while decoder.can_decode() {
            let instruction = decoder.decode();
            if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::UnconditionalBranch)
                && let Some((callee, _)) = functions.containing(LinkAddress(instruction.near_branch_target()))
                && callee != function
            {
                found.push(callee);
            }
        }
    }
    found
}

fn blocker(view: &View<'_>, entry: LinkAddress, change: String) -> Blocker {
    let function = view.new.function_at(entry).map_or_else(|| entry.to_string(), |function| function.name.clone());
    let place = view.new.line_at(entry).map_or_else(String::new, |(file, line)| format!("{file}:{line}"));
    Blocker::Constructor { function, place, change }
}
