//! From the old object to a place in it or behind its pointers.

use std::borrow::Cow;

use dsu_formats::address::RunAddress;
use dsu_formats::spec::place::Span;

use super::Code;
use super::evaluate::{Evaluated, Fault, whole};
use crate::plan::data::value::ObjectView;
use crate::program::types::TypeId;

/// The way to a place.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Steps, in order.
    steps: Vec<Step>,
    /// Bytes from where the last step ends.
    offset: u64,
}

/// A step that is not a fixed number of bytes.
#[derive(Clone, Debug)]
enum Step {
    /// To an element of an array that begins `offset` bytes on.
    Element { offset: u64, index: Box<Code>, size: u64, count: Option<u64> },
    /// To what the pointer `offset` bytes on points to, or to an element there.
    Follow { offset: u64, kind: Option<TypeId>, size: u64, index: Option<Box<Code>>, span: Span },
}

impl Access {
    /// The place `bytes` further on.
    pub fn skip(mut self, bytes: u64) -> Option<Self> {
        self.offset = self.offset.checked_add(bytes)?;
        Some(self)
    }

    /// An element of the array at this place; `count` elements where that is known.
    pub(super) fn element(mut self, index: Code, size: u64, count: Option<u64>) -> Self {
        let offset = std::mem::take(&mut self.offset);
        self.steps.push(Step::Element { offset, index: Box::new(index), size, count });
        self
    }

    /// What the pointer at this place points to, `size` bytes of type `kind`; with an index, an element there.
    pub(super) fn follow(mut self, kind: Option<TypeId>, size: u64, index: Option<Code>, span: Span) -> Self {
        let offset = std::mem::take(&mut self.offset);
        self.steps.push(Step::Follow { offset, kind, size, index: index.map(Box::new), span });
        self
    }

    /// Gives `use_bytes` the object that holds the place, and where the place begins in its bytes.
    pub(super) fn with<R>(
        &self,
        old: Option<&ObjectView<'_>>,
        use_bytes: impl FnOnce(&ObjectView<'_>, usize) -> Evaluated<R>,
    ) -> Evaluated<R> {
        let old = old.ok_or(Fault::NoObject)?;
        if self.steps.is_empty() {
            return use_bytes(old, usize::try_from(self.offset).map_err(|_| Fault::Outside)?);
        }
        let mut view = Cow::Borrowed(old);
        let mut at = 0u64;
        for step in &self.steps {
            match step {
                Step::Element { offset, index, size, count } => {
                    let index = element(index, *count, old)?;
                    let distance = index.checked_mul(*size).and_then(|distance| distance.checked_add(*offset));
                    at = distance.and_then(|distance| at.checked_add(distance)).ok_or(Fault::Outside)?;
                }
                Step::Follow { offset, kind, size, index, span } => {
                    let place = at.checked_add(*offset).and_then(|at| usize::try_from(at).ok()).ok_or(Fault::Outside)?;
                    let target = target(&view, place, *size, index.as_deref(), (old, *span))?;
                    view = Cow::Owned(view.object(*kind, target).map_err(|error| Fault::Value(*span, Box::new(error)))?);
                    at = 0;
                }
            }
        }
        let at = at.checked_add(self.offset).and_then(|at| usize::try_from(at).ok()).ok_or(Fault::Outside)?;
        use_bytes(&view, at)
    }

    /// The word at this place.
    pub(super) fn word(&self, old: Option<&ObjectView<'_>>) -> Evaluated<u64> {
        self.with(old, word_at)
    }
}

fn word_at(view: &ObjectView<'_>, at: usize) -> Evaluated<u64> {
    let bytes = at.checked_add(8).and_then(|end| view.bytes().get(at..end)).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or(Fault::Outside)
}

fn element(index: &Code, count: Option<u64>, old: &ObjectView<'_>) -> Evaluated<u64> {
    let value = whole(index, Some(old))?;
    match u64::try_from(value) {
        Ok(value) if count.is_none_or(|count| value < count) => Ok(value),
        _ => {
            let limit = count.map_or("an element that is not before the array".to_owned(), |count| {
                format!("0 to {}", count.saturating_sub(1))
            });
            Err(Fault::Failed(index.span, format!("element {value} is out of range: expected {limit}")))
        }
    }
}

fn target(
    view: &ObjectView<'_>,
    place: usize,
    size: u64,
    index: Option<&Code>,
    (old, span): (&ObjectView<'_>, Span),
) -> Evaluated<RunAddress> {
    let address = word_at(view, place)?;
    if address == 0 {
        return Err(Fault::Failed(span, "the pointer is null".to_owned()));
    }
    let Some(index) = index else { return Ok(RunAddress(address)) };
    let distance = whole(index, Some(old))?.checked_mul(size.into());
    let found = distance.and_then(|distance| distance.checked_add(address.into())).and_then(|at| u64::try_from(at).ok());
    found.map(RunAddress).ok_or_else(|| Fault::Failed(index.span, "the element is outside the address space".to_owned()))
}
