//! Which old types change, and which lead to one that does: all that the walk over a process has to know. Made once, before the stop,
//! linear in the types of both builds.

use std::collections::{HashMap, HashSet};

use super::fields::{fields, pair};
use super::partners::{Partner, Partners};
use super::rules::{FieldSource, Place, Pointee, Root, Rules};
use super::targets;
use crate::program::compare_types::{Comparison, Renamed};
use crate::program::types::{Shape, TypeId, TypeTable};

/// What is known of every type of the old build.
#[derive(Debug, Default)]
pub struct TypeChanges {
    /// By [`TypeId`].
    facts: Vec<Fact>,
    partners: HashMap<TypeId, Partner>,
    /// Of each type of the new build the old one that becomes it; `None` where several do.
    origins: HashMap<TypeId, Option<TypeId>>,
    /// Whether anything changes: asked for each read that functions have in common.
    any: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Fact {
    changed: bool,
    leads: bool,
}

/// The other way round.
fn origins(partners: &HashMap<TypeId, Partner>) -> HashMap<TypeId, Option<TypeId>> {
    let mut origins: HashMap<TypeId, Option<TypeId>> = HashMap::new();
    for (old, partner) in partners {
        if let Partner::One(new) = partner {
            origins.entry(*new).and_modify(|origin| *origin = None).or_insert(Some(*old));
        }
    }
    origins
}

impl TypeChanges {
    /// Compares all types of two builds under the user's answers. `roots` are the types of variables that both builds have.
    pub fn new(old: &TypeTable, new: &TypeTable, rules: &Rules, roots: &[(Option<TypeId>, Option<TypeId>)]) -> Self {
        let mut comparison = comparison(old, new, rules);
        let partners = Partners::new((old, new), rules, &mut comparison).run(roots);
        let origins = origins(&partners);
        let mut changes = Self { facts: vec![Fact::default(); old.types.len()], partners, origins, any: false };
        let seeds = changes.seeds((old, new), rules, &mut comparison);
        let changed = reach(old, rules, &seeds, true);
        let leads = reach(old, rules, &changed, false);
        changed.iter().for_each(|id| changes.set(*id, |fact| fact.changed = true));
        leads.iter().for_each(|id| changes.set(*id, |fact| fact.leads = true));
        // Typedefs, qualified types and copies are as what stands for them.
        for position in 0..old.types.len() {
            let Ok(id) = u32::try_from(position).map(TypeId) else { break };
            let fact = old.normal(Some(id)).and_then(|normal| changes.facts.get(normal.0 as usize)).copied();
            changes.set(id, |own| *own = fact.unwrap_or_default());
        }
        changes.any = changes.facts.iter().any(|fact| fact.changed);
        changes
    }

    /// Whether an object of this type has to be rewritten; void never.
    pub fn changed(&self, old: Option<TypeId>) -> bool {
        self.fact(old).changed
    }

    /// Whether an object of this type changes, or changed ones can be reached from it, by value or through pointers, also such
    /// that a rule gives a type.
    pub fn leads_to_change(&self, old: Option<TypeId>) -> bool {
        self.fact(old).leads
    }

    /// Whether what a pointer without a type points to leads to a change.
    pub fn pointee_leads(&self, pointee: &Pointee) -> bool {
        pointees(pointee).any(|kind| self.leads_to_change(Some(kind)))
    }

    /// What a structure, union or enumeration of the old build, canonical, is in the new one.
    pub fn partner(&self, old: TypeId) -> &Partner {
        const GONE: &Partner = &Partner::Gone;
        self.partners.get(&old).unwrap_or(GONE)
    }

    /// The type of the new build that an old one, canonical, certainly becomes.
    pub fn successor(&self, old: TypeId) -> Option<TypeId> {
        match self.partner(old) {
            Partner::One(new) => Some(*new),
            Partner::Doubtful(_) | Partner::Gone => None,
        }
    }

    /// The old type that becomes `new`, if there is just one.
    pub fn origin(&self, new: TypeId) -> Option<TypeId> {
        self.origins.get(&new).copied().flatten()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        !self.any
    }

    /// All changed structures, unions and enumerations, canonical, ascending.
    pub fn list(&self) -> Vec<TypeId> {
        let mut list: Vec<TypeId> = self.partners.keys().copied().filter(|id| self.changed(Some(*id))).collect();
        list.sort_unstable();
        list
    }

    fn fact(&self, old: Option<TypeId>) -> Fact {
        old.and_then(|id| self.facts.get(id.0 as usize)).copied().unwrap_or_default()
    }

    fn set(&mut self, id: TypeId, change: impl FnOnce(&mut Fact)) {
        if let Some(fact) = self.facts.get_mut(id.0 as usize) {
            change(fact);
        }
    }

    /// Types whose own bytes change, not counting what they hold by value.
    fn seeds(&self, (old, new): (&TypeTable, &TypeTable), rules: &Rules, comparison: &mut Comparison<'_>) -> Vec<TypeId> {
        let touched = touched(rules);
        let mut seeds = Vec::new();
        for (&id, partner) in &self.partners {
            let is_changed = match partner {
                _ if rules.opaque.contains(&id) => false,
                _ if rules.plugins.contains_key(&id) || rules.enums.contains_key(&id) => true,
                Partner::One(other) => {
                    comparison.compare_own(Some(id), Some(*other)).is_err()
                        || touched.contains(other)
                        || self.retargets((old, id), (new, *other), comparison)
                }
                Partner::Doubtful(_) => true,
                // Nothing in the new build can use such an object.
                Partner::Gone => false,
            };
            if is_changed {
                seeds.push(id);
            }
        }
        seeds
    }

