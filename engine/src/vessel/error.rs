//! What can go wrong while a vessel is filled. The transaction then takes the way back.

use dsu_formats::address::{RunAddress, RunRange};

use crate::resources::ResourceError;
use crate::tracee::batch::Failed;
use crate::tracee::error::TraceeError;

impl From<Failed> for VesselError {
    fn from(failed: Failed) -> Self {
        Self::Resource(failed.into())
    }
}

/// A vessel could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum VesselError {
    /// Dealing with the process failed.
    #[error(transparent)]
    Tracee(#[from] TraceeError),
    /// A resource could not be given back.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// A mapping came out elsewhere or not at all.
    #[error("cannot map {range} ({what})")]
    Mapping {
        /// Range of the image.
        range: RunRange,
        /// What lies under it.
        what: String,
        /// Cause.
        #[source]
        source: TraceeError,
    },
    /// No file is at hand for a mapping.
    #[error("no open file for the mapping {range} of {path}")]
    NoFile {
        /// Range of the image.
        range: RunRange,
        /// Path.
        path: String,
    },
    /// The page source has no bytes for a page.
    #[error("no bytes for the page at {address}")]
    NoPage {
        /// The page.
        address: RunAddress,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The filled vessel does not look like the image.
    #[error("after the restore {what}: expected {expected}, found {found}")]
    Mismatch {
        /// What was compared.
        what: &'static str,
        /// As the image has it.
        expected: String,
        /// As `/proc` shows it.
        found: String,
    },
    /// The program's allocator made no block.
    #[error("the program's allocator returned no block of {length} bytes")]
    NoBlock {
        /// Bytes asked for.
        length: u64,
    },
    /// A function that the user wants to have called failed.
    #[error("the call `{call}` failed")]
    Call {
        /// The call as it was written.
        call: String,
        /// Cause.
        #[source]
        source: TraceeError,
    },
    /// The way back was not tried, since the engine has no hold on the process.
    #[error("the way back was not tried")]
    NotTried,
    /// There is no room in the address space for the trampoline.
    #[error("no free range of {length} bytes in the address space for the trampoline")]
    NoSite {
        /// Bytes asked for.
        length: u64,
    },
}
