//! Continuations that are found while the process runs: for the calls that may be under way on its stacks, and for those that a look at
//! the stopped process asked about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::explain::Explainer;
use super::prepared::{FrameKey, Known};
use crate::plan::address::OldLink;
use crate::program::address::LinkAddress;

impl Explainer<'_> {
    /// Follows the frames of changed functions that return to some of `addresses`, whatever else these may be.
    pub fn foresee(&self, addresses: impl IntoIterator<Item = LinkAddress>) {
        self.follow(addresses.into_iter().filter_map(|address| self.frame_returning_to(address)).collect());
    }

    /// Follows the frames that were asked about while frames were deferred; whether there were any.
    pub fn follow_deferred(&self) -> bool {
        let frames = self.comparison.prepared.take_deferred();
        let any = !frames.is_empty();
        self.follow(frames);
        any
    }

    /// How a frame goes on.
    pub(super) fn find(&self, (function, place, is_between): FrameKey) -> Known {
        let found = match is_between {
            true => self.between_calls(function, OldLink(place)),
            false => self.continuation(function, OldLink(place)),
        };
        found.map(Arc::new)
    }

    /// The changed function of the old build with a call that returns to an address.
    fn frame_returning_to(&self, address: LinkAddress) -> Option<FrameKey> {
        let call = LinkAddress(address.0.checked_sub(1)?);
        let (function, _) = self.view.sides.old.functions.containing(call)?;
        if self.view.same_code(function) {
            return None;
        }
        let facts = self.comparison.prepared.old(function).ok()?;
        facts.graph.call_before(address).map(|_| (function, address, false))
    }

    /// Follows frames side by side, each once.
    fn follow(&self, frames: BTreeSet<FrameKey>) {
        let prepared = &self.comparison.prepared;
        let frames: Vec<FrameKey> = frames.into_iter().filter(|frame| !prepared.is_known(*frame)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(frame) = frames.get(next.fetch_add(1, Ordering::Relaxed)) {
                prepared.remember(*frame, self.find(*frame));
            }
        };
        let helpers = std::thread::available_parallelism().map_or(1, usize::from).min(frames.len()).saturating_sub(1);
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                scope.spawn(work);
            }
            work();
        });
    }
}
