//! Pairing of named things of two builds (DESIGN, "Pairing"): never by number, never by guess.

use std::collections::HashMap;

use super::units::UnitMap;

/// What a function or variable is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Name; numbers that the compiler appended are cut off.
    pub name: String,
    /// Source file; empty when not known.
    pub unit: String,
    /// Function that a static local belongs to.
    pub function: Option<String>,
    /// Whether visible outside its file, so that the name alone identifies it.
    pub external: bool,
    /// Which part of the variable, where the compiler made several objects of it.
    pub part: Option<String>,
}

/// What a thing of the old build is in the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partner {
    /// This one.
    One(usize),
    /// Nothing.
    Gone,
    /// One of these.
    Many(Vec<usize>),
}

impl Partner {
    /// The partner, when it is certain.
    pub fn one(&self) -> Option<usize> {
        match self {
            Partner::One(index) => Some(*index),
            Partner::Gone | Partner::Many(_) => None,
        }
    }

    /// Everything that it may be.
    pub fn candidates(&self) -> &[usize] {
        match self {
            Partner::One(index) => std::slice::from_ref(index),
            Partner::Many(candidates) => candidates,
            Partner::Gone => &[],
        }
    }
}

/// `name` without the numbers that a compiler appends: `counter.3` is `counter`, `f.constprop.0` is `f.constprop`.
pub fn without_numbers(name: &str) -> String {
    let mut parts = name.split('.');
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            kept.push('.');
            kept.push_str(part);
        }
    }
    if kept.is_empty() { name.to_owned() } else { kept }
}

/// A partner for each of `old` among `new`.
///
/// By name where that is visible outside its file, by (file, function, name) where not; then, among what is left on both sides, by
/// (function, name) where that is unique: files get renamed, and statics become visible.
pub fn pair(old: &[&Identity], new: &[&Identity], units: &UnitMap) -> Vec<Partner> {
    let mut partners = vec![Partner::Gone; old.len()];
    let mut taken = vec![false; new.len()];
    let old_keys = groups(old, |identity| full_key(identity, units.new_name(&identity.unit).or(Some(""))));
    let new_keys = groups(new, |identity| full_key(identity, Some(&identity.unit)));
    assign((old, new), (&old_keys, &new_keys), &mut partners, &mut taken);
    let left: Vec<usize> = (0..old.len()).filter(|index| partners[*index] == Partner::Gone).collect();
    let old_left = group_of(old, left.into_iter());
    let new_left = group_of(new, (0..new.len()).filter(|index| !taken[*index]));
    assign((old, new), (&old_left, &new_left), &mut partners, &mut taken);
    partners
}

type Key = (Option<String>, Option<String>, String);
type Groups = HashMap<Key, Vec<usize>>;

fn full_key(identity: &Identity, unit: Option<&str>) -> Key {
    if identity.external && identity.function.is_none() {
        return (None, None, identity.name.clone());
    }
    (unit.map(|unit| format!("unit {unit}")), identity.function.clone(), identity.name.clone())
}

fn groups(items: &[&Identity], key: impl Fn(&Identity) -> Key) -> Groups {
    let mut groups: Groups = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        groups.entry(key(item)).or_default().push(index);
    }
    groups
}

fn group_of(items: &[&Identity], indices: impl Iterator<Item = usize>) -> Groups {
    let mut groups: Groups = HashMap::new();
    for index in indices {
        let item = items[index];
        groups.entry((None, item.function.clone(), item.name.clone())).or_default().push(index);
    }
    groups
}

fn assign(
    (olds, news): (&[&Identity], &[&Identity]),
    (old, new): (&Groups, &Groups),
    partners: &mut [Partner],
    taken: &mut [bool],
) {
    for (key, from) in old {
        let Some(to) = new.get(key) else { continue };
        let is_part = |identity: &Identity| identity.part.is_some();
        let are_parts = from.iter().all(|index| is_part(olds[*index])) && to.iter().all(|index| is_part(news[*index]));
        for index in to {
            taken[*index] = true;
        }
        for index in from {
            partners[*index] = match (from.len(), to.as_slice()) {
                _ if are_parts => part_of((olds, *index), from, (news, to)),
                (1, [only]) => Partner::One(*only),
                _ => Partner::Many(to.clone()),
            };
        }
    }
}

