//! Which source file of the new build is which of the old one.

use std::collections::{BTreeSet, HashMap};

/// Partners of source files, by the name that DW_AT_name gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnitMap {
    new_of_old: HashMap<String, String>,
}

impl UnitMap {
    /// Pairs equal names, then the longest unique ends of paths: builds in different directories name the same files.
    pub fn new<'a>(old: impl Iterator<Item = &'a str>, new: impl Iterator<Item = &'a str>) -> Self {
        let mut old: BTreeSet<&str> = old.collect();
        let mut new: BTreeSet<&str> = new.collect();
        let mut pairs: Vec<(&str, &str)> = old.intersection(&new).map(|unit| (*unit, *unit)).collect();
        remove(&mut old, &mut new, &pairs);
        let longest = old.iter().chain(&new).map(|unit| parts(unit).count()).max().unwrap_or(0);
        for length in (1..=longest).rev() {
            let found = unique_ends(&old, &new, length);
            remove(&mut old, &mut new, &found);
            pairs.extend(found);
        }
        Self { new_of_old: pairs.into_iter().map(|(old, new)| (old.to_owned(), new.to_owned())).collect() }
    }

    /// The new build's name of the old build's file `unit`.
    pub fn new_name(&self, unit: &str) -> Option<&str> {
        self.new_of_old.get(unit).map(String::as_str)
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

fn remove<'a>(old: &mut BTreeSet<&'a str>, new: &mut BTreeSet<&'a str>, pairs: &[(&'a str, &'a str)]) {
    for (from, to) in pairs {
        old.remove(from);
        new.remove(to);
    }
}

/// Pairs whose last `length` path parts agree, and are nobody else's on either side.
fn unique_ends<'a>(old: &BTreeSet<&'a str>, new: &BTreeSet<&'a str>, length: usize) -> Vec<(&'a str, &'a str)> {
    let ends = |units: &BTreeSet<&'a str>| {
        let mut ends: HashMap<Vec<&'a str>, Vec<&'a str>> = HashMap::new();
        for unit in units {
            let end: Vec<&str> = parts(unit).rev().take(length).collect();
            if end.len() == length {
                ends.entry(end).or_default().push(unit);
            }
        }
        ends
    };
    let (old, new) = (ends(old), ends(new));
    let mut pairs: Vec<(&str, &str)> = old
        .iter()
        .filter_map(|(end, from)| match (from.as_slice(), new.get(end)?.as_slice()) {
            ([from], [to]) => Some((*from, *to)),
            _ => None,
        })
        .collect();
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(old: &[&'static str], new: &[&'static str]) -> UnitMap {
        UnitMap::new(old.iter().copied(), new.iter().copied())
    }

    #[test]
    fn the_same_file_in_another_directory_is_the_same_file() {
        let map = map(
            &["/b/u7/src/util.c", "/b/u7/deps/x/util.c", "a.c", "gone.c"],
            &["/b/u10/src/util.c", "/b/u10/deps/x/util.c", "a.c", "fresh.c"],
        );
        assert_eq!(map.new_name("/b/u7/src/util.c"), Some("/b/u10/src/util.c"));
        assert_eq!(map.new_name("/b/u7/deps/x/util.c"), Some("/b/u10/deps/x/util.c"));
        assert_eq!(map.new_name("a.c"), Some("a.c"));
        assert_eq!(map.new_name("gone.c"), None);
    }

    #[test]
    fn one_of_two_equal_ends_is_not_guessed() {
        let map = map(&["x/util.c"], &["y/util.c", "z/util.c"]);
        assert_eq!(map.new_name("x/util.c"), None);
    }
}
