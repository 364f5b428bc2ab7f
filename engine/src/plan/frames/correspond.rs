//! Whether a value of the old code at a point and one of the new code at the paired point are made in the same way (PROOF 3.3: reaching
//! definitions correspond).
//!
//! Terms are compared from the result to what they are made of. A choice corresponds to a choice if their ways do, one by one, and if the
//! branches that decide between the ways ask the same; round loops the pair in hand counts as equal until something speaks against it,
//! which proves what holds for every number of rounds. What was read from memory is the same only if nothing that has no partner may
//! have been written between the read and the point: the memory itself is the old program's.

use std::collections::HashSet;

use super::events;
pub(super) use super::events::negated;
use super::meeting::Meeting;
use super::pairs::Pairs;
use crate::program::address::LinkAddress;
use crate::program::code::{Callee, Symbolic};
use crate::program::flow::{Dominators, Graph, Place, Term, ValueId, Values};

/// Registers of the first integer arguments (System V ABI, 3.2.3), as bits by the numbers of instructions.
pub(super) const ARGUMENTS: u16 = 1 << 7 | 1 << 6 | 1 << 2 | 1 << 1 | 1 << 8 | 1 << 9;
/// More pairs for one value are not followed.
const MOST_PAIRS: usize = 1500;
/// More branches between two ways are not looked at.
const MOST_GATES: usize = 24;

/// One side of the comparison.
pub(super) struct Side<'s, 'g> {
    pub(super) values: &'s mut Values<'g>,
    pub(super) dominators: &'s Dominators,
    /// The node of the call that is under way; else the next instruction.
    pub(super) point: u32,
    /// Whether no call is under way.
    pub(super) between: bool,
    /// All calls that are the call of the source at the point, it included; none where that is not known.
    pub(super) copies: Vec<u32>,
}

impl Side<'_, '_> {
    pub(super) fn graph(&self) -> &Graph {
        self.values.function().graph
    }

    /// What a place holds at the point.
    pub(super) fn here(&mut self, place: Place) -> ValueId {
        match self.between {
            true => self.values.before(self.point, place),
            false => self.values.behind(self.point, place),
        }
    }

    /// Whether at the point only the function itself has touched these bytes of its frame.
    pub(super) fn is_private(&self, offset: i64, bytes: i64) -> bool {
        match self.between {
            true => self.values.function().is_private(self.point, offset, bytes),
            false => self.values.function().is_private_behind(self.point, offset, bytes),
        }
    }
}

/// A pair under way: both values, and whether a loop may have been gone round since they were made.
type Pair = (ValueId, ValueId, bool);

/// What is taken as equal until something speaks against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Assumed {
    /// Two values; those of each round of a loop of the old code where that is what is asked.
    Values(Pair, Option<u32>),
    /// How often two loops have been gone round.
    Rounds(u32, u32),
}

/// Compares values at one pair of points.
pub(super) struct Correspondence<'c, 'g> {
    pub(super) old: Side<'c, 'g>,
    pub(super) new: Side<'c, 'g>,
    pub(super) pairs: &'c dyn Pairs,
    /// Whether the calls at the points are one call of the source, of which neither code has another copy.
    pub(super) is_single: bool,
    /// Loops around the points that give variables of the same name their values, with the values.
    named_loops: HashSet<((u32, u32), (ValueId, ValueId))>,
    different: HashSet<Assumed>,
    same: HashSet<Assumed>,
    assumed: Vec<Assumed>,
    /// The innermost loop of the old code around the point, while only its own rounds are looked at.
    pub(super) round: Option<u32>,
    /// Loops that control has left, the rounds of which are compared one by one.
    pub(super) walked: Option<(u32, u32)>,
}

impl<'c, 'g> Correspondence<'c, 'g> {
    pub(super) fn new(old: Side<'c, 'g>, new: Side<'c, 'g>, pairs: &'c dyn Pairs) -> Self {
        Self {
            old,
            new,
            pairs,
            is_single: false,
            named_loops: HashSet::new(),
            different: HashSet::new(),
            same: HashSet::new(),
            assumed: Vec::new(),
            round: None,
            walked: None,
        }
    }

