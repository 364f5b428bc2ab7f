//! The pages of an image: the order of its extents, and a view of their bytes across parent images.

use super::error::{ImageError, PageTableProblem};
use super::reader::ImageReader;
use super::store::PAGES_PER_CHUNK;
use crate::address::{PAGE_SIZE, RunAddress, RunRange};
use crate::model::latest::{Extent, PageSource, PageTable};

/// The pages that an image has bytes for, with those of its parents.
#[derive(Clone, Copy)]
pub struct Pages<'a> {
    image: &'a ImageReader,
    parent: Option<&'a Pages<'a>>,
}

/// Bytes of one page or of a run of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageBytes<'a> {
    /// From the page store of this image or of a parent; the checksum was right.
    Stored(&'a [u8]),
    /// All zero.
    Zero,
    /// In a live holder, at the same addresses.
    Holder,
}

/// Consecutive pages with their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Index of the address space.
    pub address_space: u32,
    /// Addresses of the pages.
    pub range: RunRange,
    /// Their bytes.
    pub bytes: PageBytes<'a>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(image: &'a ImageReader) -> Self {
        Self { image, parent: None }
    }

    pub(super) fn over(image: &'a ImageReader, parent: &'a Pages<'a>) -> Self {
        Self { image, parent: Some(parent) }
    }

    /// The image whose pages these are.
    pub fn image(&self) -> &'a ImageReader {
        self.image
    }

    /// The bytes of the page that holds `address`; `None` for a page that is as a fresh mapping has it.
    pub fn page(&self, address_space: u32, address: RunAddress) -> Result<Option<PageBytes<'a>>, ImageError> {
        let start = address.page_floor();
        let page = RunRange { start, end: RunAddress(start.0.saturating_add(PAGE_SIZE)) };
        self.runs_in(address_space, page).next().map(|run| run.map(|run| run.bytes)).transpose()
    }

    /// All pages by address space and ascending address. A run of stored pages is at most one chunk long.
    pub fn runs(&self) -> Runs<'a> {
        Runs { pages: *self, next: 0, within: None, piece: None, inner: None }
    }

    /// The pages of one address space in a range, which is widened to whole pages.
    pub fn runs_in(&self, address_space: u32, range: RunRange) -> Runs<'a> {
        let range = RunRange { start: range.start.page_floor(), end: range.end.page_ceil() };
        let extents = &self.image.page_table().extents;
        let next = extents.partition_point(|extent| (extent.address_space, range_of(extent).end) <= (address_space, range.start));
        Runs { pages: *self, next, within: Some((address_space, range)), piece: None, inner: None }
    }
}

/// Iterator over the pages of an image; ends after the first error.
pub struct Runs<'a> {
    pages: Pages<'a>,
    /// Index of the extent that comes next.
    next: usize,
    /// What to keep to.
    within: Option<(u32, RunRange)>,
    /// What is left of the current extent.
    piece: Option<Extent>,
    /// The runs of the parent image that stand for the current extent.
    inner: Option<Box<Inherited<'a>>>,
}

/// Runs of a parent image that must cover an extent without a hole.
struct Inherited<'a> {
    runs: Runs<'a>,
    extent: Extent,
    covered: RunAddress,
}

impl<'a> Iterator for Runs<'a> {
    type Item = Result<Run<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(inner) = &mut self.inner {
                match inner.next_run() {
                    Some(Ok(run)) => return Some(Ok(run)),
                    Some(Err(error)) => return Some(Err(self.end_with(error))),
                    None => self.inner = None,
                }
            }
            let piece = match self.piece.take() {
                Some(piece) => piece,
                None => self.next_piece()?,
            };
            match self.take_from(piece) {
                Ok(Some(run)) => return Some(Ok(run)),
                Ok(None) => {}
                Err(error) => return Some(Err(self.end_with(error))),
            }
        }
    }
}

impl<'a> Runs<'a> {
    /// The part of the next extent that is wanted.
    fn next_piece(&mut self) -> Option<Extent> {
        let extent = *self.pages.image.page_table().extents.get(self.next)?;
        self.next += 1;
        let Some((address_space, range)) = self.within else { return Some(extent) };
        if extent.address_space != address_space {
            return None;
        }
        let wanted = range_of(&extent).intersection(&range)?;
        let skipped = (wanted.start.0 - extent.start.0) / PAGE_SIZE;
        Some(part(&extent, skipped, wanted.len() / PAGE_SIZE))
    }

