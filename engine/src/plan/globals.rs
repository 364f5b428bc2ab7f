//! Values of variables: which are carried, which take the new program's (PROOF 2.1), and the new program's data segments.

use std::collections::HashSet;
use std::sync::Arc;

use dsu_formats::address::RunAddress;

use super::abi;
use super::address::{NewLink, Placement};
use super::answers;
use super::blocker::Blocker;
use super::compare::Comparison;
use super::compare::objects::{Object, Place};
use super::compare::pairs::Partner;
use super::data::compile::Compiled;
use super::data::question::Question;
use super::data::recipe::Context;
use super::data::rewrite::RewriteProblem;
use super::image::DataImage;
use super::pointers::{Fates, Site};
use super::rewrite::{Allocations, Report};
use super::scan::filter::FOUR_GIB;
use super::scan::sites::Sites;
use super::source::MemorySource;
use super::spec::Initial;
use super::spec::names::pairing_lines;
use super::words::{Holder, Words};
use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Section};
use crate::program::types::{Shape, TypeId, TypeTable};

/// The old program's writable segments: as loaded and relocated, and as they are now.
#[derive(Debug)]
pub struct OldData {
    /// As they were when the program started; words that only run time decides are as they are now.
    pub initial: DataImage,
    /// As they are.
    pub captured: DataImage,
    /// Difference of run-time and link-time addresses.
    pub bias: u64,
}

impl OldData {
    fn address(&self, object: &Object) -> RunAddress {
        RunAddress(self.bias.wrapping_add(object.start.0))
    }
}

/// What is decided for each variable before any word is looked at.
#[derive(Debug, Default)]
pub struct Decisions {
    /// For the pointer rules.
    pub fates: Fates,
    /// Reasons against.
    pub blockers: Vec<Blocker>,
}

/// Decides for every writable variable of the old program whether its value is carried.
///
/// `copied` are the places of COPY relocations of the old program: their initial value was a library's, they are always carried.
pub fn decide(comparison: &Comparison, data: &OldData, copied: &HashSet<LinkAddress>, report: &mut Report) -> Decisions {
    let mut decisions = Decisions::default();
    let old = comparison.sides.old.objects.list();
    let new = comparison.sides.new.objects.list();
    for (index, object) in old.iter().enumerate() {
        let copy = copied.contains(&object.start);
        let writable = object.place == Place::Writable || copy;
        let told = comparison.data.told.get(&index).filter(|_| writable && !copy);
        let changed = match told {
            Some(initial) => *initial == Initial::Keep,
            None => writable && (copy || is_changed(data, object)),
        };
        let mut carried = false;
        match &comparison.sides.objects[index] {
            Partner::One(partner) if changed => {
                carried = true;
                decisions.blockers.extend(unanswered(comparison, index, data));
                let is_told = told.is_some() || comparison.data.variables.contains_key(&index);
                if !copy && !is_told && comparison.layouts[index].is_none() && !comparison.same_initialiser[index] {
                    report.warnings.push(format!(
                        "`{}` keeps its value although its initialiser changes ({}:{})",
                        object.identity.name, object.declared.0, object.declared.1
                    ));
                }
                report.globals_carried += 1;
                if new[*partner].place == Place::ReadOnly {
                    decisions.blockers.push(became_constant(object));
                }
            }
            Partner::One(_) if writable && !comparison.same_initialiser[index] => {
                report.globals_new.push(object.identity.name.clone())
            }
            Partner::One(_) if writable => report.globals_carried += 1,
            Partner::One(_) => {}
            Partner::Many(candidates) if changed => decisions.blockers.push(Blocker::AmbiguousVariable {
                name: object.identity.name.clone(),
                unit: object.identity.unit.clone(),
                candidates: candidates.iter().map(|index| described(&new[*index])).collect(),
                answers: pairing_lines("pair.globals", (old, index), (new, candidates)),
            }),
            Partner::Many(_) => {}
            Partner::Gone => drop_variable(comparison, object, changed && !copy, report),
        }
        decisions.fates.carried.push(carried);
        if let Some(Ok(recipe)) = comparison.data.variables.get(&index) {
            decisions.fates.recipes.insert(index, Arc::clone(recipe));
            if comparison.data.types.changed(object.kind) {
                decisions.fates.reshaped.insert(index);
            }
        }
    }
    report.globals_new.extend(only_new(comparison));
    decisions
}

