//! Counters that stand at different numbers after as many rounds of one loop (PROOF 3.20): what a round adds to them is a constant, so each
//! is where it began plus a multiple of the rounds gone, and one of them tells all others.

use std::collections::BTreeMap;

use super::correspond::{Assumed, Correspondence, Side};
use super::events;
use super::facts;
use crate::program::flow::{Term, ValueId, Values};

/// How deep sums are taken apart.
const DEPTH: u32 = 16;
/// More parts of one sum are not looked at.
const MOST_PARTS: usize = 16;

/// Something that a sum is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    /// A value.
    Value(ValueId),
    /// The frame's address.
    Frame,
    /// How often the loop at this node has been gone round since control came to it.
    Rounds(u32),
}

/// A sum of values and of rounds, each times a number, and a number; it wraps at the width that it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Linear {
    pub(super) parts: BTreeMap<Atom, i64>,
    pub(super) constant: i64,
}

impl Linear {
    /// The lowest `bits` of a value as such a sum.
    pub(super) fn of(values: &Values<'_>, value: ValueId, bits: u8) -> Option<Self> {
        let mut found = Self::default();
        found.add(values, value, 1, bits, DEPTH)?;
        found.wrap(bits);
        Some(found)
    }

    /// The distance from the frame's address, if it is an address in the frame, without what varies.
    pub(super) fn in_frame(&self) -> Option<i64> {
        (self.parts.get(&Atom::Frame) == Some(&1)).then_some(self.constant)
    }

    /// What is added for each round of a loop, and that loop, if it is one.
    pub(super) fn rounds(&self) -> Option<(u32, i64)> {
        let mut rounds = self.parts.iter().filter_map(|(part, factor)| match part {
            Atom::Rounds(at) => Some((*at, *factor)),
            Atom::Value(_) | Atom::Frame => None,
        });
        rounds.next().filter(|_| rounds.next().is_none())
    }

    fn add(&mut self, values: &Values<'_>, value: ValueId, factor: i64, bits: u8, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let value = stripped(values, value, bits);
        match values.node(value) {
            Term::Constant(number) => {
                self.constant = self.constant.wrapping_add(number.cast_signed().wrapping_mul(factor));
            }
            Term::Sum { bits: width, terms, constant } if *width >= bits => {
                self.constant = self.constant.wrapping_add(constant.wrapping_mul(factor));
                for (term, times) in terms {
                    self.add(values, *term, times.wrapping_mul(factor), bits, depth)?;
                }
            }
            Term::Frame(offset) => {
                self.put(Atom::Frame, factor);
                self.constant = self.constant.wrapping_add(offset.wrapping_mul(factor));
            }
            Term::Choice { at, .. } => match Counter::of(values, value, bits) {
                Some(counter) => {
                    self.put(Atom::Rounds(*at), counter.step.wrapping_mul(factor));
                    self.add(values, counter.start, factor, bits, depth)?;
                }
                None => self.put(Atom::Value(value), factor),
            },
            _ => self.put(Atom::Value(value), factor),
        }
        (self.parts.len() <= MOST_PARTS).then_some(())
    }

    fn put(&mut self, part: Atom, factor: i64) {
        let own = self.parts.entry(part).or_default();
        *own = own.wrapping_add(factor);
    }

    fn wrap(&mut self, bits: u8) {
        self.parts.values_mut().for_each(|factor| *factor = wrapped(*factor, bits));
        self.parts.retain(|_, factor| *factor != 0);
        self.constant = wrapped(self.constant, bits);
    }

    /// This less another.
    pub(super) fn less(mut self, other: &Self, bits: u8) -> Self {
        other.parts.iter().for_each(|(part, factor)| self.put(*part, factor.wrapping_neg()));
        self.constant = self.constant.wrapping_sub(other.constant);
        self.wrap(bits);
        self
    }
}

/// The lowest bits of a number with their sign.
pub(super) fn wrapped(number: i64, bits: u8) -> i64 {
    let unused = 64 - u32::from(bits.clamp(1, 64));
    (number << unused) >> unused
}

/// A value without extensions that only touch the bits above.
pub(super) fn stripped(values: &Values<'_>, value: ValueId, bits: u8) -> ValueId {
    let mut value = values.resolve(value);
    while let Term::Extend { from, of, .. } = values.node(value)
        && *from >= bits
    {
        value = values.resolve(*of);
    }
    value
}

/// A value that begins anew each time that control comes to a loop, and changes by a constant each time that it goes round.
struct Counter {
    start: ValueId,
    step: i64,
}

impl Counter {
    fn of(values: &Values<'_>, choice: ValueId, bits: u8) -> Option<Self> {
        let (mut start, mut step) = (None, None);
        for input in values.inputs(choice) {
            let whole = stripped(values, input, bits);
            let added = match values.node(whole) {
                Term::Sum { bits: width, terms, constant } if *width >= bits => match terms.as_slice() {
                    [(term, 1)] if stripped(values, *term, bits) == values.resolve(choice) => Some(*constant),
                    _ => None,
                },
                _ => None,
            };
            let fits = match added {
                Some(added) => *step.get_or_insert(added) == added,
                None => *start.get_or_insert(whole) == whole,
            };
            if !fits {
                return None;
            }
        }
        start.zip(step).filter(|(_, step)| wrapped(*step, bits) != 0).map(|(start, step)| Self { start, step })
    }
}

