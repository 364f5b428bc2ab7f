//! The entries of a function that are in scope at a place.

use gimli::{AttributeValue, DebuggingInformationEntry, EntriesTreeNode, Expression, UnitOffset, UnitRef, constants as dw};

use super::nesting::Declaration;
use super::{Absent, Local, Unit};
use crate::program::build::Build;
use crate::program::dwarf::Reader;
use crate::program::elf::bytes::text;
use crate::program::types::TypeId;

/// Steps from a copy to what it is a copy of; more is a loop.
const ORIGIN_LIMIT: usize = 16;
/// How deep blocks and inlined functions may nest.
pub(super) const DEPTH_LIMIT: usize = 256;

pub(super) type Entry<'b> = DebuggingInformationEntry<Reader<'b>>;

/// The functions of a unit, as (start, end, entry), ascending.
pub(in crate::program) fn functions<'b>(
    dwarf: &gimli::Dwarf<Reader<'b>>,
    unit: &gimli::Unit<Reader<'b>>,
) -> gimli::Result<Vec<(u64, u64, UnitOffset)>> {
    let mut found = Vec::new();
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs()? {
        if entry.tag() != dw::DW_TAG_subprogram {
            continue;
        }
        let offset = entry.offset();
        let mut ranges = dwarf.die_ranges(unit, entry)?;
        while let Some(range) = ranges.next()? {
            found.push((range.begin, range.end, offset));
        }
    }
    found.sort_unstable_by_key(|function| (function.0, function.1));
    Ok(found)
}

/// Reads the scopes of one function at one place.
pub(super) struct Scopes<'b, 'v> {
    pub(super) build: &'b Build,
    pub(super) dwarf: &'v gimli::Dwarf<Reader<'b>>,
    pub(super) unit: &'v Unit<'b>,
    pub(super) place: u64,
}

