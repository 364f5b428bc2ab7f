//! Pairs of small C programs, compiled at test time, and what comparing them says.

mod builds;
mod damage;
mod edits;
mod graph;
mod layout;

use std::collections::HashMap;

use super::*;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::elf::Elf;
use crate::program::testing::Compiled;

/// Pairs variables by the names of their symbols, numbers cut off.
pub(super) struct ByName {
    old: HashMap<LinkAddress, String>,
    new: HashMap<LinkAddress, String>,
    old_locals: HashMap<u64, String>,
    new_locals: HashMap<u64, String>,
}

impl ByName {
    pub(super) fn new(old: &Elf, new: &Elf) -> Self {
        let named = |elf: &Elf, kind: u8| -> HashMap<u64, String> {
            let symbols = elf.symbols.iter().filter(|symbol| symbol.kind == kind && symbol.section < 0xff00);
            symbols.map(|symbol| (symbol.address.0, symbol.name.split('.').next().unwrap_or_default().to_owned())).collect()
        };
        let placed = |elf| named(elf, 1).into_iter().map(|(at, name)| (LinkAddress(at), name)).collect();
        Self { old: placed(old), new: placed(new), old_locals: named(old, 6), new_locals: named(new, 6) }
    }
}

impl ObjectPairing for ByName {
    fn same_object(&self, old: LinkAddress, new: LinkAddress) -> bool {
        self.old.get(&old).is_some_and(|name| self.new.get(&new) == Some(name))
    }

    fn same_thread_local(&self, old: u64, new: u64) -> bool {
        self.old_locals.get(&old).is_some_and(|name| self.new_locals.get(&new) == Some(name))
    }
}

/// Two builds and what became of the functions of the first.
pub(super) struct Pair {
    pub(super) old: Build,
    pub(super) new: Build,
}

/// What a test asks for: a function by name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Same,
    Literals,
    Different(Reason),
    Ambiguous,
    Removed,
}

impl Pair {
    pub(super) fn compile(old: &str, new: &str, flags: &[&str]) -> Self {
        Self::files(&[("program", old)], &[("program", new)], flags)
    }

    pub(super) fn files(old: &[(&str, &str)], new: &[(&str, &str)], flags: &[&str]) -> Self {
        let flags: Vec<&str> = ["-g"].iter().chain(flags).copied().collect();
        let build = |sources: &[(&str, &str)]| Compiled::files(sources, &flags).build();
        Self { old: build(old), new: build(new) }
    }

    pub(super) fn with<T>(&self, check: impl FnOnce(&CodeImage<'_>, &CodeImage<'_>, &FunctionDiff) -> T) -> T {
        let old = CodeImage::new(&self.old.elf, &self.old.debug);
        let new = CodeImage::new(&self.new.elf, &self.new.debug);
        let diff = FunctionDiff::new(&old, &new, &ByName::new(&self.old.elf, &self.new.elf));
        check(&old, &new, &diff)
    }

    /// What became of every function, by name with clone suffixes.
    pub(super) fn fates(&self) -> HashMap<String, Found> {
        self.with(|old, _, diff| {
            let named = |(id, fate): (FunctionId, &Fate)| {
                let found = match fate {
                    Fate::Paired { comparison: Comparison::Same, .. } => Found::Same,
                    Fate::Paired { comparison: Comparison::SameButLiterals(_), .. } => Found::Literals,
                    Fate::Paired { comparison: Comparison::Different(difference), .. } => Found::Different(difference.reason),
                    Fate::Ambiguous(_) => Found::Ambiguous,
                    Fate::Removed => Found::Removed,
                };
                (old.inventory().get(id).expect("its own number").full_name(), found)
            };
            diff.iter().map(named).collect()
        })
    }

    /// Asserts that exactly these functions are not the same.
    pub(super) fn expect(&self, expected: &[(&str, Found)]) {
        let fates = self.fates();
        for (name, found) in expected {
            assert_eq!(fates.get(*name), Some(found), "{name} in {fates:?}");
        }
        let others: Vec<_> = fates
            .iter()
            .filter(|(name, found)| **found != Found::Same && !expected.iter().any(|(known, _)| known == name))
            .collect();
        assert!(others.is_empty(), "these differ too: {others:?}");
    }
}

/// `text` with one occurrence of `from` replaced.
pub(super) fn edit(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "nothing to edit");
    text.replacen(from, to, 1)
}
