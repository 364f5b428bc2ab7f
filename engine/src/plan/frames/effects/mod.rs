//! Effects on the way to a point (PROOF 3.7): what the new code relies on having done before it and the old code never did, and what the
//! old code has done and the new code would do again behind it.

mod impact;
#[cfg(test)]
mod tests;
mod ways;

use std::collections::BTreeSet;

use super::correspond::{Correspondence, Side};
use super::events::{self, Store};
use super::lockstep::Linear;
use super::passings;
use super::points::Points;
use crate::plan::address::NewLink;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::code::Callee;
use crate::program::flow::{Graph, Term, ValueId, Values};
pub use impact::{Impact, Impacts};
use ways::Ways;

/// How what would be had twice is told.
const HAD: &str = "the old code has ";

/// What stands against a point because of effects, and what is to be told.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) problems: Vec<Effect>,
    pub(super) warnings: Vec<String>,
}

/// An effect of the new code that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    /// The instruction of the new code that has it.
    pub(super) at: NewLink,
    /// What is the matter.
    pub(super) reason: String,
    /// Whether the old code has had it already, and the new code would have it again.
    pub(super) again: bool,
}

/// Checks effects at a pair of points of the changed function `function`; `at` are the nodes of the
/// paired calls, or of the next instructions.
pub(super) fn effects(
    correspondence: &mut Correspondence<'_, '_>,
    (view, points): (View<'_>, &Points),
    function: usize,
    at: (u32, u32),
) -> Effects {
    let between = (correspondence.old.between, correspondence.new.between);
    let ways = |side: &mut Side<'_, '_>, at: u32, between: bool| {
        let copies = if passings::are_copies(side.values, &side.copies) { side.copies.as_slice() } else { &[] };
        Ways::new(side.values.function().graph, side.dominators, (at, copies), between)
    };
    let ways = (ways(&mut correspondence.old, at.0, between.0), ways(&mut correspondence.new, at.1, between.1));
    let mut check = Check { correspondence, view, points, function, ways, found: Effects::default() };
    check.skipped();
    check.repeated();
    check.found
}

struct Check<'c, 'g, 'a> {
    correspondence: &'c mut Correspondence<'a, 'g>,
    view: View<'c>,
    points: &'c Points,
    function: usize,
    ways: (Ways, Ways),
    found: Effects,
}

/// What an instruction does to what others may read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Call(Callee),
    Store,
}

impl<'g> Check<'_, 'g, '_> {
    /// Effects of the new code on its ways from the entry to the point without a counterpart on the old code's ways.
    fn skipped(&mut self) {
        let olds: Vec<(u32, Kind)> = effects_of(&mut self.correspondence.old, &self.ways.0.ahead);
        let news: Vec<(u32, Kind)> = effects_of(&mut self.correspondence.new, &self.ways.1.ahead);
        for (node, kind) in news {
            let impact = match kind {
                Kind::Call(callee) => self.points.impact(callee),
                Kind::Store => Impact::Memory,
            };
            if impact == Impact::None {
                continue;
            }
            let counterparts = self.counterparts(node, kind, &olds);
            let ran: Vec<u32> = counterparts.iter().copied().filter(|old| self.ways.0.is_ahead(*old)).collect();
            let what = self.described(node, kind);
            if ran.is_empty() {
                let again = if self.ways.1.is_round(node) { " in this round" } else { "" };
                self.tell(node, impact, format!("the new code has {what} when it comes here, and the old code has not{again}"));
            } else if self.always(node) && !self.ways.0.passes_one(self.correspondence.old.values.function().graph, &ran) {
                self.tell(
                    node,
                    impact,
                    format!("the new code has always {what} when it comes here, and the old code not always"),
                );
            }
        }
    }

    /// Effects that the old code has had on its way to the point and that the new code has behind it.
    fn repeated(&mut self) {
        let olds = effects_of(&mut self.correspondence.old, &self.ways.0.ahead);
        let behind: Vec<u32> = self.ways.1.behind.difference(&self.ways.1.ahead).copied().collect();
        let news = effects_of(&mut self.correspondence.new, &behind.into_iter().collect());
        for (node, kind) in olds {
            let again = match kind {
                Kind::Call(callee) if self.points.old_impact(callee) == Impact::None => continue,
                Kind::Call(_) => self.called_again(node, &news),
                Kind::Store => self.updated_again(node, &news),
            };
            if let Some(new) = again {
                let what = self.described(new, if matches!(kind, Kind::Store) { Kind::Store } else { kind });
                let at = self.line(true, node);
                self.tell(new, Impact::Memory, format!("{HAD}{what} already{at}, and the new code does so behind the point"));
            }
        }
    }

