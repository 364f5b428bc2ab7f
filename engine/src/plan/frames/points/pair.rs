//! Pairs the calls of two functions, scope by scope.

use std::collections::BTreeMap;

use super::Partners;
use super::align::{Entry, Matched, align};
use super::names::Key;
use super::problem::{Candidate, PointProblem, PointReason};
use super::source::{Call, Item, Scope, Source};
use crate::plan::address::{NewLink, OldLink};
use crate::program::address::LinkAddress;

/// For each old return address where it leads.
pub(super) type Calls = BTreeMap<OldLink, Result<Partners, Box<PointProblem>>>;

/// One call of both sources, as the machine code has it on each side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counterpart {
    /// Of the old build.
    pub old: Place,
    /// Of the new one.
    pub new: Place,
}

/// What became of one call of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Return addresses of the calls.
    pub returns: Vec<LinkAddress>,
    /// Code as (start, end) where it was inlined on this side only.
    pub ranges: Vec<(u64, u64)>,
}

impl Place {
    /// Whether the instruction at `address`, which ends at `behind`, is one of the calls or in what was inlined.
    pub fn holds(&self, address: LinkAddress, behind: LinkAddress) -> bool {
        self.returns.contains(&behind) || self.is_inlined(address)
    }

    /// Whether the code at `address` is in what was inlined.
    pub fn is_inlined(&self, address: LinkAddress) -> bool {
        self.ranges.iter().any(|(start, end)| (*start..*end).contains(&address.0))
    }
}

/// What pairing two functions finds.
#[derive(Debug, Default)]
pub(super) struct Paired {
    pub(super) calls: Calls,
    pub(super) counterparts: Vec<Counterpart>,
}

/// Pairs the calls of two functions.
pub(super) fn pair(old: &Source, new: &Source) -> Paired {
    let mut pairing = Pairing { old, new, path: Vec::new(), found: Paired::default() };
    pairing.scope(&old.scope, &new.scope);
    pairing.found
}

struct Pairing<'s> {
    old: &'s Source,
    new: &'s Source,
    /// Inlined functions around the present scope of the old function, outermost first.
    path: Vec<String>,
    found: Paired,
}

impl<'s> Pairing<'s> {
    fn scope(&mut self, old: &'s Scope, new: &'s Scope) {
        let matched = align(&entries(old), &entries(new));
        for (item, matched) in old.items.iter().zip(matched) {
            match matched {
                Matched::One(index) => {
                    if let Some(partner) = new.items.get(index) {
                        self.item(item, partner);
                    }
                }
                Matched::None => self.refuse(item, &PointReason::NoCall, |inlined| PointReason::NoScope { inlined }),
                Matched::Ambiguous { old, new } => {
                    self.refuse(item, &PointReason::Ambiguous { old, new }, |inlined| PointReason::Scope { inlined, old, new });
                }
            }
        }
    }

    fn item(&mut self, old: &'s Item, new: &'s Item) {
        let both_inlined = old.scopes.len() == 1 && new.scopes.len() == 1;
        self.found.counterparts.push(Counterpart { old: old.place(both_inlined), new: new.place(both_inlined) });
        let returning: Vec<&Call> = old.calls.iter().filter(|call| !call.is_tail).collect();
        match outcome(returning.len(), new) {
            Ok(partners) => {
                self.found.calls.extend(returning.iter().map(|call| (OldLink(call.next), Ok(partners.clone()))));
            }
            Err(reason) => returning.iter().for_each(|call| self.problem(call, reason.clone())),
        }
        match (&old.scopes[..], &new.scopes[..]) {
            ([], _) => {}
            ([old_scope], [new_scope]) => self.within(old.key.name(), |pairing| pairing.scope(old_scope, new_scope)),
            (scopes, []) => {
                let reason = PointReason::NotInlined { inlined: old.key.name() };
                scopes.iter().for_each(|scope| self.refuse_scope(old, scope, &reason));
            }
            (scopes, others) => {
                let reason = PointReason::Scope { inlined: old.key.name(), old: scopes.len(), new: others.len() };
                scopes.iter().for_each(|scope| self.refuse_scope(old, scope, &reason));
            }
        }
    }