impl<'b> Scopes<'b, '_> {
    /// The variables of the function at `entry`.
    pub(super) fn locals(&self, entry: UnitOffset) -> gimli::Result<Vec<Local<'b>>> {
        let unit = UnitRef::new(self.dwarf, &self.unit.unit);
        let mut tree = unit.entries_tree(Some(entry))?;
        let root = tree.root()?;
        let frame_base = self.location(root.entry(), dw::DW_AT_frame_base)?;
        let own = self.declared(root.entry())?;
        let mut found = Vec::new();
        self.children(root, (&own, None), &frame_base, DEPTH_LIMIT, &mut found)?;
        Ok(found)
    }

    /// The variables of the function at `entry` that are nowhere at the place.
    pub(super) fn absent(&self, entry: UnitOffset) -> gimli::Result<Vec<Absent>> {
        let unit = UnitRef::new(self.dwarf, &self.unit.unit);
        let mut tree = unit.entries_tree(Some(entry))?;
        let mut found = Vec::new();
        let root = tree.root()?;
        let own = self.declared(root.entry())?;
        self.absent_in(root, (&own, None), DEPTH_LIMIT, &mut found)?;
        Ok(found)
    }

    fn absent_in(
        &self,
        node: EntriesTreeNode<'_, '_, Reader<'b>>,
        (own, inlined): (&Declaration, Option<&str>),
        depth: usize,
        found: &mut Vec<Absent>,
    ) -> gimli::Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
        let mut children = node.children();
        while let Some(child) = children.next()? {
            match child.entry().tag() {
                dw::DW_TAG_formal_parameter | dw::DW_TAG_variable => found.extend(self.nowhere(child.entry(), inlined)?),
                dw::DW_TAG_lexical_block if self.is_here(child.entry())? => {
                    self.absent_in(child, (own, inlined), depth, found)?;
                }
                dw::DW_TAG_inlined_subroutine if self.is_here(child.entry())? => {
                    if self.is_part(child.entry(), own)? {
                        self.absent_in(child, (own, inlined), depth, found)?;
                        continue;
                    }
                    let (name, own) = (self.name(child.entry())?, self.declared(child.entry())?);
                    self.absent_in(child, (&own, Some(&name)), depth, found)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A variable without a location at the place.
    fn nowhere(&self, entry: &Entry<'b>, inlined: Option<&str>) -> gimli::Result<Option<Absent>> {
        let value = self.chain(entry, |entry| Ok(entry.attr(dw::DW_AT_const_value).map(gimli::Attribute::raw_value)))?;
        if value.is_none() && self.location(entry, dw::DW_AT_location)?.is_some() {
            return Ok(None);
        }
        let value = value.and_then(|value| plain_number(&value));
        let line = self.chain(entry, |entry| Ok(entry.attr_value(dw::DW_AT_decl_line).and_then(|line| line.udata_value())))?;
        Ok(Some(Absent {
            name: self.name(entry)?,
            inlined: inlined.map(str::to_owned),
            kind: self.kind(entry)?,
            line: line.unwrap_or(0),
            value,
        }))
    }

    fn children(
        &self,
        node: EntriesTreeNode<'_, '_, Reader<'b>>,
        (own, inlined): (&Declaration, Option<&str>),
        frame_base: &Option<Expression<Reader<'b>>>,
        depth: usize,
        found: &mut Vec<Local<'b>>,
    ) -> gimli::Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
        let mut children = node.children();
        while let Some(child) = children.next()? {
            match child.entry().tag() {
                dw::DW_TAG_formal_parameter | dw::DW_TAG_variable => {
                    found.extend(self.variable(child.entry(), inlined, frame_base)?);
                }
                dw::DW_TAG_lexical_block if self.is_here(child.entry())? => {
                    self.children(child, (own, inlined), frame_base, depth, found)?;
                }
                dw::DW_TAG_inlined_subroutine if self.is_here(child.entry())? => {
                    if self.is_part(child.entry(), own)? {
                        self.children(child, (own, inlined), frame_base, depth, found)?;
                        continue;
                    }
                    let (name, own) = (self.name(child.entry())?, self.declared(child.entry())?);
                    self.children(child, (&own, Some(&name)), frame_base, depth, found)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the place is in the code of a block; one without code of its own is part of what is around it.
    fn is_here(&self, entry: &Entry<'b>) -> gimli::Result<bool> {
        let mut ranges = self.dwarf.die_ranges(&self.unit.unit, entry)?;
        let mut any = false;
        while let Some(range) = ranges.next()? {
            any = true;
            if (range.begin..range.end).contains(&self.place) {
                return Ok(true);
            }
        }
        Ok(!any)
    }

    fn variable(
        &self,
        entry: &Entry<'b>,
        inlined: Option<&str>,
        frame_base: &Option<Expression<Reader<'b>>>,
    ) -> gimli::Result<Option<Local<'b>>> {
        let Some(location) = self.location(entry, dw::DW_AT_location)? else { return Ok(None) };
        let line = self.chain(entry, |entry| Ok(entry.attr_value(dw::DW_AT_decl_line).and_then(|line| line.udata_value())))?;
        Ok(Some(Local {
            name: self.name(entry)?,
            inlined: inlined.map(str::to_owned),
            kind: self.kind(entry)?,
            line: line.unwrap_or(0),
            location,
            frame_base: *frame_base,
            unit: self.unit.base,
        }))
    }

    /// The expression of an attribute that holds at the place.
    fn location(&self, entry: &Entry<'b>, name: gimli::DwAt) -> gimli::Result<Option<Expression<Reader<'b>>>> {
        match entry.attr_value(name) {
            None => Ok(None),
            Some(AttributeValue::Exprloc(expression)) => Ok(Some(expression)),
            Some(value) => {
                let Some(mut list) = self.dwarf.attr_locations(&self.unit.unit, value)? else { return Ok(None) };
                while let Some(part) = list.next()? {
                    if (part.range.begin..part.range.end).contains(&self.place) {
                        return Ok(Some(part.data));
                    }
                }
                Ok(None)
            }
        }
    }

    pub(super) fn name(&self, entry: &Entry<'b>) -> gimli::Result<String> {
        let name = self.chain(entry, |entry| match entry.attr_value(dw::DW_AT_name) {
            Some(value) => Ok(Some(text(self.dwarf.attr_string(&self.unit.unit, value)?.slice()))),
            None => Ok(None),
        })?;
        Ok(name.unwrap_or_default())
    }

    pub(super) fn kind(&self, entry: &Entry<'b>) -> gimli::Result<Option<TypeId>> {
        self.chain_within(entry, |entry, base| {
            Ok(match entry.attr_value(dw::DW_AT_type) {
                Some(AttributeValue::UnitRef(offset)) => self.build.debug.type_at(base + offset.0),
                Some(AttributeValue::DebugInfoRef(offset)) => self.build.debug.type_at(offset.0),
                _ => None,
            })
        })
    }

    pub(super) fn chain<T>(
        &self,
        entry: &Entry<'b>,
        ask: impl Fn(&Entry<'b>) -> gimli::Result<Option<T>>,
    ) -> gimli::Result<Option<T>> {
        self.chain_within(entry, |entry, _| ask(entry))
    }

    /// The first answer of an entry or of what it is a copy of. What `ask` gets besides is the offset of the entry's unit.
    pub(super) fn chain_within<T>(
        &self,
        entry: &Entry<'b>,
        ask: impl Fn(&Entry<'b>, usize) -> gimli::Result<Option<T>>,
    ) -> gimli::Result<Option<T>> {
        let mut entry = entry.clone();
        for _ in 0..ORIGIN_LIMIT {
            if let Some(answer) = ask(&entry, self.unit.base)? {
                return Ok(Some(answer));
            }
            let origin = entry.attr_value(dw::DW_AT_abstract_origin).or_else(|| entry.attr_value(dw::DW_AT_specification));
            match origin {
                Some(AttributeValue::UnitRef(offset)) => entry = self.unit.unit.entry(offset)?,
                Some(AttributeValue::DebugInfoRef(offset)) => return self.elsewhere(offset.0, ask),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The same in another unit, as link-time optimisation leaves it.
    fn elsewhere<T>(
        &self,
        offset: usize,
        ask: impl Fn(&Entry<'b>, usize) -> gimli::Result<Option<T>>,
    ) -> gimli::Result<Option<T>> {
        let mut units = self.dwarf.units();
        let mut found = None;
        while let Some(header) = units.next()? {
            let Some(start) = header.debug_info_offset() else { continue };
            if start.0 <= offset && offset < start.0 + header.length_including_self() {
                found = Some((header, start.0));
                break;
            }
        }
        let Some((header, start)) = found else { return Ok(None) };
        let unit = Unit { unit: self.dwarf.unit(header)?, base: start, functions: Vec::new() };
        let entry = unit.unit.entry(UnitOffset(offset - start))?;
        let own = ask(&entry, start)?;
        Ok(own)
    }
}

/// A number as its form has it; data forms have no sign of their own (DWARF 5, 7.5.5).
fn plain_number(value: &AttributeValue<Reader<'_>>) -> Option<u64> {
    match value {
        AttributeValue::Data1(value) => Some(u64::from(*value)),
        AttributeValue::Data2(value) => Some(u64::from(*value)),
        AttributeValue::Data4(value) => Some(u64::from(*value)),
        AttributeValue::Data8(value) | AttributeValue::Udata(value) => Some(*value),
        AttributeValue::Sdata(value) => Some(value.cast_unsigned()),
        _ => None,
    }
}
