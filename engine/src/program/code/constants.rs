//! Comparing unnamed constant data: byte by byte, pointers in it by what they point to.

use super::compare::Comparer;
use super::referents::{Use, Verdict};

/// Zeros that alignment may leave behind a constant.
const MAX_PADDING: u64 = 63;

/// How deep pointers in constants are followed.
const MAX_DEPTH: u32 = 8;

impl Comparer<'_> {
    /// Whether `length` bytes of constant data are equal at both addresses. String literals that pointers in it lead to must be equal too.
    pub(super) fn same_content(&self, old: u64, new: u64, length: u64, depth: u32) -> bool {
        if depth > MAX_DEPTH || !self.old.layout.is_constant(old) || !self.new.layout.is_constant(new) {
            return false;
        }
        let (Some(from), Some(to)) = (self.old.layout.bytes(old, length), self.new.layout.bytes(new, length)) else {
            return false;
        };
        let old_words = self.old.layout.slots.relocations(old, length);
        let new_words = self.new.layout.slots.relocations(new, length);
        if old_words.is_empty() && new_words.is_empty() {
            return from == to;
        }
        let mut position = 0;
        for (a, b) in old_words.iter().zip(new_words) {
            let (at, other) = (a.address.0.wrapping_sub(old), b.address.0.wrapping_sub(new));
            let Ok(at_index) = usize::try_from(at) else { return false };
            if at != other || a.kind != b.kind || from.get(position..at_index) != to.get(position..at_index) {
                return false;
            }
            let points = self.same_loaded(
                self.old.layout.slots.relocated(a),
                self.new.layout.slots.relocated(b),
                Use::Value,
                None,
                depth + 1,
            );
            if points != Verdict::Same {
                return false;
            }
            position = at_index + 8;
        }
        old_words.len() == new_words.len() && from.get(position..) == to.get(position..)
    }

    /// Whether the unnamed constants that start at both addresses are equal as far as they are known to reach.
    pub(super) fn same_unsized(&self, old: u64, new: u64, depth: u32) -> bool {
        let reach = self.old.layout.next_edge(old).saturating_sub(old);
        let other = self.new.layout.next_edge(new).saturating_sub(new);
        let (length, longest) = (reach.min(other), reach.max(other));
        let (layout, rest) = if reach > other { (&self.old.layout, old) } else { (&self.new.layout, new) };
        let padding = layout.bytes(rest.wrapping_add(length), longest - length);
        length > 0
            && longest - length <= MAX_PADDING
            && padding.is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0))
            && self.same_content(old, new, length, depth)
    }
}
