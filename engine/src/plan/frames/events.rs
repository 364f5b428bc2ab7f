//! What happens on the ways of a function: what writes to memory between two points, and which branches decide between ways.

use std::collections::BTreeSet;

use iced_x86::{ConditionCode, OpKind};

use crate::program::code::Symbolic;
use crate::program::flow::{Dominators, Function, Graph, Term, ValueId, Values, may_store};

/// A store to memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store {
    pub(super) address: ValueId,
    pub(super) value: ValueId,
    pub(super) bytes: u8,
}

/// A branch that decides between ways to a choice.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    pub(super) node: u32,
    pub(super) condition: ConditionCode,
    /// Ways, by their position among those to the choice, that a taken branch may lead to.
    pub(super) taken: Vec<usize>,
    /// The same for one that is not taken.
    pub(super) passed: Vec<usize>,
}

/// The nodes that control may pass after `from` and before `to`; with `again`, ways that pass `from` once more, too.
pub(super) fn between(graph: &Graph, from: u32, to: u32, again: bool) -> Vec<u32> {
    let starts = graph.node(from).map_or(&[][..], |node| &node.next);
    let after = reached(starts, |node| graph.node(node).map_or(&[][..], |node| &node.next), |node| node == from && !again);
    let ends = graph.node(to).map_or(&[][..], |node| &node.before);
    let before = reached(ends, |node| graph.node(node).map_or(&[][..], |node| &node.before), |node| node == from && !again);
    let mut found: Vec<u32> = after.intersection(&before).copied().filter(|node| again || *node != from).collect();
    found.sort_unstable();
    found
}

/// What can be reached from `starts` without going on behind a node at which the search ends.
pub(super) fn reached<'g>(starts: &[u32], ways: impl Fn(u32) -> &'g [u32], ends: impl Fn(u32) -> bool) -> BTreeSet<u32> {
    // A bit for each node: a tree, node by node, takes most of the time that a large function is followed.
    let mut seen: Vec<u64> = Vec::new();
    let mut open: Vec<u32> = Vec::new();
    let mut note = |node: u32, open: &mut Vec<u32>| {
        let (word, bit) = (node as usize / 64, 1u64 << (node % 64));
        if word >= seen.len() {
            seen.resize(word + 1, 0);
        }
        if let Some(word) = seen.get_mut(word).filter(|word| **word & bit == 0) {
            *word |= bit;
            open.push(node);
        }
    };
    starts.iter().for_each(|node| note(*node, &mut open));
    while let Some(node) = open.pop() {
        if !ends(node) {
            ways(node).iter().for_each(|next| note(*next, &mut open));
        }
    }
    let nodes = (0u32..).step_by(64).zip(&seen);
    nodes.flat_map(|(first, word)| (0..64).filter(move |bit| word & 1 << bit != 0).map(move |bit| first + bit)).collect()
}

/// Those of `nodes` that may write to `bytes` bytes at `address`, which is not the frame's own memory.
pub(super) fn writes(values: &mut Values<'_>, nodes: &[u32], (address, bytes): (ValueId, u8)) -> Vec<u32> {
    let function = values.function();
    let written = nodes.iter().copied().filter(|node| writes_memory(function, *node));
    written.filter(|node| written_at(values, *node).is_none_or(|store| may_touch(values, store, (address, bytes)))).collect()
}

/// Whether a store may change what is read at an address: not if both lie at fixed distances from one place, and apart.
fn may_touch(values: &Values<'_>, (written, length): (ValueId, u8), (address, bytes): (ValueId, u8)) -> bool {
    let distance = match (values.node(written), values.node(address)) {
        (Term::Address(Symbolic::Address(a)), Term::Address(Symbolic::Address(b))) => b.0.wrapping_sub(a.0).cast_signed(),
        (Term::Frame(a), Term::Frame(b)) => b.wrapping_sub(*a),
        (Term::Frame(_), Term::Address(_)) | (Term::Address(_), Term::Frame(_)) => return false,
        _ => match (base(values, written), base(values, address)) {
            // Other values may be others in each round of a loop.
            ((a, c), (b, d)) if a == b && a.iter().all(|term| is_fixed(values.node(term.0))) => d.wrapping_sub(c),
            _ => return true,
        },
    };
    distance < i64::from(length) && distance > -i64::from(bytes)
}

/// Whether a value is one and the same as long as its function runs.
fn is_fixed(node: &Term) -> bool {
    matches!(node, Term::Entry(_) | Term::Address(_) | Term::Frame(_) | Term::Constant(_))
}

