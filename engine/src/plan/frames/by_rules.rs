//! Frames of which the user says something (`[[continue]]`), and the lines that would answer what stands against one.

use dsu_formats::spec::continuation::Question;

use super::blocker::FrameBlocker;
use super::continuation::{Continuation, FrameObject, Rival};
use super::explain::{Explainer, Seen, Way};
use super::points::PointProblem;
use super::said::{About, Answer, Besides, FrameAt};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::functions::position;
use crate::plan::spec::names::written_among;
use crate::program::address::LinkAddress;
use crate::program::code::Callee;

/// Places of a function that are tried to see whether an answer is to anything.
const MOST_TRIED: usize = 256;

/// What frames become that rules are about.
struct Alternative {
    /// Position of the function in the new build.
    into: Option<usize>,
    about: About,
    /// The same for the functions that it is inside of besides, outermost first.
    inside: Vec<(usize, About)>,
}

impl Alternative {
    fn abouts(&self) -> impl Iterator<Item = &About> {
        std::iter::once(&self.about).chain(self.inside.iter().map(|(_, about)| about))
    }

    fn bare(&self) -> Self {
        let inside = self.inside.iter().map(|(into, about)| (*into, about.bare())).collect();
        Self { into: self.into, about: self.about.bare(), inside }
    }
}