    /// The nodes of the old code that are what an effect of the new code is.
    fn counterparts(&mut self, node: u32, kind: Kind, olds: &[(u32, Kind)]) -> Vec<u32> {
        let (old_graph, new_graph) = self.graphs();
        let Some(new) = new_graph.node(node) else { return Vec::new() };
        let mut found = Vec::new();
        for counterpart in self.points.counterparts(self.function) {
            if counterpart.new.holds(new.address(), new.behind()) {
                found.extend(counterpart.old.returns.iter().filter_map(|returns| old_graph.call_before(*returns)));
                let inlined = (0u32..).zip(old_graph.nodes()).filter(|(_, old)| counterpart.old.is_inlined(old.address()));
                found.extend(inlined.map(|(index, _)| index));
            }
        }
        if matches!(kind, Kind::Store) {
            let stores = olds.iter().filter(|(_, kind)| matches!(kind, Kind::Store)).map(|(old, _)| *old);
            let looped = events::is_loop(new_graph, node);
            let same = stores.filter(|old| {
                let carried = looped || events::is_loop(old_graph, *old);
                same_store(self.correspondence, *old, node, carried)
            });
            let same: Vec<u32> = same.collect();
            found.extend(same);
        }
        found
    }

    /// A call behind the new point that is, or may be, the old one.
    fn called_again(&mut self, old: u32, news: &[(u32, Kind)]) -> Option<u32> {
        let (old_graph, new_graph) = self.graphs();
        let call = old_graph.node(old)?;
        let partners: Vec<&super::points::Counterpart> =
            self.points.counterparts(self.function).iter().filter(|pair| pair.old.holds(call.address(), call.behind())).collect();
        let is_call = |kind: &Kind| matches!(kind, Kind::Call(_));
        if partners.is_empty() {
            // What nothing pairs may be any call of the same function that nothing pairs.
            let callee = self.points.old_callee(self.function, call.behind())?.0;
            let alone = |returns: LinkAddress| {
                !self.points.counterparts(self.function).iter().any(|pair| pair.new.returns.contains(&returns))
            };
            let fits = |node: u32| {
                let returns = new_graph.node(node).map(crate::program::flow::Node::behind);
                returns.is_some_and(|returns| {
                    self.points.new_callee(self.function, returns).is_some_and(|(other, _)| other == callee) && alone(returns)
                })
            };
            let again = news.iter().find(|(node, kind)| is_call(kind) && fits(*node)).map(|(node, _)| *node);
            return again.filter(|_| !self.is_made_ahead(old, callee));
        }
        let is_partner = |node: u32| {
            let new = new_graph.node(node);
            new.is_some_and(|new| partners.iter().any(|pair| pair.new.holds(new.address(), new.behind())))
        };
        if self.ways.1.ahead.iter().any(|node| is_partner(*node)) {
            return None;
        }
        news.iter().find(|(node, kind)| is_call(kind) && is_partner(*node)).map(|(node, _)| *node)
    }

    /// Whether a call that nothing pairs is one that the new code always makes, with the same arguments, before it comes to the point: of
    /// calls of this function that nothing pairs, each code makes one before.
    fn is_made_ahead(&mut self, old: u32, callee: usize) -> bool {
        let graphs = self.graphs();
        let own = |graph: &Graph, node: u32| graph.node(node).map(crate::program::flow::Node::behind);
        let points = self.points;
        let pairs = points.counterparts(self.function);
        let is_one = |is_old: bool, node: u32| {
            let graph = if is_old { graphs.0 } else { graphs.1 };
            let Some(returns) = own(graph, node) else { return false };
            let found =
                if is_old { points.old_callee(self.function, returns) } else { points.new_callee(self.function, returns) };
            let sides = |pair: &super::points::Counterpart| if is_old { pair.old.clone() } else { pair.new.clone() };
            found.is_some_and(|(number, _)| number == callee) && !pairs.iter().any(|pair| sides(pair).returns.contains(&returns))
        };
        let olds: Vec<u32> = self.ways.0.ahead.iter().copied().filter(|node| is_one(true, *node)).collect();
        let news: Vec<u32> = self.ways.1.ahead.iter().copied().filter(|node| is_one(false, *node)).collect();
        let ([only], [new]) = (olds.as_slice(), news.as_slice()) else { return false };
        *only == old
            && !events::is_loop(graphs.0, old)
            && !events::is_loop(graphs.1, *new)
            && self.always(*new)
            && self.correspondence.old.dominators.passes(self.ways.0.point, old)
            && self.correspondence.same_given(old, *new)
    }

