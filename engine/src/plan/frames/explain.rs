//! From an old frame to a continuation: every location that the new code reads after the point is explained, or all that are not are told.

use std::sync::Arc;

use super::Continuations;
use super::attempt::Attempt;
use super::between::{self, Near};
use super::blocker::{CodePlace, FrameBlocker};
use super::continuation::{Condition, Continuation, FramePlace, Rival, Value};
use super::copies;
use super::correspond::{Correspondence, Side};
use super::given;
use super::locals::{self, DWARF, Locals};
use super::pairing::FunctionPairs;
use super::passings;
use super::points::{Partners, exclude_each_other};
use super::prepared::Facts;
use super::results;
use super::said::{About, Besides, FrameAt, Here, HereSides};
use super::terms::Candidate;
use super::unread::Readers;
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::Comparison;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::flow::{Live, LivePlace, Place, Unclear, Values};

/// Registers that a call keeps (System V ABI, figure 3.4), as instructions number them.
pub(super) const KEPT: [u8; 6] = [3, 5, 12, 13, 14, 15];

/// Explains frames of changed functions.
#[derive(Debug)]
pub struct Explainer<'e> {
    /// Both builds.
    pub view: View<'e>,
    /// The two compared.
    pub comparison: &'e Comparison,
}

impl Explainer<'_> {
    /// How a frame of the old function goes on that would go on at `returns`.
    ///
    /// # Errors
    /// All that is not proved.
    pub fn continuation(&self, function: usize, returns: OldLink) -> Result<Continuation, Vec<FrameBlocker>> {
        self.continuation_about(function, returns, &About::default())
    }

    /// The same, with rules of the user's about the frame.
    pub(super) fn continuation_about(
        &self,
        function: usize,
        returns: OldLink,
        about: &About,
    ) -> Result<Continuation, Vec<FrameBlocker>> {
        let told = |reason: String| vec![self.blocker(function, returns, None, reason)];
        let points = about.points(self.comparison);
        let Some(partner) = points.function(function) else {
            let mut blockers = told("the new program has no such function".to_owned());
            blockers[0].answer = self.answer(function, "in = \"NAME IN THE NEW PROGRAM\"");
            return Err(blockers);
        };
        let partners = match points.partner(function, returns) {
            Ok(partners) => partners,
            Err(problem) => {
                let found = self.by_history((function, partner), returns, about, &problem);
                let told = || self.no_partner((function, partner), told(problem.to_string()), &problem);
                return found.unwrap_or_else(|| Err(told()));
            }
        };
        match partners {
            Partners::One(to) => self.at(function, partner, returns, *to, about).found,
            Partners::Shared { to, copies } => match self.are_copies(function, copies) {
                true => self.at(function, partner, returns, *to, about).found,
                false => Err(told(format!("{} calls of the old code became one, and nothing tells which", copies.len()))),
            },
            Partners::Several(several) => {
                let alike = copies::alike((self.view, self.comparison), (function, partner));
                if let Some((_, to)) = alike.iter().find(|(from, to)| *from == returns.0 && several.contains(&NewLink(*to))) {
                    return self.at(function, partner, returns, NewLink(*to), about).found;
                }
                let mut tried: Vec<Tried> = several.iter().map(|to| self.at(function, partner, returns, *to, about)).collect();
                // Of copies that go on alike any will do.
                if let Some(fitting) = tried.iter().position(|tried| tried.found.is_ok())
                    && self.are_new_copies(partner, several)
                {
                    return tried.swap_remove(fitting).found;
                }
                rivals(tried).unwrap_or_else(|| Err(told("no call fits".to_owned())))
            }
        }
    }

    /// Whether calls of the old function are one call of its source, copied for different ways.
    fn are_copies(&self, function: usize, returns: &[OldLink]) -> bool {
        let Ok(facts) = self.comparison.prepared.old(function) else { return false };
        let calls: Option<Vec<u32>> = returns.iter().map(|returns| facts.graph.call_before(returns.0)).collect();
        calls.is_some_and(|calls| {
            exclude_each_other(&facts.graph, &facts.dominators, &calls)
                || passings::are_copies(&mut Values::new(facts.function()), &calls)
        })
    }

    /// Whether calls of the new function are one call of its source, behind each of which the same is done.
    fn are_new_copies(&self, partner: usize, returns: &[NewLink]) -> bool {
        let Ok(facts) = self.comparison.prepared.new_function(partner) else { return false };
        let calls: Option<Vec<u32>> = returns.iter().map(|returns| facts.graph.call_before(returns.0)).collect();
        calls.is_some_and(|calls| passings::are_copies(&mut Values::new(facts.function()), &calls))
    }

    pub(super) fn blocker(&self, function: usize, returns: OldLink, to: Option<NewLink>, reason: String) -> FrameBlocker {
        FrameBlocker {
            function: self.view.sides.old.functions.list()[function].identity.name.clone(),
            old: CodePlace::after_call(self.view.old, returns.0),
            new: to.map(|to| CodePlace::after_call(self.view.new, to.0)),
            location: None,
            reader: None,
            reason,
            answer: None,
        }
    }

    /// The same about a point, which with `between` is a next instruction.
    pub(super) fn point_blocker(
        &self,
        function: usize,
        (old, new): (OldLink, Option<NewLink>),
        between: bool,
        reason: String,
    ) -> FrameBlocker {
        let mut blocker = self.blocker(function, old, new, reason);
        if between {
            blocker.old = CodePlace::new(self.view.old, old.0);
            blocker.new = new.map(|new| CodePlace::new(self.view.new, new.0));
        }
        blocker
    }

    /// The frame at one point that its call may have become.
    fn at(&self, function: usize, partner: usize, returns: OldLink, to: NewLink, about: &About) -> Tried {
        let way = Way { between: (false, false), aligned: None, about, is_other_call: false };
        self.try_as((function, partner), (returns, to), way)
    }

    /// The frame at a pair of points, and what is known of them.
    pub(super) fn try_as(&self, functions: (usize, usize), (returns, to): (OldLink, NewLink), way: Way<'_>) -> Tried {
        let mut seen = Seen::default();
        let found = self.attempt_as(functions, (returns, to), way, &mut seen);
        Tried { to, conditions: seen.conditions, is_alike: seen.is_alike, found }
    }

    /// The frame at a pair of points, with all that the user says of it.
    pub(super) fn attempt_as(
        &self,
        (function, partner): (usize, usize),
        (returns, to): (OldLink, NewLink),
        way: Way<'_>,
        seen: &mut Seen,
    ) -> Result<Continuation, Vec<FrameBlocker>> {
        let between = way.between;
        let told = |reason: String| vec![self.point_blocker(function, (returns, Some(to)), between.0, reason)];
        let old = self.comparison.prepared.old(function).map_err(|unclear| told(unclear.to_string()))?;
        let new = self.comparison.prepared.new_function(partner).map_err(|unclear| told(unclear.to_string()))?;
        let (Some(from), Some(into)) = (old.point(returns.0, between.0), new.point(to.0, between.1)) else {
            return Err(told(format!("no {} is known there", if between.0 { "instruction" } else { "call" })));
        };
        let live = match between.1 {
            true => new.live_at(into),
            false => new.live_behind(to.0).map_err(|unclear| told(unclear.to_string()))?,
        };
        let mut locals = (
            Locals::at(self.view.old, old.function(), returns.0, between.0).map_err(|error| told(error.to_string()))?,
            Locals::at(self.view.new, new.function(), to.0, between.1).map_err(|error| told(error.to_string()))?,
        );
        let is_unnamed = |live: &Live| match live.place {
            LivePlace::Object { offset, .. } => locals.1.holding(offset).is_none(),
            _ => false,
        };
        if live.iter().any(is_unnamed) {
            let found = locals.0.add_homes(self.view.old, old.function());
            let found = found.and_then(|()| locals.1.add_homes(self.view.new, new.function()));
            found.map_err(|error| told(error.to_string()))?;
        }
        let mut objects = locals::objects((self.view.old, &locals.0), (self.view.new, &locals.1));
        let mut values = (Values::new(old.function()), Values::new(new.function()));
        if !way.is_other_call && between == (false, false) {
            let (calls, both) = ((from, into), (&mut values.0, &mut values.1));
            objects.extend(results::of_calls(self.view, both, calls, &objects, (&locals.0, &locals.1)));
            objects.sort_unstable_by_key(|object| object.new);
        }
        let types = (&self.view.old.debug.types, &self.view.new.debug.types);
        let inner = self.inner_locals((function, returns), &way.about.inner).map_err(told)?;
        let sides = HereSides { old: &locals.0, new: &locals.1, inner: &inner };
        let here = Here::new(&self.comparison.bound.frames, way.about, &sides);
        let here = here.map_err(|reasons| reasons.into_iter().flat_map(told).collect::<Vec<_>>())?;
        let handed_over = here.pair(&mut objects, types);
        let points = way.about.points(self.comparison);
        let pairs = FunctionPairs::new((self.view, self.comparison, points), (function, partner), &objects);
        let mut candidates = match between.0 {
            true => between::candidates(old, from, &mut values.0),
            false => candidates(old, from, &mut values.0),
        };
        let readers = readers(old, (returns, from), between.0).map_err(|unclear| told(unclear.to_string()))?;
        readers.prefer(&mut candidates);
        let copies = if between == (false, false) {
            points.copies(function, (&old.graph, returns), (&new.graph, to))
        } else {
            Default::default()
        };
        let mut attempt = Attempt {
            explainer: self,
            points,
            inner: &way.about.inner,
            inside: way.about.is_inside(&self.comparison.bound.frames).then_some(partner),
            at: (function, returns, to),
            sides: (old, new),
            locals: (&locals.0, &locals.1),
            objects: &objects,
            candidates: &candidates,
            readers: &readers,
            has_unread: false,
            correspondence: Correspondence::new(
                Side { values: &mut values.0, dominators: &old.dominators, point: from, between: between.0, copies: copies.0 },
                Side { values: &mut values.1, dominators: &new.dominators, point: into, between: between.1, copies: copies.1 },
                &pairs,
            ),
            blockers: Vec::new(),
            here,
            handed_over: &handed_over,
            said: Vec::new(),
            needed: Vec::new(),
            conditions: Vec::new(),
            initial: Vec::new(),
        };
        let one = self.comparison.points.partner(function, returns);
        let is_one = matches!(one, Ok(Partners::One(only)) if *only == to);
        attempt.correspondence.is_single = is_one && between == (false, false);
        attempt.know_given();
        attempt.agree();
        attempt.variables();
        let placed = attempt.all(&live);
        let mut conditions = attempt.position();
        seen.conditions.clone_from(&conditions);
        let before = attempt.blockers.len();
        let warnings = attempt.effects();
        if let Some(aligned) = way.aligned {
            attempt.last_effects(aligned);
            seen.is_alike = attempt.blockers.len() == before;
        }
        match way.is_other_call {
            true => attempt.other_arguments(),
            false if between == (false, false) => attempt.arguments(),
            false => {}
        }
        conditions.append(&mut attempt.conditions);
        attempt.statics();
        let has_unread = attempt.has_unread || readers.miss(&placed, &conditions);
        let needed = if way.about.rules.is_empty() { Vec::new() } else { std::mem::take(&mut attempt.needed) };
        let (blockers, mut here, initial) = (attempt.blockers, attempt.here, attempt.initial);
        let has_unread = has_unread || readers.miss_besides(&here.besides);
        way.about.note(here.asked());
        if !blockers.is_empty() {
            return Err(blockers);
        }
        let given_back = if between.1 { between::given_back(new, &live) } else { Vec::new() };
        for (index, bytes) in initial {
            if let Some(object) = objects.get_mut(index) {
                object.initial = bytes;
            }
        }
        let rivals = Vec::new();
        let besides = Besides { exact: between.1, needed, ..std::mem::take(&mut here.besides) };
        Ok(Continuation {
            function: partner,
            returns_to: to,
            between: between.0,
            given_back,
            values: placed,
            objects,
            conditions,
            warnings,
            rivals,
            has_unread,
            besides,
        })
    }
}

