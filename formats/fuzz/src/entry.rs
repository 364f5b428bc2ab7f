//! Reads bytes as an image and does with it whatever a reader can do. Must never panic, loop or allocate without bound.

use std::error::Error;

use dsu_formats::address::RunAddress;
use dsu_formats::image::{Finding, ImageError, ImageReader, Pages, verify};

/// Runs taken from one image: extents may share pages, so their number says nothing about the bytes behind them.
const MAX_RUNS: usize = 4096;

/// Whether the bytes are an image that can be opened.
pub fn exercise(bytes: &[u8]) -> bool {
    match ImageReader::from_bytes(bytes.to_vec()) {
        Ok(image) => {
            let pages = image.pages();
            walk(&pages);
            let found = verify(&image, Some(&pages));
            assert!(found.iter().map(Finding::to_string).all(|finding| !finding.is_empty()));
            if let Ok(over_itself) = image.pages_over(&pages) {
                walk(&over_itself);
            }
            true
        }
        Err(error) => {
            assert!(!chain(&error).is_empty());
            false
        }
    }
}

/// All runs, and every page that an extent starts with or ends at.
fn walk(pages: &Pages<'_>) {
    for run in pages.runs().take(MAX_RUNS) {
        let Ok(run) = run else { break };
        assert!(!run.range.is_empty());
    }
    let image = pages.image();
    for extent in image.page_table().extents.iter().take(MAX_RUNS) {
        let end = RunAddress(extent.start.0 + extent.pages * 4096);
        for address in [extent.start, end] {
            if let Err(error) = pages.page(extent.address_space, address) {
                assert!(!chain(&error).is_empty());
            }
        }
    }
    assert_eq!(pages.page(u32::MAX, RunAddress(u64::MAX)).ok().flatten(), None);
}

/// The message of an error and of its cause.
fn chain(error: &ImageError) -> String {
    let cause = error.source().map(|cause| cause.to_string()).unwrap_or_default();
    format!("{error}{cause}")
}