/// What is new in variables, starts as zero, and is stored to by the new program: a question for pointers, else a warning.
pub fn unset(comparison: &Comparison, data: &OldData, new_bias: u64, report: &mut Report) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for unset in &comparison.data.unset {
        let (old, new) = (comparison.sides.old.objects.list(), comparison.sides.new.objects.list());
        let address = match (unset.old.and_then(|index| old.get(index)), new.get(unset.new)) {
            (Some(object), _) => data.address(object),
            (None, Some(object)) => RunAddress(new_bias.wrapping_add(object.start.0)),
            (None, None) => continue,
        };
        match unset.is_pointer {
            true => blockers.push(answers::question(&unset.question, address)),
            false => report.warnings.push(format!(
                "{} is new and starts as zero, although `{}` stores to it",
                unset.question.name(),
                unset.question.old
            )),
        }
    }
    blockers
}

/// Gives the variables that only the new program has the values that rules say.
pub fn make_fresh(comparison: &Comparison, types: &TypeTable, image: &mut DataImage, context: &FreshContext<'_>) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for (index, compiled) in &comparison.data.fresh {
        let Some(object) = comparison.sides.new.objects.list().get(*index) else { continue };
        let address = RunAddress(object.start.0.wrapping_add(context.new_bias));
        let Some(place) = image.slice_mut(object.start, object.size) else { continue };
        match fresh_value(compiled, place, types, address, context) {
            Ok(value) => place.copy_from_slice(&value),
            Err(more) => blockers.extend(more),
        }
    }
    blockers
}

/// What the value of a variable that only the new program has may need.
pub struct FreshContext<'a> {
    /// The old process.
    pub memory: &'a dyn MemorySource,
    /// Distance from link-time to run-time addresses of the new program.
    pub new_bias: u64,
}

/// The value of one variable that only the new program has and that is to be at `address`; `initial` is its initial value.
pub fn fresh_value(
    compiled: &Compiled,
    initial: &[u8],
    types: &TypeTable,
    address: RunAddress,
    context: &FreshContext<'_>,
) -> Result<Vec<u8>, Vec<Blocker>> {
    let asked = |questions: &Arc<[Question]>| -> Vec<Blocker> {
        questions.iter().map(|question| answers::question(question, address)).collect()
    };
    let recipe = compiled.as_ref().map_err(asked)?;
    let mut value = vec![0; initial.len()];
    let context = Context { types, memory: context.memory, address, new_bias: context.new_bias, initial: Some(initial) };
    match recipe.apply(&[], &mut value, &context) {
        Ok(()) => Ok(value),
        Err(error) => Err(answers::rewrite(&RewriteProblem::Recipe(error), |_| false)),
    }
}

/// What keeps a variable of the old program from keeping its value in another type.
fn unanswered(comparison: &Comparison, index: usize, data: &OldData) -> Vec<Blocker> {
    let object = &comparison.sides.old.objects.list()[index];
    match (comparison.data.variables.get(&index), &comparison.layouts[index]) {
        (Some(Err(questions)), _) => {
            let address = data.address(object);
            questions.iter().map(|question| answers::question(question, address)).collect()
        }
        (None, Some(change)) => vec![Blocker::ChangedVariable {
            name: object.identity.name.clone(),
            place: change.place.clone(),
            old: change.old.clone(),
            new: change.new.clone(),
            declared: object.declared.clone(),
        }],
        (Some(Ok(_)), _) | (None, None) => Vec::new(),
    }
}

fn became_constant(object: &Object) -> Blocker {
    Blocker::ChangedVariable {
        name: object.identity.name.clone(),
        place: "its section".to_owned(),
        old: "a variable".to_owned(),
        new: "a constant".to_owned(),
        declared: object.declared.clone(),
    }
}

