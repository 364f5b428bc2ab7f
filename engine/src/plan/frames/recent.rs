//! What the last round of a loop around the point, or the way into it, left to the present one (PROOF 3.31): memory may have been written
//! since then on a short way only.

use super::correspond::{Correspondence, Side};
use super::events::{self, reached};
use crate::program::flow::ValueId;

/// Loops around the points, with where what is compared was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recent {
    heads: (u32, u32),
    /// On the way into the loop, which it has not gone round since; else in the round before.
    is_entry: bool,
}

impl Recent {
    /// The nodes that control has passed on the old side since it passed `read`, if that was in this time.
    pub(super) fn old_window(self, side: &Side<'_, '_>, read: u32) -> Option<Vec<u32>> {
        window(side, self.heads.0, self.is_entry, read)
    }

    /// The same of the new side.
    pub(super) fn new_window(self, side: &Side<'_, '_>, read: u32) -> Option<Vec<u32>> {
        window(side, self.heads.1, self.is_entry, read)
    }
}

fn window(side: &Side<'_, '_>, head: u32, is_entry: bool, read: u32) -> Option<Vec<u32>> {
    let graph = side.graph();
    let body = events::body(graph, side.dominators, head);
    let is_in = |node: &u32| body.binary_search(node).is_ok();
    if is_in(&read) == is_entry {
        return None;
    }
    let next = |node: u32| graph.node(node).map_or(&[][..], |node| &node.next);
    let before = |node: u32| graph.node(node).map_or(&[][..], |node| &node.before);
    let ends: Vec<u32> = before(head).iter().copied().filter(|end| is_in(end) != is_entry).collect();
    let since = reached(next(read), next, |node| node == head);
    let until = reached(&ends, before, |node| node == read || node == head);
    let mut passed: Vec<u32> = since.intersection(&until).copied().filter(|node| is_in(node) != is_entry).collect();
    // The present round.
    let from = reached(&[head], next, |node| node == side.point || !is_in(&node));
    let to = reached(before(side.point), before, |node| node == head);
    passed.extend(from.intersection(&to).filter(|node| is_in(node) && **node != side.point));
    if side.point != head {
        passed.push(head);
    }
    passed.sort_unstable();
    passed.dedup();
    Some(passed)
}

impl Correspondence<'_, '_> {
    /// Whether what ways into the heads of two loops around the points bring is the same, as it was made since the heads were passed before.
    pub(super) fn same_recent(
        &mut self,
        (at, from, old): (u32, &[ValueId], ValueId),
        (other, to, new): (u32, &[ValueId], ValueId),
    ) -> bool {
        let kind = |side: &Side<'_, '_>, head: u32, inputs: &[ValueId], value: ValueId| -> Option<bool> {
            let body = events::body(side.graph(), side.dominators, head);
            let before = side.graph().node(head)?.before.iter().zip(inputs).filter(|(_, input)| **input == value);
            let mut kinds = before.map(|(before, _)| body.binary_search(before).is_err());
            let first = kinds.next()?;
            kinds.all(|kind| kind == first).then_some(first)
        };
        match (kind(&self.old, at, from, old), kind(&self.new, other, to, new)) {
            (Some(one), Some(two)) if one == two => {
                self.in_recent(Recent { heads: (at, other), is_entry: one }, |this| this.check(old, new, true))
            }
            _ => false,
        }
    }

    /// Whether what two branches of loops around the points asked last is the same.
    pub(super) fn same_recent_question(&mut self, heads: (u32, u32), old: u32, new: u32) -> bool {
        self.in_recent(Recent { heads, is_entry: false }, |this| this.same_question(old, new, true))
    }

    fn in_recent(&mut self, recent: Recent, compare: impl FnOnce(&mut Self) -> bool) -> bool {
        let is_around = |side: &Side<'_, '_>, head: u32| events::rank(side.graph(), side.dominators, head, side.point).is_some();
        if self.walked.is_some() || !is_around(&self.old, recent.heads.0) || !is_around(&self.new, recent.heads.1) {
            return false;
        }
        let before = (self.recent.replace(recent), self.round.take());
        let same = compare(self);
        (self.recent, self.round) = before;
        same
    }
}