impl Explainer<'_> {
    /// How a frame goes on that rules are about, by their positions.
    ///
    /// # Errors
    /// What they do not answer, or what of it is not possible.
    pub(super) fn by_rules(&self, frame: &FrameAt, about: &[usize]) -> Result<Continuation, Vec<FrameBlocker>> {
        let ways = self.alternatives(frame, about);
        let found = self.tried(frame, &ways)?;
        let idle = self.idle(frame, &ways);
        if idle.is_empty() { Ok(found) } else { Err(idle) }
    }

    /// What the frame may become, in the order of the tables.
    fn alternatives(&self, frame: &FrameAt, about: &[usize]) -> Vec<Alternative> {
        let (rules, points) = (&self.comparison.bound.frames, &self.comparison.points);
        let rule = |index: &usize| rules.get(*index);
        let mut intos: Vec<Option<usize>> = Vec::new();
        for into in about.iter().filter_map(rule).map(|rule| rule.into) {
            if !intos.contains(&into) {
                intos.push(into);
            }
        }
        let alternative = |into: Option<usize>| {
            let own: Vec<usize> =
                about.iter().copied().filter(|index| rule(index).is_some_and(|rule| rule.into == into)).collect();
            let drops = own.iter().filter_map(rule).map(|rule| rule.drops.len()).max().unwrap_or(0);
            let inner = frame.inner.get(..drops).unwrap_or_default();
            let inside = own.iter().filter_map(rule).flat_map(|rule| rule.inside.iter()).filter_map(|index| {
                let into = rule(index)?.into?;
                Some((into, About::new(&[*index]).becoming(points, (frame.function, into), &[])))
            });
            let inside = inside.collect();
            let pair = (frame.function, into.unwrap_or(usize::MAX));
            Alternative { into, about: About::new(&own).becoming(points, pair, inner), inside }
        };
        intos.into_iter().map(alternative).collect()
    }

    /// What stands against answers to nothing: neither at this point nor at another one that their tables are about is anything asked that
    /// they answer.
    fn idle(&self, frame: &FrameAt, ways: &[Alternative]) -> Vec<FrameBlocker> {
        let rules = &self.comparison.bound.frames;
        let of = |ways: &[Alternative]| -> Vec<Answer> {
            ways.iter().flat_map(Alternative::abouts).flat_map(|about| about.idle(rules)).collect()
        };
        let mut idle = of(ways);
        let bare: Vec<Alternative> = ways.iter().map(Alternative::bare).collect();
        if !idle.is_empty() && self.tried(frame, &bare).is_err() {
            // What a value answers, too, is answered twice.
            let still = of(&bare);
            idle.retain(|answer| still.contains(answer));
        }
        for place in if idle.is_empty() { Vec::new() } else { self.other_points(frame) } {
            let other = FrameAt { place: place.0, between: place.1, ..frame.clone() };
            let about = rules.about(&other);
            let is_about = |answer: &Answer| {
                let outer = |index: &usize| rules.get(*index).is_some_and(|rule| rule.inside.contains(&answer.rule()));
                about.contains(&answer.rule()) || about.iter().any(outer)
            };
            if !idle.iter().any(is_about) {
                continue;
            }
            let own = self.alternatives(&other, &about);
            // What stands against it is told when a frame is there.
            let _ = self.tried(&other, &own);
            let still = of(&own);
            idle.retain(|answer| !is_about(answer) || still.contains(answer));
        }
        let mut questions: Vec<String> = ways.iter().flat_map(Alternative::abouts).flat_map(About::questions).collect();
        questions.sort_unstable();
        questions.dedup();
        let asked = match &questions[..] {
            [] => "nothing is asked here".to_owned(),
            questions => format!("asked here is `{}`", questions.join("`, `")),
        };
        let told = |answer: &Answer| {
            let (what, asks) = answer.described(rules)?;
            let reason = format!("{what} answers no question, which would be {asks}; {asked}; take it out of the spec");
            Some(self.point_blocker(frame.function, (OldLink(frame.place), None), frame.between, reason))
        };
        idle.iter().filter_map(told).collect()
    }

    /// Other places that a frame of the same function may be at: the calls that it may wait in, and what tables name.
    fn other_points(&self, frame: &FrameAt) -> Vec<(LinkAddress, bool)> {
        let graph = self.comparison.changed_graph(frame.function, None).ok();
        let calls = graph.into_iter().flat_map(|graph| graph.nodes()).filter(|node| node.is_call());
        let calls = calls.map(|node| (node.behind(), false));
        let rules = self.comparison.bound.frames.rules.iter().filter(|rule| rule.function == frame.function);
        let named = rules.flat_map(|rule| rule.from.iter().flatten()).map(|(at, between)| (at.0, *between));
        let mut found: Vec<_> = calls.chain(named).filter(|place| *place != (frame.place, frame.between)).collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST_TRIED);
        found
    }

    /// How a frame goes on: the first alternative that is proved, with the others as its rivals.
    fn tried(&self, frame: &FrameAt, ways: &[Alternative]) -> Result<Continuation, Vec<FrameBlocker>> {
        if let [only] = ways {
            return self.alternative(frame, only);
        }
        let mut first: Option<Continuation> = None;
        let mut failed = Vec::new();
        for way in ways {
            match (self.alternative(frame, way), &mut first) {
                (Ok(mut continuation), Some(first)) => {
                    let rivals = std::mem::take(&mut continuation.rivals);
                    first.rivals.push(rival(continuation));
                    first.rivals.extend(rivals);
                }
                (Ok(continuation), None) => first = Some(continuation),
                (Err(reasons), _) => failed.extend(reasons),
            }
        }
        match first {
            Some(first) => Ok(Continuation { besides: Besides { in_order: true, ..first.besides.clone() }, ..first }),
            None => Err(failed),
        }
    }

    /// How a frame goes on in one function of the new program.
    fn alternative(&self, frame: &FrameAt, way: &Alternative) -> Result<Continuation, Vec<FrameBlocker>> {
        let about = &way.about;
        let rules = about.rules.iter().filter_map(|index| self.comparison.bound.frames.get(*index));
        let place = OldLink(frame.place);
        let at: Vec<(NewLink, bool)> = rules.flat_map(|rule| rule.at.iter().copied()).collect();
        let told = |reason: &str| vec![self.point_blocker(frame.function, (place, None), frame.between, reason.to_owned())];
        let Some(partner) = way.into else { return Err(told("the new program has no such function")) };
        let changes_frames = !about.inner.is_empty() || !way.inside.is_empty();
        if changes_frames && frame.between {
            return Err(told("frames vanish or come only where it waits in a call"));
        }
        if at.is_empty() {
            return match (changes_frames, frame.between) {
                (true, _) => {
                    Err(self.frames_change(frame, partner, told("where it goes on has to be said, as frames vanish or come")))
                }
                (false, true) => self.between_calls_about(frame.function, place, about),
                (false, false) => self.continuation_about(frame.function, place, about),
            };
        }
        let mut first: Option<Continuation> = None;
        let mut failed = Vec::new();
        for (to, between) in at {
            match (self.at_point(frame, way, (partner, to, between)), &mut first) {
                (Ok(continuation), None) => first = Some(continuation),
                (Ok(continuation), Some(first)) => first.rivals.push(rival(continuation)),
                (Err(reasons), _) => failed.push(reasons),
            }
        }
        match first {
            Some(first) => Ok(Continuation { besides: Besides { in_order: true, ..first.besides.clone() }, ..first }),
            None => Err(failed.into_iter().next().unwrap_or_default()),
        }
    }

    fn at_point(
        &self,
        frame: &FrameAt,
        way: &Alternative,
        (partner, to, between): (usize, NewLink, bool),
    ) -> Result<Continuation, Vec<FrameBlocker>> {
        let (function, place) = (frame.function, OldLink(frame.place));
        let told = |reason: String| vec![self.point_blocker(function, (place, Some(to)), frame.between, reason)];
        let points = way.about.points(self.comparison);
        let callee = self.becomes_callee(points, function, (place, to)).filter(|_| !frame.between && !between);
        // Behind a call that is not the one under way, its result is not there.
        let is_under_way = match (way.about.inner.last(), way.inside.first()) {
            (_, Some((first, _))) => {
                if between || !self.is_call_of(points, (function, to), *first) {
                    let name = self.view.sides.new.functions.list().get(*first).map_or("", |code| &code.identity.name);
                    return Err(told(format!("the point has to be the call of `{name}`, which it is inside of besides")));
                }
                true
            }
            (Some(last), None) => {
                let points = self.comparison.points.besides(last.function, partner);
                let points = points.as_ref().unwrap_or(&self.comparison.points);
                !between && is_same_callee(points, last.function, (last.place, to.0))
            }
            (None, None) => {
                !frame.between && !between && (callee.is_some() || is_same_callee(points, function, (frame.place, to.0)))
            }
        };
        let is_other_call = !way.about.inner.is_empty() || !way.inside.is_empty();
        let attempt = Way { between: (frame.between, !is_under_way), aligned: None, about: &way.about, is_other_call };
        let mut found = self.attempt_as((function, partner), (place, to), attempt, &mut Seen::default())?;
        let mut insides = Vec::new();
        found.besides.callee = callee.filter(|_| !is_other_call);
        for (number, (into, about)) in way.inside.iter().enumerate() {
            let rule = about.rules.first().and_then(|index| self.comparison.bound.frames.get(*index));
            let Some(&(to, between)) = rule.and_then(|rule| rule.at.first()) else { continue };
            let points = about.points(self.comparison);
            let next = way.inside.get(number + 1);
            let is_under_way = match next {
                Some((next, _)) if between || !self.is_call_of(points, (function, to), *next) => {
                    return Err(told(
                        "each function that it is inside of has to be called by the one before, at its point".to_owned(),
                    ));
                }
                Some(_) => true,
                None => !between && is_same_callee(points, function, (frame.place, to.0)),
            };
            let attempt = Way { between: (false, !is_under_way), aligned: None, about, is_other_call: next.is_some() };
            let inner = self.attempt_as((function, *into), (place, to), attempt, &mut Seen::default())?;
            found.has_unread |= inner.has_unread;
            found.warnings.extend(inner.warnings.iter().cloned());
            insides.push(inner);
        }
        share(&mut found, &mut insides).map_err(told)?;
        found.besides.inside = insides.into_iter().map(std::sync::Arc::new).collect();
        Ok(found)
    }

    /// What the new call goes to, if frames of what the old one goes to may become that by the user's word.
    fn becomes_callee(&self, points: &super::points::Points, function: usize, (place, to): (OldLink, NewLink)) -> Option<usize> {
        let called = match self.view.code.returns.get(&place.0)? {
            Callee::Function(id) => position(*id),
            _ => return None,
        };
        let (_, name) = points.new_callee(function, to.0)?;
        let list = self.view.sides.new.functions.list();
        let named = |new: usize| list.get(new).is_some_and(|code| code.identity.name == name);
        let pairs = self.comparison.points.pairs().filter(|(old, new)| *old == called && named(*new)).map(|(_, new)| new);
        pairs.into_iter().find(|new| self.comparison.points.besides(called, *new).is_some())
    }

    /// Whether the call of the new code that comes back to `to` names the function at position `callee`.
    fn is_call_of(&self, points: &super::points::Points, (function, to): (usize, NewLink), callee: usize) -> bool {
        let name = self.view.sides.new.functions.list().get(callee).map(|code| code.identity.name.as_str());
        points.new_callee(function, to.0).is_some_and(|(_, own)| Some(own) == name)
    }

    /// What stands against frames that vanish or come, with the calls of the new function that a user may mean.
    fn frames_change(&self, frame: &FrameAt, partner: usize, blockers: Vec<FrameBlocker>) -> Vec<FrameBlocker> {
        let found = self.comparison.points_in(self.view.new, (frame.function, Some(partner)), |points| points.calls());
        let names: Vec<String> =
            found.unwrap_or_default().iter().map(|(_, name)| format!("{{ call = \"{}\" }}", callee(name))).collect();
        let answer = self.answer(frame.function, &format!("at = [{}]", names.join(", ")));
        blockers.into_iter().map(|blocker| FrameBlocker { answer: answer.clone(), ..blocker }).collect()
    }

    /// The table of a spec about a function's frames, with `body` in it.
    pub(super) fn answer(&self, function: usize, body: &str) -> Option<String> {
        let name = written_among(self.view.sides.old.functions.list(), function)?;
        Some(format!("[[continue]]\nfunction = \"{name}\"\n{body}"))
    }

    /// The same for a function that the frame is inside of besides: the lines stand in its table.
    pub(super) fn answer_inside(&self, function: usize, inside: Option<usize>, body: &str) -> Option<String> {
        let Some(inside) = inside else { return self.answer(function, body) };
        let name = written_among(self.view.sides.new.functions.list(), inside)?;
        Some(format!("[[continue.inside]]\nfunction = \"{name}\"\n{body}"))
    }

    /// What stands against a call without a certain partner, with the points that a user may mean.
    pub(super) fn no_partner(
        &self,
        (function, partner): (usize, usize),
        blockers: Vec<FrameBlocker>,
        problem: &PointProblem,
    ) -> Vec<FrameBlocker> {
        let wanted: Vec<LinkAddress> = problem.candidates.iter().map(|candidate| candidate.returns.0).collect();
        let found = self.comparison.points_in(self.view.new, (function, Some(partner)), |points| {
            let calls = points.calls();
            let number = |index: usize| {
                let (returns, name) = calls.get(index)?;
                let before = calls.get(..=index)?.iter().filter(|(_, other)| other == name).count();
                wanted.contains(returns).then(|| format!("{{ call = \"{}\", ordinal = {before} }}", callee(name)))
            };
            (0..calls.len()).filter_map(number).collect::<Vec<String>>()
        });
        let points = found.unwrap_or_default();
        let body = match &points[..] {
            [] => "at = [{ line = \"FILE:LINE OF THE NEW FUNCTION\" }]".to_owned(),
            points => format!("at = [{}]", points.join(", ")),
        };
        let answer = self.answer(function, &body);
        blockers.into_iter().map(|blocker| FrameBlocker { answer: answer.clone(), ..blocker }).collect()
    }
}

