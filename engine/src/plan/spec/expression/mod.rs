//! Expressions of a spec, checked against the types of both builds and compiled to a small tree that is evaluated once an object.
//!
//! Numbers are exact (128 bits): nothing wraps unless a cast says so, and a value that does not fit where it goes is an error.

mod access;
mod check;
mod evaluate;
mod frame;
mod operators;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use dsu_formats::spec::place::{Source, Span};

pub use access::Access;
pub use check::{Checker, Environment, NewFields};
pub use frame::{FrameScope, Static};
pub(crate) use operators::integer_range;

use crate::plan::data::rules::FieldValue;
use crate::plan::data::value::{ObjectView, Value, ValueError};
use crate::program::types::TypeId;

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number, a boolean, an enumerator.
    Integer,
    /// A floating-point number.
    Float,
    /// The bytes of a text.
    Text,
    /// An address in the old process, of something of this type.
    Pointer(Option<TypeId>),
    /// Anything else: it can be carried whole, and be gone into.
    Object(Option<TypeId>),
}

impl Kind {
    fn describe(self) -> &'static str {
        match self {
            Self::Integer => "a whole number",
            Self::Float => "a floating-point number",
            Self::Text => "a text",
            Self::Pointer(_) => "a pointer",
            Self::Object(_) => "a structure, union or array",
        }
    }
}

/// A piece of a checked expression.
#[derive(Clone, Debug)]
pub struct Code {
    op: Op,
    span: Span,
}

/// What a piece does.
#[derive(Clone, Debug)]
enum Op {
    Integer(i128),
    Float(f64),
    Text(Arc<[u8]>),
    /// A number in the old object: its bytes or bits, and how they are read.
    Number(Access, NumberForm),
    /// A pointer in the old object.
    Pointer(Access),
    /// The text in an array of characters.
    Characters(Access, Option<u64>),
    /// The text behind a pointer to characters.
    TextBehind(Box<Code>),
    /// The length of a text.
    Length(Box<Code>),
    /// A whole number as a floating-point one.
    ToFloat(Box<Code>),
    Cast(dsu_formats::spec::expression::CType, Box<Code>),
    Unary(dsu_formats::spec::expression::Unary, Box<Code>),
    Binary(dsu_formats::spec::expression::Binary, Box<Code>, Box<Code>),
    /// The same, of two whole numbers: most expressions are made of these alone, and they need no other kind of value.
    Whole(dsu_formats::spec::expression::Binary, Box<Code>, Box<Code>),
    /// A condition: whether a value is not zero.
    IsSet(Box<Code>),
    Choice(Box<Code>, Box<Code>, Box<Code>),
    /// Another value for each value of the first; the last for any other.
    Map(Box<Code>, Arc<[(i128, Code)]>, Option<Box<Code>>),
}

/// How the bytes of a number are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NumberForm {
    /// Size in bytes.
    size: u64,
    /// For bit-fields: first bit from the start of the place, and width.
    bits: Option<(u64, u64)>,
    signed: bool,
    float: bool,
}

/// A value while it is computed.
#[derive(Clone, Debug, PartialEq)]
enum Out {
    Integer(i128),
    Float(f64),
    Text(Vec<u8>),
    Address(u64),
}

/// A checked expression.
#[derive(Clone, Debug)]
pub struct Compiled {
    code: Code,
    /// What it gives.
    pub kind: Kind,
    /// As it was written.
    text: Arc<str>,
    source: Source,
    /// The numbers that its value must be one of, with the type that says so.
    range: Option<(i128, i128, Arc<str>)>,
}

impl Compiled {
    /// The same expression, whose value must lie between `low` and `high`, as `what` takes it.
    pub fn within(mut self, low: i128, high: i128, what: &str) -> Self {
        self.range = Some((low, high, Arc::from(what)));
        self
    }

    /// Where it stands, as messages name it: `update.toml:12:3`.
    pub fn origin(&self) -> String {
        let (line, column) = self.source.line_and_column(self.code.span.start);
        format!("{}:{line}:{column}", self.source.path.display())
    }

    fn failed(&self, span: Span, reason: impl Into<String>) -> ValueError {
        let (line, column) = self.source.line_and_column(span.start);
        let expression = format!("{}:{line}:{column}: `{}`", self.source.path.display(), self.text);
        ValueError::Computation { expression, reason: reason.into() }
    }

    fn finish(&self, out: Out) -> Result<Value, ValueError> {
        if let (Out::Integer(value), Some((low, high, what))) = (&out, &self.range)
            && (value < low || value > high)
        {
            return Err(self.failed(self.code.span, format!("the value {value} is out of range: {what} takes {low} to {high}")));
        }
        Ok(match out {
            Out::Integer(value) => Value::Integer(value),
            Out::Float(value) => Value::Float(value),
            Out::Text(bytes) => Value::Bytes(bytes),
            Out::Address(address) => Value::Address(dsu_formats::address::RunAddress(address)),
        })
    }

    /// The value of an expression that does not look at the old object; `None` for one that does.
    ///
    /// # Errors
    /// Division by zero, overflow, a value out of range.
    pub fn constant(&self) -> Option<Result<Value, ValueError>> {
        if self.code.looks_at_object() {
            return None;
        }
        Some(evaluate::evaluate(&self.code, None).map_err(|fault| fault.explain(self)).and_then(|out| self.finish(out)))
    }
}

impl FieldValue for Compiled {
    fn value(&self, old: &ObjectView<'_>) -> Result<Value, ValueError> {
        let out = evaluate::evaluate(&self.code, Some(old)).map_err(|fault| fault.explain(self))?;
        self.finish(out)
    }

    fn describe(&self) -> String {
        self.text.to_string()
    }
}

impl Code {
    fn new(op: Op, span: Span) -> Self {
        Self { op, span }
    }

    /// Whether its value depends on the object that is converted.
    fn looks_at_object(&self) -> bool {
        match &self.op {
            Op::Integer(_) | Op::Float(_) | Op::Text(_) => false,
            Op::Number(..) | Op::Pointer(_) | Op::Characters(..) | Op::TextBehind(_) => true,
            Op::Length(of) | Op::ToFloat(of) | Op::Cast(_, of) | Op::Unary(_, of) | Op::IsSet(of) => of.looks_at_object(),
            Op::Binary(_, a, b) | Op::Whole(_, a, b) => a.looks_at_object() || b.looks_at_object(),
            Op::Choice(a, b, c) => a.looks_at_object() || b.looks_at_object() || c.looks_at_object(),
            Op::Map(of, values, otherwise) => {
                of.looks_at_object()
                    || values.iter().any(|(_, code)| code.looks_at_object())
                    || otherwise.as_ref().is_some_and(|code| code.looks_at_object())
            }
        }
    }
}