    /// Notes that a variable of one name is in these places.
    pub(super) fn know(&mut self, old: Place, new: Place) {
        let (old, new) = (self.old.here(old), self.new.here(new));
        if let (Term::Choice { at: from, .. }, Term::Choice { at: to, .. }) =
            (self.old.values.node(old), self.new.values.node(new))
        {
            self.named_loops.insert(((*from, *to), (old, new)));
        }
    }

    /// Whether variables of the same name say that two loops are one, and none says otherwise.
    pub(super) fn is_named(&self, at: u32, other: u32) -> bool {
        let mut about = self.named_loops.iter().filter(|((from, to), _)| *from == at || *to == other).peekable();
        about.peek().is_some() && about.all(|(pair, _)| *pair == (at, other))
    }

    /// The values of the variables that have one name and are made anew in each round of two loops.
    pub(super) fn named_at(&self, at: u32, other: u32) -> Vec<(ValueId, ValueId)> {
        let mut found: Vec<_> =
            self.named_loops.iter().filter(|(pair, _)| *pair == (at, other)).map(|(_, values)| *values).collect();
        found.sort_unstable();
        found
    }

    /// Whether `old` at the old point and `new` at the new one are made alike.
    pub(super) fn same(&mut self, old: ValueId, new: ValueId) -> bool {
        let same = self.check(old, new, false);
        self.settle(same);
        same
    }

    /// Whether an address of the old build and one of the new build name the same thing.
    pub(super) fn same_address(&self, old: LinkAddress, new: LinkAddress) -> bool {
        self.pairs.same_symbol(&Symbolic::Address(old), &Symbolic::Address(new), None)
    }

    /// What lies at an address of the new build that never changes while the program runs.
    pub(super) fn number_at(&self, new: &Symbolic, bytes: u8) -> Option<u64> {
        self.pairs.number_at(new, bytes)
    }

    /// The number that bytes behind an address of one build are that never change while its program runs, and which of them.
    pub(super) fn constant_at(&self, is_old: bool, symbol: &Symbolic, (from, length): (u8, u8)) -> Option<u64> {
        let Symbolic::Address(link) = symbol else { return None };
        let part = Symbolic::Address(link.offset(from.into()));
        if is_old { self.pairs.old_number_at(&part, length) } else { self.pairs.number_at(&part, length) }
    }

    /// Whether a call of the new function may change what the program can read later.
    pub(super) fn new_may_change(&self, callee: Callee) -> bool {
        self.pairs.new_may_change(callee)
    }

    /// Where the old program has what lies at an address of the new build, if nothing stores there as long as the functions run.
    pub(super) fn steady(&self, new: &Symbolic, bytes: u8) -> Option<LinkAddress> {
        self.pairs.steady(new, bytes)
    }

    /// The register in which the old function was given the argument that the new one is given in a place.
    pub(super) fn argument(&self, new: Place) -> Option<u8> {
        self.pairs.argument(new)
    }

    /// Whether two effects are paired calls, or stores of the same value to the same place. `carried`: a loop may have been gone round
    /// since.
    pub(super) fn same_effect(&mut self, old: u32, new: u32, carried: bool) -> bool {
        let same = self.same_event(old, new, carried);
        self.settle(same);
        same
    }

    pub(super) fn check(&mut self, old: ValueId, new: ValueId, carried: bool) -> bool {
        let pair = (self.old.values.resolve(old), self.new.values.resolve(new), carried);
        let assumed = Assumed::Values(pair, self.round.filter(|_| carried));
        if let Some(known) = self.is_known(assumed) {
            return known;
        }
        let Some(before) = self.assume(assumed) else { return false };
        let step = if carried { self.round.map(Some) } else { Some(None) };
        let is_here = !carried && self.walked.is_none();
        let same = self.compare(pair)
            || step.is_some_and(|only| self.is_in_step(pair.0, pair.1, only))
            || (is_here && self.is_counted_alike(pair.0, pair.1));
        if !same {
            self.give_up(before, assumed);
        }
        same
    }

