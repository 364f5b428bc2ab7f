//! Arrays: as they are, grown, shrunk, of elements that change; flexible ones at an object's end.

use super::job::{DEPTH_LIMIT, Job, Output, Spot};
use super::numbers::number;
use super::values::resolve;
use crate::plan::data::question::Unknown;
use crate::plan::data::recipe::{Body, Count, Expression, Mark, Origin, Span, Step, Tail};
use crate::plan::data::rules::{FieldSource, Length};
use crate::program::types::{Shape, TypeId, TypeTable};

/// An array without its nesting: number of elements by dimension, innermost element.
#[derive(Clone, Debug)]
struct Flat {
    counts: Vec<Option<u64>>,
    element: Option<TypeId>,
}

impl Flat {
    fn new(table: &TypeTable, kind: TypeId) -> Self {
        let mut flat = Self { counts: Vec::new(), element: Some(kind) };
        for _ in 0..DEPTH_LIMIT {
            match table.normal(flat.element).map(|id| &table.get(id).shape) {
                Some(Shape::Array { element, counts }) => {
                    flat.counts.extend_from_slice(counts);
                    flat.element = *element;
                }
                _ => break,
            }
        }
        flat
    }

    /// The outermost dimension's length and what one of its elements is.
    fn outer(&self) -> Option<(u64, Self)> {
        let (first, rest) = self.counts.split_first()?;
        Some((first.unwrap_or(0), Self { counts: rest.to_vec(), element: self.element }))
    }

    fn is_flexible(&self) -> bool {
        matches!(self.counts.first(), Some(None | Some(0)))
    }

    fn size(&self, table: &TypeTable) -> Option<usize> {
        let element = table.size_of(self.element)?;
        let size = self.counts.iter().try_fold(element, |size, count| size.checked_mul((*count)?))?;
        usize::try_from(size).ok().filter(|size| *size < usize::MAX / 4)
    }
}

/// Both sides of an array: place, number of elements, size of one, what one is.
struct Rows {
    from: usize,
    to: usize,
    counts: (usize, usize),
    strides: (usize, usize),
    elements: (Flat, Flat),
}

impl Job<'_, '_> {
    /// An array that changes, or holds something that may.
    pub(super) fn arrays(&mut self, (a, old): (TypeId, Spot), (b, new): (TypeId, Spot)) {
        let flat = (Flat::new(self.compiler.old, a), Flat::new(self.compiler.new, b));
        if flat.0.counts.len() != flat.1.counts.len() || flat.0.is_flexible() != flat.1.is_flexible() {
            return self.retyped(old, new);
        }
        let is_flexible = flat.0.is_flexible();
        // Elements that take no bytes, or more than their array, are no compiler's.
        let fits = |flat: &Flat, table: &TypeTable, id| {
            let bytes = flat.size(table).filter(|bytes| *bytes > 0).map(|bytes| bytes as u64);
            bytes.is_some() && bytes == table.size_of(Some(id))
        };
        let is_sound = is_flexible || fits(&flat.0, self.compiler.old, a) && fits(&flat.1, self.compiler.new, b);
        if !is_sound {
            return self.ask(Unknown::Undescribed, "its size is not that of its elements", "");
        }
        let Some(rows) = self.rows_of(&flat, old.offset, new.offset) else { return };
        if is_flexible { self.flexible(rows) } else { self.rows(Some(a), rows, new) }
    }

    fn rows_of(&mut self, flat: &(Flat, Flat), from: usize, to: usize) -> Option<Rows> {
        let sides = (flat.0.outer().zip(flat.1.outer())).and_then(|((n, old), (m, new))| {
            let strides = (old.size(self.compiler.old)?, new.size(self.compiler.new)?);
            let counts = (usize::try_from(n).ok()?, usize::try_from(m).ok()?);
            Some((counts, strides, (old, new)))
        });
        let Some((counts, strides, elements)) = sides else {
            self.ask(Unknown::Undescribed, "the size of its elements is not known", "");
            return None;
        };
        Some(Rows { from, to, counts, strides, elements })
    }

