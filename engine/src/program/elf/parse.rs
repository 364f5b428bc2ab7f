//! From bytes to [`Elf`]: header, program headers, section headers. Everything else is read by the neighbouring files.

use std::sync::Arc;

use object::elf;

use super::bytes::Table;
use super::{Elf, Section, Segment, dynamic, notes, symbols};
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;

const PROGRAM_HEADER_SIZE: u64 = 56;
const SECTION_HEADER_SIZE: u64 = 64;
/// Where x86-64 user addresses end, whatever the number of page table levels: above, sums of addresses could wrap.
const ADDRESS_LIMIT: u64 = 1 << 56;

impl Elf {
    /// Parses a program or a shared library.
    ///
    /// # Errors
    /// Refuses what is not a linked 64-bit little-endian x86-64 ELF object, and any table that is cut short or contradicts itself.
    pub fn parse(bytes: Arc<[u8]>) -> Result<Elf, ProgramError> {
        let mut parsed = parse_headers(bytes)?;
        check_segments(&parsed)?;
        dynamic::read(&mut parsed)?;
        parsed.symbols = symbols::read_symtab(&parsed)?;
        Ok(parsed)
    }

    /// Parses a separate debug file, whose segments have no content: headers, notes and symbols only.
    ///
    /// # Errors
    /// As [`Elf::parse`].
    pub fn parse_debug_file(bytes: Arc<[u8]>) -> Result<Elf, ProgramError> {
        let mut parsed = parse_headers(bytes)?;
        parsed.symbols = symbols::read_symtab(&parsed)?;
        Ok(parsed)
    }
}

fn parse_headers(bytes: Arc<[u8]>) -> Result<Elf, ProgramError> {
    let file = Table::new(&bytes, "file");
    let kind = check_identity(&bytes)?;
    let entry = LinkAddress(file.u64(24)?);
    let headers_offset = file.u64(32)?;
    let headers_count = file.u16(56)?;
    let segments = read_segments(file, headers_offset, headers_count)?;
    let sections = read_sections(file)?;
    let mut parsed = Elf {
        bytes: Arc::clone(&bytes),
        kind,
        entry,
        program_headers: (headers_offset, headers_count),
        segments,
        sections,
        dynamic: Vec::new(),
        dynamic_address: None,
        dynamic_symbols: Vec::new(),
        relocations: Vec::new(),
        symbols: Vec::new(),
        needed: Vec::new(),
        soname: None,
        interpreter: None,
        build_id: None,
        debug_link: None,
    };
    parsed.build_id = notes::build_id(&parsed);
    parsed.debug_link = notes::debug_link(&parsed)?;
    Ok(parsed)
}

/// Checks `e_ident`, machine and type (System V ABI, chapter 4), and gives the type.
fn check_identity(bytes: &[u8]) -> Result<u16, ProgramError> {
    let begin: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    if !bytes.starts_with(&elf::ELFMAG) {
        let found = if begin.is_empty() { "an empty file".to_owned() } else { begin.join(" ") };
        return Err(ProgramError::NotElf { found });
    }
    let file = Table::new(bytes, "header").part(0, 64, "header")?;
    let unsupported = |what, expected, found: String| Err(ProgramError::Unsupported { what, expected, found });
    match file.u8(4)? {
        2 => {}
        1 => return unsupported("class", "64-bit", "32-bit".to_owned()),
        other => return unsupported("class", "64-bit", format!("class {other}")),
    }
    match file.u8(5)? {
        1 => {}
        2 => return unsupported("byte order", "little-endian", "big-endian".to_owned()),
        other => return unsupported("byte order", "little-endian", format!("order {other}")),
    }
    let machine = file.u16(18)?;
    if machine != elf::EM_X86_64.0 {
        return unsupported("machine", "62 (x86-64)", machine_name(machine));
    }
    let kind = file.u16(16)?;
    if kind != elf::ET_EXEC.0 && kind != elf::ET_DYN.0 {
        return unsupported("type", "a linked program or shared library (2 or 3)", type_name(kind));
    }
    Ok(kind)
}

fn machine_name(machine: u16) -> String {
    let name = match machine {
        3 => "i386",
        40 => "ARM",
        183 => "AArch64",
        243 => "RISC-V",
        21 => "PowerPC 64",
        22 => "S/390",
        _ => "another machine",
    };
    format!("{machine} ({name})")
}

fn type_name(kind: u16) -> String {
    let name = match kind {
        1 => "an object file that is not linked",
        4 => "a core dump",
        _ => "unknown",
    };
    format!("{kind} ({name})")
}

fn read_segments(file: Table<'_>, offset: u64, count: u16) -> Result<Vec<Segment>, ProgramError> {
    if count == elf::PN_XNUM {
        return Err(ProgramError::Unsupported {
            what: "program headers",
            expected: "fewer than 65535",
            found: "more (PN_XNUM)".to_owned(),
        });
    }
    check_entry_size(file, 54, count.into(), PROGRAM_HEADER_SIZE, "program headers")?;
    let table = file.part(offset, u64::from(count) * PROGRAM_HEADER_SIZE, "program headers")?;
    table.entries(PROGRAM_HEADER_SIZE as usize)?.map(read_segment).collect()
}

