//! Settles a pair and all pairs that it reaches: explores them, compares each by itself, and lets differences flow back.

use std::collections::VecDeque;

use super::difference::Step;
use super::{Comparison, Outcome, Pair, Verdict};

/// One pair holds or points to another.
struct Edge {
    from: u32,
    to: u32,
    step: Step,
    by_value: bool,
}

impl Comparison<'_> {
    /// The position in `outcomes` of the pair, settled.
    ///
    /// Equality is assumed for pairs under comparison (types may be recursive) and refuted by differences: two types are the same unless a
    /// difference can be reached from them.
    pub(super) fn settle(&mut self, pair: Pair) -> u32 {
        let first = self.outcomes.len();
        let root = self.position(pair);
        let mut edges = Vec::new();
        let mut next = first;
        while let Some(outcome) = self.outcomes.get(next) {
            let from = next as u32;
            let (local, children) = self.compare_local(outcome.pair);
            for (step, by_value, child) in children {
                let to = self.position(child);
                edges.push(Edge { from, to, step, by_value });
            }
            if let Some(outcome) = self.outcomes.get_mut(next) {
                if !local.is_empty() {
                    outcome.own = Verdict::Differs;
                    outcome.whole = Verdict::Differs;
                }
                outcome.local = local;
            }
            next += 1;
        }
        self.flow_back(first, &edges, false);
        self.flow_back(first, &edges, true);
        root
    }

    fn position(&mut self, pair: Pair) -> u32 {
        let pair = (self.old.normal(pair.0), self.new.normal(pair.1));
        let next = self.outcomes.len() as u32;
        let position = *self.known.entry(pair).or_insert(next);
        if position == next {
            self.outcomes.push(Outcome { pair, local: Vec::new(), own: Verdict::Same, whole: Verdict::Same });
        }
        position
    }

    /// Marks everything from which a differing pair is reached, nearest first, so that messages show the shortest way.
    fn flow_back(&mut self, first: usize, edges: &[Edge], whole: bool) {
        let mut into: Vec<Vec<&Edge>> = Vec::new();
        into.resize_with(self.outcomes.len() - first, Vec::new);
        let mut queue = VecDeque::new();
        for edge in edges.iter().filter(|edge| whole || edge.by_value) {
            match (edge.to as usize).checked_sub(first).and_then(|to| into.get_mut(to)) {
                Some(list) => list.push(edge),
                // Settled before: final.
                None if !matches!(self.of(edge.to, whole), Verdict::Same) => {
                    self.mark(edge, whole, &mut queue);
                }
                None => {}
            }
        }
        let differing = (first..self.outcomes.len()).filter(|&at| matches!(self.of(at as u32, whole), Verdict::Differs));
        let differing: Vec<u32> = differing.map(|at| at as u32).collect();
        queue.extend(differing);
        while let Some(at) = queue.pop_front() {
            let Some(list) = (at as usize).checked_sub(first).and_then(|at| into.get_mut(at)) else { continue };
            for edge in std::mem::take(list) {
                self.mark(edge, whole, &mut queue);
            }
        }
    }

    fn of(&self, at: u32, whole: bool) -> &Verdict {
        match self.outcomes.get(at as usize) {
            Some(outcome) if whole => &outcome.whole,
            Some(outcome) => &outcome.own,
            None => &Verdict::Same,
        }
    }

    fn mark(&mut self, edge: &Edge, whole: bool, queue: &mut VecDeque<u32>) {
        let Some(outcome) = self.outcomes.get_mut(edge.from as usize) else { return };
        let verdict = if whole { &mut outcome.whole } else { &mut outcome.own };
        if matches!(verdict, Verdict::Same) {
            *verdict = Verdict::Through(edge.step.clone(), edge.to);
            queue.push_back(edge.from);
        }
    }
}
