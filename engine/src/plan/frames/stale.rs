//! Variables of a frame that is made anew which its new code does not read before it writes them: what is in them is what was left there.

use super::continuation::Continuation;
use super::prepared::Facts;
use crate::plan::compare::Comparison;
use crate::program::address::LinkAddress;
use crate::program::flow::{Live, LivePlace};

/// Bytes of variables that are carried from a frame of the old `function` that goes on at `place`, first and behind-last from its canonical
/// frame address, although neither code has told anybody where they are, and the new one does not read them before it writes them.
pub fn stale(comparison: &Comparison, (function, place): (usize, LinkAddress), continuation: &Continuation) -> Vec<(i64, i64)> {
    let is_next = continuation.between || continuation.besides.exact;
    let olds = comparison.prepared.old(function).ok();
    let old = olds.and_then(|facts| Some((facts, facts.point(place, continuation.between)?)));
    let news = comparison.prepared.new_function(continuation.function).ok();
    let new = news.and_then(|facts| Some((facts, facts.point(continuation.returns_to.0, is_next)?)));
    let (Some(old), Some(new)) = (old, new) else { return Vec::new() };
    let live = match is_next {
        true => new.0.live_at(new.1),
        false => match new.0.live_behind(continuation.returns_to.0) {
            Ok(live) => live,
            Err(_) => return Vec::new(),
        },
    };
    let objects = continuation.objects.iter().filter(|object| {
        !object.is_changed
            && is_private(old, continuation.between, (object.old, object.old_length))
            && is_private(new, is_next, (object.new, object.new_length))
            && !live.iter().any(|live| reads(live, (object.new, object.new_length)))
    });
    objects.map(|object| (object.old, object.old.saturating_add_unsigned(object.old_length))).collect()
}

fn is_private((facts, point): (&Facts, u32), is_next: bool, (offset, length): (i64, u64)) -> bool {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    match is_next {
        true => facts.function().is_private(point, offset, length),
        false => facts.function().is_private_behind(point, offset, length),
    }
}

fn reads(live: &Live, (offset, length): (i64, u64)) -> bool {
    let (start, bytes) = match live.place {
        LivePlace::Slot { offset, length } => (offset, u64::from(length)),
        LivePlace::Object { offset, length } => (offset, length),
        _ => return false,
    };
    start < offset.saturating_add_unsigned(length) && offset < start.saturating_add_unsigned(bytes)
}
