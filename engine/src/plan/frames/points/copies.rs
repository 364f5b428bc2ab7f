//! Copies of one call in machine code: whether control can go from one to another without coming round.

use std::collections::BTreeSet;

use crate::program::flow::{Dominators, Graph};

/// Whether calls are copies of one call of the source for different ways, such as the two that a condition splits it into: each two are
/// separated by the last node that all ways to both pass, so that only going round leads from one to the other. Calls that follow one
/// another (those of a macro, those of an unrolled loop) do not.
pub(in super::super) fn exclude_each_other(graph: &Graph, dominators: &Dominators, calls: &[u32]) -> bool {
    let apart = |one: u32, other: u32| match common(dominators, one, other) {
        Some(common) => common != one && !leads(graph, one, other, common),
        None => false,
    };
    calls.iter().all(|one| calls.iter().all(|other| one == other || apart(*one, *other)))
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

/// Whether a way leads from one node to another without passing a third.
fn leads(graph: &Graph, from: u32, to: u32, but: u32) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        for next in graph.node(node).map_or(&[][..], |node| &node.next) {
            if *next == to {
                return true;
            }
            if *next != but && seen.insert(*next) {
                open.push(*next);
            }
        }
    }
    false
}
