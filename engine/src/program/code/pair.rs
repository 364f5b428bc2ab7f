//! Pairing functions of two builds by what the source calls them; never by a number that a compiler made.

use std::collections::HashMap;

use super::functions::{Function, FunctionId, Inventory};
use super::names::CloneKinds;

/// What a function of the old build is in the new one, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Partner {
    /// This one.
    One(FunctionId),
    /// One of these, or none; names do not tell.
    Unclear(Vec<FunctionId>),
    /// Each of these: the old function has several names at one address, which are different functions now. An address of it may mean
    /// any, whatever their code.
    Split(Vec<FunctionId>),
    /// Nothing.
    None,
}

type Key<'a> = (Option<&'a str>, &'a str, &'a CloneKinds);

/// Pairs by (unit, name), then by name alone where it is visible everywhere, then by (renamed unit, name), then by a name that occurs
/// once in each build.
pub(super) fn pair(old: &Inventory, new: &Inventory) -> Vec<Partner> {
    let mut state = State { partners: vec![Partner::None; old.len()], taken: vec![false; new.len()] };
    let units = UnitMap::new(old, new);
    state.step(
        old,
        new,
        false,
        |function| Some(key(function, function.unit.as_deref())),
        |function| Some(key(function, function.unit.as_deref())),
    );
    let external = |function| -> Option<Key<'_>> { visible(function).then(|| key(function, None)) };
    state.step(old, new, false, external, external);
    state.step(
        old,
        new,
        false,
        |function| units.renamed(function.unit.as_deref()?).map(|unit| key(function, Some(unit))),
        |function| Some(key(function, function.unit.as_deref())),
    );
    let anywhere = |function| -> Option<Key<'_>> { Some(key(function, None)) };
    state.step(old, new, true, anywhere, anywhere);
    state.unclear(old, new);
    state.aliases(old, new);
    state.partners
}

/// Which functions have a visible symbol of a name.
fn by_symbol(inventory: &Inventory) -> HashMap<&str, FunctionId> {
    let visible = inventory.iter().filter(|(_, function)| function.external);
    visible.flat_map(|(id, function)| function.symbols.iter().map(move |symbol| (symbol.as_str(), id))).collect()
}

fn key<'a>(function: &'a Function, unit: Option<&'a str>) -> Key<'a> {
    (unit, &function.name, &function.clone)
}

/// A global function; at most one of each name is in a program. Clones of one are local, whatever their origin was.
fn visible(function: &Function) -> bool {
    function.external && function.clone.is_original()
}

struct State {
    partners: Vec<Partner>,
    taken: Vec<bool>,
}

