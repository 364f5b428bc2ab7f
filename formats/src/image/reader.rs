//! Reads an image: everything but pages is checked and decoded at once, pages when they are asked for.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bytes::ImageBytes;
use super::error::{ImageError, Place, TableProblem};
use super::header::{HEADER_LEN, Header};
use super::pages::{Pages, check_extents};
use super::section::SectionKind;
use super::snapshot;
use super::store::PAGES_PER_CHUNK;
use super::table::{Section, Table};
use crate::address::PAGE_SIZE;
use crate::model::latest::{PageTable, Snapshot, VesselWork};

/// An image whose header, table and sections are right; of the page store each part is checked before it is first handed out.
pub struct ImageReader {
    bytes: ImageBytes,
    header: Header,
    table: Table,
    snapshot: Snapshot,
    page_table: PageTable,
    plan_report: Option<Vec<u8>>,
    work: Vec<VesselWork>,
    store: Section,
    checksums: Vec<u32>,
    /// Chunks of the page store whose checksum was found right.
    checked: Vec<AtomicBool>,
}

impl ImageReader {
    /// Maps and reads the image at `path`.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let failed = |operation| move |source| ImageError::Io { operation, path: path.to_owned(), source };
        // Opening a FIFO would wait for its other end.
        let kind = std::fs::metadata(path).map_err(failed("open"))?;
        if !kind.is_file() {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(failed("read an image from")(source));
        }
        let file = File::open(path).map_err(failed("open"))?;
        Self::read(ImageBytes::map(&file).map_err(failed("map"))?)
    }

    /// Maps and reads an open file, a memfd for example.
    pub fn from_file(file: &File) -> Result<Self, ImageError> {
        let path = Path::new("(open image file)");
        Self::read(ImageBytes::map(file).map_err(|source| ImageError::Io { operation: "map", path: path.to_owned(), source })?)
    }

    /// Reads an image that is in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ImageError> {
        Self::read(ImageBytes::Owned(bytes))
    }

    fn read(bytes: ImageBytes) -> Result<Self, ImageError> {
        let header = Header::decode(&bytes.copy(0..HEADER_LEN), bytes.all().len() as u64)?;
        let table = read_table(&bytes, &header)?;
        let others = table.sections.iter().filter(|section| section.kind().is_none());
        for section in others {
            checked_section(&bytes, section)?;
        }
        let get = |kind| checked_section(&bytes, table.require(kind)?);
        let snapshot = snapshot::decode_all(get)?;
        let page_table = snapshot::decode_page_table(&get(SectionKind::PageTable)?)?;
        let store = table.require(SectionKind::PageStore)?.clone();
        check_store_padding(&bytes, &store)?;
        check_extents(&page_table, store.len / PAGE_SIZE)?;
        let checksums = decode_checksums(&get(SectionKind::PageChecksums)?, &store)?;
        let report = table.find(SectionKind::PlanReport).map(|section| checked_section(&bytes, section));
        let plan_report = report.transpose()?;
        let work = table.find(SectionKind::VesselWork).map(|section| snapshot::decode_work(&checked_section(&bytes, section)?));
        let work = work.transpose()?.unwrap_or_default();
        let checked = checksums.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Self { bytes, header, table, snapshot, page_table, plan_report, work, store, checksums, checked })
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What a lineage names this image by: the CRC32 of its header.
    pub fn identity(&self) -> u32 {
        self.header.identity
    }

    /// The sections, by ascending offset; also those that this crate does not know.
    pub fn sections(&self) -> &[Section] {
        &self.table.sections
    }

    /// Everything but the pages.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Where the bytes of each page are; its order and its references into the page store were checked.
    pub fn page_table(&self) -> &PageTable {
        &self.page_table
    }

    /// The planner's report, if there is one.
    pub fn plan_report(&self) -> Option<&[u8]> {
        self.plan_report.as_deref()
    }

    /// What a restore must do in the filled vessel, by process; empty for an image that was captured.
    pub fn work(&self) -> &[VesselWork] {
        &self.work
    }

    /// The pages of this image alone: those in a parent image are errors when they are asked for.
    pub fn pages(&self) -> Pages<'_> {
        Pages::new(self)
    }

    /// The pages of this image, those in its parent included. Refuses another image than the one that the lineage names.
    pub fn pages_over<'a>(&'a self, parent: &'a Pages<'a>) -> Result<Pages<'a>, ImageError> {
        let expected = self.parent_identity();
        let found = Some(parent.image().identity());
        if expected != found {
            return Err(ImageError::Parent { expected, found });
        }
        Ok(Pages::over(self, parent))
    }

    /// Identity of the image that this one was made from.
    pub fn parent_identity(&self) -> Option<u32> {
        self.snapshot.manifest.lineage.as_ref().map(|lineage| lineage.parent)
    }

    /// Number of pages in the page store.
    pub fn stored_pages(&self) -> u64 {
        self.store.len / PAGE_SIZE
    }

    /// Pages of the page store that lie in one chunk, their checksum found right.
    pub(super) fn stored(&self, first_page: u64, pages: u64) -> Result<&[u8], ImageError> {
        self.check_chunk(first_page / PAGES_PER_CHUNK)?;
        let start = self.store.offset + first_page * PAGE_SIZE;
        Ok(self.bytes.slice(start..start + pages * PAGE_SIZE))
    }

    /// Number of chunks in the page store.
    pub(super) fn chunks(&self) -> u64 {
        self.checksums.len() as u64
    }

    /// Checks one chunk, unless that was done before.
    fn check_chunk(&self, chunk: u64) -> Result<(), ImageError> {
        let index = usize::try_from(chunk).unwrap_or(usize::MAX);
        if self.checked.get(index).is_some_and(|checked| checked.load(Ordering::Relaxed)) {
            return Ok(());
        }
        self.hash_chunk(chunk)?;
        if let Some(checked) = self.checked.get(index) {
            checked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Computes the checksum of one chunk and compares it with the recorded one.
    pub(super) fn hash_chunk(&self, chunk: u64) -> Result<crc32fast::Hasher, ImageError> {
        let first = chunk * PAGES_PER_CHUNK;
        let count = PAGES_PER_CHUNK.min(self.stored_pages().saturating_sub(first));
        let start = self.store.offset + first * PAGE_SIZE;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.bytes.slice(start..start + count * PAGE_SIZE));
        let found = hasher.clone().finalize();
        let expected = usize::try_from(chunk).ok().and_then(|index| self.checksums.get(index)).copied().unwrap_or(!found);
        if expected != found {
            return Err(ImageError::Checksum { place: Place::Pages { first, count }, expected, found });
        }
        Ok(hasher)
    }

    /// The entry of the page store.
    pub(super) fn store(&self) -> &Section {
        &self.store
    }

    /// The padding after the page store: zero, and under the checksum of that section.
    pub(super) fn store_padding(&self) -> &[u8] {
        self.bytes.slice(self.store.contents().end..self.store.span().end)
    }
}

