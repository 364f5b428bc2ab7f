//! Writes an image: pages as they come, everything else at the end, the header last of all.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::error::{ImageError, PageTableProblem};
use super::header::{HEADER_LEN, Header};
use super::pages::{extent_problem, extent_range};
use super::section::SectionKind;
use super::snapshot;
use super::store::{FinishedStore, StoreWriter};
use super::table::{Section, Table, check_len};
use crate::address::{PAGE_SIZE, RunAddress};
use crate::model::latest::{Extent, PageSource, PageTable, Snapshot, VesselWork};

/// Sections start on multiples of this.
const ALIGNMENT: u64 = 8;

static ZERO_PAGE: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];

/// An image that is being written.
///
/// To a path it is atomic: the file is written under a temporary name beside it with mode 0600, synced and renamed by
/// [`ImageWriter::finish`]. Dropping the writer, or an error, removes the temporary and leaves what was at the path.
pub struct ImageWriter {
    sink: Sink,
    store: StoreWriter,
    extents: Vec<Extent>,
    plan_report: Option<Vec<u8>>,
    work: Vec<u8>,
}

/// What came of writing an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Length of the image in bytes.
    pub bytes: u64,
    /// Pages in its page store.
    pub stored_pages: u64,
    /// Pages recorded as zero.
    pub zero_pages: u64,
    /// Pages recorded as being in the parent image or in a holder.
    pub referred_pages: u64,
    /// CRC32 of the header: what a lineage names the image by.
    pub identity: u32,
}

enum Sink {
    Path { temporary: NamedTempFile, target: PathBuf },
    Caller(File),
}

impl ImageWriter {
    /// Starts an image that [`ImageWriter::finish`] will put at `path`.
    pub fn create(path: &Path) -> Result<Self, ImageError> {
        let directory = directory_of(path);
        let temporary = tempfile::Builder::new()
            .prefix(".dsu-image-")
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(directory)
            .map_err(|source| io_error("create a file in", directory, source))?;
        Ok(Self::new(Sink::Path { temporary, target: path.to_owned() }))
    }

    /// Starts an image in a file of the caller's, a memfd for example; what it held is dropped. Neither synced nor renamed.
    pub fn to_file(file: File) -> Result<Self, ImageError> {
        file.set_len(0).map_err(|source| io_error("empty", Path::new(CALLERS_FILE), source))?;
        Ok(Self::new(Sink::Caller(file)))
    }

    fn new(sink: Sink) -> Self {
        Self { sink, store: StoreWriter::default(), extents: Vec::new(), plan_report: None, work: Vec::new() }
    }

    /// Takes the bytes of whole pages that start at `start`. Pages of zeros take no room in the page store.
    ///
    /// Calls may come in any order; no page may be given twice ([`ImageWriter::finish`] refuses).
    pub fn put_pages(&mut self, address_space: u32, start: RunAddress, bytes: &[u8]) -> Result<(), ImageError> {
        let extent = |pages| Extent { address_space, start, pages, source: PageSource::Zero };
        let pages = (bytes.len() as u64).div_ceil(PAGE_SIZE);
        if !(bytes.len() as u64).is_multiple_of(PAGE_SIZE) {
            return Err(extent_problem(&extent(pages), PageTableProblem::NotPages));
        }
        if pages == 0 {
            return Ok(());
        }
        extent_range(&extent(pages))?;
        let (mut rest, mut address) = (bytes, start);
        while !rest.is_empty() {
            let (run, later) = split_run(rest);
            let pages = run.len() as u64 / PAGE_SIZE;
            let source = self.keep(run)?;
            self.push(Extent { address_space, start: address, pages, source });
            address.0 = address.0.wrapping_add(run.len() as u64);
            rest = later;
        }
        Ok(())
    }

    /// Records pages whose bytes are elsewhere: zero, in the parent image, or in a holder.
    ///
    /// A source in this image's store is refused: [`ImageWriter::put_pages`] is the only way there.
    pub fn put_reference(&mut self, extent: Extent) -> Result<(), ImageError> {
        if let PageSource::Store { first_page } = extent.source {
            let end = first_page.saturating_add(extent.pages);
            return Err(extent_problem(&extent, PageTableProblem::OutsideStore { end, store_pages: 0 }));
        }
        extent_range(&extent)?;
        self.push(extent);
        Ok(())
    }

