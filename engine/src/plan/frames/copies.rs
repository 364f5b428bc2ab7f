//! Copies of one call that follow one another in both codes alike, as an unrolled loop leaves them: the k-th is the k-th (PROOF 3.22).

use super::events;
use super::locals::Locals;
use super::prepared::Facts;
use crate::plan::compare::Comparison;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::build::Build;

/// More copies of one call are not told apart.
const MOST_COPIES: usize = 64;

/// Copies of calls of two functions that are one call each, by where they come back to.
pub(super) fn alike(
    (view, comparison): (View<'_>, &Comparison),
    (function, partner): (usize, usize),
) -> Vec<(LinkAddress, LinkAddress)> {
    let (Ok(old), Ok(new)) = (comparison.prepared.old(function), comparison.prepared.new_function(partner)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for counterpart in comparison.points.counterparts(function) {
        let (olds, news) = (&counterpart.old.returns, &counterpart.new.returns);
        let is_plain = counterpart.old.ranges.is_empty() && counterpart.new.ranges.is_empty();
        if !is_plain || olds.len().max(news.len()) < 2 || olds.len().max(news.len()) > MOST_COPIES {
            continue;
        }
        let (Some(olds), Some(news)) = (chain(old, olds), chain(new, news)) else { continue };
        let is_same_number = olds.len() == news.len();
        if !is_same_number && !are_numbered((view.old, old, &olds), (view.new, new, &news)) {
            continue;
        }
        let count = olds.len();
        for (index, (one, other)) in olds.into_iter().zip(news).enumerate() {
            let is_last = is_same_number && index + 1 == count;
            if (!one.1 && !other.1) || (one.1 && other.1 && is_last) {
                found.push((one.0, other.0));
            }
        }
    }
    found
}

/// Calls in the order in which control passes them, each with whether it is in a loop; `None` where ways lead past one to the next, or where
/// another than the last is in a loop.
fn chain(facts: &Facts, returns: &[LinkAddress]) -> Option<Vec<(LinkAddress, bool)>> {
    let nodes: Option<Vec<(u32, LinkAddress)>> =
        returns.iter().map(|returns| Some((facts.graph.call_before(*returns)?, *returns))).collect();
    let mut nodes = nodes?;
    let passes = |one: u32, other: u32| facts.dominators.passes(one, other);
    nodes.sort_by_key(|(node, _)| nodes_before(facts, returns, *node));
    let is_chain = nodes.windows(2).all(|pair| matches!(pair, [one, next] if one.0 != next.0 && passes(next.0, one.0)));
    let chain: Vec<(LinkAddress, bool)> =
        nodes.iter().map(|(node, returns)| (*returns, events::is_loop(&facts.graph, *node))).collect();
    let (_, first) = chain.split_last()?;
    (is_chain && !first.iter().any(|(_, is_loop)| *is_loop)).then_some(chain)
}

/// How many of the calls all ways to a node pass.
fn nodes_before(facts: &Facts, returns: &[LinkAddress], node: u32) -> usize {
    let calls = returns.iter().filter_map(|returns| facts.graph.call_before(*returns));
    calls.filter(|call| facts.dominators.passes(node, *call)).count()
}

/// One build's function with the copies of a call.
type Copies<'c> = (&'c Build, &'c Facts, &'c [(LinkAddress, bool)]);

/// Whether a variable of one name counts the copies on both sides: it is another number at each, and the same at the k-th as at the k-th.
fn are_numbered((old, from, olds): Copies<'_>, (new, to, news): Copies<'_>) -> bool {
    let count = olds.len().min(news.len());
    let locals = |build: &Build, facts: &Facts, copies: &[(LinkAddress, bool)]| -> Vec<Locals> {
        let each = copies.iter().take(count);
        each.filter_map(|(returns, _)| Locals::at(build, facts.function(), *returns, false).ok()).collect()
    };
    let (olds, news) = (locals(old, from, olds), locals(new, to, news));
    let Some(names) = olds.first().map(Locals::numbered) else { return false };
    count >= 2
        && olds.len() == count
        && news.len() == count
        && names.iter().any(|name| {
            let numbers = |all: &[Locals]| -> Option<Vec<u64>> { all.iter().map(|locals| locals.constant(name)).collect() };
            let (Some(olds), Some(news)) = (numbers(&olds), numbers(&news)) else { return false };
            let mut distinct = olds.clone();
            distinct.sort_unstable();
            distinct.dedup();
            distinct.len() == count && olds == news
        })
}
