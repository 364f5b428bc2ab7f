//! What calls go to, in names that mean the same in both builds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::source::Source;
use crate::plan::compare::functions::position;
use crate::plan::compare::sides::Sides;
use crate::plan::compare::units::UnitMap;
use crate::program::build::Build;
use crate::program::code::{Callee, CodeImage, Function, FunctionId};
use crate::program::variables::SourceFunction;

/// What a call goes to. Functions of the old build have the names of their partners.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// A function of the program, inlined or not.
    Function {
        /// Which.
        source: SourceFunction,
        /// Whether only the part of it that the compiler split off (`.part`).
        is_part: bool,
    },
    /// A function of a library.
    Import {
        /// Symbol.
        name: String,
        /// Its version.
        version: Option<String>,
    },
    /// What the selector of an indirect function chose.
    Selected(SourceFunction),
    /// Whatever a pointer points to.
    Indirect,
    /// Nothing that has a name; equal to nothing in the other build.
    Unknown {
        /// Of the new build rather than of the old one.
        new: bool,
        /// Link-time address that tells it from others.
        at: u64,
    },
    /// No call: a variable's declaration, which calls lie before or behind.
    Variable(String),
}

impl Key {
    /// As messages name it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Function { source, .. } | Self::Selected(source) => source.name.clone(),
            Self::Import { name, .. } | Self::Variable(name) => name.clone(),
            Self::Indirect => "a function pointer".to_owned(),
            Self::Unknown { at, .. } => format!("code at +{at:#x} without a name"),
        }
    }
}

/// The names of both builds' functions.
pub(super) struct Names {
    /// Source functions of the old build whose partner is called differently.
    renamed: HashMap<SourceFunction, SourceFunction>,
    units: UnitMap,
    /// Functions of the new build by source, parts apart.
    copies: BTreeMap<(SourceFunction, bool), Vec<usize>>,
}

impl Names {
    pub(super) fn new(old: (&Build, &CodeImage<'_>), new: (&Build, &CodeImage<'_>), sides: &Sides) -> Self {
        let mut partners: HashMap<SourceFunction, BTreeSet<SourceFunction>> = HashMap::new();
        for (id, function) in old.1.inventory().iter() {
            let partner = sides.functions.get(position(id)).and_then(|partner| partner.one());
            let partner = partner.and_then(super::number).and_then(|id| new.1.inventory().get(id));
            if let Some(partner) = partner {
                partners.entry(source(function)).or_default().insert(source(partner));
            }
        }
        // A function and its specialised copies that became different functions: no name stands for all of them.
        let renamed = partners.into_iter().filter_map(|(from, to)| match to.len() {
            1 => to.into_iter().next().map(|to| (from, to)),
            _ => None,
        });
        let mut copies: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (id, function) in new.1.inventory().iter() {
            copies.entry((source(function), is_part(function))).or_default().push(position(id));
        }
        Self { renamed: renamed.collect(), units: UnitMap::new(units(old.0), units(new.0)), copies }
    }

    /// What the new build calls a source function of the old one.
    pub(super) fn translated(&self, source: &SourceFunction) -> SourceFunction {
        if let Some(renamed) = self.renamed.get(source) {
            return renamed.clone();
        }
        let unit = source.unit.as_deref().map(|unit| self.units.new_name(unit).unwrap_or(unit).to_owned());
        SourceFunction { unit, name: source.name.clone() }
    }

    /// The only function of the new build that the source function behind `id` of the old build became.
    pub(super) fn only_copy(&self, from: &CodeImage<'_>, id: FunctionId) -> Option<usize> {
        let function = from.inventory().get(id)?;
        match self.copies.get(&(self.translated(&source(function)), is_part(function))).map(Vec::as_slice) {
            Some([only]) => Some(*only),
            _ => None,
        }
    }

    pub(super) fn old_name(&self, image: &CodeImage<'_>, id: FunctionId) -> String {
        image.inventory().get(id).map(Function::full_name).unwrap_or_default()
    }

    pub(super) fn old_callee(&self, image: &CodeImage<'_>, callee: Callee) -> Key {
        key(image, callee, false, |source| self.translated(source))
    }

    pub(super) fn new_callee(&self, image: &CodeImage<'_>, callee: Callee) -> Key {
        key(image, callee, true, SourceFunction::clone)
    }
}

fn key(image: &CodeImage<'_>, callee: Callee, new: bool, named: impl Fn(&SourceFunction) -> SourceFunction) -> Key {
    let function = |id| image.inventory().get(id);
    match callee {
        Callee::Function(id) => match function(id) {
            Some(function) => Key::Function { source: named(&source(function)), is_part: is_part(function) },
            None => Key::Unknown { new, at: 0 },
        },
        Callee::Import(import) => match image.import(import) {
            Some(symbol) => Key::Import { name: symbol.name.clone(), version: symbol.version.clone() },
            None => Key::Unknown { new, at: 0 },
        },
        Callee::Selected(at) => match image.inventory().entered_at(at).and_then(function) {
            Some(selector) => Key::Selected(named(&source(selector))),
            None => Key::Unknown { new, at: at.0 },
        },
        Callee::Indirect => Key::Indirect,
        Callee::Unknown(at) => Key::Unknown { new, at: at.0 },
    }
}

/// The source function that `function` is a copy of.
fn source(function: &Function) -> SourceFunction {
    let unit = if function.external { None } else { Some(function.unit.clone().unwrap_or_default()) };
    SourceFunction { unit, name: function.name.clone() }
}

fn is_part(function: &Function) -> bool {
    function.clone.kinds().iter().any(|kind| kind == "part")
}

fn units(build: &Build) -> impl Iterator<Item = &str> {
    build.debug.functions.iter().map(|function| function.unit.as_str()).filter(|unit| !unit.is_empty())
}

/// Gives functions of the old source that the new one does not know the new name where a bare name tells: one in each of the two
/// functions has it (a static that became visible, a file that was renamed).
pub(super) fn settle(old: &mut Source, new: &Source) {
    let (from, to) = (old.called(), new.called());
    let by_name = |functions: &BTreeSet<SourceFunction>| -> HashMap<String, Option<SourceFunction>> {
        let mut named: HashMap<String, Option<SourceFunction>> = HashMap::new();
        for function in functions {
            named.entry(function.name.clone()).and_modify(|known| *known = None).or_insert_with(|| Some(function.clone()));
        }
        named
    };
    let (from_names, to_names) = (by_name(&from), by_name(&to));
    let mut given: HashMap<SourceFunction, SourceFunction> = HashMap::new();
    for function in from.difference(&to) {
        let alone = from_names.get(&function.name).is_some_and(Option::is_some);
        if let (true, Some(Some(partner))) = (alone, to_names.get(&function.name)) {
            given.insert(function.clone(), partner.clone());
        }
    }
    if !given.is_empty() {
        old.rename(&given);
    }
}
