//! Values of an enumeration that was renumbered.

use crate::plan::data::rules::Unmapped;

/// Old values to new ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct EnumMap {
    /// Ascending by old value.
    values: Vec<(i128, i128)>,
    /// Old single bits and their new ones, where values are sets of bits.
    bits: Vec<(u128, u128)>,
    otherwise: Unmapped,
}

impl EnumMap {
    pub(crate) fn new(mut values: Vec<(i128, i128)>, flags: bool, otherwise: Unmapped) -> Self {
        values.sort_unstable();
        values.dedup_by_key(|(old, _)| *old);
        let single = |value: i128| u128::try_from(value).ok().filter(|value| value.is_power_of_two());
        let bits = values.iter().filter_map(|&(old, new)| Some((single(old)?, u128::try_from(new).ok()?)));
        let bits = if flags { bits.collect() } else { Vec::new() };
        Self { values, bits, otherwise }
    }

    /// The new value; `None` where there is none.
    pub(crate) fn map(&self, value: i128) -> Option<i128> {
        if let Ok(position) = self.values.binary_search_by_key(&value, |(old, _)| *old) {
            return self.values.get(position).map(|(_, new)| *new);
        }
        self.map_bits(value).or(match self.otherwise {
            Unmapped::Refuse => None,
            Unmapped::Keep => Some(value),
            Unmapped::Value(new) => Some(new),
        })
    }

    fn map_bits(&self, value: i128) -> Option<i128> {
        if self.bits.is_empty() {
            return None;
        }
        let mut left = u128::try_from(value).ok()?;
        let mut new = 0u128;
        for (old, bit) in &self.bits {
            if left & old != 0 {
                left &= !old;
                new |= bit;
            }
        }
        if left == 0 { i128::try_from(new).ok() } else { None }
    }
}
