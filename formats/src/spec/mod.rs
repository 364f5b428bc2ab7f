//! `update.toml`: the user's answers for one old→new pair of builds. Here it is read and checked for form; what its names mean takes
//! both builds and is the engine's. `examples/UPDATE_TOML.md` is the reference for people.

pub mod continuation;
pub mod duration;
pub mod expression;
pub mod model;
pub mod names;
pub mod place;
mod read;

use std::io::Read;
use std::path::Path;

pub use model::Spec;
pub use place::{At, Problem, Source, Span, SpecError};

/// Longest spec that is read, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// A spec file that cannot be read, or says what cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read the spec {path}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Its content.
    #[error(transparent)]
    Content(#[from] SpecError),
}

impl Spec {
    /// Reads the spec in a file.
    ///
    /// # Errors
    /// A file that cannot be read or is longer than [`MAX_BYTES`], and all that is wrong in it.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::File { path: path.to_owned(), source };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
        Ok(Self::parse(path, &text)?)
    }

    /// Reads the spec `text`; messages call the file `path`.
    ///
    /// # Errors
    /// Everything that is wrong, each with line and column.
    pub fn parse(path: &Path, text: &str) -> Result<Self, SpecError> {
        read::read(Source::new(path, text))
    }
}
