//! A function as its source nests it: which functions were inlined where, and where its variables are declared.

use gimli::{AttributeValue, DebugInfoOffset, EntriesTreeNode, UnitOffset, UnitRef, constants as dw};

use super::scope::{DEPTH_LIMIT, Entry, Scopes};
use crate::program::address::LinkAddress;
use crate::program::dwarf::{Position, Reader};
use crate::program::elf::bytes::text;
use crate::program::types::TypeId;

/// What a function's source holds that debug information still knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Variables and parameters of the function itself.
    pub variables: Vec<Declared>,
    /// Functions that were inlined into it (DW_TAG_inlined_subroutine), one for each call that is gone.
    pub inlined: Vec<Inlined>,
    /// Labels with code of their own (DW_TAG_label), by name.
    pub labels: Vec<(String, LinkAddress)>,
}

/// A variable's declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Line of the declaration; 0 when unknown.
    pub line: u64,
    /// Column of it; 0 when unknown.
    pub column: u64,
    /// Its type; `None` is unknown.
    pub kind: Option<TypeId>,
}

/// A function in the place of its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inlined {
    /// Which function; `None` where debug information does not name it.
    pub function: Option<SourceFunction>,
    /// Where the call was; `None` when unknown.
    pub called: Option<Position>,
    /// Its code as (start, end).
    pub ranges: Vec<(u64, u64)>,
    /// What it holds.
    pub body: Body,
}

/// Where a function is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declaration {
    name: String,
    /// Line and column; 0 when unknown.
    at: (u64, u64),
}

/// A function as the source knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceFunction {
    /// Source file of its unit; `None` for one that is visible outside it.
    pub unit: Option<String>,
    /// Linkage name where there is one, else its name.
    pub name: String,
}

impl Inlined {
    /// Whether the code at `address` is its.
    pub fn holds(&self, address: u64) -> bool {
        self.ranges.iter().any(|(start, end)| (*start..*end).contains(&address))
    }
}

