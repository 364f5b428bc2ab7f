//! Compares two types by themselves, and lists the pairs that they hold and point to.

use super::difference::{DifferenceKind, Local, Step};
use super::{Comparison, Pair};
use crate::program::types::{Member, Shape, Type, TypeId, TypeTable};

/// Differences of the pair itself, and its children: the step, whether held by value, the pair.
type Compared = (Vec<Local>, Vec<(Step, bool, Pair)>);

/// How deep arrays of arrays are flattened.
const DIMENSION_LIMIT: usize = 32;

impl Comparison<'_> {
    pub(super) fn compare_local(&self, (a, b): Pair) -> Compared {
        let (Some(a), Some(b)) = (a, b) else {
            let same = a.is_none() && b.is_none();
            return (if same { Vec::new() } else { vec![self.whole(DifferenceKind::Kind, a, b)] }, Vec::new());
        };
        let (old, new) = (self.old.get(a), self.new.get(b));
        match (&old.shape, &new.shape) {
            (Shape::Base { encoding: m }, Shape::Base { encoding: n }) => {
                let encoding = (m != n).then(|| self.whole(DifferenceKind::Encoding, Some(a), Some(b)));
                (size(old, new).into_iter().chain(encoding).collect(), Vec::new())
            }
            (Shape::Pointer { target: m }, Shape::Pointer { target: n }) => {
                (size(old, new).into_iter().collect(), vec![(Step::Target, false, (*m, *n))])
            }
            (Shape::Array { .. }, Shape::Array { .. }) => self.arrays(a, b),
            (Shape::Struct { members: m }, Shape::Struct { members: n })
            | (Shape::Union { members: m }, Shape::Union { members: n }) => {
                self.aggregates((old, m), (new, n), self.renamed.get(&b))
            }
            (Shape::Enum { enumerators: m }, Shape::Enum { enumerators: n }) => {
                let mut differences = enumerators(m, n);
                differences.extend(size(old, new));
                (differences, Vec::new())
            }
            (Shape::Function { .. }, Shape::Function { .. }) => {
                let same = self.same_signature(&old.shape, &new.shape);
                let difference = (!same).then(|| self.whole(DifferenceKind::Signature, Some(a), Some(b)));
                (difference.into_iter().collect(), Vec::new())
            }
            // Opaque in both builds: the program lays no such object out.
            (Shape::Incomplete { tag: m }, Shape::Incomplete { tag: n }) if m == n && old.name == new.name => {
                (Vec::new(), Vec::new())
            }
            (Shape::Incomplete { .. }, _) | (_, Shape::Incomplete { .. }) => {
                (vec![self.whole(DifferenceKind::Incomplete, Some(a), Some(b))], Vec::new())
            }
            (Shape::Other { .. }, _) | (_, Shape::Other { .. }) => {
                (vec![self.whole(DifferenceKind::Unknown, Some(a), Some(b))], Vec::new())
            }
            _ => (vec![self.whole(DifferenceKind::Kind, Some(a), Some(b))], Vec::new()),
        }
    }

    fn whole(&self, kind: DifferenceKind, a: Option<TypeId>, b: Option<TypeId>) -> Local {
        Local { kind, name: String::new(), old: self.old.describe(a), new: self.new.describe(b) }
    }

    fn arrays(&self, a: TypeId, b: TypeId) -> Compared {
        let (old_counts, old_element) = flatten(self.old, a);
        let (new_counts, new_element) = flatten(self.new, b);
        let same = old_counts.len() == new_counts.len()
            && old_counts.iter().zip(&new_counts).all(|(m, n)| m.unwrap_or(0) == n.unwrap_or(0));
        let mut differences = Vec::new();
        if !same {
            differences.push(self.whole(DifferenceKind::Length, Some(a), Some(b)));
        }
        (differences, vec![(Step::Element, true, (old_element, new_element))])
    }

    fn aggregates(
        &self,
        (old, old_members): (&Type, &[Member]),
        (new, new_members): (&Type, &[Member]),
        renamed: Option<&Vec<(u32, u32)>>,
    ) -> Compared {
        let renamed = renamed.map_or(&[][..], Vec::as_slice);
        let pairing = Pairing::new(old_members, new_members, renamed, |m, n| self.same_shallow(m.kind, n.kind));
        let mut differences = Vec::new();
        let mut children = Vec::new();
        for (m, n) in &pairing.pairs {
            if (m.offset, m.bits) != (n.offset, n.bits) {
                differences.push(Local { kind: DifferenceKind::MemberMoved, name: m.name.clone(), old: place(m), new: place(n) });
            }
            if m.name != n.name && !pairing.known.contains(&m.name.as_str()) {
                let kind = DifferenceKind::MemberRenamed;
                differences.push(Local { kind, name: m.name.clone(), old: m.name.clone(), new: n.name.clone() });
            }
            children.push((Step::Member(m.name.clone()), true, (m.kind, n.kind)));
        }
        for member in pairing.only_old {
            let old = format!("{} at {}", self.old.describe(member.kind), place(member));
            differences.push(Local { kind: DifferenceKind::MemberRemoved, name: shown(member), old, new: "nothing".to_owned() });
        }
        for member in pairing.only_new {
            let new = format!("{} at {}", self.new.describe(member.kind), place(member));
            differences.push(Local { kind: DifferenceKind::MemberAdded, name: shown(member), old: "nothing".to_owned(), new });
        }
        differences.extend(size(old, new));
        (differences, children)
    }

    /// Whether a call by the one type suits a function of the other. Parameters are compared without following pointers: what they lead
    /// to is compared where the objects are.
    fn same_signature(&self, old: &Shape, new: &Shape) -> bool {
        let (
            Shape::Function { result: m, parameters: p, variadic: v },
            Shape::Function { result: n, parameters: q, variadic: w },
        ) = (old, new)
        else {
            return false;
        };
        v == w && self.same_shallow(*m, *n) && p.len() == q.len() && p.iter().zip(q).all(|(a, b)| self.same_shallow(*a, *b))
    }

    fn same_shallow(&self, a: Option<TypeId>, b: Option<TypeId>) -> bool {
        let (Some(a), Some(b)) = (self.old.peel(a), self.new.peel(b)) else {
            return self.old.peel(a).is_none() && self.new.peel(b).is_none();
        };
        let (old, new) = (self.old.get(a), self.new.get(b));
        match (&old.shape, &new.shape) {
            (Shape::Base { encoding: m }, Shape::Base { encoding: n }) => m == n && old.size == new.size,
            (Shape::Pointer { .. }, Shape::Pointer { .. }) | (Shape::Function { .. }, Shape::Function { .. }) => true,
            (Shape::Enum { .. }, Shape::Enum { .. }) | (Shape::Array { .. }, Shape::Array { .. }) => old.size == new.size,
            (m, n) => m.tag().is_some() && m.tag() == n.tag() && old.name == new.name && old.size == new.size,
        }
    }
}

