//! The section that only a rewritten image has: golden file, round trip, damage, and what a verification finds in it.
//!
//! `tests/golden/v1-work.dsu` was written from [`work`]; the rule of `golden.rs` holds for it, too.

use std::fs::File;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::image::{ImageError, ImageReader, ImageWriter, SectionKind, verify};
use dsu_formats::model::latest::*;
use dsu_formats::model::work::PLACE_HOLDERS;
use proptest::prelude::*;

use super::arbitrary;
use super::fixture::{HEAP, bytes_of, golden, page, snapshot};
use super::forge::{find, put_together, take_apart, with_contents};
use super::golden::compare;

/// In the code of the fixture's processes.
const CODE: u64 = 0x5555_5555_5000;

fn work() -> Vec<VesselWork> {
    let resolver = |function, slots: &[(u64, i64)]| Resolver {
        function: RunAddress(function),
        slots: slots.iter().map(|(slot, addend)| (RunAddress(*slot), *addend)).collect(),
    };
    let allocations = Allocations {
        allocate: RunAddress(CODE + 0x100),
        release: RunAddress(CODE + 0x200),
        blocks: vec![NewBlock { offset: 0, length: 24 }, NewBlock { offset: 32, length: 8 }],
        bytes: (0..32).collect(),
        fixups: vec![RunAddress(HEAP + 64), RunAddress(PLACE_HOLDERS + 16)],
        freed: vec![RunAddress(HEAP + 128)],
        others: vec![OtherAllocations {
            allocate: RunAddress(CODE + 0x400),
            release: Some(RunAddress(CODE + 0x500)),
            blocks: vec![1],
            old: vec![RunAddress(HEAP + 192)],
        }],
    };
    let first = VesselWork {
        process: 0,
        resolvers: vec![resolver(CODE, &[(HEAP, 0), (HEAP + 8, -4)]), resolver(CODE + 0x40, &[])],
        protect_after: vec![RunRange::new(HEAP, HEAP + PAGE_SIZE)],
        allocations: Some(allocations),
        calls: vec![Call {
            function: RunAddress(CODE + 0x300),
            arguments: vec![HEAP, u64::MAX],
            text: "rehash(&table, -1)".into(),
        }],
    };
    vec![first, VesselWork { process: 1, ..VesselWork::default() }]
}

