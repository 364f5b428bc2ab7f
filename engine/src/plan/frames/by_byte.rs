//! Variables of a frame byte by byte (PROOF 3.33): of each byte the last store on all ways to the point counts, whatever it was made with, and of
//! what may have stored there besides (calls that know the address, places that are computed) all.

use std::collections::BTreeSet;

use iced_x86::{Mnemonic, OpKind, Register};

use super::converted::{How, Part};
use super::correspond::{Correspondence, Side};
use super::definitions::{self, Definition};
use super::events;
use super::lockstep::Linear;
use crate::program::code::Callee;
use crate::program::flow::{Place, Term, ValueId, Values, may_store};

/// More pieces of one variable are not looked at.
const MOST_PIECES: usize = 1024;
/// No single store that is not a fill is longer: in a longer piece all bytes were stored by fills only, or never.
const LONGEST_STORE: i64 = 64;
/// How far addresses are followed.
const DEPTH: u32 = 16;

/// What an instruction has to do with some bytes of the frame.
enum Touch {
    Nothing,
    /// It stores to these bytes of the frame always.
    Stores(i64, i64),
    /// It may store to any of them, at a place that it computes.
    Walks(Definition),
    /// It calls what knows their address.
    Calls,
    /// It may store to them in a way that is not understood.
    Unclear,
}

/// What one function does to some bytes of its frame before the point.
struct Touches {
    start: i64,
    /// Nodes with the bytes that they always store to.
    stores: Vec<(u32, i64, i64)>,
    walks: Vec<Definition>,
    calls: Vec<u32>,
    unclear: Vec<u32>,
}

impl Touches {
    /// `strict`: nor is anything known of pointers that the function has got from elsewhere.
    fn of(side: &mut Side<'_, '_>, (start, length): (i64, i64), strict: bool) -> Self {
        let mut found = Self { start, stores: Vec::new(), walks: Vec::new(), calls: Vec::new(), unclear: Vec::new() };
        for node in events::ahead_of(side.graph(), side.point) {
            match touch(side, node, (start, length), strict) {
                Touch::Nothing => {}
                Touch::Stores(from, to) => found.stores.push((node, from, to)),
                Touch::Walks(definition) => found.walks.push(definition),
                Touch::Calls => found.calls.push(node),
                Touch::Unclear => found.unclear.push(node),
            }
        }
        found
    }

    /// Where stores begin or end, from the first byte.
    fn edges(&self) -> impl Iterator<Item = i64> {
        let start = self.start;
        self.stores.iter().flat_map(move |(_, from, to)| [from.wrapping_sub(start), to.wrapping_sub(start)])
    }

    /// What may have stored to bytes behind the last store to all of them.
    fn since(&self, side: &Side<'_, '_>, (offset, length): (i64, i64)) -> Besides<'_> {
        let end = offset.saturating_add(length);
        let stores = |node: u32| self.stores.iter().any(|(at, from, to)| *at == node && *from <= offset && end <= *to);
        let before = |node: u32| side.graph().node(node).map_or(&[][..], |node| &node.before);
        let passed = events::reached(before(side.point), before, stores);
        let is_escaped = |node: &&u32| side.values.function().escapes.is_escaped_at(**node, offset, length);
        Besides {
            walks: self.walks.iter().filter(|walk| passed.contains(&walk.node)).collect(),
            calls: self.calls.iter().filter(|call| passed.contains(call)).filter(is_escaped).copied().collect(),
            is_unclear: self.unclear.iter().any(|node| passed.contains(node)),
        }
    }
}

/// What may have stored to bytes besides.
struct Besides<'t> {
    walks: Vec<&'t Definition>,
    calls: Vec<u32>,
    is_unclear: bool,
}

