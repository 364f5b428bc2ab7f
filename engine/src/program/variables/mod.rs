//! Variables of functions at a place in their code: parameters, locals, those of inlined functions, with where they are.
//!
//! Read when asked for, function by function: most functions are on no stack. A unit's functions are indexed once.

mod evaluate;
mod nesting;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use evaluate::{Frame, Piece, Source};
pub use nesting::{Body, Declared, Inlined, SourceFunction};

use super::address::LinkAddress;
use super::build::Build;
use super::dwarf::Reader;
use super::error::ProgramError;
use super::types::TypeId;
use scope::Scopes;
pub(in crate::program) use scope::functions as function_entries;

/// Reads the variables of a build's functions.
pub struct Variables<'b> {
    build: &'b Build,
    dwarf: gimli::Dwarf<Reader<'b>>,
    units: HashMap<usize, Unit<'b>>,
}

/// A unit with the entries of its functions.
struct Unit<'b> {
    unit: gimli::Unit<Reader<'b>>,
    /// Offset in `.debug_info`.
    base: usize,
    /// (start, end, entry) of functions, ascending.
    functions: Vec<(u64, u64, gimli::UnitOffset)>,
}

impl Unit<'_> {
    /// The function whose code holds `place`.
    fn function_at(&self, place: LinkAddress) -> Option<gimli::UnitOffset> {
        let count = self.functions.partition_point(|function| function.0 <= place.0);
        let mut before = self.functions.get(..count).unwrap_or_default().iter().rev();
        before.find(|function| place.0 < function.1).map(|function| function.2)
    }
}

/// A variable in scope at a place that is nowhere there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absent {
    /// Name.
    pub name: String,
    /// The inlined function that it belongs to; `None` for the function itself.
    pub inlined: Option<String>,
    /// Its type; `None` is unknown.
    pub kind: Option<TypeId>,
    /// Line of its declaration; 0 when unknown.
    pub line: u64,
    /// What it is as long as it lives (DW_AT_const_value), sign-extended where the attribute is signed; `None` where it is optimised away.
    pub value: Option<u64>,
}

/// A variable at a place in the code.
#[derive(Clone, Debug)]
pub struct Local<'b> {
    /// Name.
    pub name: String,
    /// The inlined function that it belongs to; `None` for the function itself.
    pub inlined: Option<String>,
    /// Its type; `None` is unknown.
    pub kind: Option<TypeId>,
    /// Line of its declaration; 0 when unknown.
    pub line: u64,
    location: gimli::Expression<Reader<'b>>,
    frame_base: Option<gimli::Expression<Reader<'b>>>,
    unit: usize,
}

impl<'b> Variables<'b> {
    /// A reader over `build`.
    pub fn new(build: &'b Build) -> Self {
        Self { build, dwarf: build.sections().dwarf(), units: HashMap::new() }
    }

    /// The variables in scope at `place` that are somewhere there. A place behind a call is asked about by an address within the call.
    ///
    /// # Errors
    /// Debug information that cannot be decoded.
    pub fn at(&mut self, place: LinkAddress) -> Result<Vec<Local<'b>>, ProgramError> {
        self.ask("the variables", place, |scopes, function| scopes.locals(function))
    }

    /// The variables in scope at `place` that are nowhere there: numbers, or optimised away.
    ///
    /// # Errors
    /// Debug information that cannot be decoded.
    pub fn absent(&mut self, place: LinkAddress) -> Result<Vec<Absent>, ProgramError> {
        self.ask("the variables", place, |scopes, function| scopes.absent(function))
    }

    /// The source of the function entered at `entry` as it nests: its variables, and the functions that were inlined into it with theirs.
    /// Empty without debug information.
    ///
    /// # Errors
    /// Debug information that cannot be decoded.
    pub fn body(&mut self, entry: LinkAddress) -> Result<Body, ProgramError> {
        self.ask("the function", entry, |scopes, function| scopes.body(function))
    }

    /// Has the scopes of the function around `place` asked; nothing is known where there is none.
    fn ask<T: Default>(
        &mut self,
        what: &str,
        place: LinkAddress,
        ask: impl FnOnce(&Scopes<'b, '_>, gimli::UnitOffset) -> gimli::Result<T>,
    ) -> Result<T, ProgramError> {
        let Some(base) = self.build.unit_at(place) else { return Ok(T::default()) };
        let error = |source| ProgramError::Dwarf { place: format!("{what} at {place}"), source };
        let function = self.unit(base).map_err(error)?.function_at(place);
        match (function, self.units.get(&base)) {
            (Some(function), Some(unit)) => {
                let scopes = Scopes { build: self.build, dwarf: &self.dwarf, unit, place: place.0 };
                ask(&scopes, function).map_err(error)
            }
            _ => Ok(T::default()),
        }
    }

    /// The names of the parameters, as the source has them, of the function entered at `entry`.
    ///
    /// # Errors
    /// Debug information that cannot be decoded.
    pub fn parameters(&mut self, entry: LinkAddress) -> Result<Vec<String>, ProgramError> {
        let Some(base) = self.build.unit_at(entry) else { return Ok(Vec::new()) };
        let error = |source| ProgramError::Dwarf { place: format!("the function at {entry}"), source };
        let function = self.unit(base).map_err(error)?.function_at(entry);
        match (function, self.units.get(&base)) {
            (Some(function), Some(unit)) => {
                let scopes = Scopes { build: self.build, dwarf: &self.dwarf, unit, place: entry.0 };
                scopes.parameters(function).map_err(error)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether the function entered at `entry` was written in C, so that structures are passed as the System V ABI has them (3.2.3): other
    /// languages have values that are always passed by address.
    pub fn is_c(&mut self, entry: LinkAddress) -> bool {
        let Some(base) = self.build.unit_at(entry) else { return false };
        let Ok(Unit { unit, .. }) = self.unit(base) else { return false };
        let mut entries = unit.entries();
        let language = match entries.next_dfs() {
            Ok(Some(root)) => root.attr_value(gimli::DW_AT_language),
            _ => None,
        };
        let known = [gimli::DW_LANG_C, gimli::DW_LANG_C89, gimli::DW_LANG_C99, gimli::DW_LANG_C11, gimli::DW_LANG_C17];
        matches!(language, Some(gimli::AttributeValue::Language(language)) if known.contains(&language))
    }

    fn unit(&mut self, base: usize) -> gimli::Result<&Unit<'b>> {
        if !self.units.contains_key(&base) {
            let header = self.dwarf.unit_header(gimli::DebugInfoOffset(base))?;
            let unit = self.dwarf.unit(header)?;
            let functions = scope::functions(&self.dwarf, &unit)?;
            self.units.insert(base, Unit { unit, base, functions });
        }
        self.units.get(&base).ok_or(gimli::Error::NoEntryAtGivenOffset(0))
    }
}
