//! Unions: carried whole where every member keeps its bytes, else by the member that a tag names.

use super::frames::Frame;
use super::job::{Job, Spot};
use super::numbers::number;
use super::values::resolve;
use crate::plan::data::question::Unknown;
use crate::plan::data::recipe::{Body, Choice, Mark, Number, Span, Step};
use crate::plan::data::rules::{Root, UnionChoice, UnionRule};
use crate::program::types::{Member, Shape, TypeId};

impl<'t> Job<'_, 't> {
    /// A union that changes.
    pub(super) fn unions(&mut self, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) {
        let (Some(length), Some(to_length)) = (self.size(true, Some(a)), self.size(false, Some(b))) else { return };
        let span =
            Span { from: old.offset, length, to: new.offset, to_length, kind: Some(a), is_composed: true, ..Span::default() };
        if let Some((rule, frame)) = self.union_rule() {
            let names = self.enter_named(b);
            self.by_tag(rule, &frame, (a, old), (b, new));
            self.leave_named(names);
            return self.span(Span { body: Body::Fixed, ..span });
        }
        if !self.keeps_members(a, b) {
            let shown = self.compiler.new.describe(Some(b));
            return self.ask(Unknown::UnionMember, &shown, &shown);
        }
        // A member that only the new union has is in use in no old object.
        self.copy(old.offset, new.offset, length);
        self.span(Span { body: Body::Linear, ..span });
    }

    /// Whether every old member means the same in the new union.
    fn keeps_members(&mut self, a: TypeId, b: TypeId) -> bool {
        let (Some(old), Some(new)) = (self.members(true, a), self.members(false, b)) else { return false };
        let is_changed = |job: &mut Self, (member, other): (&Member, &Member)| {
            (member.offset, member.bits) != (other.offset, other.bits)
                || job.compiler.changes.changed(member.kind)
                || job.compiler.comparison.compare_own(member.kind, other.kind).is_err()
        };
        let sizes = (self.compiler.old.size_of(Some(a)), self.compiler.new.size_of(Some(b)));
        sizes.0 <= sizes.1
            && old.iter().all(|member| {
                let other = new.iter().find(|other| other.name == member.name && !member.name.is_empty());
                other.is_some_and(|other| !is_changed(self, (member, other)))
            })
    }

    fn members(&self, is_old: bool, id: TypeId) -> Option<&'t [Member]> {
        let table = if is_old { self.compiler.old } else { self.compiler.new };
        match &table.get(id).shape {
            Shape::Union { members } => Some(members),
            _ => None,
        }
    }

    /// The rule for the union that is the current field.
    fn union_rule(&self) -> Option<(&'t UnionRule, Frame)> {
        let rules = self.compiler.rules;
        self.frames.old_places().find_map(|(place, frame)| Some((rules.unions.get(&place)?, frame.clone())))
    }

    fn tag(&mut self, rule: &UnionRule, frame: &Frame) -> Option<Number> {
        let spot = resolve(self.compiler.old, frame.old_kind, &rule.tag).map(|spot| spot.moved(frame.old_base));
        let tag = spot.and_then(|spot| number(self.compiler.old, spot)).filter(|_| frame.level == self.frames.level());
        if tag.is_none() {
            self.ask(Unknown::Rule, "its tag is no integer field beside it", "");
        }
        tag
    }

    fn by_tag(&mut self, rule: &UnionRule, frame: &Frame, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) {
        let Some(tag) = self.tag(rule, frame) else { return };
        let field = self.field_number(new.kind);
        let mut choices: Vec<(i128, UnionChoice)> = rule.choices.iter().map(|(value, choice)| (*value, *choice)).collect();
        choices.sort_by_key(|(value, _)| *value);
        let (mut steps, mut marks) = (Vec::new(), Vec::new());
        for (value, choice) in choices {
            let out = self.apart(|job| job.member(choice, (a, old), (b, new)));
            steps.push((value, out.steps));
            marks.push((value, out.marks));
        }
        let otherwise = rule.otherwise.map(|choice| self.apart(|job| job.member(choice, (a, old), (b, new))));
        let (otherwise, marked) = match otherwise {
            Some(out) => (Some(out.steps), Some(out.marks)),
            None => (None, None),
        };
        self.step(Step::Choose(Choice { tag, cases: steps, otherwise, field }));
        self.mark(Mark::Choose(Choice { tag, cases: marks, otherwise: marked, field }));
    }

    /// One member of the old union into its counterpart.
    fn member(&mut self, choice: UnionChoice, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) {
        let (Some(members), Some(others)) = (self.members(true, a), self.members(false, b)) else { return };
        let Some(position) = choice.old else {
            let sizes = (self.size(true, Some(a)), self.size(false, Some(b)));
            return if let (Some(from), Some(to)) = sizes {
                self.copy(old.offset, new.offset, from.min(to))
            };
        };
        let by_name = || {
            let name = &members.get(position as usize)?.name;
            others.iter().position(|other| other.name == *name).and_then(|at| u32::try_from(at).ok())
        };
        let Some(other) = choice.new.or_else(by_name) else {
            return self.ask(Unknown::Rule, "the new union has no member for this one", "");
        };
        let from = resolve(self.compiler.old, Some(a), &[position]);
        let to = resolve(self.compiler.new, Some(b), &[other]);
        let (Some(from), Some(to)) = (from, to) else {
            return self.ask(Unknown::Rule, "the union has no such member", "");
        };
        self.frames.push((Some(Root::Type(a)), Some(a), old.offset), (Some(Root::Type(b)), new.offset));
        let depths = self.frames.enter(&[position], &[other]);
        self.names.push(others.get(other as usize).map(|member| member.name.clone()).unwrap_or_default());
        self.field(Some(from.moved(old.offset)), to.moved(new.offset));
        self.names.pop();
        self.frames.leave(depths);
        self.frames.pop();
    }

    /// The pointers of a union that is carried as it is, where a rule names the member; else nothing is known of them.
    pub(super) fn keep_union(&mut self, a: TypeId, from: usize, to: usize) {
        let (Some((rule, frame)), Some(members)) = (self.union_rule(), self.members(true, a)) else { return };
        let Some(tag) = self.tag(rule, &frame) else { return };
        let field = self.field_number(None);
        let mut of = |choice: UnionChoice| {
            let member = choice.old.and_then(|position| Some((position, members.get(position as usize)?)));
            let Some((position, member)) = member else { return Vec::new() };
            let Ok(offset) = usize::try_from(member.offset) else { return Vec::new() };
            self.frames.push((Some(Root::Type(a)), Some(a), from), (None, to));
            let depths = self.frames.enter(&[position], &[]);
            let marks = self.apart(|job| job.keep_pointers(member.kind, from + offset, to + offset)).marks;
            self.frames.leave(depths);
            self.frames.pop();
            marks
        };
        let mut cases: Vec<(i128, Vec<Mark>)> = rule.choices.iter().map(|(value, choice)| (*value, of(*choice))).collect();
        cases.sort_by_key(|(value, _)| *value);
        let otherwise = rule.otherwise.map(of);
        self.mark(Mark::Choose(Choice { tag, cases, otherwise, field }));
    }
}