fn drop_variable(comparison: &Comparison, object: &Object, changed: bool, report: &mut Report) {
    if object.place != Place::Writable {
        return;
    }
    report.globals_dropped.push(object.identity.name.clone());
    let twin = comparison.sides.new.objects.list().iter().find(|other| other.identity.name == object.identity.name);
    if let Some(twin) = twin.filter(|_| changed) {
        report.warnings.push(format!("the value of `{}` is not carried to `{}`", described(object), described(twin)));
    }
}

fn only_new(comparison: &Comparison) -> Vec<String> {
    let partners = comparison.sides.objects.iter();
    let taken: HashSet<usize> = partners
        .flat_map(|partner| match partner {
            Partner::One(index) => vec![*index],
            Partner::Many(indices) => indices.clone(),
            Partner::Gone => Vec::new(),
        })
        .collect();
    let new = comparison.sides.new.objects.list().iter().enumerate();
    new.filter(|(index, object)| object.place == Place::Writable && !taken.contains(index))
        .map(|(_, object)| object.identity.name.clone())
        .collect()
}

fn described(object: &Object) -> String {
    let function = object.identity.function.as_ref().map_or(String::new(), |function| format!(" of {function}()"));
    format!("{}{function} ({}:{})", object.identity.name, object.declared.0, object.declared.1)
}

fn is_changed(data: &OldData, object: &Object) -> bool {
    data.initial.slice(object.start, object.size) != data.captured.slice(object.start, object.size)
}

/// Stores the carried values into the new program's data; words that point into the old program follow. Gives the words that wait for the
/// address of a block.
pub fn carry(
    comparison: &Comparison,
    types: &TypeTable,
    data: &OldData,
    fates: &Fates,
    places: (&Placement, &Sites),
    words: &mut Words<'_>,
    image: &mut DataImage,
) -> Vec<RunAddress> {
    let mut fixups = Vec::new();
    let (placement, sites) = places;
    let old = comparison.sides.old.objects.list();
    let new = comparison.sides.new.objects.list();
    let rewritten = &comparison.data.variables;
    for (index, object) in old.iter().enumerate().filter(|(index, _)| fates.carried[*index] && !rewritten.contains_key(index)) {
        let Some(partner) = comparison.sides.objects[index].one().map(|partner| &new[partner]) else { continue };
        let length = object.size.min(partner.size);
        let (Some(from), Some(to)) = (data.captured.slice(object.start, length), image.slice_mut(partner.start, length)) else {
            continue;
        };
        to.copy_from_slice(from);
        let first = object.start.0.next_multiple_of(8) - object.start.0;
        let captured = |offset: u64| data.captured.word(LinkAddress(object.start.0.wrapping_add(offset)));
        let halfway = halfway_pointers(placement, object.start.0, length, captured);
        for offset in (first..length.saturating_sub(7)).step_by(8).chain(halfway) {
            let Some(word) = data.captured.word(object.start.offset(offset)) else { continue };
            let address = placement.old_run(super::address::OldLink(object.start.offset(offset))).0;
            let holder = Holder::Variable { name: &object.identity.name, offset, address };
            // A variable may be a stack, for signals or for coroutines.
            let moved = match sites.site(address) {
                None => None,
                Some(Site::Memory) => words.carried(word, || pointer_at(types, object.kind, offset), holder),
                Some(site) => words.rewrite(word, site, holder),
            };
            if let Some(word) = moved {
                let place = partner.start.offset(offset);
                image.set_word(place, word);
                if Allocations::may_hold(word) {
                    fixups.push(placement.new_run(NewLink(place)).0);
                }
            }
        }
    }
    fixups
}

/// Offsets of pointers into the program at four bytes from an aligned word, as packed structures have them (see
/// [`super::scan::filter::Filter::find`]), in the `length` bytes at address `start`. `word` gives the word at an offset, which may
/// lie up to four bytes before the start.
pub(super) fn halfway_pointers(placement: &Placement, start: u64, length: u64, word: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
    // Of a fixed-address program, types tell.
    if placement.old_range().start.0 < FOUR_GIB && !placement.is_fixed() {
        return Vec::new();
    }
    let first = (12 - start % 8) % 8;
    let points = |offset: u64| word(offset).is_some_and(|word| placement.old_link(word).is_some());
    let offsets = (first..length.saturating_sub(7)).step_by(8);
    let alone = |offset: u64| !points(offset.wrapping_sub(4)) && !points(offset + 4);
    offsets.filter(|offset| points(*offset) && alone(*offset)).collect()
}

