//! Types that changed, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::names::{Candidate, Removed, Thing};
use super::questions::Asked;
use super::similar;
use crate::plan::data::Partner;
use crate::plan::data::change::TypeChanges as Facts;
use crate::plan::data::targets;
use crate::program::build::Build;
use crate::program::compare_types;
use crate::program::types::{Member, Shape, Type, TypeId, TypeTable};

/// What differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TypeChanges {
    /// Types that both builds have.
    pub changed: Vec<TypeChange>,
    /// Those that only the new program has.
    pub added: Vec<Thing>,
    /// Those that only the old program has.
    pub removed: Vec<Removed>,
    /// Places of the old program that hold something its types do not tell; told only when types change.
    pub unclear: Vec<UnclearMember>,
}

/// A type that changed.
#[derive(Clone, Debug, Serialize)]
pub struct TypeChange {
    /// The type: `struct conn`.
    #[serde(flatten)]
    pub thing: Thing,
    /// Size in bytes before.
    pub old_size: Option<u64>,
    /// Size in bytes now.
    pub new_size: Option<u64>,
    /// Members that differ, in the new order, then those that are gone.
    pub members: Vec<MemberChange>,
    /// Enumerators that differ.
    pub enumerators: Vec<EnumeratorChange>,
}

/// A member that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MemberChange {
    /// Its name; `(anonymous)` for those without.
    pub name: String,
    /// How it differs.
    pub change: Change,
    /// In the old type.
    pub old: Option<MemberAt>,
    /// In the new type.
    pub new: Option<MemberAt>,
    /// For a new member: which ones that are gone it may be, the most likely first.
    pub candidates: Vec<Candidate>,
    /// Whether its value in objects that are there already has to be answered.
    pub asked: bool,
}

/// How something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Only the new build has it.
    Added,
    /// Only the old build has it.
    Removed,
    /// Another type.
    Retyped,
    /// The same at another place.
    Moved,
    /// The same type by name, which changes itself.
    Inside,
}

/// Where a member is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberAt {
    /// Its type as C writes it.
    pub kind: String,
    /// Offset in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub size: Option<u64>,
    /// For bit-fields: first bit and width.
    pub bits: Option<(u64, u64)>,
}

impl std::fmt::Display for MemberAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.bits {
            Some((start, width)) => write!(f, "{}:{width} at bit {start}", self.kind),
            None => write!(f, "{} at {}", self.kind, self.offset),
        }
    }
}

/// An enumerator that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EnumeratorChange {
    /// Its name.
    pub name: String,
    /// Its old value.
    pub old: Option<i128>,
    /// Its new value.
    pub new: Option<i128>,
}

/// A member that holds something its type does not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnclearMember {
    /// As a spec names it: `struct session.data`.
    pub name: String,
    /// What is not told.
    pub reason: UnclearReason,
    /// Its members, for a union.
    pub members: Vec<String>,
}

/// What a type does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnclearReason {
    /// What a `void *` points to.
    Pointer,
    /// Which member of a union is in use.
    Union,
    /// How many elements, which change, an array at the end has.
    Length,
}

