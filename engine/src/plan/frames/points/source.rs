//! A function as a nest of scopes, itself and what was inlined into it, each with its calls in the order of the source.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::names::Key;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::code::{Callee, CodeImage, FunctionId};
use crate::program::dwarf::Position;
use crate::program::error::ProgramError;
use crate::program::variables::{Body, Inlined, SourceFunction, Variables};

/// A function.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name with clone suffixes.
    pub(super) name: String,
    /// What it holds.
    pub(super) scope: Scope,
}

/// A function's source, or that of one that was inlined.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Code of an inlined function as (start, end); empty for the function itself.
    pub(super) ranges: Vec<(u64, u64)>,
    /// By place in the source; those without one last.
    pub(super) items: Vec<Item>,
}

/// Something at one place of a source.
#[derive(Debug)]
pub(super) struct Item {
    /// What is called, or declared.
    pub(super) key: Key,
    /// Where, in the file that most of the scope is in.
    pub(super) place: Option<Place>,
    /// The machine's calls: several where the compiler copied one of the source, or a macro holds several.
    pub(super) calls: Vec<Call>,
    /// What was inlined instead.
    pub(super) scopes: Vec<Scope>,
}

/// A place in a file. Discriminators tell nothing: gcc gives copies of one call different ones, and two calls of a macro the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: u64,
}

/// A call of the machine code.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) address: LinkAddress,
    pub(super) next: LinkAddress,
    pub(super) is_tail: bool,
    pub(super) key: Key,
    pub(super) position: Option<Position>,
}

/// The calls of a function, in the order of its code.
pub(super) fn calls((build, image): (&Build, &CodeImage<'_>), function: FunctionId, key: impl Fn(Callee) -> Key) -> Vec<Call> {
    let sites = image.calls(function).iter().map(|site| Call {
        address: site.address,
        next: site.next,
        is_tail: site.is_tail,
        key: key(site.callee),
        position: build.position_at(site.address),
    });
    sites.collect()
}

/// Reads a function. `key` names what calls go to, `named` functions that were inlined.
pub(super) fn read(
    of: (&Build, &CodeImage<'_>),
    function: FunctionId,
    variables: &mut Variables<'_>,
    key: impl Fn(Callee) -> Key,
    named: impl Fn(&SourceFunction) -> SourceFunction,
) -> Result<Source, ProgramError> {
    let inventory = of.1.inventory();
    let described = inventory.get(function);
    let body = match described.filter(|function| !function.debug.is_empty()) {
        Some(function) => variables.body(function.entry())?,
        None => Body::default(),
    };
    let name = described.map(|function| function.full_name()).unwrap_or_default();
    Ok(Source { name, scope: scope(&body, calls(of, function, key), &named) })
}

/// One thing before those at the same place are put together.
struct Found {
    key: Key,
    position: Option<Position>,
    what: What,
}

enum What {
    Call(Call),
    Scope(Scope),
    Declaration,
}

fn scope(body: &Body, calls: Vec<Call>, named: &dyn Fn(&SourceFunction) -> SourceFunction) -> Scope {
    let mut inner: Vec<Vec<Call>> = body.inlined.iter().map(|_| Vec::new()).collect();
    let mut found = Vec::new();
    for call in calls {
        match body.inlined.iter().position(|inlined| inlined.holds(call.address.0)).and_then(|index| inner.get_mut(index)) {
            Some(inner) => inner.push(call),
            None => found.push(Found { key: call.key.clone(), position: call.position.clone(), what: What::Call(call) }),
        }
    }
    for (inlined, calls) in body.inlined.iter().zip(inner) {
        let position = inlined.called.clone();
        let inner = Scope { ranges: inlined.ranges.clone(), ..scope(&inlined.body, calls, named) };
        found.push(Found { key: inlined_key(inlined, named), position, what: What::Scope(inner) });
    }
    let file = main_file(&found);
    found.extend(body.variables.iter().filter(|variable| variable.line != 0).map(|variable| Found {
        key: Key::Variable(variable.name.clone()),
        position: file.clone().map(|file| Position { file, line: variable.line, column: variable.column }),
        what: What::Declaration,
    }));
    Scope { ranges: Vec::new(), items: together(found, file.as_deref()) }
}

fn inlined_key(inlined: &Inlined, named: &dyn Fn(&SourceFunction) -> SourceFunction) -> Key {
    match &inlined.function {
        Some(source) => Key::Function { source: named(source), is_part: false },
        None => Key::Unknown { new: false, at: inlined.ranges.first().map_or(0, |range| range.0) },
    }
}

/// The file that most of a scope is in; lines of others say nothing of the order.
fn main_file(found: &[Found]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for position in found.iter().filter_map(|found| found.position.as_ref()) {
        *counts.entry(position.file.as_str()).or_default() += 1;
    }
    let most = counts.iter().max_by_key(|(_, count)| **count)?;
    Some((*most.0).to_owned())
}

/// Puts what has one key and one place into one item; sorts by place.
fn together(found: Vec<Found>, file: Option<&str>) -> Vec<Item> {
    let mut placed: BTreeMap<(Place, Key), Item> = BTreeMap::new();
    let mut loose = Vec::new();
    for Found { key, position, what } in found {
        let position = position.filter(|position| Some(position.file.as_str()) == file);
        let place = position.map(|at| Place { line: at.line, column: at.column });
        let mut fresh = Item { key: key.clone(), place, calls: Vec::new(), scopes: Vec::new() };
        match place {
            Some(place) => put(placed.entry((place, key)).or_insert(fresh), what),
            None => {
                put(&mut fresh, what);
                loose.push(fresh);
            }
        }
    }
    placed.into_values().chain(loose).collect()
}

fn put(item: &mut Item, what: What) {
    match what {
        What::Call(call) => item.calls.push(call),
        What::Scope(scope) => item.scopes.push(scope),
        What::Declaration => {}
    }
}

impl Source {
    /// Every function that it calls or called before they were inlined.
    pub(super) fn called(&self) -> BTreeSet<SourceFunction> {
        let mut called = BTreeSet::new();
        self.scope.visit(&mut |item| {
            if let Key::Function { source, .. } = &item.key {
                called.insert(source.clone());
            }
        });
        called
    }

    /// Gives functions other names.
    pub(super) fn rename(&mut self, names: &HashMap<SourceFunction, SourceFunction>) {
        self.scope.rename(names);
    }
}

impl Scope {
    /// Visits the items, the inner ones after those around them.
    pub(super) fn visit<'s>(&'s self, see: &mut dyn FnMut(&'s Item)) {
        for item in &self.items {
            see(item);
            item.scopes.iter().for_each(|scope| scope.visit(see));
        }
    }

    fn rename(&mut self, names: &HashMap<SourceFunction, SourceFunction>) {
        for item in &mut self.items {
            item.key.rename(names);
            item.calls.iter_mut().for_each(|call| call.key.rename(names));
            item.scopes.iter_mut().for_each(|scope| scope.rename(names));
        }
        self.items.sort_by(|a, b| (a.place.is_none(), a.place, &a.key).cmp(&(b.place.is_none(), b.place, &b.key)));
    }
}

impl Key {
    fn rename(&mut self, names: &HashMap<SourceFunction, SourceFunction>) {
        if let Self::Function { source, .. } = self
            && let Some(name) = names.get(source)
        {
            *source = name.clone();
        }
    }
}
