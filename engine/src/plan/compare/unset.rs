//! New variables, and new fields of variables, that start as zero and that the new program's code stores to: its start-up code, which
//! will not run, may have been what gives them their value (PROOF 2.3).

use std::ops::Range;

use super::data::DataChanges;
use super::objects::{Object, Place};
use super::sides::Sides;
use crate::plan::abi;
use crate::plan::data::question::{Question, Unknown};
use crate::plan::spec::names::written_among;
use crate::plan::spec::{Bound, Initial};
use crate::program::build::Build;
use crate::program::code::{Access, CodeImage};
use crate::program::dwarf::Storage;
use crate::program::types::{TypeTable, WordKind};

/// Words of one variable that are looked at for pointers.
const WORDS: u64 = 1 << 14;

/// Something new in a variable whose initial value is all zero, although code stores to it.
#[derive(Clone, Debug)]
pub struct Unset {
    /// What is asked, or for numbers told.
    pub question: Question,
    /// Position of the variable in the old build, where it has it.
    pub old: Option<usize>,
    /// Position in the new build.
    pub new: usize,
    /// Whether it is a pointer, which the new program may follow.
    pub is_pointer: bool,
}

/// A part of a variable that takes its initial value.
struct Part {
    question: Question,
    old: Option<usize>,
    new: usize,
    /// Its bytes, link-time addresses of the new build.
    range: Range<u64>,
}

/// Finds them. What the user has answered is not among them.
pub fn find(new: &Build, image: &CodeImage<'_>, sides: &Sides, data: &DataChanges, bound: &Bound) -> Vec<Unset> {
    let parts = parts(new, sides, data, bound);
    let mut ranges: Vec<Range<u64>> = parts.iter().map(|part| part.range.clone()).collect();
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    ranges.dedup_by(|next, last| {
        let joins = next.start < last.end;
        if joins {
            last.end = last.end.max(next.end);
        }
        joins
    });
    let accesses = image.accesses(&ranges);
    if !accesses.iter().any(|access| access.stores) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for part in parts {
        let pointers = pointers(&new.debug.types, sides.new.objects.list().get(part.new), &part.range);
        let whole = [part.range.clone()];
        for (is_pointer, places) in [(true, &pointers[..]), (false, &whole)] {
            let mut zeros = places.iter().filter(|place| is_zero(new, place));
            let storing = zeros.find_map(|place| storing(place, &accesses));
            if let Some(access) = storing {
                let name = sides.new.functions.list().get(access.function.0 as usize).map(|code| code.identity.name.clone());
                let question = Question { old: name.unwrap_or_default(), ..part.question };
                found.push(Unset { question, old: part.old, new: part.new, is_pointer });
                break;
            }
        }
    }
    found.sort_by(|a, b| (&a.question, a.new).cmp(&(&b.question, b.new)));
    found.dedup_by(|a, b| (&a.question.owner, &a.question.field, a.new) == (&b.question.owner, &b.question.field, b.new));
    found
}

/// Who stores to a place that somebody loads.
fn storing<'a>(place: &Range<u64>, accesses: &'a [Access]) -> Option<&'a Access> {
    let mut near = accesses.iter().filter(|access| access.touches(place));
    let is_loaded = near.clone().any(|access| access.loads);
    near.find(|access| is_loaded && access.stores)
}

fn parts(new: &Build, sides: &Sides, data: &DataChanges, bound: &Bound) -> Vec<Part> {
    let objects = sides.new.objects.list();
    let mut parts = Vec::new();
    for (old, position, initial) in &data.initials {
        let is_new = old.is_some_and(|old| data.told.get(&old) == Some(&Initial::New));
        let object = objects.get(*position).filter(|object| object.place == Place::Writable && !is_new);
        let Some(object) = object else { continue };
        for offset in initial.starts().take(WORDS as usize) {
            let start = object.start.0.saturating_add(offset as u64);
            let range = start..start.saturating_add(initial.length as u64).min(object.end().0);
            parts.push(Part { question: initial.question.clone(), old: *old, new: *position, range });
        }
    }
    let partners = sides.objects.iter().flat_map(|partner| partner.candidates().iter().copied());
    let mut taken = vec![false; objects.len()];
    partners.chain(data.fresh.iter().map(|(index, _)| *index)).for_each(|index| {
        if let Some(taken) = taken.get_mut(index) {
            *taken = true;
        }
    });
    for (position, object) in objects.iter().enumerate().filter(|(position, _)| taken.get(*position) == Some(&false)) {
        if object.place == Place::Writable && object.kind.is_some() && !is_told(new, object, bound) {
            let range = object.start.0..object.end().0;
            parts.push(Part { question: whole(new, objects, position, object), old: None, new: position, range });
        }
    }
    parts.sort_by_key(|part| (part.range.start, part.range.end));
    parts
}

/// Whether the user says that a variable takes its initial value.
fn is_told(new: &Build, object: &Object, bound: &Bound) -> bool {
    let mut told = bound.values.keys().filter_map(|position| new.debug.variables.get(*position as usize));
    told.any(|variable| variable.storage == Storage::Static(object.start))
}

/// What is asked of a variable that only the new build has.
fn whole(new: &Build, objects: &[Object], position: usize, object: &Object) -> Question {
    Question {
        what: Unknown::Unset,
        owner: written_among(objects, position).unwrap_or_else(|| object.identity.name.clone()),
        field: String::new(),
        old: String::new(),
        new: new.debug.types.describe(object.kind),
        declared: object.declared.clone(),
        likely: None,
    }
}

/// Whether memory starts as zeros that the loader leaves as they are.
fn is_zero(new: &Build, range: &Range<u64>) -> bool {
    let bytes = new.elf.initial_bytes(crate::program::address::LinkAddress(range.start), range.end.saturating_sub(range.start));
    let is_relocated = |relocation: &crate::program::elf::Relocation| {
        range.contains(&relocation.address.0) || (relocation.kind == abi::R_COPY && relocation.address.0 == range.start)
    };
    bytes.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0)) && !new.elf.relocations.iter().any(is_relocated)
}

/// The pointers among the words of a part of a variable.
fn pointers(types: &TypeTable, object: Option<&Object>, range: &Range<u64>) -> Vec<Range<u64>> {
    let Some(object) = object else { return Vec::new() };
    let words = (range.start.next_multiple_of(8)..range.end).step_by(8).take(WORDS as usize);
    let may_point = |address: &u64| {
        let kind = types.word_at(object.kind, address - object.start.0);
        matches!(kind, WordKind::Pointer(_))
    };
    words.filter(may_point).map(|address| address..address + 8).collect()
}
