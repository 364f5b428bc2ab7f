//! What the writer promises: atomic, private, small, and nothing written that cannot be read.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use dsu_formats::address::{PAGE_SIZE, RunAddress};
use dsu_formats::image::{ImageError, ImageReader, ImageWriter};
use dsu_formats::model::latest::{Extent, PageSource};

use super::fixture::{self, page, snapshot};

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

fn message(error: &ImageError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

#[test]
fn a_finished_image_is_alone_private_and_right() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kvd.dsu");
    fs::write(&path, "what was there").expect("an old file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a public old file");
    let mut writer = ImageWriter::create(&path).expect("a writer");
    writer.put_pages(0, RunAddress(fixture::HEAP), &page(1)).expect("a page");
    assert_eq!(fs::read(&path).expect("the old file"), b"what was there");
    let temporary = names(directory.path()).into_iter().find(|name| name != "kvd.dsu").expect("a temporary");
    assert_eq!(fs::metadata(directory.path().join(temporary)).expect("it").permissions().mode() & 0o777, 0o600);
    let summary = writer.finish(&snapshot()).expect("an image");
    assert_eq!(names(directory.path()), ["kvd.dsu"]);
    let metadata = fs::metadata(&path).expect("the image");
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, summary.bytes));
    assert_eq!(ImageReader::open(&path).expect("a right image").identity(), summary.identity);
}

#[test]
fn a_dropped_or_failed_writer_leaves_what_was_there() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kvd.dsu");
    fs::write(&path, "what was there").expect("an old file");
    let mut writer = ImageWriter::create(&path).expect("a writer");
    writer.put_pages(0, RunAddress(0x1000), &page(1)).expect("a page");
    drop(writer);
    let mut writer = ImageWriter::create(&path).expect("a writer");
    writer.put_pages(0, RunAddress(0x1000), &page(1)).expect("a page");
    writer.put_pages(0, RunAddress(0x1000), &page(2)).expect("noticed at the end");
    let error = writer.finish(&snapshot()).expect_err("a page was put twice");
    assert_eq!(
        message(&error),
        "section page-table: 1 pages at 0x1000 of address space 0 cannot be taken: it overlaps or precedes 0x1000-0x2000"
    );
    assert_eq!(names(directory.path()), ["kvd.dsu"]);
    assert_eq!(fs::read(&path).expect("the old file"), b"what was there");
}

#[test]
fn a_target_that_cannot_be_is_named_and_nothing_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = directory.path().join("taken");
    fs::create_dir(&taken).expect("a directory");
    let error = ImageWriter::create(&taken).expect("a writer").finish(&snapshot()).expect_err("the name is taken");
    assert!(error.to_string().starts_with("cannot rename the finished image to "), "{error}");
    assert_eq!(names(directory.path()), ["taken"]);
    let Err(error) = ImageWriter::create(&directory.path().join("none/kvd.dsu")) else { panic!("no directory") };
    assert!(message(&error).starts_with("cannot create a file in ") && error.to_string().ends_with("none"), "{error}");
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let file = fs::File::open(fixture::golden("v1.dsu")).expect("a file to read");
    let Err(error) = ImageWriter::to_file(file) else { panic!("written to a file opened for reading") };
    assert!(error.to_string().starts_with("cannot empty "), "{error}");
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let Err(error) = ImageWriter::to_file(full) else { panic!("a device was taken for a file") };
    assert!(matches!(error, ImageError::Io { .. }));
}

#[test]
fn an_image_in_the_callers_file_replaces_what_was_in_it() {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(1 << 20).expect("a long file");
    let writer = ImageWriter::to_file(file.try_clone().expect("the same file")).expect("a writer");
    let summary = writer.finish(&snapshot()).expect("an image");
    assert_eq!(file.metadata().expect("the file").len(), summary.bytes);
    assert_eq!(*ImageReader::from_file(&file).expect("a right image").snapshot(), snapshot());
}

#[test]
fn what_is_no_pages_is_refused() {
    let mut writer = ImageWriter::to_file(tempfile::tempfile().expect("a file")).expect("a writer");
    let last = 0u64.wrapping_sub(PAGE_SIZE);
    for (start, len) in [(0x1001, 4096), (0x1000, 4095), (last, 4096), (last, 8192)] {
        let error = writer.put_pages(0, RunAddress(start), &vec![1; len]).expect_err("not pages");
        assert!(message(&error).ends_with("not a range of whole pages"), "{error}");
    }
    let reference = |start, pages, source| Extent { address_space: 0, start: RunAddress(start), pages, source };
    for (start, pages) in [(0x1000, 0), (0x1001, 1), (0x1000, u64::MAX), (0x1000, u64::MAX / PAGE_SIZE)] {
        let error = writer.put_reference(reference(start, pages, PageSource::Holder)).expect_err("not pages");
        assert!(message(&error).ends_with("not a range of whole pages"), "{error}");
    }
    let own = writer.put_reference(reference(0x1000, 1, PageSource::Store { first_page: 0 })).expect_err("not a reference");
    assert!(message(&own).ends_with("it takes pages up to 1 of a page store of 0"), "{own}");
    writer.put_reference(reference(0x1000, 1, PageSource::Parent)).expect("a reference");
    let mut orphan = snapshot();
    orphan.manifest.lineage = None;
    let error = writer.finish(&orphan).expect_err("no parent");
    assert!(message(&error).ends_with("the manifest names no parent image"), "{error}");
}

#[test]
fn no_pages_are_no_extent() {
    let mut writer = ImageWriter::to_file(tempfile::tempfile().expect("a file")).expect("a writer");
    writer.put_pages(0, RunAddress(0x1000), &[]).expect("nothing");
    let summary = writer.finish(&snapshot()).expect("an image");
    assert_eq!((summary.stored_pages, summary.zero_pages), (0, 0));
}

/// The worst case of the page table: every second page is zero, or not there.
#[test]
fn an_image_is_as_large_as_its_memory_and_one_percent_and_64_kib() {
    for zero_between in [true, false] {
        let mut writer = ImageWriter::to_file(tempfile::tempfile().expect("a file")).expect("a writer");
        let count = 3000u64;
        for number in 0..count {
            let start = RunAddress(0x7f00_0000_0000 + number * 2 * PAGE_SIZE);
            let mut bytes = page((number % 255) as u8 + 1);
            if zero_between {
                bytes.resize(2 * PAGE_SIZE as usize, 0);
            }
            writer.put_pages(0, start, &bytes).expect("pages");
        }
        let summary = writer.finish(&snapshot()).expect("an image");
        let memory = count * PAGE_SIZE;
        assert_eq!(summary.stored_pages, count);
        assert!(summary.bytes <= memory + memory / 100 + 65_536, "{} bytes for {memory}", summary.bytes);
    }
}
