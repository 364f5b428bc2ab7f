//! Full verification of an image: every checksum, and every reference from one section into another.
//!
//! [`super::ImageReader`] already refuses what cannot be read at all. What is found here can be read, and would not restore
//! to what was saved.

mod descriptors;
mod memory;
mod pages;
mod processes;
mod threads;
mod work;

use std::fmt;

use super::pages::Pages;
use super::reader::ImageReader;
use super::section::SectionKind;
use crate::address::{RunAddress, RunRange};
use crate::model::latest::{AddressSpace, PageTable, Snapshot};

/// Most findings that are listed; the last one says so when there are more.
pub const MAX_FINDINGS: usize = 1000;

/// End of the user's half of the address space with five-level page tables (`TASK_SIZE_MAX`).
const USER_END: RunAddress = RunAddress((1 << 56) - 4096);

/// Signals that Linux has (`_NSIG`).
const SIGNALS: u8 = 64;

/// Something wrong with an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The section that says something wrong.
    pub section: SectionKind,
    /// What in the section it says it of.
    pub item: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "section {}: {}: {}", self.section.name(), self.item, self.problem)
    }
}

/// Checks all bytes and references of an image; none found means that it is right.
///
/// Pages in a parent image are looked up when `parent` is given; another image than the one in the lineage is a finding.
pub fn verify(image: &ImageReader, parent: Option<&Pages<'_>>) -> Vec<Finding> {
    let mut findings = Findings::default();
    pages::check_bytes(image, &mut findings);
    check_all(image.snapshot(), image.page_table(), Some(image.stored_pages()), &mut findings);
    work::check(image.snapshot(), image.work(), &Coverage::new(&image.snapshot().address_spaces), &mut findings);
    pages::check_parent(image, parent, &mut findings);
    findings.list
}

/// Checks the references of a snapshot that is not in an image yet, and that `page_table` fits its mappings.
pub fn verify_snapshot(snapshot: &Snapshot, page_table: &PageTable) -> Vec<Finding> {
    let mut findings = Findings::default();
    check_all(snapshot, page_table, None, &mut findings);
    findings.list
}

fn check_all(snapshot: &Snapshot, page_table: &PageTable, store_pages: Option<u64>, findings: &mut Findings) {
    let coverage = Coverage::new(&snapshot.address_spaces);
    processes::check(snapshot, findings);
    memory::check(snapshot, &coverage, findings);
    threads::check(snapshot, &coverage, findings);
    descriptors::check(snapshot, findings);
    pages::check_table(snapshot, page_table, &coverage, findings);
    if let Some(store_pages) = store_pages {
        pages::check_store(page_table, store_pages, findings);
    }
}

/// What was found so far, and where the checks are.
struct Findings {
    list: Vec<Finding>,
    section: SectionKind,
}

impl Default for Findings {
    fn default() -> Self {
        Self { list: Vec::new(), section: SectionKind::Manifest }
    }
}

impl Findings {
    /// Says which section the next checks are about.
    fn enter(&mut self, section: SectionKind) {
        self.section = section;
    }

    /// Records a problem unless `right`. Nothing is formatted for what is right.
    fn check(&mut self, right: bool, item: fmt::Arguments<'_>, problem: fmt::Arguments<'_>) {
        if right || self.list.len() >= MAX_FINDINGS {
            return;
        }
        if self.list.len() + 1 == MAX_FINDINGS {
            let (item, problem) = ("everything else".into(), "not listed: too many findings".into());
            self.list.push(Finding { section: self.section, item, problem });
        } else {
            self.list.push(Finding { section: self.section, item: item.to_string(), problem: problem.to_string() });
        }
    }
}

/// Which addresses of each address space are mapped.
struct Coverage {
    /// Ascending, apart from each other.
    spaces: Vec<Vec<RunRange>>,
}

impl Coverage {
    fn new(spaces: &[AddressSpace]) -> Self {
        Self { spaces: spaces.iter().map(covered_ranges).collect() }
    }

    /// Whether every address of a range is mapped; false for an address space that is not there.
    fn covers(&self, address_space: u32, range: RunRange) -> bool {
        let Some(ranges) = self.spaces.get(address_space as usize) else { return false };
        let at = ranges.partition_point(|covered| covered.end <= range.start);
        ranges.get(at).is_some_and(|covered| covered.start <= range.start && range.end <= covered.end)
    }

    /// Whether `len` bytes from `start` on are mapped.
    fn covers_bytes(&self, address_space: u32, start: RunAddress, len: u64) -> bool {
        start.checked_add(len).is_some_and(|end| self.covers(address_space, RunRange { start, end }))
    }
}

fn covered_ranges(space: &AddressSpace) -> Vec<RunRange> {
    let mut sorted: Vec<RunRange> = space.mappings.iter().map(|mapping| mapping.range).collect();
    sorted.sort();
    let mut covered: Vec<RunRange> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match covered.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => covered.push(range),
        }
    }
    covered
}

/// Whether a range is whole pages, and at least one.
fn whole_pages(range: &RunRange) -> bool {
    !range.is_empty() && range.start == range.start.page_floor() && range.end == range.end.page_floor()
}
