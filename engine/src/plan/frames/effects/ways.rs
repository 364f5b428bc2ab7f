//! The ways of a function to a point and from it.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{InstructionInfoFactory, OpAccess};

use super::super::events::{self, reached};
use crate::program::flow::{Dominators, ENTRY, Graph, Place, ValueId, Values};

/// The nodes around a point.
#[derive(Debug)]
pub(super) struct Ways {
    /// The point: a call under way, or the next instruction.
    pub(super) point: u32,
    /// Nodes that control may have passed before it came to the point in the present round of every loop around it, for the first time. What
    /// earlier rounds did is behind the point, or passed it by: that was the old code's to do (PROOF 3.28).
    pub(super) ahead: BTreeSet<u32>,
    /// Nodes that control may come to from the point.
    pub(super) behind: BTreeSet<u32>,
}

impl Ways {
    /// Around `point`; `between` says that its instruction is yet to come, `copies` are calls that are one with it, itself included.
    pub(super) fn new(graph: &Graph, dominators: &Dominators, (point, copies): (u32, &[u32]), between: bool) -> Self {
        let next = |node: u32| graph.node(node).map_or(&[][..], |node| &node.next);
        let is_point = |node: u32| node == point || copies.contains(&node);
        let mut from = if point == ENTRY { BTreeSet::new() } else { reached(&[ENTRY], next, is_point) };
        from.retain(|node| !is_point(*node));
        let mut ahead = BTreeSet::new();
        // Control has come first to the point itself, or to one that is one with it.
        let leads = |from: &u32| *from != point && reached(next(*from), next, |_| false).contains(&point);
        for first in copies.iter().copied().filter(leads).chain([point]) {
            let around = events::around(graph, dominators, first);
            let into: BTreeMap<u32, Vec<u32>> = around.into_iter().map(|top| (top, entries(graph, dominators, top))).collect();
            let before = |node: u32| match into.get(&node) {
                Some(entries) => entries.as_slice(),
                None => graph.node(node).map_or(&[][..], |node| &node.before),
            };
            ahead.extend(from.intersection(&reached(before(first), before, is_point)));
        }
        let mut behind = reached(next(point), next, |_| false);
        if between {
            behind.insert(point);
        }
        Self { point, ahead, behind }
    }

    /// Whether control may pass a node on its first way to the point.
    pub(super) fn is_ahead(&self, node: u32) -> bool {
        self.ahead.contains(&node)
    }

    /// Whether control comes to a node ahead of the point again behind it.
    pub(super) fn is_round(&self, node: u32) -> bool {
        self.behind.contains(&node)
    }

    /// Whether every way from the entry to the point passes one of some nodes.
    pub(super) fn passes_one(&self, graph: &Graph, nodes: &[u32]) -> bool {
        let next = |node: u32| graph.node(node).map_or(&[][..], |node| &node.next);
        nodes.contains(&ENTRY) || !reached(&[ENTRY], next, |node| nodes.contains(&node)).contains(&self.point)
    }
}

/// What control comes from when it comes into a loop.
fn entries(graph: &Graph, dominators: &Dominators, top: u32) -> Vec<u32> {
    let before = graph.node(top).map_or(&[][..], |node| &node.before);
    before.iter().copied().filter(|node| !dominators.passes(*node, top)).collect()
}

/// The general registers that an instruction reads, its stack pointer apart. `None` where it reads others, too.
pub(super) fn read(values: &mut Values<'_>, node: u32) -> Option<Vec<ValueId>> {
    let instruction = values.function().graph.node(node)?.instruction;
    let mut info = InstructionInfoFactory::new();
    let used: Vec<_> = info.info(&instruction).used_registers().to_vec();
    let mut found = Vec::new();
    for used in used {
        let is_read =
            matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite);
        if !is_read || used.register().is_segment_register() || used.register() == iced_x86::Register::RIP {
            continue;
        }
        let full = used.register().full_register();
        if !full.is_gpr64() {
            return None;
        }
        if full != iced_x86::Register::RSP {
            found.push(values.before(node, Place::Register(u8::try_from(full.number()).ok()?)));
        }
    }
    if instruction.is_ip_rel_memory_operand() {
        found.push(values.address_at(node)?);
    }
    Some(found)
}
