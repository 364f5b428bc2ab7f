//! What two functions themselves store into a variable that others may know: the stores that can reach the point have to correspond
//! (PROOF 3.3a). What others store is their callers' effect, and decided with the effects.

use super::by_byte;
use super::continuation::FrameObject;
use super::converted::Part;
use super::correspond::{Correspondence, Side};
use super::events::{self, Store};
use super::lockstep::Linear;
use crate::program::flow::{Term, may_store};
use iced_x86::OpKind;

/// A store into the variable: where in it, if that is known.
pub(super) struct Definition {
    pub(super) offset: Option<i64>,
    pub(super) store: Store,
    /// The instruction.
    pub(super) node: u32,
}

/// Whether what is stored into a variable on all ways to the points corresponds; `parts` are those of it that are in both frames. Gives the bytes
/// of the new frame that only the new code stores to.
///
/// # Errors
/// What does not.
pub(super) fn correspond(
    correspondence: &mut Correspondence<'_, '_>,
    object: &FrameObject,
    parts: Option<&[Part]>,
) -> Result<Vec<(i64, u8)>, String> {
    let whole = correspond_whole(correspondence, object);
    // Stores that are made always, one by one the same, are so by whatever way control came.
    if whole.is_ok() && has_only_certain_stores(correspondence, object) {
        return Ok(Vec::new());
    }
    let reason = whole.err().unwrap_or_else(|| "what decides what is stored into it is another question".to_owned());
    let Some(parts) = parts else { return Err(reason) };
    let found = by_byte::correspond(correspondence, (object.old, object.new), parts);
    found.map_err(|by_byte| if object.is_changed { by_byte.to_owned() } else { reason })
}

/// Whether no store into a variable, but for those to places that are computed, depends on the way to the point.
fn has_only_certain_stores(correspondence: &mut Correspondence<'_, '_>, object: &FrameObject) -> bool {
    let of = |side: &mut Side<'_, '_>, start: i64, length: u64| {
        let found = definitions(side, start, length);
        found.iter().all(|store| store.offset.is_none() || side.dominators.passes(side.point, store.node))
    };
    of(&mut correspondence.old, object.old, object.old_length) && of(&mut correspondence.new, object.new, object.new_length)
}

/// Whether the stores into a variable are the same ones, one by one.
fn correspond_whole(correspondence: &mut Correspondence<'_, '_>, object: &FrameObject) -> Result<(), String> {
    let old = definitions(&mut correspondence.old, object.old, object.old_length);
    let new = definitions(&mut correspondence.new, object.new, object.new_length);
    if object.is_changed && !(old.is_empty() && new.is_empty()) {
        return Err("its type changes, and the function stores into it itself".to_owned());
    }
    for definition in &new {
        if !old.iter().any(|other| same(correspondence, other, definition)) {
            return Err("the new code stores into it what the old code did not".to_owned());
        }
    }
    for call in calls(&correspondence.old, object.old, object.old_length) {
        let callee = correspondence.old.values.function().graph.node(call).and_then(|node| node.call);
        let changes = callee.is_some_and(|callee| correspondence.may_change(callee));
        let news = calls(&correspondence.new, object.new, object.new_length);
        if changes && !news.iter().any(|other| correspondence.same_call(call, *other)) {
            return Err("the old code gave its address to a call that the new code does not make".to_owned());
        }
    }
    for definition in &old {
        if !new.iter().any(|other| same(correspondence, definition, other)) {
            return Err("the old code stored into it what the new code does not".to_owned());
        }
    }
    Ok(())
}

pub(super) fn same(correspondence: &mut Correspondence<'_, '_>, old: &Definition, new: &Definition) -> bool {
    if old.offset != new.offset || old.store.bytes != new.store.bytes {
        return false;
    }
    // What one code stores in a round ahead of the point the other has not stored yet that does so behind it.
    if is_later(&correspondence.old, old.node) != is_later(&correspondence.new, new.node) {
        return false;
    }
    let stores = |correspondence: &mut Correspondence<'_, '_>| {
        (old.offset.is_some() || correspondence.check(old.store.address, new.store.address, true))
            && correspondence.check(old.store.value, new.store.value, true)
    };
    stores(correspondence) || {
        let around = |side: &Side<'_, '_>, node: u32| events::around(side.graph(), side.dominators, node).pop();
        let loops = around(&correspondence.old, old.node).zip(around(&correspondence.new, new.node));
        loops.is_some_and(|loops| {
            correspondence.in_each_round(loops, stores) || correspondence.in_each_round_so_far(loops, stores)
        })
    }
}

