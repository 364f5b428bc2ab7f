//! Functions of two builds: which is which, which have the same code, and what that says of addresses.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::content::Content;
use super::functions::{Functions, position};
use super::objects::{Object, Objects, Place};
use super::pairs::Partner;
use super::rows::table_at;
use super::sides::Sides;
use crate::plan::address::{NewLink, OldLink};
use crate::plan::data::change::TypeChanges;
use crate::plan::data::rules::Rules;
use crate::plan::frames::{Coded, Described, other_fields};
use crate::plan::spec::pairing::GivenFunction;
use crate::plan::view::CodeFacts;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::code::{CallGraph, CodeImage, Comparer, Fate, FunctionDiff, FunctionId, ObjectPairing, Pairing, Writers};
use crate::program::types::{Shape, TypeId, TypeTable};

/// Reads the code of two builds; fills in the functions of `sides`.
pub fn read<'b>(old: &'b Build, new: &'b Build, sides: &mut Sides) -> (CodeImage<'b>, CodeImage<'b>) {
    let (from, to) = std::thread::scope(|scope| {
        let from = scope.spawn(|| CodeImage::new(&old.elf, &old.debug));
        let to = CodeImage::new(&new.elf, &new.debug);
        (from.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), to)
    });
    sides.old.functions = Functions::read(&from, &old.debug);
    sides.new.functions = Functions::read(&to, &new.debug);
    (from, to)
}

/// Compares the code of two builds whose variables are paired in `sides`, and pairs the functions there. `given` are pairs that somebody
/// knows.
pub fn compare<'b>(old: Coded<'_, 'b>, new: Coded<'_, 'b>, sides: &mut Sides, given: &[GivenFunction]) -> CodeFacts {
    let (from, to) = (old.image, new.image);
    let diff = FunctionDiff::with_pairs(from, to, sides, given);
    sides.functions = diff.iter().map(|(_, fate)| partner(fate)).collect();
    let same = same(&old, &new, sides, &diff);
    let (old, new) = (old.build, new.build);
    let (calls, new_calls) = (CallGraph::new(from), CallGraph::new(to));
    let mut facts = CodeFacts {
        writers: Writers::new(from, &calls, &scalars(&old.debug.types, &sides.old.objects)),
        new_writers: Writers::new(to, &new_calls, &scalars(&new.debug.types, &sides.new.objects)),
        references: references(from, to, sides, &same),
        same,
        calls,
        new_calls,
        returns: HashMap::new(),
        only_rows: only_rows(from, old, new, sides),
    };
    for (id, _) in from.inventory().iter() {
        facts.returns.extend(from.calls(id).iter().map(|call| (call.next, call.callee)));
    }
    facts
}

/// Which functions of the old build mean the same in the new one: the same instructions, and the same fields.
fn same<'b>(old: &Coded<'_, 'b>, new: &Coded<'_, 'b>, sides: &Sides, diff: &FunctionDiff) -> Vec<bool> {
    let mut same: Vec<bool> = diff.iter().map(|(_, fate)| fate.is_same()).collect();
    let pairs = same.iter().zip(&sides.functions).enumerate().filter(|(_, (same, _))| **same);
    let pairs: Vec<(usize, usize)> = pairs.filter_map(|(function, (_, partner))| Some((function, partner.one()?))).collect();
    // Answers can make one field another one only where its name is gone, which is no difference here.
    let changes = TypeChanges::new(&old.build.debug.types, &new.build.debug.types, &Rules::default(), &sides.paired_types());
    let (old, new) = (Described { coded: *old, side: &sides.old }, Described { coded: *new, side: &sides.new });
    for function in other_fields(&old, &new, &changes, &pairs) {
        if let Some(same) = same.get_mut(function) {
            *same = false;
        }
    }
    same
}

/// Variables that are numbers and pointers, or structures of such: without arrays, which indices lead into from elsewhere.
fn scalars(types: &TypeTable, objects: &Objects) -> Vec<Range<u64>> {
    let mut found: Vec<Range<u64>> = Vec::new();
    for object in objects.list() {
        let range = object.start.0..object.end().0;
        if object.place == Place::Writable
            && is_scalar(types, object.kind, 0)
            && found.last().is_none_or(|last| last.end <= range.start)
        {
            found.push(range);
        }
    }
    found
}

