//! Pointers: carried as words, and listed so that they follow what they point to.

use std::collections::HashMap;

use super::job::{DEPTH_LIMIT, Job, Spot};
use super::numbers::number;
use super::values::resolve;
use crate::plan::data::partners::Partner;
use crate::plan::data::question::Unknown;
use crate::plan::data::recipe::{Choice, Mark, Number, Slot};
use crate::plan::data::rules::{Pointee, Root};
use crate::plan::data::targets;
use crate::program::types::{Shape, TypeId};

/// Size of a pointer in bytes on this machine.
const POINTER: usize = 8;

impl Job<'_, '_> {
    /// A pointer that both builds have.
    pub(super) fn pointer(&mut self, old: Spot, new: Spot) {
        if self.size(true, old.kind) != Some(POINTER) || self.size(false, new.kind) != Some(POINTER) {
            return self.retyped(old, new);
        }
        self.copy(old.offset, new.offset, POINTER);
        self.linear_span(old.kind, old.offset, new.offset, POINTER);
        let (old_target, new_target) = (target(self.compiler.old, old.kind), target(self.compiler.new, new.kind));
        let slot = Slot { old: Some(old.offset), new: new.offset, old_target, new_target };
        if self.by_rule(slot) {
            return;
        }
        let changes = self.compiler.changes;
        let partner = |id: TypeId| changes.partner(id);
        let sides = ((self.compiler.old, old.kind), (self.compiler.new, new.kind));
        if !self.is_told && !targets::agree(sides.0, sides.1, &partner, &mut self.compiler.comparison) {
            let (from, to) = (self.compiler.old.describe(old_target), self.compiler.new.describe(new_target));
            return self.ask(Unknown::Target, &from, &to);
        }
        if !self.is_code(old_target) {
            self.mark(Mark::Pointer(slot));
        }
    }

    fn is_code(&self, old_target: Option<TypeId>) -> bool {
        old_target.is_some_and(|target| matches!(self.compiler.old.get(target).shape, Shape::Function { .. }))
    }

    /// Whether a rule says what the pointer leads to; then it is listed, or asked about.
    fn by_rule(&mut self, slot: Slot) -> bool {
        let rules = self.compiler.rules;
        let rule = self.frames.old_places().find_map(|(place, frame)| Some((rules.pointees.get(&place)?, frame.clone())));
        let Some((rule, frame)) = rule else { return false };
        match rule {
            // Its own type says what is there; the rule says what that is a part of.
            Pointee::Within { .. } => return false,
            Pointee::Opaque => self.mark(Mark::Pointer(Slot { old_target: None, ..slot })),
            Pointee::Type(kind) => {
                if let Some(mark) = self.typed(slot, *kind) {
                    self.mark(mark);
                }
            }
            Pointee::ByTag { tag, choices } => {
                let spot = resolve(self.compiler.old, frame.old_kind, tag).map(|spot| spot.moved(frame.old_base));
                let tag = spot.and_then(|spot| number(self.compiler.old, spot));
                match tag.filter(|_| frame.level == self.frames.level()) {
                    Some(tag) => self.tagged(slot, tag, choices),
                    None => self.ask(Unknown::Rule, "its tag is no integer field beside it", ""),
                }
            }
        }
        true
    }

    fn tagged(&mut self, slot: Slot, tag: Number, choices: &HashMap<i128, Option<TypeId>>) {
        let mut cases = Vec::new();
        for (value, kind) in choices {
            let mark = match kind {
                Some(kind) => self.typed(slot, *kind),
                None => Some(Mark::Pointer(Slot { old_target: None, ..slot })),
            };
            cases.push((*value, mark.into_iter().collect()));
        }
        cases.sort_by_key(|(value, _)| *value);
        let field = self.field_number(None);
        self.mark(Mark::Choose(Choice { tag, cases, otherwise: None, field }));
    }