/// Leaves each variable of the old frame to one of the new ones: to the one that needs its bytes, else to the innermost, where pointers to it
/// lead.
fn share(outer: &mut Continuation, insides: &mut [Continuation]) -> Result<(), String> {
    let mut all: Vec<&mut Continuation> = std::iter::once(outer).chain(insides).collect();
    for inner in (1..all.len()).rev() {
        let (before, rest) = all.split_at_mut(inner);
        let Some(own) = rest.first_mut() else { continue };
        for other in before {
            let meets = |one: &FrameObject, two: &FrameObject| {
                let end = |object: &FrameObject| object.old.saturating_add_unsigned(object.old_length);
                one.old < end(two) && two.old < end(one)
            };
            let is_needed = |continuation: &Continuation, object: &FrameObject| continuation.besides.needed.contains(&object.new);
            let mut twice = None;
            let kept = own.objects.clone();
            for object in &kept {
                let Some(shared) = other.objects.iter().find(|shared| meets(shared, object)) else { continue };
                match (is_needed(own, object), is_needed(other, shared)) {
                    (true, true) => twice = Some(object.name.clone()),
                    (false, true) => own.objects.retain(|own| own != object),
                    (_, false) => other.objects.retain(|shared| !meets(shared, object)),
                }
            }
            if let Some(name) = twice {
                return Err(format!("`{name}` of the old frame would have to be in two frames of the new code"));
            }
        }
    }
    Ok(())
}

/// One of several ways to go on.
fn rival(continuation: Continuation) -> Rival {
    let (returns_to, conditions) = (continuation.returns_to, continuation.conditions.clone());
    Rival { returns_to, conditions, continuation: Some(std::sync::Arc::new(continuation)) }
}

/// Whether the call of the old function that returns to one place, and that of the new one, are of the same function.
fn is_same_callee(points: &super::points::Points, function: usize, (old, new): (LinkAddress, LinkAddress)) -> bool {
    match (points.old_callee(function, old), points.new_callee(function, new)) {
        (Some((old, _)), Some((new, _))) => old == new,
        _ => false,
    }
}

/// How a spec names what a call goes to.
fn callee(name: &str) -> &str {
    if name == "a function pointer" { "*" } else { name }
}

/// The line that gives a variable of the new frame a value.
pub(super) fn local(name: &str, value: &str) -> String {
    format!("locals = {{ {name} = {value} }}")
}

/// The line that takes a question about a line of the new program as answered.
pub(super) fn accept(question: Question, (file, line): &(String, u64)) -> String {
    let file = file.rsplit('/').next().unwrap_or_default();
    format!("accept = [\"{} {file}:{line}\"]", question.name())
}
