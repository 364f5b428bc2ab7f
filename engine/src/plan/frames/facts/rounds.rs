//! What the branches at the end of a round say of the next one. Compilers ask before a loop and at its end what the source asks at its top:
//! neither is passed on every way to the point, and what the end asked of values that are still there holds all the same.

use super::only_way;
use super::question::{self, Asked, Question, Table};
use crate::plan::frames::correspond::Side;
use crate::program::flow::{ENTRY, Place, Term, ValueId};

/// What holds at a call because a round of a loop around it ended so that another one began. Values are those of the new round; what is
/// asked of others is over.
pub(super) fn questions(side: &mut Side<'_, '_>, table: &Table<'_>, call: u32) -> Vec<Question> {
    let mut found = Vec::new();
    let mut here = Some(call);
    while let Some(top) = here {
        here = side.dominators.immediate(top);
        let before = side.values.function().graph.node(top).map_or_else(Vec::new, |node| node.before.clone());
        for (way, end) in before.iter().enumerate() {
            if !side.dominators.passes(*end, top) {
                continue;
            }
            let way = way + usize::from(top == ENTRY);
            let carried = carried(side, top, way);
            for Question { branch, asked } in asked_at_end(side, table, top, *end) {
                let asked = translated(side, &carried, asked);
                found.extend(asked.map(|asked| Question { branch, asked }));
            }
        }
    }
    found
}

/// For each value that a way brings to the top of a loop the choice that it becomes there.
fn carried(side: &mut Side<'_, '_>, top: u32, way: usize) -> Vec<(ValueId, ValueId)> {
    for register in 0u8..16 {
        side.values.before(top, Place::Register(register));
    }
    let input = |choice: ValueId| side.values.inputs(choice).get(way).map(|input| (*input, choice));
    side.values.choices_at(top).into_iter().filter_map(input).collect()
}

/// What is asked on all ways within the loop to the end of a round.
fn asked_at_end(side: &mut Side<'_, '_>, table: &Table<'_>, top: u32, end: u32) -> Vec<Question> {
    let mut found = Vec::new();
    let ask = |side: &mut Side<'_, '_>, before: u32, node: u32| {
        let branch = side.values.function().graph.node(before).map(|branch| (branch.address(), branch.next.len()));
        let (branch, 2..) = branch? else { return None };
        question::asked(side, table, before, node).map(|asked| Question { branch, asked })
    };
    found.extend(ask(side, end, top));
    let mut here = Some(end).filter(|end| *end != top);
    while let Some(node) = here {
        if let Some(before) = only_way(side, node) {
            found.extend(ask(side, before, node));
        }
        here = side.dominators.immediate(node).filter(|above| *above != top);
    }
    found
}

/// A value of the round that ends, in the next one.
fn follow(side: &mut Side<'_, '_>, carried: &[(ValueId, ValueId)], value: ValueId) -> Option<ValueId> {
    let value = side.values.resolve(value);
    if let Some((_, choice)) = carried.iter().find(|(input, _)| *input == value) {
        return Some(*choice);
    }
    match *side.values.node(value) {
        Term::Constant(_) | Term::Entry(_) | Term::Address(_) | Term::Frame(_) => Some(value),
        Term::Extend { from, signed, of } => {
            let of = follow(side, carried, of)?;
            Some(side.values.extend(from, signed, of))
        }
        _ => None,
    }
}

fn translated(side: &mut Side<'_, '_>, carried: &[(ValueId, ValueId)], asked: Asked) -> Option<Asked> {
    match asked {
        Asked::Within { value, bits, ranges } => Some(Asked::Within { value: follow(side, carried, value)?, bits, ranges }),
        Asked::Compared { left, relation, right, bits } => {
            let (left, right) = (follow(side, carried, left)?, follow(side, carried, right)?);
            Some(Asked::Compared { left, relation, right, bits })
        }
        Asked::Flags { .. } | Asked::Other(_) => None,
    }
}
