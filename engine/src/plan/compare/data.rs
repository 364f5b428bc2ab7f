//! How data changes between two builds: types, the recipes for their objects, and those for variables.

use std::collections::{HashMap, HashSet};

use super::layout::LayoutChange;
use super::objects::Object;
use super::pairs;
use super::sides::Sides;
use super::unset::Unset;
use crate::plan::data::Partner;
use crate::plan::data::change::TypeChanges;
use crate::plan::data::compile::{Compiled, Compiler, Recipes, VariablePair};
use crate::plan::data::recipe::InitialPart;
use crate::plan::data::rules::Root;
use crate::plan::spec::{Bound, Initial};
use crate::program::build::Build;
use crate::program::dwarf::Storage;
use crate::program::fresh::FreshFacts;
use crate::program::types::TypeId;

/// What is known of data before the stop.
#[derive(Debug, Default)]
pub struct DataChanges {
    /// Which types change.
    pub types: TypeChanges,
    /// How their objects are rewritten.
    pub recipes: Recipes,
    /// For variables of the old build, by position, whose type changes: how they are rewritten.
    pub variables: HashMap<usize, Compiled>,
    /// The same for thread-local ones.
    pub locals: HashMap<usize, Compiled>,
    /// For variables of the old build, by position, of which the user says so: whether they keep their value or take the initial one.
    pub told: HashMap<usize, Initial>,
    /// The same for thread-local ones.
    pub told_locals: HashMap<usize, Initial>,
    /// Variables that only the new build has, by position in it, and that a rule gives a value.
    pub fresh: Vec<(usize, Compiled)>,
    /// The same for thread-local ones.
    pub fresh_locals: Vec<(usize, Compiled)>,
    /// Parts of variables that take the initial value: position in the old build, where that has it, and in the new one.
    pub initials: Vec<(Option<usize>, usize, InitialPart)>,
    /// What is new in variables and starts as zero, although code of the new program stores to it.
    pub unset: Vec<Unset>,
}

impl DataChanges {
    /// Compares the data of two builds under the user's answers.
    pub fn new(
        (old, new): (&Build, &Build),
        sides: &Sides,
        (layouts, local_layouts): (&[Option<LayoutChange>], &[Option<LayoutChange>]),
        bound: &Bound,
    ) -> Self {
        let rules = &bound.rules;
        let fixed = Pairs { old: sides.old.objects.list(), new: sides.new.objects.list(), partners: &sides.objects, layouts };
        let local =
            Pairs { old: sides.old.locals.list(), new: sides.new.locals.list(), partners: &sides.locals, layouts: local_layouts };
        let tables = (&old.debug.types, &new.debug.types);
        let types = TypeChanges::new(tables.0, tables.1, rules, &sides.paired_types());
        let fresh = fresh(new, &types);
        let mut compiler = Compiler::new(tables, rules, &types, &fresh);
        let recipes = Recipes::new(&mut compiler);
        let ruled = rules.fields.keys().chain(rules.new_elements.keys()).filter_map(|place| match place.root {
            Root::Variable(position) => Some(position),
            Root::Type(_) => None,
        });
        let positions = (Positions::new(old), Positions::new(new));
        let ruled: HashSet<u32> = ruled.collect();
        let mut changes = Self { recipes, ..Self::default() };
        for (pairs, local) in [(&fixed, false), (&local, true)] {
            let (mut compiled, mut told) = (HashMap::new(), HashMap::new());
            for (index, from, to, layout) in pairs.iter() {
                let Some(pair) = positions.0.of(from, local).zip(positions.1.of(to, local)) else { continue };
                let pair = VariablePair { old: pair.0, new: pair.1 };
                let is_ruled = ruled.contains(&pair.new);
                if layout || types.changed(from.kind) || is_ruled {
                    compiled.insert(index, compiler.variable((old, new), pair));
                    let parts = compiler.take_initials().into_iter().filter(|_| !local);
                    let partner = pairs.partners.get(index).and_then(pairs::Partner::one);
                    changes.initials.extend(parts.filter_map(|part| Some((Some(index), partner?, part))));
                }
                let initial = bound.values.get(&pair.new).copied().or(is_ruled.then_some(Initial::Keep));
                told.extend(initial.map(|initial| (index, initial)));
            }
            let fresh = pairs.only_new().filter_map(|(index, object)| {
                let position = positions.1.of(object, local).filter(|position| ruled.contains(position))?;
                let made = compiler.new_variable(new, position);
                let parts = compiler.take_initials().into_iter().filter(|_| !local);
                changes.initials.extend(parts.map(|part| (None, index, part)));
                Some((index, made))
            });
            let fresh: Vec<_> = fresh.collect();
            match local {
                false => (changes.variables, changes.told, changes.fresh) = (compiled, told, fresh),
                true => (changes.locals, changes.told_locals, changes.fresh_locals) = (compiled, told, fresh),
            }
        }
        Self { types, ..changes }
    }

