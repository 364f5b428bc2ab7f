//! From what was reached to what there is: objects within others go, overlaps that cannot both be are told.

use std::collections::HashSet;

use dsu_formats::address::RunAddress;

use super::found::{Found, PointerSite};
use super::items::{Item, Strength};
use super::problem::Problem;
use super::queue::Walker;
use super::regions::Region;

/// Conflicts that are told one by one.
const LIMIT: usize = 100;

/// How many of the last items a new one may still replace: those that overlap it, which are few.
const OPEN: usize = 1 << 12;

/// Items that are fetched together: in the order of their addresses they lie all over the list, and loads that do not wait for each
/// other take hardly longer than one.
const AHEAD: usize = 64;

/// An item with what it covers.
#[derive(Clone, Copy)]
struct Span {
    item: Item,
    size: u64,
    end: u64,
    changed: bool,
    is_root: bool,
}

impl Walker<'_> {
    /// Sorts out what was reached. `roots` are the variables that hold what is walked.
    pub(super) fn settle(&mut self, roots: &[Item]) -> (Vec<Found>, Vec<PointerSite>) {
        let list = std::mem::take(&mut self.items.list);
        let item = |number: u32| roots.get(number as usize).or_else(|| list.get(number as usize - roots.len()));
        let count = (roots.len() + list.len()) as u32;
        let replaced: HashSet<usize> = self.items.replaced.iter().map(|number| roots.len() + *number as usize).collect();
        let numbers = (0..count).filter(|number| replaced.is_empty() || !replaced.contains(&(*number as usize)));
        let mut order: Vec<(u64, u32)> = numbers.filter_map(|number| Some((item(number)?.address, number))).collect();
        // Two numbers at a time are compared without a branch; what their items say decides only among equals, which are few.
        order.sort_unstable();
        // Outer ones first; of equals the surer.
        let rank = |number: u32| item(number).map(|item| (u64::MAX - self.end(item), u8::MAX - item.strength as u8));
        order
            .chunk_by_mut(|a, b| a.0 == b.0)
            .filter(|equal| equal.len() > 1)
            .for_each(|equal| equal.sort_by_key(|one| rank(one.1)));
        let mut kept: Vec<Span> = Vec::new();
        let mut found = Vec::new();
        let mut conflicts = 0;
        let mut batch: Vec<(u32, Item)> = Vec::with_capacity(AHEAD);
        for numbers in order.chunks(AHEAD) {
            batch.clear();
            batch.extend(numbers.iter().filter_map(|(_, number)| Some((*number, *item(*number)?))));
            for (number, item) in batch.iter().copied() {
                let span = self.span(item, (number as usize) < roots.len());
                self.place(span, &mut kept, &mut conflicts);
            }
            if kept.len() >= 2 * OPEN {
                found.extend(kept.drain(..OPEN).filter(|span| span.changed).map(|span| self.found(&span)));
            }
        }
        found.extend(kept.iter().filter(|span| span.changed).map(|span| self.found(span)));
        self.items.list = list;
        let mut sites: Vec<PointerSite> = std::mem::take(&mut self.sites)
            .into_iter()
            .filter_map(|(address, kind)| Some(PointerSite { address: RunAddress(address), target: self.kinds.get(kind)?.id }))
            .collect();
        sites.sort_unstable();
        sites.dedup();
        (found, sites)
    }

    fn end(&self, item: &Item) -> u64 {
        let size = self.kinds.get(item.kind).map_or(0, |layout| layout.size);
        item.address.saturating_add(size.saturating_mul(item.count.into()))
    }

    fn span(&self, item: Item, is_root: bool) -> Span {
        let layout = self.kinds.get(item.kind);
        let size = layout.map_or(0, |layout| layout.size);
        Span { item, size, end: self.end(&item), changed: layout.is_some_and(|layout| layout.changed), is_root }
    }

    /// Puts `span`, which begins nowhere before what is kept, in its place.
    fn place(&mut self, span: Span, kept: &mut Vec<Span>, conflicts: &mut usize) {
        let Some(last) = kept.last().copied() else { return kept.push(span) };
        let skip = span.item.address - last.item.address;
        let in_tail = span.item.address >= last.end && self.flexible_holds(&last, &span);
        if in_tail {
            return;
        }
        if span.item.address >= last.end {
            return kept.push(span);
        }
        if last.size != 0 && self.kinds.contains(last.item.kind, skip % last.size, span.item.kind) && is_within(&last, &span) {
            return;
        }
        if last.item.kind == span.item.kind && last.size != 0 && skip.is_multiple_of(last.size) {
            // Two parts of one array.
            if let Some(last) = kept.last_mut() {
                let count = ((span.end - last.item.address) / last.size) as u32;
                last.item.count = last.item.count.max(count);
                last.item.most = last.item.most.max(last.item.count);
                last.end = last.end.max(span.end);
            }
            return;
        }
        // What a block's size seemed to say of the type of its first part.
        if skip == 0 && !last.is_root && self.kinds.contains(span.item.kind, 0, last.item.kind) {
            kept.pop();
            return self.place(span, kept, conflicts);
        }
        // What may be rounding, or a variable that was not stored to yet, gives way.
        let (one, other) = (last.item.strength, span.item.strength);
        if other <= Strength::Local && (other < one || other == Strength::Doubtful) {
            return;
        }
        if one <= Strength::Local && one < other {
            kept.pop();
            return self.place(span, kept, conflicts);
        }
        if last.changed || span.changed {
            *conflicts += 1;
            if *conflicts <= LIMIT {
                self.conflict(&last, &span);
            }
        }
        if span.changed && !last.changed {
            kept.pop();
            kept.push(span);
        }
    }

    /// Whether what follows `outer` is its flexible array, and `inner` an element of that.
    fn flexible_holds(&mut self, outer: &Span, inner: &Span) -> bool {
        let Some(flexible) = self.kinds.layout(outer.item.kind).and_then(|layout| layout.flexible.clone()) else { return false };
        let (Region::Block(one, _), Region::Block(other, _)) =
            (self.regions.find(outer.item.address), self.regions.find(inner.item.address))
        else {
            return false;
        };
        let skip = inner.item.address - outer.item.address;
        let size = self.kinds.get(flexible.element).map_or(0, |layout| layout.size).max(1);
        one == other
            && skip >= flexible.offset
            && self.kinds.contains(flexible.element, (skip - flexible.offset) % size, inner.item.kind)
    }

    fn conflict(&mut self, first: &Span, second: &Span) {
        let problem = Problem::Conflict {
            address: RunAddress(second.item.address),
            first: self.describe(first.item.kind),
            first_path: self.path(first.item.via),
            second: self.describe(second.item.kind),
            second_path: self.path(second.item.via),
        };
        self.problem(problem);
    }

    fn found(&self, span: &Span) -> Found {
        let Span { item, size, .. } = *span;
        let mut length = size.saturating_mul(item.count.into());
        let (mut block, mut whole) = (None, span.is_root);
        match self.regions.find(item.address) {
            Region::Block(index, of) => {
                block = Some(index);
                let room = of.usable.saturating_sub(item.address - of.address.0);
                let is_flexible = self.kinds.get(item.kind).is_some_and(|layout| layout.flexible.is_some());
                if is_flexible {
                    length = length.max(room);
                }
                let most = size.saturating_mul(item.most.max(item.count).into());
                let fills = is_flexible || item.counted || room - most.min(room) < of.slack();
                whole = of.address.0 == item.address && fills;
            }
            Region::Program if !whole => {
                whole = self
                    .globals
                    .around(item.address)
                    .is_some_and(|global| (global.address, global.size) == (item.address, length));
            }
            _ => {}
        }
        let kind = self.kinds.get(item.kind).map_or(crate::program::types::TypeId(0), |layout| layout.id);
        Found {
            address: RunAddress(item.address),
            kind,
            count: item.count,
            most: item.most.max(item.count),
            length,
            block,
            counted: item.counted,
            whole,
        }
    }
}

/// Whether an inner object that may be one of several ends where the outer one does at the latest.
fn is_within(outer: &Span, inner: &Span) -> bool {
    inner.item.address.saturating_add(inner.size) <= outer.end
}
