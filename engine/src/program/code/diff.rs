//! The whole program: what became of every function.

use std::collections::HashMap;

use super::compare::{Comparer, Comparison, Difference, Pairing};
use super::functions::FunctionId;
use super::image::CodeImage;
use super::pair::{self, Partner};
use crate::program::address::LinkAddress;

/// Which variables are paired; functions are paired here.
pub trait ObjectPairing: Sync {
    /// Whether the variables that start at these addresses are paired.
    fn same_object(&self, old: LinkAddress, new: LinkAddress) -> bool;

    /// Whether the thread-local variables at these offsets of the TLS blocks are paired.
    fn same_thread_local(&self, old: u64, new: u64) -> bool;
}

/// What became of a function of the old build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is this function now.
    Paired {
        /// In the new build.
        new: FunctionId,
        /// How the code compares.
        comparison: Comparison,
    },
    /// It is one of these, or none of them: neither name nor content tells.
    Ambiguous(Vec<FunctionId>),
    /// The new build has nothing of its name.
    Removed,
}

impl Fate {
    /// Whether it lives on with the same code.
    pub fn is_same(&self) -> bool {
        matches!(self, Fate::Paired { comparison, .. } if comparison.is_same())
    }

    /// Its partner.
    pub fn partner(&self) -> Option<FunctionId> {
        match self {
            Fate::Paired { new, .. } => Some(*new),
            Fate::Ambiguous(_) | Fate::Removed => None,
        }
    }
}

/// What became of every function, and which are new.
#[derive(Debug)]
pub struct FunctionDiff {
    fates: Vec<Fate>,
    added: Vec<FunctionId>,
}

impl FunctionDiff {
    /// Pairs and compares all functions of two builds, on two threads.
    pub fn new(old: &CodeImage<'_>, new: &CodeImage<'_>, objects: &dyn ObjectPairing) -> Self {
        Self::with_pairs(old, new, objects, &[])
    }

    /// As [`Self::new`], with pairs of function entries that the user gave; `None`: no partner.
    pub fn with_pairs(
        old: &CodeImage<'_>,
        new: &CodeImage<'_>,
        objects: &dyn ObjectPairing,
        given: &[(LinkAddress, Option<LinkAddress>)],
    ) -> Self {
        let mut partners = pair::pair(old.inventory(), new.inventory());
        for (from, to) in given {
            match to {
                Some(to) => force(&mut partners, old.inventory().entered_at(*from), new.inventory().entered_at(*to)),
                None => part(&mut partners, old.inventory().entered_at(*from)),
            }
        }
        by_content(old, new, objects, &mut partners);
        let pairing = Paired::new(old, new, objects, &partners);
        let comparer = Comparer::new(old, new, &pairing);
        let fates = compare_all(&comparer, &partners);
        let mut is_new = vec![true; new.inventory().len()];
        for partner in partners.iter().filter_map(one) {
            if let Some(slot) = is_new.get_mut(partner.0 as usize) {
                *slot = false;
            }
        }
        let added = new.inventory().iter().map(|(id, _)| id).filter(|id| is_new.get(id.0 as usize) == Some(&true)).collect();
        Self { fates, added }
    }

    /// What became of a function of the old build.
    pub fn fate(&self, old: FunctionId) -> Option<&Fate> {
        self.fates.get(old.0 as usize)
    }

    /// All functions of the old build with their fates, by entry address.
    pub fn iter(&self) -> impl Iterator<Item = (FunctionId, &Fate)> {
        self.fates.iter().enumerate().map(|(index, fate)| (FunctionId(index as u32), fate))
    }

    /// Functions of the new build that are no partner of any.
    pub fn added(&self) -> &[FunctionId] {
        &self.added
    }
}

fn force(partners: &mut [Partner], from: Option<FunctionId>, to: Option<FunctionId>) {
    let (Some(from), Some(to)) = (from, to) else { return };
    for partner in partners.iter_mut() {
        match partner {
            Partner::One(known) if *known == to => *partner = Partner::None,
            Partner::Unclear(candidates) => candidates.retain(|candidate| *candidate != to),
            _ => {}
        }
    }
    if let Some(partner) = partners.get_mut(from.0 as usize) {
        *partner = Partner::One(to);
    }
}

/// Takes a function's partner away.
fn part(partners: &mut [Partner], from: Option<FunctionId>) {
    if let Some(partner) = from.and_then(|from| partners.get_mut(from.0 as usize)) {
        *partner = Partner::None;
    }
}