    /// Whether something is known to be the same or not, or is taken as the same.
    pub(super) fn is_known(&self, pair: Assumed) -> Option<bool> {
        if self.different.contains(&pair) {
            return Some(false);
        }
        (self.same.contains(&pair) || self.assumed.contains(&pair)).then_some(true)
    }

    /// Takes something as the same; `None` where that leads too far: each pair under way takes some of the engine's stack, and nothing is
    /// proved of what is larger.
    pub(super) fn assume(&mut self, pair: Assumed) -> Option<usize> {
        let before = self.assumed.len();
        (before < MOST_PAIRS).then(|| {
            self.assumed.push(pair);
            before
        })
    }

    /// Drops what was taken as the same because of a pair that is not.
    pub(super) fn give_up(&mut self, before: usize, pair: Assumed) {
        self.assumed.truncate(before);
        self.different.insert(pair);
    }

    /// Keeps what was taken as the same, if nothing speaks against any of it.
    pub(super) fn settle(&mut self, same: bool) {
        let proved = std::mem::take(&mut self.assumed);
        if same {
            self.same.extend(proved);
        }
    }

    fn compare(&mut self, (old, new, carried): Pair) -> bool {
        let (from, to) = (self.old.values.node(old).clone(), self.new.values.node(new).clone());
        match (&from, &to) {
            (Term::Constant(a), Term::Constant(b)) => a == b,
            (Term::Canary, Term::Canary) => true,
            (Term::Entry(a), Term::Entry(b)) => self.pairs.same_entry(*a, *b),
            (Term::Address(a), Term::Address(b)) => self.pairs.same_symbol(a, b, None),
            (Term::Frame(a), Term::Frame(b)) => self.pairs.same_slot(*a, *b),
            (Term::Result { call: a, place: p }, Term::Result { call: b, place: q }) => {
                p == q && self.same_call(*a, *b) && self.same_arguments(*a, *b, carried)
            }
            (Term::Extend { from: a, signed: s, of: x }, Term::Extend { from: b, signed: t, of: y }) => {
                a == b && s == t && self.check(*x, *y, carried)
            }
            (Term::Sum { bits: a, terms: x, constant: c }, Term::Sum { bits: b, terms: y, constant: d }) => {
                a == b
                    && match self.pairs.same_part((self.old.values, old), (self.new.values, new), 1) {
                        Some(same) => same && self.same_terms(x, y, carried),
                        None => self.same_sum((x, *c), (y, *d), carried),
                    }
            }
            (
                Term::Binary { operation: o, bits: a, left: l, right: r },
                Term::Binary { operation: p, bits: b, left: m, right: s },
            ) => {
                let straight = |this: &mut Self| this.check(*l, *m, carried) && this.check(*r, *s, carried);
                let crossed = |this: &mut Self| this.check(*l, *s, carried) && this.check(*r, *m, carried);
                o == p && a == b && (straight(self) || (o.commutes() && crossed(self)))
            }
            (
                Term::Pure { code: a, result: i, bits: v, operands: x },
                Term::Pure { code: b, result: j, bits: w, operands: y },
            ) => a == b && i == j && v == w && x.len() == y.len() && x.iter().zip(y).all(|(x, y)| self.check(*x, *y, carried)),
            (Term::Part { of: x, offset: a, length: l }, Term::Part { of: y, offset: b, length: m }) => {
                a == b && l == m && self.check(*x, *y, carried)
            }
            (Term::Load { at: a, address: x, bytes: l }, Term::Load { at: b, address: y, bytes: m }) => {
                l == m && self.same_read((*a, *x), (*b, *y), *l, carried)
            }
            (Term::Choice { at: a, .. }, Term::Choice { at: b, .. }) => self.same_choice((*a, old), (*b, new), carried),
            _ => false,
        }
    }

