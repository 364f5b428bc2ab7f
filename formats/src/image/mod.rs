//! The container of an image: header, section table, sections, page store.
//!
//! An image holds every secret of the process that it was made from: it is written with mode 0600 and should stay so.
//!
//! # Layout, format version 1
//!
//! All numbers are little-endian. The file is tiled without a hole: header block, sections by ascending offset, section
//! table. What lies between the end of a section and the next one (or the table) is padding: zero, shorter than a page, and
//! covered by the checksum of the section before it. So every byte of the file is under a checksum, and the header's
//! checksum, through those of the table, depends on all of them: it is the *identity* of the image.
//!
//! | offset | length | header block (4096 bytes) |
//! |---|---|---|
//! | 0 | 8 | magic, `89 44 53 55 0d 0a 1a 0a` |
//! | 8 | 4 | format version |
//! | 12 | 4 | oldest format version whose reader may read the file |
//! | 16 | 4 | architecture, as ELF's `e_machine` (62: x86-64) |
//! | 20 | 4 | page size in bytes (4096) |
//! | 24 | 8 | length of the file |
//! | 32 | 8 | offset of the section table |
//! | 40 | 8 | length of the section table |
//! | 48 | 4 | CRC32 of the section table |
//! | 52 | 4040 | zero |
//! | 4092 | 4 | CRC32 of bytes 0 to 4091 of the header block |
//!
//! Magic, the two versions and the last four bytes keep their place in every later format.
//!
//! | offset | length | entry of the section table (48 bytes) |
//! |---|---|---|
//! | 0 | 4 | kind, see [`SectionKind`] |
//! | 4 | 4 | version of the section's contents |
//! | 8 | 4 | flags; bit 0: a reader that does not know the section must refuse the image |
//! | 12 | 4 | CRC32 of the section and the padding after it |
//! | 16 | 8 | offset in the file |
//! | 24 | 8 | length in bytes, without padding |
//! | 32 | 16 | name in ASCII, padded with zeros, so that also an older reader can name what it refuses |
//!
//! `page-store` holds raw pages and starts on a page boundary, so that a reader maps it. `page-checksums` holds one CRC32 for
//! every 256 pages (1 MiB) of it, the last one for what remains: reading a part costs the checksums of that part, and damage is
//! named to the MiB. `plan-report` is bytes that only its writer understands. Every other section is one postcard value of the
//! type in [`crate::model`]. `plan-report` and `vessel-work` are in rewritten images alone, and an image without work to do has no
//! `vessel-work`; an image that has it is refused by a reader that does not know the section.

mod bytes;
mod error;
mod header;
mod pages;
mod reader;
mod section;
mod snapshot;
mod store;
mod table;
mod verify;
mod writer;

pub use error::{ImageError, PageTableProblem, Place, TableProblem};
pub use header::{ARCHITECTURE, FORMAT_VERSION, HEADER_LEN, Header};
pub use pages::{PageBytes, Pages, Run, Runs};
pub use reader::ImageReader;
pub use section::{SectionId, SectionKind};
pub use store::PAGES_PER_CHUNK;
pub use table::Section;
pub use verify::{Finding, MAX_FINDINGS, verify, verify_snapshot};
pub use writer::{ImageWriter, Summary};