fn read_table(bytes: &ImageBytes, header: &Header) -> Result<Table, ImageError> {
    let table = bytes.copy(header.table_offset..header.total_len);
    let found = crc32fast::hash(&table);
    if found != header.table_crc {
        return Err(ImageError::Checksum { place: Place::Table, expected: header.table_crc, found });
    }
    Table::decode(&table, header)
}

/// A copy of a section whose checksum and padding are right.
fn checked_section(bytes: &ImageBytes, section: &Section) -> Result<Vec<u8>, ImageError> {
    let mut span = bytes.copy(section.span());
    let found = crc32fast::hash(&span);
    if found != section.crc {
        let place = Place::Section(section.id);
        return Err(ImageError::Checksum { place, expected: section.crc, found });
    }
    let padding = span.split_off(usize::try_from(section.len).map_or(span.len(), |len| len.min(span.len())));
    check_padding(section, &padding)?;
    Ok(span)
}

fn check_store_padding(bytes: &ImageBytes, store: &Section) -> Result<(), ImageError> {
    check_padding(store, bytes.slice(store.contents().end..store.span().end))
}

fn check_padding(section: &Section, padding: &[u8]) -> Result<(), ImageError> {
    match padding.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(at) => {
            let offset = section.contents().end + at as u64;
            Err(ImageError::Table { section: section.id, source: TableProblem::Padding { offset } })
        }
    }
}

fn decode_checksums(bytes: &[u8], store: &Section) -> Result<Vec<u32>, ImageError> {
    let (limit, found) = ((store.len / PAGE_SIZE).div_ceil(PAGES_PER_CHUNK) * 4, bytes.len() as u64);
    if found != limit {
        return Err(ImageError::Limit { section: SectionKind::PageChecksums.into(), unit: "bytes", limit, found });
    }
    let (numbers, _) = bytes.as_chunks::<4>();
    Ok(numbers.iter().map(|number| u32::from_le_bytes(*number)).collect())
}
