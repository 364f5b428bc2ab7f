//! What must hold at a point because of the way that control came there (PROOF 3.5): branches that every way from the entry passes, and
//! variables that the new code takes for constants. What the old code asked, too, on its ways to the old point needs no answer.

mod constants;
mod joins;
mod question;
mod ranges;
mod rounds;
#[cfg(test)]
mod tests;

use super::continuation::{Condition, Relation, Value};
use super::correspond::{Correspondence, Side};
use super::terms::Terms;
use crate::plan::address::NewLink;
use crate::plan::compare::strings;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::flow::{Graph, ValueId};
use question::{Asked, Question};
use ranges::Ranges;

pub(super) use constants::Constants;
pub(super) use question::{chosen, result};
pub(super) use rounds::{End, end, exits};

/// Entries of one table of jumps that are looked at.
const LONGEST_TABLE: u64 = 4096;

/// What is to be checked at the stop, and what cannot be.
#[derive(Debug, Default)]
pub(super) struct Position {
    pub(super) conditions: Vec<Condition>,
    pub(super) problems: Vec<Problem>,
}

impl Position {
    /// Adds what else has to hold.
    pub(super) fn extend(&mut self, further: Self) {
        self.conditions.extend(further.conditions);
        self.problems.extend(further.problems);
    }
}

/// Something that must hold and that nothing tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The instruction of the new code that decides; `None` for a variable.
    pub(super) branch: Option<NewLink>,
    /// What is the matter.
    pub(super) reason: String,
}

/// One side of a pair of points.
pub(super) struct Here<'h> {
    pub(super) build: &'h Build,
    /// The node of the call.
    pub(super) call: u32,
    /// Bytes of the frame that the function stores to, as (offset, length).
    pub(super) slots: Vec<(i64, u8)>,
}

/// What the new code's way to its point says of values.
pub(super) fn position(terms: &mut Terms<'_, '_, '_>, old: &Here<'_>, new: &Here<'_>) -> Position {
    let all = |side: &mut Side<'_, '_>, here: &Here<'_>| {
        let mut found = questions(side, here.build, here.call);
        found.extend(joins::questions(side, here.build, here.call, &here.slots));
        found
    };
    let olds = all(&mut terms.correspondence.old, old);
    let news = all(&mut terms.correspondence.new, new);
    let mut found = Position::default();
    for question in news {
        if !is_asked(terms.correspondence, &olds, &question.asked) {
            check(terms, &question, &mut found);
        }
    }
    found.extend(rounds::check_rounds(terms, old, new));
    found
}

/// What holds at a call because every way from the entry to it takes a certain way at some branch.
fn questions(side: &mut Side<'_, '_>, build: &Build, call: u32) -> Vec<Question> {
    let graph = side.values.function().graph;
    let table = |base: LinkAddress, width: u8| entries(build, graph, base, width);
    let mut found = Vec::new();
    let mut here = Some(call);
    while let Some(node) = here {
        here = side.dominators.immediate(node);
        let Some(before) = only_way(side, node) else { continue };
        let branch = graph.node(before).map(|branch| (branch.address(), branch.next.len()));
        let Some((branch, 2..)) = branch else { continue };
        if let Some(asked) = question::asked(side, &table, before, node) {
            found.push(Question { branch, asked });
        }
    }
    found
}

/// What holds when control goes from one node on to another.
fn on_way(side: &mut Side<'_, '_>, build: &Build, from: u32, to: u32) -> Vec<Question> {
    let graph = side.values.function().graph;
    let table = |base: LinkAddress, width: u8| entries(build, graph, base, width);
    let mut found = questions(side, build, from);
    let branch = graph.node(from).map(|branch| (branch.address(), branch.next.len()));
    if let Some((branch, 2..)) = branch
        && let Some(asked) = question::asked(side, &table, from, to)
    {
        found.push(Question { branch, asked });
    }
    found
}

