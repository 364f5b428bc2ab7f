//! Frames of which the user says something (`[[continue]]`), and the lines that would answer what stands against one.

use dsu_formats::spec::continuation::Question;

use super::blocker::FrameBlocker;
use super::continuation::{Continuation, Rival};
use super::explain::{Explainer, Way};
use super::points::PointProblem;
use super::said::{About, Answer, Besides, FrameAt, FrameRule};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::spec::names::written_among;
use crate::program::address::LinkAddress;

/// Places of a function that are tried to see whether an answer is to anything.
const MOST_TRIED: usize = 256;

impl Explainer<'_> {
    /// How a frame goes on that rules are about, by their positions.
    ///
    /// # Errors
    /// What they do not answer, or what of it is not possible.
    pub(super) fn by_rules(&self, frame: &FrameAt, about: &[usize]) -> Result<Continuation, Vec<FrameBlocker>> {
        let about = About::new(about);
        let found = self.tried(frame, &about)?;
        let idle = self.idle(frame, &about);
        if idle.is_empty() { Ok(found) } else { Err(idle) }
    }

    /// What stands against answers to nothing: neither at this point nor at another one that their tables are about is anything asked that
    /// they answer.
    fn idle(&self, frame: &FrameAt, about: &About) -> Vec<FrameBlocker> {
        let rules = &self.comparison.bound.frames;
        let mut idle = about.idle(rules);
        let bare = about.bare();
        if !idle.is_empty() && self.tried(frame, &bare).is_err() {
            // What a value answers, too, is answered twice.
            let still = bare.idle(rules);
            idle.retain(|answer| still.contains(answer));
        }
        for place in self.other_points(frame) {
            let other = FrameAt { place: place.0, between: place.1, ..frame.clone() };
            let own = About::new(&rules.about(&other));
            if !idle.iter().any(|answer| own.rules.contains(&answer.rule())) {
                continue;
            }
            // What stands against it is told when a frame is there.
            let _ = self.tried(&other, &own);
            let still = own.idle(rules);
            idle.retain(|answer| !own.rules.contains(&answer.rule()) || still.contains(answer));
        }
        let asked = match &about.questions()[..] {
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
        let calls = self.comparison.points.calls(frame.function).map(|(returns, _)| (returns.0, false));
        let rules = self.comparison.bound.frames.rules.iter().filter(|rule| rule.function == frame.function);
        let named = rules.flat_map(|rule| rule.from.iter().flatten()).map(|(at, between)| (at.0, *between));
        let mut found: Vec<_> = calls.chain(named).filter(|place| *place != (frame.place, frame.between)).collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST_TRIED);
        found
    }

    /// How a frame goes on that rules are about.
    fn tried(&self, frame: &FrameAt, about: &About) -> Result<Continuation, Vec<FrameBlocker>> {
        let rules: Vec<&FrameRule> = about.rules.iter().filter_map(|index| self.comparison.bound.frames.get(*index)).collect();
        let place = OldLink(frame.place);
        let at: Vec<(NewLink, bool)> = rules.iter().flat_map(|rule| rule.at.iter().copied()).collect();
        if at.is_empty() {
            return match frame.between {
                true => self.between_calls_about(frame.function, place, about),
                false => self.continuation_about(frame.function, place, about),
            };
        }
        let Some(partner) = self.comparison.points.function(frame.function) else {
            let reason = "the new program has no such function".to_owned();
            return Err(vec![self.point_blocker(frame.function, (place, None), frame.between, reason)]);
        };
        let mut first: Option<Continuation> = None;
        let mut failed = Vec::new();
        for (to, between) in at {
            // Behind a call that is not the one under way, its result is not there.
            let is_under_way = !frame.between && !between && self.is_same_callee(frame.function, frame.place, to.0);
            let way = Way { between: (frame.between, !is_under_way), aligned: None, about };
            match (self.attempt_as((frame.function, partner), (place, to), way, &mut Vec::new()), &mut first) {
                (Ok(continuation), None) => first = Some(continuation),
                (Ok(continuation), Some(first)) => first.rivals.push(Rival {
                    returns_to: to,
                    conditions: continuation.conditions.clone(),
                    continuation: Some(std::sync::Arc::new(continuation)),
                }),
                (Err(reasons), _) => failed.push(reasons),
            }
        }
        match first {
            Some(first) => Ok(Continuation { besides: Besides { in_order: true, ..first.besides.clone() }, ..first }),
            None => Err(failed.into_iter().next().unwrap_or_default()),
        }
    }

    /// Whether the call of the old function that returns to one place, and that of the new one, are of the same function.
    fn is_same_callee(&self, function: usize, old: LinkAddress, new: LinkAddress) -> bool {
        let points = &self.comparison.points;
        match (points.old_callee(function, old), points.new_callee(function, new)) {
            (Some((old, _)), Some((new, _))) => old == new,
            _ => false,
        }
    }

    /// The table of a spec about a function's frames, with `body` in it.
    pub(super) fn answer(&self, function: usize, body: &str) -> Option<String> {
        let name = written_among(self.view.sides.old.functions.list(), function)?;
        Some(format!("[[continue]]\nfunction = \"{name}\"\n{body}"))
    }

    /// What stands against a call without a certain partner, with the points that a user may mean.
    pub(super) fn no_partner(&self, function: usize, blockers: Vec<FrameBlocker>, problem: &PointProblem) -> Vec<FrameBlocker> {
        let wanted: Vec<LinkAddress> = problem.candidates.iter().map(|candidate| candidate.returns.0).collect();
        let found = self.comparison.points_in(self.view.new, (function, true), |points| {
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
