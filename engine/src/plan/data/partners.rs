//! What each structure, union and enumeration of the old build is in the new one.

use std::collections::HashMap;

use super::fields::{fields, pair};
use super::rules::Rules;
use crate::program::compare_types::Comparison;
use crate::program::types::{Shape, TypeId, TypeTable};

/// How many arrays and pointers are followed from a member to a structure.
const DEPTH_LIMIT: usize = 16;

/// What an old type is in the new build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Partner {
    /// This type.
    One(TypeId),
    /// One of these; nothing decides which, or whether it is the same thing under another name.
    Doubtful(Vec<TypeId>),
    /// Nothing: the new build has no such type.
    #[default]
    Gone,
}

/// Finds partners.
pub(super) struct Partners<'t, 'c> {
    pub(super) old: &'t TypeTable,
    pub(super) new: &'t TypeTable,
    pub(super) rules: &'t Rules,
    pub(super) comparison: &'c mut Comparison<'t>,
    found: HashMap<TypeId, Partner>,
}

impl<'t, 'c> Partners<'t, 'c> {
    pub(super) fn new((old, new): (&'t TypeTable, &'t TypeTable), rules: &'t Rules, comparison: &'c mut Comparison<'t>) -> Self {
        Self { old, new, rules, comparison, found: HashMap::new() }
    }

    /// The partners of all definitions of the old build: as a rule says, by name, by the name of a typedef, or by where they stand.
    /// `roots` are the types of variables that both builds have.
    pub(super) fn run(mut self, roots: &[(Option<TypeId>, Option<TypeId>)]) -> HashMap<TypeId, Partner> {
        let (old_typedefs, new_typedefs) = (typedefs_by_type(self.old), types_by_typedef(self.new));
        let mut left = Vec::new();
        for id in definitions(self.old) {
            let partner = match self.rules.types.get(&id) {
                Some(new) => Partner::One(*new),
                None => {
                    let typedefs = old_typedefs.get(&id).map_or(&[][..], Vec::as_slice);
                    self.by_name(id, typedefs, &new_typedefs)
                }
            };
            match partner {
                Partner::Gone => left.push(id),
                partner => drop(self.found.insert(id, partner)),
            }
        }
        self.by_place(roots, &left);
        self.found
    }

