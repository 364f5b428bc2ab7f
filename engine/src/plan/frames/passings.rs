//! How often control has come to the point, where compilers have made several calls of the one at the point: loops that they turn, peel or
//! leave in several tails (PROOF 3.30).

use std::collections::BTreeMap;

use super::correspond::{ARGUMENTS, Correspondence, Side, negated};
use super::events;
use super::lockstep::{stripped, wrapped};
use crate::program::flow::{ENTRY, Node, Place, Term, ValueId, Values};

/// More steps are not followed.
const MOST_STEPS: usize = 4000;

/// A value less a number; `None` is nothing but the number.
type Based = (Option<ValueId>, i64);

/// A value that changes by a constant each time that control comes to the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    /// What it is the first time.
    start: Based,
    step: i64,
}

/// Whether calls are one call that the compiler copied: behind each of them the same is done, up to where ways meet or come to one of them
/// again.
pub(super) fn are_copies(values: &mut Values<'_>, calls: &[u32]) -> bool {
    let Some((first, others)) = calls.split_first() else { return false };
    others.iter().all(|other| is_copy(values, calls, *first, *other))
}

fn is_copy(values: &mut Values<'_>, calls: &[u32], one: u32, other: u32) -> bool {
    let graph = values.function().graph;
    let next = |node: u32| graph.node(node).map_or(&[][..], |node| node.next.as_slice());
    let mut seen = Vec::new();
    let mut open: Vec<(u32, u32)> = match (next(one), next(other)) {
        ([a], [b]) => vec![(*a, *b)],
        _ => return false,
    };
    while let Some(pair) = open.pop() {
        let (Some(a), Some(b)) = (deed(values, calls, pair.0), deed(values, calls, pair.1)) else { return false };
        if a == b || seen.contains(&(a, b)) || (calls.contains(&a) && calls.contains(&b)) {
            continue;
        }
        seen.push((a, b));
        if seen.len() > MOST_STEPS || calls.contains(&a) || calls.contains(&b) || !does_the_same(values, a, b) {
            return false;
        }
        match (next(a), next(b)) {
            ([], []) => {}
            ([c], [d]) => open.push((*c, *d)),
            ([_, _], [_, _]) => match (ways(graph.node(a), next(a), values), ways(graph.node(b), next(b), values)) {
                (Some((asked, taken, passed)), Some((asks, c, d))) if asked == asks => open.extend([(taken, c), (passed, d)]),
                (Some((asked, taken, passed)), Some((asks, c, d))) if asked == negated(asks) => {
                    open.extend([(taken, d), (passed, c)]);
                }
                _ => return false,
            },
            _ => return false,
        }
    }
    true
}

/// The condition of a branch, and where it leads if taken and if not.
fn ways(node: Option<&Node>, next: &[u32], values: &Values<'_>) -> Option<(iced_x86::ConditionCode, u32, u32)> {
    let instruction = node?.instruction;
    let [a, b] = next else { return None };
    let target = values.function().graph.node(*a).is_some_and(|a| a.instruction.ip() == instruction.near_branch_target());
    let condition = instruction.condition_code();
    (condition != iced_x86::ConditionCode::None).then_some(if target { (condition, *a, *b) } else { (condition, *b, *a) })
}

/// The next instruction from a node on, itself included, that others can see, that decides, or that ends.
fn deed(values: &Values<'_>, calls: &[u32], from: u32) -> Option<u32> {
    let graph = values.function().graph;
    let mut here = from;
    for _ in 0..MOST_STEPS {
        let node = graph.node(here)?;
        let is_seen = calls.contains(&here) || events::writes_memory(values.function(), here);
        match node.next.as_slice() {
            [next] if !is_seen => here = *next,
            _ => return Some(here),
        }
    }
    None
}

/// Whether two instructions do the same to what others can see, as far as it is told by addresses and numbers.
fn does_the_same(values: &mut Values<'_>, one: u32, other: u32) -> bool {
    let graph = values.function().graph;
    let (Some(a), Some(b)) = (graph.node(one), graph.node(other)) else { return false };
    if a.call != b.call || a.is_call() != b.is_call() {
        return false;
    }
    let is_said = |values: &Values<'_>, value: ValueId| {
        let node = values.node(value);
        matches!(node, Term::Constant(_) | Term::Address(_) | Term::Frame(_)).then(|| node.clone())
    };
    let same = |values: &Values<'_>, a: ValueId, b: ValueId| is_said(values, a) == is_said(values, b);
    if a.is_call() {
        let read = ARGUMENTS & a.arguments.map_or(u16::MAX, |passed| passed.registers.general);
        return (0u8..16).filter(|number| read >> number & 1 != 0).all(|number| {
            let place = Place::Register(number);
            let (a, b) = (values.before(one, place), values.before(other, place));
            values.resolve(a) == values.resolve(b) || same(values, a, b)
        });
    }
    if !events::writes_memory(values.function(), one) {
        return !events::writes_memory(values.function(), other);
    }
    let (Some(from), Some(to)) = (events::store(values, one), events::store(values, other)) else { return false };
    a.instruction.code() == b.instruction.code()
        && from.bytes == to.bytes
        && same(values, from.address, to.address)
        && same(values, from.value, to.value)
}

