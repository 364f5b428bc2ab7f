//! What was found out about frames of two builds, kept in a file, so that the next update from the one to the other does not find it out again.
//! A file that is not whole, not of these builds, or not only this user's is as good as none.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dsu_formats::spec::Spec;
use serde::{Deserialize, Serialize};

use super::lock::{LockError, private_directory};
use super::prepare::Builds;
use crate::plan::frames::SavedFrame;
use crate::program::build::Build;

/// First bytes of a file.
const MAGIC: [u8; 8] = *b"DSUFRMS\0";
/// Version of what follows them; another one is not read.
const VERSION: u32 = 1;
/// Magic, version, checksum and length of the rest.
const HEADER: usize = 24;
/// A longer file is not read, in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// How many pairs of builds are kept; the oldest go.
const MOST_FILES: usize = 32;

/// Why nothing is read or kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    /// The directory cannot be made, or is not this user's alone.
    #[error("cannot use {path} for what is kept between updates")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Cause.
        #[source]
        source: LockError,
    },
    /// A file cannot be read or written.
    #[error("cannot {operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A file that is not what was written.
    #[error("{path} is of no use: {what}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is the matter.
        what: &'static str,
    },
}

/// What the answers depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Key {
    /// The engine: its version, and length and time of change of its file.
    engine: (String, u64, i64),
    old: Fingerprint,
    new: Fingerprint,
    /// The user's answers, as they were written.
    spec: Option<String>,
}

/// One build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fingerprint {
    build_id: Vec<u8>,
    program: u32,
    debug: u32,
}

/// The file of one pair of builds.
#[derive(Debug)]
pub(super) struct FrameCache {
    directory: PathBuf,
    path: PathBuf,
    key: Key,
}

/// `dsu` in `$XDG_CACHE_HOME`, else in `~/.cache`.
pub fn default_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache"))).map(|parent| parent.join("dsu"))
}

impl Fingerprint {
    /// A build without a build-id has none.
    fn of(build: &Build) -> Option<Self> {
        let build_id = build.elf.build_id.clone().filter(|id| !id.is_empty())?;
        Some(Self { build_id, program: crc32fast::hash(&build.elf.bytes), debug: build.sections().checksum() })
    }
}

impl FrameCache {
    /// The file of two builds in a directory; none for builds without a build-id.
    pub(super) fn new(directory: &Path, builds: &Builds, spec: Option<&Spec>) -> Option<Self> {
        let own = fs::metadata(std::env::current_exe().ok()?).ok()?;
        let modified = own.mtime().checked_mul(1_000_000_000)?.checked_add(own.mtime_nsec())?;
        let (old, new) = std::thread::scope(|scope| {
            let old = scope.spawn(|| Fingerprint::of(&builds.old));
            let new = Fingerprint::of(&builds.new);
            (old.join().ok().flatten(), new)
        });
        let key = Key {
            engine: (env!("CARGO_PKG_VERSION").to_owned(), own.len(), modified),
            old: old?,
            new: new?,
            spec: spec.map(|spec| spec.source.text.to_string()),
        };
        Some(Self::of(directory, key))
    }

    fn of(directory: &Path, key: Key) -> Self {
        let id =
            |fingerprint: &Fingerprint| fingerprint.build_id.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
        let answers = key.spec.as_ref().map_or(0, |text| crc32fast::hash(text.as_bytes()));
        let path = directory.join(format!("frames-{}-{}-{answers:08x}", id(&key.old), id(&key.new)));
        Self { directory: directory.to_owned(), path, key }
    }

    /// What was kept.
    pub(super) fn load(&self) -> Result<Vec<SavedFrame>, CacheError> {
        private_directory(&self.directory).map_err(|source| CacheError::Directory { path: self.directory.clone(), source })?;
        let failed = |source| CacheError::File { operation: "read", path: self.path.clone(), source };
        let file = match File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() || found.uid() != nix::unistd::geteuid().as_raw() || found.mode() & 0o022 != 0 {
            return Err(self.useless("others may have written to it"));
        }
        if found.len() > MOST_BYTES {
            return Err(self.useless("it is too long"));
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        let (key, frames) = decode(&bytes).map_err(|what| self.useless(what))?;
        if key == self.key { Ok(frames) } else { Err(self.useless("it is of other builds or another engine")) }
    }

    /// Keeps `frames` in place of what was there, whole or not at all, whoever else does so.
    pub(super) fn store(&self, frames: &[SavedFrame]) -> Result<(), CacheError> {
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::File { operation, path, source }
        };
        if let Some(parent) = self.directory.parent() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(failed("make", parent))?;
        }
        private_directory(&self.directory).map_err(|source| CacheError::Directory { path: self.directory.clone(), source })?;
        let bytes = encode(&self.key, frames).ok_or_else(|| self.useless("it would be too long"))?;
        let mut file = tempfile::Builder::new()
            .prefix("new-")
            .tempfile_in(&self.directory)
            .map_err(failed("make a file in", &self.directory))?;
        file.write_all(&bytes).map_err(failed("write", &self.path))?;
        file.persist(&self.path).map_err(|error| failed("write", &self.path)(error.error))?;
        self.tidy();
        Ok(())
    }

    /// Removes the oldest files beyond the number that is kept.
    fn tidy(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("frames-"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(MOST_FILES)) {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(%error, path = %path.display(), "an old file stays in the cache");
            }
        }
    }

    fn useless(&self, what: &'static str) -> CacheError {
        CacheError::Content { path: self.path.clone(), what }
    }
}

