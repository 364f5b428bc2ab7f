//! The GNU build-id note and `.gnu_debuglink`.

use object::elf;

use super::Elf;
use super::bytes::Table;
use crate::program::error::ProgramError;

/// The build-id from note sections, else from note segments. Malformed notes are passed over: foreign tools write them.
pub(super) fn build_id(parsed: &Elf) -> Option<Vec<u8>> {
    let sections = parsed.sections.iter().filter(|section| section.kind == elf::SHT_NOTE.0).map(|s| (s.offset, s.size, 4));
    let segments =
        parsed.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE.0).map(|s| (s.offset, s.file_size, s.align));
    let file = Table::new(&parsed.bytes, "file");
    sections
        .chain(segments)
        .filter_map(|(offset, size, align)| Some((file.part(offset, size, "notes").ok()?, align)))
        .find_map(|(notes, align)| find_build_id(notes, align))
}

fn find_build_id(notes: Table<'_>, align: u64) -> Option<Vec<u8>> {
    let align = if align == 8 { 8 } else { 4 };
    let mut at = 0u64;
    loop {
        let name_size = u64::from(notes.u32(at).ok()?);
        let content_size = u64::from(notes.u32(at + 4).ok()?);
        let kind = notes.u32(at + 8).ok()?;
        let content_at = (at + 12 + name_size).next_multiple_of(align);
        if kind == elf::NT_GNU_BUILD_ID.0 && notes.part(at + 12, name_size, "note").ok()?.bytes() == b"GNU\0" {
            let content = notes.part(content_at, content_size, "build-id").ok()?;
            return (!content.bytes().is_empty()).then(|| content.bytes().to_vec());
        }
        at = (content_at + content_size).next_multiple_of(align);
    }
}

/// File name and CRC32 of `.gnu_debuglink`: a string, padding to four bytes, the sum.
pub(super) fn debug_link(parsed: &Elf) -> Result<Option<(String, u32)>, ProgramError> {
    let Some(section) = parsed.section(".gnu_debuglink") else { return Ok(None) };
    if section.kind == elf::SHT_NOBITS.0 {
        return Ok(None);
    }
    let content = Table::new(&parsed.bytes, "file").part(section.offset, section.size, ".gnu_debuglink")?;
    let name_size = content.bytes().iter().position(|&byte| byte == 0).unwrap_or(content.bytes().len());
    let name = content.string(0)?;
    let sum = content.u32((name_size as u64 + 1).next_multiple_of(4))?;
    Ok(Some((name, sum)))
}
