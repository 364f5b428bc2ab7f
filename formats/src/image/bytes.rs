//! The bytes of an image: a mapped file, or memory of our own. The one place of this crate with `unsafe`.

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::Mmap;

/// The bytes of an image.
pub(super) enum ImageBytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl ImageBytes {
    /// Maps a regular file. What is no regular file, or empty, is an error or no bytes: neither can be mapped.
    #[allow(unsafe_code)]
    pub(super) fn map(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        if metadata.len() == 0 {
            return Ok(Self::Owned(Vec::new()));
        }
        // SAFETY: the mapping is private, read-only and lives as long as the slices that borrow from it. Its bytes must not
        // change under it: the writer never edits an image in place (it renames a finished file over the old name, which
        // leaves this mapping on the old inode), and mode 0600 keeps other users out. The owner of the file, who is the user
        // or root, may still break that. Nothing here rests on the bytes staying the same: sections are copied out before
        // they are checked and decoded (`copy`), so what was checked is what is decoded, and pages are handed out as
        // plain bytes, for which every value is valid. If the owner truncates the file, touching a page past its new end
        // raises SIGBUS: the process ends there, as after a kill, which the update's journal and way back are made for; it
        // never reads memory of something else.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self::Mapped(map))
    }

    /// All bytes.
    pub(super) fn all(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }

    /// The part of the file at these offsets; cut off where the file ends.
    pub(super) fn slice(&self, range: Range<u64>) -> &[u8] {
        let all = self.all();
        let offset = |at: u64| usize::try_from(at).map_or(all.len(), |at| at.min(all.len()));
        let (start, end) = (offset(range.start), offset(range.end));
        all.get(start..end).unwrap_or_default()
    }

    /// A copy of that part, which nobody else can change any more.
    pub(super) fn copy(&self, range: Range<u64>) -> Vec<u8> {
        self.slice(range).to_vec()
    }
}
