//! What can go wrong while reading a build. Each variant says what was expected and what was found.

use std::path::PathBuf;

/// A file that cannot be read, is no supported ELF object, or whose tables contradict themselves.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file does not begin as ELF does.
    #[error("not an ELF file: expected it to begin with 7f 45 4c 46, found {found}")]
    NotElf {
        /// The first bytes in hexadecimal.
        found: String,
    },
    /// ELF, but not of a kind that this engine handles.
    #[error("unsupported ELF {what}: expected {expected}, found {found}")]
    Unsupported {
        /// Part of the file.
        what: &'static str,
        /// What this engine handles.
        expected: &'static str,
        /// What the file says.
        found: String,
    },
    /// A table that is cut short or contradicts itself.
    #[error("corrupt ELF {what}: expected {expected}, found {found}")]
    Corrupt {
        /// Part of the file.
        what: &'static str,
        /// What a sound file has there.
        expected: String,
        /// What this one has.
        found: String,
    },
    /// Debug information that cannot be decoded.
    #[error("corrupt debug information in {place}")]
    Dwarf {
        /// Section or unit.
        place: String,
        /// The decoder's answer.
        #[source]
        source: gimli::Error,
    },
    /// A debug section that cannot be unpacked.
    #[error("cannot unpack the debug section {section}")]
    Compressed {
        /// Section.
        section: String,
        /// The decoder's answer.
        #[source]
        source: object::read::Error,
    },
    /// Debug information that is split over files in a way that is not supported.
    #[error("the debug information of {unit} {problem}")]
    SplitDebug {
        /// Unit, or file.
        unit: String,
        /// What is missing and what would help.
        problem: String,
    },
    /// Split debug information that cannot be put together.
    #[error("cannot put the split debug information of {place} together")]
    Join {
        /// Unit or part.
        place: String,
        /// The decoder's answer.
        #[source]
        source: gimli::write::ConvertError,
    },
    /// No debug information anywhere.
    #[error("{} has no debug information; looked {looked}; build it with -g, or install its debug package", path.display())]
    NoDebugInfo {
        /// The program.
        path: PathBuf,
        /// Where it was looked for, and what was found there.
        looked: String,
    },
}
