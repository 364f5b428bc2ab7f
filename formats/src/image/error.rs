//! What can be wrong with an image, or go wrong while one is written.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::section::SectionId;
use crate::address::{RunAddress, RunRange};

/// A failed reading or writing of an image. Each names the place, and what was expected and found there.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The operating system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// File or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The file does not start with the magic.
    #[error("not a dsu image: it starts with {}, not with {}", Hex(found), Hex(expected))]
    NotAnImage {
        /// The magic.
        expected: [u8; 8],
        /// The first bytes of the file.
        found: Vec<u8>,
    },
    /// The file is shorter than it says, or than a header.
    #[error("image is truncated: {expected} bytes expected, {found} found")]
    Truncated {
        /// Length declared in the header, or the length of a header.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// The file goes on after its declared end.
    #[error("image has trailing bytes: {expected} bytes expected, {found} found")]
    TrailingBytes {
        /// Length declared in the header.
        expected: u64,
        /// Length of the file.
        found: u64,
    },
    /// The image is of a format that this reader is too old for.
    #[error(
        "image has format version {found} and needs a reader of version {oldest_reader} or later; this one knows version {known}"
    )]
    NewerFormat {
        /// Format version of the image.
        found: u32,
        /// Oldest version whose reader may read it.
        oldest_reader: u32,
        /// Newest format version known here.
        known: u32,
    },
    /// The image is of a machine with another instruction set.
    #[error("image is for another architecture: ELF machine {expected} expected, {found} found")]
    Architecture {
        /// This reader's, as ELF's `e_machine`.
        expected: u32,
        /// The image's.
        found: u32,
    },
    /// A field of the header cannot be right.
    #[error("header field `{field}` is wrong: {expected} expected, {found} found")]
    HeaderField {
        /// Name of the field.
        field: &'static str,
        /// Value or bound.
        expected: u64,
        /// The image's value.
        found: u64,
    },
    /// Bytes are not what they were when they were written.
    #[error("checksum of {place} is wrong: {expected:#010x} expected, {found:#010x} found")]
    Checksum {
        /// What the checksum covers.
        place: Place,
        /// Checksum recorded in the image.
        expected: u32,
        /// Checksum of the bytes.
        found: u32,
    },
    /// An entry of the section table cannot be right.
    #[error("section {section} is misplaced")]
    Table {
        /// The section.
        section: SectionId,
        /// What is wrong with its entry.
        #[source]
        source: TableProblem,
    },
    /// A section that must be understood is not known here, or not in this version.
    #[error("section {section} in version {found} is required and not known here (newest known version: {known})")]
    UnknownSection {
        /// The section.
        section: SectionId,
        /// Its version in the image.
        found: u32,
        /// Newest version known here; zero when the section is not known at all.
        known: u32,
    },
    /// A section that every image has is not there.
    #[error("section {section} is missing")]
    MissingSection {
        /// The section.
        section: SectionId,
    },
    /// The bytes of a section are no value of its type.
    #[error("section {section} cannot be {operation}")]
    Codec {
        /// The section.
        section: SectionId,
        /// `encoded` or `decoded`.
        operation: &'static str,
        /// Cause.
        #[source]
        source: postcard::Error,
    },
    /// A section or a list is longer than its limit, or has bytes or entries left over.
    #[error("section {section}: {found} {unit}, but no more than {limit} expected")]
    Limit {
        /// The section.
        section: SectionId,
        /// What is counted.
        unit: &'static str,
        /// Most that is allowed.
        limit: u64,
        /// Number found.
        found: u64,
    },
    /// An extent of pages cannot be right.
    #[error("section page-table: {pages} pages at {start} of address space {address_space} cannot be taken")]
    Extent {
        /// Index of the address space.
        address_space: u32,
        /// First page.
        start: RunAddress,
        /// Number of pages.
        pages: u64,
        /// What is wrong.
        #[source]
        source: PageTableProblem,
    },
    /// The image given as the parent is not the one that this image was made from.
    #[error("wrong parent image: identity {} expected, {} found", Identity(*expected), Identity(*found))]
    Parent {
        /// Identity in the lineage; `None` when the image has no parent.
        expected: Option<u32>,
        /// Identity of the image that was given; `None` when none was.
        found: Option<u32>,
    },
}

/// A part of an image that has a checksum of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The header block.
    Header,
    /// The section table.
    Table,
    /// A section with the padding after it.
    Section(SectionId),
    /// Pages of the page store.
    Pages {
        /// First page, by its number in the store.
        first: u64,
        /// Number of pages.
        count: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the header"),
            Self::Table => f.write_str("the section table"),
            Self::Section(id) => write!(f, "section {id}"),
            Self::Pages { first, count } => write!(f, "section page-store ({count} pages from page {first})"),
        }
    }
}

/// What is wrong with an entry of the section table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableProblem {
    /// The kind has an entry already.
    #[error("it has two entries")]
    Duplicate,
    /// It starts before the part of the file before it ends.
    #[error("it starts at {offset}, inside what ends at {previous_end}")]
    Overlap {
        /// Offset of the section.
        offset: u64,
        /// End of the header or section before it.
        previous_end: u64,
    },
    /// More than padding separates it from what comes before or after.
    #[error("bytes {start} to {end} beside it belong to no section")]
    Gap {
        /// First byte.
        start: u64,
        /// First byte past the gap.
        end: u64,
    },
    /// It reaches past the place where the section table starts.
    #[error("its {length} bytes at {offset} reach past {limit}")]
    OutOfBounds {
        /// Offset of the section.
        offset: u64,
        /// Its length.
        length: u64,
        /// Offset of the section table.
        limit: u64,
    },
    /// Padding is not zero.
    #[error("the padding after it is not zero at {offset}")]
    Padding {
        /// Offset in the file of the first such byte.
        offset: u64,
    },
    /// The recorded name is not that of the kind.
    #[error("its kind is that of section {expected}")]
    Name {
        /// What the kind's number stands for.
        expected: SectionId,
    },
    /// A flag that this format does not have is set.
    #[error("it has unknown flags {found:#x}")]
    Flags {
        /// All flags.
        found: u32,
    },
    /// It does not hold whole pages on page boundaries.
    #[error("its {length} bytes at {offset} are not whole pages on page boundaries")]
    Misaligned {
        /// Offset of the section.
        offset: u64,
        /// Its length.
        length: u64,
    },
}

/// What is wrong with an extent of pages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageTableProblem {
    /// It is empty, does not start on a page boundary, is not whole pages, or passes the end of the address space.
    #[error("not a range of whole pages")]
    NotPages,
    /// It shares pages with another extent, or comes before one with lower addresses.
    #[error("it overlaps or precedes {other}")]
    Order {
        /// Addresses of the other extent.
        other: RunRange,
    },
    /// It names pages past the end of the page store.
    #[error("it takes pages up to {end} of a page store of {store_pages}")]
    OutsideStore {
        /// Last page plus one.
        end: u64,
        /// Pages in the store.
        store_pages: u64,
    },
    /// The parent image has nothing for a page that is said to be there.
    #[error("the parent image has no page at {address}")]
    NotInParent {
        /// The page.
        address: RunAddress,
    },
    /// It refers to a parent image, and the manifest names none.
    #[error("the manifest names no parent image")]
    NoLineage,
}

/// Bytes for people.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An identity, or that there is none.
struct Identity(Option<u32>);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(identity) => write!(f, "{identity:#010x}"),
            None => f.write_str("none"),
        }
    }
}