impl Correspondence<'_, '_> {
    /// Whether at the points two loops have been gone round as often since control came to them last.
    pub(super) fn same_rounds(&mut self, at: u32, other: u32) -> bool {
        let same = self.check_rounds(at, other);
        self.settle(same);
        same
    }

    /// Compares what each round of two loops that control has left makes: the loops were gone round as often, each for the same reasons.
    pub(super) fn in_each_round(&mut self, (at, other): (u32, u32), compare: impl FnOnce(&mut Self) -> bool) -> bool {
        let is_left = |side: &Side<'_, '_>, at: u32| events::rank(side.graph(), side.dominators, at, side.point).is_none();
        if !is_left(&self.old, at) || !is_left(&self.new, other) {
            return false;
        }
        let before = (self.round.replace(at), self.walked.replace((at, other)));
        let same = self.same_loop(at, other, false) && compare(self);
        (self.round, self.walked) = before;
        same
    }

    /// Compares what each round of two loops around the points makes: they have been gone round as often.
    pub(super) fn in_each_round_so_far(&mut self, (at, other): (u32, u32), compare: impl FnOnce(&mut Self) -> bool) -> bool {
        let is_around = |side: &Side<'_, '_>, at: u32| events::rank(side.graph(), side.dominators, at, side.point).is_some();
        if !is_around(&self.old, at) || !is_around(&self.new, other) || !self.same_rounds(at, other) {
            return false;
        }
        let before = (self.round.replace(at), self.walked.replace((at, other)));
        let same = compare(self);
        self.settle(same);
        (self.round, self.walked) = before;
        same
    }

    /// Whether two exits of loops are taken after as many rounds, whatever is compared there: the same is zero then.
    pub(super) fn same_end(&mut self, (at, old): (u32, u32), (other, new): (u32, u32)) -> bool {
        let end = |side: &mut Side<'_, '_>, head: u32, node: u32| {
            let exit = facts::exits(side, head).into_iter().find(|exit| exit.0 == node)?;
            facts::end(side, exit)
        };
        let Some(old) = end(&mut self.old, at, old) else { return false };
        let Some(new) = end(&mut self.new, other, new) else { return false };
        let before = self.walked.replace((at, other));
        let same = old.bits == new.bits && old.zero.rounds().is_some() && self.same_linear(&old.zero, &new.zero, true);
        self.walked = before;
        same
    }

