//! Where a frame of a changed function goes on in the new build: the call of the new code that stands for the one that the old frame
//! waits in (PROOF 3.1). Made from both builds before the stop; what is not certain is refused, never guessed.

mod align;
mod names;
mod pair;
mod problem;
mod source;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use problem::{Candidate, PointProblem, PointReason};

use crate::plan::address::{NewLink, OldLink};
use crate::plan::compare::pairs::Partner;
use crate::plan::compare::sides::Sides;
use crate::program::build::Build;
use crate::program::code::{CodeImage, FunctionId};
use crate::program::variables::Variables;
use names::Names;

/// Where an old return address leads in the new function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partners {
    /// Here.
    One(NewLink),
    /// The compiler made several calls of the one in the source (split by a condition, unrolled): the one of these whose facts of
    /// position hold for the old values, if exactly one does.
    Several(Vec<NewLink>),
}

impl Partners {
    /// Every return address that it may be.
    pub fn all(&self) -> &[NewLink] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Several(several) => several,
        }
    }
}

/// For every call of every changed function, what it is in the new build.
#[derive(Clone, Debug, Default)]
pub struct Points {
    functions: HashMap<usize, Function>,
}

/// A changed function.
#[derive(Clone, Debug)]
struct Function {
    /// Its position in the new build.
    partner: usize,
    /// By old return address.
    calls: BTreeMap<OldLink, Result<Partners, Box<PointProblem>>>,
}

impl Points {
    /// Pairs the calls of all changed functions. `same` tells of each function of the old build whether its partner's code is the same.
    pub fn new((old, from): (&Build, &CodeImage<'_>), (new, to): (&Build, &CodeImage<'_>), sides: &Sides, same: &[bool]) -> Self {
        let names = Names::new((old, from), (new, to), sides);
        let (mut old_variables, mut new_variables) = (Variables::new(old), Variables::new(new));
        let mut functions = HashMap::new();
        for (index, partner) in partners(&names, from, sides, same) {
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
            let calls = match (old_source, new_source) {
                (Ok(mut old_source), Ok(new_source)) => {
                    names::settle(&mut old_source, &new_source);
                    pair::pair(&old_source, &new_source)
                }
                (Err(error), _) | (_, Err(error)) => {
                    let reason = PointReason::DebugInfo(Arc::new(error));
                    let problem = |call: &source::Call| call.problem(&names.old_name(from, id), "", reason.clone(), Vec::new());
                    let plain = source::calls((old, from), id, |callee| names.old_callee(from, callee));
                    plain.iter().map(|call| (OldLink(call.next), Err(Box::new(problem(call))))).collect()
                }
            };
            functions.insert(index, Function { partner, calls });
        }
        Self { functions }
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

    /// Positions of the changed functions in the old build.
    pub fn functions(&self) -> impl Iterator<Item = usize> {
        self.functions.keys().copied()
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
