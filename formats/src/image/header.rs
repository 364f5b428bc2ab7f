//! The header block: decoded by hand, checked before anything else is looked at.

use super::error::{ImageError, Place};
use crate::address::PAGE_SIZE;

/// Newest format version that this crate reads, and the one that it writes.
pub const FORMAT_VERSION: u32 = 1;

/// Oldest format version whose readers may read what this crate writes.
const OLDEST_READER: u32 = 1;

/// `EM_X86_64` of the ELF specification.
pub const ARCHITECTURE: u32 = 62;

/// Length in bytes of the header block.
pub const HEADER_LEN: u64 = 4096;

/// Like PNG's: not text, and changed by every transfer that changes line ends or cuts the eighth bit.
pub(super) const MAGIC: [u8; 8] = *b"\x89DSU\r\n\x1a\n";

const LEN: usize = HEADER_LEN as usize;
const CHECKSUM_AT: usize = LEN - 4;
const FIELDS_END: usize = 52;

/// What the header says of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format version of the file.
    pub format_version: u32,
    /// Oldest format version whose reader may read the file.
    pub oldest_reader: u32,
    /// Length of the file in bytes.
    pub total_len: u64,
    /// Where the section table starts.
    pub table_offset: u64,
    /// Length of the section table in bytes.
    pub table_len: u64,
    /// CRC32 of the section table.
    pub table_crc: u32,
    /// CRC32 of the header block: the identity of the image.
    pub identity: u32,
}

impl Header {
    /// The header block of a file of the current format with the table at its end, and that file's identity.
    pub(super) fn encode(table_offset: u64, table: &[u8]) -> (Vec<u8>, u32) {
        let table_len = table.len() as u64;
        let mut block = Vec::with_capacity(LEN);
        block.extend_from_slice(&MAGIC);
        block.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        block.extend_from_slice(&OLDEST_READER.to_le_bytes());
        block.extend_from_slice(&ARCHITECTURE.to_le_bytes());
        block.extend_from_slice(&(PAGE_SIZE as u32).to_le_bytes());
        block.extend_from_slice(&(table_offset + table_len).to_le_bytes());
        block.extend_from_slice(&table_offset.to_le_bytes());
        block.extend_from_slice(&table_len.to_le_bytes());
        block.extend_from_slice(&crc32fast::hash(table).to_le_bytes());
        block.resize(CHECKSUM_AT, 0);
        let identity = crc32fast::hash(&block);
        block.extend_from_slice(&identity.to_le_bytes());
        (block, identity)
    }

    /// Decodes and checks the header block of a file of `file_len` bytes, of which `start` are the first [`HEADER_LEN`] (or
    /// all, when there are fewer).
    pub(super) fn decode(start: &[u8], file_len: u64) -> Result<Self, ImageError> {
        let block = whole_block(start, file_len)?;
        let header = Self::fields(block);
        if header.oldest_reader > FORMAT_VERSION {
            let (found, oldest_reader) = (header.format_version, header.oldest_reader);
            return Err(ImageError::NewerFormat { found, oldest_reader, known: FORMAT_VERSION });
        }
        field("format version", header.format_version >= header.oldest_reader, header.oldest_reader, header.format_version)?;
        field("oldest reader", header.oldest_reader > 0, OLDEST_READER, header.oldest_reader)?;
        let architecture = u32_at(block, 16);
        if architecture != ARCHITECTURE {
            return Err(ImageError::Architecture { expected: ARCHITECTURE, found: architecture });
        }
        let page_size = u32_at(block, 20);
        field("page size", u64::from(page_size) == PAGE_SIZE, PAGE_SIZE, page_size)?;
        header.check_lengths(file_len)?;
        // A later format that lets this reader in may have put something there.
        let unused = block[FIELDS_END..CHECKSUM_AT].iter().find(|byte| **byte != 0);
        match unused {
            Some(byte) if header.format_version == FORMAT_VERSION => field("unused bytes", false, 0u32, *byte)?,
            _ => {}
        }
        Ok(header)
    }

    fn fields(block: &[u8; LEN]) -> Self {
        Self {
            format_version: u32_at(block, 8),
            oldest_reader: u32_at(block, 12),
            total_len: u64_at(block, 24),
            table_offset: u64_at(block, 32),
            table_len: u64_at(block, 40),
            table_crc: u32_at(block, 48),
            identity: u32_at(block, CHECKSUM_AT),
        }
    }

    fn check_lengths(&self, file_len: u64) -> Result<(), ImageError> {
        let (expected, found) = (self.total_len, file_len);
        if found < expected {
            return Err(ImageError::Truncated { expected, found });
        }
        if found > expected {
            return Err(ImageError::TrailingBytes { expected, found });
        }
        field("table offset", self.table_offset >= HEADER_LEN, HEADER_LEN, self.table_offset)?;
        let end = self.table_offset.checked_add(self.table_len);
        let room = self.total_len.saturating_sub(self.table_offset);
        field("table length", end == Some(self.total_len), room, self.table_len)
    }
}