    pub(super) fn same_call(&self, old: u32, new: u32) -> bool {
        let behind = |graph: &Graph, node: u32| graph.node(node).map(|node| node.behind());
        match (behind(self.old.graph(), old), behind(self.new.graph(), new)) {
            (Some(old), Some(new)) => self.pairs.same_call(old, new),
            _ => false,
        }
    }

    /// Whether calls pass the same in the registers that their callee, a function of the program, is known to read.
    fn same_arguments(&mut self, old: u32, new: u32, carried: bool) -> bool {
        if events::is_kernel_call(self.new.graph(), new) {
            let number = Place::Register(0);
            let (from, to) = (self.old.values.before(old, number), self.new.values.before(new, number));
            return self.check(from, to, carried);
        }
        // What a library's function reads is not known, and it gives what it gave.
        let is_own = self.new.graph().node(new).is_some_and(|node| matches!(node.call, Some(Callee::Function(_))));
        !is_own || self.same_registers(old, new, carried)
    }

    /// Whether two calls pass the same in the registers that their callee is known to read, or may read.
    pub(super) fn same_registers(&mut self, old: u32, new: u32, carried: bool) -> bool {
        let passed = self.new.graph().node(new).and_then(|node| node.arguments);
        let registers = passed.map_or(0, |passed| passed.registers.general & ARGUMENTS);
        (0u8..16).filter(|number| registers >> number & 1 != 0).all(|number| {
            let place = Place::Register(number);
            let (from, to) = (self.old.values.before(old, place), self.new.values.before(new, place));
            let texts = match (self.old.values.node(from), self.new.values.node(to)) {
                (Term::Address(old), Term::Address(new)) => self.pairs.are_texts(old, new),
                _ => false,
            };
            texts || self.check(from, to, carried)
        })
    }

    /// Whether two calls pass the same in the registers that their callee reads or may read, as far as that is known.
    pub(super) fn same_given(&mut self, old: u32, new: u32) -> bool {
        let is_known = self.new.graph().node(new).is_some_and(|node| node.arguments.is_some());
        let same = is_known && self.same_registers(old, new, false);
        self.settle(same);
        same
    }

    /// Whether the same place of the same variable is at these offsets of the frames.
    pub(super) fn same_slot(&self, old: i64, new: i64) -> bool {
        self.pairs.same_slot(old, new)
    }

    /// As [`Self::same`]; `carried`: a loop may have been gone round since they were made.
    pub(super) fn same_at(&mut self, old: ValueId, new: ValueId, carried: bool) -> bool {
        let same = self.check(old, new, carried);
        self.settle(same);
        same
    }

    /// Whether a call of the old function may change what the program can read later.
    pub(super) fn may_change(&self, callee: Callee) -> bool {
        self.pairs.may_change(callee)
    }

    /// Sums of the same terms. Addresses in the frame count from its start: the same distance is another variable.
    fn same_sum(&mut self, (old, c): (&[(ValueId, i64)], i64), (new, d): (&[(ValueId, i64)], i64), carried: bool) -> bool {
        let in_frame = |side: &Side<'_, '_>, terms: &[(ValueId, i64)]| {
            terms.iter().position(|(value, factor)| *factor == 1 && matches!(side.values.node(*value), Term::Frame(0)))
        };
        match (in_frame(&self.old, old), in_frame(&self.new, new)) {
            (None, None) => c == d && self.same_terms(old, new, carried),
            (Some(a), Some(b)) => {
                let (mut old, mut new) = (old.to_vec(), new.to_vec());
                old.swap_remove(a);
                new.swap_remove(b);
                self.pairs.same_slot(c, d) && self.same_terms(&old, &new, carried)
            }
            _ => false,
        }
    }