    fn rows(&mut self, kind: Option<TypeId>, rows: Rows, new: Spot) {
        let common = rows.counts.0.min(rows.counts.1);
        let body = self.element(&rows);
        self.repeat(&rows, common, &body);
        let (stride, to_stride) = rows.strides;
        let length = rows.counts.0.saturating_mul(stride);
        let to_length = rows.counts.1.saturating_mul(to_stride);
        let is_linear = is_copy(&body.steps, stride) && stride == to_stride && body.spans.iter().all(is_linear);
        let element = self.innermost(kind).or_else(|| self.compiler.old.normal(rows.elements.0.element));
        let inner = || Span { length: stride, to_length: to_stride, body: Body::Fields(body.spans.clone()), ..Span::default() };
        let shape = match is_linear {
            true => Body::Linear,
            false => {
                let first = if let [one] = body.spans.as_slice() { one.clone() } else { inner() };
                Body::Elements { count: common, stride, to_stride, element: Box::new(first) }
            }
        };
        let is_composed = is_linear && body.spans.iter().any(|span| span.is_composed);
        let (from, to) = (rows.from, rows.to);
        // What a shrunk array lost is nowhere.
        let length = if is_linear { length.min(to_length) } else { length };
        self.span(Span { from, length, to, to_length, kind, element, is_composed, body: shape });
        if rows.counts.0 > common && !self.may_lose() {
            let field = self.field_number(new.kind);
            let lost = (rows.counts.0 - common).saturating_mul(stride);
            self.step(Step::Zeros { from: from + common * stride, length: lost, field });
        }
        if rows.counts.1 > common {
            self.new_elements(&rows, common, new);
        }
    }

    /// What becomes of one element.
    fn element(&mut self, rows: &Rows) -> Output {
        let (old, new) = &rows.elements;
        self.frames.enter_array();
        let around = self.array;
        self.array.get_or_insert((rows.to, rows.counts.1, rows.strides.1));
        let body = self.apart(|job| {
            if old.counts.is_empty() {
                return job.value(Spot::new(old.element, 0), Spot::new(new.element, 0));
            }
            if job.depth >= DEPTH_LIMIT {
                return job.ask(Unknown::Undescribed, "its types nest too deep", "");
            }
            job.depth += 1;
            if let Some(inner) = job.rows_of(&(old.clone(), new.clone()), 0, 0) {
                let whole = Spot::new(new.element, 0);
                job.rows(None, inner, whole);
            }
            job.depth -= 1;
        });
        self.frames.leave_array();
        self.array = around;
        body
    }

    fn repeat(&mut self, rows: &Rows, count: usize, body: &Output) {
        let Rows { from, to, strides: (from_stride, to_stride), .. } = *rows;
        if is_copy(&body.steps, from_stride) && from_stride == to_stride {
            self.copy(from, to, count.saturating_mul(from_stride));
        } else if !body.steps.is_empty() && count > 0 {
            self.step(Step::Repeat { count, from, from_stride, to, to_stride, steps: body.steps.clone() });
        }
        if !body.marks.is_empty() && count > 0 {
            self.mark(Mark::Repeat { count, from, from_stride, to, to_stride, marks: body.marks.clone() });
        }
    }