fn size(old: &Type, new: &Type) -> Option<Local> {
    let shown = |size: Option<u64>| size.map_or("unknown".to_owned(), |size| format!("{size} bytes"));
    (old.size != new.size).then(|| Local {
        kind: DifferenceKind::Size,
        name: String::new(),
        old: shown(old.size),
        new: shown(new.size),
    })
}

/// All dimensions of an array of arrays, and the innermost element.
fn flatten(table: &TypeTable, id: TypeId) -> (Vec<Option<u64>>, Option<TypeId>) {
    let mut all = Vec::new();
    let mut at = Some(id);
    for _ in 0..DIMENSION_LIMIT {
        match table.peel(at).map(|id| &table.get(id).shape) {
            Some(Shape::Array { element, counts }) => {
                all.extend_from_slice(counts);
                at = *element;
            }
            _ => break,
        }
    }
    (all, at)
}

fn place(member: &Member) -> String {
    match member.bits {
        Some((start, width)) => format!("bit {start}, {width} wide"),
        None => format!("offset {}", member.offset),
    }
}

fn shown(member: &Member) -> String {
    if member.name.is_empty() { "(anonymous)".to_owned() } else { member.name.clone() }
}

/// Which member of the old type is which of the new one.
struct Pairing<'m> {
    pairs: Vec<(&'m Member, &'m Member)>,
    /// Old names of members that are known to have another one.
    known: Vec<&'m str>,
    only_old: Vec<&'m Member>,
    only_new: Vec<&'m Member>,
}