    /// A change of memory behind the new point that the old code has made already: what is added twice is wrong, what is stored twice is not.
    fn updated_again(&mut self, old: u32, news: &[(u32, Kind)]) -> Option<u32> {
        if !is_update(self.correspondence.old.values, old) {
            return None;
        }
        let ahead: Vec<u32> = self.ways.1.ahead.iter().copied().collect();
        let same = |check: &mut Self, new: u32| is_same_place(check.correspondence, old, new);
        if ahead.into_iter().any(|new| same(self, new)) {
            return None;
        }
        let stores: Vec<u32> = news.iter().filter(|(_, kind)| matches!(kind, Kind::Store)).map(|(node, _)| *node).collect();
        stores.into_iter().find(|new| is_update(self.correspondence.new.values, *new) && same(self, *new))
    }

    /// Whether every way to the new point passes a node.
    fn always(&self, node: u32) -> bool {
        self.correspondence.new.dominators.passes(self.ways.1.point, node)
    }

    fn graphs(&self) -> (&'g Graph, &'g Graph) {
        (self.correspondence.old.values.function().graph, self.correspondence.new.values.function().graph)
    }

    /// What an effect of the new code is, in words.
    fn described(&self, node: u32, kind: Kind) -> String {
        let at = self.line(false, node);
        match kind {
            Kind::Store => format!("stored to memory{at}"),
            Kind::Call(_) => {
                let returns = self.graphs().1.node(node).map(crate::program::flow::Node::behind);
                match returns.and_then(|returns| self.points.new_callee(self.function, returns)) {
                    Some((_, name)) if !name.contains(' ') => format!("called `{name}`{at}"),
                    Some((_, name)) => format!("called {name}{at}"),
                    None => format!("made a call{at}"),
                }
            }
        }
    }

    fn line(&self, old: bool, node: u32) -> String {
        let graphs = self.graphs();
        let (graph, build) = if old { (graphs.0, self.view.old) } else { (graphs.1, self.view.new) };
        let line = graph.node(node).and_then(|node| build.line_at(node.address()));
        line.map(|(file, line)| format!(" at {file}:{line}")).unwrap_or_default()
    }

    fn tell(&mut self, node: u32, impact: Impact, reason: String) {
        match (impact, self.graphs().1.node(node).map(crate::program::flow::Node::address)) {
            (Impact::Memory, Some(at)) => {
                self.found.problems.push(Effect { at: NewLink(at), again: reason.starts_with(HAD), reason })
            }
            _ => self.found.warnings.push(reason),
        }
    }
}

/// Those of `nodes` that others can see: calls, and stores elsewhere than in the frame.
pub(super) fn effects_of(side: &mut Side<'_, '_>, nodes: &BTreeSet<u32>) -> Vec<(u32, Kind)> {
    let mut found = Vec::new();
    for node in nodes {
        let Some(own) = side.values.function().graph.node(*node) else { continue };
        if let Some(callee) = own.call.filter(|_| own.is_call()) {
            found.push((*node, Kind::Call(callee)));
        } else if events::writes_memory(side.values.function(), *node) && !is_in_frame(side.values, *node) {
            found.push((*node, Kind::Store));
        }
    }
    found
}

/// Whether a store is into the function's own frame, which is explained variable by variable.
fn is_in_frame(values: &mut Values<'_>, node: u32) -> bool {
    let graph = values.function().graph;
    let Some(instruction) = graph.node(node).map(|node| node.instruction) else { return false };
    if values.function().frame_operand(node, &instruction).is_some() || values.fill_of_frame(node, &instruction).is_some() {
        return true;
    }
    let Some(address) = values.address_at(node) else { return false };
    match values.node(address).clone() {
        Term::Frame(_) => true,
        Term::Sum { terms, .. } => {
            terms.iter().any(|(term, factor)| *factor == 1 && matches!(values.node(*term), Term::Frame(0)))
                || Linear::of(values, address, 64).is_some_and(|sum| sum.in_frame().is_some())
        }
        Term::Choice { .. } => Linear::of(values, address, 64).is_some_and(|sum| sum.in_frame().is_some()),
        _ => false,
    }
}

/// Whether two stores are of the same value to the same place, or are the same instruction with the same operands.
pub(super) fn same_store(correspondence: &mut Correspondence<'_, '_>, old: u32, new: u32, carried: bool) -> bool {
    if correspondence.same_effect(old, new, carried) || is_same_update(correspondence, old, new, carried) {
        return true;
    }
    let understood =
        events::store(correspondence.old.values, old).is_some() || events::store(correspondence.new.values, new).is_some();
    !understood && same_operands(correspondence, old, new)
}

