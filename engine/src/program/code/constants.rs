//! Comparing unnamed constant data: byte by byte, pointers in it by what they point to.

use super::compare::{Comparer, Reason};
use super::referents::{Use, Verdict};

/// Zeros that alignment may leave behind a constant.
const MAX_PADDING: u64 = 63;

/// How deep pointers in constants are followed.
const MAX_DEPTH: u32 = 8;

impl Comparer<'_> {
    /// Compares `length` bytes of constant data. Of string literals that pointers in it lead to, the first that changed is told.
    pub(super) fn same_content(&self, old: u64, new: u64, length: u64, depth: u32) -> Verdict {
        const DIFFERENT: Verdict = Verdict::Different(Reason::Constant);
        let (from, to) = (&self.old.layout, &self.new.layout);
        if depth > MAX_DEPTH || !from.is_constant(old, length) || !to.is_constant(new, length) {
            return DIFFERENT;
        }
        let (Some(from), Some(to)) = (from.bytes(old, length), to.bytes(new, length)) else { return DIFFERENT };
        let old_words = self.old.layout.slots.relocations(old, length);
        let new_words = self.new.layout.slots.relocations(new, length);
        let mut verdict = Verdict::Same;
        let mut position = 0;
        for (a, b) in old_words.iter().zip(new_words) {
            let (at, other) = (a.address.0.wrapping_sub(old), b.address.0.wrapping_sub(new));
            let Ok(at_index) = usize::try_from(at) else { return DIFFERENT };
            if at != other || a.kind != b.kind || from.get(position..at_index) != to.get(position..at_index) {
                return DIFFERENT;
            }
            let (from, to) = (self.old.layout.slots.relocated(a), self.new.layout.slots.relocated(b));
            match self.same_loaded(from, to, Use::Value, None, depth + 1) {
                Verdict::Same => {}
                Verdict::Different(_) => return DIFFERENT,
                other if verdict == Verdict::Same => verdict = other,
                Verdict::OtherLiteral(..) => {}
            }
            position = at_index + 8;
        }
        let rest = old_words.len() == new_words.len() && from.get(position..) == to.get(position..);
        if rest { verdict } else { DIFFERENT }
    }

    /// Compares the unnamed constants that start at both addresses as far as they are known to reach. Nothing but zeros may as well be
    /// the padding behind something else.
    pub(super) fn same_unsized(&self, old: u64, new: u64, depth: u32) -> Verdict {
        let reach = self.old.layout.next_edge(old).saturating_sub(old);
        let other = self.new.layout.next_edge(new).saturating_sub(new);
        let (length, longest) = (reach.min(other), reach.max(other));
        let (layout, rest) = if reach > other { (&self.old.layout, old) } else { (&self.new.layout, new) };
        let only_zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        let padding = layout.bytes(rest.wrapping_add(length), longest - length);
        let is_padding = longest - length <= MAX_PADDING && padding.is_some_and(only_zeros);
        let relocated = !self.old.layout.slots.relocations(old, length).is_empty();
        let has_content = relocated || self.old.layout.bytes(old, length).is_some_and(|bytes| !only_zeros(bytes));
        if length > 0 && is_padding && has_content {
            self.same_content(old, new, length, depth)
        } else {
            Verdict::Different(Reason::Constant)
        }
    }
}