    /// Refuses every call of an item: its own for one reason, those of what was inlined for another.
    fn refuse(&mut self, item: &Item, reason: &PointReason, inner: impl Fn(String) -> PointReason) {
        item.calls.iter().filter(|call| !call.is_tail).for_each(|call| self.problem(call, reason.clone()));
        let reason = inner(item.key.name());
        item.scopes.iter().for_each(|scope| self.refuse_scope(item, scope, &reason));
    }

    fn refuse_scope(&mut self, around: &Item, scope: &Scope, reason: &PointReason) {
        self.within(around.key.name(), |pairing| {
            for item in &scope.items {
                item.calls.iter().filter(|call| !call.is_tail).for_each(|call| pairing.problem(call, reason.clone()));
                item.scopes.iter().for_each(|scope| pairing.refuse_scope(item, scope, reason));
            }
        });
    }

    fn within(&mut self, name: String, run: impl FnOnce(&mut Self)) {
        self.path.push(name);
        run(self);
        self.path.pop();
    }

    fn problem(&mut self, call: &Call, reason: PointReason) {
        let mut candidates = Vec::new();
        candidates_in(&self.new.scope, &call.key, &mut Vec::new(), &mut candidates);
        let mut problem = call.problem(&self.old.name, &call.key.name(), reason, candidates);
        problem.scope.clone_from(&self.path);
        self.found.calls.insert(OldLink(call.next), Err(Box::new(problem)));
    }
}

/// What `count` machine calls of one call in the old source become.
fn outcome(count: usize, new: &Item) -> Result<Partners, PointReason> {
    let returning: Vec<NewLink> = new.calls.iter().filter(|call| !call.is_tail).map(|call| NewLink(call.next)).collect();
    let is_whole = returning.len() == new.calls.len() && new.scopes.is_empty();
    match (count, &returning[..]) {
        (_, []) if new.calls.iter().any(|call| call.is_tail) => Err(PointReason::TailCall),
        (_, []) if !new.scopes.is_empty() => Err(PointReason::Inlined),
        (_, []) => Err(PointReason::NoCall),
        (0 | 1, [only]) if is_whole => Ok(Partners::One(*only)),
        (0 | 1, _) => Ok(Partners::Several(returning)),
        // Copies of one call, or the calls of a macro, whose lines are all the same: not told apart here.
        (old, [_]) => Err(PointReason::Joined { old }),
        (_, _) => Ok(Partners::Several(returning)),
    }
}

fn entries(scope: &Scope) -> Vec<Entry<'_, Key>> {
    scope.items.iter().map(|item| Entry { key: &item.key, is_placed: item.place.is_some() }).collect()
}

fn candidates_in(scope: &Scope, key: &Key, path: &mut Vec<String>, found: &mut Vec<Candidate>) {
    for item in &scope.items {
        if item.key == *key {
            let returning = item.calls.iter().filter(|call| !call.is_tail);
            found.extend(returning.map(|call| Candidate { returns: NewLink(call.next), line: call.line(), scope: path.clone() }));
        }
        path.push(item.key.name());
        item.scopes.iter().for_each(|scope| candidates_in(scope, key, path, found));
        path.pop();
    }
}

impl Item {
    /// Where it is in the code; what both sides inlined is paired call by call.
    fn place(&self, both_inlined: bool) -> Place {
        let scopes = if both_inlined { &[][..] } else { &self.scopes };
        Place {
            returns: self.calls.iter().filter(|call| !call.is_tail).map(|call| call.next).collect(),
            ranges: scopes.iter().flat_map(|scope| scope.ranges.iter().copied()).collect(),
        }
    }
}

impl Call {
    fn line(&self) -> Option<(String, u64)> {
        self.position.as_ref().map(|position| (position.file.clone(), position.line))
    }

    /// Why it has no certain partner.
    pub(super) fn problem(&self, function: &str, callee: &str, reason: PointReason, candidates: Vec<Candidate>) -> PointProblem {
        let (function, callee) = (function.to_owned(), callee.to_owned());
        PointProblem { function, line: self.line(), scope: Vec::new(), callee, reason, candidates }
    }
}