fn write(file: File, snapshot: &Snapshot, work: &[VesselWork]) -> Result<(), ImageError> {
    let mut writer = ImageWriter::to_file(file)?;
    writer.put_pages(0, RunAddress(HEAP), &page(7))?;
    writer.set_plan_report(br#"{"words_rewritten":42}"#.to_vec())?;
    writer.set_work(work)?;
    writer.finish(snapshot).map(|_| ())
}

/// The golden image with work, as it is written now.
pub fn image_bytes() -> Vec<u8> {
    bytes_of(|file| write(file, &snapshot(), &work()))
}

fn findings(work: &[VesselWork]) -> Vec<String> {
    let image = ImageReader::from_bytes(bytes_of(|file| write(file, &snapshot(), work))).expect("a readable image");
    verify(&image, None).iter().map(ToString::to_string).collect()
}

#[test]
fn golden_image_with_work_is_still_written_the_same() {
    compare("v1-work.dsu", &image_bytes());
}

#[test]
fn golden_image_with_work_is_read_and_verifies() {
    let image = ImageReader::open(&golden("v1-work.dsu")).expect("the golden file is right");
    assert_eq!((image.header().format_version, image.header().oldest_reader), (1, 1));
    assert_eq!(image.work(), work());
    assert_eq!(image.snapshot(), &snapshot());
    assert_eq!(image.plan_report(), Some(&br#"{"words_rewritten":42}"#[..]));
    assert_eq!(verify(&image, None), vec![]);
}

#[test]
fn an_image_without_work_has_no_such_section() {
    let image = ImageReader::from_bytes(bytes_of(|file| write(file, &snapshot(), &[]))).expect("a right image");
    assert!(image.work().is_empty());
    assert!(image.sections().iter().all(|section| section.kind() != Some(SectionKind::VesselWork)));
}

/// A reader that does not know the section does not find its number; the flag in its entry makes it refuse by the name there.
#[test]
fn a_reader_that_does_not_know_the_section_refuses_by_its_name() {
    let mut parts = take_apart(&image_bytes());
    let part = find(&mut parts, SectionKind::VesselWork);
    assert_eq!(part.flags, 1);
    part.number = 99;
    let error = ImageReader::from_bytes(put_together(&image_bytes(), &parts)).err().expect("an unknown required section");
    assert_eq!(
        error.to_string(),
        "section `vessel-work` (number 99) in version 1 is required and not known here (newest known version: 0)"
    );
}

#[test]
fn every_kind_of_wrong_work_is_found() {
    type Change = fn(&mut Vec<VesselWork>);
    fn allocations(work: &mut [VesselWork]) -> &mut Allocations {
        work[0].allocations.as_mut().expect("the fixture has some")
    }
    let cases: [(Change, &str); 26] = [
        (|w| w.reverse(), "process 0: it does not come after the entry before it"),
        (|w| w[1].process = 2, "process 2: process 2 of 2 does not exist"),
        (|w| w[0].resolvers[0].function = RunAddress(HEAP), "selector 0x555555600000 of process 0: it is no code"),
        (|w| w[0].resolvers[0].function = RunAddress(7), "selector 0x7 of process 0: it is no code"),
        (|w| w[0].resolvers[0].slots[0].0 = RunAddress(8), "slot 0x8 of process 0: it is not mapped"),
        (
            |w| w[0].protect_after[0].end.0 += 1,
            "range 0x555555600000-0x555555601001 of process 0: it is not mapped, or not whole",
        ),
        (|w| w[0].protect_after[0] = RunRange::new(0x1000, 0x2000), "range 0x1000-0x2000 of process 0: it is not mapped"),
        (|w| allocations(w).allocate = RunAddress(HEAP), "allocating function 0x555555600000 of process 0: it is no code"),
        (|w| allocations(w).release = RunAddress(0), "freeing function 0x0 of process 0: it is no code"),
        (|w| allocations(w).blocks[1].offset = 16, "new block 1 of process 0: offset 16 is inside another block"),
        (|w| allocations(w).blocks[1].offset = 36, "new block 1 of process 0: offset 36 is inside another block or not aligned"),
        (|w| allocations(w).blocks[1].length = 9, "new blocks of process 0: they have 33 bytes, and 32 are there"),
        (|w| allocations(w).blocks[1].length = u64::MAX, "new block 1 of process 0: it ends at 18446744073709551615, where no"),
        (|w| allocations(w).fixups[1].0 += 1, "fix-up 0xd5000000000011 of process 0: no word of a new block is there"),
        (|w| allocations(w).fixups[0] = RunAddress(16), "fix-up 0x10 of process 0: it is not mapped"),
        (|w| allocations(w).fixups[1].0 += 17, "fix-up 0xd5000000000021 of process 0: no word of a new block is there"),
        (|w| w[0].calls[0].function = RunAddress(HEAP), "called function 0x555555600000 of process 0: it is no code"),
        (|w| w[0].calls[0].arguments = vec![0; 7], "call of 0x555555555300: it has 7 arguments, and 6 fit in registers"),
        (|w| allocations(w).freed[0] = RunAddress(1), "freed block 0x1 of process 0: it is not mapped"),
        (
            |w| allocations(w).others[0].allocate = RunAddress(HEAP),
            "allocating function 0x555555600000 of process 0: it is no code",
        ),
        (|w| allocations(w).others[0].release = Some(RunAddress(1)), "freeing function 0x1 of process 0: it is no code"),
        (|w| allocations(w).others[0].old[0] = RunAddress(1), "replaced block 0x1 of process 0: it is not mapped"),
        (
            |w| allocations(w).others[0].old.clear(),
            "blocks that 0x555555555400 makes in process 0: they are 1, in the place of 0",
        ),
        (|w| allocations(w).others[0].blocks = vec![1, 0], "blocks that 0x555555555400 makes in process 0: they do not ascend"),
        (
            |w| allocations(w).others[0].blocks[0] = 2,
            "blocks that 0x555555555400 makes in process 0: block 2 of 2 does not exist",
        ),
        (
            |w| {
                let others = &mut allocations(w).others;
                others.push(others[0].clone());
            },
            "blocks that 0x555555555400 makes in process 0: block 1 is made twice",
        ),
    ];
    for (change, expected) in cases {
        let mut changed = work();
        change(&mut changed);
        let found = findings(&changed);
        assert!(
            found.iter().any(|found| found.starts_with(&format!("section vessel-work: {expected}"))),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn damaged_work_is_named() {
    let image = image_bytes();
    let complaint = |contents: Vec<u8>| {
        let damaged = with_contents(&image, SectionKind::VesselWork, contents);
        ImageReader::from_bytes(damaged).err().map_or(String::new(), |error| error.to_string())
    };
    let contents = find(&mut take_apart(&image), SectionKind::VesselWork).contents.clone();
    let len = contents.len();
    assert_eq!(complaint(contents.clone()), "");
    let over = complaint([&contents[..], &[0]].concat());
    assert_eq!(over, format!("section vessel-work: {} bytes, but no more than {len} expected", len + 1));
    let cut = complaint(contents[..len - 1].to_vec());
    assert!(cut.starts_with("section vessel-work cannot be decoded"), "{cut}");
    let many = complaint([&[0xff; 9][..], &[1]].concat());
    assert!(many.starts_with("section vessel-work: 18446744073709551615 entries"), "{many}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_work_is_read_as_it_was_written(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let written: Vec<VesselWork> = arbitrary::value(&bytes);
        let image = ImageReader::from_bytes(bytes_of(|file| write(file, &arbitrary::snapshot(&[]), &written)));
        let image = image.expect("a readable image");
        prop_assert_eq!(image.work(), &written[..]);
        // Whatever is found, finding it must not fail.
        let _ = verify(&image, None);
    }
}
