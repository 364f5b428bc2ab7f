//! Which of several calls of one function a call is, where neither order nor lines tell: the one before which both codes have done the same
//! (PROOF 3.21).

use std::collections::BTreeSet;

use super::blocker::FrameBlocker;
use super::continuation::Continuation;
use super::explain::{Explainer, Tried, Way, rivals};
use super::points::{PointProblem, PointReason, exclude_each_other};
use super::said::About;
use crate::plan::address::{NewLink, OldLink};

/// More pairs of calls are not tried.
const MOST_TRIED: usize = 36;

impl Explainer<'_> {
    /// How a frame goes on whose call has no certain partner. `None` where what was done before does not tell either.
    pub(super) fn by_history(
        &self,
        (function, partner): (usize, usize),
        returns: OldLink,
        about: &About,
        problem: &PointProblem,
    ) -> Option<Result<Continuation, Vec<FrameBlocker>>> {
        let points = about.points(self.comparison);
        if !matches!(problem.reason, PointReason::Ambiguous { .. }) {
            return None;
        }
        let prepared = &self.comparison.prepared;
        let (old, new) = (prepared.old(function).ok()?, prepared.new_function(partner).ok()?);
        let certain: BTreeSet<NewLink> =
            points.calls(function).filter_map(|(_, found)| found.ok()).flat_map(|found| found.all().to_vec()).collect();
        let own = problem.candidates.iter().filter(|candidate| candidate.scope == problem.scope);
        let open: Vec<NewLink> = own.map(|candidate| candidate.returns).filter(|to| !certain.contains(to)).collect();
        let callee = points.old_callee(function, returns.0)?.0;
        let is_other = |other: &OldLink| {
            *other != returns && points.old_callee(function, other.0).is_some_and(|(number, _)| number == callee)
        };
        let others: Vec<OldLink> =
            points.calls(function).filter(|(_, found)| found.is_err()).map(|(other, _)| other).filter(is_other).collect();
        if open.len().saturating_mul(others.len().saturating_add(1)) > MOST_TRIED {
            return None;
        }
        let aligned = self.aligned(points, (function, partner), old, new);
        let attempt = |from: OldLink, to: NewLink| -> Tried {
            let way = Way { between: (false, false), aligned: Some(&aligned), about, is_other_call: false };
            self.try_as((function, partner), (from, to), way)
        };
        let fitting: Vec<Tried> = open.iter().map(|to| attempt(returns, *to)).filter(|tried| tried.is_alike).collect();
        // Whichever is the partner of another call as well may be either's.
        let is_shared = |tried: &Tried| others.iter().any(|other| attempt(*other, tried.to).is_alike);
        if fitting.is_empty() || fitting.iter().any(is_shared) {
            return None;
        }
        let nodes: Option<Vec<u32>> = fitting.iter().map(|tried| new.graph.call_before(tried.to.0)).collect();
        match nodes?.as_slice() {
            [_] => {}
            several if exclude_each_other(&new.graph, &new.dominators, several) => {}
            _ => return None,
        }
        rivals(fitting)
    }
}
