//! Which item of one sequence is which of another: what occurs once on both sides, else what lies between such neighbours in equal number.

use std::collections::HashMap;
use std::hash::Hash;

/// What an item of the old sequence is in the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matched {
    /// The item at this position.
    One(usize),
    /// Nothing has its key.
    None,
    /// The key occurs this often, and nothing distinguishes.
    Ambiguous {
        /// In the old sequence.
        old: usize,
        /// In the new one.
        new: usize,
    },
}

/// An item: its key, and whether its position in the sequence means anything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'k, K> {
    pub(super) key: &'k K,
    pub(super) is_placed: bool,
}

/// Pairs the items of two sequences.
pub(super) fn align<K: Eq + Hash>(old: &[Entry<'_, K>], new: &[Entry<'_, K>]) -> Vec<Matched> {
    let (from, to) = (indices(old.len()), indices(new.len()));
    let (old_counts, new_counts) = (counts(old, &from), counts(new, &to));
    let mut matched: Vec<Matched> = old
        .iter()
        .map(|entry| {
            let count = |counts: &HashMap<&K, Vec<usize>>| counts.get(entry.key).map_or(0, Vec::len);
            match (count(&old_counts), new_counts.get(entry.key).map(Vec::as_slice)) {
                (_, None | Some([])) => Matched::None,
                (1, Some([only])) => Matched::One(*only),
                (old, Some(several)) => Matched::Ambiguous { old, new: several.len() },
            }
        })
        .collect();
    // A key with an item that has no place is of no use for order, and none of its items can be found by it.
    let is_placed = |entry: &Entry<'_, K>| {
        let all = |list: &[Entry<'_, K>], counts: &HashMap<&K, Vec<usize>>| {
            counts.get(entry.key).into_iter().flatten().all(|index| list.get(*index).is_some_and(|entry| entry.is_placed))
        };
        all(old, &old_counts) && all(new, &new_counts)
    };
    let placed = |list: &[Entry<'_, K>]| -> Vec<usize> {
        list.iter().enumerate().filter(|(_, entry)| is_placed(entry)).map(|(index, _)| index).collect()
    };
    let (from, to) = (placed(old), placed(new));
    Segments { old, new, matched: &mut matched }.run(&from, &to);
    matched
}

fn indices(length: usize) -> Vec<usize> {
    (0..length).collect()
}

fn counts<'k, K: Eq + Hash>(list: &[Entry<'k, K>], of: &[usize]) -> HashMap<&'k K, Vec<usize>> {
    let mut counts: HashMap<&K, Vec<usize>> = HashMap::new();
    for index in of {
        if let Some(entry) = list.get(*index) {
            counts.entry(entry.key).or_default().push(*index);
        }
    }
    counts
}

struct Segments<'k, 'm, K> {
    old: &'m [Entry<'k, K>],
    new: &'m [Entry<'k, K>],
    matched: &'m mut [Matched],
}

impl<K: Eq + Hash> Segments<'_, '_, K> {
    /// Pairs what lies in one pair of segments, given as positions: by anchors, and without any by number.
    fn run(&mut self, from: &[usize], to: &[usize]) {
        let anchors = self.anchors(from, to);
        if anchors.is_empty() {
            return self.by_number(from, to);
        }
        let (mut old_start, mut new_start) = (0, 0);
        for (old_at, new_at) in anchors {
            if let (Some(old), Some(new)) = (from.get(old_at), to.get(new_at)) {
                self.set(*old, *new);
            }
            self.run(from.get(old_start..old_at).unwrap_or_default(), to.get(new_start..new_at).unwrap_or_default());
            (old_start, new_start) = (old_at + 1, new_at + 1);
        }
        self.run(from.get(old_start..).unwrap_or_default(), to.get(new_start..).unwrap_or_default());
    }

    /// Positions within the segments of items that occur once in both, in an order that both agree on beyond doubt: in every longest
    /// common subsequence of such items.
    fn anchors(&self, from: &[usize], to: &[usize]) -> Vec<(usize, usize)> {
        let (old_counts, new_counts) = (counts(self.old, from), counts(self.new, to));
        let mut unique = Vec::new();
        for (at, index) in from.iter().enumerate() {
            let Some(entry) = self.old.get(*index) else { continue };
            if let (Some([_]), Some([only])) =
                (old_counts.get(entry.key).map(Vec::as_slice), new_counts.get(entry.key).map(Vec::as_slice))
                && let Some(other) = to.iter().position(|index| index == only)
            {
                unique.push((at, other));
            }
        }
        in_every_longest(&unique)
    }

