//! Where a frame of a changed function goes on in the new build: the call of the new code that stands for the one that the old frame
//! waits in (PROOF 3.1). Made from both builds before the stop; what is not certain is refused, never guessed.

mod align;
mod copies;
mod names;
mod pair;
mod problem;
mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub(super) use copies::exclude_each_other;
pub use pair::Counterpart;
pub use problem::{Candidate, PointProblem, PointReason};

use super::effects::{Impact, Impacts};
use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::pairs::Partner;
use crate::plan::compare::sides::Sides;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::code::{Callee, CodeImage, FunctionId};
use crate::program::flow::Graph;
use crate::program::variables::Variables;
use names::{Key, Names};
use pair::Paired;

/// Where an old return address leads in the new function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partners {
    /// Here.
    One(NewLink),
    /// The compiler made several calls of the one in the source (split by a condition, unrolled): the one of these whose facts of
    /// position hold for the old values, if exactly one does.
    Several(Vec<NewLink>),
    /// Several calls of the old code are one here: the same call of the source, if these exclude each other.
    Shared {
        /// Where the new call comes back to.
        to: NewLink,
        /// Where the old ones come back to.
        copies: Vec<OldLink>,
    },
}

impl Partners {
    /// Every return address that it may be.
    pub fn all(&self) -> &[NewLink] {
        match self {
            Self::One(only) | Self::Shared { to: only, .. } => std::slice::from_ref(only),
            Self::Several(several) => several,
        }
    }
}

/// For every call of every changed function, what it is in the new build.
#[derive(Clone, Debug, Default)]
pub struct Points {
    functions: HashMap<usize, Function>,
    /// The same of functions that frames become besides, because the user says so.
    others: HashMap<(usize, usize), Function>,
    /// What the calls of changed functions leave behind, old and new.
    impacts: Arc<[Impacts; 2]>,
}

/// Nodes of calls that are one call of the source, in the old function and in the new one.
pub(super) type Copies = (Vec<u32>, Vec<u32>);

/// A changed function.
#[derive(Clone, Debug)]
struct Function {
    /// Its position in the new build.
    partner: usize,
    /// By old return address.
    calls: BTreeMap<OldLink, Result<Partners, Box<PointProblem>>>,
    /// Calls that both sources have.
    counterparts: Vec<Counterpart>,
    /// Numbers of what the calls of the old and of the new function go to, by return address; one number on both sides for one callee.
    callees: [BTreeMap<LinkAddress, usize>; 2],
    /// Names by number.
    names: Vec<String>,
}

