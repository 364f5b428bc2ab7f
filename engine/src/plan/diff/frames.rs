//! Where frames of changed functions would go on: the calls of both sides, paired and unpaired, and variables without a counterpart.

use std::collections::BTreeSet;

use serde::Serialize;

use super::names::Thing;
use crate::plan::compare::Comparison;
use crate::plan::frames::{Partners, calls_of};
use crate::plan::spec::names::written_among;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::variables::{Body, Variables};

/// A changed function whose frames may need an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameChange {
    /// In the old program.
    #[serde(flatten)]
    pub thing: Thing,
    /// How a spec names it.
    pub written: String,
    /// Its calls, in the order of the source.
    pub calls: Vec<CallChange>,
    /// Calls of the new function that no call of the old one is.
    pub added: Vec<CallSite>,
    /// Variables that only the new function has.
    pub variables: Vec<String>,
    /// Variables that only the old function has.
    pub gone: Vec<String>,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallSite {
    /// What it goes to; `*` is a function pointer.
    pub callee: String,
    /// Which of the function's calls of it, from 1.
    pub ordinal: u64,
    /// Source file and line.
    pub line: String,
}

/// A call of the old function, and what it is in the new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallChange {
    /// In the old function.
    pub old: CallSite,
    /// Source files and lines in the new one: several where the compiler made several of it; none where nothing is certain.
    pub new: Vec<String>,
    /// Why nothing is certain.
    pub problem: Option<String>,
}

impl FrameChange {
    /// Whether some frame of it may need an answer.
    pub fn is_asked(&self) -> bool {
        !self.calls.is_empty() && (!self.variables.is_empty() || self.calls.iter().any(|call| call.problem.is_some()))
    }
}

/// All changed functions that a thread may wait in.
pub(super) fn changes(old: &Build, new: &Build, comparison: &Comparison) -> Vec<FrameChange> {
    let list = comparison.sides.old.functions.list();
    let mut functions: Vec<usize> = comparison.points.functions().collect();
    functions.sort_unstable();
    let mut readers = (Variables::new(old), Variables::new(new));
    let change = |function: usize| {
        let partner = comparison.points.function(function)?;
        let (from, to) = (list.get(function)?, comparison.sides.new.functions.list().get(partner)?);
        let (olds, news) = (readers.0.body(from.entry).unwrap_or_default(), readers.1.body(to.entry).unwrap_or_default());
        let (calls, added) = calls(old, new, (comparison, function));
        Some(FrameChange {
            thing: Thing::of(list, function)?,
            written: written_among(list, function)?,
            calls,
            added,
            variables: only(&news, &olds),
            gone: only(&olds, &news),
        })
    };
    functions.into_iter().filter_map(change).collect()
}

fn calls(old: &Build, new: &Build, (comparison, function): (&Comparison, usize)) -> (Vec<CallChange>, Vec<CallSite>) {
    let (olds, news) =
        (sites(old, comparison, (function, None)), sites(new, comparison, (function, comparison.points.function(function))));
    let mut taken = BTreeSet::new();
    let change = |(returns, site): (LinkAddress, CallSite)| {
        let partner = comparison.points.partner(function, crate::plan::address::OldLink(returns));
        let (found, problem) = match partner.map(Partners::all) {
            Ok(all) => (all.to_vec(), None),
            Err(problem) => (Vec::new(), Some(problem.reason.to_string())),
        };
        taken.extend(found.iter().map(|to| to.0));
        CallChange { old: site, new: found.iter().map(|to| line(new, to.0)).collect(), problem }
    };
    let calls = olds.into_iter().map(change).collect();
    let added = news.into_iter().filter(|(returns, _)| !taken.contains(returns)).map(|(_, site)| site).collect();
    (calls, added)
}

fn sites(build: &Build, comparison: &Comparison, side: (usize, Option<usize>)) -> Vec<(LinkAddress, CallSite)> {
    let mut known: Vec<String> = Vec::new();
    let site = |(returns, callee): (LinkAddress, String)| {
        known.push(callee.clone());
        let ordinal = known.iter().filter(|other| **other == callee).count() as u64;
        (returns, CallSite { callee, ordinal, line: line(build, returns) })
    };
    calls_of(comparison, build, side).into_iter().map(site).collect()
}

fn line(build: &Build, returns: LinkAddress) -> String {
    let found = build.line_at(LinkAddress(returns.0.wrapping_sub(1)));
    found.map_or_else(|| returns.to_string(), |(file, line)| format!("{}:{line}", file.rsplit('/').next().unwrap_or_default()))
}

/// Names of variables that only one of two functions has.
fn only(of: &Body, other: &Body) -> Vec<String> {
    let names = |body: &Body| -> BTreeSet<String> {
        body.variables.iter().map(|variable| variable.name.clone()).filter(|name| !name.is_empty()).collect()
    };
    names(of).difference(&names(other)).cloned().collect()
}
