//! Everything of two builds that has a name, and what of one is what of the other.

use super::functions::Functions;
use super::objects::{Object, Objects};
use super::pairs::{Identity, Partner, pair};
use super::strings::Strings;
use super::units::UnitMap;
use crate::plan::abi;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::elf::{Elf, Relocation};
use crate::program::types::TypeId;

/// One build.
#[derive(Debug)]
pub struct Side {
    /// Variables at fixed addresses.
    pub objects: Objects,
    /// Thread-local variables, by offset.
    pub locals: Objects,
    /// Functions.
    pub functions: Functions,
    /// String literals.
    pub strings: Strings,
    /// Positions of dynamic relocations by ascending address.
    relocations: Vec<(LinkAddress, u32)>,
}

impl Side {
    fn read(build: &Build) -> Self {
        let (elf, debug) = (&build.elf, &build.debug);
        let (objects, locals) = Objects::read(elf, &elf.symbols, &debug.variables, &debug.types);
        let strings = Strings::read(elf, &objects);
        let mut relocations: Vec<_> = (0u32..).zip(&elf.relocations).map(|(index, entry)| (entry.address, index)).collect();
        relocations.sort_unstable();
        Self { objects, locals, functions: Functions::default(), strings, relocations }
    }

    /// The dynamic relocations of `length` bytes from `start` on, ascending.
    pub fn relocations<'e>(&self, elf: &'e Elf, start: LinkAddress, length: u64) -> impl Iterator<Item = &'e Relocation> {
        let from = self.relocations.partition_point(|entry| entry.0 < start);
        let to = self.relocations.partition_point(|entry| entry.0 < start.offset(length));
        let found: Vec<u32> = self.relocations.get(from..to).unwrap_or_default().iter().map(|entry| entry.1).collect();
        found.into_iter().filter_map(|index| elf.relocations.get(index as usize)).filter(|entry| entry.kind != abi::R_NONE)
    }

    /// Whether `length` bytes from `start` on hold a relocated word.
    pub fn is_relocated(&self, start: LinkAddress, length: u64) -> bool {
        let from = self.relocations.partition_point(|entry| entry.0 < start);
        self.relocations.get(from).is_some_and(|entry| entry.0 < start.offset(length))
    }
}

/// Two builds, paired.
#[derive(Debug)]
pub struct Sides {
    /// The old build.
    pub old: Side,
    /// The new build.
    pub new: Side,
    /// For each variable of the old build its partner.
    pub objects: Vec<Partner>,
    /// For each thread-local variable of the old build its partner.
    pub locals: Vec<Partner>,
    /// For each function of the old build its partner.
    pub functions: Vec<Partner>,
}

impl Sides {
    /// Reads two builds and pairs their variables. Functions follow when code is compared.
    pub fn new(old: &Build, new: &Build) -> Self {
        let units = UnitMap::new(unit_names(old), unit_names(new));
        let (old, new) = (Side::read(old), Side::read(new));
        let objects = pair(&identities(old.objects.list()), &identities(new.objects.list()), &units);
        let locals = pair(&identities(old.locals.list()), &identities(new.locals.list()), &units);
        Self { old, new, objects, locals, functions: Vec::new() }
    }

    /// Types of paired variables, old and new; thread-local ones last.
    pub fn paired_types(&self) -> Vec<(Option<TypeId>, Option<TypeId>)> {
        let of = |(olds, news): (&Objects, &Objects), partners: &[Partner]| -> Vec<_> {
            let pairs = olds.list().iter().zip(partners);
            pairs.filter_map(|(old, partner)| Some((old.kind, news.list().get(partner.one()?)?.kind))).collect()
        };
        let mut types = of((&self.old.objects, &self.new.objects), &self.objects);
        types.extend(of((&self.old.locals, &self.new.locals), &self.locals));
        types
    }
}

fn identities(objects: &[Object]) -> Vec<&Identity> {
    objects.iter().map(|object| &object.identity).collect()
}

fn unit_names(build: &Build) -> impl Iterator<Item = &str> {
    let functions = build.debug.functions.iter().map(|function| function.unit.as_str());
    functions.chain(build.debug.variables.iter().map(|variable| variable.unit.as_str())).filter(|unit| !unit.is_empty())
}
