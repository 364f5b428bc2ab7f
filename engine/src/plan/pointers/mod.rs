//! What a word that points into the old program becomes (PROOF §1).

pub mod boundary;
pub mod code;
pub mod data;
pub mod literal;
pub mod structural;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dsu_formats::address::RunAddress;

use super::abi;
use super::address::{NewLink, OldLink, Placement};
use super::blocker::PointerReason;
use super::data::recipe::Recipe;
use super::view::View;
use crate::program::address::LinkAddress;
use crate::program::types::TypeId;

/// What a word becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This address of the new program.
    Move(NewLink),
    /// This run-time address, outside both programs.
    Elsewhere(RunAddress),
    /// It stays: the old bytes from here to there stay readable at their address.
    Keep(OldLink, OldLink),
    /// It stays as it is and points to nothing any more: provably nobody reads it.
    Stale,
    /// No rule decides it.
    Blocked(PointerReason),
}

/// Where a word stands: what may be assumed about how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Memory of unknown type.
    Memory,
    /// A word of this pointer type of the old build.
    Typed(TypeId),
    /// A pointer to this type of the old build, canonical.
    PointsTo(TypeId),
    /// A return address that unwinding found: it belongs to the function before it.
    ReturnAddress,
    /// The live part of a stack that was unwound whole; return addresses in it are known, and `stale_returns` says that what else
    /// looks like one is a leftover.
    Stack {
        /// Whether nothing in the process saves return addresses elsewhere on stacks.
        stale_returns: bool,
    },
    /// A register of a stopped thread.
    Register,
    /// Data of the loader.
    Loader,
}

/// Which of the old program's variables keep their values, and which take the new program's.
#[derive(Clone, Debug, Default)]
pub struct Fates {
    /// For each variable of the old build, whether its value is carried.
    pub carried: Vec<bool>,
    /// Copies of libraries' objects that the new program has no copy of: the library's own object.
    pub returned: HashMap<usize, RunAddress>,
    /// For variables whose type changes: where each of their parts is now.
    pub recipes: HashMap<usize, Arc<Recipe>>,
    /// Of these, variables whose elements or fields change, not just their number.
    pub reshaped: HashSet<usize>,
    /// Addresses of libraries' functions that a fixed-address program has in its own linkage table (psABI, "Function Addresses").
    pub stubs: HashMap<LinkAddress, Decision>,
    /// Whether earlier builds ran in this process, so that the old build's code did not make every pointer in it.
    pub updated_before: bool,
}

/// Decides words.
#[derive(Clone, Copy, Debug)]
pub struct Pointers<'a> {
    /// Both builds.
    pub view: View<'a>,
    /// Where they are.
    pub placement: Placement,
    /// Values of variables.
    pub fates: &'a Fates,
}

impl Pointers<'_> {
    /// What `word` becomes, if it points into the old program. A word just behind its last byte counts as one of its own.
    pub fn decide(&self, word: u64, site: Site) -> Option<Decision> {
        let link = self.placement.old_link(word)?;
        Some(self.decide_link(link, site))
    }

    /// What the old link-time address `link` becomes.
    pub fn decide_link(&self, link: OldLink, site: Site) -> Decision {
        if let Some(decision) = self.structural(link, site) {
            return decision;
        }
        if site == Site::ReturnAddress {
            return self.return_address(link);
        }
        if self.is_code(link) {
            return self.code(link, site);
        }
        self.data(link, site)
    }

    /// The new word for a decision, when the word changes.
    pub fn word(&self, decision: &Decision) -> Option<u64> {
        match decision {
            Decision::Move(link) => Some(self.placement.new_run(*link).0.0),
            Decision::Elsewhere(address) => Some(address.0),
            Decision::Keep(..) | Decision::Stale | Decision::Blocked(_) => None,
        }
    }

    fn is_code(&self, link: OldLink) -> bool {
        self.view.old.elf.load_at(link.0).is_some_and(|segment| segment.flags & abi::PF_X != 0)
    }
}

#[cfg(test)]
mod tests;
