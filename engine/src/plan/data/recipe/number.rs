//! Numbers from one place and width to another, without losing a value.

use crate::plan::data::value::{read_bits, sign_extend};

/// A number within an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// First bit from the start of the object.
    pub(crate) start: usize,
    /// Width in bits, at most 128.
    pub(crate) width: u32,
    /// What the bits mean.
    pub(crate) meaning: Meaning,
}

/// What the bits of a number mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// An integer without a sign; characters and pointers, too.
    Unsigned,
    /// Two's complement.
    Signed,
    /// Zero or one.
    Bool,
    /// IEEE 754, 32 or 64 bits wide.
    Float,
}

/// A number that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    Integer(i128),
    Float(f64),
}

impl Number {
    /// A number that starts at a byte.
    pub(crate) fn at(offset: usize, bytes: usize, meaning: Meaning) -> Self {
        Self { start: offset.saturating_mul(8), width: u32::try_from(bytes.saturating_mul(8)).unwrap_or(u32::MAX), meaning }
    }

    /// First byte past it.
    pub(crate) fn end(&self) -> usize {
        self.start.saturating_add(self.width as usize).div_ceil(8)
    }

    /// Its value; `None` if `bytes` end before it or its width is none that a number has.
    pub(crate) fn read(&self, bytes: &[u8], base: usize) -> Option<Amount> {
        let bytes = bytes.get(base..)?;
        let raw = read_bits(bytes, Some((self.start as u64, self.width.into())))?;
        match self.meaning {
            Meaning::Signed => Some(Amount::Integer(sign_extend(raw, self.width.into()))),
            Meaning::Unsigned | Meaning::Bool => i128::try_from(raw).ok().map(Amount::Integer),
            Meaning::Float => match self.width {
                32 => Some(Amount::Float(f32::from_bits(u32::try_from(raw).ok()?).into())),
                64 => Some(Amount::Float(f64::from_bits(u64::try_from(raw).ok()?))),
                _ => None,
            },
        }
    }

    /// The bits that stand for `amount` here. `None`: the value is not one that this number can have; with `cut` integers keep their
    /// low bits, floating-point numbers their nearest value.
    pub(crate) fn bits_of(&self, amount: Amount, cut: bool) -> Option<u128> {
        match (self.meaning, amount) {
            (Meaning::Bool, Amount::Integer(value)) => Some((value != 0).into()),
            (Meaning::Bool, Amount::Float(value)) => Some((value != 0.0).into()),
            (Meaning::Unsigned | Meaning::Signed, Amount::Integer(value)) => self.integer_bits(value, cut),
            (Meaning::Unsigned | Meaning::Signed, Amount::Float(value)) => {
                // The cast saturates, and every integer that a double holds converts back to it.
                let integer = value as i128;
                (cut || integer as f64 == value).then(|| self.integer_bits(integer, cut)).flatten()
            }
            (Meaning::Float, Amount::Integer(value)) => {
                let float = value as f64;
                (cut || float as i128 == value).then(|| self.float_bits(float, cut)).flatten()
            }
            (Meaning::Float, Amount::Float(value)) => self.float_bits(value, cut),
        }
    }

    fn integer_bits(&self, value: i128, cut: bool) -> Option<u128> {
        let unused = 128u32.checked_sub(self.width).filter(|unused| *unused < 128)?;
        let mask = u128::MAX >> unused;
        let bits = value as u128 & mask;
        let back =
            if self.meaning == Meaning::Signed { sign_extend(bits, self.width.into()) } else { i128::try_from(bits).ok()? };
        (cut || back == value).then_some(bits)
    }

    fn float_bits(&self, value: f64, cut: bool) -> Option<u128> {
        match self.width {
            64 => Some(value.to_bits().into()),
            32 => {
                let narrow = value as f32;
                (cut || value.is_nan() || f64::from(narrow) == value).then(|| narrow.to_bits().into())
            }
            _ => None,
        }
    }

    /// Puts `bits` in place; the bits around them stay. `None` if `bytes` end before it.
    pub(crate) fn write(&self, bits: u128, bytes: &mut [u8], base: usize) -> Option<()> {
        let first = base.checked_add(self.start / 8)?;
        let window = bytes.get_mut(first..base.checked_add(self.end())?)?;
        let shift = self.start % 8;
        let mut left = self.width as usize;
        let mut bits = bits;
        let mut shift = shift;
        for byte in window {
            let take = left.min(8 - shift);
            let mask = (0xffu16 >> (8 - take)) as u8;
            *byte = (*byte & !(mask << shift)) | ((bits as u8 & mask) << shift);
            bits = bits.checked_shr(take as u32).unwrap_or(0);
            left -= take;
            shift = 0;
        }
        Some(())
    }
}
