//! Where the parts of an old object are in the new one: what pointers into the middle of it follow.

use super::Recipe;
use crate::program::types::TypeId;

/// A part of an old object and its place in the new one; offsets as in [`super::Step`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Span {
    pub(crate) from: usize,
    pub(crate) length: usize,
    pub(crate) to: usize,
    /// Length in the new object.
    pub(crate) to_length: usize,
    /// The part's old type, canonical.
    pub(crate) kind: Option<TypeId>,
    /// For an array: its innermost element's old type, canonical.
    pub(crate) element: Option<TypeId>,
    /// Whether there are parts of other types within that `body` does not list.
    pub(crate) is_composed: bool,
    pub(crate) body: Body,
}

/// What a part is made of.
#[derive(Clone, Debug, Default)]
pub(crate) enum Body {
    /// Bytes that are carried as they are.
    Linear,
    /// Something that only has a start.
    #[default]
    Fixed,
    /// Fields, ascending by `from`.
    Fields(Vec<Span>),
    /// Elements, with what the first one is.
    Elements { count: usize, stride: usize, to_stride: usize, element: Box<Span> },
}

/// Where an offset of the old object is in the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// There.
    At(usize),
    /// The start of a structure and of its first field, which are apart in the new object; the pointer's type does not say which.
    Either {
        /// Where the structure is.
        object: usize,
        /// Where what was its first field is.
        field: usize,
    },
    /// The end of an array and the start of what followed it, which are apart in the new object.
    Boundary {
        /// The array's end.
        end: usize,
        /// What followed.
        next: usize,
    },
    /// Nowhere: the field is gone, is padding, or is not carried byte for byte.
    Gone,
}

pub(super) fn map(recipe: &Recipe, offset: usize, target: Option<TypeId>) -> Mapped {
    match &recipe.tail {
        Some(tail) if offset >= tail.from && tail.from_stride > 0 => {
            let index = (offset - tail.from) / tail.from_stride;
            let (from, to) = (tail.from + index * tail.from_stride, tail.to.saturating_add(index.saturating_mul(tail.to_stride)));
            Search { target, outer: None }.within(&tail.span, offset - from, to)
        }
        _ if offset >= recipe.old_size.max(1) => Mapped::Gone,
        _ => Search { target, outer: None }.within(&recipe.span, offset, 0),
    }
}

/// Where `length` bytes from `offset` on are in the new object, if they are carried there as they are. `to_base` is where in the new object
/// that is which `span` is in.
pub(super) fn carried(span: &Span, (offset, length): (usize, usize), to_base: usize) -> Option<usize> {
    let delta = offset.checked_sub(span.from)?;
    let start = to_base.checked_add(span.to)?;
    match &span.body {
        Body::Linear => (delta.checked_add(length)? <= span.length).then_some(start.checked_add(delta)?),
        Body::Fixed => None,
        Body::Fields(fields) => {
            let behind = fields.partition_point(|field| field.from <= offset);
            carried(fields.get(behind.checked_sub(1)?)?, (offset, length), to_base)
        }
        Body::Elements { count, stride, to_stride, element } => {
            let index = delta.checked_div(*stride).filter(|index| index < count)?;
            carried(element, (delta - index * stride, length), start.checked_add(index.checked_mul(*to_stride)?)?)
        }
    }
}

struct Search {
    target: Option<TypeId>,
    /// The outermost part that starts at the offset: its new place.
    outer: Option<usize>,
}

impl Search {
    /// `offset` counts from the start of the element or object that `span` is in, `to_base` is where that is in the new object.
    fn within(mut self, span: &Span, offset: usize, to_base: usize) -> Mapped {
        let Some(delta) = offset.checked_sub(span.from) else { return Mapped::Gone };
        let start = to_base.saturating_add(span.to);
        if delta == 0 {
            if self.target.is_some() && span.kind == self.target {
                return Mapped::At(start);
            }
            self.outer = self.outer.or(Some(start));
        }
        match &span.body {
            Body::Linear => self.found(start.saturating_add(delta)),
            Body::Fixed if delta == 0 => self.found(start),
            Body::Fixed => Mapped::Gone,
            Body::Fields(fields) => self.fields(fields, offset, to_base),
            Body::Elements { count, stride, to_stride, element } => {
                let index = delta.checked_div(*stride).filter(|index| index < count);
                let Some(index) = index else { return Mapped::Gone };
                self.within(element, delta - index * stride, start.saturating_add(index.saturating_mul(*to_stride)))
            }
        }
    }

    fn found(&self, field: usize) -> Mapped {
        match self.outer {
            Some(object) if object != field => Mapped::Either { object, field },
            _ => Mapped::At(field),
        }
    }

    fn fields(self, fields: &[Span], offset: usize, to_base: usize) -> Mapped {
        let behind = fields.partition_point(|field| field.from <= offset);
        let holding = fields.get(behind.wrapping_sub(1)).filter(|field| offset - field.from < field.length);
        let before = fields.iter().take(behind).rev().find(|field| field.length > 0 && field.from + field.length == offset);
        let (target, outer) = (self.target, self.outer);
        let end = before.filter(|field| field.element.is_some() && field.element == target);
        let next = holding.map(|field| Self { target, outer }.within(field, offset, to_base));
        let Some(field) = end else { return next.or(outer.map(Mapped::At)).unwrap_or(Mapped::Gone) };
        // Whether the end of an array that changed its length moves with it depends on what the pointer is for.
        let end = (field.to_length == new_end(field)).then(|| to_base.saturating_add(field.to + new_end(field)));
        match (end, next) {
            (Some(end), Some(Mapped::At(next)))
                if end != next && holding.is_some_and(|field| starts_as(field, offset, target)) =>
            {
                Mapped::Boundary { end, next }
            }
            (Some(end), _) => Mapped::At(end),
            (None, _) => Mapped::Gone,
        }
    }
}

/// Whether something of type `target` may start at `offset` in a part.
fn starts_as(span: &Span, offset: usize, target: Option<TypeId>) -> bool {
    let own = span.from == offset && span.kind == target;
    own || span.element == target
        || match &span.body {
            Body::Linear => span.is_composed,
            Body::Fixed => false,
            Body::Fields(fields) => fields.iter().any(|field| field.from <= offset && starts_as(field, offset, target)),
            Body::Elements { element, .. } => starts_as(element, 0, target),
        }
}

/// Length in the new object of as many elements as the old array has.
fn new_end(field: &Span) -> usize {
    match &field.body {
        Body::Elements { count, to_stride, .. } => count.saturating_mul(*to_stride),
        _ => field.length,
    }
}