    /// Adds the planner's report.
    pub fn set_plan_report(&mut self, report: Vec<u8>) -> Result<(), ImageError> {
        check_len(SectionKind::PlanReport, report.len() as u64)?;
        self.plan_report = Some(report);
        Ok(())
    }

    /// Leaves work to the vessel; an image without any has no such section.
    pub fn set_work(&mut self, work: &[VesselWork]) -> Result<(), ImageError> {
        self.work = if work.is_empty() { Vec::new() } else { snapshot::encode_work(work)? };
        Ok(())
    }

    /// Writes everything else and, for a path, syncs the file, renames it to its name, and syncs the directory.
    pub fn finish(self, snapshot: &Snapshot) -> Result<Summary, ImageError> {
        let extents = in_order(self.extents)?;
        check_lineage(snapshot, &extents)?;
        let count = |wanted: fn(&PageSource) -> bool| {
            extents.iter().filter(|extent| wanted(&extent.source)).map(|extent| extent.pages).sum()
        };
        let zero_pages = count(|source| matches!(source, PageSource::Zero));
        let referred_pages = count(|source| matches!(source, PageSource::Parent | PageSource::Holder));
        let stored_pages = self.store.pages();
        let page_table = snapshot::encode_page_table(&PageTable { extents })?;

        let mut tail = Tail::after(&self.sink, self.store.finish())?;
        snapshot::encode_each(snapshot, |kind, bytes| tail.put(kind, bytes))?;
        tail.put(SectionKind::PageTable, &page_table)?;
        if let Some(report) = &self.plan_report {
            tail.put(SectionKind::PlanReport, report)?;
        }
        if !self.work.is_empty() {
            tail.put(SectionKind::VesselWork, &self.work)?;
        }
        let (bytes, identity) = tail.end()?;
        self.sink.commit()?;
        Ok(Summary { bytes, stored_pages, zero_pages, referred_pages, identity })
    }

    /// Where a run of pages that are all zero or all not zero is kept.
    fn keep(&mut self, run: &[u8]) -> Result<PageSource, ImageError> {
        if run.starts_with(&ZERO_PAGE) {
            return Ok(PageSource::Zero);
        }
        let first_page = self.store.pages();
        self.store.append(self.sink.file(), run).map_err(|source| self.sink.error("write to", source))?;
        Ok(PageSource::Store { first_page })
    }

    fn push(&mut self, extent: Extent) {
        match self.extents.last_mut() {
            Some(last) if continues(last, &extent) => last.pages += extent.pages,
            _ => self.extents.push(extent),
        }
    }
}

impl Sink {
    fn file(&self) -> &File {
        match self {
            Self::Path { temporary, .. } => temporary.as_file(),
            Self::Caller(file) => file,
        }
    }

    fn error(&self, operation: &'static str, source: io::Error) -> ImageError {
        let path = match self {
            Self::Path { temporary, .. } => temporary.path(),
            Self::Caller(_) => Path::new(CALLERS_FILE),
        };
        io_error(operation, path, source)
    }

    fn commit(self) -> Result<(), ImageError> {
        let Self::Path { temporary, target } = self else { return Ok(()) };
        temporary.as_file().sync_all().map_err(|source| io_error("sync", temporary.path(), source))?;
        temporary.persist(&target).map_err(|failed| io_error("rename the finished image to", &target, failed.error))?;
        let directory = directory_of(&target);
        File::open(directory).and_then(|opened| opened.sync_all()).map_err(|source| io_error("sync directory", directory, source))
    }
}

/// The part of a file after the page store, section by section.
struct Tail<'a> {
    sink: &'a Sink,
    table: Table,
    end: u64,
    /// What lies before `end` and was not written yet: there are many sections, most of them small.
    waiting: Vec<u8>,
}

/// How much waits to be written at once.
const WAITING: usize = 1 << 20;