/// The pointer type of the word `offset` bytes into a value of type `kind`, when the type says it is one.
pub fn pointer_at(types: &TypeTable, kind: Option<TypeId>, offset: u64) -> Option<TypeId> {
    let mut next = types.peel(kind)?;
    let mut offset = offset;
    for _ in 0..64 {
        match &types.get(next).shape {
            Shape::Pointer { .. } => return (offset == 0).then_some(next),
            Shape::Array { element, .. } => {
                let mut element = types.peel(*element)?;
                while let Shape::Array { element: inner, .. } = &types.get(element).shape {
                    element = types.peel(*inner)?;
                }
                offset %= types.size_of(Some(element)).filter(|size| *size != 0)?;
                next = element;
            }
            Shape::Struct { members } => {
                let inside = |start: u64, kind| offset >= start && offset - start < types.size_of(kind).unwrap_or(0);
                let member = members.iter().rev().find(|member| inside(member.offset, member.kind))?;
                offset -= member.offset;
                next = types.peel(member.kind)?;
            }
            _ => return None,
        }
    }
    None
}

/// Bytes of the old program's data that belong to no variable and are not what they were at the start.
pub fn unknown_changes(comparison: &Comparison, elf: &Elf, data: &OldData, placement: &Placement) -> Vec<Blocker> {
    let mut blockers = Vec::new();
    for section in elf.sections.iter().filter(|section| holds_variables(elf, section)) {
        let end = section.address.offset(section.size);
        let mut at = section.address;
        while at < end {
            let next = comparison.sides.old.objects.next_start(at).map_or(end, |next| next.min(end));
            blockers.extend(changed_gap(section, at, next, data, placement));
            let index = comparison.sides.old.objects.covering(next);
            at = index.map_or(end, |index| comparison.sides.old.objects.list()[index].end()).max(next);
            if next == end {
                break;
            }
        }
    }
    blockers
}

fn changed_gap(
    section: &Section,
    start: LinkAddress,
    end: LinkAddress,
    data: &OldData,
    placement: &Placement,
) -> Option<Blocker> {
    let length = end.0.checked_sub(start.0).filter(|length| *length != 0)?;
    let (was, is) = (data.initial.slice(start, length)?, data.captured.slice(start, length)?);
    let differs = |(a, b): (&u8, &u8)| a != b;
    let first = was.iter().zip(is).position(differs)?;
    let last = was.iter().zip(is).rposition(differs)?;
    let address = placement.old_run(super::address::OldLink(start.offset(first as u64))).0;
    Some(Blocker::UnknownData { address, section: section.name.clone(), length: (last - first + 1) as u64 })
}

/// Sections of the program's own variables: not the loader's tables, not what it protects after relocation.
fn holds_variables(elf: &Elf, section: &Section) -> bool {
    let flags = section.flags;
    let relro = elf
        .relro()
        .is_some_and(|relro| section.address.0.checked_sub(relro.address.0).is_some_and(|skip| skip < relro.memory_size));
    flags & abi::SHF_ALLOC != 0
        && flags & abi::SHF_WRITE != 0
        && flags & abi::SHF_TLS == 0
        && section.size != 0
        && !relro
        && !section.name.starts_with(".got")
        && section.name != ".dynamic"
}

/// Objects of libraries whose only copy was the old program's: the library's own object takes the value back.
pub fn returned_words(data: &OldData, object: &Object, original: RunAddress, length: u64) -> Vec<(RunAddress, u64)> {
    let offsets = (0..length).step_by(8);
    offsets.filter_map(|offset| Some((original.checked_add(offset)?, data.captured.word(object.start.offset(offset))?))).collect()
}

#[cfg(test)]
mod tests;