/// What an instruction has to do with `length` bytes of the frame from `start` on.
fn touch(side: &mut Side<'_, '_>, node: u32, (start, length): (i64, i64), strict: bool) -> Touch {
    let function = side.values.function();
    let Some(own) = function.graph.node(node) else { return Touch::Unclear };
    let instruction = own.instruction;
    let is_escaped = function.escapes.is_escaped_at(node, start, length);
    let end = start.saturating_add(length);
    let stores = |from: i64, to: i64| if from < end && start < to { Touch::Stores(from, to) } else { Touch::Nothing };
    let unclear = |holds: bool| if holds { Touch::Unclear } else { Touch::Nothing };
    if own.call.is_some() || events::is_kernel_call(function.graph, node) {
        return if is_escaped { Touch::Calls } else { Touch::Nothing };
    }
    if let Some((from, to)) = side.values.fill_of_frame(node, &instruction) {
        return stores(from, to);
    }
    if instruction.is_string_instruction() {
        return unclear(is_escaped || function.escapes.is_computed(start, length));
    }
    if let Some((from, bytes)) = side.values.store_to_frame(node, &instruction) {
        return stores(from, from.saturating_add(bytes.into()));
    }
    if instruction.op0_kind() != OpKind::Memory || !may_store(&instruction) || instruction.segment_prefix() == Register::FS {
        return unclear(instruction.mnemonic() == Mnemonic::Maskmovdqu);
    }
    let store = events::store(side.values, node);
    let Some(address) = side.values.address_at(node) else { return Touch::Unclear };
    if !may_be_in_frame(side.values, address, DEPTH) {
        return unclear(strict && is_escaped && !is_elsewhere(side.values, address));
    }
    let is_others = |from: i64| {
        let holds = |range: &(i64, i64)| (range.0..range.1).contains(&from);
        let mut all = function.escapes.variables().filter(holds).peekable();
        all.peek().is_some() && all.all(|range| range.1 <= start || end <= range.0)
    };
    match store.zip(Linear::of(side.values, address, 64)) {
        Some((store, sum)) => match definitions::walk(&sum, (start, length), is_others) {
            Some(true) => Touch::Walks(Definition { offset: None, store, node }),
            Some(false) => Touch::Nothing,
            None => Touch::Unclear,
        },
        None => Touch::Unclear,
    }
}

/// Whether an address may be made of one of the frame.
fn may_be_in_frame(values: &Values<'_>, address: ValueId, depth: u32) -> bool {
    fn any(values: &Values<'_>, address: ValueId, depth: u32, seen: &mut BTreeSet<ValueId>) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return true };
        let address = values.resolve(address);
        if !seen.insert(address) {
            return false;
        }
        let inner: Vec<ValueId> = match values.node(address) {
            Term::Frame(_) | Term::Unknown { .. } => return true,
            Term::Sum { terms, .. } => terms.iter().map(|(term, _)| *term).collect(),
            Term::Choice { .. } => values.inputs(address),
            Term::Binary { left, right, .. } => vec![*left, *right],
            Term::Pure { operands, .. } => operands.clone(),
            Term::Extend { of, .. } | Term::Part { of, .. } => vec![*of],
            _ => return false,
        };
        inner.into_iter().any(|inner| any(values, inner, depth, seen))
    }
    any(values, address, depth, &mut BTreeSet::new())
}

/// Whether an address is of a variable outside of all frames, or of what the function was given before it had any.
fn is_elsewhere(values: &Values<'_>, address: ValueId) -> bool {
    let is_base = |value: ValueId| matches!(values.node(value), Term::Address(_) | Term::Entry(_));
    match values.node(address) {
        Term::Sum { terms, .. } => terms.iter().any(|(term, factor)| *factor == 1 && is_base(*term)),
        _ => is_base(address),
    }
}

/// Some bytes of a variable on both sides.
#[derive(Clone, Copy)]
struct Piece<'p> {
    old: (i64, u8),
    new: (i64, u8),
    how: &'p How,
}

/// Whether the parts of a variable, which begins at these places of the frames, are made alike on all ways to the points.
///
/// Gives the bytes of the new frame that only the new code stores to: in the old frame nothing is there.
///
/// # Errors
/// What is not.
pub(super) fn correspond(
    correspondence: &mut Correspondence<'_, '_>,
    starts: (i64, i64),
    parts: &[Part],
) -> Result<Vec<(i64, u8)>, &'static str> {
    const STORES: &str = "the new code stores into it what the old code did not";
    const CALLS: &str = "what knows its address is not called alike on both sides";
    let ends = |start: i64, of: &dyn Fn(&Part) -> (i64, i64)| {
        let first = parts.iter().map(|part| of(part).0).min().unwrap_or(0);
        let last = parts.iter().map(|part| of(part).1).max().unwrap_or(0);
        (start.wrapping_add(first), last.wrapping_sub(first))
    };
    let whole = (ends(starts.0, &Part::old_range), ends(starts.1, &Part::new_range));
    let olds = Touches::of(&mut correspondence.old, whole.0, false);
    let news = Touches::of(&mut correspondence.new, whole.1, false);
    let edges: (BTreeSet<i64>, BTreeSet<i64>) = (
        olds.edges().map(|edge| edge.wrapping_add(whole.0.0).wrapping_sub(starts.0)).collect(),
        news.edges().map(|edge| edge.wrapping_add(whole.1.0).wrapping_sub(starts.1)).collect(),
    );
    let pieces = cut(parts, &edges).ok_or("it has too many parts")?;
    let mut missing = Vec::new();
    for piece in pieces {
        let (from, to) = (starts.0.wrapping_add(piece.old.0), starts.1.wrapping_add(piece.new.0));
        let old = olds.since(&correspondence.old, (from, piece.old.1.into()));
        let new = news.since(&correspondence.new, (to, piece.new.1.into()));
        if old.is_unclear || new.is_unclear {
            return Err("what is stored into it is not understood");
        }
        let is_empty = old.walks.is_empty() && old.calls.is_empty() && new.walks.is_empty() && new.calls.is_empty();
        if is_empty && matches!(piece.how, How::Same) && is_never_stored(&mut correspondence.old, (from, piece.old.1)) {
            missing.push((to, piece.new.1));
            continue;
        }
        if !same_stores(correspondence, (from, piece.old.1), (to, piece.new.1), piece.how) {
            return Err(STORES);
        }
        if !same_walks(correspondence, &old, &new) {
            return Err(STORES);
        }
        if !same_calls(correspondence, &old, &new) {
            return Err(CALLS);
        }
    }
    Ok(missing)
}

