//! Whether memory that both sides read or write is the same place, and holds the same (PROOF 3.4, 3.25): nothing that only one side does may have
//! written there since.

use super::correspond::{Correspondence, Side};
use super::events;
use super::pairs::Pairs;
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
        let pairs = self.pairs;
        let writes = |side: &mut Side<'_, '_>, read: u32, address: ValueId, is_old: bool| {
            let mut passed = events::ahead_of(side.graph(), read);
            // A read in a loop comes behind itself.
            passed.retain(|node| *node != read);
            writes(side, pairs, is_old, &passed, (address, bytes))
        };
        let (mut olds, mut news) = (writes(&mut self.old, old, from, true), writes(&mut self.new, new, to, false));
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
        let pairs = self.pairs;
        let writes = |side: &mut Side<'_, '_>, read: u32, address: ValueId, is_old: bool| {
            let passed = events::between(side.graph(), read, side.point, carried);
            writes(side, pairs, is_old, &passed, (address, bytes))
        };
        let (mut from, mut to) = (writes(&mut self.old, old, from, true), writes(&mut self.new, new, to, false));
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

/// Those of `nodes` that may write to `bytes` bytes at `address`; what types tell to be elsewhere does not.
fn writes(side: &mut Side<'_, '_>, pairs: &dyn Pairs, is_old: bool, nodes: &[u32], (address, bytes): (ValueId, u8)) -> Vec<u32> {
    let mut found = events::writes(side.values, nodes, (address, bytes));
    found.retain(|node| {
        let written = events::written_at(side.values, *node);
        written.is_none_or(|(written, _)| !pairs.is_apart(is_old, side.values, written, address))
    });
    found
}