    /// Elements that only the new array has.
    fn new_elements(&mut self, rows: &Rows, common: usize, new: Spot) {
        let (count, stride) = (rows.counts.1 - common, rows.strides.1);
        let to = rows.to + common.saturating_mul(stride);
        let length = count.saturating_mul(stride);
        let rules = self.compiler.rules;
        let rule = self.frames.new_places().find_map(|(place, frame)| Some((rules.new_elements.get(&place)?, frame.clone())));
        let element = Spot::new(if rows.elements.1.counts.is_empty() { rows.elements.1.element } else { new.kind }, 0);
        if let Some((rule, frame)) = rule {
            let is_near = frame.level == self.frames.level();
            let body = match &rule.source {
                FieldSource::Constant(value) => self.apart(|job| job.constant(value, &rule.origin, element)),
                FieldSource::Expression(value) if is_near => {
                    self.apart(|job| job.computed(value, &rule.origin, (frame.old_kind, frame.old_base), element))
                }
                _ => return self.ask(Unknown::Rule, "new elements take a constant, or an expression over the object around", ""),
            };
            if !body.steps.is_empty() {
                self.step(Step::Repeat { count, from: 0, from_stride: 0, to, to_stride: stride, steps: body.steps });
            }
            if !body.marks.is_empty() {
                self.mark(Mark::Repeat { count, from: 0, from_stride: 0, to, to_stride: stride, marks: body.marks });
            }
            return;
        }
        if self.is_variable {
            let field = self.field_number(new.kind);
            self.origins.push((self.name(), Origin::Initial));
            self.initial_part(Spot::new(new.kind, to), length);
            return self.step(Step::Initial { to, length, field });
        }
        if self.is_zero(Spot::new(new.kind, to), length) {
            self.origins.push((self.name(), Origin::Zero));
            return;
        }
        let shown = |count: usize| format!("{count} elements");
        self.ask(Unknown::NewElements, &shown(rows.counts.0), &shown(rows.counts.1));
    }

    /// An array without a length at the object's end.
    fn flexible(&mut self, rows: Rows) {
        if self.frames.level() > 0 || self.tail.is_some() || rows.strides.0 == 0 || rows.strides.1 == 0 {
            return self.ask(Unknown::Undescribed, "a flexible array that is not an object's end", "");
        }
        let body = self.element(&rows);
        let count = match self.length() {
            Ok(count) => count,
            Err(reason) => return self.ask(Unknown::Rule, reason, ""),
        };
        let element = self.compiler.old.normal(rows.elements.0.element);
        let field = self.field_number(rows.elements.1.element);
        let span = match <[Span; 1]>::try_from(body.spans) {
            Ok([span]) => span,
            Err(spans) => Span {
                length: rows.strides.0,
                to_length: rows.strides.1,
                kind: element,
                body: Body::Fields(spans),
                ..Span::default()
            },
        };
        let tail = Tail {
            from: rows.from,
            from_stride: rows.strides.0,
            to: rows.to,
            to_stride: rows.strides.1,
            steps: body.steps,
            marks: body.marks,
            span,
            count,
            field,
        };
        if tail.count.is_none() && !tail.is_plain() {
            self.ask(Unknown::Length, "", "");
        }
        self.tail = Some(tail);
    }

    /// The rule for the number of elements of the current field.
    fn length(&mut self) -> Result<Option<Count>, &'static str> {
        let rules = self.compiler.rules;
        let rule = self.frames.old_places().find_map(|(place, frame)| Some((rules.lengths.get(&place)?, frame.clone())));
        let Some((rule, frame)) = rule else { return Ok(None) };
        match rule {
            Length::Fixed(count) => Ok(Some(Count::Fixed(*count))),
            Length::Field(path) => {
                let spot = resolve(self.compiler.old, frame.old_kind, path).map(|spot| spot.moved(frame.old_base));
                let found = spot.and_then(|spot| number(self.compiler.old, spot));
                found.map(|number| Some(Count::Number(number))).ok_or("the length is no integer field")
            }
            Length::Expression(value) => Ok(Some(Count::Expression(Expression {
                value: value.clone(),
                kind: frame.old_kind,
                from: frame.old_base,
                size: None,
                origin: value.describe().into(),
            }))),
        }
    }
}

fn is_copy(steps: &[Step], stride: usize) -> bool {
    matches!(steps, [Step::Copy { from: 0, to: 0, length }] if *length == stride)
}

fn is_linear(span: &Span) -> bool {
    matches!(span.body, Body::Linear)
}
