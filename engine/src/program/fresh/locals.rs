//! Variables of all functions with where they are and when: what tells the type of a pointer that code handles.

use std::collections::{HashMap, HashSet};

use gimli::{AttributeValue, DebuggingInformationEntry, Expression, Operation, constants as dw};

use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::dwarf::Reader;
use crate::program::error::ProgramError;
use crate::program::types::{Shape, TypeId};

/// Steps from a copy to what it is a copy of; more is a loop.
const ORIGIN_LIMIT: usize = 16;

/// Number of a general register as instructions encode it.
pub(in crate::program) type Number = usize;

/// Where a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::program) enum Place {
    /// In a register.
    Register(Number),
    /// In memory, so far from the stack pointer at the function's entry.
    Frame(i64),
    /// In memory, so far from what a register holds.
    Based(Number, i64),
    /// Nowhere; this is its value: what a register holds, plus bytes.
    Value(Number, i64),
}

/// A variable while it is at one place.
#[derive(Clone, Copy, Debug)]
pub(in crate::program) struct Local {
    /// Its type.
    pub(in crate::program) kind: TypeId,
    /// First address and behind-last address of the code that finds it there.
    pub(in crate::program) range: (u64, u64),
    /// Where.
    pub(in crate::program) place: Place,
    /// Whether that is all the code that it is in scope of.
    pub(in crate::program) always: bool,
}

/// The variables of a build's functions.
#[derive(Debug, Default)]
pub(in crate::program) struct Locals {
    /// By the start of each range of code of their function.
    by_start: HashMap<u64, usize>,
    lists: Vec<Vec<Local>>,
    /// Types, not pointers, of which functions have variables of their own.
    pub(in crate::program) automatic: HashSet<TypeId>,
}

impl Locals {
    /// Reads the variables of all functions.
    pub(in crate::program) fn read(build: &Build) -> Result<Self, ProgramError> {
        let dwarf = build.sections().dwarf();
        let error = |source| ProgramError::Dwarf { place: "the variables of functions".to_owned(), source };
        let mut units = Vec::new();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().map_err(error)? {
            let Some(start) = header.debug_info_offset() else { continue };
            let end = start.0 + header.length_including_self();
            units.push(Unit { start: start.0, end, unit: dwarf.unit(header).map_err(error)? });
        }
        let mut reading = Reading { build, dwarf: &dwarf, units: &units, found: Self::default() };
        for unit in &units {
            reading.unit(unit).map_err(error)?;
        }
        Ok(reading.found)
    }

    /// Reads the variables of the one function that is entered at `entry`. What another unit says of them is left out.
    pub(in crate::program) fn around(build: &Build, entry: LinkAddress) -> Result<Self, ProgramError> {
        let Some(start) = build.unit_at(entry) else { return Ok(Self::default()) };
        let dwarf = build.sections().dwarf();
        let error = |source| ProgramError::Dwarf { place: format!("the variables of the function at {entry}"), source };
        let header = dwarf.unit_header(gimli::DebugInfoOffset(start)).map_err(error)?;
        let end = start + header.length_including_self();
        let units = [Unit { start, end, unit: dwarf.unit(header).map_err(error)? }];
        let mut reading = Reading { build, dwarf: &dwarf, units: &units, found: Self::default() };
        for unit in &units {
            let functions = build.functions_of_unit(start, &dwarf, &unit.unit).map_err(error)?;
            let first = functions.partition_point(|function| function.0 < entry.0);
            for function in functions.iter().skip(first).take_while(|function| function.0 == entry.0) {
                reading.function(unit, function.2).map_err(error)?;
            }
        }
        Ok(reading.found)
    }

    /// The variables of the function that is entered at `entry`.
    pub(in crate::program) fn of(&self, entry: u64) -> &[Local] {
        let list = self.by_start.get(&entry).and_then(|index| self.lists.get(*index));
        list.map_or(&[], Vec::as_slice)
    }
}

struct Unit<'b> {
    start: usize,
    end: usize,
    unit: gimli::Unit<Reader<'b>>,
}

type Entry<'b> = DebuggingInformationEntry<Reader<'b>>;
type Entries<'b, 'a> = gimli::EntriesCursor<'a, Reader<'b>>;
type Ranges = Vec<(u64, u64)>;

