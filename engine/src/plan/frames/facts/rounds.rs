//! What must hold because control has gone round the loops about a point (PROOF 3.5): in no earlier round did the new code leave. What the
//! old code asks, too, it has asked in each round. Of a counter the rounds before are told from where it began; what each round has got
//! anew (a result, something read) was the old code's to decide on.

use std::collections::BTreeSet;

use iced_x86::ConditionCode;

use super::super::continuation::Relation;
use super::super::correspond::{Correspondence, Side, negated};
use super::super::events;
use super::super::lockstep::Linear;
use super::super::terms::Terms;
use super::joins::parts;
use super::question::{self, Asked, Question};
use super::ranges::{self, Ranges};
use super::{Here, Position, Problem, check, entries, is_asked};
use crate::plan::address::NewLink;
use crate::program::address::LinkAddress;
use crate::program::flow::{Term, ValueId, Values};

/// Terms that a question is made of beyond which it counts as not understood.
const MOST_TERMS: usize = 400;

/// A branch that leaves a loop: its node, its condition, whether it leaves when taken, and the node that it stays at.
pub(in super::super) type Exit = (u32, ConditionCode, bool, u32);

/// An end of a loop: where this sum is zero it is left, else it goes on.
#[derive(Debug)]
pub(in super::super) struct End {
    pub(in super::super) zero: Linear,
    pub(in super::super) bits: u8,
}

/// What is zero where an exit is taken, and is not where control stays.
pub(in super::super) fn end(side: &mut Side<'_, '_>, exit: Exit) -> Option<End> {
    let (zero, bits) = match question::asked(side, &|_, _| Vec::new(), exit.0, exit.3)? {
        Asked::Within { value, bits, ranges } => {
            let top = ranges::greatest(bits);
            let number = match ranges[..] {
                [(0, high)] if high == top - 1 => top,
                [(1, high)] if high == top => 0,
                [(0, below), (above, high)] if high == top && above - below == 2 => below + 1,
                _ => return None,
            };
            let number = Linear { constant: number.cast_signed(), ..Linear::default() };
            (Linear::of(side.values, value, bits)?.less(&number, bits), bits)
        }
        Asked::Compared { left, relation: Relation::Different, right, bits } => {
            let right = Linear::of(side.values, right, bits)?;
            (Linear::of(side.values, left, bits)?.less(&right, bits), bits)
        }
        _ => return None,
    };
    Some(End { zero, bits })
}

/// Whether each round of the loop at `head` passes a node.
fn is_in_each_round(side: &Side<'_, '_>, head: u32, node: u32) -> bool {
    let before = side.graph().node(head).map_or(&[][..], |head| &head.before);
    let mut back = before.iter().filter(|before| side.dominators.passes(**before, head)).peekable();
    back.peek().is_some() && back.all(|before| side.dominators.passes(*before, node))
}

/// Whether the old loop, in each of its rounds, asked whether to leave for what the new one would have left for.
fn is_multiple(correspondence: &mut Correspondence<'_, '_>, heads: (u32, u32), old: Exit, new: Exit) -> bool {
    if !is_in_each_round(&correspondence.old, heads.0, old.0) || !correspondence.same_rounds(heads.0, heads.1) {
        return false;
    }
    let (Some(old), Some(new)) = (end(&mut correspondence.old, old), end(&mut correspondence.new, new)) else { return false };
    correspondence.is_multiple(&old, &new)
}

/// What a question is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// What is the same in all rounds.
    Before,
    /// What one round leaves to the next.
    Carried,
    /// What a round has got anew, or what is not understood.
    Anew,
}

/// What the rounds before say of values at the point.
pub(super) fn check_rounds(terms: &mut Terms<'_, '_, '_>, old: &Here<'_>, new: &Here<'_>) -> Position {
    let mut found = Position::default();
    let heads = |side: &Side<'_, '_>, point: u32| events::around(side.values.function().graph, side.dominators, point);
    let olds = heads(&terms.correspondence.old, old.call);
    let news = heads(&terms.correspondence.new, new.call);
    for (rank, head) in news.iter().enumerate() {
        let partner = olds.get(rank).copied().filter(|_| olds.len() == news.len());
        let known = partner.map_or_else(Vec::new, |partner| exits(&terms.correspondence.old, partner));
        let asked: Vec<Question> = known.iter().filter_map(|exit| staying(&mut terms.correspondence.old, old, *exit)).collect();
        for exit in exits(&terms.correspondence.new, *head) {
            let Some(question) = staying(&mut terms.correspondence.new, new, exit) else { continue };
            let heads = partner.map(|partner| (partner, *head));
            let is_known = known.iter().any(|old| {
                is_same_exit(terms.correspondence, *old, exit)
                    || heads.is_some_and(|heads| is_multiple(terms.correspondence, heads, *old, exit))
            }) || is_asked(terms.correspondence, &asked, &question.asked);
            if !is_known {
                stays(terms, (*head, question), &mut found);
            }
        }
    }
    found
}