/// The node before `node` on all ways to it from the entry: others that lead to it come from it.
fn only_way(side: &Side<'_, '_>, node: u32) -> Option<u32> {
    let before = &side.values.function().graph.node(node)?.before;
    let mut outside =
        before.iter().copied().filter(|before| side.dominators.is_reached(*before) && !side.dominators.passes(*before, node));
    let only = outside.next()?;
    (outside.next().is_none() && node != crate::program::flow::ENTRY).then_some(only)
}

/// The entries of a table of jumps: 4 bytes each, counted from the table, or 8 bytes.
fn entries(build: &Build, graph: &Graph, base: LinkAddress, width: u8) -> Vec<LinkAddress> {
    let entry = |index: u64| {
        let at = base.offset(index.checked_mul(u64::from(width))?);
        let bytes = build.elf.file_bytes(at, u64::from(width))?;
        let to = match width {
            4 => base.0.wrapping_add_signed(i64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
            _ => u64::from_le_bytes(bytes.try_into().ok()?),
        };
        graph.at(LinkAddress(to)).map(|_| LinkAddress(to))
    };
    (0..LONGEST_TABLE).map_while(entry).collect()
}

/// Whether two addresses are of string literals: their text may differ, as in functions that count as the same.
pub(super) fn are_literals((old, from): (&Build, LinkAddress), (new, to): (&Build, LinkAddress)) -> bool {
    let is_literal = |build: &Build, at: LinkAddress| {
        build.data_symbol_at(at).is_none()
            && build.elf.section_at(at).is_some_and(strings::may_hold_literals)
            && strings::string_at(&build.elf, at).is_some_and(strings::is_text)
    };
    is_literal(old, from) && is_literal(new, to)
}

/// Whether what the old code asked on its way to the old point says as much.
fn is_asked(correspondence: &mut Correspondence<'_, '_>, olds: &[Question], new: &Asked) -> bool {
    if let Asked::Within { value, bits, ranges } = new {
        let mut known: Ranges = vec![(0, ranges::greatest(*bits))];
        for old in olds {
            if let Asked::Within { value: other, bits: width, ranges } = &old.asked
                && width == bits
                && correspondence.same(*other, *value)
            {
                known = ranges::common(&known, ranges);
            }
        }
        return ranges::within(&known, ranges);
    }
    olds.iter().any(|old| is_same(correspondence, &old.asked, new))
}

fn is_same(correspondence: &mut Correspondence<'_, '_>, old: &Asked, new: &Asked) -> bool {
    match (old, new) {
        (
            Asked::Compared { left: a, relation, right: b, bits },
            Asked::Compared { left: c, relation: wanted, right: d, bits: width },
        ) => {
            let straight = implies(*relation, *wanted);
            let crossed = implies(question::swapped(*relation), *wanted);
            bits == width
                && ((straight && correspondence.same(*a, *c) && correspondence.same(*b, *d))
                    || (crossed && correspondence.same(*a, *d) && correspondence.same(*b, *c))
                    || is_as_far(correspondence, ((*a, *b), *relation), ((*c, *d), *wanted), *bits))
        }
        (Asked::Flags { flags: a, condition }, Asked::Flags { flags: b, condition: wanted }) => {
            condition == wanted && correspondence.same(*a, *b)
        }
        _ => false,
    }
}

/// Whether both ask if two values are equal, which are as far apart in both codes.
fn is_as_far(
    correspondence: &mut Correspondence<'_, '_>,
    (old, relation): ((ValueId, ValueId), Relation),
    (new, wanted): ((ValueId, ValueId), Relation),
    bits: u8,
) -> bool {
    let is_equality = matches!(wanted, Relation::Equal | Relation::Different);
    is_equality
        && relation == wanted
        && (correspondence.same_distance(old, new, bits) || correspondence.same_distance(old, (new.1, new.0), bits))
}

/// Whether two numbers that relate so relate so, too.
fn implies(known: Relation, wanted: Relation) -> bool {
    known == wanted
        || match known {
            Relation::Equal => matches!(
                wanted,
                Relation::BelowOrEqual | Relation::AboveOrEqual | Relation::LessOrEqual | Relation::GreaterOrEqual
            ),
            Relation::Below => matches!(wanted, Relation::BelowOrEqual | Relation::Different),
            Relation::Above => matches!(wanted, Relation::AboveOrEqual | Relation::Different),
            Relation::Less => matches!(wanted, Relation::LessOrEqual | Relation::Different),
            Relation::Greater => matches!(wanted, Relation::GreaterOrEqual | Relation::Different),
            _ => false,
        }
}

/// Makes a condition of a question, or a problem.
fn check(terms: &mut Terms<'_, '_, '_>, question: &Question, found: &mut Position) {
    let branch = NewLink(question.branch);
    let problem = |reason: String| Problem { branch: Some(branch), reason };
    match &question.asked {
        Asked::Within { value, bits, ranges } => match terms.explain(*value, *bits) {
            Ok(Value::Constant(number)) if ranges::within(&[(number, number)], ranges) => {}
            Ok(value) => match within(&value, *bits, ranges, branch) {
                Some(conditions) => found.conditions.extend(conditions),
                None => found.problems.push(problem("it asks what one comparison does not tell".to_owned())),
            },
            Err(reason) => found.problems.push(problem(unknown(&reason))),
        },
        Asked::Compared { left, relation, right, bits } => match (terms.explain(*left, *bits), terms.explain(*right, *bits)) {
            (Ok(left), Ok(right)) => {
                found.conditions.push(Condition { left, relation: *relation, right, bits: *bits, branch, argument: None });
            }
            (Err(reason), _) | (_, Err(reason)) => found.problems.push(problem(unknown(&reason))),
        },
        Asked::Flags { .. } => found.problems.push(problem("what it asks is not understood".to_owned())),
        Asked::Other(what) => found.problems.push(problem(format!("it depends on {what}"))),
    }
}

/// What has to hold, all of it, where a conditional move takes its second operand: `None` where comparisons do not tell, an error where what
/// is compared is not explained.
pub(super) fn chosen_if(terms: &mut Terms<'_, '_, '_>, asked: &Asked, depth: u32) -> Option<Result<Vec<Condition>, String>> {
    let branch = NewLink::new(0);
    match asked {
        Asked::Within { value, bits, ranges } => match terms.deep(*value, *bits, depth) {
            Ok(value) => within(&value, *bits, ranges, branch).map(Ok),
            Err(reason) => Some(Err(reason)),
        },
        Asked::Compared { left, relation, right, bits } => {
            let mut side = |value| terms.deep(value, *bits, depth);
            Some(side(*left).and_then(|left| {
                Ok(vec![Condition { left, relation: *relation, right: side(*right)?, bits: *bits, branch, argument: None }])
            }))
        }
        Asked::Flags { .. } | Asked::Other(_) => None,
    }
}

fn unknown(reason: &str) -> String {
    format!("the new code is only there if a branch goes one way, and what it asks is not known: {reason}")
}

/// Conditions that together say that a value is in some ranges.
fn within(value: &Value, bits: u8, ranges: &[(u64, u64)], branch: NewLink) -> Option<Vec<Condition>> {
    let top = ranges::greatest(bits);
    let one =
        |relation, to| Condition { left: value.clone(), relation, right: Value::Constant(to), bits, branch, argument: None };
    let middle = (top >> 1) + 1;
    Some(match *ranges {
        [(low, high)] if low == high => vec![one(Relation::Equal, low)],
        [(0, high)] if high == top => Vec::new(),
        [(0, high)] => vec![one(Relation::BelowOrEqual, high)],
        [(low, high)] if high == top => vec![one(Relation::AboveOrEqual, low)],
        [(low, high)] => vec![one(Relation::AboveOrEqual, low), one(Relation::BelowOrEqual, high)],
        [(0, below), (above, high)] if high == top && below + 2 == above => vec![one(Relation::Different, below + 1)],
        // A range of signed numbers around zero.
        [(0, high), (low, end)] if end == top && high < middle && low >= middle => {
            vec![one(Relation::LessOrEqual, high), one(Relation::GreaterOrEqual, low)]
        }
        _ => return None,
    })
}
