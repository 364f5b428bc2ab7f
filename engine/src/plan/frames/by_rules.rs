//! Frames of which the user says something (`[[continue]]`), and the lines that would answer what stands against one.

use dsu_formats::spec::continuation::Question;

use super::blocker::FrameBlocker;
use super::continuation::{Continuation, Rival};
use super::explain::{Explainer, Seen, Way};
use super::points::PointProblem;
use super::said::{Besides, FrameAt, FrameRule};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::spec::names::written_among;
use crate::program::address::LinkAddress;

impl Explainer<'_> {
    /// How a frame goes on that rules are about, by their positions.
    ///
    /// # Errors
    /// What they do not answer, or what of it is not possible.
    pub(super) fn by_rules(&self, frame: &FrameAt, about: &[usize]) -> Result<Continuation, Vec<FrameBlocker>> {
        let rules: Vec<&FrameRule> = about.iter().filter_map(|index| self.comparison.bound.frames.get(*index)).collect();
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
            match (self.attempt_as((frame.function, partner), (place, to), way, &mut Seen::default()), &mut first) {
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