/// Pairs what names leave open where exactly one candidate has the same code, and only for this one; until nothing changes, since callers
/// of clones become equal once the clones are paired.
fn by_content(old: &CodeImage<'_>, new: &CodeImage<'_>, objects: &dyn ObjectPairing, partners: &mut [Partner]) {
    loop {
        let found = {
            let pairing = Paired::new(old, new, objects, partners);
            let comparer = Comparer::new(old, new, &pairing);
            equal_pairs(&comparer, partners)
        };
        if found.is_empty() {
            return;
        }
        for (from, to) in found {
            force(partners, Some(from), Some(to));
        }
    }
}

fn equal_pairs(comparer: &Comparer<'_>, partners: &[Partner]) -> Vec<(FunctionId, FunctionId)> {
    let mut forth: HashMap<FunctionId, Vec<FunctionId>> = HashMap::new();
    let mut back: HashMap<FunctionId, u32> = HashMap::new();
    for (index, partner) in partners.iter().enumerate() {
        let Partner::Unclear(candidates) = partner else { continue };
        let from = FunctionId(index as u32);
        for &to in candidates.iter().filter(|to| comparer.compare(from, **to) == Comparison::Same) {
            forth.entry(from).or_default().push(to);
            *back.entry(to).or_default() += 1;
        }
    }
    let unique = forth.into_iter().filter_map(|(from, to)| match to[..] {
        [to] if back.get(&to) == Some(&1) => Some((from, to)),
        _ => None,
    });
    unique.collect()
}

fn one(partner: &Partner) -> Option<FunctionId> {
    match partner {
        Partner::One(id) => Some(*id),
        Partner::Unclear(_) | Partner::Split(_) | Partner::None => None,
    }
}

fn compare_all(comparer: &Comparer<'_>, partners: &[Partner]) -> Vec<Fate> {
    let run = |first: usize, partners: &[Partner]| -> Vec<Fate> {
        let numbered = partners.iter().enumerate();
        numbered.map(|(index, partner)| fate(comparer, FunctionId((first + index) as u32), partner)).collect()
    };
    let middle = partners.len() / 2;
    let (lower, upper) = partners.split_at(middle);
    std::thread::scope(|scope| {
        let later = scope.spawn(|| run(middle, upper));
        let mut fates = run(0, lower);
        match later.join() {
            Ok(rest) => fates.extend(rest),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        fates
    })
}

fn fate(comparer: &Comparer<'_>, old: FunctionId, partner: &Partner) -> Fate {
    match partner {
        Partner::One(new) => {
            let comparison = comparer.compare(old, *new);
            if let Comparison::Different(difference) = &comparison {
                let name = comparer.old.inventory().get(old).map_or("", |function| function.name.as_str());
                let Difference { old, new, reason } = difference;
                tracing::debug!(function = name, %old, %new, %reason, "changed");
            }
            Fate::Paired { new: *new, comparison }
        }
        Partner::Unclear(candidates) if candidates.is_empty() => Fate::Removed,
        Partner::Unclear(candidates) | Partner::Split(candidates) => Fate::Ambiguous(candidates.clone()),
        Partner::None => Fate::Removed,
    }
}

/// Function pairs by entry address, object pairs as the caller has them.
struct Paired<'p> {
    functions: HashMap<LinkAddress, LinkAddress>,
    objects: &'p dyn ObjectPairing,
}

impl<'p> Paired<'p> {
    fn new(old: &CodeImage<'_>, new: &CodeImage<'_>, objects: &'p dyn ObjectPairing, partners: &[Partner]) -> Self {
        let pairs = old.inventory().iter().zip(partners).filter_map(|((_, function), partner)| {
            let to = new.inventory().get(one(partner)?)?;
            Some((function.entry(), to.entry()))
        });
        Self { functions: pairs.collect(), objects }
    }
}

impl Pairing for Paired<'_> {
    fn same_function(&self, old: LinkAddress, new: LinkAddress) -> bool {
        self.functions.get(&old) == Some(&new)
    }

    fn same_object(&self, old: LinkAddress, new: LinkAddress) -> bool {
        self.objects.same_object(old, new)
    }

    fn same_thread_local(&self, old: u64, new: u64) -> bool {
        self.objects.same_thread_local(old, new)
    }
}