/// Whether a function itself has never stored to bytes of its frame when it comes to the point.
pub(super) fn is_never_stored(side: &mut Side<'_, '_>, (offset, length): (i64, u8)) -> bool {
    let value = side.here(Place::Slot { offset, length });
    matches!(side.values.node(value), Term::Entry(Place::Slot { .. }))
}

/// Parts in pieces that each store covers whole or not at all.
fn cut<'p>(parts: &'p [Part], (olds, news): &(BTreeSet<i64>, BTreeSet<i64>)) -> Option<Vec<Piece<'p>>> {
    let mut found = Vec::new();
    for part in parts {
        let ((from, from_end), (to, to_end)) = (part.old_range(), part.new_range());
        if !matches!(part.how, How::Same) {
            let bytes = |start: i64, end: i64| u8::try_from(end.wrapping_sub(start)).ok().filter(|bytes| *bytes <= 8);
            found.push(Piece { old: (from, bytes(from, from_end)?), new: (to, bytes(to, to_end)?), how: &part.how });
            continue;
        }
        let length = to_end.wrapping_sub(to);
        let mut edges: BTreeSet<i64> = olds.range(from..from_end).map(|edge| edge.wrapping_sub(from)).collect();
        edges.extend(news.range(to..to_end).map(|edge| edge.wrapping_sub(to)));
        edges.extend([0, length]);
        let edges: Vec<i64> = edges.into_iter().collect();
        for pair in edges.windows(2) {
            let [start, end] = *pair else { continue };
            // What no store begins or ends in was filled as a whole, alike in all its parts.
            let end = if end.wrapping_sub(start) > LONGEST_STORE { start.wrapping_add(8) } else { end };
            for at in (start..end).step_by(8) {
                let bytes = u8::try_from(end.wrapping_sub(at).min(8)).ok()?;
                found.push(Piece { old: (from.wrapping_add(at), bytes), new: (to.wrapping_add(at), bytes), how: &part.how });
            }
        }
        if found.len() > MOST_PIECES {
            return None;
        }
    }
    Some(found)
}

/// Whether the functions' own stores that reach the points come to the same, each in the way that the bytes go over.
fn same_stores(correspondence: &mut Correspondence<'_, '_>, (from, had): (i64, u8), (to, has): (i64, u8), how: &How) -> bool {
    let old = correspondence.old.here(Place::Slot { offset: from, length: had });
    let new = correspondence.new.here(Place::Slot { offset: to, length: has });
    let untouched = |values: &Values<'_>, value: ValueId| matches!(values.node(value), Term::Entry(Place::Slot { .. }));
    // What the new code never stores to holds whatever was there in its own run, too: above the frame what its caller gave it.
    if untouched(correspondence.new.values, new) {
        let is_left = matches!(how, How::Same) && to < 0;
        return is_left || untouched(correspondence.old.values, old);
    }
    if let (Some(old), Some(new)) = (number(correspondence, true, old), number(correspondence, false, new)) {
        return how.becomes(old, new);
    }
    matches!(how, How::Same) && correspondence.same(old, new)
}

fn same_walks(correspondence: &mut Correspondence<'_, '_>, old: &Besides<'_>, new: &Besides<'_>) -> bool {
    new.walks.iter().all(|new| old.walks.iter().any(|old| definitions::same(correspondence, old, new)))
        && old.walks.iter().all(|old| new.walks.iter().any(|new| definitions::same(correspondence, old, new)))
}