fn read_segment(entry: Table<'_>) -> Result<Segment, ProgramError> {
    Ok(Segment {
        kind: entry.u32(0)?,
        flags: entry.u32(4)?,
        offset: entry.u64(8)?,
        address: LinkAddress(entry.u64(16)?),
        file_size: entry.u64(32)?,
        memory_size: entry.u64(40)?,
        align: entry.u64(48)?,
    })
}

fn check_entry_size(file: Table<'_>, field: u64, count: u64, expected: u64, what: &'static str) -> Result<(), ProgramError> {
    let size = u64::from(file.u16(field)?);
    if count != 0 && size != expected {
        return Err(ProgramError::Corrupt {
            what,
            expected: format!("entries of {expected} bytes"),
            found: format!("entries of {size} bytes"),
        });
    }
    Ok(())
}

/// Reads the section headers. With `e_shnum` 0 the count is in the first header's `sh_size` (gABI, extended numbering).
fn read_sections(file: Table<'_>) -> Result<Vec<Section>, ProgramError> {
    let offset = file.u64(40)?;
    if offset == 0 {
        return Ok(Vec::new());
    }
    let mut count = u64::from(file.u16(60)?);
    let mut names_index = u64::from(file.u16(62)?);
    let first = file.part(offset, SECTION_HEADER_SIZE, "section headers")?;
    if count == 0 {
        count = first.u64(32)?;
    }
    if names_index == u64::from(elf::SHN_XINDEX.0) {
        names_index = first.u32(40)?.into();
    }
    check_entry_size(file, 58, count, SECTION_HEADER_SIZE, "section headers")?;
    let length = count.checked_mul(SECTION_HEADER_SIZE).ok_or_else(|| ProgramError::Corrupt {
        what: "section headers",
        expected: "a count within the file".to_owned(),
        found: format!("{count}"),
    })?;
    let table = file.part(offset, length, "section headers")?;
    let names = match names_index {
        0 => None,
        index => {
            let header =
                table.part(index.saturating_mul(SECTION_HEADER_SIZE), SECTION_HEADER_SIZE, "section name table's header")?;
            Some(file.part(header.u64(24)?, header.u64(32)?, "section names")?)
        }
    };
    table.entries(SECTION_HEADER_SIZE as usize)?.map(|entry| read_section(file, entry, names)).collect()
}

fn read_section(file: Table<'_>, entry: Table<'_>, names: Option<Table<'_>>) -> Result<Section, ProgramError> {
    let name = match names {
        Some(names) => names.string(entry.u32(0)?.into())?,
        None => String::new(),
    };
    let section = Section {
        name,
        kind: entry.u32(4)?,
        flags: entry.u64(8)?,
        address: LinkAddress(entry.u64(16)?),
        offset: entry.u64(24)?,
        size: entry.u64(32)?,
        link: entry.u32(40)?,
        entry_size: entry.u64(56)?,
    };
    if section.kind != elf::SHT_NULL.0 && section.kind != elf::SHT_NOBITS.0 {
        file.part(section.offset, section.size, "section content")?;
    }
    if section.address.0.checked_add(section.size).is_none() {
        return Err(ProgramError::Corrupt {
            what: "section headers",
            expected: "addresses of 64 bits".to_owned(),
            found: format!("{} at {} of {:#x} bytes", section.name, section.address, section.size),
        });
    }
    Ok(section)
}

/// Checks what the kernel and the loader rely on: content within the file, no overlap, ascending addresses.
fn check_segments(parsed: &Elf) -> Result<(), ProgramError> {
    let corrupt = |segment: &Segment, expected: &str| ProgramError::Corrupt {
        what: "program headers",
        expected: expected.to_owned(),
        found: format!(
            "type {:#x} at {} of {:#x} bytes, file offset {:#x} of {:#x} bytes",
            segment.kind, segment.address, segment.memory_size, segment.offset, segment.file_size
        ),
    };
    let mut end = 0;
    for segment in &parsed.segments {
        let top = segment.address.0.checked_add(segment.memory_size).filter(|&top| top <= ADDRESS_LIMIT);
        let is_load = segment.kind == elf::PT_LOAD.0;
        let top = match top {
            Some(top) => top,
            None if is_load || segment.kind == elf::PT_TLS.0 => return Err(corrupt(segment, "addresses of user space")),
            None => continue,
        };
        if !is_load {
            continue;
        }
        Table::new(&parsed.bytes, "file").part(segment.offset, segment.file_size, "loaded segment")?;
        if segment.file_size > segment.memory_size {
            return Err(corrupt(segment, "no more file than memory"));
        }
        if segment.address.0 < end {
            return Err(corrupt(segment, "loaded segments in ascending order without overlap"));
        }
        end = top;
    }
    if end == 0 {
        return Err(ProgramError::Corrupt {
            what: "program headers",
            expected: "at least one loaded segment".to_owned(),
            found: format!("{} program headers, none of them PT_LOAD with content", parsed.segments.len()),
        });
    }
    Ok(())
}