/// How a frame comes to a point.
#[derive(Clone, Copy)]
pub(super) struct Way<'w> {
    /// Whether the old point and the new one are next instructions.
    pub(super) between: (bool, bool),
    /// How the codes run along each other, where that is how the new point was found.
    pub(super) aligned: Option<&'w between::Aligned>,
    /// Rules of the user's about the frame, and what is asked where they are tried.
    pub(super) about: &'w About,
    /// Whether the new point is behind a call that is under way, and not the old point's: frames go or come between them.
    pub(super) is_other_call: bool,
}

/// What is known of a pair of points, whether or not all is proved.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What must hold there, as far as it is known.
    pub(super) conditions: Vec<Condition>,
    /// Whether both codes have had the same effects before, the last ones in particular.
    pub(super) is_alike: bool,
}

/// What comes of one of the points that a call became.
pub(super) struct Tried {
    pub(super) to: NewLink,
    /// What must hold there, as far as it is known.
    conditions: Vec<Condition>,
    /// Whether both codes have had the same effects before.
    pub(super) is_alike: bool,
    found: Result<Continuation, Vec<FrameBlocker>>,
}

/// The first point that is proved, with the others; without one, what stands against the one that least stands against.
pub(super) fn rivals(mut tried: Vec<Tried>) -> Option<Result<Continuation, Vec<FrameBlocker>>> {
    let Some(position) = tried.iter().position(|tried| tried.found.is_ok()) else {
        return tried.into_iter().map(|tried| tried.found).min_by_key(|found| found.as_ref().err().map_or(0, Vec::len));
    };
    let mut first = tried.swap_remove(position).found;
    if let Ok(continuation) = &mut first {
        let rival = |tried: Tried| Rival {
            returns_to: tried.to,
            conditions: tried.conditions,
            continuation: tried.found.ok().map(Arc::new),
        };
        continuation.rivals = tried.into_iter().map(rival).collect();
        // Which of the points it is may be told by places that the old code does not read again.
        continuation.has_unread |= !continuation.rivals.is_empty();
    }
    Some(first)
}