fn same_calls(correspondence: &Correspondence<'_, '_>, old: &Besides<'_>, new: &Besides<'_>) -> bool {
    let callee = |side: &Side<'_, '_>, call: u32| side.graph().node(call).and_then(|node| node.call);
    let counts = |callee: Option<Callee>, may: &dyn Fn(Callee) -> bool| callee.is_none_or(may);
    new.calls
        .iter()
        .filter(|call| counts(callee(&correspondence.new, **call), &|callee| correspondence.new_may_change(callee)))
        .all(|new| old.calls.iter().any(|old| correspondence.same_call(*old, *new)))
        && old
            .calls
            .iter()
            .filter(|call| counts(callee(&correspondence.old, **call), &|callee| correspondence.may_change(callee)))
            .all(|old| new.calls.iter().any(|new| correspondence.same_call(*old, *new)))
}

/// The number that a value is, also one that is read from what never changes.
fn number(correspondence: &Correspondence<'_, '_>, is_old: bool, value: ValueId) -> Option<u64> {
    let values: &Values<'_> = if is_old { correspondence.old.values } else { correspondence.new.values };
    let read = |value: ValueId, offset: u8, length: u8| match values.node(value) {
        Term::Load { address, bytes, .. } if offset.saturating_add(length) <= *bytes && length <= 8 => {
            let Term::Address(symbol) = values.node(*address) else { return None };
            correspondence.constant_at(is_old, symbol, (offset, length))
        }
        _ => None,
    };
    match values.node(value) {
        Term::Constant(number) => Some(*number),
        Term::Load { bytes, .. } => read(value, 0, *bytes),
        Term::Part { of, offset, length } => read(*of, *offset, *length),
        Term::Extend { from, signed: false, of } if from.is_multiple_of(8) => read(*of, 0, from / 8),
        _ => None,
    }
}

/// The number that bytes of the new frame hold on all ways to the point, if that is one: the new code has stored it there, and nobody else may
/// have stored there since. Of a variable that is in both frames (`within`), where the bytes are new, both codes may store to places that
/// they compute, which are in the old one; and both may have called the same functions of the program with the same, of which others must
/// say that they leave the bytes alone.
pub(super) fn constant(
    correspondence: &mut Correspondence<'_, '_>,
    (offset, length): (i64, u8),
    within: Option<Ranges>,
) -> Option<u64> {
    let bytes = i64::from(length);
    let point = correspondence.new.point;
    if within.is_none() && correspondence.new.values.function().escapes.is_escaped_at(point, offset, bytes) {
        return None;
    }
    let value = correspondence.new.here(Place::Slot { offset, length });
    let found = number(correspondence, false, value)?;
    is_left_alone(correspondence, (offset, length), within).then_some(found)
}

/// Bytes of a variable in the old frame and in the new one: first, and how many.
pub(super) type Ranges = ((i64, i64), (i64, i64));

/// Whether nobody but those that both codes call with the same can have stored to bytes of the new frame since the function itself did, as
/// for [`constant`].
pub(super) fn is_left_alone(
    correspondence: &mut Correspondence<'_, '_>,
    (offset, length): (i64, u8),
    within: Option<Ranges>,
) -> bool {
    let bytes = i64::from(length);
    let (old, new) = within.unwrap_or(((0, 0), (offset, bytes)));
    let news = Touches::of(&mut correspondence.new, new, true);
    let since = news.since(&correspondence.new, (offset, bytes));
    if since.is_unclear {
        return false;
    }
    let olds = Touches::of(&mut correspondence.old, old, false);
    let calls = since.calls.iter().all(|call| {
        let callee = correspondence.new.graph().node(*call).and_then(|node| node.call);
        let is_harmless = callee.is_some_and(|callee| !correspondence.new_may_change(callee));
        let is_function = matches!(callee, Some(Callee::Function(_)));
        let paired = olds.calls.iter().find(|old| correspondence.same_call(**old, *call));
        is_harmless || (is_function && paired.is_some_and(|old| correspondence.same_given(*old, *call)))
    });
    let is_both = |walk: &&Definition, correspondence: &mut Correspondence<'_, '_>| {
        within.is_some() && olds.walks.iter().any(|old| definitions::same(correspondence, old, walk))
    };
    calls && since.walks.iter().all(|walk| is_both(walk, correspondence))
}

/// Whether a function itself may have stored to bytes of its frame before the point.
pub(super) fn is_stored(side: &mut Side<'_, '_>, start: i64, length: u64) -> bool {
    let touches = Touches::of(side, (start, length.cast_signed()), false);
    !(touches.stores.is_empty() && touches.walks.is_empty() && touches.unclear.is_empty())
}
