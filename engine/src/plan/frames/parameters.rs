//! Where the arguments of a function are when it is entered (System V ABI, 3.2.3), by the names of its parameters.

use gimli::constants::DW_ATE_float;

use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::flow::Place;
use crate::program::types::{Shape, TypeId};
use crate::program::variables::Variables;

/// Registers of the first integer arguments, as instructions number them.
const GENERAL: [u8; 6] = [7, 6, 2, 1, 8, 9];
/// How many arguments go into vector registers.
const VECTORS: u8 = 8;

/// The parameters of a function with the places of their arguments.
#[derive(Debug)]
pub(super) struct Parameters {
    places: Vec<(Place, String)>,
    /// Whether the place of each is known.
    is_whole: bool,
}

/// How an argument is passed.
enum Class {
    General,
    Vector,
    Other,
}

impl Parameters {
    /// The parameters of the function entered at `entry`, if all are known. A copy that the compiler made for some arguments only has
    /// others than its source, and is not understood.
    pub(super) fn of(build: &Build, entry: LinkAddress) -> Option<Self> {
        let described =
            build.debug.functions.iter().find(|function| function.ranges.first().is_some_and(|range| range.0 == entry))?;
        let symbols = build.elf.symbols.iter().filter(|symbol| symbol.is_code() && symbol.address == entry);
        if symbols.clone().any(|symbol| symbol.name.contains('.')) {
            return None;
        }
        let types = &build.debug.types;
        let Shape::Function { parameters, .. } = &types.get(types.peel(described.kind)?).shape else { return None };
        let locals = Variables::new(build).at(entry).ok()?;
        let mut names = locals.into_iter().filter(|local| local.inlined.is_none());
        let (mut general, mut vectors, mut stack) = (GENERAL.iter(), 0..VECTORS, 0i64);
        let (mut places, mut is_whole) = (Vec::new(), true);
        for kind in parameters {
            let local = names.next().filter(|local| types.peel(local.kind) == types.peel(*kind))?;
            let place = match class(build, *kind) {
                Class::General => general.next().map(|register| Place::Register(*register)),
                Class::Vector => vectors.next().map(Place::Vector),
                // How it is passed decides where all that follow are.
                Class::Other => {
                    is_whole = false;
                    break;
                }
            };
            let place = place.unwrap_or_else(|| {
                stack += 8;
                Place::Slot { offset: stack - 8, length: 8 }
            });
            places.push((place, local.name));
        }
        Some(Self { places, is_whole })
    }

    /// All parameters with the places of their arguments.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Place, &str)> {
        self.places.iter().map(|(place, name)| (place, name.as_str()))
    }

    /// Whether no parameter is anywhere else.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Where the argument of a parameter is.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        self.places.iter().find(|(_, own)| own == name).map(|(place, _)| *place)
    }

    /// The parameter whose argument is at a place when the function is entered.
    pub(super) fn name(&self, place: Place) -> Option<&str> {
        let holds = |own: &Place| match (*own, place) {
            (Place::Slot { offset: own, .. }, Place::Slot { offset, length }) => own == offset && length <= 8,
            (own, place) => own == place,
        };
        self.places.iter().find(|(own, _)| holds(own)).map(|(_, name)| name.as_str())
    }
}

fn class(build: &Build, kind: Option<TypeId>) -> Class {
    let types = &build.debug.types;
    let Some(peeled) = types.peel(kind) else { return Class::Other };
    match &types.get(peeled).shape {
        Shape::Base { encoding } if *encoding == DW_ATE_float.0 && types.size_of(kind).is_some_and(|size| size <= 8) => {
            Class::Vector
        }
        Shape::Base { encoding } if *encoding != DW_ATE_float.0 && types.size_of(kind).is_some_and(|size| size <= 8) => {
            Class::General
        }
        Shape::Pointer { .. } | Shape::Enum { .. } => Class::General,
        _ => Class::Other,
    }
}