    /// Whether two values of the old code, of loops that control has left, are as far apart as two of the new one, in `bits` bits.
    pub(super) fn same_distance(&mut self, old: (ValueId, ValueId), new: (ValueId, ValueId), bits: u8) -> bool {
        let distance = |values: &Values<'_>, (from, to): (ValueId, ValueId)| {
            Some(Linear::of(values, to, bits)?.less(&Linear::of(values, from, bits)?, bits))
        };
        let (Some(old), Some(new)) = (distance(self.old.values, old), distance(self.new.values, new)) else { return false };
        let (Some((at, _)), Some((other, _))) = (old.rounds(), new.rounds()) else { return false };
        self.in_each_round((at, other), |this| this.same_linear(&old, &new, true))
    }

    fn check_rounds(&mut self, at: u32, other: u32) -> bool {
        if self.walked == Some((at, other)) {
            return true;
        }
        let pair = Assumed::Rounds(at, other);
        if let Some(known) = self.is_known(pair) {
            return known;
        }
        let Some(before) = self.assume(pair) else { return false };
        let same = self.compare_rounds(at, other);
        if !same {
            self.give_up(before, pair);
        }
        same
    }

    fn compare_rounds(&mut self, at: u32, other: u32) -> bool {
        let rank = |side: &Side<'_, '_>, at: u32| events::rank(side.graph(), side.dominators, at, side.point);
        let (Some(old), Some(new)) = (rank(&self.old, at), rank(&self.new, other)) else { return false };
        if old != new {
            return false;
        }
        // Each round passes the calls that the points are at, and no other call is what they are: as many of these, as many rounds.
        let is_innermost = old.1 + 1 == old.0;
        let counts = |side: &Side<'_, '_>, at: u32| !side.between && passes_point(side, at);
        self.is_named_counter(at, other)
            || (is_innermost
                && self.is_single
                && counts(&self.old, at)
                && counts(&self.new, other)
                && (self.same_loop(at, other, true) || self.has_same_end(at, other)))
    }

    /// Whether a variable of one name counts the rounds of both loops alike.
    fn is_named_counter(&mut self, at: u32, other: u32) -> bool {
        if !self.is_named(at, other) {
            return false;
        }
        let named = self.named_at(at, other);
        named.into_iter().any(|(old, new)| {
            [64, 32].into_iter().any(|bits| {
                let (old, new) = (Counter::of(self.old.values, old, bits), Counter::of(self.new.values, new, bits));
                let (Some(old), Some(new)) = (old, new) else { return false };
                old.step == new.step && self.check(old.start, new.start, false)
            })
        })
    }

    /// Whether one end of both loops is the same: something is zero in one of them when a multiple of it is in the other.
    fn has_same_end(&mut self, at: u32, other: u32) -> bool {
        let ends = |side: &mut Side<'_, '_>, at: u32| -> Vec<facts::End> {
            facts::exits(side, at).into_iter().filter_map(|exit| facts::end(side, exit)).collect()
        };
        let (olds, news) = (ends(&mut self.old, at), ends(&mut self.new, other));
        olds.iter().any(|old| {
            let goes_round = |end: &facts::End, at: u32| end.zero.parts.contains_key(&Atom::Rounds(at));
            news.iter().any(|new| {
                goes_round(old, at) && goes_round(new, other) && (self.is_multiple(old, new) || self.is_multiple_back(old, new))
            })
        })
    }

    /// Whether what is zero at an end of the old loop is a multiple of what is zero at one of the new loop.
    pub(super) fn is_multiple(&mut self, old: &facts::End, new: &facts::End) -> bool {
        old.bits == new.bits && self.times(&old.zero, &new.zero, old.bits).is_some()
    }

    fn is_multiple_back(&mut self, old: &facts::End, new: &facts::End) -> bool {
        let Some(times) = ratio(&new.zero, &old.zero) else { return false };
        let scaled = scaled(&old.zero, times, old.bits);
        old.bits == new.bits && self.same_linear(&scaled, &new.zero, true)
    }

    /// How often the new sum is contained in the old one.
    fn times(&mut self, old: &Linear, new: &Linear, bits: u8) -> Option<i64> {
        let times = ratio(old, new)?;
        let scaled = scaled(new, times, bits);
        self.same_linear(old, &scaled, true).then_some(times)
    }

    /// Whether two sums come to the same, where rounds of loops that are one are as many.
    fn same_linear(&mut self, old: &Linear, new: &Linear, carried: bool) -> bool {
        // The same distance from the frame's start is another variable.
        let same_place = match (old.in_frame(), new.in_frame()) {
            (Some(old), Some(new)) => self.same_slot(old, new),
            (None, None) => old.constant == new.constant && !old.parts.contains_key(&Atom::Frame),
            _ => false,
        };
        if !same_place || old.parts.len() != new.parts.len() {
            return false;
        }
        let mut open: Vec<(Atom, i64)> = new.parts.iter().map(|(part, factor)| (*part, *factor)).collect();
        for (part, factor) in &old.parts {
            let mut same = |other: &(Atom, i64)| {
                *factor == other.1
                    && match (*part, other.0) {
                        (Atom::Rounds(at), Atom::Rounds(other)) => self.check_rounds(at, other),
                        (Atom::Value(old), Atom::Value(new)) => self.check(old, new, carried),
                        (Atom::Frame, Atom::Frame) => true,
                        _ => false,
                    }
            };
            let Some(index) = open.iter().position(&mut same) else { return false };
            open.swap_remove(index);
        }
        true
    }

    /// Whether two values that are not made in the same way come to the same because of the rounds gone; with `only`, of that loop of the
    /// old code.
    pub(super) fn is_in_step(&mut self, old: ValueId, new: ValueId, only: Option<u32>) -> bool {
        let width = self.old.values.width(old).max(self.new.values.width(new));
        let bits = [8, 16, 32].into_iter().find(|bits| width <= *bits).unwrap_or(64);
        let (from, to) = (Linear::of(self.old.values, old, bits), Linear::of(self.new.values, new, bits));
        let (Some(from), Some(to)) = (from, to) else { return false };
        let (Some((at, _)), Some(_)) = (from.rounds(), to.rounds()) else { return false };
        only.is_none_or(|only| only == at) && self.same_linear(&from, &to, only.is_some())
    }
}

/// How often the second sum is contained in the first, told from the rounds.
fn ratio(whole: &Linear, part: &Linear) -> Option<i64> {
    let ((_, whole), (_, part)) = (whole.rounds()?, part.rounds()?);
    let times = whole.checked_div(part)?;
    (times != 0 && times.wrapping_mul(part) == whole).then_some(times)
}

fn scaled(sum: &Linear, times: i64, bits: u8) -> Linear {
    let parts = sum.parts.iter().map(|(part, factor)| (*part, factor.wrapping_mul(times))).collect();
    let mut scaled = Linear { parts, constant: sum.constant.wrapping_mul(times) };
    scaled.wrap(bits);
    scaled
}

/// Whether every round of the loop at `at` passes the point.
fn passes_point(side: &Side<'_, '_>, at: u32) -> bool {
    let graph = side.graph();
    let body = events::body(graph, side.dominators, at);
    let next = |node: u32| graph.node(node).map_or(&[][..], |node| &node.next);
    let is_in = |node: u32| body.binary_search(&node).is_ok();
    let without = events::reached(&[at], next, |node| node == side.point || !is_in(node));
    without.into_iter().filter(|node| *node != side.point && is_in(*node)).all(|node| !next(node).contains(&at))
}
