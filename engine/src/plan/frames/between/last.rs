//! What was done last before a point: between two effects it does not matter where control is, before and behind one it does.

use std::collections::BTreeSet;

use super::super::correspond::{Correspondence, Side};
use super::super::effects::{Impact, Kind, effects_of, is_same_place, same_store};
use super::super::points::Points;
use super::Aligned;
use crate::program::code::Callee;
use crate::program::flow::ENTRY;

/// The effects that may have been the last before a point, and whether there may have been none.
struct Last {
    effects: Vec<(u32, Kind)>,
    none: bool,
}

/// Whether both codes have done the same last when they come to their points.
///
/// # Errors
/// That they have not.
pub(in super::super) fn same_last_effects(
    correspondence: &mut Correspondence<'_, '_>,
    points: &Points,
    aligned: &Aligned,
) -> Result<(), &'static str> {
    let olds = last(&mut correspondence.old, &|callee| points.old_impact(callee));
    let news = last(&mut correspondence.new, &|callee| points.impact(callee));
    let mut is_one = |old: (u32, Kind), new: (u32, Kind)| match (old.1, new.1) {
        (Kind::Call(_), Kind::Call(_)) => correspondence.same_call(old.0, new.0),
        (Kind::Store, Kind::Store) => {
            let partners = aligned.of(old.0).contains(&new.0) && same_code(correspondence, old.0, new.0);
            partners || same_store(correspondence, old.0, new.0, true) || is_same_place(correspondence, old.0, new.0)
        }
        _ => false,
    };
    let both = olds.none == news.none
        && olds.effects.iter().all(|old| news.effects.iter().any(|new| is_one(*old, *new)))
        && news.effects.iter().all(|new| olds.effects.iter().any(|old| is_one(*old, *new)));
    match both {
        true => Ok(()),
        false => Err("what the old code has done last there and what the new code has is not known to be the same"),
    }
}

fn same_code(correspondence: &Correspondence<'_, '_>, old: u32, new: u32) -> bool {
    let code = |side: &Side<'_, '_>, node: u32| side.values.function().graph.node(node).map(|node| node.instruction.code());
    code(&correspondence.old, old) == code(&correspondence.new, new)
}

fn last(side: &mut Side<'_, '_>, impact: &dyn Fn(Callee) -> Impact) -> Last {
    let graph = side.values.function().graph;
    let mut found = Last { effects: Vec::new(), none: side.point == ENTRY };
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    let mut open: Vec<u32> = graph.node(side.point).map_or_else(Vec::new, |node| node.before.clone());
    while let Some(node) = open.pop() {
        if !seen.insert(node) {
            continue;
        }
        let effect = effects_of(side, &BTreeSet::from([node])).pop();
        match effect.filter(|(_, kind)| !matches!(kind, Kind::Call(callee) if impact(*callee) == Impact::None)) {
            Some(effect) => found.effects.push(effect),
            None => {
                found.none |= node == ENTRY;
                open.extend(graph.node(node).map_or(&[][..], |node| &node.before));
            }
        }
    }
    found
}
