//! What an update leaves behind, as a record that the next update finds in the process itself.
//!
//! The record stands at the start of the annex, and the annex starts on the first page behind the program's last segment; that of a
//! fixed-address program, which has no room there, is the private read-only mapping without a file that starts with a record. It is: magic (8 bytes), format, payload length, CRC32 of the payload, annex length in pages (4 bytes each, little endian),
//! then the payload, a postcard `GenerationV1`.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::model::latest::{Backing, Generation, Mapping, Protection, Sharing};

use super::scan::filter::FOUR_GIB;

/// First bytes of every annex.
pub const MAGIC: [u8; 8] = *b"\x7fdsuANX\n";
/// Bytes kept free at the start of an annex for its record.
pub const RECORD_ROOM: u64 = 4 * PAGE_SIZE;

const FORMAT: u32 = 1;
const HEADER: usize = 24;
/// Annexes are a few pages; a larger number is damage.
const MOST_PAGES: u32 = 1 << 16;

/// An annex that was found in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnexRecord {
    /// Length of the annex in bytes.
    pub length: u64,
    /// The generations as the update that made the annex left them.
    pub generation: Generation,
}

/// Why the bytes behind the program are no annex record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Other bytes: the program was never updated.
    #[error("the page behind the program holds no record of dsu")]
    Foreign,
    /// A record of a later dsu.
    #[error("the record behind the program has format {found}, this dsu reads up to {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// The magic is there but the rest does not hold together.
    #[error("the record behind the program is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// Where the annex of a program can start whose segments cover `module`. `is_fixed` says that the program is at a fixed address.
pub fn annex_starts(module: RunRange, is_fixed: bool, mappings: &[Mapping]) -> Vec<RunAddress> {
    if !is_fixed {
        return vec![module.end.page_ceil()];
    }
    let read_only = |mapping: &&Mapping| {
        let own = mapping.sharing == Sharing::Private && matches!(mapping.backing, Backing::Anonymous { .. });
        own && mapping.protection == Protection { read: true, write: false, execute: false }
    };
    let large = |mapping: &&Mapping| mapping.range.len() >= RECORD_ROOM && mapping.range.start.0 >= FOUR_GIB;
    mappings.iter().filter(read_only).filter(large).map(|mapping| mapping.range.start).collect()
}

/// The record for an annex of `length` bytes.
///
/// # Errors
/// `Damaged` when the generations do not fit into [`RECORD_ROOM`].
pub fn encode(generation: &Generation, length: u64) -> Result<Vec<u8>, RecordError> {
    let payload = postcard::to_stdvec(generation).map_err(|_| RecordError::Damaged { what: "it cannot be encoded" })?;
    let pages = u32::try_from(length.div_ceil(PAGE_SIZE)).map_err(|_| RecordError::Damaged { what: "the annex is too long" })?;
    let size = u32::try_from(payload.len()).map_err(|_| RecordError::Damaged { what: "it is too long" })?;
    if u64::from(size) + HEADER as u64 > RECORD_ROOM {
        return Err(RecordError::Damaged { what: "it has more retained ranges than fit" });
    }
    let mut bytes = MAGIC.to_vec();
    for word in [FORMAT, size, crc32fast::hash(&payload), pages] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// Reads the record at the start of `bytes` (the first [`RECORD_ROOM`] bytes of an annex, or as many as could be read).
///
/// # Errors
/// `Foreign` when there is none; `Newer` or `Damaged` when there is one that cannot be used.
pub fn decode(bytes: &[u8]) -> Result<AnnexRecord, RecordError> {
    let header = bytes.first_chunk::<HEADER>().ok_or(RecordError::Foreign)?;
    if header[..8] != MAGIC {
        return Err(RecordError::Foreign);
    }
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (format, size, checksum, pages) = (word(8), word(12), word(16), word(20));
    if format > FORMAT {
        return Err(RecordError::Newer { found: format });
    }
    let payload = usize::try_from(size).ok().and_then(|size| bytes.get(HEADER..HEADER.checked_add(size)?));
    let payload = payload.ok_or(RecordError::Damaged { what: "it is cut short" })?;
    if crc32fast::hash(payload) != checksum {
        return Err(RecordError::Damaged { what: "its checksum is wrong" });
    }
    if pages == 0 || pages > MOST_PAGES {
        return Err(RecordError::Damaged { what: "the length of the annex is impossible" });
    }
    let generation = postcard::from_bytes(payload).map_err(|_| RecordError::Damaged { what: "it cannot be decoded" })?;
    Ok(AnnexRecord { length: u64::from(pages) * PAGE_SIZE, generation })
}

#[cfg(test)]
mod tests {
    use dsu_formats::model::latest::Retained;

    use super::*;

    fn generation() -> Generation {
        let retained = Retained { range: RunRange::new(0x1000, 0x2000), generation: 3, build_id: vec![1, 2, 3], readable: true };
        Generation { count: 4, retained: vec![retained] }
    }

    #[test]
    fn a_record_comes_back() {
        let bytes = encode(&generation(), 3 * PAGE_SIZE).unwrap();
        assert_eq!(decode(&bytes), Ok(AnnexRecord { length: 3 * PAGE_SIZE, generation: generation() }));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let bytes = encode(&generation(), PAGE_SIZE).unwrap();
        for at in 0..bytes.len() {
            // The length in pages is not under the checksum: it is bounded instead.
            if (20..24).contains(&at) {
                continue;
            }
            let mut broken = bytes.clone();
            broken[at] ^= 0x55;
            assert!(decode(&broken).is_err(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn other_memory_is_foreign() {
        assert_eq!(decode(&[0; 4096]), Err(RecordError::Foreign));
    }
}
