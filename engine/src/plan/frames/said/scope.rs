//! What expressions of a spec may name of a function, and the places in its code that a spec may name.

use std::collections::BTreeMap;

use dsu_formats::spec::continuation::{CodeLine, Point};

use crate::plan::compare::Comparison;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::flow::{Graph, Unclear};
use crate::program::types::TypeId;
use crate::program::variables::Variables;

/// Why a place is not found, with the name that is most like it.
pub type NotFound = (String, Option<String>);

/// A variable of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeVariable {
    /// Its name.
    pub name: String,
    /// Its type; several where variables of one name differ.
    pub kinds: Vec<Option<TypeId>>,
    /// Which of the frames that vanish has it, from 1; 0 is the function itself.
    pub frame: u8,
}

/// All variables of one function; those of functions inlined into it as `NAME of FUNCTION`.
#[derive(Clone, Debug, Default)]
pub struct OldScope {
    /// By name.
    pub variables: Vec<ScopeVariable>,
}

impl OldScope {
    /// The variable with this name.
    pub fn get(&self, name: &str) -> Option<&ScopeVariable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    /// Adds the variables of a frame that vanishes, from 1, where none further out has their name.
    pub fn add(&mut self, frame: u8, inner: &Self) {
        for variable in &inner.variables {
            if self.get(&variable.name).is_none() {
                self.variables.push(ScopeVariable { frame, ..variable.clone() });
            }
        }
    }

    /// Names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(|variable| variable.name.as_str())
    }
}

/// The variables of a function of `build`.
pub fn scope_of(build: &Build, graph: &Graph) -> OldScope {
    let mut reader = Variables::new(build);
    let mut found: BTreeMap<String, Vec<Option<TypeId>>> = BTreeMap::new();
    let mut add = |name: String, kind: Option<TypeId>| {
        let kinds = found.entry(name).or_default();
        if !kinds.iter().any(|known| build.debug.types.peel(*known) == build.debug.types.peel(kind)) {
            kinds.push(kind);
        }
    };
    let mut last = None;
    for node in graph.nodes() {
        let line = build.line_at(node.address());
        // Scopes begin and end where lines do.
        if line == last && !node.is_call() {
            continue;
        }
        last = line;
        for local in reader.at(node.address()).unwrap_or_default() {
            let name = match &local.inlined {
                Some(function) => format!("{} of {function}", local.name),
                None => local.name,
            };
            add(name, local.kind);
        }
        for absent in reader.absent(node.address()).unwrap_or_default().into_iter().filter(|absent| absent.inlined.is_none()) {
            add(absent.name, absent.kind);
        }
    }
    OldScope { variables: found.into_iter().map(|(name, kinds)| ScopeVariable { name, kinds, frame: 0 }).collect() }
}

/// Places that a spec names, in one function of one build.
pub(in crate::plan::frames) struct Points<'p> {
    build: &'p Build,
    graph: &'p Graph,
    /// The name of what a call goes to, by its return address.
    callee: &'p dyn Fn(LinkAddress) -> Option<String>,
}

/// Whom a spec may mean with a function pointer.
const POINTER: &str = "*";
/// What messages call one.
const UNNAMED: &str = "a function pointer";