    /// The first run of a piece; keeps what is left of it. `None` when the parent image has to be asked.
    fn take_from(&mut self, piece: Extent) -> Result<Option<Run<'a>>, ImageError> {
        let run = |extent: &Extent, bytes| Ok(Some(Run { address_space: extent.address_space, range: range_of(extent), bytes }));
        match piece.source {
            PageSource::Zero => run(&piece, PageBytes::Zero),
            PageSource::Holder => run(&piece, PageBytes::Holder),
            PageSource::Store { first_page } => {
                let pages = piece.pages.min(PAGES_PER_CHUNK - first_page % PAGES_PER_CHUNK);
                let bytes = self.pages.image.stored(first_page, pages)?;
                if pages < piece.pages {
                    self.piece = Some(part(&piece, pages, piece.pages - pages));
                }
                run(&part(&piece, 0, pages), PageBytes::Stored(bytes))
            }
            PageSource::Parent => {
                let expected = self.pages.image.parent_identity();
                let parent = self.pages.parent.ok_or(ImageError::Parent { expected, found: None })?;
                let runs = parent.runs_in(piece.address_space, range_of(&piece));
                self.inner = Some(Box::new(Inherited { runs, covered: piece.start, extent: piece }));
                Ok(None)
            }
        }
    }

    fn end_with(&mut self, error: ImageError) -> ImageError {
        (self.next, self.piece, self.inner) = (usize::MAX, None, None);
        error
    }
}

impl<'a> Inherited<'a> {
    fn next_run(&mut self) -> Option<Result<Run<'a>, ImageError>> {
        let (address, run) = match self.runs.next() {
            Some(Ok(run)) => (run.range.start, Some(run)),
            Some(Err(error)) => return Some(Err(error)),
            None => (range_of(&self.extent).end, None),
        };
        if address != self.covered {
            let problem = PageTableProblem::NotInParent { address: self.covered };
            return Some(Err(extent_problem(&self.extent, problem)));
        }
        let run = run?;
        self.covered = run.range.end;
        Some(Ok(run))
    }
}

/// Refuses extents that are empty, misaligned, out of order, overlapping, or outside the page store.
pub(super) fn check_extents(table: &PageTable, store_pages: u64) -> Result<(), ImageError> {
    let mut last: Option<(u32, RunRange)> = None;
    for extent in &table.extents {
        let range = extent_range(extent)?;
        if let Some((address_space, other)) = last
            && (address_space, other.end) > (extent.address_space, range.start)
        {
            return Err(extent_problem(extent, PageTableProblem::Order { other }));
        }
        if let PageSource::Store { first_page } = extent.source {
            let end = first_page.saturating_add(extent.pages);
            if end > store_pages {
                return Err(extent_problem(extent, PageTableProblem::OutsideStore { end, store_pages }));
            }
        }
        last = Some((extent.address_space, range));
    }
    Ok(())
}

/// The addresses of an extent that is whole pages.
pub(super) fn extent_range(extent: &Extent) -> Result<RunRange, ImageError> {
    let end = extent.pages.checked_mul(PAGE_SIZE).and_then(|bytes| extent.start.checked_add(bytes));
    match end {
        Some(end) if extent.pages > 0 && extent.start == extent.start.page_floor() => Ok(RunRange { start: extent.start, end }),
        _ => Err(extent_problem(extent, PageTableProblem::NotPages)),
    }
}

pub(super) fn extent_problem(extent: &Extent, source: PageTableProblem) -> ImageError {
    let Extent { address_space, start, pages, .. } = *extent;
    ImageError::Extent { address_space, start, pages, source }
}

/// The addresses of an extent that was checked.
fn range_of(extent: &Extent) -> RunRange {
    let bytes = extent.pages.saturating_mul(PAGE_SIZE);
    RunRange { start: extent.start, end: RunAddress(extent.start.0.saturating_add(bytes)) }
}

/// `pages` pages of an extent after the first `skipped`; both within it.
fn part(extent: &Extent, skipped: u64, pages: u64) -> Extent {
    let source = match extent.source {
        PageSource::Store { first_page } => PageSource::Store { first_page: first_page + skipped },
        other => other,
    };
    let start = RunAddress(extent.start.0 + skipped * PAGE_SIZE);
    Extent { start, pages, source, ..*extent }
}
