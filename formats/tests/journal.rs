//! The journal file: its golden file, and what is refused.
//!
//! The golden file of a version that was released is never written again and never deleted. It was written by
//! `DSU_WRITE_GOLDEN=1 cargo test -p dsu-formats --test journal golden`.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::journal::{JournalError, decode, encode};
use dsu_formats::model::journal::JournalV1;

fn record() -> JournalV1 {
    JournalV1 {
        pid: 4711,
        start_time: 123_456_789,
        holder: 4720,
        holder_start_time: 123_456_999,
        site: RunRange::new(0x1000_0000, 0x1004_5000),
        own_pages: vec![RunRange::new(0x5555_5555_8000, 0x5555_5555_a000), RunRange::new(0x7fff_ffff_0000, 0x7fff_ffff_f000)],
        guards: vec![RunRange::new(0x7f00_0000_0000, 0x7f00_0000_1000)],
        shared_words: vec![(RunAddress(0x7f11_0000_0010), 0x5555_5555_4040)],
    }
}

/// Changes bytes and makes the checksum right again.
fn with(offset: usize, change: &[u8]) -> Vec<u8> {
    let mut bytes = encode(&record()).unwrap();
    bytes[offset..offset + change.len()].copy_from_slice(change);
    mend(bytes)
}

fn mend(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let sum = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn golden_journal_of_version_1_is_read_and_written_the_same() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/journal-v1");
    let written = encode(&record()).unwrap();
    if std::env::var_os("DSU_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let kept = std::fs::read(&path).expect("the golden file is there");
    assert_eq!(decode(&kept).unwrap(), record());
    assert_eq!(kept, written, "the writer no longer writes the journal as it did");
}

#[test]
fn a_newer_journal_is_refused_with_both_versions() {
    let versions: Vec<u8> = [7u32, 3].iter().flat_map(|number| number.to_le_bytes()).collect();
    let message = decode(&with(8, &versions)).unwrap_err().to_string();
    assert_eq!(message, "journal has format version 7 and needs a reader of version 3 or later; this one knows version 1");
}

#[test]
fn a_newer_journal_that_old_readers_may_read_is_read() {
    let mut bytes = with(8, &7u32.to_le_bytes());
    let at = bytes.len() - 4;
    bytes.splice(at..at, [1, 2, 3]);
    let length = (bytes.len() - 28) as u64;
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    assert_eq!(decode(&mend(bytes.clone())).unwrap(), record());
    // The same bytes in a journal of this version are damage.
    bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
    assert!(matches!(decode(&mend(bytes)), Err(JournalError::Length { .. })));
}

#[test]
fn versions_that_never_were_are_refused() {
    for offset in [8, 12] {
        assert!(matches!(decode(&with(offset, &0u32.to_le_bytes())), Err(JournalError::NoSuchFormat { .. })));
    }
}

#[test]
fn every_changed_byte_and_every_truncation_is_an_error() {
    let bytes = encode(&record()).unwrap();
    for i in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[i] ^= 0x10;
        assert!(decode(&damaged).is_err(), "byte {i}");
        assert!(decode(&bytes[..i]).is_err(), "{i} bytes");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(matches!(decode(&longer), Err(JournalError::Length { .. })));
}

#[test]
fn a_record_that_lies_about_its_lengths_is_an_error() {
    for i in 24..encode(&record()).unwrap().len() - 4 {
        // A varint with its continuation bit set; none may panic or ask for memory that is not there.
        let _ = decode(&with(i, &[0xff]));
    }
    assert!(matches!(decode(b"\x7fELF\x02\x01\x01\0\0\0"), Err(JournalError::NotAJournal { .. })));
    assert!(matches!(decode(b""), Err(JournalError::NotAJournal { .. })));
}
