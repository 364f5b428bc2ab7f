//! The address spaces of a plan as types: link-time and run-time addresses of the old and of the new program.

use std::fmt;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use crate::program::address::LinkAddress;

/// A link-time address of the old program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct OldLink(pub LinkAddress);

/// A link-time address of the new program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
pub struct NewLink(pub LinkAddress);

/// A run-time address in the address space as it was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct OldRun(pub RunAddress);

/// A run-time address in the address space that the plan makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NewRun(pub RunAddress);

impl OldLink {
    /// The link-time address `value` of the old program.
    pub fn new(value: u64) -> Self {
        Self(LinkAddress(value))
    }

    /// The address `bytes` above.
    pub fn offset(self, bytes: u64) -> Self {
        Self(self.0.offset(bytes))
    }

    /// Distance in bytes from `start`, when this address is not below it.
    pub fn since(self, start: OldLink) -> Option<u64> {
        self.0.0.checked_sub(start.0.0)
    }
}

impl NewLink {
    /// The link-time address `value` of the new program.
    pub fn new(value: u64) -> Self {
        Self(LinkAddress(value))
    }

    /// The address `bytes` above.
    pub fn offset(self, bytes: u64) -> Self {
        Self(self.0.offset(bytes))
    }
}

impl fmt::Display for OldRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for NewRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the old program is, and where the new one will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    old_bias: u64,
    new_bias: u64,
    old: RunRange,
    new: RunRange,
    annex: RunRange,
    /// Whether something else begins right behind the old program, so that its end is that thing's start.
    end_taken: bool,
    /// For a fixed-address program, whose literals cannot stay: how far above its old address each would lie.
    lifted: Option<u64>,
}

impl Placement {
    /// The old program at bias `old_bias` over `old_pages` (link-time, whole pages), the new one at `new_bias` over
    /// `new_pages`, with `annex_length` bytes of the plan's own behind it.
    pub fn new(
        old_bias: u64,
        old_pages: (LinkAddress, LinkAddress),
        new_bias: u64,
        new_pages: (LinkAddress, LinkAddress),
        annex_length: u64,
    ) -> Self {
        let at = |bias: u64, pages: (LinkAddress, LinkAddress)| {
            RunRange::new(bias.wrapping_add(pages.0.0), bias.wrapping_add(pages.1.0))
        };
        let new = at(new_bias, new_pages);
        let annex = RunRange::new(new.end.0, new.end.0.saturating_add(annex_length));
        Self { old_bias, new_bias, old: at(old_bias, old_pages), new, annex, end_taken: false, lifted: None }
    }

    /// The same where something else (the heap, without address randomisation) begins right behind the old program.
    pub fn with_end_taken(self, end_taken: bool) -> Self {
        Self { end_taken, ..self }
    }

    /// The same for a program that sits where the old one sat, with the plan's own at `annex`, and old literals `lifted` bytes above
    /// their addresses.
    pub fn fixed(self, annex: RunRange, lifted: u64) -> Self {
        Self { annex, lifted: Some(lifted), ..self }
    }

    /// Whether the new program sits where the old one sat, among numbers that small integers have, too.
    pub fn is_fixed(&self) -> bool {
        self.lifted.is_some()
    }

    /// How far above its old address an old literal stays readable.
    pub fn lifted(&self) -> u64 {
        self.lifted.unwrap_or(0)
    }

    /// Pages of the old program's segments.
    pub fn old_range(&self) -> RunRange {
        self.old
    }

    /// Pages of the new program's segments.
    pub fn new_range(&self) -> RunRange {
        self.new
    }

    /// Pages that hold what the plan made: behind the new program, or for a fixed-address one apart.
    pub fn annex(&self) -> RunRange {
        self.annex
    }

    /// Difference of run-time and link-time addresses of the old program.
    pub fn old_bias(&self) -> u64 {
        self.old_bias
    }

    /// Difference of run-time and link-time addresses of the new program.
    pub fn new_bias(&self) -> u64 {
        self.new_bias
    }

    /// The link-time address behind a word, when it lies in the old program, or just behind its end where nothing else begins.
    pub fn old_link(&self, word: u64) -> Option<OldLink> {
        let inside = self.old.start.0 <= word && word <= self.old.end.0 && !(self.end_taken && word == self.old.end.0);
        inside.then(|| OldLink::new(word.wrapping_sub(self.old_bias)))
    }

    /// Run-time address of `link` in the old program.
    pub fn old_run(&self, link: OldLink) -> OldRun {
        OldRun(RunAddress(self.old_bias.wrapping_add(link.0.0)))
    }

    /// Run-time address of `link` in the new program.
    pub fn new_run(&self, link: NewLink) -> NewRun {
        NewRun(RunAddress(self.new_bias.wrapping_add(link.0.0)))
    }
}

/// `value` rounded down to a page boundary.
pub fn page_floor(value: u64) -> u64 {
    value & !(PAGE_SIZE - 1)
}

/// `value` rounded up to a page boundary.
pub fn page_ceil(value: u64) -> u64 {
    value.saturating_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_behind_the_old_program_is_still_its_own() {
        let placement = Placement::new(
            0x5000_0000,
            (LinkAddress(0), LinkAddress(0x3000)),
            0x4000_0000,
            (LinkAddress(0), LinkAddress(0x5000)),
            0x1000,
        );
        assert_eq!(placement.old_link(0x5000_3000), Some(OldLink::new(0x3000)));
        assert_eq!(placement.old_link(0x5000_3001), None);
        assert_eq!(placement.with_end_taken(true).old_link(0x5000_3000), None);
        assert_eq!(placement.old_link(0x4fff_ffff), None);
        assert_eq!(placement.annex(), RunRange::new(0x4000_5000, 0x4000_6000));
        assert_eq!(placement.new_run(NewLink::new(0x10)).0, RunAddress(0x4000_0010));
    }
}
