//! Points that a thread comes to next: where it may be let on to by single instructions.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::explain::Explainer;
use crate::program::address::LinkAddress;
use crate::program::flow::may_store;

/// How far ahead points are looked for, in instructions.
const MOST: usize = 400;
/// How far ahead known ones are.
const MOST_KNOWN: usize = 512;
/// So many are enough.
const WANTED: usize = 4;
/// No longer is spent on the points ahead of one place.
const LIMIT: Duration = Duration::from_millis(300);

/// A point that a thread comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    /// Where it is in the old build.
    pub place: LinkAddress,
    /// How many instructions of the function away, by the shortest way.
    pub steps: usize,
}

impl Explainer<'_> {
    /// The nearest point at or after `place` of a changed function at which it is known how its frame goes on.
    pub fn nearest(&self, function: usize, place: LinkAddress) -> Option<Near> {
        let prepared = &self.comparison.prepared;
        let steps = |address: &LinkAddress| prepared.is_point(function, *address);
        let (steps, place) = self.ahead(function, place, MOST_KNOWN).into_iter().find(|(_, address)| steps(address))?;
        Some(Near { place, steps })
    }

    /// Finds out about the points ahead of a place at which the frame cannot go on. Those where ways meet or part, and behind what is stored
    /// or called, come first: in the middle of what is worked out differently there are none.
    pub(in super::super) fn look_ahead(&self, function: usize, place: LinkAddress) {
        let prepared = &self.comparison.prepared;
        let started = Instant::now();
        let mut found = 0;
        let mut ahead = self.ahead(function, place, MOST);
        ahead.sort_by_key(|(steps, address)| (!self.is_likely(function, *address), *steps));
        for (_, address) in ahead {
            let key = (function, address, true);
            if !prepared.is_known(key) {
                let known = self.find(key);
                tracing::trace!(%address, ?known, "looked at a point ahead");
                prepared.remember(key, known);
            }
            found += usize::from(prepared.is_point(function, address));
            if found >= WANTED || started.elapsed() > LIMIT {
                return;
            }
        }
    }

    fn is_likely(&self, function: usize, place: LinkAddress) -> bool {
        let Ok(facts) = self.comparison.prepared.old(function) else { return false };
        let Some(node) = facts.graph.at(place).and_then(|node| facts.graph.node(node)) else { return false };
        let ends = |before: &u32| {
            let before = facts.graph.node(*before);
            before.is_some_and(|before| before.is_call() || before.next.len() > 1 || may_store(&before.instruction))
        };
        node.before.len() != 1 || node.before.iter().any(ends)
    }

    /// Instructions that may come after a place, the nearest first, with how far away they are.
    fn ahead(&self, function: usize, place: LinkAddress, most: usize) -> Vec<(usize, LinkAddress)> {
        let Ok(facts) = self.comparison.prepared.old(function) else { return Vec::new() };
        let Some(first) = facts.graph.at(place) else { return Vec::new() };
        let mut seen = HashSet::from([first]);
        let mut open = VecDeque::from([(0, first)]);
        let mut found = Vec::new();
        while let Some((steps, index)) = open.pop_front() {
            let Some(node) = facts.graph.node(index).filter(|_| found.len() < most) else { continue };
            found.push((steps, node.address()));
            let next = node.next.iter().filter(|next| seen.insert(**next));
            open.extend(next.map(|next| (steps + 1, *next)));
        }
        found
    }
}
