//! The dynamic section and what it leads to, read as the loader reads it: through loaded addresses, not section headers.

use object::elf;

use super::bytes::Table;
use super::{Elf, relocations, symbols};
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;

/// Fills interpreter, dynamic entries, needed, soname, dynamic symbols and relocations.
pub(super) fn read(parsed: &mut Elf) -> Result<(), ProgramError> {
    parsed.interpreter = read_interpreter(parsed)?;
    let Some(segment) = parsed.segments.iter().find(|segment| segment.kind == elf::PT_DYNAMIC.0).copied() else {
        parsed.relocations = relocations::read_sections(parsed)?;
        return Ok(());
    };
    parsed.dynamic_address = Some(segment.address);
    parsed.dynamic = read_entries(mapped(parsed, segment.address, segment.file_size, "dynamic section")?)?;
    parsed.needed = names(parsed, elf::DT_NEEDED.0 as u64)?;
    parsed.soname = names(parsed, elf::DT_SONAME.0 as u64)?.pop();
    parsed.dynamic_symbols = symbols::read_dynamic(parsed)?;
    parsed.relocations = relocations::read_dynamic(parsed)?;
    Ok(())
}

/// The file-backed bytes behind `length` bytes at `address`.
pub(super) fn mapped<'a>(
    parsed: &'a Elf,
    address: LinkAddress,
    length: u64,
    what: &'static str,
) -> Result<Table<'a>, ProgramError> {
    parsed.file_bytes(address, length).map(|bytes| Table::new(bytes, what)).ok_or_else(|| ProgramError::Corrupt {
        what,
        expected: format!("{length:#x} bytes of a loaded segment at {address}"),
        found: "no such bytes in the file".to_owned(),
    })
}

/// The file-backed bytes from `address` to the end of its segment: for tables that carry no length.
pub(super) fn mapped_tail<'a>(parsed: &'a Elf, address: LinkAddress, what: &'static str) -> Result<Table<'a>, ProgramError> {
    let tail = parsed.loads().find_map(|segment| {
        let skip = address.0.checked_sub(segment.address.0).filter(|&skip| skip < segment.file_size)?;
        parsed.file_bytes(address, segment.file_size - skip)
    });
    tail.map(|bytes| Table::new(bytes, what)).ok_or_else(|| ProgramError::Corrupt {
        what,
        expected: format!("content in a loaded segment at {address}"),
        found: "no such bytes in the file".to_owned(),
    })
}

/// DT_STRTAB. Every object with a dynamic section has one (gABI: mandatory).
pub(super) fn strings<'a>(parsed: &'a Elf) -> Result<Table<'a>, ProgramError> {
    let (Some(address), Some(size)) =
        (parsed.dynamic_value(elf::DT_STRTAB.0 as u64), parsed.dynamic_value(elf::DT_STRSZ.0 as u64))
    else {
        return Ok(Table::new(&[], "dynamic string table (absent)"));
    };
    mapped(parsed, LinkAddress(address), size, "dynamic string table")
}

fn read_interpreter(parsed: &Elf) -> Result<Option<String>, ProgramError> {
    let Some(segment) = parsed.segments.iter().find(|segment| segment.kind == elf::PT_INTERP.0) else { return Ok(None) };
    let content = Table::new(&parsed.bytes, "file").part(segment.offset, segment.file_size, "interpreter")?;
    content.string(0).map(Some)
}

fn read_entries(table: Table<'_>) -> Result<Vec<(u64, u64)>, ProgramError> {
    let mut entries = Vec::new();
    for entry in table.entries(16)? {
        let tag = entry.u64(0)?;
        if tag == 0 {
            return Ok(entries);
        }
        entries.push((tag, entry.u64(8)?));
    }
    Err(ProgramError::Corrupt {
        what: "dynamic section",
        expected: "a terminating DT_NULL".to_owned(),
        found: format!("{} entries without one", entries.len()),
    })
}

fn names(parsed: &Elf, tag: u64) -> Result<Vec<String>, ProgramError> {
    let strings = strings(parsed)?;
    parsed.dynamic.iter().filter(|entry| entry.0 == tag).map(|entry| strings.string(entry.1)).collect()
}
