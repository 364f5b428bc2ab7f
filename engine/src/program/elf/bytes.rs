//! Checked little-endian reads from foreign bytes.

use crate::program::error::ProgramError;

/// One table of an ELF file: its bytes and its name for errors.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Table<'a> {
    pub(super) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The part at `offset` of `length` bytes, as a table of its own.
    pub(super) fn part(self, offset: u64, length: u64, what: &'static str) -> Result<Table<'a>, ProgramError> {
        let found = || ProgramError::Corrupt {
            what,
            expected: format!("{length:#x} bytes at {offset:#x} of {}", self.what),
            found: format!("{:#x} bytes in all", self.bytes.len()),
        };
        let end = offset.checked_add(length).ok_or_else(found)?;
        let start = usize::try_from(offset).map_err(|_| found())?;
        let end = usize::try_from(end).map_err(|_| found())?;
        self.bytes.get(start..end).map(|bytes| Table { bytes, what }).ok_or_else(found)
    }

    fn array<const N: usize>(self, offset: u64) -> Result<[u8; N], ProgramError> {
        let part = self.part(offset, N as u64, self.what)?;
        part.bytes.try_into().map_err(|_| ProgramError::Corrupt {
            what: self.what,
            expected: format!("{N} bytes"),
            found: format!("{}", part.bytes.len()),
        })
    }

    pub(super) fn u16(self, offset: u64) -> Result<u16, ProgramError> {
        self.array(offset).map(u16::from_le_bytes)
    }

    pub(super) fn u32(self, offset: u64) -> Result<u32, ProgramError> {
        self.array(offset).map(u32::from_le_bytes)
    }

    pub(super) fn u64(self, offset: u64) -> Result<u64, ProgramError> {
        self.array(offset).map(u64::from_le_bytes)
    }

    pub(super) fn u8(self, offset: u64) -> Result<u8, ProgramError> {
        self.array::<1>(offset).map(|[byte]| byte)
    }

    /// The whole entries of `size` bytes each; a remainder is an error.
    pub(super) fn entries(self, size: usize) -> Result<impl Iterator<Item = Table<'a>>, ProgramError> {
        if !self.bytes.len().is_multiple_of(size) {
            return Err(ProgramError::Corrupt {
                what: self.what,
                expected: format!("a multiple of {size} bytes"),
                found: format!("{:#x} bytes", self.bytes.len()),
            });
        }
        Ok(self.bytes.chunks_exact(size).map(move |bytes| Table { bytes, what: self.what }))
    }

    /// The zero-terminated string at `offset`.
    pub(super) fn string(self, offset: u64) -> Result<String, ProgramError> {
        let corrupt = |found: &str| ProgramError::Corrupt {
            what: self.what,
            expected: format!("a zero-terminated string at {offset:#x}"),
            found: found.to_owned(),
        };
        let tail = usize::try_from(offset).ok().and_then(|start| self.bytes.get(start..));
        let tail = tail.ok_or_else(|| corrupt(&format!("{:#x} bytes in all", self.bytes.len())))?;
        let end = tail.iter().position(|&byte| byte == 0).ok_or_else(|| corrupt("no end"))?;
        Ok(text(&tail[..end]))
    }
}

/// Foreign bytes as text. Bytes that are not UTF-8 are escaped, so that different names stay different.
pub(crate) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}
