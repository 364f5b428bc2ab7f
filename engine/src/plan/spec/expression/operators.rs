//! Operators on values: exact, and refusing what has no result.

use dsu_formats::spec::expression::{Binary, CType};
use dsu_formats::spec::place::Span;

use super::evaluate::{Evaluated, Fault, evaluate};
use super::{Code, Out};
use crate::plan::data::value::ObjectView;

/// Whether a value counts as true.
pub(super) fn is_set(value: &Out) -> bool {
    match value {
        Out::Integer(value) => *value != 0,
        Out::Float(value) => *value != 0.0,
        Out::Address(address) => *address != 0,
        Out::Text(text) => !text.is_empty(),
    }
}

/// A binary operator; `&&` and `||` look at their right side only where it matters.
pub(super) fn binary(operator: Binary, (a, b): (&Code, &Code), span: Span, old: Option<&ObjectView<'_>>) -> Evaluated<Out> {
    let left = evaluate(a, old)?;
    match operator {
        Binary::Both if !is_set(&left) => return Ok(Out::Integer(0)),
        Binary::Either if is_set(&left) => return Ok(Out::Integer(1)),
        _ => {}
    }
    let right = evaluate(b, old)?;
    let failed = |reason: &str| Fault::Failed(span, reason.to_owned());
    match (operator, left, right) {
        (Binary::Both | Binary::Either, _, right) => Ok(Out::Integer(is_set(&right).into())),
        (operator, Out::Integer(a), Out::Integer(b)) => integers(operator, a, b).map(Out::Integer).map_err(failed),
        (operator, Out::Float(a), Out::Float(b)) => floats(operator, a, b).map_err(failed),
        (operator, Out::Text(a), Out::Text(b)) => compared(operator, a.cmp(&b)).map_err(failed),
        (operator, Out::Address(a), Out::Address(b)) => compared(operator, a.cmp(&b)).map_err(failed),
        (operator, Out::Address(a), Out::Integer(b)) | (operator, Out::Integer(b), Out::Address(a)) => {
            compared(operator, i128::from(a).cmp(&b)).map_err(failed)
        }
        _ => Err(failed("its parts do not fit together")),
    }
}

fn compared(operator: Binary, order: std::cmp::Ordering) -> Result<Out, &'static str> {
    let holds = match operator {
        Binary::Equal => order.is_eq(),
        Binary::Unequal => order.is_ne(),
        Binary::Less => order.is_lt(),
        Binary::LessOrEqual => order.is_le(),
        Binary::Greater => order.is_gt(),
        Binary::GreaterOrEqual => order.is_ge(),
        _ => return Err("its parts do not fit together"),
    };
    Ok(Out::Integer(holds.into()))
}

/// An operator on two whole numbers.
#[inline]
pub(super) fn integers(operator: Binary, a: i128, b: i128) -> Result<i128, &'static str> {
    let overflow = "overflow: the result needs more than 128 bits";
    match operator {
        Binary::Add => a.checked_add(b).ok_or(overflow),
        Binary::Subtract => a.checked_sub(b).ok_or(overflow),
        Binary::Multiply => a.checked_mul(b).ok_or(overflow),
        Binary::Divide | Binary::Remainder if b == 0 => Err("division by zero"),
        Binary::Divide => a.checked_div(b).ok_or(overflow),
        Binary::Remainder => a.checked_rem(b).ok_or(overflow),
        Binary::ShiftLeft => {
            let shift =
                u32::try_from(b).ok().filter(|shift| *shift < 127).ok_or("the shift is out of range: expected 0 to 126")?;
            a.checked_mul(1 << shift).ok_or(overflow)
        }
        Binary::ShiftRight => {
            let shift =
                u32::try_from(b).ok().filter(|shift| *shift < 128).ok_or("the shift is out of range: expected 0 to 127")?;
            Ok(a >> shift)
        }
        Binary::And => Ok(a & b),
        Binary::Or => Ok(a | b),
        Binary::Xor => Ok(a ^ b),
        comparison => match compared(comparison, a.cmp(&b))? {
            Out::Integer(value) => Ok(value),
            _ => Err("its parts do not fit together"),
        },
    }
}

fn floats(operator: Binary, a: f64, b: f64) -> Result<Out, &'static str> {
    let number = |value: f64| Ok(Out::Float(value));
    let truth = |holds: bool| Ok(Out::Integer(holds.into()));
    match operator {
        Binary::Add => number(a + b),
        Binary::Subtract => number(a - b),
        Binary::Multiply => number(a * b),
        Binary::Divide if b == 0.0 => Err("division by zero"),
        Binary::Divide => number(a / b),
        Binary::Equal => truth(a == b),
        Binary::Unequal => truth(a != b),
        Binary::Less => truth(a < b),
        Binary::LessOrEqual => truth(a <= b),
        Binary::Greater => truth(a > b),
        Binary::GreaterOrEqual => truth(a >= b),
        _ => Err("its parts do not fit together"),
    }
}

/// A cast as C has it: integers keep their low bits; a floating-point number loses its fraction and has to fit.
pub(super) fn cast(kind: CType, value: Out, span: Span) -> Evaluated<Out> {
    let failed = |reason: String| Fault::Failed(span, reason);
    match (kind, value) {
        (CType::Boolean, value) => Ok(Out::Integer(is_set(&value).into())),
        (CType::Float { bits }, value) => {
            let value = match value {
                Out::Integer(value) => value as f64,
                Out::Float(value) => value,
                _ => return Err(failed("only numbers can be cast".to_owned())),
            };
            Ok(Out::Float(if bits == 32 { f64::from(value as f32) } else { value }))
        }
        (CType::Integer { bits, signed }, Out::Integer(value)) => {
            let unused = 128u32.saturating_sub(bits).min(127);
            let low = (value as u128) << unused;
            Ok(Out::Integer(if signed { (low as i128) >> unused } else { (low >> unused) as i128 }))
        }
        (CType::Integer { bits, signed }, Out::Float(value)) => {
            let (low, high) = integer_range(bits, signed);
            let whole = value.trunc();
            if whole.is_finite() && whole >= low as f64 && whole <= high as f64 && (low..=high).contains(&(whole as i128)) {
                return Ok(Out::Integer(whole as i128));
            }
            Err(failed(format!("the value {value} is out of range: expected {low} to {high}")))
        }
        _ => Err(failed("only numbers can be cast".to_owned())),
    }
}

/// The least and the greatest value of an integer type of at most 64 bits.
pub(crate) fn integer_range(bits: u32, signed: bool) -> (i128, i128) {
    let bits = bits.clamp(1, 126);
    if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}
