//! The program that an image was made of, found again: by `--old`, at its path, or by its build-id.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dsu_formats::model::latest::ProgramId;

use crate::program::build::DebugSearch;
use crate::resources::memory::build_id_of;
use crate::update::error::UpdateError;
use crate::update::prepare::Running;

/// Where distributions put links to programs by their build-id, besides the debug directories.
const BY_BUILD_ID: &str = "/usr/lib";

/// Finds the very build that `id` describes; with `named`, only there.
///
/// # Errors
/// Nowhere a file that is known to be it; the error says what was looked at and what was found there.
pub fn find(id: &ProgramId, named: Option<&Path>, search: &DebugSearch) -> Result<Running, UpdateError> {
    let recorded = PathBuf::from(OsStr::from_bytes(&id.path));
    let candidates = match named {
        Some(path) => vec![path.to_owned()],
        None => std::iter::once(recorded.clone()).chain(by_build_id(id, search)).collect(),
    };
    let mut looked = Vec::new();
    for candidate in candidates {
        match try_file(id, &candidate) {
            // Debug files are looked for beside where the program was found.
            Ok(file) => return Ok(Running { file, path: candidate, id: id.clone() }),
            Err(why) => looked.push(format!("{} ({why})", candidate.display())),
        }
    }
    Err(UpdateError::NoOldProgram { path: recorded, looked: looked.join(", ") })
}

fn by_build_id(id: &ProgramId, search: &DebugSearch) -> Vec<PathBuf> {
    let Some([first, rest @ ..]) = id.build_id.as_deref() else { return Vec::new() };
    let below = format!(".build-id/{first:02x}/{}", hexadecimal(rest));
    let directories = search.directories.iter().map(PathBuf::as_path).chain([Path::new(BY_BUILD_ID)]);
    directories.map(|directory| directory.join(&below)).collect()
}

/// The file at `path`, or why it is not the one.
fn try_file(id: &ProgramId, path: &Path) -> Result<File, String> {
    // O_NONBLOCK: a FIFO of that name must not hang the engine.
    let opened = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = opened.map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("not a regular file".to_owned());
    }
    let Some(expected) = &id.build_id else {
        let found = (metadata.len(), metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec());
        return if found == (id.size, id.mtime_ns) {
            Ok(file)
        } else {
            Err(format!(
                "the program has no build-id, so that only size and time of change can tell: expected {} bytes of {} ns, \
                 found {} bytes of {} ns",
                id.size, id.mtime_ns, found.0, found.1
            ))
        };
    };
    match build_id_of(&file) {
        Some(found) if found == *expected => Ok(file),
        Some(found) => Err(format!("another build: expected build-id {}, found {}", hexadecimal(expected), hexadecimal(&found))),
        None => Err(format!("it has no build-id: expected {}", hexadecimal(expected))),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