    /// Whether a pointer in a type of the same bytes leads to something else than before.
    fn retargets(&self, (old, a): (&TypeTable, TypeId), (new, b): (&TypeTable, TypeId), comparison: &mut Comparison<'_>) -> bool {
        if comparison.compare(Some(a), Some(b)).is_ok() {
            return false;
        }
        let (old_fields, new_fields) = (fields(old, Some(a)), fields(new, Some(b)));
        let pairs = pair((old, &old_fields), (new, &new_fields));
        let partner = |id| self.partner(id);
        pairs.into_iter().zip(&new_fields).any(|(position, field)| {
            let Some(other) = position.and_then(|position| old_fields.get(position)) else { return false };
            !targets::agree((old, other.kind), (new, field.kind), &partner, comparison)
        })
    }
}

/// A comparison that knows the members that a rule says have another name.
pub(super) fn comparison<'t>(old: &'t TypeTable, new: &'t TypeTable, rules: &Rules) -> Comparison<'t> {
    let mut renamed = Renamed::new();
    for (place, rule) in &rules.fields {
        if let (Root::Type(kind), [to], FieldSource::Old(from)) = (place.root, place.path.as_slice(), &rule.source)
            && let [from] = from.as_slice()
        {
            renamed.entry(kind).or_default().push((*from, *to));
        }
    }
    Comparison::with_renamed(old, new, renamed)
}

/// New types for which a rule makes a value that bytes alone do not.
fn touched(rules: &Rules) -> HashSet<TypeId> {
    let is_plain = |place: &Place, source: &FieldSource| {
        place.path.len() == 1 && matches!(source, FieldSource::Old(path) if path.len() == 1)
    };
    let places = rules.fields.iter().filter(|(place, rule)| !is_plain(place, &rule.source)).map(|(place, _)| place);
    places
        .filter_map(|place| match place.root {
            Root::Type(kind) => Some(kind),
            Root::Variable(_) => None,
        })
        .collect()
}

fn pointees(pointee: &Pointee) -> impl Iterator<Item = TypeId> {
    let (one, several) = match pointee {
        Pointee::Type(kind) | Pointee::Within { kind, .. } => (Some(*kind), None),
        Pointee::ByTag { choices, .. } => (None, Some(choices.values().copied().flatten())),
        Pointee::Opaque => (None, None),
    };
    one.into_iter().chain(several.into_iter().flatten())
}

/// What the pointer at a path of `kind` points to by its own type.
fn pointed_to(old: &TypeTable, kind: TypeId, path: &[u32]) -> Option<TypeId> {
    let elements = |kind| {
        let mut kind = old.normal(kind)?;
        while let Shape::Array { element, .. } = &old.get(kind).shape {
            kind = old.normal(*element)?;
        }
        Some(kind)
    };
    let mut at = elements(Some(kind))?;
    for position in path {
        at = elements(old.get(at).shape.members()?.get(*position as usize)?.kind)?;
    }
    match &old.get(at).shape {
        Shape::Pointer { target } => old.normal(*target),
        _ => None,
    }
}

/// All types from which one of `seeds` is reached, themselves included: by value only, or also through pointers.
fn reach(old: &TypeTable, rules: &Rules, seeds: &[TypeId], by_value: bool) -> Vec<TypeId> {
    let mut into: Vec<Vec<TypeId>> = vec![Vec::new(); old.types.len()];
    let mut edge = |from: TypeId, to: Option<TypeId>| {
        if let Some(list) = old.normal(to).and_then(|to| into.get_mut(to.0 as usize)) {
            list.push(from);
        }
    };
    for (id, entry) in (0u32..).map(TypeId).zip(&old.types) {
        let is_followed = match entry.shape {
            Shape::Array { .. } | Shape::Struct { .. } | Shape::Union { .. } => !rules.opaque.contains(&id),
            Shape::Pointer { .. } => !by_value,
            _ => false,
        };
        if is_followed && old.canonical(id) == id {
            entry.shape.for_each_child(|child| edge(id, Some(child)));
        }
    }
    if !by_value {
        for (place, pointee) in &rules.pointees {
            if let Root::Type(kind) = place.root {
                pointees(pointee).for_each(|target| edge(kind, Some(target)));
                // Whatever else embeds such a link is the head of a list, or another element: it has to be known.
                if let Pointee::Within { kind: whole, .. } = pointee
                    && let Some(link) = pointed_to(old, kind, &place.path)
                {
                    edge(link, Some(*whole));
                }
            }
        }
    }
    let mut met = vec![false; old.types.len()];
    let mut order: Vec<TypeId> = Vec::new();
    let mut todo: Vec<TypeId> = seeds.to_vec();
    while let Some(id) = todo.pop() {
        let Some(met) = met.get_mut(id.0 as usize) else { continue };
        if !std::mem::replace(met, true) {
            order.push(id);
            todo.extend(into.get(id.0 as usize).into_iter().flatten());
        }
    }
    order
}
