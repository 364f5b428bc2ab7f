//! The bytes of files below the mappings of an image, as far as they are known to be those of the capture.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dsu_formats::address::PAGE_SIZE;
use dsu_formats::model::latest::{Backing, Kind, Mapping, Protection, Snapshot};

use crate::resources::Obstacle;
use crate::resources::memory::reopen_mapped;

/// Device (major << 32 | minor) and inode.
type Key = (u64, u64);

/// Files by device and inode.
#[derive(Debug, Default)]
pub struct StoredFiles<'a> {
    files: HashMap<Key, Source<'a>>,
    /// Memory files, whose bytes are in the image, by inode.
    memory_files: HashMap<u64, &'a [u8]>,
}

#[derive(Debug)]
enum Source<'a> {
    Open { file: File, path: PathBuf, is_code: bool },
    Held(&'a Arc<[u8]>),
}

impl<'a> StoredFiles<'a> {
    /// Opens the files of `snapshot` again, all but the program's own.
    ///
    /// # Errors
    /// Code, or named shared memory, that is not what it was: without it nothing can be planned.
    pub fn reopen(snapshot: &'a Snapshot) -> Result<Self, Vec<Obstacle>> {
        let root = snapshot.tree.processes.first().map_or(&b"/"[..], |process| &process.filesystem.root);
        let mappings = snapshot.address_spaces.first().map_or(&[][..], |space| &space.mappings);
        let program = program_files(snapshot);
        let mut stored = Self { memory_files: memory_files(snapshot), ..Self::default() };
        let mut obstacles = Vec::new();
        for mapping in mappings {
            let Some((key, path)) = key_of(mapping) else { continue };
            let Entry::Vacant(vacant) = stored.files.entry(key) else { continue };
            if program.contains(&key) {
                continue;
            }
            let needed = is_code(mappings, key) || path.starts_with(b"/dev/shm/");
            // It is only read, even where the process stores to it.
            let read = Protection { write: false, ..mapping.protection };
            match reopen_mapped(&Mapping { protection: read, ..mapping.clone() }, root) {
                Ok(Some(file)) => {
                    let path = PathBuf::from(OsString::from_vec(path.to_vec()));
                    vacant.insert(Source::Open { file, path, is_code: is_code(mappings, key) });
                }
                Ok(None) => {}
                Err(obstacle) if needed => obstacles.push(obstacle),
                Err(obstacle) => tracing::debug!(%obstacle, "a data file cannot be looked into"),
            }
        }
        if obstacles.is_empty() { Ok(stored) } else { Err(obstacles) }
    }

    /// Takes the bytes of a program that `snapshot` maps.
    pub fn add_program(&mut self, snapshot: &Snapshot, bytes: &'a Arc<[u8]>) {
        for key in program_files(snapshot) {
            self.files.insert(key, Source::Held(bytes));
        }
    }

    /// Every open file that has code, with its path.
    pub fn code(&self) -> impl Iterator<Item = (&File, &Path)> {
        self.files.values().filter_map(|source| match source {
            Source::Open { file, path, is_code: true } => Some((file, path.as_path())),
            _ => None,
        })
    }

    /// The bytes of a memory file with this inode.
    pub fn memory_file(&self, inode: u64) -> Option<&'a [u8]> {
        self.memory_files.get(&inode).copied()
    }

    /// Fills `buffer` as a mapping of the file shows it `offset` bytes from the file's start: zeros up to the end of its last page.
    ///
    /// # Errors
    /// A file that is not at hand, or an offset beyond its last page.
    pub fn read(&self, backing: &Backing, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let Backing::File { device, inode, path, .. } = backing else { return Err(missing(b"what is no file")) };
        if path.starts_with(b"/memfd:")
            && let Some(bytes) = self.memory_file(*inode)
        {
            return copy(bytes, offset, buffer);
        }
        match self.files.get(&(*device, *inode)) {
            Some(Source::Held(bytes)) => copy(bytes, offset, buffer),
            Some(Source::Open { file, .. }) => {
                let length = file.metadata()?.len();
                let inside = length.saturating_sub(offset).min(buffer.len() as u64) as usize;
                let (head, tail) = buffer.split_at_mut(inside);
                check_end(length, offset + (head.len() + tail.len()) as u64)?;
                tail.fill(0);
                file.read_exact_at(head, offset)
            }
            None => Err(missing(path)),
        }
    }
}

fn copy(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    check_end(bytes.len() as u64, offset + buffer.len() as u64)?;
    let from = bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
    let inside = from.len().min(buffer.len());
    let (head, tail) = buffer.split_at_mut(inside);
    head.copy_from_slice(&from[..inside]);
    tail.fill(0);
    Ok(())
}

/// Behind the last page of a file nothing can be read, by the program neither.
fn check_end(length: u64, end: u64) -> io::Result<()> {
    if end <= length.next_multiple_of(PAGE_SIZE) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{end} bytes of a file of {length}")))
}

fn missing(path: &[u8]) -> io::Error {
    let path = String::from_utf8_lossy(path);
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("the bytes of {path} are neither in the image nor known to be those of the capture"),
    )
}

fn key_of(mapping: &Mapping) -> Option<(Key, &[u8])> {
    match &mapping.backing {
        Backing::File { device, inode, path, .. } if !path.starts_with(b"/memfd:") => Some(((*device, *inode), path)),
        _ => None,
    }
}

fn is_code(mappings: &[Mapping], key: Key) -> bool {
    mappings.iter().any(|mapping| mapping.protection.execute && key_of(mapping).is_some_and(|(own, _)| own == key))
}

/// The file of the program, by the mappings in its module.
fn program_files(snapshot: &Snapshot) -> Vec<Key> {
    let module = snapshot.modules.iter().find(|module| module.address_space == 0);
    let mappings = snapshot.address_spaces.first().map_or(&[][..], |space| &space.mappings);
    let inside = mappings.iter().filter(|mapping| module.is_some_and(|module| module.range.overlaps(&mapping.range)));
    let mut keys: Vec<Key> = inside.filter_map(key_of).map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn memory_files(snapshot: &Snapshot) -> HashMap<u64, &[u8]> {
    let contents = snapshot.descriptors.descriptions.iter().filter_map(|description| match &description.kind {
        Kind::MemFd { inode, contents, .. } => Some((*inode, contents.as_slice())),
        _ => None,
    });
    contents.collect()
}
