//! The value of a checked expression for one object.

use dsu_formats::spec::expression::Unary;
use dsu_formats::spec::place::Span;

use super::access::Access;
use super::operators::{binary, cast, integers, is_set};
use super::{Code, Compiled, NumberForm, Op, Out};
use crate::plan::data::value::{ObjectView, ValueError, read_bits, sign_extend};

/// Why there is no value.
#[derive(Debug)]
pub(super) enum Fault {
    /// A computation that has no result.
    Failed(Span, String),
    /// A place past the end of its object.
    Outside,
    /// There is no object to look at.
    NoObject,
    /// The process cannot be read there.
    Value(Span, Box<ValueError>),
}

pub(super) type Evaluated<T> = Result<T, Fault>;

impl Fault {
    pub(super) fn explain(self, of: &Compiled) -> ValueError {
        match self {
            Self::Failed(span, reason) => of.failed(span, reason),
            Self::Outside => of.failed(of.code.span, "it reaches past the end of the object"),
            Self::NoObject => of.failed(of.code.span, "there is no old object to look at"),
            Self::Value(span, error) => of.failed(span, error.to_string()),
        }
    }
}

/// The value for `old`; `None` for an expression that looks at no object.
pub(super) fn evaluate(code: &Code, old: Option<&ObjectView<'_>>) -> Evaluated<Out> {
    Ok(match &code.op {
        Op::Integer(value) => Out::Integer(*value),
        Op::Float(value) => Out::Float(*value),
        Op::Text(text) => Out::Text(text.to_vec()),
        Op::Number(access, form) => number(access, *form, old)?,
        Op::Pointer(access) => Out::Address(access.word(old)?),
        Op::Characters(access, Some(length)) => characters(access, *length, old)?,
        Op::Characters(access, None) => rest(access, old)?,
        Op::TextBehind(pointer) => Out::Text(text_behind(pointer, old)?),
        Op::Length(text) => match evaluate(text, old)? {
            Out::Text(text) => Out::Integer(text.len() as i128),
            _ => return Err(mismatch(code)),
        },
        Op::ToFloat(of) => match evaluate(of, old)? {
            Out::Integer(value) => Out::Float(value as f64),
            Out::Float(value) => Out::Float(value),
            _ => return Err(mismatch(code)),
        },
        Op::Cast(kind, of) => cast(*kind, evaluate(of, old)?, code.span)?,
        Op::Unary(operator, of) => unary(*operator, evaluate(of, old)?, code)?,
        Op::Binary(operator, a, b) => binary(*operator, (a, b), code.span, old)?,
        Op::Whole(..) => Out::Integer(whole(code, old)?),
        Op::IsSet(of) => Out::Integer(truth(of, old)?.into()),
        Op::Choice(condition, then, otherwise) => evaluate(if truth(condition, old)? { then } else { otherwise }, old)?,
        Op::Map(of, values, otherwise) => mapped(of, values, otherwise.as_deref(), old)?,
    })
}

/// The value of an expression that the checker found to be a whole number.
pub(super) fn whole(code: &Code, old: Option<&ObjectView<'_>>) -> Evaluated<i128> {
    match &code.op {
        Op::Integer(value) => Ok(*value),
        Op::Number(access, form) if !form.float => whole_number(access, *form, old),
        Op::Whole(operator, a, b) => {
            let (a, b) = (whole(a, old)?, whole(b, old)?);
            integers(*operator, a, b).map_err(|reason| Fault::Failed(code.span, reason.to_owned()))
        }
        Op::Choice(condition, then, otherwise) => whole(if truth(condition, old)? { then } else { otherwise }, old),
        Op::IsSet(of) => Ok(truth(of, old)?.into()),
        _ => match evaluate(code, old)? {
            Out::Integer(value) => Ok(value),
            _ => Err(mismatch(code)),
        },
    }
}

/// Whether a value counts as true.
fn truth(code: &Code, old: Option<&ObjectView<'_>>) -> Evaluated<bool> {
    match &code.op {
        Op::Integer(_) | Op::Whole(..) | Op::IsSet(_) => Ok(whole(code, old)? != 0),
        _ => Ok(is_set(&evaluate(code, old)?)),
    }
}

/// What the checker keeps from happening.
fn mismatch(code: &Code) -> Fault {
    Fault::Failed(code.span, "its parts do not fit together".to_owned())
}

fn number(access: &Access, form: NumberForm, old: Option<&ObjectView<'_>>) -> Evaluated<Out> {
    if form.float {
        access.with(old, |view, at| float(part(view, at, form.size)?))
    } else {
        whole_number(access, form, old).map(Out::Integer)
    }
}