/// A function or a block that is being read.
struct Scope {
    depth: isize,
    ranges: Ranges,
    function: usize,
    frame: Option<Frame>,
}

/// What a function's frame base is.
#[derive(Clone, Copy)]
enum Frame {
    /// The canonical frame address: 8 above the stack pointer at the entry.
    Canonical,
    Register(Number),
}

struct Reading<'b, 'r> {
    build: &'b Build,
    dwarf: &'r gimli::Dwarf<Reader<'b>>,
    units: &'r [Unit<'b>],
    found: Locals,
}

impl<'b> Reading<'b, '_> {
    fn unit(&mut self, unit: &Unit<'b>) -> gimli::Result<()> {
        self.entries(unit, unit.unit.entries(), false)
    }

    /// The variables of the function whose entry is at `offset`.
    fn function(&mut self, unit: &Unit<'b>, offset: gimli::UnitOffset) -> gimli::Result<()> {
        self.entries(unit, unit.unit.entries_at_offset(offset)?, true)
    }

    /// Reads all entries, or the first one with those below it.
    fn entries(&mut self, unit: &Unit<'b>, mut entries: Entries<'b, '_>, only_first: bool) -> gimli::Result<()> {
        let mut scopes: Vec<Scope> = Vec::new();
        let mut first = None;
        while let Some(entry) = entries.next_dfs()? {
            if only_first && first.is_some_and(|first| entry.depth() <= first) {
                break;
            }
            first = first.or(Some(entry.depth()));
            while scopes.last().is_some_and(|scope| scope.depth >= entry.depth()) {
                scopes.pop();
            }
            match entry.tag() {
                dw::DW_TAG_subprogram => {
                    let ranges = self.ranges(unit, entry)?;
                    if !ranges.is_empty() {
                        let function = self.found.lists.len();
                        self.found.lists.push(Vec::new());
                        self.found.by_start.extend(ranges.iter().map(|range| (range.0, function)));
                        let frame = self.frame(unit, entry);
                        scopes.push(Scope { depth: entry.depth(), ranges, function, frame });
                    }
                }
                dw::DW_TAG_lexical_block | dw::DW_TAG_inlined_subroutine => {
                    let Some(around) = scopes.last() else { continue };
                    let (function, frame) = (around.function, around.frame);
                    let mut ranges = self.ranges(unit, entry)?;
                    if ranges.is_empty() {
                        ranges.clone_from(&around.ranges);
                    }
                    scopes.push(Scope { depth: entry.depth(), ranges, function, frame });
                }
                dw::DW_TAG_variable | dw::DW_TAG_formal_parameter => {
                    if let Some(scope) = scopes.last() {
                        self.variable(unit, entry, scope)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn ranges(&self, unit: &Unit<'b>, entry: &Entry<'b>) -> gimli::Result<Ranges> {
        let mut found = Vec::new();
        let mut ranges = self.dwarf.die_ranges(&unit.unit, entry)?;
        while let Some(range) = ranges.next()? {
            if range.begin < range.end && range.begin != 0 {
                found.push((range.begin, range.end));
            }
        }
        Ok(found)
    }

    fn frame(&self, unit: &Unit<'b>, entry: &Entry<'b>) -> Option<Frame> {
        let expression = entry.attr_value(dw::DW_AT_frame_base)?.exprloc_value()?;
        match operations(unit, expression)?.as_slice() {
            [Operation::CallFrameCFA] => Some(Frame::Canonical),
            [Operation::Register { register }] => number(*register).map(Frame::Register),
            _ => None,
        }
    }

    fn variable(&mut self, unit: &Unit<'b>, entry: &Entry<'b>, scope: &Scope) -> gimli::Result<()> {
        let Some(kind) = self.kind(unit, entry)? else { return Ok(()) };
        let location = entry.attr_value(dw::DW_AT_location);
        if !self.is_word(kind) && entry.attr_value(dw::DW_AT_declaration).is_none() && !is_static(unit, location.as_ref()) {
            self.found.automatic.insert(kind);
        }
        let mut found = Vec::new();
        match location {
            None => {}
            Some(AttributeValue::Exprloc(expression)) => {
                if let Some(place) = place(unit, expression, scope.frame) {
                    found.extend(scope.ranges.iter().map(|range| Local { kind, range: *range, place, always: true }));
                }
            }
            Some(value) => {
                let Some(mut list) = self.dwarf.attr_locations(&unit.unit, value)? else { return Ok(()) };
                while let Some(part) = list.next()? {
                    if let Some(place) = place(unit, part.data, scope.frame) {
                        found.push(Local { kind, range: (part.range.begin, part.range.end), place, always: false });
                    }
                }
            }
        }
        if let Some(list) = self.found.lists.get_mut(scope.function) {
            list.extend(found);
        }
        Ok(())
    }

    /// Whether a variable of this type is a word rather than an object.
    fn is_word(&self, kind: TypeId) -> bool {
        let types = &self.build.debug.types;
        types
            .normal(Some(kind))
            .is_none_or(|kind| !matches!(types.get(kind).shape, Shape::Struct { .. } | Shape::Union { .. } | Shape::Array { .. }))
    }

    /// The type of a variable, or of what it is a copy of.
    fn kind(&self, unit: &Unit<'b>, entry: &Entry<'b>) -> gimli::Result<Option<TypeId>> {
        let (mut unit, mut entry) = (unit, entry.clone());
        for _ in 0..ORIGIN_LIMIT {
            match entry.attr_value(dw::DW_AT_type) {
                Some(AttributeValue::UnitRef(offset)) => return Ok(self.build.debug.type_at(unit.start + offset.0)),
                Some(AttributeValue::DebugInfoRef(offset)) => return Ok(self.build.debug.type_at(offset.0)),
                Some(_) => return Ok(None),
                None => {}
            }
            let origin = entry.attr_value(dw::DW_AT_abstract_origin).or_else(|| entry.attr_value(dw::DW_AT_specification));
            let offset = match origin {
                Some(AttributeValue::UnitRef(offset)) => offset,
                Some(AttributeValue::DebugInfoRef(offset)) => {
                    let after = self.units.partition_point(|unit| unit.start <= offset.0);
                    let other = after.checked_sub(1).and_then(|index| self.units.get(index));
                    let Some(other) = other.filter(|other| offset.0 < other.end) else { return Ok(None) };
                    unit = other;
                    gimli::UnitOffset(offset.0 - other.start)
                }
                _ => return Ok(None),
            };
            entry = unit.unit.entry(offset)?;
        }
        Ok(None)
    }
}

fn operations<'b>(unit: &Unit<'b>, expression: Expression<Reader<'b>>) -> Option<Vec<Operation<Reader<'b>>>> {
    let mut operations = expression.operations(unit.unit.encoding());
    let mut found = Vec::new();
    while let Some(operation) = operations.next().ok()? {
        found.push(operation);
    }
    Some(found)
}

fn place<'b>(unit: &Unit<'b>, expression: Expression<Reader<'b>>, frame: Option<Frame>) -> Option<Place> {
    Some(match operations(unit, expression)?.as_slice() {
        [Operation::Register { register }] => Place::Register(number(*register)?),
        [Operation::FrameOffset { offset }] => match frame? {
            Frame::Canonical => Place::Frame(offset.checked_add(8)?),
            Frame::Register(base) => Place::Based(base, *offset),
        },
        [Operation::RegisterOffset { register, offset, .. }] => Place::Based(number(*register)?, *offset),
        [Operation::RegisterOffset { register, offset, .. }, Operation::StackValue] => Place::Value(number(*register)?, *offset),
        _ => return None,
    })
}

fn is_static<'b>(unit: &Unit<'b>, location: Option<&AttributeValue<Reader<'b>>>) -> bool {
    let expression = location.and_then(AttributeValue::exprloc_value);
    let first = expression.and_then(|expression| operations(unit, expression)).and_then(|list| list.first().cloned());
    matches!(first, Some(Operation::Address { .. } | Operation::AddressIndex { .. } | Operation::UnsignedConstant { .. }))
}

/// Encoded number of a register by its number in DWARF (System V ABI, figure 3.36).
fn number(register: gimli::Register) -> Option<Number> {
    const ENCODED: [Number; 16] = [0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
    ENCODED.get(usize::from(register.0)).copied()
}