fn is_scalar(types: &TypeTable, kind: Option<TypeId>, depth: u32) -> bool {
    const DEEPEST: u32 = 8;
    match types.peel(kind).map(|kind| &types.get(kind).shape) {
        Some(Shape::Base { .. } | Shape::Pointer { .. } | Shape::Enum { .. }) => true,
        Some(Shape::Struct { members }) => {
            depth < DEEPEST && members.iter().all(|member| is_scalar(types, member.kind, depth + 1))
        }
        _ => false,
    }
}

/// Tables whose rows change and whose own address the old code keeps nowhere.
fn only_rows(image: &CodeImage<'_>, old: &Build, new: &Build, sides: &Sides) -> HashSet<usize> {
    let content = Content { old: &old.elf, new: &new.elf, sides };
    let changed = sides.old.objects.list().iter().enumerate().filter(|(index, object)| {
        let partner = sides.objects[*index].one().and_then(|partner| sides.new.objects.list().get(partner));
        let differs = |other: &Object| other.size != object.size || !content.same(object.start, other.start, object.size);
        partner.is_some_and(|other| table_at(&old.debug.types, object, 0).is_some() && differs(other))
    });
    changed.filter(|(_, object)| !image.keeps_address(object.start.0, &old.debug)).map(|(index, _)| index).collect()
}

fn partner(fate: &Fate) -> Partner {
    match fate {
        Fate::Paired { new, .. } => Partner::One(position(*new)),
        Fate::Ambiguous(candidates) => Partner::Many(candidates.iter().map(|id| position(*id)).collect()),
        Fate::Removed => Partner::Gone,
    }
}

/// What unchanged functions name, old and new.
fn references(old: &CodeImage<'_>, new: &CodeImage<'_>, sides: &Sides, same: &[bool]) -> HashMap<OldLink, Vec<NewLink>> {
    let comparer = Comparer::new(old, new, sides);
    let mut references: HashMap<OldLink, Vec<NewLink>> = HashMap::new();
    let id = |function: usize| Some(FunctionId(u32::try_from(function).ok()?));
    let pairs = sides.functions.iter().zip(same).enumerate().filter(|(_, (_, same))| **same);
    for (function, (partner, _)) in pairs {
        let Some((function, partner)) = id(function).zip(partner.one().and_then(id)) else { continue };
        for (from, to) in comparer.named_places(function, partner) {
            let known = references.entry(OldLink(from)).or_default();
            if !known.contains(&NewLink(to)) {
                known.push(NewLink(to));
            }
        }
    }
    references
}

impl ObjectPairing for Sides {
    fn same_object(&self, old: LinkAddress, new: LinkAddress) -> bool {
        same_start(&self.old.objects, &self.new.objects, &self.objects, old, new)
    }

    fn same_thread_local(&self, old: u64, new: u64) -> bool {
        same_start(&self.old.locals, &self.new.locals, &self.locals, LinkAddress(old), LinkAddress(new))
    }
}

impl Pairing for Sides {
    fn same_function(&self, old: LinkAddress, new: LinkAddress) -> bool {
        let partner = self.old.functions.at_entry(old).and_then(|index| self.functions.get(index)?.one());
        partner.is_some() && partner == self.new.functions.at_entry(new)
    }

    fn same_object(&self, old: LinkAddress, new: LinkAddress) -> bool {
        ObjectPairing::same_object(self, old, new)
    }

    fn same_thread_local(&self, old: u64, new: u64) -> bool {
        ObjectPairing::same_thread_local(self, old, new)
    }
}

fn same_start(old: &Objects, new: &Objects, partners: &[Partner], from: LinkAddress, to: LinkAddress) -> bool {
    let starting = |objects: &Objects, at| objects.covering(at).filter(|index| objects.list()[*index].start == at);
    let partner = starting(old, from).and_then(|index| partners.get(index)?.one());
    partner.is_some() && partner == starting(new, to)
}
