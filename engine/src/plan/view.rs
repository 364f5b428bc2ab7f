//! Both builds with all that is known of them before the stop.

use std::collections::{HashMap, HashSet};

use super::address::{NewLink, OldLink};
use super::compare::content::Content;
use super::compare::sides::Sides;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::code::{CallGraph, Callee, Writers};

/// Both builds, paired; borrowed by everything that decides.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The old build.
    pub old: &'a Build,
    /// The new build.
    pub new: &'a Build,
    /// Names and pairs.
    pub sides: &'a Sides,
    /// What the code of the two builds says.
    pub code: &'a CodeFacts,
    /// For each variable of the old build whether its partner is initialised alike; empty as long as that is not known.
    pub same_initialiser: &'a [bool],
}

/// What comparing machine code says.
#[derive(Debug)]
pub struct CodeFacts {
    /// For each function of the old build, whether its partner has the same instructions modulo relocation.
    pub same: Vec<bool>,
    /// Places that unchanged functions name, and all that they name instead in the new build.
    pub references: HashMap<OldLink, Vec<NewLink>>,
    /// Who calls whom in the old build.
    pub calls: CallGraph,
    /// Who calls whom in the new build.
    pub new_calls: CallGraph,
    /// What is called by the call that returns to an address of the old build.
    pub returns: HashMap<LinkAddress, Callee>,
    /// Variables of the old build that are tables whose rows change and whose own address no code of the old build keeps in memory:
    /// what holds it points to the first row.
    pub only_rows: HashSet<usize>,
    /// Who stores to variables of the old build whose address nobody takes.
    pub writers: Writers,
    /// The same of the new build.
    pub new_writers: Writers,
}

impl<'a> View<'a> {
    /// Comparison of initial content.
    pub fn content(&self) -> Content<'a> {
        Content { old: &self.old.elf, new: &self.new.elf, sides: self.sides }
    }

    /// Whether a variable of the old build and its partner have one size and are initialised alike.
    pub fn is_same_initialiser(&self, old: usize, new: usize) -> bool {
        if let Some(same) = self.same_initialiser.get(old) {
            return *same;
        }
        let (from, to) = (&self.sides.old.objects.list()[old], &self.sides.new.objects.list()[new]);
        from.size == to.size && self.content().same(from.start, to.start, from.size)
    }

    /// Whether the function with this index in the old build is unchanged.
    pub fn same_code(&self, function: usize) -> bool {
        self.code.same.get(function).copied().unwrap_or(false)
    }

    /// What unchanged functions that name `place` name in the new build, when they agree.
    pub fn reference(&self, place: OldLink) -> Option<NewLink> {
        match self.references(place) {
            [only] => Some(*only),
            _ => None,
        }
    }

    /// Everything that unchanged functions that name `place` name in the new build.
    pub fn references(&self, place: OldLink) -> &'a [NewLink] {
        self.code.references.get(&place).map_or(&[], Vec::as_slice)
    }
}
