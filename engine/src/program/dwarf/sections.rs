//! The debug sections of one file, unpacked where they are compressed.

use std::collections::HashMap;
use std::sync::Arc;

use gimli::{DwarfSections, EndianSlice, LittleEndian, SectionId};
use object::elf;
use object::read::{CompressedData, CompressionFormat};

use crate::program::elf::{Elf, Section};
use crate::program::error::ProgramError;

/// How gimli reads our bytes.
pub type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// The most that one section may unpack to: the size comes from the file.
const UNPACKED_LIMIT: u64 = 8 << 30;
/// The best that deflate and zstd reach on real debug sections is far below this ratio (deflate's own limit is 1032).
const RATIO_LIMIT: u64 = 4096;

/// The debug sections of a file.
#[derive(Debug, Default)]
pub struct DebugSections {
    sections: DwarfSections<Content>,
    /// What `.gnu_debugaltlink` names: a supplementary file that these sections refer to.
    pub supplement: Option<String>,
}

/// The bytes of one section.
#[derive(Debug, Default)]
pub(super) enum Content {
    #[default]
    Absent,
    File {
        bytes: Arc<[u8]>,
        start: usize,
        end: usize,
    },
    Unpacked(Vec<u8>),
}

impl Content {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Absent => &[],
            Self::File { bytes, start, end } => bytes.get(*start..*end).unwrap_or(&[]),
            Self::Unpacked(bytes) => bytes,
        }
    }
}

impl DebugSections {
    /// Takes the debug sections out of `elf`, unpacking them where needed.
    ///
    /// # Errors
    /// A compressed section whose header or content is broken.
    pub fn load(elf: &Elf) -> Result<Self, ProgramError> {
        let sections = DwarfSections::load(|id| load_section(elf, id))?;
        let supplement = elf.section(".gnu_debugaltlink").and_then(|section| section_bytes(elf, section)).map(|content| {
            let end = content.iter().position(|&byte| byte == 0).unwrap_or(content.len());
            crate::program::elf::bytes::text(&content[..end])
        });
        Ok(Self { sections, supplement })
    }

    /// Sections that were made.
    pub(super) fn from_unpacked(mut bytes: HashMap<SectionId, Vec<u8>>, supplement: Option<String>) -> Self {
        let load = |id: SectionId| Ok(bytes.remove(&id).map_or(Content::Absent, Content::Unpacked));
        let Ok(sections): Result<_, std::convert::Infallible> = DwarfSections::load(load);
        Self { sections, supplement }
    }

    /// A checksum (CRC32) of all sections that are read.
    pub fn checksum(&self) -> u32 {
        let mut sum = crc32fast::Hasher::new();
        let _ = self.sections.borrow(|content| {
            sum.update(content.bytes());
            EndianSlice::new(content.bytes(), LittleEndian)
        });
        sum.finalize()
    }

    /// Whether there is any `.debug_info`.
    pub fn is_empty(&self) -> bool {
        self.sections
            .debug_info
            .borrow(|content| EndianSlice::new(content.bytes(), LittleEndian))
            .units()
            .next()
            .is_ok_and(|unit| unit.is_none())
    }

    /// The sections as gimli wants them.
    pub fn dwarf(&self) -> gimli::Dwarf<Reader<'_>> {
        self.sections.borrow(|content| EndianSlice::new(content.bytes(), LittleEndian))
    }
}

/// Whether a file says to have debug information, without unpacking anything.
pub fn has_debug_info(elf: &Elf) -> bool {
    [".debug_info", ".zdebug_info"]
        .iter()
        .filter_map(|name| elf.section(name))
        .any(|section| section.kind != elf::SHT_NOBITS.0 && section.size != 0)
}

fn load_section(elf: &Elf, id: SectionId) -> Result<Content, ProgramError> {
    if let Some(section) = elf.section(id.name()).filter(|section| section.kind != elf::SHT_NOBITS.0) {
        return match section.flags & elf::SHF_COMPRESSED.0 {
            0 => Ok(in_file(elf, section)),
            _ => unpack_standard(elf, section),
        };
    }
    let old_name = id.name().replacen(".debug_", ".zdebug_", 1);
    match elf.section(&old_name) {
        Some(section) => unpack_old(elf, section),
        None => Ok(Content::Absent),
    }
}

fn section_bytes<'a>(elf: &'a Elf, section: &Section) -> Option<&'a [u8]> {
    let start = usize::try_from(section.offset).ok()?;
    elf.bytes.get(start..start.checked_add(usize::try_from(section.size).ok()?)?)
}

fn in_file(elf: &Elf, section: &Section) -> Content {
    let start = section.offset as usize;
    Content::File { bytes: Arc::clone(&elf.bytes), start, end: start.saturating_add(section.size as usize) }
}

/// SHF_COMPRESSED (gABI): Elf64_Chdr of type, reserved, size, alignment; then the packed bytes.
fn unpack_standard(elf: &Elf, section: &Section) -> Result<Content, ProgramError> {
    let content = section_bytes(elf, section).unwrap_or(&[]);
    let (Some(kind), Some(size), Some(data)) = (content.first_chunk::<4>(), word_at(content, 8), content.get(24..)) else {
        return Err(corrupt(&section.name, "a compression header of 24 bytes", content.len() as u64));
    };
    let format = match u32::from_le_bytes(*kind) {
        1 => CompressionFormat::Zlib,
        2 => CompressionFormat::Zstandard,
        other => return Err(corrupt(&section.name, "compression by zlib (1) or zstd (2)", other.into())),
    };
    unpack(&section.name, format, data, u64::from_le_bytes(size))
}

/// The older GNU form: `ZLIB`, a big-endian size, the packed bytes.
fn unpack_old(elf: &Elf, section: &Section) -> Result<Content, ProgramError> {
    let content = section_bytes(elf, section).unwrap_or(&[]);
    match (content.strip_prefix(b"ZLIB"), word_at(content, 4), content.get(12..)) {
        (Some(_), Some(size), Some(data)) => unpack(&section.name, CompressionFormat::Zlib, data, u64::from_be_bytes(size)),
        _ => Err(corrupt(&section.name, "`ZLIB` and a size", content.len() as u64)),
    }
}

fn word_at(content: &[u8], at: usize) -> Option<[u8; 8]> {
    content.get(at..)?.first_chunk().copied()
}

pub(super) fn unpack(section: &str, format: CompressionFormat, data: &[u8], size: u64) -> Result<Content, ProgramError> {
    if size > UNPACKED_LIMIT || size > (data.len() as u64).saturating_mul(RATIO_LIMIT) {
        return Err(corrupt(section, "a plausible unpacked size", size));
    }
    let packed = CompressedData { format, data, uncompressed_size: size };
    let unpacked = packed.decompress().map_err(|source| ProgramError::Compressed { section: section.to_owned(), source })?;
    Ok(Content::Unpacked(unpacked.into_owned()))
}

fn corrupt(section: &str, expected: &str, found: u64) -> ProgramError {
    ProgramError::Corrupt {
        what: "compressed debug section",
        expected: format!("{expected} in {section}"),
        found: format!("{found:#x}"),
    }
}