    /// The same terms, in whatever order.
    pub(super) fn same_terms(&mut self, old: &[(ValueId, i64)], new: &[(ValueId, i64)], carried: bool) -> bool {
        let mut open: Vec<(ValueId, i64)> = new.to_vec();
        old.len() == new.len()
            && old.iter().all(|(value, factor)| {
                let found =
                    (0..open.len()).find(|index| open[*index].1 == *factor && self.check(*value, open[*index].0, carried));
                found.map(|index| open.swap_remove(index)).is_some()
            })
    }

    /// Paired calls, or stores of the same value to the same place.
    pub(super) fn same_event(&mut self, old: u32, new: u32, carried: bool) -> bool {
        let is_call = |graph: &Graph, node: u32| {
            graph.node(node).is_some_and(|own| own.call.is_some()) || events::is_kernel_call(graph, node)
        };
        match (is_call(self.old.graph(), old), is_call(self.new.graph(), new)) {
            // What a paired call wrote is what it wrote: memory is the old program's.
            (true, true) => self.same_call(old, new),
            (false, false) => {
                let store = (events::store(self.old.values, old), events::store(self.new.values, new));
                let (Some(old), Some(new)) = store else { return false };
                old.bytes == new.bytes
                    && self.same_place(old.address, new.address, old.bytes, carried)
                    && self.check(old.value, new.value, carried)
            }
            _ => false,
        }
    }

    fn same_choice(&mut self, (at, old): (u32, ValueId), (other, new): (u32, ValueId), carried: bool) -> bool {
        let (from, to) = (self.old.values.inputs(old), self.new.values.inputs(new));
        let is_loop = |side: &Side<'_, '_>, at: u32| events::goes_round(side.graph(), side.dominators, at);
        let loops = (is_loop(&self.old, at), is_loop(&self.new, other));
        if loops.0 != loops.1 {
            return false;
        }
        let around = self.round;
        // What a round leaves to the next is compared as both come to the end of the same round.
        self.round = match carried {
            false if loops.0 => Some(at),
            true if loops.0 && around != Some(at) => None,
            _ => around,
        };
        // Of earlier times that control came to a loop, all ends count: how often it was gone round then decides what it made.
        let is_current = !carried || around == Some(at);
        let same = self.same_ways((at, &from), (other, &to), carried || loops.0, loops.0.then_some(is_current));
        self.round = around;
        same
    }

    /// Whether the ways to two choices bring the same.
    fn same_ways(
        &mut self,
        (at, from): (u32, &[ValueId]),
        (other, to): (u32, &[ValueId]),
        carried: bool,
        is_loop: Option<bool>,
    ) -> bool {
        let Some(is_current) = is_loop else {
            let (old, new) = (Meeting::all(&self.old, at, from), Meeting::all(&self.new, other, to));
            return self.same_meeting(&old, &new, carried);
        };
        // What comes into a loop is never what a round leaves, and which of several ways back a round takes is decided in it.
        let (old, new) = (Meeting::of_loop(&self.old, at, from), Meeting::of_loop(&self.new, other, to));
        let (Some((into, mut back)), Some((entered, mut gone))) = (old, new) else { return false };
        if back.distinct().len() != gone.distinct().len() {
            (back, gone) = (back.opened(&self.old), gone.opened(&self.new));
        }
        self.same_meeting(&into, &entered, carried)
            && self.same_meeting(&back, &gone, carried)
            && self.same_loop(at, other, is_current)
    }

    /// Whether ways that meet bring the same, and the same decides between them.
    fn same_meeting(&mut self, old: &Meeting, new: &Meeting, carried: bool) -> bool {
        let (olds, mut open) = (old.distinct(), new.distinct());
        if olds.len() != open.len() {
            return false;
        }
        let mut matched: Vec<(ValueId, ValueId)> = Vec::new();
        for value in olds {
            let Some(index) = (0..open.len()).find(|index| self.check(value, open[*index], carried)) else { return false };
            matched.push((value, open.swap_remove(index)));
        }
        matched.len() < 2 || self.same_gates(old, new, &matched, carried)
    }

