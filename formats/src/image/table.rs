//! The section table: which sections a file has, and that they tile it.

use std::ops::Range;

use super::error::{ImageError, TableProblem};
use super::header::{HEADER_LEN, Header};
use super::section::{SectionId, SectionKind};
use crate::address::PAGE_SIZE;

const ENTRY_LEN: usize = 48;
const MAX_ENTRIES: usize = 256;
const REQUIRED: u32 = 1;

/// One section of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Number and name.
    pub id: SectionId,
    /// Version of its contents.
    pub version: u32,
    /// Whether a reader that does not know it must refuse the image.
    pub required: bool,
    /// CRC32 of the section and the padding after it.
    pub crc: u32,
    /// Where it starts in the file.
    pub offset: u64,
    /// Its length in bytes, without padding.
    pub len: u64,
    /// Where the padding after it ends in the file.
    pub(super) span_end: u64,
}

impl Section {
    /// What a section of the kind is called in the file; `span_end` is the end of its padding.
    pub(super) fn new(kind: SectionKind, crc: u32, offset: u64, len: u64, span_end: u64) -> Self {
        let (id, version, required) = (kind.into(), kind.newest_version(), kind.required());
        Self { id, version, required, crc, offset, len, span_end }
    }

    /// Which kind it is, when this crate knows it.
    pub fn kind(&self) -> Option<SectionKind> {
        SectionKind::from_number(self.id.number)
    }

    /// Where its contents are in the file.
    pub(super) fn contents(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Where its contents and the padding after them are in the file.
    pub(super) fn span(&self) -> Range<u64> {
        self.offset..self.span_end
    }

    fn problem(&self, source: TableProblem) -> ImageError {
        ImageError::Table { section: self.id, source }
    }
}

/// The sections of a file, by ascending offset.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) sections: Vec<Section>,
}

impl Table {
    /// The bytes of the table.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.sections.len() * ENTRY_LEN);
        for section in &self.sections {
            bytes.extend_from_slice(&section.id.number.to_le_bytes());
            bytes.extend_from_slice(&section.version.to_le_bytes());
            bytes.extend_from_slice(&u32::from(section.required).to_le_bytes());
            bytes.extend_from_slice(&section.crc.to_le_bytes());
            bytes.extend_from_slice(&section.offset.to_le_bytes());
            bytes.extend_from_slice(&section.len.to_le_bytes());
            bytes.extend_from_slice(&section.id.name);
        }
        bytes
    }

    /// Decodes a table whose checksum is right, and checks every entry and that the sections tile the file.
    pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Self, ImageError> {
        let most = MAX_ENTRIES * ENTRY_LEN;
        if bytes.len() > most || !bytes.len().is_multiple_of(ENTRY_LEN) {
            let expected = if bytes.len() > most { most } else { bytes.len() / ENTRY_LEN * ENTRY_LEN } as u64;
            return Err(ImageError::HeaderField { field: "table length", expected, found: header.table_len });
        }
        let mut sections = Vec::with_capacity(bytes.len() / ENTRY_LEN);
        for entry in bytes.chunks_exact(ENTRY_LEN) {
            sections.push(decode_entry(entry)?);
        }
        let mut table = Self { sections };
        table.set_spans(header.table_offset)?;
        table.check_kinds()?;
        Ok(table)
    }

    /// The section of a kind, which must be there.
    pub(super) fn require(&self, kind: SectionKind) -> Result<&Section, ImageError> {
        self.find(kind).ok_or(ImageError::MissingSection { section: kind.into() })
    }

    /// The section of a kind.
    pub(super) fn find(&self, kind: SectionKind) -> Option<&Section> {
        self.sections.iter().find(|section| section.id.number == kind.number())
    }

    /// Each section's padding ends where the next section, or the table at `end`, starts.
    fn set_spans(&mut self, end: u64) -> Result<(), ImageError> {
        let starts: Vec<u64> = self.sections.iter().map(|section| section.offset).chain([end]).collect();
        let mut previous_end = HEADER_LEN;
        for (index, section) in self.sections.iter_mut().enumerate() {
            let (offset, length) = (section.offset, section.len);
            if offset < previous_end {
                return Err(section.problem(TableProblem::Overlap { offset, previous_end }));
            }
            let Some(contents_end) = offset.checked_add(length).filter(|contents_end| *contents_end <= end) else {
                return Err(section.problem(TableProblem::OutOfBounds { offset, length, limit: end }));
            };
            if index == 0 && offset != HEADER_LEN {
                return Err(section.problem(TableProblem::Gap { start: HEADER_LEN, end: offset }));
            }
            section.span_end = starts.get(index + 1).copied().unwrap_or(end).max(contents_end);
            if section.span_end - contents_end >= PAGE_SIZE {
                return Err(section.problem(TableProblem::Gap { start: contents_end, end: section.span_end }));
            }
            previous_end = contents_end;
        }
        if self.sections.is_empty() && end != HEADER_LEN {
            return Err(ImageError::HeaderField { field: "table offset", expected: HEADER_LEN, found: end });
        }
        Ok(())
    }

    fn check_kinds(&self) -> Result<(), ImageError> {
        for (index, section) in self.sections.iter().enumerate() {
            if self.sections[..index].iter().any(|other| other.id.number == section.id.number) {
                return Err(section.problem(TableProblem::Duplicate));
            }
            match section.kind() {
                Some(kind) => check_known(section, kind)?,
                None if section.required => {
                    return Err(ImageError::UnknownSection { section: section.id, found: section.version, known: 0 });
                }
                None => {}
            }
        }
        let missing = SectionKind::ALL.into_iter().find(|kind| kind.is_in_every_image() && self.find(*kind).is_none());
        missing.map_or(Ok(()), |kind| self.require(kind).map(|_| ()))
    }
}

fn check_known(section: &Section, kind: SectionKind) -> Result<(), ImageError> {
    if section.id != kind.into() {
        return Err(section.problem(TableProblem::Name { expected: kind.into() }));
    }
    let known = kind.newest_version();
    if !(1..=known).contains(&section.version) {
        return Err(ImageError::UnknownSection { section: section.id, found: section.version, known });
    }
    check_len(kind, section.len)?;
    let (offset, length) = (section.offset, section.len);
    if kind == SectionKind::PageStore && !(offset.is_multiple_of(PAGE_SIZE) && length.is_multiple_of(PAGE_SIZE)) {
        return Err(section.problem(TableProblem::Misaligned { offset, length }));
    }
    Ok(())
}

/// Refuses a section of a kind that is longer than any right one.
pub(super) fn check_len(kind: SectionKind, len: u64) -> Result<(), ImageError> {
    let limit = kind.max_len();
    if len <= limit { Ok(()) } else { Err(ImageError::Limit { section: kind.into(), unit: "bytes", limit, found: len }) }
}

fn decode_entry(entry: &[u8]) -> Result<Section, ImageError> {
    let mut fields = Fields(entry);
    let [number, version, flags, crc] = [fields.u32(), fields.u32(), fields.u32(), fields.u32()];
    let (offset, len) = (fields.u64(), fields.u64());
    let id = SectionId { number, name: fields.take() };
    let section = Section { id, version, required: flags & REQUIRED != 0, crc, offset, len, span_end: offset };
    if flags & !REQUIRED != 0 {
        return Err(section.problem(TableProblem::Flags { found: flags }));
    }
    Ok(section)
}

/// The fields of an entry, one after the other; zero past its end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk::<N>() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}