fn whole_number(access: &Access, form: NumberForm, old: Option<&ObjectView<'_>>) -> Evaluated<i128> {
    access.with(old, |view, at| {
        let bytes = part(view, at, form.size)?;
        Ok(match (form.bits, bytes) {
            (None, [a]) if form.signed => (*a as i8).into(),
            (None, [a]) => (*a).into(),
            (None, &[a, b, c, d]) if form.signed => i32::from_le_bytes([a, b, c, d]).into(),
            (None, &[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]).into(),
            (None, &[a, b, c, d, e, f, g, h]) if form.signed => i64::from_le_bytes([a, b, c, d, e, f, g, h]).into(),
            (None, &[a, b, c, d, e, f, g, h]) => u64::from_le_bytes([a, b, c, d, e, f, g, h]).into(),
            (bits, bytes) => {
                let raw = read_bits(bytes, bits).ok_or(Fault::Outside)?;
                let width = bits.map_or(form.size * 8, |bits| bits.1);
                if form.signed { sign_extend(raw, width) } else { raw as i128 }
            }
        })
    })
}

/// `size` bytes of an object from `at` on.
fn part<'v>(view: &'v ObjectView<'_>, at: usize, size: u64) -> Evaluated<&'v [u8]> {
    let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size));
    end.and_then(|end| view.bytes().get(at..end)).ok_or(Fault::Outside)
}

fn float(bytes: &[u8]) -> Evaluated<Out> {
    match *bytes {
        [a, b, c, d] => Ok(Out::Float(f32::from_le_bytes([a, b, c, d]).into())),
        [a, b, c, d, e, f, g, h] => Ok(Out::Float(f64::from_le_bytes([a, b, c, d, e, f, g, h]))),
        _ => Err(Fault::Outside),
    }
}

fn characters(access: &Access, length: u64, old: Option<&ObjectView<'_>>) -> Evaluated<Out> {
    access.with(old, |view, at| Ok(Out::Text(part(view, at, length)?.iter().copied().take_while(|byte| *byte != 0).collect())))
}

/// The text in an array at an object's end whose length the type does not say.
fn rest(access: &Access, old: Option<&ObjectView<'_>>) -> Evaluated<Out> {
    access.with(old, |view, at| {
        let here = view.bytes().get(at..).unwrap_or(&[]);
        if let Some(text) = here.iter().position(|byte| *byte == 0).and_then(|end| here.get(..end)) {
            return Ok(Out::Text(text.to_vec()));
        }
        // Behind a pointer no more is known of an object than its type says.
        let start = view.address().checked_add(at as u64).ok_or(Fault::Outside)?;
        let text = view.text_at(start).map_err(|_| Fault::Outside)?;
        Ok(Out::Text(text))
    })
}

fn text_behind(pointer: &Code, old: Option<&ObjectView<'_>>) -> Evaluated<Vec<u8>> {
    let view = old.ok_or(Fault::NoObject)?;
    match evaluate(pointer, old)? {
        Out::Address(0) => Err(Fault::Failed(pointer.span, "the pointer is null".to_owned())),
        Out::Address(address) => {
            let text = view.text_at(dsu_formats::address::RunAddress(address));
            text.map_err(|error| Fault::Value(pointer.span, Box::new(error)))
        }
        _ => Err(mismatch(pointer)),
    }
}

fn unary(operator: Unary, value: Out, code: &Code) -> Evaluated<Out> {
    match (operator, value) {
        (Unary::Not, value) => Ok(Out::Integer((!is_set(&value)).into())),
        (Unary::Minus, Out::Float(value)) => Ok(Out::Float(-value)),
        (Unary::Minus, Out::Integer(value)) => match value.checked_neg() {
            Some(value) => Ok(Out::Integer(value)),
            None => Err(Fault::Failed(code.span, "overflow".to_owned())),
        },
        (Unary::Complement, Out::Integer(value)) => Ok(Out::Integer(!value)),
        _ => Err(mismatch(code)),
    }
}

fn mapped(of: &Code, values: &[(i128, Code)], otherwise: Option<&Code>, old: Option<&ObjectView<'_>>) -> Evaluated<Out> {
    let Out::Integer(value) = evaluate(of, old)? else { return Err(mismatch(of)) };
    match (values.binary_search_by_key(&value, |entry| entry.0).ok().and_then(|at| values.get(at)), otherwise) {
        (Some((_, code)), _) => evaluate(code, old),
        (None, Some(code)) => evaluate(code, old),
        (None, None) => Err(Fault::Failed(of.span, format!("the map says nothing of the value {value}"))),
    }
}
