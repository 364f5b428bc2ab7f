//! One value: where a new field takes it from, and which kind of types it is between.

use std::sync::Arc;

use super::job::{DEPTH_LIMIT, Job, Spot};
use super::numbers::number;
use crate::plan::data::question::Unknown;
use crate::plan::data::recipe::{Body, Expression, Mark, Origin, Part, Slot, Span, Step, Store, Stored, describe, store};
use crate::plan::data::rules::{FieldRule, FieldSource, FieldValue, Place, Root};
use crate::plan::data::value::Value;
use crate::program::types::{Shape, TypeId, TypeTable};

impl<'t> Job<'_, 't> {
    /// A field of the new type: as a rule says, as the old field `old` goes over, or as a new one.
    pub(super) fn field(&mut self, old: Option<Spot>, new: Spot) {
        let rules = self.compiler.rules;
        let rule = self.frames.new_places().find_map(|(place, frame)| Some((rules.fields.get(&place)?, frame.clone())));
        match (rule, old) {
            (Some((rule, frame)), _) => self.ruled(rule, &frame, new),
            (None, Some(old)) => self.value(old, new),
            (None, None) => self.fresh(new),
        }
    }

    fn ruled(&mut self, rule: &'t FieldRule, frame: &super::frames::Frame, new: Spot) {
        let is_near = frame.level == self.frames.level();
        match &rule.source {
            FieldSource::Constant(value) => self.constant(value, &rule.origin, new),
            _ if !is_near => self.ask(Unknown::Rule, "it reads the object around an array, but stands for each element", ""),
            FieldSource::Old(path) => match resolve(self.compiler.old, frame.old_kind, path) {
                Some(at) => {
                    let old = at.moved(frame.old_base);
                    let (frames, is_told) = (self.frames.clone(), std::mem::replace(&mut self.is_told, true));
                    self.frames.redirect(frame.new_root, path);
                    self.origins.push((self.name(), Origin::Rule(rule.origin.clone())));
                    self.value(old, new);
                    (self.frames, self.is_told) = (frames, is_told);
                }
                None => self.ask(Unknown::Rule, "the old type has no field at this path, or only within an array", ""),
            },
            FieldSource::Expression(value) => {
                let (kind, from) = (frame.old_kind, frame.old_base);
                self.computed(value, &rule.origin, (kind, from), new);
            }
        }
    }

    /// The same value in every object.
    pub(super) fn constant(&mut self, value: &Value, origin: &Arc<str>, new: Spot) {
        let Some(to) = self.store_at(new) else { return };
        match (value, to, store(value, &to, 0)) {
            (Value::New(link), Store::Pointer(to), _) => self.step(Step::New { to, link: *link }),
            (_, _, Some(Stored::Zero)) => {}
            (_, _, Some(Stored::Bits(to, bits))) => self.step(Step::Bits { to, bits }),
            (_, _, Some(Stored::Bytes(to, bytes))) => {
                if matches!(value, Value::Address(_)) {
                    self.made_pointer(new);
                }
                self.step(Step::Fill { to, bytes: bytes.into() });
            }
            (_, _, None) => {
                let shown = self.compiler.new.describe(new.kind);
                self.ask(Unknown::Rule, &format!("the value {} does not fit {shown}", describe(value)), "");
            }
        }
        self.origins.push((self.name(), Origin::Rule(origin.clone())));
    }

    /// A value computed from the old object of type `kind` at `from`.
    pub(super) fn computed(
        &mut self,
        value: &Arc<dyn FieldValue>,
        origin: &Arc<str>,
        (kind, from): (Option<TypeId>, usize),
        new: Spot,
    ) {
        let Some(to) = self.store_at(new) else { return };
        let is_whole = from == 0 && self.frames.level() == 0 && self.compiler.old.normal(kind) == self.old_root();
        // The object itself reaches to the end of its block; parts of it have their size.
        let size = if is_whole { None } else { self.size(true, kind) };
        let expression = Expression { value: value.clone(), kind, from, size, origin: origin.clone() };
        let field = self.field_number(new.kind);
        self.made_pointer(new);
        self.step(Step::Compute { expression, to, field });
        self.origins.push((self.name(), Origin::Rule(origin.clone())));
    }

    /// A pointer that a rule makes follows what it points to, as others do.
    fn made_pointer(&mut self, new: Spot) {
        if let Some(Shape::Pointer { target }) = self.compiler.new.peel(new.kind).map(|kind| &self.compiler.new.get(kind).shape) {
            let new_target = self.compiler.new.normal(*target);
            // An address of the old process leads to what becomes the new target.
            let old_target = new_target.and_then(|target| self.compiler.changes.origin(target));
            self.mark(Mark::Pointer(Slot { old: None, new: new.offset, old_target, new_target }));
        }
    }

    /// Where a value of the new field's type goes.
    pub(super) fn store_at(&mut self, new: Spot) -> Option<Store> {
        let cut = self.may_lose();
        if let Some(to) = number(self.compiler.new, new) {
            return Some(Store::Number { to, cut });
        }
        if let Some(Shape::Pointer { .. }) = self.compiler.new.peel(new.kind).map(|kind| &self.compiler.new.get(kind).shape) {
            return Some(Store::Pointer(new.offset));
        }
        Some(Store::Bytes(new.offset, self.size(false, new.kind)?))
    }

    pub(super) fn may_lose(&self) -> bool {
        let rules = self.compiler.rules;
        self.frames.new_places().any(|(place, _)| rules.may_lose.contains(&place))
    }

    /// A field that the old build does not have (PROOF 2.3).
    pub(super) fn fresh(&mut self, new: Spot) {
        let Some(length) = self.size(false, new.kind).filter(|length| *length > 0) else { return };
        let is_structure =
            self.compiler.new.normal(new.kind).is_some_and(|kind| self.compiler.new.get(kind).shape.members().is_some());
        if is_structure && self.has_rule_below() {
            return self.fresh_fields(new);
        }
        if self.is_variable {
            let field = self.field_number(new.kind);
            self.origins.push((self.name(), Origin::Initial));
            self.initial_part(new, length);
            return match number(self.compiler.new, new).filter(|_| new.bits.is_some()) {
                Some(to) => self.step(Step::InitialBits { to, field }),
                None => self.step(Step::Initial { to: new.offset, length, field }),
            };
        }
        if self.is_zero(new, length) {
            self.origins.push((self.name(), Origin::Zero));
            return;
        }
        let shown = self.compiler.new.describe(new.kind);
        let likely = self.likely.clone();
        self.ask_likely(Unknown::NewField, "", &shown, likely);
    }

    /// Whether the new program's code clears these bytes in every object that it makes of the recipe's type.
    pub(super) fn is_zero(&self, new: Spot, length: usize) -> bool {
        let level = self.frames.level();
        let (start, end) = match new.bits {
            Some((start, width)) => (start / 8, (start + width as usize).div_ceil(8)),
            None => (new.offset, new.offset + length),
        };
        // Only the outermost type is what the program allocates; what lies in it is cleared with it or not at all.
        let Some((Place { root: Root::Type(kind), .. }, frame)) = self.frames.new_places().next() else { return false };
        if frame.level == level {
            let offset = start.checked_sub(frame.new_base);
            return offset.is_some_and(|offset| self.compiler.fresh.is_zero(kind, offset as u64, (end - start) as u64));
        }
        // Which element it is does not matter where all is cleared.
        let size = self.compiler.new.size_of(Some(kind));
        size.is_some_and(|size| self.compiler.fresh.is_zero(kind, 0, size))
    }

    /// Whether a rule stands for a part of the current field by a path from further out.
    pub(super) fn has_rule_below(&self) -> bool {
        let rules = self.compiler.rules;
        let is_below = |place: &Place, of: &Place| {
            place.root == of.root && place.path.len() > of.path.len() && place.path.starts_with(&of.path)
        };
        self.frames.new_places().any(|(place, _)| {
            let mut places = rules.fields.keys().chain(rules.new_elements.keys()).chain(&rules.may_lose);
            places.any(|rule| is_below(rule, &place))
        })
    }

    /// What an old value becomes as one of the new type.
    pub(super) fn value(&mut self, old: Spot, new: Spot) {
        // A spent budget is asked about once, at the end.
        if !self.spend() {
            return;
        }
        if self.depth >= DEPTH_LIMIT {
            return self.ask(Unknown::Undescribed, "its types nest too deep", "");
        }
        self.depth += 1;
        self.value_between(old, new);
        self.depth -= 1;
    }

    fn value_between(&mut self, old: Spot, new: Spot) {
        let (old_types, new_types) = (self.compiler.old, self.compiler.new);
        let (Some(a), Some(b)) = (old_types.normal(old.kind), new_types.normal(new.kind)) else {
            return self.ask(Unknown::Undescribed, "a value of type void", "");
        };
        let rules = self.compiler.rules;
        if let Some(&plugin) = rules.plugins.get(&a) {
            return self.delegated(plugin, (a, old), (b, new));
        }
        if rules.opaque.contains(&a) {
            return self.opaque((a, old), (b, new));
        }
        if self.is_plain((a, old), (b, new)) {
            return self.plain(a, old, new);
        }
        match (&old_types.get(a).shape, &new_types.get(b).shape) {
            (Shape::Struct { .. }, Shape::Struct { .. }) => self.untold(|job| job.structs((a, old), (b, new))),
            (Shape::Union { .. }, Shape::Union { .. }) => self.untold(|job| job.unions((a, old), (b, new))),
            (Shape::Array { .. }, Shape::Array { .. }) => self.arrays((a, old), (b, new)),
            (Shape::Pointer { .. }, Shape::Pointer { .. }) => self.pointer(old, new),
            (Shape::Base { .. } | Shape::Enum { .. }, Shape::Base { .. } | Shape::Enum { .. }) => self.number((a, old), (b, new)),
            (Shape::Incomplete { .. } | Shape::Other { .. }, _) | (_, Shape::Incomplete { .. } | Shape::Other { .. }) => {
                self.ask(Unknown::Undescribed, "debug information does not describe its type", "");
            }
            _ => self.retyped(old, new),
        }
    }

    /// A rule that speaks of a structure says nothing of how its fields change.
    fn untold(&mut self, within: impl FnOnce(&mut Self)) {
        let is_told = std::mem::replace(&mut self.is_told, false);
        within(self);
        self.is_told = is_told;
    }

    /// A value of another kind of type: carried as it is where a rule says that it is the same and the sizes are equal.
    pub(super) fn retyped(&mut self, old: Spot, new: Spot) {
        let sizes = (self.compiler.old.size_of(old.kind), self.compiler.new.size_of(new.kind));
        if let (true, (Some(size), Some(other)), None, None) = (self.is_told, sizes, old.bits, new.bits)
            && let (true, Ok(size)) = (size == other, usize::try_from(size))
        {
            self.copy(old.offset, new.offset, size);
            return self.linear_span(old.kind, old.offset, new.offset, size);
        }
        let (from, to) = (self.compiler.old.describe(old.kind), self.compiler.new.describe(new.kind));
        self.ask(Unknown::Retyped, &from, &to);
    }

    /// Whether the old bytes mean the same in the new build, with all that they hold.
    fn is_plain(&mut self, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) -> bool {
        let is_one = matches!(
            self.compiler.old.get(a).shape,
            Shape::Struct { .. } | Shape::Union { .. } | Shape::Base { .. } | Shape::Enum { .. }
        );
        is_one
            && old.bits.is_none()
            && new.bits.is_none()
            && !self.compiler.changes.changed(Some(a))
            && self.compiler.comparison.compare_own(Some(a), Some(b)).is_ok()
            && !self.has_rule_below()
    }

    fn plain(&mut self, a: TypeId, old: Spot, new: Spot) {
        let Some(size) = self.size(true, Some(a)) else { return };
        self.copy(old.offset, new.offset, size);
        self.linear_span(Some(a), old.offset, new.offset, size);
        self.keep_pointers(Some(a), old.offset, new.offset);
    }

    fn opaque(&mut self, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) {
        if let (Some(from), Some(to)) = (self.size(true, Some(a)), self.size(false, Some(b))) {
            let length = from.min(to);
            self.copy(old.offset, new.offset, length);
            self.linear_span(Some(a), old.offset, new.offset, length);
        }
    }

    fn delegated(&mut self, plugin: crate::plan::data::rules::PluginId, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) {
        if let (Some(length), Some(to_length)) = (self.size(true, Some(a)), self.size(false, Some(b))) {
            self.mark(Mark::Plugin(Part { plugin, kind: a, old: (old.offset, length), new: (new.offset, to_length) }));
            let (from, to, kind) = (old.offset, new.offset, Some(a));
            self.span(Span { from, length, to, to_length, kind, body: Body::Fixed, ..Span::default() });
        }
    }
}

/// The member at a path, from the start of its structure; `None` where there is none, or only within an array.
pub(super) fn resolve(table: &TypeTable, kind: Option<TypeId>, path: &[u32]) -> Option<Spot> {
    let mut at = Spot::new(kind, 0);
    for &position in path {
        let members = table.normal(at.kind).and_then(|id| table.get(id).shape.members())?;
        let member = members.get(position as usize)?;
        let base = at.offset;
        let offset = base.checked_add(usize::try_from(member.offset).ok()?)?;
        let bits = match member.bits {
            Some((start, width)) => {
                let start = usize::try_from(start).ok()?.checked_add(base.checked_mul(8)?)?;
                Some((start, u32::try_from(width).ok()?))
            }
            None => None,
        };
        at = Spot { kind: member.kind, offset, bits };
    }
    Some(at)
}

impl Spot {
    /// The same, counted from `base` further out.
    pub(super) fn moved(self, base: usize) -> Self {
        let bits = self.bits.map(|(start, width)| (start.saturating_add(base.saturating_mul(8)), width));
        Self { offset: self.offset.saturating_add(base), bits, ..self }
    }
}