/// What an address is counted from, and how far from it.
fn base(values: &Values<'_>, address: ValueId) -> (Vec<(ValueId, i64)>, i64) {
    let (mut terms, constant) = match values.node(address) {
        Term::Sum { bits: 64, terms, constant } => (terms.clone(), *constant),
        _ => (vec![(address, 1)], 0),
    };
    terms.iter_mut().for_each(|(term, _)| *term = values.resolve(*term));
    terms.sort_unstable();
    (terms, constant)
}

/// Whether an instruction may write to memory that is not the function's alone.
pub(super) fn writes_memory(function: Function<'_>, at: u32) -> bool {
    let Some(node) = function.graph.node(at) else { return false };
    if node.call.is_some() {
        return true;
    }
    let instruction = &node.instruction;
    if instruction.is_string_instruction() || matches!(instruction.mnemonic(), iced_x86::Mnemonic::Syscall) {
        return true;
    }
    // What an instruction pushes is its function's own.
    if instruction.op0_kind() != OpKind::Memory || !may_store(instruction) {
        return false;
    }
    match function.frame_operand(at, instruction) {
        Some((offset, bytes)) => !function.is_private(at, offset, bytes),
        None => true,
    }
}

/// Whether an instruction calls the kernel.
pub(super) fn is_kernel_call(graph: &Graph, at: u32) -> bool {
    graph.node(at).is_some_and(|node| node.instruction.mnemonic() == iced_x86::Mnemonic::Syscall)
}

/// Where an instruction writes to memory, and how many bytes, whatever it writes; `None` where that is not told by its operand alone.
pub(super) fn written_at(values: &mut Values<'_>, at: u32) -> Option<(ValueId, u8)> {
    let instruction = values.function().graph.node(at)?.instruction;
    if instruction.op0_kind() != OpKind::Memory || instruction.is_string_instruction() || !may_store(&instruction) {
        return None;
    }
    let bytes = u8::try_from(instruction.memory_size().size()).ok().filter(|bytes| *bytes != 0)?;
    Some((values.address_at(at)?, bytes))
}

/// The store that an instruction is.
pub(super) fn store(values: &mut Values<'_>, at: u32) -> Option<Store> {
    let instruction = values.function().graph.node(at)?.instruction;
    if instruction.op0_kind() != OpKind::Memory || !may_store(&instruction) {
        return None;
    }
    let address = values.address_at(at)?;
    let value = values.stored_at(at)?;
    Some(Store { address, value, bytes: u8::try_from(instruction.memory_size().size()).ok()? })
}

/// Whether a way leads from a node back to it.
pub(super) fn is_loop(graph: &Graph, at: u32) -> bool {
    let starts = graph.node(at).map_or(&[][..], |node| &node.next);
    reached(starts, |node| graph.node(node).map_or(&[][..], |node| &node.next), |_| false).contains(&at)
}

/// Whether ways meet at a node because a loop goes round there: one that leads back to it without the last node that all ways to it pass.
/// Where ways meet within a round, only the next round leads back.
pub(super) fn goes_round(graph: &Graph, dominators: &Dominators, at: u32) -> bool {
    let starts = graph.node(at).map_or(&[][..], |node| &node.next);
    let first = dominators.immediate(at);
    reached(starts, |node| graph.node(node).map_or(&[][..], |node| &node.next), |node| Some(node) == first).contains(&at)
}

/// The branches that decide between some ways to `at`, behind the last node that all of them pass. `None` where something else than a conditional
/// branch decides.
pub(super) fn gates(graph: &Graph, dominators: &Dominators, at: u32, ways: &[u32]) -> Option<Vec<Gate>> {
    let reached_ways = ways.iter().copied().filter(|way| dominators.is_reached(*way));
    let first = reached_ways.reduce(|one, other| common(dominators, one, other).unwrap_or(one))?;
    let next = |node: u32| graph.node(node).map_or(&[][..], |node| &node.next);
    let ahead = reached(&[first], next, |node| node == at);
    let back = reached(ways, |node| graph.node(node).map_or(&[][..], |node| &node.before), |node| node == first);
    let mut found = Vec::new();
    let mut nodes: Vec<u32> = ahead.intersection(&back).copied().filter(|node| *node != at).collect();
    nodes.sort_unstable();
    for node in nodes {
        let branch = graph.node(node)?;
        let (taken, passed) = match branch.next.as_slice() {
            [] | [_] => continue,
            [a, b] => {
                let to = branch.instruction.near_branch_target();
                let is_target = |node: &u32| graph.node(*node).is_some_and(|node| node.instruction.ip() == to);
                match (is_target(a), is_target(b)) {
                    (true, false) => (*a, *b),
                    (false, true) => (*b, *a),
                    _ => return None,
                }
            }
            _ => return None,
        };
        let condition = branch.instruction.condition_code();
        if condition == ConditionCode::None {
            return None;
        }
        let leads = |start: u32| {
            let seen = reached(&[start], next, |node| node == at);
            let direct = start == at;
            let way = |position: &usize| {
                let way = ways.get(*position).copied();
                way.is_some_and(|way| if direct { way == node } else { seen.contains(&way) })
            };
            (0..ways.len()).filter(way).collect::<Vec<usize>>()
        };
        let (taken, passed) = (leads(taken), leads(passed));
        // It leaves the loop whose ways back these are.
        if !taken.is_empty() && !passed.is_empty() {
            found.push(Gate { node, condition, taken, passed });
        }
    }
    Some(found)
}

