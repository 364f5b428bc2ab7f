//! Reads whole regular files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use crate::program::error::ProgramError;

pub(super) fn read(path: &Path) -> Result<Arc<[u8]>, ProgramError> {
    // O_NONBLOCK: a FIFO of that name must not hang the engine.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    file.and_then(|file| read_all(&file)).map_err(|source| ProgramError::Read { path: path.to_owned(), source })
}

pub(super) fn read_open(file: &File, path: &Path) -> Result<Arc<[u8]>, ProgramError> {
    read_all(file).map_err(|source| ProgramError::Read { path: path.to_owned(), source })
}

fn read_all(mut file: &File) -> io::Result<Arc<[u8]>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1).min(1 << 30));
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes.into())
}