impl<'a> Tail<'a> {
    fn after(sink: &'a Sink, store: FinishedStore) -> Result<Self, ImageError> {
        check_len(SectionKind::PageStore, store.len)?;
        let end = HEADER_LEN + store.len;
        let sections = vec![Section::new(SectionKind::PageStore, store.crc, HEADER_LEN, store.len, end)];
        let mut tail = Self { sink, table: Table { sections }, end, waiting: Vec::new() };
        tail.put(SectionKind::PageChecksums, &store.checksums)?;
        Ok(tail)
    }

    fn put(&mut self, kind: SectionKind, contents: &[u8]) -> Result<(), ImageError> {
        let len = contents.len() as u64;
        check_len(kind, len)?;
        let padding = &ZERO_PAGE[..(len.next_multiple_of(ALIGNMENT) - len) as usize];
        let mut crc = crc32fast::Hasher::new();
        crc.update(contents);
        crc.update(padding);
        let offset = self.end;
        self.write(contents)?;
        self.write(padding)?;
        self.table.sections.push(Section::new(kind, crc.finalize(), offset, len, self.end));
        Ok(())
    }

    /// Table, then header: a file of which the writing was cut short has no magic. Returns length and identity.
    fn end(mut self) -> Result<(u64, u32), ImageError> {
        let table = self.table.encode();
        let (header, identity) = Header::encode(self.end, &table);
        self.write(&table)?;
        self.flush()?;
        let write = self.sink.file().write_all_at(&header, 0);
        write.map_err(|source| self.sink.error("write to", source))?;
        Ok((self.end, identity))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.waiting.extend_from_slice(bytes);
        self.end += bytes.len() as u64;
        if self.waiting.len() < WAITING { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), ImageError> {
        let write = self.sink.file().write_all_at(&self.waiting, self.end - self.waiting.len() as u64);
        self.waiting.clear();
        write.map_err(|source| self.sink.error("write to", source))
    }
}

/// How a file without a path is called in messages.
const CALLERS_FILE: &str = "(image file in memory)";

fn io_error(operation: &'static str, path: &Path, source: io::Error) -> ImageError {
    ImageError::Io { operation, path: path.to_owned(), source }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The first pages that are all zero or all not zero, and the rest.
fn split_run(pages: &[u8]) -> (&[u8], &[u8]) {
    let zero = pages.starts_with(&ZERO_PAGE);
    let alike = pages.chunks_exact(ZERO_PAGE.len()).take_while(|page| (*page == ZERO_PAGE) == zero).count();
    pages.split_at(alike * ZERO_PAGE.len())
}

/// Whether `next` is the rest of `last`: the same source, and both addresses and store pages go on.
fn continues(last: &Extent, next: &Extent) -> bool {
    let follows = match (last.source, next.source) {
        (PageSource::Store { first_page }, PageSource::Store { first_page: next }) => first_page + last.pages == next,
        (last, next) => last == next,
    };
    follows && last.address_space == next.address_space && last.start.checked_add(last.pages * PAGE_SIZE) == Some(next.start)
}

/// Sorts and merges extents; refuses a page that was given twice.
fn in_order(mut extents: Vec<Extent>) -> Result<Vec<Extent>, ImageError> {
    extents.sort_by_key(|extent| (extent.address_space, extent.start));
    let mut merged: Vec<Extent> = Vec::with_capacity(extents.len());
    for extent in extents {
        match merged.last_mut() {
            Some(last) if continues(last, &extent) => last.pages += extent.pages,
            Some(last) if last.address_space == extent.address_space && extent_range(last)?.contains(extent.start) => {
                return Err(extent_problem(&extent, PageTableProblem::Order { other: extent_range(last)? }));
            }
            _ => merged.push(extent),
        }
    }
    Ok(merged)
}

fn check_lineage(snapshot: &Snapshot, extents: &[Extent]) -> Result<(), ImageError> {
    let refers = extents.iter().find(|extent| extent.source == PageSource::Parent);
    match refers {
        Some(extent) if snapshot.manifest.lineage.is_none() => Err(extent_problem(extent, PageTableProblem::NoLineage)),
        _ => Ok(()),
    }
}
