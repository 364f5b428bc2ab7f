//! Objects outside the program's segments that move: thread-local variables, and what libraries own a copy of.

use dsu_formats::address::{RunAddress, RunRange};

/// Where moved objects were, and where they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// Ascending and without overlap, with the new start of each.
    list: Vec<(RunRange, RunAddress)>,
}

impl Moves {
    /// Moves as (where it was, its new start); empty ranges and those that stay are left out.
    pub fn new(mut list: Vec<(RunRange, RunAddress)>) -> Self {
        list.retain(|(range, to)| !range.is_empty() && range.start != *to);
        list.sort_unstable();
        Self { list }
    }

    /// Whether nothing moves.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Where everything was that moves.
    pub fn ranges(&self) -> impl Iterator<Item = RunRange> + '_ {
        self.list.iter().map(|entry| entry.0)
    }

    /// The new address for a word that points into a moved object.
    pub fn target(&self, word: u64) -> Option<u64> {
        let index = self.list.partition_point(|entry| entry.0.start.0 <= word).checked_sub(1)?;
        let (range, to) = self.list.get(index)?;
        range.contains(RunAddress(word)).then(|| to.0.wrapping_add(word - range.start.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_object_that_holds_them() {
        let moves = Moves::new(vec![
            (RunRange::new(0x200, 0x210), RunAddress(0x900)),
            (RunRange::new(0x100, 0x108), RunAddress(0x300)),
            (RunRange::new(0x400, 0x500), RunAddress(0x400)),
        ]);
        assert_eq!(moves.target(0x100), Some(0x300));
        assert_eq!(moves.target(0x20f), Some(0x90f));
        assert_eq!(moves.target(0x210), None);
        assert_eq!(moves.target(0x404), None);
    }
}