    fn by_name(&mut self, id: TypeId, typedefs: &[&'t str], new_typedefs: &HashMap<&'t str, Vec<TypeId>>) -> Partner {
        let entry = self.old.get(id);
        let tag = entry.shape.tag();
        let mut candidates: Vec<TypeId> = match tag.filter(|_| !entry.name.is_empty()) {
            Some(tag) => self.new.definitions(tag, &entry.name).iter().map(|&id| self.new.canonical(id)).collect(),
            None => typedefs.iter().filter_map(|name| new_typedefs.get(name)).flatten().copied().collect(),
        };
        candidates.retain(|&other| self.new.get(other).shape.tag() == tag);
        candidates.sort_unstable();
        candidates.dedup();
        self.choose(id, candidates)
    }

    /// One of several of the same name: the one of the same structure; else what is left when others have taken theirs, on either
    /// side; else the one that the same file declares. A file alone says little: two libraries may each have a `dict.h`.
    fn choose(&mut self, id: TypeId, candidates: Vec<TypeId>) -> Partner {
        if candidates.is_empty() {
            return Partner::Gone;
        }
        if let Some(&same) = candidates.iter().find(|&&other| self.comparison.compare(Some(id), Some(other)).is_ok()) {
            return Partner::One(same);
        }
        let (rivals, left) = self.left(id, &candidates);
        if let ([], [one]) = (rivals.as_slice(), left.as_slice()) {
            return Partner::One(*one);
        }
        let file = &self.old.get(id).file;
        let mut here = left.iter().copied().filter(|&other| !file.is_empty() && self.new.get(other).file == *file);
        match (here.next(), here.next()) {
            (Some(one), None) if !rivals.iter().any(|&rival| self.old.get(rival).file == *file) => Partner::One(one),
            _ => Partner::Doubtful(candidates),
        }
    }

    /// Other old structures of this name and candidates, without those that equal one of the other side.
    fn left(&mut self, id: TypeId, candidates: &[TypeId]) -> (Vec<TypeId>, Vec<TypeId>) {
        let entry = self.old.get(id);
        let namesakes = entry.shape.tag().map_or(&[][..], |tag| self.old.definitions(tag, &entry.name));
        let mut rivals: Vec<TypeId> =
            namesakes.iter().map(|&other| self.old.canonical(other)).filter(|&other| other != id).collect();
        rivals.sort_unstable();
        rivals.dedup();
        let mut left = candidates.to_vec();
        rivals.retain(|&rival| {
            let equal = left.iter().position(|&new| self.comparison.compare(Some(rival), Some(new)).is_ok());
            equal.map(|at| left.remove(at)).is_none()
        });
        (rivals, left)
    }

    /// Types that no name pairs, by the fields and variables that hold or point to them.
    fn by_place(&mut self, roots: &[(Option<TypeId>, Option<TypeId>)], left: &[TypeId]) {
        let mut candidates: HashMap<TypeId, Vec<TypeId>> = left.iter().map(|&id| (id, Vec::new())).collect();
        let mut todo: Vec<(TypeId, TypeId)> = Vec::new();
        for (id, partner) in &self.found {
            if let Partner::One(new) = partner {
                todo.push((*id, *new));
            }
        }
        let mut meet = |(a, b): (Option<TypeId>, Option<TypeId>), todo: &mut Vec<(TypeId, TypeId)>| {
            let Some((a, b)) = self.definitions_behind(a, b) else { return };
            if let Some(list) = candidates.get_mut(&a).filter(|list| !list.contains(&b)) {
                list.push(b);
                todo.push((a, b));
            }
        };
        roots.iter().for_each(|root| meet(*root, &mut todo));
        while let Some((a, b)) = todo.pop() {
            let (old, new) = (fields(self.old, Some(a)), fields(self.new, Some(b)));
            let pairs = pair((self.old, &old), (self.new, &new));
            for (new, old) in new.iter().zip(pairs.into_iter().map(|position| old.get(position?))) {
                if let Some(old) = old {
                    meet((old.kind, new.kind), &mut todo);
                }
            }
        }
        for (id, candidates) in candidates {
            let partner = self.decide(id, candidates);
            self.found.insert(id, partner);
        }
    }

    /// A type that lost its name may be another thing, unless its structure is the same.
    fn decide(&mut self, id: TypeId, candidates: Vec<TypeId>) -> Partner {
        let is_anonymous = self.old.get(id).name.is_empty();
        match candidates.as_slice() {
            [] => Partner::Gone,
            [one] if is_anonymous || self.comparison.compare(Some(id), Some(*one)).is_ok() => Partner::One(*one),
            _ => Partner::Doubtful(candidates),
        }
    }

    /// The definitions of one kind that two types come to through the same arrays and pointers.
    fn definitions_behind(&self, a: Option<TypeId>, b: Option<TypeId>) -> Option<(TypeId, TypeId)> {
        let (mut a, mut b) = (self.old.normal(a)?, self.new.normal(b)?);
        for _ in 0..DEPTH_LIMIT {
            let (old, new) = (self.old.get(a), self.new.get(b));
            let next = match (&old.shape, &new.shape) {
                (Shape::Array { element: m, .. }, Shape::Array { element: n, .. }) => (*m, *n),
                (Shape::Pointer { target: m }, Shape::Pointer { target: n }) => (*m, *n),
                (m, n) if m.defined_tag().is_some() && m.tag() == n.defined_tag() => return Some((a, b)),
                _ => return None,
            };
            (a, b) = (self.old.normal(next.0)?, self.new.normal(next.1)?);
        }
        None
    }
}

/// All definitions of a table, one of each group of copies.
pub(super) fn definitions(table: &TypeTable) -> impl Iterator<Item = TypeId> {
    let all = (0u32..).map(TypeId).zip(&table.types);
    all.filter(|(id, entry)| entry.shape.defined_tag().is_some() && table.canonical(*id) == *id).map(|(id, _)| id)
}

fn typedefs(table: &TypeTable) -> impl Iterator<Item = (&str, TypeId)> {
    table.types.iter().filter_map(|entry| match &entry.shape {
        Shape::Alias { target, .. } if !entry.name.is_empty() => Some((entry.name.as_str(), table.normal(*target)?)),
        _ => None,
    })
}

fn typedefs_by_type(table: &TypeTable) -> HashMap<TypeId, Vec<&str>> {
    let mut map: HashMap<TypeId, Vec<&str>> = HashMap::new();
    for (name, id) in typedefs(table) {
        let names = map.entry(id).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    map
}

fn types_by_typedef(table: &TypeTable) -> HashMap<&str, Vec<TypeId>> {
    let mut map: HashMap<&str, Vec<TypeId>> = HashMap::new();
    for (name, id) in typedefs(table) {
        let types = map.entry(name).or_default();
        if !types.contains(&id) {
            types.push(id);
        }
    }
    map
}
