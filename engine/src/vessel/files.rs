//! Open files for the mappings of an image, opened while the old mappings still exist.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use dsu_formats::model::latest::{Backing, Mapping, Sharing};

use crate::resources::ResourceError;
use crate::resources::memory::open_mapped;

/// What tells the files of mappings apart: device, inode, and whether stores reach the file.
type Key = (u64, u64, bool);

/// One open file for each file that an image maps.
#[derive(Debug, Default)]
pub struct MappedFiles {
    files: HashMap<Key, File>,
}

impl MappedFiles {
    /// Opens the file below every file mapping and shared anonymous mapping of `pid`, through `/proc/PID/map_files`, which
    /// also reaches files without a name.
    pub fn open_all(pid: i32, mappings: &[Mapping]) -> Result<Self, ResourceError> {
        let mut files = Self::default();
        for mapping in mappings {
            let Some(key) = key(mapping) else { continue };
            if !files.files.contains_key(&key) {
                files.files.insert(key, open_mapped(pid, mapping, mapping.range, key.2)?);
            }
        }
        Ok(files)
    }

    /// Adds a file that mappings of a rewritten image name by this device and inode.
    pub fn add(&mut self, device: u64, inode: u64, file: File) {
        self.files.entry((device, inode, false)).or_insert(file);
    }

    /// The file of a mapping.
    pub fn get(&self, mapping: &Mapping) -> Option<BorrowedFd<'_>> {
        self.files.get(&key(mapping)?).map(AsFd::as_fd)
    }
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
