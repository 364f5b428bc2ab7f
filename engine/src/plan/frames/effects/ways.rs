//! The ways of a function to a point and from it.

use super::super::events::reached;
use std::collections::BTreeSet;

use iced_x86::{InstructionInfoFactory, OpAccess};

use crate::program::flow::{ENTRY, Graph, Place, ValueId, Values};

/// The nodes around a point.
#[derive(Debug)]
pub(super) struct Ways {
    /// The point: a call under way, or the next instruction.
    pub(super) point: u32,
    /// Nodes on ways from the entry to the point that come to it for the first time.
    pub(super) ahead: BTreeSet<u32>,
    /// Nodes that control may come to from the point.
    pub(super) behind: BTreeSet<u32>,
}

impl Ways {
    /// `between` says that the instruction at the point is yet to come.
    pub(super) fn new(graph: &Graph, point: u32, between: bool) -> Self {
        let next = |node: u32| graph.node(node).map_or(&[][..], |node| &node.next);
        let before = |node: u32| graph.node(node).map_or(&[][..], |node| &node.before);
        let mut from = if point == ENTRY { BTreeSet::new() } else { reached(&[ENTRY], next, |node| node == point) };
        let to = reached(before(point), before, |node| node == point);
        from.remove(&point);
        let ahead = from.intersection(&to).copied().collect();
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