/// What a value at the point is, as one that changes by a constant from one time that control comes to one of `calls` to the next.
fn count(values: &Values<'_>, (point, calls): (u32, &[u32]), value: ValueId, bits: u8) -> Option<Count> {
    let mut walk = Walk { values, calls, bits, start: None, behind: BTreeMap::new(), steps: 0 };
    let own = walk.split(value, 0)?;
    // Where nothing goes round without a copy of the point in between, the copies stand for one another from the point on.
    let mut known: BTreeMap<u32, Based> = BTreeMap::from([(point, own)]);
    let mut step = None;
    let mut open = vec![point];
    while let Some(call) = open.pop() {
        let based = *known.get(&call)?;
        walk.behind.clear();
        walk.from(call, based)?;
        for (before, found) in std::mem::take(&mut walk.behind) {
            match (known.get(&before).copied(), step) {
                (Some(own), None) => step = Some(walk.less(found, own)?),
                (Some(own), Some(step)) if walk.less(found, own)? == step => {}
                (Some(_), Some(_)) => return None,
                (None, Some(step)) => {
                    known.insert(before, (found.0, walk.wrap(found.1.wrapping_sub(step))));
                    open.push(before);
                }
                // Asked again once the step is known.
                (None, None) => {}
            }
        }
        if step.is_some() && known.len() == 1 && open.is_empty() {
            walk.behind.clear();
            walk.from(point, own)?;
            for (before, found) in std::mem::take(&mut walk.behind) {
                if before != point {
                    known.insert(before, (found.0, walk.wrap(found.1.wrapping_sub(step?))));
                    open.push(before);
                }
            }
        }
    }
    Some(Count { start: walk.start?, step: step.filter(|step| *step != 0)? })
}

/// The ways back from calls to the calls before.
struct Walk<'w, 'g> {
    values: &'w Values<'g>,
    calls: &'w [u32],
    bits: u8,
    /// What the value is at the entry.
    start: Option<Based>,
    /// What it is behind the calls that control comes from.
    behind: BTreeMap<u32, Based>,
    steps: usize,
}

impl Walk<'_, '_> {
    fn from(&mut self, call: u32, based: Based) -> Option<()> {
        let graph = self.values.function().graph;
        let mut seen: BTreeMap<(u32, Option<ValueId>), i64> = BTreeMap::new();
        let mut open = vec![(call, based)];
        while let Some((node, (base, plus))) = open.pop() {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return None;
            }
            // A round without the point in it.
            match seen.insert((node, base), plus) {
                Some(before) if before == plus => continue,
                Some(_) => return None,
                None => {}
            }
            let before = &graph.node(node)?.before;
            if node == ENTRY {
                let is_fixed = base.is_none_or(|base| matches!(self.values.node(base), Term::Entry(_) | Term::Address(_)));
                if !is_fixed || self.start.is_some_and(|start| start != (base, plus)) {
                    return None;
                }
                self.start = Some((base, plus));
            }
            let choice = base.filter(|base| matches!(self.values.node(*base), Term::Choice { at, .. } if *at == node));
            let inputs = choice.map(|choice| self.values.inputs(choice));
            if inputs.as_ref().is_some_and(|inputs| inputs.len() != before.len()) {
                return None;
            }
            for (way, before) in before.iter().enumerate() {
                let based = match &inputs {
                    Some(inputs) => self.split(*inputs.get(way)?, plus)?,
                    None => (base, plus),
                };
                if self.calls.contains(before) {
                    if self.is_made_at(*before, based.0) || self.behind.insert(*before, based).is_some_and(|known| known != based)
                    {
                        return None;
                    }
                } else if self.is_made_at(*before, based.0) {
                    return None;
                } else {
                    open.push((*before, based));
                }
            }
        }
        Some(())
    }

    /// Whether a value comes about at a node, so that it is none that goes on from round to round.
    fn is_made_at(&self, node: u32, base: Option<ValueId>) -> bool {
        base.is_some_and(|base| match self.values.node(base) {
            Term::Load { at, .. } | Term::Result { call: at, .. } | Term::Unknown { at, .. } => *at == node,
            Term::Choice { .. } | Term::Entry(_) | Term::Address(_) => false,
            _ => true,
        })
    }

    fn split(&self, value: ValueId, plus: i64) -> Option<Based> {
        let (mut value, mut plus) = (stripped(self.values, value, self.bits), plus);
        for _ in 0..16 {
            match self.values.node(value) {
                Term::Constant(number) => return Some((None, self.wrap(plus.wrapping_add(number.cast_signed())))),
                Term::Sum { bits, terms, constant } if *bits >= self.bits => match terms.as_slice() {
                    [(term, 1)] => {
                        plus = plus.wrapping_add(*constant);
                        value = stripped(self.values, *term, self.bits);
                    }
                    _ => return Some((Some(value), self.wrap(plus))),
                },
                _ => return Some((Some(value), self.wrap(plus))),
            }
        }
        None
    }

    /// How much more one is than another that is counted from the same.
    fn less(&self, one: Based, other: Based) -> Option<i64> {
        (one.0 == other.0).then(|| self.wrap(one.1.wrapping_sub(other.1)))
    }

    fn wrap(&self, number: i64) -> i64 {
        wrapped(number, self.bits)
    }
}

impl Correspondence<'_, '_> {
    /// Whether two values at the point are told by how often control has come there: both begin alike, and change alike each time.
    pub(super) fn is_counted_alike(&mut self, old: ValueId, new: ValueId) -> bool {
        if self.old.copies.is_empty() || self.new.copies.is_empty() {
            return false;
        }
        let width = self.old.values.width(old).max(self.new.values.width(new));
        let bits = if width <= 32 { 32 } else { 64 };
        let counted = |side: &Side<'_, '_>, value: ValueId| count(side.values, (side.point, &side.copies), value, bits);
        let Some(to) = counted(&self.new, new) else { return false };
        let Some(from) = counted(&self.old, old) else { return false };
        from.step == to.step
            && from.start.1 == to.start.1
            && match (from.start.0, to.start.0) {
                (None, None) => true,
                (Some(old), Some(new)) => self.check(old, new, false),
                _ => false,
            }
    }
}