    /// Whether two loops are one. Those around the points are paired from outside; besides, a question whether to go on has to be the same,
    /// or a variable that they change has one name. Loops that control has left were left for the same reasons: how often they were gone round decides what they
    /// made.
    pub(super) fn same_loop(&mut self, at: u32, other: u32, is_current: bool) -> bool {
        let rank = |side: &Side<'_, '_>, at: u32| events::rank(side.graph(), side.dominators, at, side.point);
        let ranks = (rank(&self.old, at), rank(&self.new, other));
        if ranks.0 != ranks.1 {
            return false;
        }
        let is_around = is_current && ranks.0.is_some();
        let olds = events::exits(self.old.graph(), self.old.dominators, at);
        let news = events::exits(self.new.graph(), self.new.dominators, other);
        let (Some(olds), Some(mut open)) = (olds, news) else { return is_around && self.is_named(at, other) };
        let (before, after) = (olds.len(), open.len());
        let mut paired = 0;
        for (node, condition, taken) in olds {
            let found = (0..open.len()).find(|index| {
                let (candidate, asks, leaves) = open[*index];
                let same = (condition == asks && taken == leaves) || (negated(condition) == asks && taken != leaves);
                same && (self.same_question(node, candidate, true) || self.same_end((at, node), (other, candidate)))
            });
            if let Some(index) = found {
                open.swap_remove(index);
                paired += 1;
            }
        }
        match is_around {
            true => paired > 0 || (before == 0 && after == 0) || self.is_named(at, other),
            false => paired == before && paired == after,
        }
    }

    /// Whether the branches that decide between the ways to a choice ask the same and lead to the same values.
    fn same_gates(&mut self, old: &Meeting, new: &Meeting, matched: &[(ValueId, ValueId)], carried: bool) -> bool {
        let (from, to) = (&old.values, &new.values);
        let olds = events::gates(self.old.graph(), self.old.dominators, old.at, &old.ways);
        let news = events::gates(self.new.graph(), self.new.dominators, new.at, &new.ways);
        let (Some(olds), Some(mut open)) = (olds, news) else { return false };
        if olds.len() != open.len() || olds.len() > MOST_GATES {
            return false;
        }
        let partner = |value: &ValueId| matched.iter().find(|pair| pair.0 == *value).map(|pair| pair.1);
        for gate in olds {
            let taken = sorted(gate.taken.iter().filter_map(|way| from.get(*way)).filter_map(partner));
            let passed = sorted(gate.passed.iter().filter_map(|way| from.get(*way)).filter_map(partner));
            let found = (0..open.len()).find(|index| {
                let candidate = &open[*index];
                let leads = |ways: &[usize]| sorted(ways.iter().filter_map(|way| to.get(*way)).copied());
                let (other_taken, other_passed) = (leads(&candidate.taken), leads(&candidate.passed));
                let same = gate.condition == candidate.condition && (&taken, &passed) == (&other_taken, &other_passed);
                let opposite =
                    negated(gate.condition) == candidate.condition && (&taken, &passed) == (&other_passed, &other_taken);
                let node = candidate.node;
                (same || opposite) && self.same_question(gate.node, node, carried)
            });
            match found {
                Some(index) => drop(open.swap_remove(index)),
                None => return false,
            }
        }
        true
    }

    /// Whether two branches of loops that may have been gone round look at the same flags.
    pub(super) fn same_flags(&mut self, old: u32, new: u32) -> bool {
        let same = self.same_question(old, new, true);
        self.settle(same);
        same
    }

    /// Whether two branches look at the same flags.
    pub(super) fn same_question(&mut self, old: u32, new: u32, carried: bool) -> bool {
        let (from, to) = (self.old.values.before(old, Place::Flags), self.new.values.before(new, Place::Flags));
        self.check(from, to, carried)
    }
}

fn sorted(values: impl Iterator<Item = ValueId>) -> Vec<ValueId> {
    let mut values: Vec<ValueId> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}
