//! The steps of a recipe.

use std::fmt;
use std::sync::Arc;

use super::{EnumMap, Mark, Number, Span};
use crate::plan::address::NewLink;
use crate::plan::data::rules::FieldValue;
use crate::program::types::TypeId;

/// One step. Offsets count from the object's start, or from the element's within [`Step::Repeat`]; the new object is zero before.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Bytes as they are.
    Copy { from: usize, to: usize, length: usize },
    /// A number of another width, place or kind; `cut`: it may lose its value.
    Number { from: Number, to: Number, cut: bool, field: u32 },
    /// A value of an enumeration, by a map.
    Enumerator { from: Number, to: Number, map: Arc<EnumMap>, field: u32 },
    /// Constant bytes.
    Fill { to: usize, bytes: Arc<[u8]> },
    /// A constant number.
    Bits { to: Number, bits: u128 },
    /// Bytes of the variable's initial value.
    Initial { to: usize, length: usize, field: u32 },
    /// A bit-field of the variable's initial value.
    InitialBits { to: Number, field: u32 },
    /// The address of something of the new program.
    New { to: usize, link: NewLink },
    /// A computed value.
    Compute { expression: Expression, to: Store, field: u32 },
    /// Bytes of the old object that are not carried, and have to be zero.
    Zeros { from: usize, length: usize, field: u32 },
    /// The same for each element of an array.
    Repeat { count: usize, from: usize, from_stride: usize, to: usize, to_stride: usize, steps: Vec<Step> },
    /// Depends on a number.
    Choose(Choice<Step>),
}

/// What to do by a tag's value.
#[derive(Clone, Debug)]
pub(crate) struct Choice<T> {
    pub(crate) tag: Number,
    pub(crate) cases: Vec<(i128, Vec<T>)>,
    pub(crate) otherwise: Option<Vec<T>>,
    pub(crate) field: u32,
}

impl<T> Choice<T> {
    /// What is done for any tag.
    pub(crate) fn all(&self) -> impl Iterator<Item = &T> {
        self.cases.iter().map(|(_, body)| body).chain(&self.otherwise).flatten()
    }

    /// What to do for `tag`.
    pub(crate) fn of(&self, tag: i128) -> Option<&[T]> {
        let case = self.cases.iter().find(|(value, _)| *value == tag).map(|(_, body)| body);
        case.or(self.otherwise.as_ref()).map(Vec::as_slice)
    }
}

/// A user's expression, and the old object that it is over.
#[derive(Clone)]
pub(crate) struct Expression {
    pub(crate) value: Arc<dyn FieldValue>,
    /// The object's type and its offset.
    pub(crate) kind: Option<TypeId>,
    pub(crate) from: usize,
    /// Its size; `None`: to the end of the block.
    pub(crate) size: Option<usize>,
    /// Where the rule was given.
    pub(crate) origin: Arc<str>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.value.describe(), self.origin)
    }
}

/// Where a value goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    /// A number.
    Number { to: Number, cut: bool },
    /// A pointer at this offset.
    Pointer(usize),
    /// Bytes: offset and length.
    Bytes(usize, usize),
}

/// A flexible array at the object's end.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) from: usize,
    pub(crate) from_stride: usize,
    pub(crate) to: usize,
    pub(crate) to_stride: usize,
    pub(crate) steps: Vec<Step>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) span: Span,
    /// How many elements; `None`: as many as the block has room for.
    pub(crate) count: Option<Count>,
    pub(crate) field: u32,
}

impl Tail {
    /// Whether its elements are copied as they are.
    pub(crate) fn is_plain(&self) -> bool {
        let whole = matches!(self.steps.as_slice(), [Step::Copy { from: 0, to: 0, length }] if *length == self.from_stride);
        whole && self.from_stride == self.to_stride
    }
}

/// The number of a flexible array's elements.
#[derive(Debug)]
pub(crate) enum Count {
    Fixed(u64),
    Number(Number),
    Expression(Expression),
}