/// The conditional branches of which one way leaves the loop at `head`.
pub(in super::super) fn exits(side: &Side<'_, '_>, head: u32) -> Vec<Exit> {
    let graph = side.values.function().graph;
    let body = events::body(graph, side.dominators, head);
    let is_in = |node: &u32| body.binary_search(node).is_ok();
    let mut found = Vec::new();
    for node in &body {
        let Some(branch) = graph.node(*node) else { continue };
        let [a, b] = branch.next.as_slice() else { continue };
        let (stay, out) = match (is_in(a), is_in(b)) {
            (true, false) => (*a, *b),
            (false, true) => (*b, *a),
            _ => continue,
        };
        let condition = branch.instruction.condition_code();
        if condition != ConditionCode::None {
            let target = branch.instruction.near_branch_target();
            let leaves = graph.node(out).is_some_and(|out| out.instruction.ip() == target);
            found.push((*node, condition, leaves, stay));
        }
    }
    found
}

/// Whether the old loop leaves for the same reason.
fn is_same_exit(correspondence: &mut Correspondence<'_, '_>, old: Exit, new: Exit) -> bool {
    let same = (old.1 == new.1 && old.2 == new.2) || (negated(old.1) == new.1 && old.2 != new.2);
    same && correspondence.same_flags(old.0, new.0)
}

/// What a branch asks where control stays in its loop.
fn staying(side: &mut Side<'_, '_>, here: &Here<'_>, exit: Exit) -> Option<Question> {
    let graph = side.values.function().graph;
    let table = |base: LinkAddress, width: u8| entries(here.build, graph, base, width);
    let branch = graph.node(exit.0)?.address();
    Some(Question { branch, asked: question::asked(side, &table, exit.0, exit.3)? })
}

/// What holds because a branch of the new code has never left its loop.
fn stays(terms: &mut Terms<'_, '_, '_>, (head, question): (u32, Question), found: &mut Position) {
    let side = &mut terms.correspondence.new;
    let body = events::body(side.values.function().graph, side.dominators, head);
    let Question { branch, asked } = question;
    let made = match &asked {
        Asked::Within { value, .. } => made_of(side.values, &[*value], head, &body),
        Asked::Compared { left, right, .. } => made_of(side.values, &[*left, *right], head, &body),
        Asked::Flags { flags, .. } => made_of(side.values, &[*flags], head, &body),
        Asked::Other(_) => Made::Anew,
    };
    match made {
        Made::Anew => {}
        Made::Before => check(terms, &Question { branch, asked }, found),
        Made::Carried => match counted(side.values, head, &asked) {
            Before::NoCounter => {}
            Before::Holds(asked) => check(terms, &Question { branch, asked }, found),
            Before::Unknown => {
                let reason = "the new code may have left the loop in an earlier round".to_owned();
                found.problems.push(Problem { branch: Some(NewLink(branch)), reason });
            }
        },
    }
}

/// What values are made of, seen from a loop.
fn made_of(values: &Values<'_>, roots: &[ValueId], head: u32, body: &[u32]) -> Made {
    let is_in = |node: &u32| body.binary_search(node).is_ok();
    let mut open: Vec<ValueId> = roots.iter().map(|root| values.resolve(*root)).collect();
    let mut seen: BTreeSet<ValueId> = open.iter().copied().collect();
    let mut made = Made::Before;
    while let Some(value) = open.pop() {
        if seen.len() > MOST_TERMS {
            return Made::Anew;
        }
        let inner: Vec<ValueId> = match values.node(value) {
            Term::Load { at, .. } | Term::Result { call: at, .. } | Term::Unknown { at, .. } if is_in(at) => return Made::Anew,
            Term::Load { address, .. } => vec![*address],
            Term::Choice { at, .. } => {
                if *at == head {
                    made = Made::Carried;
                }
                values.inputs(value)
            }
            Term::Sum { terms, .. } => terms.iter().map(|(term, _)| *term).collect(),
            Term::Extend { of, .. } | Term::Part { of, .. } => vec![*of],
            Term::Binary { left, right, .. } => vec![*left, *right],
            Term::Pure { operands, .. } => operands.clone(),
            _ => Vec::new(),
        };
        open.extend(inner.into_iter().map(|value| values.resolve(value)).filter(|value| seen.insert(*value)));
    }
    made
}

/// What rounds before say of a counter.
enum Before {
    /// It is none that is understood to go up or down by a number: what the point itself says is all.
    NoCounter,
    /// This holds of it at the point.
    Holds(Asked),
    /// It may have passed the value at which the loop is left.
    Unknown,
}