    /// Pairs the k-th with the k-th of every key that occurs equally often, if those keys come in the same order on both sides.
    fn by_number(&mut self, from: &[usize], to: &[usize]) {
        let (old_counts, new_counts) = (counts(self.old, from), counts(self.new, to));
        let is_equal = |entry: Option<&Entry<'_, K>>| {
            entry.is_some_and(|entry| old_counts.get(entry.key).map(Vec::len) == new_counts.get(entry.key).map(Vec::len))
        };
        let from: Vec<usize> = from.iter().copied().filter(|index| is_equal(self.old.get(*index))).collect();
        let to: Vec<usize> = to.iter().copied().filter(|index| is_equal(self.new.get(*index))).collect();
        let same = |old: usize, new: usize| match (self.old.get(old), self.new.get(new)) {
            (Some(old), Some(new)) => old.key == new.key,
            _ => false,
        };
        if from.len() == to.len() && from.iter().zip(&to).all(|(old, new)| same(*old, *new)) {
            for (old, new) in from.iter().zip(&to) {
                self.set(*old, *new);
            }
        }
    }

    fn set(&mut self, old: usize, new: usize) {
        if let Some(matched) = self.matched.get_mut(old) {
            *matched = Matched::One(new);
        }
    }
}

/// Of pairs with ascending first halves, those that are in every longest selection with ascending second halves.
fn in_every_longest(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let second = |index: usize| pairs.get(index).map_or(0, |pair| pair.1);
    let mut before = vec![1usize; pairs.len()];
    let mut behind = vec![1usize; pairs.len()];
    for at in 0..pairs.len() {
        before[at] = 1 + (0..at).filter(|other| second(*other) < second(at)).map(|other| before[other]).max().unwrap_or(0);
    }
    for at in (0..pairs.len()).rev() {
        let later = (at + 1..pairs.len()).filter(|other| second(*other) > second(at));
        behind[at] = 1 + later.map(|other| behind[other]).max().unwrap_or(0);
    }
    let longest = before.iter().copied().max().unwrap_or(0);
    let on_one = |at: usize| before[at] + behind[at] == longest + 1;
    let mut rivals = vec![0usize; longest + 1];
    (0..pairs.len()).filter(|at| on_one(*at)).for_each(|at| rivals[before[at]] += 1);
    let certain = (0..pairs.len()).filter(|at| on_one(*at) && rivals[before[*at]] == 1);
    certain.filter_map(|at| pairs.get(at).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Aligns strings of one-letter keys; upper case stands for the same key without a place.
    fn aligned(old: &str, new: &str) -> String {
        let keys = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
        let (old_keys, new_keys) = (keys(old), keys(new));
        let entries = |text: &str, keys: &'static [char]| -> Vec<Entry<'static, char>> {
            text.chars().zip(keys).map(|(letter, key)| Entry { key, is_placed: letter.is_lowercase() }).collect()
        };
        let (old_keys, new_keys): (&'static [char], &'static [char]) = (old_keys.leak(), new_keys.leak());
        let matched = align(&entries(old, old_keys), &entries(new, new_keys));
        let letter = |matched: &Matched| match matched {
            Matched::One(index) => index.to_string(),
            Matched::None => "-".to_owned(),
            Matched::Ambiguous { .. } => "?".to_owned(),
        };
        matched.iter().map(letter).collect()
    }

    #[test]
    fn what_occurs_once_is_found_wherever_it_went() {
        assert_eq!(aligned("abc", "abc"), "012");
        assert_eq!(aligned("abc", "xcba"), "321");
        assert_eq!(aligned("abc", "ac"), "0-1");
        assert_eq!(aligned("ABC", "cab"), "120");
    }

    #[test]
    fn neighbours_tell_which_of_several() {
        assert_eq!(aligned("aXpbp".to_lowercase().as_str(), "axpbpp"), "0123?");
        assert_eq!(aligned("apbp", "apbp"), "0123");
        assert_eq!(aligned("papbp", "pappbp"), "01?45", "the one beside the added one is not told from it");
        assert_eq!(aligned("pp", "pp"), "01");
    }

    #[test]
    fn nothing_is_guessed() {
        assert_eq!(aligned("pp", "ppp"), "??");
        assert_eq!(aligned("ppp", "pp"), "???");
        assert_eq!(aligned("p", "pp"), "?");
        assert_eq!(aligned("pqpq", "qpqp"), "????", "in another order");
        assert_eq!(aligned("Pp", "pp"), "??", "one has no place");
    }

    #[test]
    fn what_moved_is_no_anchor() {
        assert_eq!(aligned("apbp", "bpap"), "2?0?");
        assert_eq!(aligned("abpcp", "bpcpa"), "40123");
    }

    #[test]
    fn anchors_are_in_every_longest_selection() {
        assert_eq!(in_every_longest(&[(0, 0), (1, 2), (2, 1), (3, 3)]), [(0, 0), (3, 3)]);
        assert_eq!(in_every_longest(&[(0, 1), (1, 0)]), []);
        assert_eq!(in_every_longest(&[]), []);
    }
}
