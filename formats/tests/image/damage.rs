//! Damaged and hostile images: each is an error that names what is wrong.

use std::error::Error;

use dsu_formats::address::PAGE_SIZE;
use dsu_formats::image::{HEADER_LEN, ImageError, ImageReader, ImageWriter, SectionKind, verify};
use proptest::prelude::*;

use super::fixture::{bytes_of, golden, page, snapshot};
use super::forge::{Part, entry_at, find, number, put_together, take_apart, with_contents};
use super::mend::mend_table_and_header;

fn golden_bytes() -> Vec<u8> {
    std::fs::read(golden("v1.dsu")).expect("the golden file")
}

/// Everything that is wrong with an image, for people; empty when nothing is.
fn complaint(bytes: Vec<u8>) -> String {
    match ImageReader::from_bytes(bytes) {
        Ok(image) => verify(&image, None).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(error) => message(&error),
    }
}

fn message(error: &ImageError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// Where each part of a right image starts, and how it is called.
fn places(image: &[u8]) -> Vec<(usize, String)> {
    let mut places = vec![(0, "not a dsu image".to_owned()), (8, "the header".to_owned())];
    let mut offset = HEADER_LEN as usize;
    for part in take_apart(image) {
        let kind = SectionKind::from_number(part.number).expect("a known kind");
        places.push((offset, format!("section {}", kind.name())));
        offset += part.contents.len() + part.padding.len();
    }
    places.push((offset, "the section table".to_owned()));
    places
}

fn name_of(places: &[(usize, String)], at: usize) -> &str {
    let index = places.partition_point(|(start, _)| *start <= at);
    &places[index - 1].1
}

#[test]
fn every_flipped_byte_is_found_and_its_place_named() {
    let image = golden_bytes();
    let places = places(&image);
    for at in 0..image.len() {
        let mut damaged = image.clone();
        damaged[at] ^= 1 << (at % 8);
        let complaint = complaint(damaged);
        assert!(complaint.contains(name_of(&places, at)), "byte {at}: {complaint}");
    }
}

#[test]
fn every_truncation_is_found() {
    let image = golden_bytes();
    let total = image.len() as u64;
    for len in 0..total {
        let error = ImageReader::from_bytes(image[..len as usize].to_vec()).err().expect("a truncated image");
        let declared = if len < HEADER_LEN { HEADER_LEN } else { total };
        assert!(
            matches!(error, ImageError::Truncated { expected, found } if expected == declared && found == len),
            "{len} bytes: {error}"
        );
    }
}

#[test]
fn trailing_bytes_are_found() {
    let mut image = golden_bytes();
    let expected = format!("image has trailing bytes: {} bytes expected, {} found", image.len(), image.len() + 1);
    image.push(0);
    assert_eq!(complaint(image), expected);
}

/// Bytes swapped in the file: the checksum of one of the two sections says so.
#[test]
fn swapped_bytes_of_sections_are_found() {
    let image = golden_bytes();
    for_each_pair(&image, |first, second, parts| {
        let mut bytes = parts.to_vec();
        let (one, other) = (bytes[first].contents.clone(), bytes[second].contents.clone());
        (bytes[first].contents, bytes[second].contents) = (other, one);
        let mut swapped: Vec<u8> = image[..HEADER_LEN as usize].to_vec();
        bytes.iter().for_each(|part| swapped.extend([&part.contents[..], &part.padding].concat()));
        swapped.extend_from_slice(&image[swapped.len()..]);
        swapped
    });
}

/// Entries that name each other's bytes, in a table whose checksum is right.
#[test]
fn swapped_entries_are_found() {
    let image = golden_bytes();
    for_each_pair(&image, |first, second, _| {
        let mut swapped = image.clone();
        let table = number(&image, 32);
        let place = |index: usize| table + index * 48 + 12..table + index * 48 + 32;
        swapped.copy_within(place(second), place(first).start);
        swapped[place(second)].copy_from_slice(&image[place(first)]);
        mend_table_and_header(&mut swapped);
        swapped
    });
}

/// A whole image in which two sections hold each other's contents, every checksum right.
#[test]
fn sections_with_each_others_contents_are_found() {
    let image = golden_bytes();
    for_each_pair(&image, |first, second, parts| {
        let mut swapped = parts.to_vec();
        let [one, other] = [parts[first].clone(), parts[second].clone()];
        (swapped[first].contents, swapped[first].padding) = (other.contents, other.padding);
        (swapped[second].contents, swapped[second].padding) = (one.contents, one.padding);
        put_together(&image, &swapped)
    });
}

fn for_each_pair(image: &[u8], swap: impl Fn(usize, usize, &[Part]) -> Vec<u8>) {
    let parts = take_apart(image);
    // What the planner's report says is nobody's business here, so it may say anything.
    let count = parts.len() - 1;
    for first in 0..count {
        for second in first + 1..count {
            let complaint = complaint(swap(first, second, &parts));
            let named = parts.iter().any(|part| {
                let kind = SectionKind::from_number(part.number).expect("a known kind");
                complaint.contains(&format!("section {}", kind.name()))
            });
            assert!(named, "sections {} and {}: `{complaint}`", parts[first].number, parts[second].number);
        }
    }
}

#[test]
fn entries_that_cannot_be_are_named() {
    let image = golden_bytes();
    let forged = |kind, field: usize, value: &[u8]| {
        let mut bytes = image.clone();
        let at = entry_at(&bytes, kind) + field;
        bytes[at..at + value.len()].copy_from_slice(value);
        mend_table_and_header(&mut bytes);
        complaint(bytes)
    };
    let huge = u64::MAX.to_le_bytes();
    let cases: [(SectionKind, usize, &[u8], &str); 9] = [
        (SectionKind::Tree, 0, &[200], "section `tree` (number 200) in version 1 is required and not known here"),
        (SectionKind::Tree, 4, &[2], "section tree in version 2 is required and not known here (newest known version: 1)"),
        (SectionKind::Tree, 4, &[0], "section tree in version 0"),
        (SectionKind::Tree, 8, &[3], "section tree is misplaced: it has unknown flags 0x3"),
        (SectionKind::Tree, 16, &[0; 8], "section tree is misplaced: it starts at 0, inside what ends at"),
        (SectionKind::Tree, 24, &huge, "section tree is misplaced: its 18446744073709551615 bytes at"),
        (SectionKind::Tree, 32, b"three", "section `three` (number 2) is misplaced: its kind is that of section tree"),
        (SectionKind::Tree, 0, &[1], "section `tree` (number 1) is misplaced: it has two entries"),
        (
            SectionKind::PageStore,
            16,
            &[0, 32],
            "section page-store is misplaced: bytes 4096 to 8192 beside it belong to no section",
        ),
    ];
    for (kind, field, value, expected) in cases {
        let complaint = forged(kind, field, value);
        assert!(complaint.contains(expected), "{complaint}");
    }
    let overlapping = forged(SectionKind::Tree, 24, &4096u64.to_le_bytes());
    assert!(overlapping.contains("section memory is misplaced: it starts at"), "{overlapping}");
}

#[test]
fn sections_are_refused_and_passed_over_by_their_flag() {
    let image = golden_bytes();
    let with = |part: Part| {
        let mut parts = take_apart(&image);
        parts.push(part);
        put_together(&image, &parts)
    };
    let required = complaint(with(Part::unknown(77, 1, "symbols")));
    assert_eq!(required, "section `symbols` (number 77) in version 3 is required and not known here (newest known version: 0)");
    let optional = with(Part::unknown(77, 0, "symbols"));
    assert_eq!(complaint(optional.clone()), "");
    // Its bytes are under a checksum all the same.
    let mut damaged = optional;
    let table = number(&damaged, 32);
    damaged[table - 9] ^= 1;
    assert!(complaint(damaged).starts_with("checksum of section `symbols` (number 77) is wrong"));
}

#[test]
fn padding_gaps_and_missing_sections_are_named() {
    let image = golden_bytes();
    let changed = |change: fn(&mut Vec<Part>)| {
        let mut parts = take_apart(&image);
        change(&mut parts);
        complaint(put_together(&image, &parts))
    };
    let padding = changed(|parts| find(parts, SectionKind::Tree).padding = vec![0, 1]);
    assert!(padding.starts_with("section tree is misplaced: the padding after it is not zero at"), "{padding}");
    let store = changed(|parts| find(parts, SectionKind::PageStore).padding = vec![1]);
    assert!(store.starts_with("section page-store is misplaced: the padding after it is not zero"), "{store}");
    let allowed = changed(|parts| parts.iter_mut().for_each(|part| part.padding.extend([0; 16])));
    assert_eq!(allowed, "", "zero padding is nothing to complain of, after the page store either");
    let gap = changed(|parts| find(parts, SectionKind::Tree).padding = vec![0; 4096]);
    assert!(gap.starts_with("section tree is misplaced: bytes "), "{gap}");
    let missing = changed(|parts| parts.retain(|part| part.number != SectionKind::Limits.number()));
    assert_eq!(missing, "section limits is missing");
    let nothing = changed(Vec::clear);
    assert_eq!(nothing, "section manifest is missing");
    let many = changed(|parts| parts.extend((100..400).map(|number| Part::unknown(number, 0, "x"))));
    assert_eq!(many, "header field `table length` is wrong: 12288 expected, 15120 found");
    let odd = changed(|parts| find(parts, SectionKind::PageStore).contents.push(0));
    assert!(odd.contains("are not whole pages on page boundaries"), "{odd}");
    let checksums = changed(|parts| find(parts, SectionKind::PageChecksums).contents.extend([0; 4]));
    assert_eq!(checksums, "section page-checksums: 8 bytes, but no more than 4 expected");
}

#[test]
fn wrong_contents_of_sections_are_named() {
    let image = golden_bytes();
    for kind in SectionKind::ALL {
        use SectionKind::*;
        if matches!(kind, PageStore | PageChecksums | PlanReport | VesselWork) {
            continue;
        }
        let contents = find(&mut take_apart(&image), kind).contents.clone();
        let (mut longer, len) = (contents.clone(), contents.len());
        longer.push(0);
        let complaint_of = |contents| complaint(with_contents(&image, kind, contents));
        let name = kind.name();
        let over = format!("section {name}: {} bytes, but no more than {len} expected", len + 1);
        assert_eq!(complaint_of(longer), over);
        let cut = complaint_of(contents[..len - 1].to_vec());
        assert!(cut.starts_with(&format!("section {name} cannot be decoded: ")), "{cut}");
        if kind == Manifest {
            continue;
        }
        // Ten bytes that say: 2^63 entries follow.
        let many = complaint_of([&[0xff; 9][..], &[1]].concat());
        assert!(many.starts_with(&format!("section {name}: 18446744073709551615 entries")), "{many}");
        let few = complaint_of([&[0xff, 0xff, 0x7f][..], &[0; 64]].concat());
        assert!(few.starts_with(&format!("section {name} cannot be decoded: ")), "{few}");
    }
    let inverted = [&[1, 1, 9, 8][..], &[0; 200]].concat();
    let complaint = complaint(with_contents(&image, SectionKind::Memory, inverted));
    assert!(complaint.starts_with("section memory cannot be decoded: "), "{complaint}");
}

#[test]
fn page_tables_that_cannot_be_are_named() {
    // Postcard of an extent: address space, start, pages, source.
    let image = golden_bytes();
    let complaint_of = |contents: &[u8]| complaint(with_contents(&image, SectionKind::PageTable, contents.to_vec()));
    let cases: [(&[u8], &str); 7] = [
        (&[1, 0, 0x80, 0x20, 0, 1], "section page-table: 0 pages at 0x1000 of address space 0 cannot be taken: not a range"),
        (&[1, 0, 0x81, 0x20, 1, 1], "1 pages at 0x1001 of address space 0 cannot be taken: not a range of whole pages"),
        (&[2, 0, 0x80, 0x20, 2, 1, 0, 0x80, 0x40, 1, 1], "it overlaps or precedes 0x1000-0x3000"),
        (&[2, 0, 0x80, 0x40, 1, 1, 0, 0x80, 0x20, 1, 1], "it overlaps or precedes 0x2000-0x3000"),
        (&[2, 1, 0x80, 0x20, 1, 1, 0, 0x80, 0x40, 1, 1], "it overlaps or precedes 0x1000-0x2000"),
        (&[1, 0, 0x80, 0x20, 2, 0, 3], "it takes pages up to 5 of a page store of 4"),
        (
            &[1, 0, 0x80, 0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1],
            "18446744073709551615 pages at 0x1000 of address space 0",
        ),
    ];
    for (contents, expected) in cases {
        let complaint = complaint_of(contents);
        assert!(complaint.contains(expected), "{complaint}");
    }
}

#[test]
fn pages_that_nothing_or_two_extents_refer_to_are_found() {
    let image = golden_bytes();
    let complaint_of = |contents: &[u8]| complaint(with_contents(&image, SectionKind::PageTable, contents.to_vec()));
    let unused = complaint_of(&[1, 0, 0x80, 0x20, 2, 0, 1]);
    assert!(unused.contains("section page-store: pages 0 to 1: no extent refers to them"), "{unused}");
    assert!(unused.contains("section page-store: pages 3 to 4: no extent refers to them"), "{unused}");
    let shared = complaint_of(&[2, 0, 0x80, 0x20, 3, 0, 0, 1, 0x80, 0x20, 2, 0, 2]);
    assert!(shared.contains("section page-store: pages 2 to 3: more than one extent refers to them"), "{shared}");
}

#[test]
fn a_damaged_page_is_named_when_it_is_asked_for_and_the_others_are_not_affected() {
    let start = 0x7f00_0000_0000u64;
    let address = |number: u64| dsu_formats::address::RunAddress(start + number * PAGE_SIZE);
    let mut bytes = bytes_of(|file| {
        let mut writer = ImageWriter::to_file(file)?;
        let pages: Vec<u8> = (0..600u64).flat_map(|number| page((number % 100) as u8 + 1)).collect();
        writer.put_pages(0, address(0), &pages)?;
        writer.finish(&snapshot()).map(|_| ())
    });
    bytes[(HEADER_LEN + 300 * PAGE_SIZE) as usize + 17] ^= 0x40;
    let image = ImageReader::from_bytes(bytes).expect("everything but a page is right");
    let pages = image.pages();
    assert!(pages.page(0, address(255)).is_ok_and(|page| page.is_some()));
    assert!(pages.page(0, address(512)).is_ok_and(|page| page.is_some()));
    for _ in 0..2 {
        let error = pages.page(0, address(256)).expect_err("a damaged chunk");
        assert!(error.to_string().starts_with("checksum of section page-store (256 pages from page 256) is wrong"), "{error}");
    }
    let complaint = verify(&image, None).iter().map(ToString::to_string).collect::<Vec<_>>();
    let named = complaint.iter().filter(|finding| finding.contains("256 pages from page 256")).count();
    assert_eq!(named, 1, "{complaint:?}");
}

#[test]
fn a_file_that_is_no_image_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = ImageReader::open(directory.path()).err().expect("a directory is no image");
    assert!(message(&error).ends_with("it is not a regular file"), "{error}");
    let error = ImageReader::open("/dev/null".as_ref()).err().expect("a device is no image");
    assert!(message(&error).ends_with("it is not a regular file"), "{error}");
    let error = ImageReader::open(&directory.path().join("none")).err().expect("there is no file");
    assert!(message(&error).starts_with("cannot open "), "{error}");
    let empty = directory.path().join("empty");
    std::fs::write(&empty, []).expect("a file");
    let error = ImageReader::open(&empty).err().expect("an empty file");
    assert_eq!(error.to_string(), "image is truncated: 4096 bytes expected, 0 found");
    let binary = ImageReader::open("/proc/self/exe".as_ref()).err().expect("a program is no image");
    assert!(binary.to_string().starts_with("not a dsu image: it starts with 7f454c46"), "{binary}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_change_of_any_bytes_is_found(
        snapshot in proptest::collection::vec(any::<u8>(), 0..2000),
        at in any::<proptest::sample::Index>(),
        xor in proptest::collection::vec(any::<u8>(), 1..20),
    ) {
        prop_assume!(xor.iter().any(|byte| *byte != 0));
        let image = bytes_of(|file| {
            let mut writer = ImageWriter::to_file(file)?;
            writer.put_pages(0, dsu_formats::address::RunAddress(0x1000), &page(7))?;
            writer.finish(&super::arbitrary::snapshot(&snapshot)).map(|_| ())
        });
        let places = places(&image);
        let start = at.index(image.len());
        let mut damaged = image.clone();
        damaged.iter_mut().skip(start).zip(&xor).for_each(|(byte, xor)| *byte ^= xor);
        prop_assume!(damaged != image);
        let first = image.iter().zip(&damaged).position(|(a, b)| a != b).unwrap_or(0);
        let last = image.iter().zip(&damaged).rposition(|(a, b)| a != b).unwrap_or(0);
        let complaint = complaint(damaged);
        let named = [first, last].iter().any(|at| complaint.contains(name_of(&places, *at)));
        // Damage that reaches across short sections may be reported for one in the middle.
        let between = places.iter().any(|(at, name)| (first..=last).contains(at) && complaint.contains(name));
        prop_assert!(named || between, "bytes {} to {}: {}", first, last, complaint);
    }

    #[test]
    fn any_bytes_behind_right_checksums_are_read_without_a_panic(
        kind in 0..12usize,
        contents in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let forged = with_contents(&golden_bytes(), SectionKind::ALL[kind], contents);
        // Whatever is found, finding it is what is tested.
        let _ = complaint(forged);
    }
}