impl<'b> Scopes<'b, '_> {
    /// What the function at `entry` holds.
    pub(super) fn body(&self, entry: UnitOffset) -> gimli::Result<Body> {
        let unit = UnitRef::new(self.dwarf, &self.unit.unit);
        let mut tree = unit.entries_tree(Some(entry))?;
        let root = tree.root()?;
        let own = self.declared(root.entry())?;
        let mut body = Body::default();
        self.fill(root, &own, DEPTH_LIMIT, &mut body)?;
        Ok(body)
    }

    /// The names of the parameters of the function at `entry` as its source has them: a copy of a function may lack some.
    pub(super) fn parameters(&self, entry: UnitOffset) -> gimli::Result<Vec<String>> {
        let unit = UnitRef::new(self.dwarf, &self.unit.unit);
        let mut found = Vec::new();
        let mut at = Some(entry);
        for _ in 0..DEPTH_LIMIT {
            let Some(entry) = at else { break };
            let mut tree = unit.entries_tree(Some(entry))?;
            let root = tree.root()?;
            at = match root.entry().attr_value(dw::DW_AT_abstract_origin) {
                Some(AttributeValue::UnitRef(origin)) => Some(origin),
                _ => None,
            };
            let mut children = root.children();
            while let Some(child) = children.next()? {
                if child.entry().tag() == dw::DW_TAG_formal_parameter {
                    found.push(self.name(child.entry())?);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Fills in what an entry of the function `own` holds.
    fn fill(
        &self,
        node: EntriesTreeNode<'_, '_, Reader<'b>>,
        own: &Declaration,
        depth: usize,
        body: &mut Body,
    ) -> gimli::Result<()> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
        let mut children = node.children();
        while let Some(child) = children.next()? {
            match child.entry().tag() {
                dw::DW_TAG_formal_parameter | dw::DW_TAG_variable => body.variables.push(Declared {
                    name: self.name(child.entry())?,
                    line: self.number(child.entry(), dw::DW_AT_decl_line)?,
                    column: self.number(child.entry(), dw::DW_AT_decl_column)?,
                    kind: self.kind(child.entry())?,
                }),
                // Blocks are transparent: compilers drop and keep them as they like.
                dw::DW_TAG_lexical_block => self.fill(child, own, depth, body)?,
                dw::DW_TAG_inlined_subroutine if self.is_part(child.entry(), own)? => {
                    let mut part = Body::default();
                    self.fill(child, own, depth, &mut part)?;
                    body.inlined.extend(part.inlined);
                }
                dw::DW_TAG_inlined_subroutine => {
                    let mut inlined = self.inlined(child.entry())?;
                    let own = self.declared(child.entry())?;
                    self.fill(child, &own, depth, &mut inlined.body)?;
                    body.inlined.push(inlined);
                }
                dw::DW_TAG_label => body.labels.extend(self.label(child.entry())?),
                _ => {}
            }
        }
        Ok(())
    }

    /// A label that the compiler kept a place of.
    fn label(&self, entry: &Entry<'b>) -> gimli::Result<Option<(String, LinkAddress)>> {
        let Some(place) = entry.attr_value(dw::DW_AT_low_pc) else { return Ok(None) };
        let address = self.dwarf.attr_address(&self.unit.unit, place)?;
        address.map(|address| Ok((self.name(entry)?, LinkAddress(address)))).transpose()
    }

    /// Whether an inlined function is but a part of the one around it, which gcc split off and put back (-fpartial-inlining): it is called
    /// from its own declaration.
    pub(super) fn is_part(&self, entry: &Entry<'b>, around: &Declaration) -> gimli::Result<bool> {
        let own = |name| entry.attr_value(name).and_then(|value| number(&value)).unwrap_or(0);
        let called = (own(dw::DW_AT_call_line), own(dw::DW_AT_call_column));
        Ok(around.at == called && called.0 != 0 && self.declared(entry)? == *around)
    }

    /// Where a function, or the one that an inlined copy is of, is declared.
    pub(super) fn declared(&self, entry: &Entry<'b>) -> gimli::Result<Declaration> {
        let at = (self.number(entry, dw::DW_AT_decl_line)?, self.number(entry, dw::DW_AT_decl_column)?);
        Ok(Declaration { name: self.name(entry)?, at })
    }

    fn inlined(&self, entry: &Entry<'b>) -> gimli::Result<Inlined> {
        let own = |name| entry.attr_value(name).and_then(|value| number(&value));
        let file = own(dw::DW_AT_call_file).and_then(|file| self.build.source_file(self.unit.base, file));
        let called = file.zip(own(dw::DW_AT_call_line)).map(|(file, line)| Position {
            file,
            line,
            column: own(dw::DW_AT_call_column).unwrap_or(0),
        });
        let mut ranges = Vec::new();
        let mut found = self.dwarf.die_ranges(&self.unit.unit, entry)?;
        while let Some(range) = found.next()? {
            ranges.push((range.begin, range.end));
        }
        Ok(Inlined { function: self.source_function(entry)?, called, ranges, body: Body::default() })
    }

    /// The function that an inlined copy is of.
    fn source_function(&self, entry: &Entry<'b>) -> gimli::Result<Option<SourceFunction>> {
        let linkage = self.chain_within(entry, |entry, base| {
            let name = entry.attr_value(dw::DW_AT_linkage_name).or_else(|| entry.attr_value(dw::DW_AT_MIPS_linkage_name));
            Ok(name.map(|name| self.string(name, base)).transpose()?.flatten())
        })?;
        let named = self.chain_within(entry, |entry, base| {
            let name = entry.attr_value(dw::DW_AT_name).map(|name| self.string(name, base)).transpose()?.flatten();
            Ok(name.map(|name| (name, base)))
        })?;
        let Some((name, base)) = named.filter(|(name, _)| !name.is_empty()) else { return Ok(None) };
        let external = self.chain(entry, |entry| Ok(entry.attr_value(dw::DW_AT_external)))?;
        let unit = match external {
            Some(AttributeValue::Flag(true)) => None,
            _ => Some(self.unit_name(base)?),
        };
        Ok(Some(SourceFunction { unit, name: linkage.unwrap_or(name) }))
    }

    /// A string of an entry in the unit at `base`.
    fn string(&self, value: AttributeValue<Reader<'b>>, base: usize) -> gimli::Result<Option<String>> {
        let read = |unit: &gimli::Unit<Reader<'b>>| self.dwarf.attr_string(unit, value).map(|name| Some(text(name.slice())));
        match base == self.unit.base {
            true => read(&self.unit.unit),
            false => read(&self.dwarf.unit(self.dwarf.unit_header(DebugInfoOffset(base))?)?),
        }
    }

    fn unit_name(&self, base: usize) -> gimli::Result<String> {
        let name = match base == self.unit.base {
            true => self.unit.unit.name,
            false => self.dwarf.unit(self.dwarf.unit_header(DebugInfoOffset(base))?)?.name,
        };
        Ok(name.map(|name| text(name.slice())).unwrap_or_default())
    }

    fn number(&self, entry: &Entry<'b>, name: gimli::DwAt) -> gimli::Result<u64> {
        Ok(self.chain(entry, |entry| Ok(entry.attr_value(name).and_then(|value| number(&value))))?.unwrap_or(0))
    }
}

fn number(value: &AttributeValue<Reader<'_>>) -> Option<u64> {
    match value {
        AttributeValue::FileIndex(number) => Some(*number),
        other => other.udata_value(),
    }
}
