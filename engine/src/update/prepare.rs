//! Everything that an operation can find out while the process still runs.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dsu_formats::model::latest::{Mapping, ProgramId};

use super::capture::Facts;
use super::error::UpdateError;
use crate::program::build::{Build, DebugSearch};
use crate::resources::{self, ResourceError};
use crate::tracee::target::Target;

/// The program that a process runs.
#[derive(Debug)]
pub struct Running {
    /// Its file, open, whatever became of the path.
    pub file: File,
    /// Where it is or was.
    pub path: PathBuf,
    /// Its identity.
    pub id: ProgramId,
}

impl Running {
    /// Opens the program of `pid`.
    pub fn open(pid: i32) -> Result<Self, UpdateError> {
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        let failed = |source| ResourceError::File { operation: "open", path: link.clone(), source };
        let file = File::open(&link).map_err(failed)?;
        let target = std::fs::read_link(&link).map_err(failed)?;
        let bytes = target.as_os_str().as_bytes();
        let path = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
        let metadata = file.metadata().map_err(failed)?;
        let id = ProgramId {
            path: path.to_vec(),
            build_id: None,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            mtime_ns: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
            deleted: bytes.len() != path.len(),
        };
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
        Ok(Self { file, path, id })
    }
}

/// The builds on both sides of an update.
#[derive(Debug)]
pub struct Builds {
    /// The program that runs.
    pub old: Build,
    /// The program to move to.
    pub new: Build,
    /// The new program's file.
    pub new_file: File,
}

impl Builds {
    /// Opens and indexes both programs side by side.
    pub fn open(running: &Running, path: &Path, search: &DebugSearch) -> Result<Self, UpdateError> {
        let new_file =
            File::open(path).map_err(|source| ResourceError::File { operation: "open", path: path.to_owned(), source })?;
        let (old, new) = std::thread::scope(|scope| {
            let old = scope.spawn(|| Build::from_file(&running.file, &running.path, search));
            let new = Build::from_file(&new_file, path, search);
            (old.join(), new)
        });
        let old = old.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(Self {
            old: old.map_err(|source| UpdateError::OldProgram { path: running.path.clone(), source: Box::new(source) })?,
            new: new.map_err(|source| UpdateError::NewProgram { path: path.to_owned(), source: Box::new(source) })?,
            new_file,
        })
    }

    /// Build-ids of the old and of the new one; empty for a build without one.
    pub fn build_ids(&self) -> (&[u8], &[u8]) {
        let [old, new] = [&self.old, &self.new].map(|build| build.elf.build_id.as_deref().unwrap_or_default());
        (old, new)
    }

    /// Whether both are the same build.
    pub fn are_same(&self) -> bool {
        match (&self.old.elf.build_id, &self.new.elf.build_id) {
            (Some(old), Some(new)) => old == new,
            _ => self.old.elf.bytes == self.new.elf.bytes,
        }
    }
}

/// What the image records of program and machine, and the process's mappings as they are while it runs.
pub fn facts(target: &Target, running: &Running, build_id: Option<Vec<u8>>) -> Result<(Facts, Vec<Mapping>), UpdateError> {
    let pid = target.pid();
    let layout = resources::memory::read_layout(pid)?;
    let mappings = resources::memory::capture_mappings(pid, &[])?.mappings;
    let host = resources::host::capture(target.memory(), &layout, &mappings, &[])?;
    Ok((Facts { program: ProgramId { build_id, ..running.id.clone() }, host }, mappings))
}
