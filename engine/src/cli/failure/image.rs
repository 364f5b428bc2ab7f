//! Images and journals that cannot be read or written.

use std::path::Path;

use dsu_formats::image::ImageError;
use dsu_formats::journal::JournalError;

use super::system::io_verdict;
use super::{Exit, Failure, Sorted, State, Subject, Verdict};

impl Sorted for ImageError {
    fn verdict(&self, subject: &Subject<'_>) -> Verdict {
        let (code, hint) = match self {
            ImageError::Io { source, .. } => return io_verdict(source, subject),
            ImageError::NotAnImage { .. } => (
                "not-an-image",
                "name a file that `dsu checkpoint` or `dsu update --keep-image` wrote; `file FILE` shows what this one is",
            ),
            ImageError::Truncated { .. } => {
                ("truncated-image", "a copy was cut short: copy the image again, or take another checkpoint")
            }
            ImageError::TrailingBytes { .. } => {
                ("trailing-bytes", "something was appended to the image: copy the original again, or take another checkpoint")
            }
            ImageError::NewerFormat { .. } => {
                ("newer-image", "use the dsu that wrote the image, or a later one; `dsu --version` tells this one's version")
            }
            ImageError::Architecture { .. } => {
                ("other-architecture", "use the image on a machine like the one that it was made on")
            }
            ImageError::UnknownSection { .. } => {
                ("unknown-section", "use the dsu that wrote the image, or a later one: it knows this section")
            }
            ImageError::HeaderField { .. }
            | ImageError::Checksum { .. }
            | ImageError::Table { .. }
            | ImageError::MissingSection { .. }
            | ImageError::Codec { .. }
            | ImageError::Limit { .. }
            | ImageError::Extent { .. } => (
                "corrupt-image",
                "the image is damaged and nothing of it is used: copy the original again, or take another checkpoint",
            ),
            ImageError::Parent { .. } => {
                ("wrong-parent", "name the image that this one was made from with --parent; `dsu inspect` shows its identity")
            }
        };
        Verdict::new(Exit::Failed, code, hint)
    }
}

impl Sorted for JournalError {
    fn verdict(&self, _: &Subject<'_>) -> Verdict {
        let (code, hint) = match self {
            JournalError::NewerFormat { .. } => (
                "newer-journal",
                "recover with the dsu that began the update, or a later one; `dsu --version` tells this one's version",
            ),
            JournalError::NotAJournal { .. }
            | JournalError::Length { .. }
            | JournalError::Checksum { .. }
            | JournalError::NoSuchFormat { .. }
            | JournalError::Record(_) => (
                "corrupt-journal",
                "nothing of the journal is used and the process was not touched; if it is parked, end it and start the program anew",
            ),
        };
        Verdict::new(Exit::Failed, code, hint)
    }
}

/// A command about the image at `path` that could not read it.
pub fn image_failure(error: &ImageError, path: &Path) -> Failure {
    let mut failure = Failure::sorted(error, error.verdict(&Subject::File(path)), State::Nothing);
    let named = path.display().to_string();
    if !failure.chain.iter().any(|message| message.contains(&named)) {
        failure.chain.insert(0, format!("cannot use the image {named}"));
    }
    failure
}
