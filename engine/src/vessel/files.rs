//! Open files for the mappings of an image, opened while the old mappings still exist.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use dsu_formats::model::latest::{Backing, Mapping, Sharing};

use crate::resources::ResourceError;
use crate::resources::memory::open_mapped;

/// What tells the files of mappings apart: device, inode, and whether stores reach the file.
type Key = (u64, u64, bool);

/// One open file for each file that an image maps.
#[derive(Debug, Default)]
pub struct MappedFiles {
    files: HashMap<Key, File>,
    memory_files: HashMap<u64, File>,
}

impl MappedFiles {
    /// Opens the file below every file mapping and shared anonymous mapping of `pid`.
    pub fn open_all(pid: i32, mappings: &[Mapping]) -> Result<Self, ResourceError> {
        let mut files = Self::default();
        files.open_missing(pid, mappings)?;
        Ok(files)
    }

    /// Opens what is not open yet, through `/proc/PID/map_files`, which also reaches files without a name.
    ///
    /// An inode that is held open is given to no other file: what was opened while the process ran is still the right file.
    pub fn open_missing(&mut self, pid: i32, mappings: &[Mapping]) -> Result<(), ResourceError> {
        for mapping in mappings {
            let Some(key) = key(mapping) else { continue };
            if let Entry::Vacant(vacant) = self.files.entry(key) {
                vacant.insert(open_mapped(pid, mapping, mapping.range, key.2)?);
            }
        }
        Ok(())
    }

    /// Takes `file` for a mapping that names its device and inode; another mapping stays without a file.
    pub fn add_if_same(&mut self, mapping: &Mapping, file: &File) -> Result<(), ResourceError> {
        let (Backing::File { device, inode, .. }, Some(key)) = (&mapping.backing, key(mapping)) else { return Ok(()) };
        let failed = |source| ResourceError::File { operation: "look at", path: "the new program".into(), source };
        let metadata = file.metadata().map_err(failed)?;
        if metadata.ino() == *inode && saved_device(metadata.dev()) == *device {
            self.files.insert(key, file.try_clone().map_err(failed)?);
        }
        Ok(())
    }

    /// Takes a file that was opened for `mapping`.
    pub fn add(&mut self, mapping: &Mapping, file: File) {
        if let Some(key) = key(mapping) {
            self.files.insert(key, file);
        }
    }

    /// Takes a memory file that was made anew; mappings name it by the inode of the old one, whatever its device.
    pub fn add_memory_file(&mut self, inode: u64, file: &File) -> std::io::Result<()> {
        self.memory_files.insert(inode, file.try_clone()?);
        Ok(())
    }

    /// The file of a mapping.
    pub fn get(&self, mapping: &Mapping) -> Option<BorrowedFd<'_>> {
        if let Backing::File { path, inode, .. } = &mapping.backing
            && path.starts_with(b"/memfd:")
            && let Some(file) = self.memory_files.get(inode)
        {
            return Some(file.as_fd());
        }
        self.files.get(&key(mapping)?).map(AsFd::as_fd)
    }
}

/// `st_dev` as the saved types have it (major << 32 | minor).
pub fn saved_device(device: u64) -> u64 {
    (u64::from(libc::major(device)) << 32) | u64::from(libc::minor(device))
}

fn key(mapping: &Mapping) -> Option<Key> {
    // The kernel lets a mapping of a file opened for writing become writable later: what was opened so must be again.
    let shared = mapping.sharing == Sharing::Shared && mapping.protection.write;
    match &mapping.backing {
        Backing::File { device, inode, .. } => Some((*device, *inode, shared)),
        Backing::SharedAnonymous { inode, .. } => Some((u64::MAX, *inode, true)),
        _ => None,
    }
}
