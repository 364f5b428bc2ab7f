//! All named types of two builds that differ.

use std::collections::BTreeMap;

use super::Comparison;
use super::difference::Difference;
use crate::program::types::{TypeId, TypeTable};

/// A structure, union or enumeration that both builds define, with different structure.
#[derive(Clone, Debug)]
pub struct NamedChange {
    /// As in the source: `struct conn`.
    pub name: String,
    /// A definition in the old build that no definition in the new one equals.
    pub old: TypeId,
    /// The definition in the new build that it was compared with.
    pub new: TypeId,
    /// What differs, never empty. Differences of a type that it holds by value are that type's own where it has a name.
    pub differences: Vec<Difference>,
}

/// Every structure, union and enumeration whose own layout or meaning changed, by name. Types that only point to changed ones are not
/// listed. A name that stands for several definitions is listed once for each old one without an equal in the new build, or none.
pub fn changed_named_types(old: &TypeTable, new: &TypeTable) -> Vec<NamedChange> {
    let mut comparison = Comparison::new(old, new);
    let mut changes: BTreeMap<(String, usize), NamedChange> = BTreeMap::new();
    for (position, entry) in old.types.iter().enumerate() {
        let Some(tag) = entry.shape.tag().filter(|_| !entry.name.is_empty()) else { continue };
        let Ok(a) = u32::try_from(position).map(TypeId) else { continue };
        let candidates = new.definitions(tag, &entry.name);
        let Some(&first) = candidates.first() else { continue };
        // Declarations say nothing; and in most programs all definitions of a name are copies of one header's.
        if old.definitions(tag, &entry.name).binary_search(&a).is_err() {
            continue;
        }
        if candidates.iter().any(|&b| comparison.compare_own(Some(a), Some(b)).is_ok()) {
            continue;
        }
        let change = describe(&mut comparison, a, first);
        changes.entry((change.name.clone(), entry_identity(old, a))).or_insert(change);
    }
    changes.into_values().collect()
}

/// Tells different definitions of one name apart, and copies of one definition not: where it is declared.
fn entry_identity(table: &TypeTable, id: TypeId) -> usize {
    let entry = table.get(id);
    let same = |other: &TypeId| {
        let other = table.get(*other);
        (&other.file, other.line) == (&entry.file, entry.line)
    };
    let tag = entry.shape.tag().unwrap_or(0);
    table.definitions(tag, &entry.name).iter().position(same).unwrap_or(0)
}

fn describe(comparison: &mut Comparison<'_>, old: TypeId, new: TypeId) -> NamedChange {
    let mut differences = comparison.local_differences(Some(old), Some(new));
    if let (true, Err(difference)) = (differences.is_empty(), comparison.compare_own(Some(old), Some(new))) {
        differences.push(difference);
    }
    NamedChange { name: comparison.old.describe(Some(old)), old, new, differences }
}
