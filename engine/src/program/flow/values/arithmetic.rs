//! Normal forms: compilers write one sum as `add`, `lea`, `sub`, `inc`, `shl`, and one extension in as many ways.

use super::Values;
use super::term::{Binary, Term, ValueId};
use crate::program::address::LinkAddress;
use crate::program::code::Symbolic;

/// Terms beyond which a sum is left as it is.
const MOST_TERMS: usize = 8;

/// The lowest `bits` of a number.
pub fn low(number: u64, bits: u8) -> u64 {
    if bits >= 64 { number } else { number & ((1 << bits) - 1) }
}

/// The lowest `bits` of a number with their sign.
pub fn signed(number: u64, bits: u8) -> u64 {
    let unused = 64 - u32::from(bits.clamp(1, 64));
    ((number << unused).cast_signed() >> unused).cast_unsigned()
}

impl Values<'_> {
    /// A number.
    /// A number.
    pub fn constant(&mut self, number: u64) -> ValueId {
        self.number(Term::Constant(number))
    }

    /// `left * factor + right * other + constant`, zero-extended from `bits`.
    pub(super) fn sum(&mut self, bits: u8, parts: &[(ValueId, i64)], constant: i64) -> ValueId {
        let mut terms: Vec<(ValueId, i64)> = Vec::new();
        let mut constant = constant;
        for (value, factor) in parts {
            self.add_term(bits, *value, *factor, &mut terms, &mut constant);
        }
        terms.sort_unstable();
        terms.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = kept.1.wrapping_add(next.1);
            }
            same
        });
        terms.retain(|term| low(term.1.cast_unsigned(), bits) != 0);
        let constant = signed(constant.cast_unsigned(), bits).cast_signed();
        match terms.as_slice() {
            [] => self.constant(low(constant.cast_unsigned(), bits)),
            [(value, 1)] if constant == 0 && bits < 64 => self.extend(bits, false, *value),
            [(value, 1)] if bits == 64 => match self.node(*value).clone() {
                _ if constant == 0 && !matches!(self.node(*value), Term::Frame(_)) => *value,
                Term::Frame(offset) => self.number(Term::Frame(offset.wrapping_add(constant))),
                Term::Address(Symbolic::Address(link)) => {
                    let moved = LinkAddress(link.0.wrapping_add_signed(constant));
                    self.number(Term::Address(Symbolic::Address(moved)))
                }
                _ => self.number(Term::Sum { bits, terms, constant }),
            },
            _ => self.number(Term::Sum { bits, terms, constant }),
        }
    }

    fn add_term(&mut self, bits: u8, value: ValueId, factor: i64, terms: &mut Vec<(ValueId, i64)>, constant: &mut i64) {
        let value = self.stripped(value, bits);
        match self.node(value).clone() {
            Term::Constant(number) => *constant = constant.wrapping_add(number.cast_signed().wrapping_mul(factor)),
            Term::Sum { bits: inner, terms: parts, constant: more }
                if inner >= bits && terms.len() + parts.len() <= MOST_TERMS =>
            {
                *constant = constant.wrapping_add(more.wrapping_mul(factor));
                terms.extend(parts.iter().map(|(part, times)| (*part, times.wrapping_mul(factor))));
            }
            // All addresses in the frame are counted from one.
            Term::Frame(offset) => {
                *constant = constant.wrapping_add(offset.wrapping_mul(factor));
                terms.push((self.number(Term::Frame(0)), factor));
            }
            _ => terms.push((value, factor)),
        }
    }

    /// What the lowest `bits` of a value depend on: extensions that only touch the bits above are taken off.
    pub(super) fn stripped(&self, value: ValueId, bits: u8) -> ValueId {
        let mut value = self.resolve(value);
        while let Term::Extend { from, of, .. } = self.node(value)
            && *from >= bits
        {
            value = self.resolve(*of);
        }
        value
    }

    /// The lowest `from` bits of a value, extended to 64.
    pub fn extend(&mut self, from: u8, by_sign: bool, of: ValueId) -> ValueId {
        let of = self.stripped(of, from);
        if from >= 64 {
            return of;
        }
        match self.node(of).clone() {
            Term::Constant(number) if by_sign => self.constant(signed(number, from)),
            Term::Constant(number) => self.constant(low(number, from)),
            // A sum wraps at its own width anyway.
            Term::Sum { bits, terms, constant } if bits > from => {
                let narrow = self.sum(from, &terms, constant);
                if by_sign { self.extend(from, true, narrow) } else { narrow }
            }
            // The rest of a register that a byte was put into.
            Term::Binary { operation: Binary::Or, left, right, .. } if self.is_clear(left, from) => {
                self.extend(from, by_sign, right)
            }
            Term::Binary { operation: Binary::Or, left, right, .. } if self.is_clear(right, from) => {
                self.extend(from, by_sign, left)
            }
            _ if !by_sign && self.width(of) <= from => of,
            _ if by_sign && self.width(of) < from => of,
            _ => self.number(Term::Extend { from, signed: by_sign, of }),
        }
    }

    /// Whether the lowest bits of a value are masked out.
    fn is_clear(&self, value: ValueId, bits: u8) -> bool {
        match self.node(value) {
            Term::Constant(number) => low(*number, bits) == 0,
            Term::Binary { operation: Binary::And, right, .. } => {
                matches!(self.node(*right), Term::Constant(mask) if low(*mask, bits) == 0)
            }
            _ => false,
        }
    }

    /// How many of the lowest bits of a value may be set.
    pub fn width(&self, value: ValueId) -> u8 {
        match self.node(value) {
            Term::Constant(number) => (64 - number.leading_zeros()) as u8,
            Term::Sum { bits, .. } | Term::Binary { bits, .. } => *bits,
            Term::Extend { from, signed: false, .. } => *from,
            Term::Pure { bits, .. } if *bits != 0 => *bits,
            Term::Load { bytes, .. } | Term::Part { length: bytes, .. } => bytes.saturating_mul(8).min(64),
            _ => 64,
        }
    }

    /// An operation of two operands, zero-extended from `bits`.
    pub(super) fn binary(&mut self, operation: Binary, bits: u8, left: ValueId, right: ValueId) -> ValueId {
        let right = match operation {
            Binary::ShiftLeft | Binary::ShiftRight | Binary::ShiftRightSigned => right,
            _ => self.extend(bits, false, right),
        };
        let left = match operation {
            // The sign is the one of its own width.
            Binary::ShiftRightSigned => self.extend(bits, false, left),
            _ => self.extend(bits, false, left),
        };
        let number = |values: &Self, value: ValueId| match values.node(value) {
            Term::Constant(number) => Some(*number),
            _ => None,
        };
        let (left, right) = match (operation, number(self, left)) {
            (Binary::Multiply | Binary::And | Binary::Or | Binary::Xor, Some(_)) => (right, left),
            _ => (left, right),
        };
        match (operation, number(self, left), number(self, right)) {
            (_, Some(a), Some(b)) => {
                let result = evaluate(operation, bits, a, b);
                self.constant(result)
            }
            (Binary::Multiply, _, Some(factor)) => self.sum(bits, &[(left, signed(factor, bits).cast_signed())], 0),
            (Binary::ShiftLeft, _, Some(count)) if low(count, 6) < u64::from(bits) && count < 63 => {
                self.sum(bits, &[(left, 1 << count)], 0)
            }
            (Binary::And, _, Some(mask)) if mask != 0 && (mask & mask.wrapping_add(1)) == 0 => {
                self.extend(mask.trailing_ones() as u8, false, left)
            }
            (Binary::And, _, Some(0)) => self.constant(0),
            (Binary::Or | Binary::Xor | Binary::ShiftRight | Binary::ShiftLeft, _, Some(0)) => left,
            _ => {
                let commutes = !matches!(operation, Binary::ShiftLeft | Binary::ShiftRight | Binary::ShiftRightSigned);
                let is_number = number(self, right).is_some();
                let (left, right) = if commutes && !is_number && right < left { (right, left) } else { (left, right) };
                self.number(Term::Binary { operation, bits, left, right })
            }
        }
    }

    /// Some bytes of a value.
    pub(super) fn part(&mut self, of: ValueId, offset: u8, length: u8) -> ValueId {
        let of = self.resolve(of);
        match self.node(of).clone() {
            Term::Constant(0) => of,
            Term::Constant(number) if offset < 8 => {
                let shifted = number >> (u32::from(offset) * 8);
                let result = if length >= 8 { shifted } else { low(shifted, length * 8) };
                self.constant(result)
            }
            Term::Load { bytes, .. } if offset == 0 && bytes <= length => of,
            Term::Part { of: whole, offset: skipped, length: had } if offset.saturating_add(length) <= had => {
                self.part(whole, offset.saturating_add(skipped), length)
            }
            Term::Sum { .. } | Term::Extend { .. } | Term::Binary { .. } | Term::Frame(_) | Term::Address(_)
                if offset == 0 && length <= 8 =>
            {
                self.extend(length * 8, false, of)
            }
            _ if offset == 0 && length == 8 && self.is_scalar(of) => of,
            _ if offset == 0 && length < 8 && self.is_scalar(of) => self.extend(length * 8, false, of),
            _ => self.number(Term::Part { of, offset, length }),
        }
    }

    /// Whether a value is one of a general register.
    fn is_scalar(&self, value: ValueId) -> bool {
        let general = |place: &super::Place| matches!(place, super::Place::Register(_));
        let short = |place: &super::Place| matches!(place, super::Place::Slot { length, .. } if *length <= 8);
        match self.node(value) {
            Term::Entry(place) | Term::Result { place, .. } | Term::Unknown { place, .. } | Term::Choice { place, .. } => {
                general(place) || short(place)
            }
            Term::Pure { bits, .. } => *bits != 0,
            Term::Canary => true,
            Term::Load { bytes, .. } => *bytes <= 8,
            _ => false,
        }
    }
}

/// What an operation makes of two numbers.
pub fn evaluate(operation: Binary, bits: u8, left: u64, right: u64) -> u64 {
    let left = low(left, bits);
    let count = (right & if bits == 64 { 63 } else { 31 }) as u32;
    let result = match operation {
        Binary::Multiply => left.wrapping_mul(right),
        Binary::And => left & right,
        Binary::Or => left | right,
        Binary::Xor => left ^ right,
        Binary::ShiftLeft => left.checked_shl(count).unwrap_or(0),
        Binary::ShiftRight => left.checked_shr(count).unwrap_or(0),
        Binary::ShiftRightSigned => (signed(left, bits).cast_signed() >> count.min(63)).cast_unsigned(),
    };
    low(result, bits)
}
