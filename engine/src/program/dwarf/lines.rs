//! Line tables: the paths of a unit's files, and which line an address belongs to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use gimli::{DebugInfoOffset, FileEntry, LineProgramHeader};

use super::sections::{DebugSections, Reader};
use super::unit::UnitContext;
use crate::program::address::LinkAddress;
use crate::program::elf::bytes::text;
use crate::program::error::ProgramError;

/// The unit's files by the numbers that its entries use; holes are empty.
pub(super) fn file_paths(context: &UnitContext<'_, '_>) -> Result<Vec<String>, ProgramError> {
    let Some(program) = &context.unit.line_program else { return Ok(Vec::new()) };
    paths(context.dwarf, &context.unit, program.header()).map_err(|e| context.error(e))
}

fn paths(
    dwarf: &gimli::Dwarf<Reader<'_>>,
    unit: &gimli::Unit<Reader<'_>>,
    header: &LineProgramHeader<Reader<'_>>,
) -> gimli::Result<Vec<String>> {
    let comp_dir = unit.comp_dir.map(|directory| text(directory.slice())).unwrap_or_default();
    // Numbers start at 1 before DWARF 5, where 0 means no file.
    let holes = usize::from(header.version() <= 4);
    let mut paths = vec![String::new(); holes];
    for file in header.file_names() {
        paths.push(path(dwarf, unit, header, file, &comp_dir)?);
    }
    Ok(paths)
}

/// The path of one file, relative to the compilation directory where it lies in it, so that builds in two directories agree.
fn path<'a>(
    dwarf: &gimli::Dwarf<Reader<'a>>,
    unit: &gimli::Unit<Reader<'a>>,
    header: &LineProgramHeader<Reader<'a>>,
    file: &FileEntry<Reader<'a>>,
    comp_dir: &str,
) -> gimli::Result<String> {
    let name = text(dwarf.attr_string(unit, file.path_name())?.slice());
    let name = name.strip_prefix("./").unwrap_or(&name);
    if name.starts_with('/') {
        return Ok(within(name, comp_dir).to_owned());
    }
    let directory = match file.directory(header) {
        Some(directory) if file.directory_index() != 0 => text(dwarf.attr_string(unit, directory)?.slice()),
        _ => String::new(),
    };
    let directory = within(&directory, comp_dir);
    let directory = directory.strip_prefix("./").unwrap_or(directory);
    Ok(match directory {
        "" | "." => name.to_owned(),
        directory => format!("{}/{name}", directory.trim_end_matches('/')),
    })
}

fn within<'p>(path: &'p str, directory: &str) -> &'p str {
    match path.strip_prefix(directory) {
        Some(rest) if !directory.is_empty() && (rest.is_empty() || rest.starts_with('/')) => rest.trim_start_matches('/'),
        _ => path,
    }
}

/// Code of one unit: (start, end, offset of the unit in `.debug_info`).
pub(super) type UnitRange = (u64, u64, usize);

/// Answers which line an address belongs to; a unit's table is decoded when first asked for.
#[derive(Debug, Default)]
pub struct Lines {
    /// Ascending by start.
    units: Vec<UnitRange>,
    decoded: Mutex<HashMap<usize, Arc<Table>>>,
}

#[derive(Debug, Default)]
struct Table {
    files: Vec<String>,
    /// Ascending by address.
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u32,
    /// 0 where the compiler names none.
    line: u32,
    column: u32,
    end: bool,
}

/// Where in the source an instruction comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Source file.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1; 0 where the compiler names none.
    pub column: u64,
}

impl Lines {
    pub(super) fn new(mut units: Vec<UnitRange>) -> Self {
        units.sort_unstable();
        Self { units, decoded: Mutex::default() }
    }

    /// Source file and line of the instruction at `address`; `None` where the line table has none or is broken.
    pub fn find(&self, sections: &DebugSections, address: LinkAddress) -> Option<(String, u64)> {
        self.position(sections, address).map(|position| (position.file, position.line))
    }

    /// As [`Lines::find`], with all that the table says.
    pub fn position(&self, sections: &DebugSections, address: LinkAddress) -> Option<Position> {
        let unit = self.unit_at(address)?;
        let table = self.table(sections, unit);
        let next = table.rows.partition_point(|row| row.address <= address.0);
        let row = table.rows.get(next.checked_sub(1)?).filter(|row| !row.end && row.line != 0)?;
        Some(Position { file: table.files.get(row.file as usize)?.clone(), line: row.line.into(), column: row.column.into() })
    }

    /// The path of a file by its number in the unit at `unit` of `.debug_info`.
    pub fn file(&self, sections: &DebugSections, unit: usize, number: u64) -> Option<String> {
        self.table(sections, unit).files.get(usize::try_from(number).ok()?).cloned()
    }

    /// Offset in `.debug_info` of the unit whose code holds `address`.
    pub fn unit_at(&self, address: LinkAddress) -> Option<usize> {
        let index = self.units.partition_point(|unit| unit.0 <= address.0);
        Some(self.units.get(..index)?.iter().rev().take(8).find(|unit| address.0 < unit.1)?.2)
    }

    fn table(&self, sections: &DebugSections, unit: usize) -> Arc<Table> {
        let mut decoded = self.decoded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A broken table is remembered as an empty one: it only serves messages.
        let table = decoded.entry(unit).or_insert_with(|| Arc::new(decode(sections, unit).unwrap_or_default()));
        Arc::clone(table)
    }
}

fn decode(sections: &DebugSections, unit: usize) -> gimli::Result<Table> {
    let dwarf = sections.dwarf();
    let unit = dwarf.unit(dwarf.unit_header(DebugInfoOffset(unit))?)?;
    let Some(program) = unit.line_program.clone() else { return Ok(Table::default()) };
    let files = paths(&dwarf, &unit, program.header())?;
    let mut rows = Vec::new();
    let mut decoded = program.rows();
    while let Some((_, row)) = decoded.next_row()? {
        rows.push(Row {
            address: row.address(),
            file: u32::try_from(row.file_index()).unwrap_or(u32::MAX),
            line: row.line().and_then(|line| u32::try_from(line.get()).ok()).unwrap_or(0),
            column: match row.column() {
                gimli::ColumnType::LeftEdge => 0,
                gimli::ColumnType::Column(column) => u32::try_from(column.get()).unwrap_or(0),
            },
            end: row.end_sequence(),
        });
    }
    // Stable, so that of several rows for one address the last stands, as debuggers take it; an end of sequence gives way to a start.
    rows.sort_by_key(|row| (row.address, !row.end));
    Ok(Table { files, rows })
}