impl Continuations for Explainer<'_> {
    fn reads(&self, (function, at, between): (usize, LinkAddress, bool), place: FramePlace, length: u64) -> bool {
        let Ok(facts) = self.comparison.prepared.old(function) else { return false };
        let readers = facts.point(at, between).and_then(|point| readers(facts, (OldLink(at), point), between).ok());
        readers.is_some_and(|readers| match place {
            FramePlace::Register(_) => readers.reads(place, u8::try_from(length.saturating_mul(8)).unwrap_or(u8::MAX).min(64)),
            FramePlace::Slot { offset, .. } => readers.reads_all(offset, length),
        })
    }

    fn drops(&self, frame: &FrameAt) -> usize {
        self.comparison.bound.frames.drops(frame)
    }

    fn told(&self, frame: &FrameAt) -> Option<Result<Arc<Continuation>, Vec<FrameBlocker>>> {
        let about = self.comparison.bound.frames.about(frame);
        let find = || self.by_rules(frame, &about).map(Arc::new);
        let asked = (frame.function, frame.place, frame.between);
        let inner = frame.inner.iter().take(self.drops(frame)).copied().collect();
        (!about.is_empty()).then(|| self.comparison.prepared.remembered_about((asked, about.clone(), inner), find))
    }

    fn of(&self, old_function: usize, old_return: LinkAddress) -> Result<Arc<Continuation>, Vec<FrameBlocker>> {
        let frame = (old_function, old_return, false);
        self.comparison.prepared.remembered(frame, || self.find(frame))
    }

    fn between(&self, old_function: usize, place: LinkAddress) -> Result<Arc<Continuation>, Vec<FrameBlocker>> {
        let frame = (old_function, place, true);
        self.comparison.prepared.remembered(frame, || self.find(frame))
    }

    fn near(&self, old_function: usize, place: LinkAddress) -> Option<Near> {
        self.nearest(old_function, place)
    }

    fn given(&self, caller: (usize, LinkAddress), callee: usize, register: u8, was_updated: bool) -> Result<Value, String> {
        given::given((self.view, self.comparison), caller, callee, register, was_updated)
    }

    fn passed(
        &self,
        caller: (usize, LinkAddress),
        callee: (usize, LinkAddress),
        register: u8,
        was_updated: bool,
    ) -> Result<Value, String> {
        given::passed((self.view, self.comparison), caller, callee, register, was_updated)
    }
}

/// What the old code reads from a point on.
pub(super) fn readers(old: &Facts, (returns, point): (OldLink, u32), between: bool) -> Result<Readers, Unclear> {
    Ok(Readers::new(&if between { old.live_at(point) } else { old.live_behind(returns.0)? }))
}

/// Places of the old frame that are known to hold the function's own values at a point.
pub(super) fn candidates(old: &Facts, point: u32, values: &mut Values<'_>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for register in KEPT {
        let value = values.behind(point, Place::Register(register));
        found.push(Candidate { place: FramePlace::Register(DWARF[usize::from(register)]), value });
    }
    let lowest = old.function().frame_offset(point, 4).unwrap_or(0);
    for (offset, length) in old.slots() {
        if offset >= lowest && old.function().is_private_behind(point, offset, i64::from(length)) {
            let value = values.behind(point, Place::Slot { offset, length });
            found.push(Candidate { place: FramePlace::Slot { offset, length }, value });
        }
    }
    found
}
