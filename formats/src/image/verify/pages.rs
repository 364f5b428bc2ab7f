//! Checks of the page store and the page table.

use super::{Coverage, Findings};
use crate::address::{PAGE_SIZE, RunAddress, RunRange};
use crate::image::{ImageReader, Pages, SectionKind};
use crate::model::latest::{AddressSpace, Extent, PageSource, PageTable, Snapshot};

/// Every checksum over the page store.
pub(super) fn check_bytes(image: &ImageReader, findings: &mut Findings) {
    findings.enter(SectionKind::PageStore);
    let (mut whole, mut right) = (crc32fast::Hasher::new(), true);
    for chunk in 0..image.chunks() {
        match image.hash_chunk(chunk) {
            Ok(hasher) => whole.combine(&hasher),
            Err(error) => {
                right = false;
                findings.check(false, format_args!("chunk {chunk}"), format_args!("{error}"));
            }
        }
    }
    whole.update(image.store_padding());
    let (expected, found) = (image.store().crc, whole.finalize());
    let problem = format_args!("checksum {expected:#010x} expected, {found:#010x} found, though each chunk is right");
    findings.check(!right || expected == found, format_args!("the whole"), problem);
}

/// Extents lie in mappings, and keep no memory that asked not to be kept.
pub(super) fn check_table(snapshot: &Snapshot, table: &PageTable, coverage: &Coverage, findings: &mut Findings) {
    findings.enter(SectionKind::PageTable);
    let mut previous: Option<(u32, RunRange)> = None;
    for extent in &table.extents {
        let (space, range) = (extent.address_space, range(extent));
        let item = format_args!("extent {range} of address space {space}");
        let whole = range.len() / PAGE_SIZE == extent.pages && super::whole_pages(&range);
        findings.check(whole, item, format_args!("{} pages there are not whole pages", extent.pages));
        let after = previous.is_none_or(|(other, before)| (other, before.end) <= (space, range.start));
        findings.check(after, item, format_args!("it overlaps or precedes the one before it"));
        previous = Some((space, range));
        findings.check(coverage.covers(space, range), item, format_args!("part of it is in no mapping"));
        let lineage = extent.source != PageSource::Parent || snapshot.manifest.lineage.is_some();
        findings.check(lineage, item, format_args!("it is in a parent image, and the manifest names none"));
        if let (PageSource::Store { .. }, Some(address_space)) = (extent.source, snapshot.address_spaces.get(space as usize)) {
            let hidden = hidden_mapping(address_space, range);
            let problem = format_args!("its bytes are kept, though the mapping is secret or MADV_DONTDUMP");
            findings.check(!hidden, item, problem);
        }
    }
}

/// Whether a range shares a page with a mapping whose bytes must not be written down.
fn hidden_mapping(space: &AddressSpace, range: RunRange) -> bool {
    let first = space.mappings.partition_point(|mapping| mapping.range.end <= range.start);
    let mut overlapping = space.mappings.iter().skip(first).take_while(|mapping| mapping.range.start < range.end);
    overlapping.any(|mapping| mapping.flags.dont_dump || mapping.flags.secret)
}

/// Every page of the store is that of exactly one address.
pub(super) fn check_store(table: &PageTable, store_pages: u64, findings: &mut Findings) {
    findings.enter(SectionKind::PageStore);
    let stored = table.extents.iter().filter_map(|extent| match extent.source {
        PageSource::Store { first_page } => Some((first_page, first_page.saturating_add(extent.pages))),
        _ => None,
    });
    let mut used: Vec<(u64, u64)> = stored.collect();
    used.sort_unstable();
    let mut next = 0;
    for (first, end) in used.into_iter().chain([(store_pages, store_pages)]) {
        let (low, high) = (first.min(next), first.max(next));
        let what = if first > next { "no extent refers to" } else { "more than one extent refers to" };
        findings.check(first == next, format_args!("pages {low} to {high}"), format_args!("{what} them"));
        next = next.max(end);
    }
}

/// Pages that are said to be in the parent image are there.
pub(super) fn check_parent(image: &ImageReader, parent: Option<&Pages<'_>>, findings: &mut Findings) {
    let Some(parent) = parent else { return };
    findings.enter(SectionKind::Manifest);
    let pages = match image.pages_over(parent) {
        Ok(pages) => pages,
        Err(error) => return findings.check(false, format_args!("lineage"), format_args!("{error}")),
    };
    findings.enter(SectionKind::PageTable);
    let inherited = image.page_table().extents.iter().filter(|extent| extent.source == PageSource::Parent);
    for extent in inherited {
        let (space, range) = (extent.address_space, range(extent));
        let error = pages.runs_in(space, range).find_map(Result::err);
        if let Some(error) = error {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            let item = format_args!("extent {range} of address space {space}");
            findings.check(false, item, format_args!("{error}{cause}"));
        }
    }
}

fn range(extent: &Extent) -> RunRange {
    let bytes = extent.pages.saturating_mul(PAGE_SIZE);
    RunRange { start: extent.start, end: RunAddress(extent.start.0.saturating_add(bytes)) }
}