impl State {
    /// Pairs what one function on each side has a key for. With `whole`, functions that are paired already count against uniqueness.
    fn step<'a>(
        &mut self,
        old: &'a Inventory,
        new: &'a Inventory,
        whole: bool,
        old_key: impl Fn(&'a Function) -> Option<Key<'a>>,
        new_key: impl Fn(&'a Function) -> Option<Key<'a>>,
    ) {
        let old_groups = group(old, old_key, |id| whole || self.is_open(id));
        let new_groups = group(new, new_key, |id| whole || !self.is_taken(id));
        for (key, from) in old_groups {
            if let (&[from], Some(&[to])) = (&from[..], new_groups.get(&key).map(|to| &to[..]))
                && self.is_open(from)
                && !self.is_taken(to)
            {
                self.set(from, to);
            }
        }
    }

    /// Marks what is left with the functions of the same name that are left.
    fn unclear(&mut self, old: &Inventory, new: &Inventory) {
        let left = group(new, |function| Some(key(function, None)), |id| !self.is_taken(id));
        for (id, function) in old.iter() {
            if self.is_open(id)
                && let Some(candidates) = left.get(&key(function, None))
                && let Some(partner) = self.partners.get_mut(id.0 as usize)
            {
                *partner = Partner::Unclear(candidates.clone());
            }
        }
    }

    /// Functions that compiler or linker folded into one, or that were one and no longer are.
    fn aliases(&mut self, old: &Inventory, new: &Inventory) {
        let symbols = by_symbol(new);
        for (id, function) in old.iter().filter(|(_, function)| function.external) {
            let mut found: Vec<FunctionId> =
                function.symbols.iter().filter_map(|symbol| symbols.get(symbol.as_str()).copied()).collect();
            found.sort_unstable();
            found.dedup();
            if let Some(partner) = self.partners.get_mut(id.0 as usize) {
                match (&found[..], &*partner) {
                    ([_, _, ..], _) => *partner = Partner::Split(found),
                    ([only], Partner::None | Partner::Unclear(_)) => *partner = Partner::One(*only),
                    _ => {}
                }
            }
        }
    }

    fn set(&mut self, from: FunctionId, to: FunctionId) {
        if let (Some(partner), Some(taken)) = (self.partners.get_mut(from.0 as usize), self.taken.get_mut(to.0 as usize)) {
            *partner = Partner::One(to);
            *taken = true;
        }
    }

    fn is_open(&self, id: FunctionId) -> bool {
        self.partners.get(id.0 as usize) == Some(&Partner::None)
    }

    fn is_taken(&self, id: FunctionId) -> bool {
        self.taken.get(id.0 as usize).copied().unwrap_or(true)
    }
}

fn group<'a>(
    inventory: &'a Inventory,
    key: impl Fn(&'a Function) -> Option<Key<'a>>,
    counts: impl Fn(FunctionId) -> bool,
) -> HashMap<Key<'a>, Vec<FunctionId>> {
    let mut groups: HashMap<Key<'a>, Vec<FunctionId>> = HashMap::new();
    for (id, function) in inventory.iter().filter(|(id, _)| counts(*id)) {
        if let Some(key) = key(function) {
            groups.entry(key).or_default().push(id);
        }
    }
    groups
}

/// Which unit of the new build a unit of the old one became when its path changed (a build directory with a version in it).
struct UnitMap<'a> {
    renamed: HashMap<&'a str, &'a str>,
}

impl<'a> UnitMap<'a> {
    fn new(old: &'a Inventory, new: &'a Inventory) -> Self {
        let names = |inventory: &'a Inventory| -> std::collections::BTreeSet<&'a str> {
            inventory.iter().filter_map(|(_, function)| function.unit.as_deref()).collect()
        };
        let (from, to) = (names(old), names(new));
        let gone: Vec<&str> = from.difference(&to).copied().collect();
        let come: Vec<&str> = to.difference(&from).copied().collect();
        let renamed = gone.iter().filter_map(|unit| {
            let partner = closest(unit, &come)?;
            (closest(partner, &gone)? == *unit).then_some((*unit, partner))
        });
        Self { renamed: renamed.collect() }
    }

    fn renamed(&self, unit: &str) -> Option<&'a str> {
        self.renamed.get(unit).copied()
    }
}

/// The one path among `others` that shares the most components with the end of `unit`, the file name at least.
fn closest<'a>(unit: &str, others: &[&'a str]) -> Option<&'a str> {
    let shared = |other: &str| unit.rsplit('/').zip(other.rsplit('/')).take_while(|(a, b)| a == b).count();
    let best = others.iter().map(|other| shared(other)).max().filter(|best| *best > 0)?;
    let mut found = others.iter().filter(|other| shared(other) == best);
    let only = found.next()?;
    found.next().is_none().then_some(*only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_their_end() {
        let others = ["/b/v2/src/main.c", "/b/v2/lib/main.c", "/b/v2/src/net.c"];
        assert_eq!(closest("/b/v1/src/main.c", &others), Some("/b/v2/src/main.c"));
        assert_eq!(closest("/b/v1/main.c", &others), None);
        assert_eq!(closest("/b/v1/other.c", &others), None);
        assert_eq!(closest("net.c", &others), Some("/b/v2/src/net.c"));
    }
}