impl<'m> Pairing<'m> {
    /// As somebody knows (`renamed`); by name; anonymous ones by their order; then, of what is left, by place and type: such a member
    /// has another name.
    fn new(old: &'m [Member], new: &'m [Member], renamed: &[(u32, u32)], alike: impl Fn(&Member, &Member) -> bool) -> Self {
        let mut paired = Self { pairs: Vec::new(), known: Vec::new(), only_old: Vec::new(), only_new: Vec::new() };
        let mut free: Vec<Option<&Member>> = new.iter().map(Some).collect();
        let (mut done, mut left) = (Vec::new(), Vec::new());
        for &(from, to) in renamed {
            let (Some(member), Some(slot)) = (old.get(from as usize), free.get_mut(to as usize)) else { continue };
            let Some(other) = slot.take() else { continue };
            paired.pairs.push((member, other));
            paired.known.push(&member.name);
            done.push(from as usize);
        }
        for (position, member) in old.iter().enumerate().filter(|(position, _)| !done.contains(position)) {
            // Where nothing changed, the counterpart stands at the same position.
            let same = |slot: &Option<&Member>| slot.is_some_and(|other| other.name == member.name);
            let found = match free.get(position) {
                Some(slot) if same(slot) => Some(position),
                _ => free.iter().position(same),
            };
            match found.and_then(|found| free.get_mut(found)).and_then(Option::take) {
                Some(other) => paired.pairs.push((member, other)),
                None => left.push(member),
            }
        }
        for member in left {
            let same = |slot: &Option<&Member>| {
                slot.is_some_and(|other| {
                    let placed = (other.offset, other.bits) == (member.offset, member.bits);
                    placed && !other.name.is_empty() && alike(member, other)
                })
            };
            let found = if member.name.is_empty() { None } else { free.iter().position(same) };
            match found.and_then(|found| free.get_mut(found)).and_then(Option::take) {
                Some(other) => paired.pairs.push((member, other)),
                None => paired.only_old.push(member),
            }
        }
        paired.only_new = free.into_iter().flatten().collect();
        paired
    }
}

/// Old values have to keep their names; new enumerators may come.
fn enumerators(old: &[(String, i128)], new: &[(String, i128)]) -> Vec<Local> {
    if old == new {
        return Vec::new();
    }
    let by_name: std::collections::HashMap<&str, i128> = new.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let mut differences = Vec::new();
    for (name, value) in old {
        let renamed = || new.iter().find(|(other, v)| v == value && old.iter().all(|(known, _)| known != other));
        let (kind, found) = match by_name.get(name.as_str()) {
            Some(found) if found == value => continue,
            Some(found) => (DifferenceKind::EnumeratorChanged, found.to_string()),
            None => match renamed() {
                Some((other, _)) => (DifferenceKind::EnumeratorRenamed, other.clone()),
                None => (DifferenceKind::EnumeratorRemoved, "nothing".to_owned()),
            },
        };
        let old = if kind == DifferenceKind::EnumeratorRenamed { name.clone() } else { value.to_string() };
        differences.push(Local { kind, name: name.clone(), old, new: found });
    }
    differences
}
