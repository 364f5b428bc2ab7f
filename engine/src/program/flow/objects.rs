//! The variables that lie in a function's frame: how far the bytes reach that a pointer into it can be used for.

use std::collections::BTreeMap;

use super::graph::{Graph, Node, Unclear};
use super::stack::FrameValue;
use crate::program::build::Build;
use crate::program::fresh::locals::{Local, Locals, Place};
use crate::program::types::Shape;

/// A variable in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Object {
    /// First byte, from the canonical frame address.
    pub(super) start: i64,
    /// Behind its last byte.
    pub(super) end: i64,
    /// Whether it has parts, so that code computes addresses within it.
    pub(super) has_parts: bool,
    /// First address and behind-last address of the code that it is there for.
    pub(super) code: (u64, u64),
    /// Whether that is all the code that it is in scope of.
    pub(super) always: bool,
}

impl Object {
    /// Whether a pointer to `offset` may be one into it or to its end.
    pub(super) fn is_meant_by(&self, offset: i64) -> bool {
        (self.start..=self.end).contains(&offset)
    }
}

/// The variables of a function that are in its frame somewhere in its code.
pub(super) fn find(graph: &Graph, build: &Build) -> Result<Vec<Object>, Unclear> {
    let entry = graph.nodes().first().map(Node::address).unwrap_or_default();
    let locals = Locals::around(build, entry);
    let locals = locals.map_err(|_| Unclear { at: entry, what: "its debug information" })?;
    let mut found = Vec::new();
    for local in locals.of(entry.0) {
        let types = &build.debug.types;
        let Some(size) = types.size_of(Some(local.kind)).and_then(|size| i64::try_from(size).ok()).filter(|size| *size > 0)
        else {
            continue;
        };
        let kind = types.normal(Some(local.kind)).map(|kind| &types.get(kind).shape);
        let has_parts = matches!(kind, Some(Shape::Struct { .. } | Shape::Union { .. } | Shape::Array { .. }));
        for start in starts(graph, local) {
            let Some(end) = start.checked_add(size) else { continue };
            found.push(Object { start, end, has_parts, code: local.range, always: local.always });
        }
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Where a variable begins. One that is told relative to a register is where that points most of the time: not as in the prologue.
fn starts(graph: &Graph, local: &Local) -> Vec<i64> {
    let (register, plus) = match local.place {
        // From the stack pointer at the entry.
        Place::Frame(offset) => return offset.checked_sub(8).into_iter().collect(),
        Place::Based(register, plus) => (register, plus),
        Place::Register(_) | Place::Value(..) => return Vec::new(),
    };
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    let mut at_calls = Vec::new();
    for (index, node) in (0u32..).zip(graph.nodes()) {
        if !(local.range.0..local.range.1).contains(&node.instruction.ip()) {
            continue;
        }
        let Some(FrameValue::At(base)) = graph.stack().before(index).get(register).copied() else { continue };
        let Some(start) = base.checked_add(plus) else { continue };
        *counts.entry(start).or_default() += 1;
        if node.is_call() {
            at_calls.push(start);
        }
    }
    let mut found: Vec<i64> = counts.iter().max_by_key(|(_, count)| **count).map(|(start, _)| *start).into_iter().collect();
    found.extend(at_calls);
    found.sort_unstable();
    found.dedup();
    found
}
