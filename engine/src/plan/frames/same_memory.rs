//! Whether memory that both sides read or write is the same place, and holds the same (PROOF 3.4, 3.25): nothing that only one side does may have
//! written there since.

use super::correspond::{Correspondence, Side};
use super::events;
use crate::program::flow::{Graph, Term, ValueId, Values};

impl Correspondence<'_, '_> {
    /// Reads of the same place, after which nothing that only one side does may have changed it.
    pub(super) fn same_read(
        &mut self,
        (at, from): (u32, ValueId),
        (other, to): (u32, ValueId),
        bytes: u8,
        carried: bool,
    ) -> bool {
        let is_constant = matches!(self.old.values.node(from), Term::Address(symbol) if self.pairs.is_constant(symbol, bytes));
        self.same_place(from, to, bytes, carried) && (is_constant || self.same_memory((at, from), (other, to), bytes, carried))
    }

    /// Whether two addresses, of which `bytes` are written, are the same place. `carried` as in [`Self::same_at`].
    pub(super) fn is_place(&mut self, from: ValueId, to: ValueId, bytes: u8, carried: bool) -> bool {
        let same = self.same_place(from, to, bytes, carried);
        self.settle(same);
        same
    }

    /// Whether two addresses, of which `bytes` are read or written, are the same place.
    pub(super) fn same_place(&mut self, from: ValueId, to: ValueId, bytes: u8, carried: bool) -> bool {
        if let (Term::Address(old), Term::Address(new)) = (self.old.values.node(from), self.new.values.node(to)) {
            return self.pairs.same_symbol(old, new, Some(bytes));
        }
        let parts = |values: &Values<'_>, address: ValueId| match values.node(address) {
            Term::Sum { terms, .. } => terms.clone(),
            _ => vec![(address, 1)],
        };
        match self.pairs.same_part((self.old.values, from), (self.new.values, to), bytes) {
            Some(same) => {
                let terms = (parts(self.old.values, from), parts(self.new.values, to));
                same && self.same_terms(&terms.0, &terms.1, carried)
            }
            None => self.check(from, to, carried),
        }
    }

    /// Whether what two reads find is the same: nothing that only one side does may have changed it between the read and the point, or
    /// between the entry and the read.
    fn same_memory(&mut self, old: (u32, ValueId), new: (u32, ValueId), bytes: u8, carried: bool) -> bool {
        self.same_events(old, new, bytes, carried) || self.same_before(old, new, bytes)
    }

    /// Whether all that may have written what is read, from the entries to the reads, was done alike. Whatever is read there was read by
    /// a function that had done the same until then.
    fn same_before(&mut self, (old, from): (u32, ValueId), (new, to): (u32, ValueId), bytes: u8) -> bool {
        let writes = |side: &mut Side<'_, '_>, read: u32, address: ValueId| {
            let mut passed = events::ahead_of(side.graph(), read);
            // A read in a loop comes behind itself.
            passed.retain(|node| *node != read);
            events::writes(side.values, &passed, (address, bytes))
        };
        let (mut olds, mut news) = (writes(&mut self.old, old, from), writes(&mut self.new, new, to));
        self.drop_harmless(&mut olds, &mut news);
        let is_call = |graph: &Graph, node: u32| graph.node(node).is_some_and(|node| node.call.is_some());
        let mut alike = |old: u32, new: u32| match (is_call(self.old.graph(), old), is_call(self.new.graph(), new)) {
            // What it wrote depends on what it was given.
            (true, true) => {
                let is_known = self.new.graph().node(new).is_some_and(|node| node.arguments.is_some());
                is_known && self.same_call(old, new) && self.same_registers(old, new, true)
            }
            (false, false) => self.same_event(old, new, true),
            _ => false,
        };
        olds.iter().all(|old| news.iter().any(|new| alike(*old, *new)))
            && news.iter().all(|new| olds.iter().any(|old| alike(*old, *new)))
    }

    /// Whether what may write to memory between a read and the point has partners on the other side.
    fn same_events(&mut self, (old, from): (u32, ValueId), (new, to): (u32, ValueId), bytes: u8, carried: bool) -> bool {
        let writes = |side: &mut Side<'_, '_>, read: u32, address: ValueId, window: Option<Vec<u32>>| {
            let whole = |side: &Side<'_, '_>| events::between(side.graph(), read, side.point, carried);
            let passed = window.unwrap_or_else(|| whole(side));
            events::writes(side.values, &passed, (address, bytes))
        };
        let windows = self.recent.and_then(|recent| recent.old_window(&self.old, old).zip(recent.new_window(&self.new, new)));
        let (one, other) = windows.unzip();
        let (mut from, mut to) = (writes(&mut self.old, old, from, one), writes(&mut self.new, new, to, other));
        self.drop_harmless(&mut from, &mut to);
        from.iter().all(|event| to.iter().any(|other| self.same_event(*event, *other, carried)))
            && to.iter().all(|event| from.iter().any(|other| self.same_event(*other, *event, carried)))
    }

    /// Drops calls that change nothing that the program reads.
    fn drop_harmless(&self, olds: &mut Vec<u32>, news: &mut Vec<u32>) {
        let callee = |graph: &Graph, node: u32| graph.node(node).and_then(|node| node.call);
        olds.retain(|node| callee(self.old.graph(), *node).is_none_or(|callee| self.pairs.may_change(callee)));
        news.retain(|node| callee(self.new.graph(), *node).is_none_or(|callee| self.pairs.new_may_change(callee)));
    }
}