    /// A pointer to objects of `kind`, if the new build may take it for one to what those become.
    fn typed(&mut self, slot: Slot, kind: TypeId) -> Option<Mark> {
        let old_target = self.compiler.old.normal(Some(kind));
        let partner = old_target.map(|id| self.compiler.changes.partner(id));
        let becomes = match partner {
            Some(Partner::One(new)) => Some(*new),
            _ => None,
        };
        let agrees = slot.new_target.is_none()
            || slot.new_target == becomes
            || self.compiler.comparison.compare(old_target, slot.new_target).is_ok();
        if !agrees && !self.is_told {
            let (from, to) = (self.compiler.old.describe(old_target), self.compiler.new.describe(slot.new_target));
            self.ask(Unknown::Target, &from, &to);
            return None;
        }
        Some(Mark::Pointer(Slot { old_target, new_target: slot.new_target.or(becomes), ..slot }))
    }

    /// Lists the pointers within bytes that are carried as they are; the old type says where they are.
    pub(super) fn keep_pointers(&mut self, kind: Option<TypeId>, from: usize, to: usize) {
        let old_types = self.compiler.old;
        let Some(id) = old_types.normal(kind) else { return };
        if self.depth >= DEPTH_LIMIT {
            return self.ask(Unknown::Undescribed, "its types nest too deep", "");
        }
        if !self.spend() {
            return;
        }
        self.depth += 1;
        match &old_types.get(id).shape {
            Shape::Pointer { target } => {
                let old_target = old_types.normal(*target);
                let new_target = match old_target.map(|id| self.compiler.changes.partner(id)) {
                    Some(Partner::One(new)) => Some(*new),
                    _ => None,
                };
                let slot = Slot { old: Some(from), new: to, old_target, new_target };
                if !self.by_rule(slot) && !self.is_code(old_target) {
                    self.mark(Mark::Pointer(slot));
                }
            }
            Shape::Struct { members } => {
                self.frames.push((Some(Root::Type(id)), Some(id), from), (None, to));
                for (position, member) in (0u32..).zip(members) {
                    let end = member.offset.checked_add(old_types.size_of(member.kind).unwrap_or(0));
                    let is_inside = end.is_some_and(|end| Some(end) <= old_types.get(id).size);
                    let Some(offset) = usize::try_from(member.offset).ok().filter(|_| is_inside) else {
                        self.ask(Unknown::Undescribed, "a field lies outside its structure", "");
                        continue;
                    };
                    let depths = self.frames.enter(&[position], &[]);
                    self.keep_pointers(member.kind, from.saturating_add(offset), to.saturating_add(offset));
                    self.frames.leave(depths);
                }
                self.frames.pop();
            }
            Shape::Array { element, counts } => self.keep_elements((id, *element), counts, from, to),
            Shape::Union { .. } => self.keep_union(id, from, to),
            _ => {}
        }
        self.depth -= 1;
    }

    fn keep_elements(&mut self, (array, element): (TypeId, Option<TypeId>), counts: &[Option<u64>], from: usize, to: usize) {
        let count = counts.iter().try_fold(1u64, |all, count| all.checked_mul((*count)?));
        let stride = self.compiler.old.size_of(element);
        let (Some(count), Some(stride)) = (count, stride.filter(|stride| *stride > 0)) else { return };
        let size = self.compiler.old.size_of(Some(array));
        if count.checked_mul(stride).is_none_or(|bytes| Some(bytes) > size) {
            return self.ask(Unknown::Undescribed, "its size is not that of its elements", "");
        }
        let (Ok(count), Ok(stride)) = (usize::try_from(count), usize::try_from(stride)) else { return };
        self.frames.enter_array();
        let marks = self.apart(|job| job.keep_pointers(element, 0, 0)).marks;
        self.frames.leave_array();
        if !marks.is_empty() && count > 0 {
            self.mark(Mark::Repeat { count, from, from_stride: stride, to, to_stride: stride, marks });
        }
    }
}

/// What a pointer points to, behind typedefs; `None` for void and for what is no pointer.
fn target(table: &crate::program::types::TypeTable, kind: Option<TypeId>) -> Option<TypeId> {
    match &table.get(table.normal(kind)?).shape {
        Shape::Pointer { target } => table.normal(*target),
        _ => None,
    }
}