fn encode(key: &Key, frames: &[SavedFrame]) -> Option<Vec<u8>> {
    let content = postcard::to_allocvec(&(key, frames)).ok()?;
    let length = u64::try_from(content.len()).ok().filter(|length| *length < MOST_BYTES - HEADER as u64)?;
    let mut bytes = Vec::with_capacity(HEADER + content.len());
    bytes.extend(MAGIC);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(crc32fast::hash(&content).to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend(content);
    Some(bytes)
}

fn decode(bytes: &[u8]) -> Result<(Key, Vec<SavedFrame>), &'static str> {
    let (header, content) = bytes.split_at_checked(HEADER).ok_or("it ends within its header")?;
    let field = |start: usize, length: usize| header.get(start..start + length).unwrap_or_default();
    if field(0, 8) != MAGIC || field(8, 4) != VERSION.to_le_bytes() {
        return Err("it is of another version, or something else");
    }
    if field(16, 8) != (content.len() as u64).to_le_bytes() || field(12, 4) != crc32fast::hash(content).to_le_bytes() {
        return Err("it is damaged");
    }
    match postcard::take_from_bytes(content) {
        Ok((found, [])) => Ok(found),
        Ok(_) => Err("more follows than belongs to it"),
        Err(_) => Err("it is damaged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::address::NewLink;
    use crate::plan::frames::{Continuation, FramePlace, Placed, Value};
    use crate::program::address::LinkAddress;

    fn key(spec: Option<&str>) -> Key {
        let fingerprint = |byte: u8| Fingerprint { build_id: vec![byte; 20], program: 1, debug: 2 };
        Key { engine: ("0".to_owned(), 1, 2), old: fingerprint(3), new: fingerprint(4), spec: spec.map(str::to_owned) }
    }

    fn frames() -> Vec<SavedFrame> {
        let place = FramePlace::Slot { offset: -24, length: 8 };
        let value =
            Placed { place, bits: u64::MAX, value: Value::Old(place), why: "variable `n`".to_owned(), reader: NewLink::new(7) };
        let continuation = Continuation {
            function: 5,
            returns_to: NewLink::new(0x1234),
            between: false,
            given_back: vec![3],
            values: vec![value],
            objects: Vec::new(),
            conditions: Vec::new(),
            warnings: Vec::new(),
            rivals: Vec::new(),
            has_unread: false,
            besides: Default::default(),
        };
        vec![SavedFrame { function: 4, place: LinkAddress(0x1200), is_between: false, continuation }]
    }

    #[test]
    fn what_is_kept_is_found_by_the_same_key_alone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("cache/dsu");
        let cache = FrameCache::of(&directory, key(None));
        cache.store(&frames()).unwrap();
        cache.store(&frames()).unwrap();
        assert_eq!(cache.load().unwrap(), frames());
        assert!(FrameCache::of(&directory, key(Some("answers"))).load().unwrap().is_empty());
        let other = Key { engine: ("1".to_owned(), 1, 2), ..key(None) };
        assert!(matches!(FrameCache::of(&directory, other).load(), Err(CacheError::Content { .. })));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside the file");
    }

    #[test]
    fn a_damaged_file_is_none_wherever_the_damage_is() {
        let parent = tempfile::tempdir().unwrap();
        let cache = FrameCache::of(&parent.path().join("dsu"), key(None));
        cache.store(&frames()).unwrap();
        let whole = fs::read(&cache.path).unwrap();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x10;
            assert!(decode(&bytes).is_err(), "byte {position}");
            assert!(decode(&whole[..position]).is_err(), "cut at {position}");
        }
        fs::write(&cache.path, &whole[..whole.len() - 1]).unwrap();
        assert!(matches!(cache.load(), Err(CacheError::Content { .. })));
        cache.store(&frames()).unwrap();
        assert_eq!(cache.load().unwrap(), frames());
    }

    #[test]
    fn what_others_could_have_written_is_not_read() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let cache = FrameCache::of(&parent.path().join("dsu"), key(None));
        cache.store(&frames()).unwrap();
        fs::set_permissions(&cache.path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(cache.load(), Err(CacheError::Content { .. })));
        fs::set_permissions(&cache.directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(cache.load(), Err(CacheError::Directory { .. })));
    }

    #[test]
    fn only_so_many_pairs_are_kept() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("dsu");
        for number in 0..MOST_FILES + 3 {
            FrameCache::of(&directory, key(Some(&number.to_string()))).store(&[]).unwrap();
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), MOST_FILES);
    }
}