impl Points<'_> {
    /// The addresses that a point means, each with whether it is a next instruction. Of a line all calls in it where `all` asks for them.
    ///
    /// # Errors
    /// What is not there, or not certain, with the nearest name.
    pub(in crate::plan::frames) fn find(&self, point: &Point, all: bool) -> Result<Vec<(LinkAddress, bool)>, NotFound> {
        match point {
            Point::Call { callee, ordinal } => self.call(callee, *ordinal, all),
            Point::Line(line) if all => Ok(self.in_line(line)?.into_iter().collect()),
            Point::Line(line) => self.before_line(line).map(|at| vec![(at, true)]),
            Point::Label(label) => self.label(label).map(|at| vec![(at, true)]),
        }
    }

    /// Calls in the order of the source, each with what it goes to.
    pub(in crate::plan::frames) fn calls(&self) -> Vec<(LinkAddress, String)> {
        let mut calls: Vec<_> = (0u32..)
            .zip(self.graph.nodes())
            .filter(|(_, node)| node.is_call())
            .filter_map(|(number, node)| {
                let position = self.build.position_at(node.address()).map(|position| (position.line, position.column));
                Some((position, number, node.behind(), (self.callee)(node.behind())?))
            })
            .collect();
        calls.sort_by_key(|(position, number, ..)| (*position, *number));
        calls.into_iter().map(|(_, _, returns, name)| (returns, name)).collect()
    }

    fn call(&self, callee: &str, ordinal: Option<u64>, all: bool) -> Result<Vec<(LinkAddress, bool)>, NotFound> {
        let calls = self.calls();
        let is_meant = |name: &str| name == callee || (callee == POINTER && name == UNNAMED);
        let named: Vec<LinkAddress> = calls.iter().filter(|(_, name)| is_meant(name)).map(|(returns, _)| *returns).collect();
        let found = match (ordinal, &named[..]) {
            (_, []) => {
                let nearest = dsu_formats::spec::place::nearest(callee, calls.iter().map(|(_, name)| name.as_str()));
                let what = if callee == POINTER { "a function pointer".to_owned() } else { format!("`{callee}`") };
                return Err((format!("the function does not call {what}"), nearest.map(str::to_owned)));
            }
            (None, [only]) => vec![*only],
            (None, several) if all => several.to_vec(),
            (None, several) => {
                let lines: Vec<String> = several.iter().map(|returns| self.line_of(*returns)).collect();
                let message = format!(
                    "`{callee}` is called {} times; add `ordinal = 1` for the one at {}",
                    several.len(),
                    lines.join(", 2 for ")
                );
                return Err((message, None));
            }
            (Some(ordinal), several) => {
                let index = usize::try_from(ordinal).ok().and_then(|ordinal| ordinal.checked_sub(1));
                match index.and_then(|index| several.get(index)) {
                    Some(returns) => vec![*returns],
                    None => return Err((format!("`{callee}` is called {} times only", several.len()), None)),
                }
            }
        };
        Ok(found.into_iter().map(|returns| (returns, false)).collect())
    }

    fn line_of(&self, returns: LinkAddress) -> String {
        let line = self.build.line_at(LinkAddress(returns.0.wrapping_sub(1)));
        line.map_or_else(|| returns.to_string(), |(file, line)| format!("{}:{line}", file.rsplit('/').next().unwrap_or_default()))
    }

    fn is_in(&self, address: LinkAddress, wanted: &CodeLine) -> bool {
        self.build.line_at(address).is_some_and(|(file, line)| is_line(wanted, &file, line))
    }

    /// Everything in a line that a frame may be at: behind its calls, and before its instructions.
    fn in_line(&self, wanted: &CodeLine) -> Result<Vec<(LinkAddress, bool)>, NotFound> {
        let nodes = self.graph.nodes().iter().filter(|node| self.is_in(node.address(), wanted));
        let found: Vec<_> = nodes
            .flat_map(|node| {
                let call = node.is_call().then(|| (node.behind(), false));
                std::iter::once((node.address(), true)).chain(call)
            })
            .collect();
        if found.is_empty() { Err(self.no_line(wanted)) } else { Ok(found) }
    }

    fn before_line(&self, wanted: &CodeLine) -> Result<LinkAddress, NotFound> {
        let mut starts = self.graph.nodes().iter().map(crate::program::flow::Node::address).filter(|at| self.is_in(*at, wanted));
        starts.next().ok_or_else(|| self.no_line(wanted))
    }

    fn no_line(&self, wanted: &CodeLine) -> NotFound {
        let lines = self.graph.nodes().iter().filter_map(|node| self.build.line_at(node.address()));
        let nearest = lines.map(|(_, line)| line).min_by_key(|line| line.abs_diff(wanted.line));
        (format!("the function has no code of line {wanted}"), nearest.map(|line| line.to_string()))
    }

    fn label(&self, label: &str) -> Result<LinkAddress, NotFound> {
        let entry = self.graph.nodes().first().map(crate::program::flow::Node::address).unwrap_or_default();
        let labels = Variables::new(self.build).body(entry).unwrap_or_default().labels;
        match labels.iter().find(|(name, _)| name == label) {
            Some((_, at)) => Ok(*at),
            None => {
                let nearest = dsu_formats::spec::place::nearest(label, labels.iter().map(|(name, _)| name.as_str()));
                Err((format!("the function has no label `{label}` with code of its own"), nearest.map(str::to_owned)))
            }
        }
    }
}

