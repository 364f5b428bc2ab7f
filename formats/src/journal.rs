//! The journal file of a transaction: a header, one record ([`crate::model::journal`]), a checksum over both.
//!
//! Like an image it says its format version and the oldest reader that may read it, since the dsu that recovers a process
//! need not be the one that began its update. Every version that was ever released keeps its reader and its golden file.

use crate::model::journal::JournalV1;
use crate::model::latest::JournalRecord;

/// Newest format version that this crate reads, and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;
/// Oldest format version whose readers may read what this crate writes.
const OLDEST_READER: u32 = 1;

/// As an image's magic: not text, and changed by a transfer that changes line ends.
const MAGIC: [u8; 8] = *b"\x89DSJ\r\n\x1a\n";
/// Magic, format version, oldest reader, length of the record; the checksum of the file ends it.
const HEADER_LEN: usize = 24;
const CHECKSUM_LEN: usize = 4;

/// Why bytes are no journal that this crate can read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// They do not start with the magic.
    #[error("not a journal of dsu: it starts with {found:02x?}, not with {MAGIC:02x?}")]
    NotAJournal {
        /// The first bytes.
        found: Vec<u8>,
    },
    /// There are fewer or more bytes than the header says, or than a header takes.
    #[error("journal has the wrong length: {expected} bytes expected, {found} found")]
    Length {
        /// Length by the header, or the shortest one.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// Bytes are not what they were when they were written.
    #[error("checksum of the journal is wrong: {expected:#010x} expected, {found:#010x} found")]
    Checksum {
        /// The one at the end of the file.
        expected: u32,
        /// That of the bytes.
        found: u32,
    },
    /// It is of a format that this reader is too old for.
    #[error(
        "journal has format version {found} and needs a reader of version {oldest_reader} or later; this one knows version {known}"
    )]
    NewerFormat {
        /// Its format version.
        found: u32,
        /// Oldest version whose reader may read it.
        oldest_reader: u32,
        /// Newest format version known here.
        known: u32,
    },
    /// A version that was never given out.
    #[error("journal has format version {found} and oldest reader {oldest_reader}, which no dsu has written")]
    NoSuchFormat {
        /// Its format version.
        found: u32,
        /// Its oldest reader.
        oldest_reader: u32,
    },
    /// The record cannot be encoded or decoded.
    #[error("the journal's record is damaged")]
    Record(#[from] postcard::Error),
}

/// The bytes of a journal file of the current format.
pub fn encode(record: &JournalRecord) -> Result<Vec<u8>, JournalError> {
    let record = postcard::to_stdvec(record)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + record.len() + CHECKSUM_LEN);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&OLDEST_READER.to_le_bytes());
    bytes.extend_from_slice(&(record.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&record);
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

/// Reads a journal file of any format version so far.
pub fn decode(bytes: &[u8]) -> Result<JournalRecord, JournalError> {
    let (version, record) = contents(bytes)?;
    // Each older version gets an arm of its own that decodes its types and converts them.
    match version {
        1 => whole::<JournalV1>(record),
        // Let in by its oldest reader: what it starts with is a record of that version.
        _ => Ok(postcard::take_from_bytes::<JournalV1>(record)?.0),
    }
}

/// A record without anything after it.
fn whole<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, JournalError> {
    match postcard::take_from_bytes(bytes)? {
        (record, []) => Ok(record),
        (_, rest) => {
            let (expected, found) = ((bytes.len() - rest.len()) as u64, bytes.len() as u64);
            Err(JournalError::Length { expected, found })
        }
    }
}

/// Format version and record of a file whose header and checksum are right.
fn contents(bytes: &[u8]) -> Result<(u32, &[u8]), JournalError> {
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) || magic.is_empty() {
        return Err(JournalError::NotAJournal { found: magic.to_vec() });
    }
    let found = bytes.len() as u64;
    let shortest = (HEADER_LEN + CHECKSUM_LEN) as u64;
    let (Some(header), Some((summed, sum))) = (bytes.first_chunk::<HEADER_LEN>(), bytes.split_last_chunk::<CHECKSUM_LEN>())
    else {
        return Err(JournalError::Length { expected: shortest, found });
    };
    let expected = u64_at(header, 16).saturating_add(shortest);
    if expected != found {
        return Err(JournalError::Length { expected, found });
    }
    let (expected, sum) = (u32::from_le_bytes(*sum), crc32fast::hash(summed));
    if expected != sum {
        return Err(JournalError::Checksum { expected, found: sum });
    }
    let (found, oldest_reader) = (u32_at(header, 8), u32_at(header, 12));
    if oldest_reader > FORMAT_VERSION {
        return Err(JournalError::NewerFormat { found, oldest_reader, known: FORMAT_VERSION });
    }
    if oldest_reader == 0 || found < oldest_reader {
        return Err(JournalError::NoSuchFormat { found, oldest_reader });
    }
    Ok((found, &summed[HEADER_LEN..]))
}

fn u32_at(header: &[u8; HEADER_LEN], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&header[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(header: &[u8; HEADER_LEN], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&header[at..at + 8]);
    u64::from_le_bytes(word)
}
