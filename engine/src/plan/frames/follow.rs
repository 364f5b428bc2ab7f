//! Continuations that are found while the process runs: for the calls that may be under way on its stacks, and for those that a look at
//! the stopped process asked about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::continuation::{Continuation, FrameObject};
use super::explain::Explainer;
use super::prepared::{FrameKey, Known};
use super::said::Besides;
use crate::plan::address::OldLink;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::types::{TypeId, TypeTable};

/// A frame of the old program and how it goes on, to be kept beyond the engine's life.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SavedFrame {
    /// Position of its function in the old build.
    pub function: usize,
    /// An address in it.
    pub place: LinkAddress,
    /// Whether that is the next instruction rather than where the call under way returns to.
    pub is_between: bool,
    /// How it goes on.
    pub continuation: Continuation,
}

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

    /// How all frames go on of which that is proved so far.
    pub fn found(&self) -> Vec<SavedFrame> {
        let found = self.comparison.prepared.found().into_iter().filter(|(_, known)| known.besides == Besides::default());
        found
            .map(|((function, place, is_between), known)| SavedFrame {
                function,
                place,
                is_between,
                continuation: Continuation::clone(&known),
            })
            .collect()
    }

    /// Takes what was found about frames of the same two builds, with the same answers, at another time. What cannot be of these builds is left.
    pub fn learn(&self, frames: Vec<SavedFrame>) {
        for frame in frames.into_iter().filter(|frame| self.fits(frame)) {
            let key = (frame.function, frame.place, frame.is_between);
            self.comparison.prepared.remember(key, Ok(Arc::new(frame.continuation)));
        }
    }

    fn fits(&self, frame: &SavedFrame) -> bool {
        let Some(partner) = self.comparison.points.function(frame.function) else { return false };
        let containing = LinkAddress(frame.place.0.wrapping_sub(u64::from(!frame.is_between)));
        let holds = self.view.sides.old.functions.containing(containing).is_some_and(|(function, _)| function == frame.function);
        holds && self.is_of(&frame.continuation, partner)
    }

    /// Whether a continuation is of the function at position `partner` of the new build, and names nothing that is not there.
    fn is_of(&self, continuation: &Continuation, partner: usize) -> bool {
        let View { old, new, .. } = self.view;
        let exists = |types: &TypeTable, kind: Option<TypeId>| kind.is_none_or(|kind| (kind.0 as usize) < types.types.len());
        let kinds = |object: &FrameObject| exists(&old.debug.types, object.kinds.0) && exists(&new.debug.types, object.kinds.1);
        let rivals = continuation.rivals.iter().filter_map(|rival| rival.continuation.as_deref());
        continuation.function == partner
            && continuation.objects.iter().all(kinds)
            && rivals.into_iter().all(|rival| rival.rivals.is_empty() && self.is_of(rival, partner))
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
                let found = self.find(*frame);
                let is_ahead_of_points = frame.2 && found.is_err();
                prepared.remember(*frame, found);
                if is_ahead_of_points {
                    self.look_ahead(frame.0, frame.1);
                }
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
