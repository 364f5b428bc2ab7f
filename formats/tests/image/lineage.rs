//! Images that take pages from a parent image.

use std::error::Error;

use dsu_formats::address::{PAGE_SIZE, RunAddress};
use dsu_formats::image::{ImageError, ImageReader, ImageWriter, PageBytes, verify};
use dsu_formats::model::latest::{Extent, PageSource, Snapshot};

use super::fixture::{self, HEAP, PARENT_IDENTITY, bytes_of, page, snapshot};

fn from_parent(first: u64, pages: u64) -> Extent {
    let start = RunAddress(HEAP + first * PAGE_SIZE);
    Extent { address_space: 0, start, pages, source: PageSource::Parent }
}

fn child_of(parent: Option<&ImageReader>) -> Snapshot {
    let mut snapshot = snapshot();
    match (parent, &mut snapshot.manifest.lineage) {
        (Some(parent), Some(lineage)) => lineage.parent = parent.identity(),
        _ => snapshot.manifest.lineage = None,
    }
    snapshot
}

/// An image with `stored` pages of its own from the start of the heap on, and the given ones from its parent.
fn image(parent: Option<&ImageReader>, stored: &[u8], inherited: Option<Extent>) -> ImageReader {
    let written = bytes_of(|file| {
        let mut writer = ImageWriter::to_file(file)?;
        let bytes: Vec<u8> = stored.iter().flat_map(|seed| page(*seed)).collect();
        writer.put_pages(0, RunAddress(HEAP), &bytes)?;
        inherited.map_or(Ok(()), |extent| writer.put_reference(extent))?;
        writer.finish(&child_of(parent)).map(|_| ())
    });
    ImageReader::from_bytes(written).expect("a right image")
}

#[test]
fn pages_come_through_two_generations() {
    let oldest = image(None, &[1, 2, 3, 4, 5], None);
    let older = image(Some(&oldest), &[21, 22], Some(from_parent(2, 3)));
    let newest = image(Some(&older), &[31], Some(from_parent(1, 4)));
    let oldest_pages = oldest.pages();
    let older_pages = older.pages_over(&oldest_pages).expect("its parent");
    let pages = newest.pages_over(&older_pages).expect("its parent");
    let seeds = [31, 22, 3, 4, 5];
    for (number, seed) in seeds.into_iter().enumerate() {
        let found = pages.page(0, RunAddress(HEAP + number as u64 * PAGE_SIZE)).expect("right pages");
        assert_eq!(found, Some(PageBytes::Stored(&page(seed))), "page {number}");
    }
    let runs: Vec<_> = pages.runs().map(|run| run.expect("right pages")).collect();
    let lengths: Vec<_> = runs.iter().map(|run| run.range.len() / PAGE_SIZE).collect();
    assert_eq!(lengths, [1, 1, 3]);
    assert!(runs.windows(2).all(|pair| pair[0].range.end == pair[1].range.start));
    assert_eq!(verify(&newest, Some(&older_pages)), []);
}

#[test]
fn another_parent_is_refused_with_both_identities() {
    let other = image(None, &[1], None);
    let child = fixture::image();
    let Err(error) = child.pages_over(&other.pages()).map(|_| ()) else { panic!("a foreign parent was taken") };
    let expected = format!("wrong parent image: identity {PARENT_IDENTITY:#010x} expected, {:#010x} found", other.identity());
    assert_eq!(error.to_string(), expected);
    let findings = verify(&child, Some(&other.pages()));
    assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [format!("section manifest: lineage: {expected}")]);
    // An image that was captured has no parent at all.
    let Err(error) = other.pages_over(&child.pages()).map(|_| ()) else { panic!("a parent was taken by an orphan") };
    assert!(error.to_string().starts_with("wrong parent image: identity none expected"));
}

#[test]
fn a_page_in_the_parent_needs_the_parent() {
    let child = fixture::image();
    let error = child.pages().page(0, RunAddress(HEAP + 4 * PAGE_SIZE)).expect_err("no parent was given");
    assert!(matches!(error, ImageError::Parent { expected: Some(PARENT_IDENTITY), found: None }));
    let runs: Vec<_> = child.pages().runs().collect();
    assert_eq!(runs.iter().filter(|run| run.is_ok()).count(), 3);
    assert!(runs.last().is_some_and(Result::is_err), "iteration ends with the error");
}

#[test]
fn a_hole_in_the_parent_is_named() {
    let parent = image(None, &[1, 2, 3], None);
    let torn = bytes_of(|file| {
        let mut writer = ImageWriter::to_file(file)?;
        for number in [0, 1, 2, 5, 9] {
            writer.put_pages(0, RunAddress(HEAP + number * PAGE_SIZE), &page(number as u8 + 1))?;
        }
        writer.finish(&child_of(None)).map(|_| ())
    });
    let torn = ImageReader::from_bytes(torn).expect("a right image");
    for (parent, first, pages, hole) in
        [(&parent, 2, 2, 3), (&parent, 7, 1, 7), (&parent, 1, 9, 3), (&torn, 0, 10, 3), (&torn, 5, 5, 6), (&torn, 4, 2, 4)]
    {
        let child = image(Some(parent), &[], Some(from_parent(first, pages)));
        let parents = parent.pages();
        let view = child.pages_over(&parents).expect("its parent");
        let error = view.runs().find_map(Result::err).expect("a hole");
        let cause = error.source().expect("a cause").to_string();
        assert_eq!(cause, format!("the parent image has no page at {:#x}", HEAP + hole * PAGE_SIZE));
        let findings = verify(&child, Some(&parents));
        assert!(findings.len() == 1 && findings[0].problem.ends_with(&cause), "{findings:?}");
    }
}
