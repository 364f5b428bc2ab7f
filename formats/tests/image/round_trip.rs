//! What is written is read: any snapshot, any pages, in any order.

use std::collections::BTreeMap;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::image::{ImageReader, ImageWriter, PAGES_PER_CHUNK, PageBytes, Pages};
use dsu_formats::model::latest::{Extent, PageSource};
use proptest::prelude::*;

use super::arbitrary;
use super::fixture::{bytes_of, page};

/// What a page is filled with: a pattern, zero, or nothing because a holder has it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fill {
    Pattern(u8),
    Zero,
    Holder,
}

/// Pages by address space and page number.
type Model = BTreeMap<(u32, u64), Fill>;

fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![4 => (1..=u8::MAX).prop_map(Fill::Pattern), 2 => Just(Fill::Zero), 1 => Just(Fill::Holder)]
}

fn model() -> impl Strategy<Value = Model> {
    proptest::collection::btree_map((0..3u32, 0x7000..0x7030u64), fill(), 0..60)
}

/// Puts each page by itself, in the order of `keys`.
fn write(snapshot: &[u8], model: &Model, keys: &[(u32, u64)]) -> Vec<u8> {
    bytes_of(|file| {
        let mut writer = ImageWriter::to_file(file)?;
        for (space, number) in keys {
            let start = RunAddress(number * PAGE_SIZE);
            match model[&(*space, *number)] {
                Fill::Pattern(seed) => writer.put_pages(*space, start, &page(seed))?,
                Fill::Zero => writer.put_pages(*space, start, &[0; PAGE_SIZE as usize])?,
                Fill::Holder => {
                    let source = PageSource::Holder;
                    writer.put_reference(Extent { address_space: *space, start, pages: 1, source })?;
                }
            }
        }
        let summary = writer.finish(&arbitrary::snapshot(snapshot))?;
        let count = |wanted: fn(&Fill) -> bool| model.values().filter(|fill| wanted(fill)).count() as u64;
        assert_eq!(summary.stored_pages, count(|fill| matches!(fill, Fill::Pattern(_))));
        assert_eq!(summary.zero_pages, count(|fill| *fill == Fill::Zero));
        assert_eq!(summary.referred_pages, count(|fill| *fill == Fill::Holder));
        Ok(())
    })
}

fn same(bytes: &PageBytes<'_>, fill: Fill) -> bool {
    match (bytes, fill) {
        (PageBytes::Stored(stored), Fill::Pattern(seed)) => *stored == page(seed),
        (PageBytes::Zero, Fill::Zero) | (PageBytes::Holder, Fill::Holder) => true,
        _ => false,
    }
}

/// Compares runs with the pages of the model that `wanted` lets through.
fn assert_runs(pages: &Pages<'_>, range: Option<(u32, RunRange)>, model: &Model) {
    let mut left: Model = model.clone();
    let inside = |space: u32, number: u64| {
        range.is_none_or(|(wanted, range)| wanted == space && range.contains(RunAddress(number * PAGE_SIZE)))
    };
    left.retain(|(space, number), _| inside(*space, *number));
    let runs = match range {
        Some((space, range)) => pages.runs_in(space, range),
        None => pages.runs(),
    };
    for run in runs {
        let run = run.expect("right pages");
        for number in run.range.start.0 / PAGE_SIZE..run.range.end.0 / PAGE_SIZE {
            let at = (number * PAGE_SIZE - run.range.start.0) as usize;
            let bytes = match run.bytes {
                PageBytes::Stored(stored) => PageBytes::Stored(&stored[at..at + PAGE_SIZE as usize]),
                other => other,
            };
            let fill = left.remove(&(run.address_space, number)).expect("a page that was put, once");
            assert!(same(&bytes, fill), "page {number:#x} of {}", run.address_space);
        }
    }
    assert!(left.is_empty(), "pages that no run had: {left:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_snapshot_and_any_pages(
        snapshot in proptest::collection::vec(any::<u8>(), 0..6000),
        (model, keys) in model().prop_flat_map(|model| {
            let keys: Vec<_> = model.keys().copied().collect();
            (Just(model), Just(keys).prop_shuffle())
        }),
        space in 0..4u32,
        start in 0x6ff0..0x7040u64,
        len in 0..40u64,
    ) {
        let image = ImageReader::from_bytes(write(&snapshot, &model, &keys)).expect("a right image");
        prop_assert_eq!(image.snapshot(), &arbitrary::snapshot(&snapshot));
        let pages = image.pages();
        assert_runs(&pages, None, &model);
        let range = RunRange::new(start * PAGE_SIZE, (start + len) * PAGE_SIZE);
        assert_runs(&pages, Some((space, range)), &model);
        for space in 0..4 {
            for number in 0x6fff..0x7031 {
                let found = pages.page(space, RunAddress(number * PAGE_SIZE + 4095)).expect("right pages");
                match (found, model.get(&(space, number))) {
                    (Some(bytes), Some(fill)) => prop_assert!(same(&bytes, *fill)),
                    (None, None) => {}
                    other => prop_assert!(false, "page {:#x}: {:?}", number, other),
                }
            }
        }
    }

    #[test]
    fn the_order_of_putting_does_not_show_in_the_table(
        (model, keys) in model().prop_flat_map(|model| {
            let keys: Vec<_> = model.keys().copied().collect();
            (Just(model), Just(keys).prop_shuffle())
        }),
    ) {
        let image = ImageReader::from_bytes(write(&[], &model, &keys)).expect("a right image");
        let ends = |extent: &Extent| (extent.address_space, extent.start, extent.pages);
        let extents: Vec<_> = image.page_table().extents.iter().map(ends).collect();
        prop_assert!(extents.is_sorted());
        prop_assert_eq!(extents.iter().map(|extent| extent.2).sum::<u64>(), model.len() as u64);
    }
}

#[test]
fn a_store_of_several_chunks_is_read_in_runs_of_one_chunk() {
    let count = 2 * PAGES_PER_CHUNK + 7;
    let first = page(9);
    let written = bytes_of(|file| {
        let mut writer = ImageWriter::to_file(file)?;
        writer.put_pages(0, RunAddress(0x1000), &first)?;
        let others: Vec<u8> = (1..count).flat_map(|number| page((number % 200) as u8 + 1)).collect();
        writer.put_pages(0, RunAddress(0x2000), &others)?;
        writer.finish(&arbitrary::snapshot(&[])).map(|summary| assert_eq!(summary.stored_pages, count))
    });
    let image = ImageReader::from_bytes(written).expect("a right image");
    assert_eq!(image.page_table().extents.len(), 1);
    let runs: Vec<_> = image.pages().runs().map(|run| run.expect("right pages").range.len() / PAGE_SIZE).collect();
    assert_eq!(runs, [PAGES_PER_CHUNK, PAGES_PER_CHUNK, 7]);
    let across = RunRange::new(255 * PAGE_SIZE, 259 * PAGE_SIZE);
    let runs: Vec<_> = image.pages().runs_in(0, across).map(|run| run.expect("right pages").range).collect();
    let expected = [RunRange::new(255 * PAGE_SIZE, 257 * PAGE_SIZE), RunRange::new(257 * PAGE_SIZE, 259 * PAGE_SIZE)];
    assert_eq!(runs, expected);
}