impl TypeChanges {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

/// What differs between two builds.
pub(super) fn changes(old: &Build, new: &Build, facts: &Facts, asked: &Asked) -> TypeChanges {
    let (from, to) = (&old.debug.types, &new.debug.types);
    let pairs = changed_pairs(from, to, facts);
    let changed: Vec<TypeChange> =
        pairs.iter().filter_map(|(name, (a, b))| change(name, (from, *a), (to, *b), (facts, asked))).collect();
    let (before, after) = (by_name(from), by_name(to));
    let gone: Vec<(&String, TypeId)> =
        before.iter().filter(|(name, _)| !after.contains_key(*name)).map(|(n, id)| (n, *id)).collect();
    let come: Vec<(&String, TypeId)> =
        after.iter().filter(|(name, _)| !before.contains_key(*name)).map(|(n, id)| (n, *id)).collect();
    let names: Vec<String> = come.iter().map(|(name, _)| (*name).clone()).collect();
    let score = |a: usize, b: usize| gone.get(a).zip(come.get(b)).map_or(0.0, |(a, b)| alike((from, a.0, a.1), (to, b.0, b.1)));
    let candidates = similar::candidates(gone.len(), &names, score);
    let thing = |table: &TypeTable, name: &str, id: TypeId| {
        let entry = table.get(id);
        Thing { name: name.to_owned(), file: entry.file.clone(), line: entry.line }
    };
    let removed = gone.iter().zip(candidates);
    let mut unclear = if changed.is_empty() && gone.is_empty() { Vec::new() } else { unclear(from, &before, facts) };
    unclear.extend(asked.lengths().map(|name| UnclearMember { name, reason: UnclearReason::Length, members: Vec::new() }));
    TypeChanges {
        changed,
        added: come.iter().map(|(name, id)| thing(to, name, *id)).collect(),
        removed: removed.map(|((name, id), candidates)| Removed { thing: thing(from, name, *id), candidates }).collect(),
        unclear,
    }
}

/// Types of one name that differ: named ones, nameless ones behind typedefs, and those of the same bytes whose pointers lead to
/// something else.
fn changed_pairs(old: &TypeTable, new: &TypeTable, facts: &Facts) -> BTreeMap<String, (TypeId, TypeId)> {
    let mut pairs: BTreeMap<String, (TypeId, TypeId)> = BTreeMap::new();
    for change in compare_types::changed_named_types(old, new) {
        // Of several of one name the one that it becomes.
        let new = if let Partner::One(partner) = facts.partner(old.canonical(change.old)) { *partner } else { change.new };
        pairs.entry(change.name).or_insert((change.old, new));
    }
    let mut comparison = compare_types::Comparison::new(old, new);
    let after = by_name(new);
    for (name, id) in by_name(old) {
        let Some(other) = after.get(&name) else { continue };
        let is_nameless = old.get(id).name.is_empty();
        if is_nameless && comparison.compare_own(Some(id), Some(*other)).is_err() {
            pairs.entry(name).or_insert((id, *other));
        } else if let (true, Partner::One(partner)) = (facts.changed(Some(id)), facts.partner(old.canonical(id))) {
            pairs.entry(name).or_insert((id, *partner));
        }
    }
    pairs
}

/// Structures, unions and enumerations by the name that a spec gives them; nameless ones by their typedef.
fn by_name(table: &TypeTable) -> BTreeMap<String, TypeId> {
    let mut found = BTreeMap::new();
    for (id, entry) in (0u32..).map(TypeId).zip(&table.types) {
        if is_definition(entry) && !entry.name.is_empty() {
            found.entry(table.describe(Some(id))).or_insert_with(|| table.canonical(id));
        } else if let (Shape::Alias { target: Some(target), .. }, false) = (&entry.shape, entry.name.is_empty()) {
            let target_entry = table.get(*target);
            if is_definition(target_entry) && target_entry.name.is_empty() {
                found.entry(entry.name.clone()).or_insert(*target);
            }
        }
    }
    found
}

fn is_definition(entry: &Type) -> bool {
    matches!(entry.shape, Shape::Struct { .. } | Shape::Union { .. } | Shape::Enum { .. })
}

fn change(
    name: &str,
    (old, a): (&TypeTable, TypeId),
    (new, b): (&TypeTable, TypeId),
    (facts, asked): (&Facts, &Asked),
) -> Option<TypeChange> {
    let (from, to) = (old.get(a), new.get(b));
    let thing = Thing { name: name.to_owned(), file: from.file.clone(), line: from.line };
    let new_name = new.describe(Some(b));
    let mut change = TypeChange { thing, old_size: from.size, new_size: to.size, members: Vec::new(), enumerators: Vec::new() };
    match (&from.shape, &to.shape) {
        (Shape::Enum { enumerators: a }, Shape::Enum { enumerators: b }) => change.enumerators = enumerators(a, b),
        (from, to) => {
            let (a, b) = (from.members()?, to.members()?);
            change.members = members((old, a), (new, b), facts);
            change.members.iter_mut().for_each(|member| member.asked = asked.is_about(&new_name, &member.name));
        }
    }
    Some(change)
}

fn enumerators(old: &[(String, i128)], new: &[(String, i128)]) -> Vec<EnumeratorChange> {
    let value = |list: &[(String, i128)], name: &str| list.iter().find(|entry| entry.0 == name).map(|entry| entry.1);
    let names = old.iter().chain(new.iter().filter(|entry| value(old, &entry.0).is_none())).map(|entry| &entry.0);
    let changes = names.map(|name| EnumeratorChange { name: name.clone(), old: value(old, name), new: value(new, name) });
    changes.filter(|change| change.old != change.new).collect()
}

fn members((old, from): (&TypeTable, &[Member]), (new, to): (&TypeTable, &[Member]), facts: &Facts) -> Vec<MemberChange> {
    let mut types = compare_types::Comparison::new(old, new);
    let partner = |index: usize, member: &Member| match member.name.is_empty() {
        true => from.get(index).filter(|other| other.name.is_empty()),
        false => from.iter().find(|other| other.name == member.name),
    };
    let mut changes = Vec::new();
    for (index, member) in to.iter().enumerate() {
        let found = match partner(index, member) {
            None => Some((Change::Added, None)),
            Some(other) => {
                difference(&mut types, (old, other), (new, member), facts).map(|change| (change, Some(at(old, other))))
            }
        };
        changes.extend(found.map(|(change, before)| MemberChange {
            name: member_name(member),
            change,
            old: before,
            new: Some(at(new, member)),
            candidates: Vec::new(),
            asked: false,
        }));
    }
    let gone: Vec<&Member> = from
        .iter()
        .enumerate()
        .filter(|(index, member)| match member.name.is_empty() {
            true => to.get(*index).is_none_or(|other| !other.name.is_empty()),
            false => !to.iter().any(|other| other.name == member.name),
        })
        .map(|(_, member)| member)
        .collect();
    name_candidates((old, &gone), new, to, &mut changes);
    changes.extend(gone.iter().map(|member| MemberChange {
        name: member_name(member),
        change: Change::Removed,
        old: Some(at(old, member)),
        new: None,
        candidates: Vec::new(),
        asked: false,
    }));
    changes
}

/// Which members that are gone a new member may be.
fn name_candidates((old, gone): (&TypeTable, &[&Member]), new: &TypeTable, to: &[Member], changes: &mut [MemberChange]) {
    let names: Vec<String> = gone.iter().map(|member| member_name(member)).collect();
    let added: Vec<&Member> = to.iter().filter(|member| is_added(changes, member)).collect();
    let score = |a: usize, b: usize| {
        let (Some(new_member), Some(old_member)) = (added.get(a), gone.get(b)) else { return 0.0 };
        let same_type = old.describe(old_member.kind) == new.describe(new_member.kind);
        let same_place = old_member.offset == new_member.offset;
        0.4 * similar::names(&old_member.name, &new_member.name)
            + if same_type { 0.4 } else { 0.0 }
            + if same_place { 0.2 } else { 0.0 }
    };
    let found = similar::candidates(added.len(), &names, score);
    for (member, candidates) in added.iter().zip(found) {
        if let Some(change) = changes.iter_mut().find(|change| change.name == member.name) {
            change.candidates = candidates;
        }
    }
}

fn is_added(changes: &[MemberChange], member: &Member) -> bool {
    !member.name.is_empty() && changes.iter().any(|change| change.change == Change::Added && change.name == member.name)
}

fn difference(
    types: &mut compare_types::Comparison<'_>,
    (old, from): (&TypeTable, &Member),
    (new, to): (&TypeTable, &Member),
    facts: &Facts,
) -> Option<Change> {
    let (before, after) = (old.describe(from.kind), new.describe(to.kind));
    let differs = types.compare_own(from.kind, to.kind).is_err()
        || !targets::agree((old, from.kind), (new, to.kind), &|id| facts.partner(id), types);
    match () {
        () if differs && before == after => Some(Change::Inside),
        () if differs => Some(Change::Retyped),
        () if from.bits.map(|bits| bits.1) != to.bits.map(|bits| bits.1) => Some(Change::Retyped),
        () if (from.offset, from.bits) != (to.offset, to.bits) => Some(Change::Moved),
        () => None,
    }
}

fn member_name(member: &Member) -> String {
    if member.name.is_empty() { "(anonymous)".to_owned() } else { member.name.clone() }
}

fn at(table: &TypeTable, member: &Member) -> MemberAt {
    MemberAt { kind: table.describe(member.kind), offset: member.offset, size: table.size_of(member.kind), bits: member.bits }
}

fn alike((old, old_name, a): (&TypeTable, &str, TypeId), (new, new_name, b): (&TypeTable, &str, TypeId)) -> f64 {
    let (from, to) = (old.get(a), new.get(b));
    if from.shape.tag() != to.shape.tag() {
        return 0.0;
    }
    0.6 * similar::lists(&inner_names(from), &inner_names(to)) + 0.4 * similar::names(old_name, new_name)
}

fn inner_names(entry: &Type) -> Vec<&str> {
    match &entry.shape {
        Shape::Enum { enumerators } => enumerators.iter().map(|entry| entry.0.as_str()).collect(),
        shape => shape.members().unwrap_or_default().iter().map(|member| member.name.as_str()).collect(),
    }
}

/// `void *` members of the old program's structures, and unions that hold or lead to what changes.
fn unclear(table: &TypeTable, types: &BTreeMap<String, TypeId>, facts: &Facts) -> Vec<UnclearMember> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, id) in types {
        let entry = table.get(*id);
        // A structure that no line declares is the compiler's own (`__va_list_tag`): no rule of a user's is about it.
        let (Shape::Struct { members }, true) = (&entry.shape, entry.line != 0) else { continue };
        for member in members.iter().filter(|member| !member.name.is_empty()) {
            let Some(kind) = table.peel(member.kind) else { continue };
            let full = format!("{name}.{}", member.name);
            match &table.get(kind).shape {
                Shape::Pointer { target } if table.peel(*target).is_none() && seen.insert(full.clone()) => {
                    found.push(UnclearMember { name: full, reason: UnclearReason::Pointer, members: Vec::new() });
                }
                Shape::Union { members } if facts.leads_to_change(Some(kind)) && seen.insert(full.clone()) => {
                    let members = members.iter().map(member_name).collect();
                    found.push(UnclearMember { name: full, reason: UnclearReason::Union, members });
                }
                _ => {}
            }
        }
    }
    found
}