/// The partner of a part of a variable among the parts of the same variable: the same field or element. What is only a part of that, or
/// is kept in another form, is no partner without further ado, and a part that the other build does not keep is gone.
fn part_of((olds, old): (&[&Identity], usize), from: &[usize], (news, to): (&[&Identity], &[usize])) -> Partner {
    let part = |identity: &Identity| identity.part.clone().unwrap_or_default();
    let own = part(olds[old]);
    let is_one = from.iter().filter(|index| part(olds[**index]) == own).count() == 1;
    let same: Vec<usize> = to.iter().copied().filter(|index| part(news[*index]) == own).collect();
    if let (true, [only]) = (is_one, same.as_slice()) {
        return Partner::One(*only);
    }
    let place = |part: &str| part.split(' ').next().unwrap_or_default().to_owned();
    let overlaps = |other: &str| {
        let (one, other) = (place(&own), place(other));
        let rest = one.strip_prefix(&other).or_else(|| other.strip_prefix(&one));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    match to.iter().copied().filter(|index| overlaps(&part(news[*index]))).collect::<Vec<_>>() {
        none if none.is_empty() => Partner::Gone,
        several => Partner::Many(several),
    }
}

/// Makes `new` the partner of `old`, or nothing: what somebody knows wins over names. Nobody else keeps `new`; where that leaves one
/// candidate to one thing alone, they are partners.
pub fn force(partners: &mut [Partner], old: usize, new: Option<usize>) {
    for partner in partners.iter_mut() {
        match partner {
            Partner::One(known) if Some(*known) == new => *partner = Partner::Gone,
            Partner::Many(candidates) => candidates.retain(|candidate| Some(*candidate) != new),
            _ => {}
        }
    }
    if let Some(partner) = partners.get_mut(old) {
        *partner = new.map_or(Partner::Gone, Partner::One);
    }
    settle_last(partners);
}

/// What is down to one candidate that nobody else has is certain; what is down to none has no partner.
fn settle_last(partners: &mut [Partner]) {
    let mut claims: HashMap<usize, u32> = HashMap::new();
    for partner in partners.iter() {
        if let Partner::Many(candidates) = partner {
            candidates.iter().for_each(|candidate| *claims.entry(*candidate).or_default() += 1);
        }
    }
    for partner in partners.iter_mut() {
        let Partner::Many(candidates) = partner else { continue };
        match candidates[..] {
            [] => *partner = Partner::Gone,
            [only] if claims.get(&only) == Some(&1) => *partner = Partner::One(only),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str, unit: &str, function: Option<&str>, external: bool) -> Identity {
        Identity { name: name.to_owned(), unit: unit.to_owned(), function: function.map(str::to_owned), external, part: None }
    }

    fn paired(old: &[Identity], new: &[Identity]) -> Vec<Partner> {
        let units = UnitMap::new(old.iter().map(|item| item.unit.as_str()), new.iter().map(|item| item.unit.as_str()));
        pair(&old.iter().collect::<Vec<_>>(), &new.iter().collect::<Vec<_>>(), &units)
    }

    #[test]
    fn statics_pair_within_their_file_and_function() {
        let old = [identity("n", "a.c", None, false), identity("n", "b.c", None, false), identity("n", "a.c", Some("f"), false)];
        let new = [identity("n", "a.c", Some("f"), false), identity("n", "b.c", None, false), identity("n", "a.c", None, false)];
        assert_eq!(paired(&old, &new), [Partner::One(2), Partner::One(1), Partner::One(0)]);
    }

    #[test]
    fn a_unique_name_survives_a_renamed_file_and_a_changed_visibility() {
        let old = [identity("n", "a.c", None, false), identity("m", "a.c", None, false)];
        let new = [identity("m", "z.c", None, true), identity("n", "z.c", None, false)];
        assert_eq!(paired(&old, &new), [Partner::One(1), Partner::One(0)]);
    }

    #[test]
    fn a_static_of_another_function_is_another_variable() {
        let old = [identity("n", "a.c", Some("f"), false)];
        let new = [identity("n", "a.c", Some("g"), false)];
        assert_eq!(paired(&old, &new), [Partner::Gone]);
    }

    #[test]
    fn two_of_a_kind_are_ambiguous() {
        let old = [identity("n", "a.c", Some("f"), false), identity("n", "a.c", Some("f"), false)];
        let new = [identity("n", "a.c", Some("f"), false), identity("n", "a.c", Some("f"), false)];
        assert_eq!(paired(&old, &new), [Partner::Many(vec![0, 1]), Partner::Many(vec![0, 1])]);
    }

    #[test]
    fn parts_of_a_variable_pair_by_the_field() {
        let part = |part: &str| Identity { part: Some(part.to_owned()), ..identity("n", "a.c", None, false) };
        let old = [part(".first"), part(".count"), part(".only.old"), part(".mode as 0 or 5")];
        let new = [part(".count"), part(".only"), part(".first"), part(".mode as 0 or 7"), part(".modes")];
        let found = paired(&old, &new);
        assert_eq!(found, [Partner::One(2), Partner::One(0), Partner::Many(vec![1]), Partner::Many(vec![3])]);
        // One part each, and not the same one.
        assert_eq!(paired(&[part("[0]")], &[part("[1]")]), [Partner::Gone]);
        // The whole is no part.
        assert_eq!(paired(&old[..2], &[identity("n", "a.c", None, false)]), [Partner::Many(vec![0]), Partner::Many(vec![0])]);
    }

    #[test]
    fn what_is_given_wins_and_the_rest_follows() {
        let mut partners = vec![Partner::Many(vec![0, 1]), Partner::Many(vec![0, 1]), Partner::One(2)];
        force(&mut partners, 0, Some(1));
        assert_eq!(partners, [Partner::One(1), Partner::One(0), Partner::One(2)]);
        force(&mut partners, 0, Some(2));
        assert_eq!(partners, [Partner::One(2), Partner::One(0), Partner::Gone]);
        force(&mut partners, 1, None);
        assert_eq!(partners[1], Partner::Gone);
    }

    #[test]
    fn numbers_go_and_words_stay() {
        assert_eq!(without_numbers("counter.12"), "counter");
        assert_eq!(without_numbers("f.constprop.0.isra.1"), "f.constprop.isra");
        assert_eq!(without_numbers("plain"), "plain");
        assert_eq!(without_numbers(".L5"), ".L5");
    }
}
