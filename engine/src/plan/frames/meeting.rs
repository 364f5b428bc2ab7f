//! Ways that meet, with what each of them brings.

use super::correspond::Side;
use super::events;
use crate::program::flow::{Term, ValueId};

/// Some of the ways to a node.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    pub(super) at: u32,
    /// The last node of each.
    pub(super) ways: Vec<u32>,
    /// What each brings.
    pub(super) values: Vec<ValueId>,
}

impl Meeting {
    /// All ways to a node.
    pub(super) fn all(side: &Side<'_, '_>, at: u32, inputs: &[ValueId]) -> Self {
        let ways = side.graph().node(at).map_or_else(Vec::new, |node| node.before.clone());
        Self { at, ways, values: inputs.to_vec() }
    }

    /// Those into a loop, and those that lead back to its head.
    pub(super) fn of_loop(side: &Side<'_, '_>, at: u32, inputs: &[ValueId]) -> Option<(Self, Self)> {
        let all = Self::all(side, at, inputs);
        if all.ways.len() != all.values.len() {
            return None;
        }
        let ways = all.ways.into_iter().zip(all.values);
        let (back, into): (Vec<_>, Vec<_>) = ways.partition(|(way, _)| side.dominators.passes(*way, at));
        let of = |ways: Vec<(u32, ValueId)>| {
            let (ways, values) = ways.into_iter().unzip();
            Self { at, ways, values }
        };
        Some((of(into), of(back)))
    }

    /// What the ways bring, each once.
    pub(super) fn distinct(&self) -> Vec<ValueId> {
        let mut distinct = self.values.clone();
        distinct.sort_unstable();
        distinct.dedup();
        distinct
    }

    /// The same ways further back: where all of them bring what was chosen where ways met within the round, those.
    pub(super) fn opened(self, side: &Side<'_, '_>) -> Self {
        let [only] = self.distinct()[..] else { return self };
        match side.values.node(only) {
            Term::Choice { at, .. }
                if *at != self.at
                    && side.dominators.passes(*at, self.at)
                    && !events::goes_round(side.graph(), side.dominators, *at) =>
            {
                let inputs = side.values.inputs(only);
                Self::all(side, *at, &inputs)
            }
            _ => self,
        }
    }
}