/// The last node that every way to either passes.
fn common(dominators: &Dominators, one: u32, other: u32) -> Option<u32> {
    let mut here = Some(one);
    while let Some(node) = here {
        if dominators.passes(other, node) {
            return Some(node);
        }
        here = dominators.immediate(node);
    }
    None
}

/// The nodes of the loop at `at`, ascending: those that lead back to it without leaving what it dominates.
pub(super) fn body(graph: &Graph, dominators: &Dominators, at: u32) -> Vec<u32> {
    let before = |node: u32| graph.node(node).map_or(&[][..], |node| &node.before);
    let ends: Vec<u32> = before(at).iter().copied().filter(|end| dominators.passes(*end, at)).collect();
    let mut body: Vec<u32> = reached(&ends, before, |node| node == at).into_iter().collect();
    body.push(at);
    body.sort_unstable();
    body.dedup();
    body
}

/// How many loops around `point` there are, and which of them, counted from outside, the one at `at` is; `None` if `point` is not in it.
pub(super) fn rank(graph: &Graph, dominators: &Dominators, at: u32, point: u32) -> Option<(usize, usize)> {
    let around = around(graph, dominators, point);
    Some((around.len(), around.iter().position(|top| *top == at)?))
}

/// The loops around `point`, from outside, each by the node that all ways into it pass.
pub(super) fn around(graph: &Graph, dominators: &Dominators, point: u32) -> Vec<u32> {
    let mut around = Vec::new();
    let mut here = Some(point);
    while let Some(node) = here {
        let is_top = graph.node(node).is_some_and(|top| top.before.iter().any(|end| dominators.passes(*end, node)));
        if is_top && body(graph, dominators, node).binary_search(&point).is_ok() {
            around.push(node);
        }
        here = dominators.immediate(node);
    }
    around.reverse();
    around
}

/// The conditional branches that leave the loop at `at`, each with whether it leaves when taken. `None` where something else than a
/// conditional branch leaves.
pub(super) fn exits(graph: &Graph, dominators: &Dominators, at: u32) -> Option<Vec<(u32, ConditionCode, bool)>> {
    let body = body(graph, dominators, at);
    let mut found = Vec::new();
    for node in &body {
        let branch = graph.node(*node)?;
        let leaves = |node: &u32| body.binary_search(node).is_err();
        if !branch.next.iter().any(leaves) {
            continue;
        }
        let [a, b] = branch.next.as_slice() else { return None };
        let condition = branch.instruction.condition_code();
        let to = branch.instruction.near_branch_target();
        let is_taken = |node: &u32| graph.node(*node).is_some_and(|node| node.instruction.ip() == to);
        if condition == ConditionCode::None || (leaves(a) && leaves(b)) {
            return None;
        }
        let out = if leaves(a) { a } else { b };
        found.push((*node, condition, is_taken(out)));
    }
    Some(found)
}

/// Nodes that control may pass before it comes to `point`.
pub(super) fn ahead_of(graph: &Graph, point: u32) -> Vec<u32> {
    let ends = graph.node(point).map_or(&[][..], |node| &node.before);
    let mut found: Vec<u32> =
        reached(ends, |node| graph.node(node).map_or(&[][..], |node| &node.before), |_| false).into_iter().collect();
    found.sort_unstable();
    found
}

/// The condition that holds when the other does not.
pub(super) fn negated(condition: ConditionCode) -> ConditionCode {
    use ConditionCode as C;
    match condition {
        C::None => C::None,
        C::o => C::no,
        C::no => C::o,
        C::b => C::ae,
        C::ae => C::b,
        C::e => C::ne,
        C::ne => C::e,
        C::be => C::a,
        C::a => C::be,
        C::s => C::ns,
        C::ns => C::s,
        C::p => C::np,
        C::np => C::p,
        C::l => C::ge,
        C::ge => C::l,
        C::le => C::g,
        C::g => C::le,
    }
}
