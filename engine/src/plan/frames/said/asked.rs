//! Which questions come up at the points that are tried for a frame, and which answers of the spec they use: one to nothing is an error.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::{FrameRules, Inner};
use crate::plan::compare::Comparison;
use crate::plan::frames::points::Points;

/// An answer of a table: the table's position, and the answer's in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::plan::frames) enum Answer {
    /// Something that the user takes upon himself.
    Accept(usize, usize),
    /// A call before the frame goes on.
    Before(usize, usize),
}

/// What came up.
#[derive(Clone, Debug, Default)]
pub(in crate::plan::frames) struct Asked {
    /// Answers that something asked for.
    pub(in crate::plan::frames) used: BTreeSet<Answer>,
    /// What was asked, as `accept` names it.
    pub(in crate::plan::frames) questions: BTreeSet<String>,
}

/// The rules about a frame, by their positions, with what was asked wherever they were tried.
#[derive(Debug, Default)]
pub(in crate::plan::frames) struct About {
    pub(in crate::plan::frames) rules: Vec<usize>,
    /// Whether only what they accept counts: what would be asked without their values.
    pub(in crate::plan::frames) is_bare: bool,
    /// Frames that vanish, the nearest first.
    pub(in crate::plan::frames) inner: Vec<Inner>,
    /// The calls of the function as those of one that is not its partner.
    points: Option<Points>,
    asked: RefCell<Asked>,
}

impl About {
    /// Nothing is tried yet.
    pub(in crate::plan::frames) fn new(rules: &[usize]) -> Self {
        Self { rules: rules.to_vec(), ..Self::default() }
    }

    /// The same for a frame that becomes one of the function at position `into`, while frames in it vanish.
    pub(in crate::plan::frames) fn becoming(self, points: &Points, pair: (usize, usize), inner: &[Inner]) -> Self {
        Self { points: points.besides(pair.0, pair.1), inner: inner.to_vec(), ..self }
    }

    /// Whether it is about a function that the frame is inside of besides.
    pub(in crate::plan::frames) fn is_inside(&self, rules: &FrameRules) -> bool {
        self.rules.iter().filter_map(|index| rules.get(*index)).any(|rule| rule.is_inner)
    }

    /// The calls of the function, and of what it becomes.
    pub(in crate::plan::frames) fn points<'p>(&'p self, comparison: &'p Comparison) -> &'p Points {
        self.points.as_ref().unwrap_or(&comparison.points)
    }

    /// The same rules without the values that they give.
    pub(in crate::plan::frames) fn bare(&self) -> Self {
        let (points, inner) = (self.points.clone(), self.inner.clone());
        Self { is_bare: true, points, inner, ..Self::new(&self.rules) }
    }

    /// Adds what came up at one pair of points.
    pub(in crate::plan::frames) fn note(&self, asked: &Asked) {
        let mut known = self.asked.borrow_mut();
        known.used.extend(&asked.used);
        known.questions.extend(asked.questions.iter().cloned());
    }

    /// What was asked.
    pub(in crate::plan::frames) fn questions(&self) -> Vec<String> {
        self.asked.borrow().questions.iter().cloned().collect()
    }

    /// Answers that nothing asked for.
    pub(in crate::plan::frames) fn idle(&self, rules: &FrameRules) -> Vec<Answer> {
        let used = &self.asked.borrow().used;
        let of = |index: &usize| {
            let rule = rules.get(*index);
            let accepts = (0..rule.map_or(0, |rule| rule.accept.len())).map(|at| Answer::Accept(*index, at));
            let calls = (0..rule.map_or(0, |rule| rule.before.len())).map(|at| Answer::Before(*index, at));
            accepts.chain(calls).collect::<Vec<_>>()
        };
        self.rules.iter().flat_map(of).filter(|answer| !used.contains(answer)).collect()
    }
}

impl Answer {
    /// The position of its table.
    pub(in crate::plan::frames) fn rule(self) -> usize {
        match self {
            Self::Accept(rule, _) | Self::Before(rule, _) => rule,
        }
    }

    /// As the spec writes it, with where it stands, and what would ask for it.
    pub(in crate::plan::frames) fn described(self, rules: &FrameRules) -> Option<(String, &'static str)> {
        match self {
            Self::Accept(rule, at) => {
                let (accepted, origin) = rules.get(rule)?.accept.get(at)?;
                Some((format!("{origin}: `{accepted}`"), accepted.question.asks()))
            }
            Self::Before(rule, at) => {
                let call = rules.get(rule)?.before.get(at)?;
                let what = "something that the new code has done when it comes to the point, and that the old code has not";
                Some((format!("{}: `{}`", call.origin, call.text), what))
            }
        }
    }
}