/// The header block with the right magic and checksum.
fn whole_block(start: &[u8], file_len: u64) -> Result<&[u8; LEN], ImageError> {
    let magic = &start[..start.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return Err(ImageError::NotAnImage { expected: MAGIC, found: magic.to_vec() });
    }
    let Some(block) = start.first_chunk::<LEN>() else {
        return Err(ImageError::Truncated { expected: HEADER_LEN, found: file_len });
    };
    let (expected, found) = (u32_at(block, CHECKSUM_AT), crc32fast::hash(&block[..CHECKSUM_AT]));
    if expected != found {
        return Err(ImageError::Checksum { place: Place::Header, expected, found });
    }
    Ok(block)
}

/// An error that names `field` unless `right`.
fn field(field: &'static str, right: bool, expected: impl Into<u64>, found: impl Into<u64>) -> Result<(), ImageError> {
    if right { Ok(()) } else { Err(ImageError::HeaderField { field, expected: expected.into(), found: found.into() }) }
}

/// The number at a fixed offset inside the block.
fn u32_at(block: &[u8; LEN], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&block[offset..offset + 4]);
    u32::from_le_bytes(bytes)
}

/// The number at a fixed offset inside the block.
fn u64_at(block: &[u8; LEN], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&block[offset..offset + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        Header::encode(HEADER_LEN, b"table").0
    }

    /// Changes a field and makes the checksum right again.
    fn with(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let mut block = block();
        block[offset..offset + bytes.len()].copy_from_slice(bytes);
        let crc = crc32fast::hash(&block[..CHECKSUM_AT]);
        block[CHECKSUM_AT..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    fn decode(block: &[u8]) -> Result<Header, ImageError> {
        Header::decode(block, HEADER_LEN + 5)
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let (block, identity) = Header::encode(HEADER_LEN, b"table");
        let header = decode(&block).unwrap();
        assert_eq!((header.format_version, header.oldest_reader, header.identity), (1, 1, identity));
        assert_eq!((header.table_offset, header.table_len, header.total_len), (4096, 5, 4101));
        assert_eq!(header.table_crc, crc32fast::hash(b"table"));
    }

    #[test]
    fn a_newer_format_is_refused_with_both_versions() {
        let mut bytes = 7u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&3u32.to_le_bytes());
        let message = decode(&with(8, &bytes)).unwrap_err().to_string();
        assert_eq!(message, "image has format version 7 and needs a reader of version 3 or later; this one knows version 1");
    }

    #[test]
    fn a_newer_format_that_old_readers_may_read_is_read() {
        let mut newer = with(8, &7u32.to_le_bytes());
        newer[100] = 1;
        let crc = crc32fast::hash(&newer[..CHECKSUM_AT]);
        newer[CHECKSUM_AT..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&newer).unwrap().format_version, 7);
    }

    #[test]
    fn each_wrong_field_is_named() {
        let cases: [(usize, &[u8], &str); 8] = [
            (8, &[0, 0, 0, 0], "header field `format version`"),
            (12, &[0, 0, 0, 0], "header field `oldest reader`"),
            (16, &[183, 0, 0, 0], "ELF machine 62 expected, 183 found"),
            (20, &[0, 64, 0, 0], "header field `page size` is wrong: 4096 expected, 16384 found"),
            (24, &[255, 255, 0, 0], "image is truncated: 65535 bytes expected, 4101 found"),
            (24, &[4, 16, 0, 0], "image has trailing bytes: 4100 bytes expected, 4101 found"),
            (32, &[0, 0, 0, 0], "header field `table offset`"),
            (4000, &[9], "header field `unused bytes` is wrong: 0 expected, 9 found"),
        ];
        for (offset, bytes, expected) in cases {
            let message = decode(&with(offset, bytes)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        for length in [[4u8, 0], [6, 0], [255, 255]] {
            let message = decode(&with(40, &length)).unwrap_err().to_string();
            assert!(message.contains("header field `table length`"), "{message}");
        }
    }

    #[test]
    fn foreign_and_short_files_are_told_apart() {
        let elf = decode(b"\x7fELF\x02\x01\x01\x00more").unwrap_err().to_string();
        assert_eq!(elf, "not a dsu image: it starts with 7f454c4602010100, not with 894453550d0a1a0a");
        assert!(matches!(Header::decode(b"", 0), Err(ImageError::Truncated { expected: 4096, found: 0 })));
        assert!(matches!(Header::decode(&MAGIC[..5], 5), Err(ImageError::Truncated { expected: 4096, found: 5 })));
        assert!(matches!(Header::decode(&block()[..99], 99), Err(ImageError::Truncated { found: 99, .. })));
        assert!(matches!(Header::decode(b"#!", 2), Err(ImageError::NotAnImage { .. })));
    }
}
