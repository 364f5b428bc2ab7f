//! The golden files of format version 1. None of these tests and files may ever be deleted: they are the promise that an
//! image which was written once can be read for ever.
//!
//! When a later format version comes, `fixture.rs` and `descriptors.rs` stay as they are, in terms of the `…V1` types and
//! their converters; the test that compares bytes moves to the new version's golden file, and the one that reads stays.
//!
//! The files were written by `DSU_WRITE_GOLDEN=1 cargo test -p dsu-formats --test image golden`. With that variable set the
//! two comparing tests write instead of comparing: never for a version that was released.

use std::collections::BTreeSet;

use dsu_formats::address::{PAGE_SIZE, RunAddress};
use dsu_formats::image::{ImageReader, PageBytes, SectionKind, verify};
use dsu_formats::model::latest::*;

use super::descriptors::{KINDS, kind_number, state_number};
use super::fixture::{self, HEAP, PARENT_IDENTITY, bytes_of, golden, page, snapshot, write_image, write_parent};

fn open(name: &str) -> ImageReader {
    ImageReader::open(&golden(name)).expect("the golden file is right")
}

pub(super) fn compare(name: &str, written: &[u8]) {
    let path = golden(name);
    if std::env::var_os("DSU_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, written).expect("the golden file can be written");
    }
    let kept = std::fs::read(&path).expect("the golden file is there");
    let differs = kept.iter().zip(written).position(|(kept, written)| kept != written);
    assert_eq!((kept.len(), differs), (written.len(), None), "the writer no longer writes {name} as it did");
}

#[test]
fn golden_parent_is_still_written_the_same() {
    compare("v1-parent.dsu", &bytes_of(write_parent));
}

#[test]
fn golden_image_is_still_written_the_same() {
    compare("v1.dsu", &bytes_of(write_image));
}

#[test]
fn golden_image_of_version_1_is_read() {
    let image = open("v1.dsu");
    assert_eq!((image.header().format_version, image.header().oldest_reader), (1, 1));
    // The derived comparison looks at every field; one assertion a section keeps a failure readable.
    let (read, written) = (image.snapshot(), &snapshot());
    assert_eq!(read.manifest, written.manifest);
    assert_eq!(read.tree, written.tree);
    assert_eq!(read.address_spaces, written.address_spaces);
    assert_eq!(read.modules, written.modules);
    assert_eq!(read.threads, written.threads);
    assert_eq!(read.signals, written.signals);
    assert_eq!(read.timers, written.timers);
    assert_eq!(read.descriptors, written.descriptors);
    assert_eq!(read.credentials, written.credentials);
    assert_eq!(read.limits, written.limits);
    assert_eq!(read.generations, written.generations);
    assert!(read == written, "a section that is not compared above differs");
    assert_eq!(image.plan_report(), Some(fixture::PLAN_REPORT));
    assert_eq!(image.page_table().extents, extents());
    assert_eq!(image.sections().iter().filter_map(|section| section.kind()).collect::<Vec<_>>(), sections());
}

#[test]
fn golden_pages_of_version_1_are_read() {
    let parent = open("v1-parent.dsu");
    assert_eq!(parent.identity(), PARENT_IDENTITY);
    let image = open("v1.dsu");
    let parents = parent.pages();
    let pages = image.pages_over(&parents).expect("that is its parent");
    let at = |space, number| pages.page(space, RunAddress(HEAP + number * PAGE_SIZE + 5)).expect("right pages");
    let stored = |bytes: &Option<PageBytes<'_>>, seed| *bytes == Some(PageBytes::Stored(&page(seed)));
    for (number, seed) in [(0, 1), (2, 2), (3, 3), (4, 15), (6, 16)] {
        assert!(stored(&at(0, number), seed), "page {number}");
    }
    assert!(stored(&at(1, 0), 4));
    assert_eq!([at(0, 1), at(0, 5)], [Some(PageBytes::Zero); 2]);
    assert_eq!([at(0, 8), at(0, 9)], [Some(PageBytes::Holder); 2]);
    assert_eq!([at(0, 7), at(0, 10), at(1, 1), at(2, 0)], [None; 4]);
}

#[test]
fn golden_image_of_version_1_verifies() {
    let parent = open("v1-parent.dsu");
    let (findings, parent_findings) = (verify(&open("v1.dsu"), Some(&parent.pages())), verify(&parent, None));
    assert_eq!((findings, parent_findings), (vec![], vec![]));
}

#[test]
fn every_variant_is_in_the_golden_image() {
    let image = open("v1.dsu");
    let descriptions = &image.snapshot().descriptors.descriptions;
    let kinds: BTreeSet<_> = descriptions.iter().map(|description| kind_number(&description.kind)).collect();
    assert_eq!(kinds, (0..KINDS).collect());
    let mut states = BTreeSet::new();
    let mut ends = BTreeSet::new();
    for description in descriptions {
        match &description.kind {
            Kind::Socket(socket) => _ = states.insert(state_number(socket.state)),
            Kind::Pipe { end, .. } | Kind::Fifo { end, .. } => _ = ends.insert(end_number(*end)),
            _ => {}
        }
    }
    assert_eq!((states, ends), ((0..5).collect(), (0..3).collect()));
    let mappings = || image.snapshot().address_spaces.iter().flat_map(|space| &space.mappings);
    let backings: BTreeSet<_> = mappings().map(|mapping| backing_number(&mapping.backing)).collect();
    assert_eq!(backings, (0..7).collect());
    assert!([Sharing::Private, Sharing::Shared].iter().all(|sharing| mappings().any(|mapping| mapping.sharing == *sharing)));
    let sources: BTreeSet<_> = image.page_table().extents.iter().map(|extent| source_number(extent.source)).collect();
    assert_eq!(sources, (0..4).collect());
}

fn end_number(end: PipeEnd) -> usize {
    match end {
        PipeEnd::Read => 0,
        PipeEnd::Write => 1,
        PipeEnd::Both => 2,
    }
}

fn backing_number(backing: &Backing) -> usize {
    match backing {
        Backing::Anonymous { .. } => 0,
        Backing::File { .. } => 1,
        Backing::SharedAnonymous { .. } => 2,
        Backing::SysV { .. } => 3,
        Backing::Vdso => 4,
        Backing::Vvar { .. } => 5,
        Backing::Vsyscall => 6,
    }
}

fn source_number(source: PageSource) -> usize {
    match source {
        PageSource::Store { .. } => 0,
        PageSource::Zero => 1,
        PageSource::Parent => 2,
        PageSource::Holder => 3,
    }
}

fn extents() -> Vec<Extent> {
    let extent = |address_space, number, pages, source| Extent {
        address_space,
        start: RunAddress(HEAP + number * PAGE_SIZE),
        pages,
        source,
    };
    let store = |first_page| PageSource::Store { first_page };
    vec![
        extent(0, 0, 1, store(0)),
        extent(0, 1, 1, PageSource::Zero),
        extent(0, 2, 2, store(1)),
        extent(0, 4, 3, PageSource::Parent),
        extent(0, 8, 2, PageSource::Holder),
        extent(1, 0, 1, store(3)),
    ]
}

fn sections() -> Vec<SectionKind> {
    use SectionKind::*;
    vec![
        PageStore,
        PageChecksums,
        Manifest,
        Tree,
        Memory,
        Modules,
        Threads,
        Signals,
        Timers,
        Descriptors,
        Credentials,
        Limits,
        Generations,
        PageTable,
        PlanReport,
    ]
}