/// Whether in each round of a loop around the point a node comes behind the point.
fn is_later(side: &Side<'_, '_>, node: u32) -> bool {
    let graph = side.graph();
    let next = |node: u32| graph.node(node).map_or(&[][..], |node| &node.next);
    let around = events::around(graph, side.dominators, side.point);
    let both = around.into_iter().rev().find(|head| events::body(graph, side.dominators, *head).binary_search(&node).is_ok());
    let is_there = |head: u32| {
        let passed = events::reached(next(node), next, |passed| passed == head || passed == side.point);
        head != side.point && passed.contains(&side.point)
    };
    both.is_some_and(|head| node != head && !is_there(head))
}

/// The stores of a function into `length` bytes of its frame from `start` on.
fn definitions(side: &mut Side<'_, '_>, start: i64, length: u64) -> Vec<Definition> {
    let graph = side.values.function().graph;
    let mut found = Vec::new();
    for node in events::ahead_of(graph, side.point) {
        let Some(store) = events::store(side.values, node) else { continue };
        let offset = match side.values.node(store.address) {
            Term::Frame(offset) => Some(offset.wrapping_sub(start)),
            // A place in an array, by an index or a pointer that walks it.
            Term::Sum { .. } | Term::Choice { .. } => {
                let sum = Linear::of(side.values, store.address, 64);
                if sum.is_some_and(|sum| walk(&sum, (start, length.cast_signed()), |_| false) == Some(true)) {
                    found.push(Definition { offset: None, store, node });
                }
                continue;
            }
            _ => continue,
        };
        if let Some(offset) = offset.filter(|offset| (0..length.cast_signed()).contains(offset)) {
            found.push(Definition { offset: Some(offset), store, node });
        }
    }
    found
}

/// Whether an address in the frame may be one in `length` bytes from `start` on; `None` where it is none in the frame. One that begins in
/// another variable (`is_others`) stays there.
pub(super) fn walk(sum: &Linear, (start, length): (i64, i64), is_others: impl Fn(i64) -> bool) -> Option<bool> {
    let from = sum.in_frame()?;
    let within = |from: i64| (0..length).contains(&from.wrapping_sub(start));
    // What a pointer comes to that walks is looked at by what it begins with, and by that less what each round adds.
    let walks = sum.rounds().is_some();
    Some(within(from) || (walks && !is_others(from) && (-8..=8).any(|apart| within(from.wrapping_add(apart)))))
}

/// Whether nothing has stored into bytes of the frame on any way to the point, nor may have: they hold whatever was there, in the new
/// program's own run, too.
pub(super) fn is_untouched(side: &mut Side<'_, '_>, start: i64, length: u64) -> bool {
    let function = side.values.function();
    let bytes = length.cast_signed();
    let end = start.saturating_add(bytes);
    // What is above the frame was given by its caller.
    if side.between || end > 0 || function.escapes.is_escaped_at(side.point, start, bytes) {
        return false;
    }
    events::ahead_of(function.graph, side.point).into_iter().all(|at| {
        let Some(node) = function.graph.node(at) else { return false };
        let instruction = &node.instruction;
        if node.call.is_some() || events::is_kernel_call(function.graph, at) {
            return !function.escapes.is_escaped_at(at, start, bytes);
        }
        if instruction.is_string_instruction() {
            return false;
        }
        if instruction.op0_kind() != OpKind::Memory || !may_store(instruction) {
            return true;
        }
        match function.frame_operand(at, instruction) {
            Some((offset, bytes)) => offset >= end || offset.saturating_add(bytes) <= start,
            None => match side.values.address_at(at).map(|address| side.values.node(address).clone()) {
                Some(Term::Address(_) | Term::Entry(_) | Term::Load { .. } | Term::Result { .. }) => true,
                Some(Term::Sum { terms, .. }) => terms.iter().all(|(term, _)| {
                    matches!(side.values.node(*term), Term::Address(_) | Term::Entry(_) | Term::Load { .. } | Term::Result { .. })
                }),
                _ => false,
            },
        }
    })
}

/// The calls ahead of the point that may know the address of `length` bytes of the frame from `start` on.
fn calls(side: &Side<'_, '_>, start: i64, length: u64) -> Vec<u32> {
    let function = side.values.function();
    let is_told = |node: &u32| {
        function.graph.node(*node).is_some_and(|node| node.is_call())
            && function.escapes.is_escaped_at(*node, start, length.cast_signed())
    };
    events::ahead_of(function.graph, side.point).into_iter().filter(is_told).collect()
}