/// What is asked of a counter at the end of a round, asked of it at the point for all rounds before: between where it began and there, it
/// was nowhere that the loop is left.
fn counted(values: &mut Values<'_>, head: u32, asked: &Asked) -> Before {
    match asked {
        Asked::Within { value, bits, ranges } => {
            let Some((whole, counter)) = counter(values, head, *value, *bits) else { return Before::NoCounter };
            // A counter of fewer bits may have begun again.
            let known = if *bits < 32 { None } else { passed(counter, *bits, ranges) };
            known.map_or(Before::Unknown, |ranges| Before::Holds(Asked::Within { value: whole, bits: *bits, ranges }))
        }
        Asked::Compared { left, relation: Relation::Different, right, bits } => {
            let mut is_counter = |value: ValueId| {
                let (base, _) = parts(values, value, *bits);
                counter(values, head, base, *bits).is_some()
            };
            if is_counter(*left) || is_counter(*right) { Before::Unknown } else { Before::NoCounter }
        }
        _ => Before::NoCounter,
    }
}

/// A counter: where it begins, if that is a number, and by what it goes on in each round.
#[derive(Clone, Copy)]
struct Counter {
    first: Option<u64>,
    step: u64,
}

/// The counter of the loop at `head` that a value is, with the value as all its bits are counted.
fn counter(values: &mut Values<'_>, head: u32, value: ValueId, bits: u8) -> Option<(ValueId, Counter)> {
    let choice = match values.node(value).clone() {
        Term::Extend { from, signed: false, of } if from == bits => values.resolve(of),
        _ => values.resolve(value),
    };
    if !matches!(values.node(choice), Term::Choice { at, .. } if *at == head) {
        return None;
    }
    let whole = values.extend(bits, false, choice);
    let whole = values.resolve(whole);
    let (mut firsts, mut step) = (Vec::new(), None);
    for input in values.inputs(choice) {
        match parts(values, input, bits) {
            (base, plus) if base == whole && plus != 0 && step.is_none_or(|step| step == plus) => step = Some(plus),
            // It is kept as it is in some rounds, or goes on unevenly.
            (base, _) if base == whole => return None,
            _ => firsts.push(match values.node(input) {
                Term::Constant(number) => Some(*number & ranges::greatest(bits)),
                _ => None,
            }),
        }
    }
    firsts.dedup();
    let first = if let [first] = firsts.as_slice() { *first } else { None };
    Some((whole, Counter { first, step: step? }))
}

/// Where a counter may be that began at `first`, goes on by `step` in each round, and never was outside `ranges` at the end of one.
fn passed(counter: Counter, bits: u8, ranges: &[(u64, u64)]) -> Option<Ranges> {
    let top = ranges::greatest(bits);
    let Counter { first, step } = counter;
    let Some(first) = first else {
        // Wherever it began, one that goes down was higher before, and nothing that is counted begins beyond the highest number.
        let is_down = step & top > top / 2;
        let is_highest = |number: u64| number == top || number == top / 2;
        let [(low, high)] = ranges else { return None };
        let behind = (low.wrapping_add(step) & top, high.wrapping_add(step) & top);
        return match (is_highest(behind.1) && behind.0 <= behind.1, is_highest(*high)) {
            // It is asked before it goes down, and what is asked about is what it goes down to.
            (true, _) if is_down => Some(vec![behind]),
            (_, true) if is_down => Some(ranges.to_vec()),
            _ => None,
        };
    };
    let Some((low, high)) = ranges.iter().copied().find(|(low, high)| (*low..=*high).contains(&first)) else {
        // It would have left in the first round.
        return Some(vec![(first, first)]);
    };
    let up = step & top;
    let down = up.wrapping_neg() & top;
    match (up <= top / 2, up) {
        (_, 0) => Some(vec![(first, first)]),
        (true, _) => Some(vec![(first, high.checked_add(up).map_or(top, |end| end.min(top)))]),
        (false, _) => Some(vec![(low.saturating_sub(down), first)]),
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, passed};

    #[test]
    fn a_counter_never_passed_the_number_at_which_the_loop_is_left() {
        let top = u64::MAX;
        let passed = |first, step, bits, ranges: &[(u64, u64)]| passed(Counter { first: Some(first), step }, bits, ranges);
        let other_than_19 = [(0, 18), (20, top)];
        assert_eq!(passed(0, 1, 64, &other_than_19), Some(vec![(0, 19)]));
        assert_eq!(passed(30, 1, 64, &other_than_19), Some(vec![(30, top)]));
        // Down to 1, at which a loop is left that counts before it asks.
        assert_eq!(passed(20, top, 64, &[(0, 0), (2, top)]), Some(vec![(1, 20)]));
        assert_eq!(passed(19, 1, 64, &other_than_19), Some(vec![(19, 19)]), "it leaves in the first round");
        assert_eq!(passed(3, u64::from(u32::MAX), 32, &[(0, 0), (2, u64::from(u32::MAX))]), Some(vec![(1, 3)]));
    }
}