impl Points {
    /// Pairs the calls of all changed functions. `same` tells of each function of the old build whether its partner's code is the same.
    /// `others` are pairs of functions besides, by their positions.
    pub fn new(
        (old, from): (&Build, &CodeImage<'_>),
        (new, to): (&Build, &CodeImage<'_>),
        (sides, same): (&Sides, &[bool]),
        others: &[(usize, usize)],
    ) -> Self {
        let names = Names::new((old, from), (new, to), sides);
        let (mut old_variables, mut new_variables) = (Variables::new(old), Variables::new(new));
        let mut functions = HashMap::new();
        let own = partners(&names, from, sides, same);
        let mut besides = HashMap::new();
        let others: Vec<(usize, usize)> = others.iter().filter(|pair| !own.contains(pair)).copied().collect();
        for (index, partner) in own.iter().chain(&others).copied() {
            let Some((id, partner_id)) = number(index).zip(number(partner)) else { continue };
            let old_source = source::read(
                (old, from),
                id,
                &mut old_variables,
                |callee| names.old_callee(from, callee),
                |name| names.translated(name),
            );
            let new_source = source::read(
                (new, to),
                partner_id,
                &mut new_variables,
                |callee| names.new_callee(to, callee),
                |name| name.clone(),
            );
            let mut callees = Callees::default();
            let paired = match (old_source, new_source) {
                (Ok(mut old_source), Ok(new_source)) => {
                    names::settle(&mut old_source, &new_source);
                    callees = Callees::of(&old_source, &new_source);
                    pair::pair(&old_source, &new_source)
                }
                (Err(error), _) | (_, Err(error)) => {
                    let reason = PointReason::DebugInfo(Arc::new(error));
                    let problem = |call: &source::Call| call.problem(&names.old_name(from, id), "", reason.clone(), Vec::new());
                    let plain = source::calls((old, from), id, |callee| names.old_callee(from, callee));
                    let calls = plain.iter().map(|call| (OldLink(call.next), Err(Box::new(problem(call))))).collect();
                    Paired { calls, ..Paired::default() }
                }
            };
            let Paired { calls, counterparts } = paired;
            let Callees { numbers, names } = callees;
            let function = Function { partner, calls, counterparts, callees: numbers, names };
            match others.contains(&(index, partner)) {
                true => drop(besides.insert((index, partner), function)),
                false => drop(functions.insert(index, function)),
            }
        }
        let impacts =
            |image: &CodeImage<'_>, functions: Vec<usize>| Impacts::new(image, functions.into_iter().filter_map(number));
        let (mut olds, mut news): (Vec<usize>, Vec<usize>) = own.iter().chain(&others).copied().unzip();
        for list in [&mut olds, &mut news] {
            list.sort_unstable();
            list.dedup();
        }
        Self { impacts: Arc::new([impacts(from, olds), impacts(to, news)]), functions, others: besides }
    }

    /// The calls of `old` as those of a function that it becomes besides its partner; `None` for its partner, and for any other function.
    pub fn besides(&self, old: usize, new: usize) -> Option<Self> {
        let function = self.others.get(&(old, new))?.clone();
        Some(Self { functions: HashMap::from([(old, function)]), others: HashMap::new(), impacts: Arc::clone(&self.impacts) })
    }

    /// All pairs of functions, by their positions in both builds.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let own = self.functions.iter().map(|(old, function)| (*old, function.partner));
        own.chain(self.others.keys().copied())
    }

    /// What the changed function `old` (a position in the old build) is in the new one: its partner, or where that is gone the only
    /// copy of the same source function that the compiler specialised.
    pub fn function(&self, old: usize) -> Option<usize> {
        self.functions.get(&old).map(|function| function.partner)
    }

    /// Where a frame of the changed function `old` that is come back to at `returns` goes on.
    ///
    /// # Errors
    /// Why that is not certain.
    pub fn partner(&self, old: usize, returns: OldLink) -> Result<&Partners, Box<PointProblem>> {
        let Some(function) = self.functions.get(&old) else {
            return Err(Box::new(PointProblem::unknown(PointReason::NoFunction)));
        };
        match function.calls.get(&returns) {
            Some(found) => found.as_ref().map_err(Clone::clone),
            None => Err(Box::new(PointProblem::unknown(PointReason::NoCallThere { returns }))),
        }
    }

    /// The calls of the changed function `old` by return address.
    pub fn calls(&self, old: usize) -> impl Iterator<Item = (OldLink, Result<&Partners, &PointProblem>)> {
        let calls = self.functions.get(&old).into_iter().flat_map(|function| &function.calls);
        calls.map(|(returns, found)| (*returns, found.as_ref().map_err(|problem| &**problem)))
    }

    /// All calls that are the call of the source at a pair of points, these included; none where what became of it is not known.
    pub(super) fn copies(&self, function: usize, old: (&Graph, OldLink), new: (&Graph, NewLink)) -> Copies {
        let is_it = |pair: &&Counterpart| pair.old.returns.contains(&old.1.0) && pair.new.returns.contains(&new.1.0);
        let mut found = self.counterparts(function).iter().filter(is_it);
        let Some(pair) = found.next().filter(|_| found.next().is_none()) else { return Copies::default() };
        let is_called = pair.old.ranges.is_empty() && pair.new.ranges.is_empty();
        let nodes = |graph: &Graph, place: &pair::Place| -> Option<Vec<u32>> {
            place.returns.iter().map(|returns| graph.call_before(*returns)).collect()
        };
        nodes(old.0, &pair.old).zip(nodes(new.0, &pair.new)).filter(|_| is_called).unwrap_or_default()
    }

    /// Calls that the sources of the changed function `old` and its partner both have.
    pub fn counterparts(&self, old: usize) -> &[Counterpart] {
        self.functions.get(&old).map_or(&[], |function| &function.counterparts)
    }

    /// Number and name of what the call of the changed function `old` goes to that returns to an address; the same number for the same
    /// callee on both sides.
    pub fn old_callee(&self, old: usize, returns: LinkAddress) -> Option<(usize, &str)> {
        self.functions.get(&old)?.callee(0, returns)
    }

    /// The same for a call of its partner.
    pub fn new_callee(&self, old: usize, returns: LinkAddress) -> Option<(usize, &str)> {
        self.functions.get(&old)?.callee(1, returns)
    }

    /// What a call of a changed function of the old build leaves behind.
    pub fn old_impact(&self, callee: Callee) -> Impact {
        self.impacts[0].of(callee)
    }

    /// The same for the new build.
    pub fn impact(&self, callee: Callee) -> Impact {
        self.impacts[1].of(callee)
    }

    /// Positions of the changed functions in the old build.
    pub fn functions(&self) -> impl Iterator<Item = usize> {
        self.functions.keys().copied()
    }
}

impl Function {
    fn callee(&self, side: usize, returns: LinkAddress) -> Option<(usize, &str)> {
        let number = *self.callees.get(side)?.get(&returns)?;
        Some((number, self.names.get(number)?))
    }
}

/// What the calls of two functions go to.
#[derive(Default)]
struct Callees {
    numbers: [BTreeMap<LinkAddress, usize>; 2],
    names: Vec<String>,
}

impl Callees {
    fn of(old: &source::Source, new: &source::Source) -> Self {
        let mut found = Self::default();
        let mut known: HashMap<&Key, usize> = HashMap::new();
        for (source, numbers) in [old, new].into_iter().zip(&mut found.numbers) {
            source.scope.visit(&mut |item| {
                for call in &item.calls {
                    let fresh = known.len();
                    let number = *known.entry(&call.key).or_insert(fresh);
                    if number == fresh && number == found.names.len() {
                        found.names.push(call.key.name());
                    }
                    numbers.insert(call.next, number);
                }
            });
        }
        found
    }
}

fn number(index: usize) -> Option<FunctionId> {
    u32::try_from(index).ok().map(FunctionId)
}

/// Changed functions with what they are in the new build.
fn partners(names: &Names, from: &CodeImage<'_>, sides: &Sides, same: &[bool]) -> Vec<(usize, usize)> {
    let taken: BTreeSet<usize> = sides.functions.iter().filter_map(Partner::one).collect();
    let mut found = Vec::new();
    for (index, partner) in sides.functions.iter().enumerate() {
        match partner {
            Partner::One(partner) if !same.get(index).copied().unwrap_or(false) => found.push((index, *partner)),
            Partner::Gone => {
                let clone = number(index).and_then(|id| names.only_copy(from, id)).filter(|clone| !taken.contains(clone));
                found.extend(clone.map(|clone| (index, clone)));
            }
            _ => {}
        }
    }
    found
}