/// Whether two instructions add the same to what is at the same place: what that is does not matter, it is the old program's.
fn is_same_update(correspondence: &mut Correspondence<'_, '_>, old: u32, new: u32, carried: bool) -> bool {
    let (Some((from, one)), Some((to, other))) = (added(correspondence.old.values, old), added(correspondence.new.values, new))
    else {
        return false;
    };
    from.bytes == to.bytes
        && one.1 == other.1
        && one.0.len() == other.0.len()
        && correspondence.is_place(from.address, to.address, from.bytes, carried)
        && one.0.iter().zip(&other.0).all(|(one, other)| one.1 == other.1 && correspondence.same_at(one.0, other.0, carried))
}

/// Terms with their factors, and a number.
type Added = (Vec<(ValueId, i64)>, i64);

/// The store that an instruction is which adds to what is in memory, with the terms and the number that it adds.
fn added(values: &mut Values<'_>, node: u32) -> Option<(Store, Added)> {
    let store = events::store(values, node)?;
    let mut value = values.resolve(store.value);
    while let Term::Extend { from, of, .. } = values.node(value)
        && u32::from(*from) >= u32::from(store.bytes) * 8
    {
        value = values.resolve(*of);
    }
    let Term::Sum { terms, constant, .. } = values.node(value) else { return None };
    let is_own = |term: &(ValueId, i64)| {
        term.1 == 1
            && matches!(values.node(term.0), Term::Load { at, address, bytes }
                if *at == node && *bytes == store.bytes && values.resolve(*address) == values.resolve(store.address))
    };
    let own = terms.iter().position(is_own)?;
    let rest = terms.iter().enumerate().filter(|(index, _)| *index != own).map(|(_, term)| *term).collect();
    Some((store, (rest, *constant)))
}

/// Whether instructions are the same and read the same: those that are not taken apart.
fn same_operands(correspondence: &mut Correspondence<'_, '_>, old: u32, new: u32) -> bool {
    let instruction = |side: &Side<'_, '_>, node: u32| side.values.function().graph.node(node).map(|node| node.instruction);
    let (Some(from), Some(to)) = (instruction(&correspondence.old, old), instruction(&correspondence.new, new)) else {
        return false;
    };
    if from.code() != to.code() {
        return false;
    }
    let (olds, news) = (ways::read(correspondence.old.values, old), ways::read(correspondence.new.values, new));
    let (Some(olds), Some(news)) = (olds, news) else { return false };
    olds.len() == news.len() && olds.iter().zip(&news).all(|(old, new)| correspondence.same(*old, *new))
}

/// Whether a store makes a new value of the one that is there.
fn is_update(values: &mut Values<'_>, node: u32) -> bool {
    let Some(Store { address, value, .. }) = events::store(values, node) else {
        // What is not understood may be one.
        return events::writes_memory(values.function(), node);
    };
    depends(values, value, address, 8)
}

/// Whether a value is made of what is at an address.
fn depends(values: &Values<'_>, value: ValueId, address: ValueId, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return true };
    let inner: Vec<ValueId> = match values.node(value) {
        Term::Load { address: read, .. } => return values.resolve(*read) == values.resolve(address),
        Term::Sum { terms, .. } => terms.iter().map(|(term, _)| *term).collect(),
        Term::Extend { of, .. } | Term::Part { of, .. } => vec![*of],
        Term::Binary { left, right, .. } => vec![*left, *right],
        Term::Pure { operands, .. } => operands.clone(),
        Term::Choice { .. } => values.inputs(value),
        _ => return false,
    };
    inner.into_iter().any(|inner| depends(values, inner, address, depth))
}

/// Whether two stores are to the same place.
pub(super) fn is_same_place(correspondence: &mut Correspondence<'_, '_>, old: u32, new: u32) -> bool {
    let place = |side: &mut Side<'_, '_>, node: u32| {
        let is_store = events::writes_memory(side.values.function(), node);
        let address = if is_store { side.values.address_at(node) } else { None };
        let bytes = events::written_at(side.values, node).map_or(1, |(_, bytes)| bytes);
        address.map(|address| (address, bytes))
    };
    let (from, to) = (place(&mut correspondence.old, old), place(&mut correspondence.new, new));
    match (from, to) {
        (Some((from, bytes)), Some((to, other))) => correspondence.is_place(from, to, bytes.min(other), false),
        _ => false,
    }
}