    /// Whether all data means the same in both builds.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty() && self.variables.is_empty() && self.locals.is_empty()
    }
}

/// What the new program's code clears in the objects that it makes. Without debug information that can be followed nothing is proved.
fn fresh(new: &Build, types: &TypeChanges) -> FreshFacts {
    let partner = |old: &TypeId| match types.partner(*old) {
        Partner::One(new) => Some(*new),
        _ => None,
    };
    let wanted: Vec<TypeId> = types.list().iter().filter_map(partner).collect();
    FreshFacts::find(new, &wanted).unwrap_or_else(|error| {
        tracing::debug!(%error, "nothing is proved of fresh objects");
        FreshFacts::default()
    })
}

/// Variables of both builds that are pairs.
struct Pairs<'a> {
    old: &'a [Object],
    new: &'a [Object],
    partners: &'a [pairs::Partner],
    layouts: &'a [Option<LayoutChange>],
}

impl<'a> Pairs<'a> {
    /// Position in the old build, both sides, and whether the layout differs.
    fn iter(&self) -> impl Iterator<Item = (usize, &'a Object, &'a Object, bool)> {
        let layouts = self.layouts;
        let new = self.new;
        self.old.iter().zip(self.partners).enumerate().filter_map(move |(index, (old, partner))| {
            let to = new.get(partner.one()?)?;
            Some((index, old, to, layouts.get(index).is_some_and(Option::is_some)))
        })
    }

    /// Position in the new build of each variable that is nothing's partner.
    fn only_new(&self) -> impl Iterator<Item = (usize, &'a Object)> {
        let taken: HashSet<usize> = self.partners.iter().filter_map(pairs::Partner::one).collect();
        self.new.iter().enumerate().filter(move |(index, _)| !taken.contains(index))
    }
}

/// Positions of variables in the debug information, by where they are.
struct Positions {
    fixed: HashMap<u64, Vec<u32>>,
    local: HashMap<u64, Vec<u32>>,
    kinds: Vec<Option<TypeId>>,
}

impl Positions {
    fn new(build: &Build) -> Self {
        let mut positions = Self { fixed: HashMap::new(), local: HashMap::new(), kinds: Vec::new() };
        for (position, variable) in (0u32..).zip(&build.debug.variables) {
            positions.kinds.push(variable.kind);
            match variable.storage {
                Storage::Static(address) => positions.fixed.entry(address.0).or_default().push(position),
                Storage::ThreadLocal(offset) => positions.local.entry(offset).or_default().push(position),
                Storage::None => {}
            }
        }
        positions
    }

    fn of(&self, object: &Object, local: bool) -> Option<u32> {
        let list = if local { &self.local } else { &self.fixed };
        object.kind?;
        let has_kind = |position: &&u32| self.kinds.get(**position as usize).is_some_and(|kind| *kind == object.kind);
        list.get(&object.start.0)?.iter().find(has_kind).copied()
    }
}