/// Whether a line of a file is meant.
pub(in crate::plan::frames) fn is_line(wanted: &CodeLine, file: &str, line: u64) -> bool {
    let is_end = |end: &str| {
        let mut parts = file.rsplit('/');
        end.rsplit('/').all(|part| parts.next() == Some(part))
    };
    wanted.line == line && wanted.file.as_deref().is_none_or(is_end)
}

impl Comparison {
    /// The code of a changed function of the old build; with `into`, of the function of the new one that its frames become.
    ///
    /// # Errors
    /// What is not understood of it.
    pub fn changed_graph(&self, function: usize, into: Option<usize>) -> Result<&Graph, Unclear> {
        let facts = match into {
            Some(into) => self.prepared.new_function(into),
            None => self.prepared.old(function),
        };
        facts.map(|facts| &facts.graph)
    }

    /// The places in a changed function of the old build, or in one that its frames become, that a spec may name.
    pub(in crate::plan::frames) fn points_in<R>(
        &self,
        build: &Build,
        (function, into): (usize, Option<usize>),
        look: impl FnOnce(&Points<'_>) -> R,
    ) -> Result<R, Unclear> {
        let graph = self.changed_graph(function, into)?;
        let besides = into.and_then(|into| self.points.besides(function, into));
        let points = besides.as_ref().unwrap_or(&self.points);
        let callee = |returns: LinkAddress| {
            let found = match into {
                Some(_) => points.new_callee(function, returns),
                None => points.old_callee(function, returns),
            };
            found.map(|(_, name)| name.to_owned()).or_else(|| self.any_old_callee(function, returns).filter(|_| into.is_none()))
        };
        Ok(look(&Points { build, graph, callee: &callee }))
    }

    /// What a call of a function of the old build goes to that has no partner, by one of the functions that its frames become.
    fn any_old_callee(&self, function: usize, returns: LinkAddress) -> Option<String> {
        let others = self.points.pairs().filter(|(old, _)| *old == function);
        let mut found = others.filter_map(|(old, new)| self.points.besides(old, new));
        found.find_map(|points| points.old_callee(function, returns).map(|(_, name)| name.to_owned()))
    }
}

/// The calls of a changed function of the old build, or of what its frames become, in the order of the source: where each comes back to, and
/// what it goes to as a spec names it. Nothing where the code is not understood.
pub fn calls_of(comparison: &Comparison, build: &Build, side: (usize, Option<usize>)) -> Vec<(LinkAddress, String)> {
    let calls = comparison.points_in(build, side, |points| points.calls()).unwrap_or_default();
    let named = |name: String| if name == UNNAMED { POINTER.to_owned() } else { name };
    calls.into_iter().map(|(returns, name)| (returns, named(name))).collect()
}

/// The addresses that a point means in a changed function of the old build, or in one that its frames become, each with whether it is a next
/// instruction rather than where a call comes back to: in the old one all that fit, in the new one exactly one.
///
/// # Errors
/// What is not there, or not certain, with the nearest name.
pub fn code_points(
    comparison: &Comparison,
    build: &Build,
    side: (usize, Option<usize>),
    point: &Point,
) -> Result<Vec<(LinkAddress, bool)>, NotFound> {
    let found = comparison.points_in(build, side, |points| points.find(point, side.1.is_none()));
    found.unwrap_or_else(|unclear| Err((unclear.to_string(), None)))
}
