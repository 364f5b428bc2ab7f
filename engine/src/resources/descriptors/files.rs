//! Restore of what has a path: regular files, directories, devices without state, `O_PATH`.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dsu_formats::model::latest::{Description, FileIdentity};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::super::error::ResourceError;
use super::identity::{Caution, check, engine_path};
use crate::tracee::objects;

/// What an open must not do again (fs/open.c drops most of these from the flags itself).
const ONCE: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_ASYNC;

/// Whether the saved file is still there to be opened, without opening it.
pub(super) fn inspect(file: &FileIdentity, flags: u32, root: &[u8], rdev: Option<u64>) -> Result<Option<Caution>, String> {
    if file.deleted {
        return Err("the file was deleted and its bytes are in no file system".to_owned());
    }
    let path = engine_path(root, file);
    let metadata = std::fs::symlink_metadata(&path).map_err(|error| format!("it is not there now: {error}"))?;
    let found_rdev = metadata.rdev();
    if rdev.is_some_and(|rdev| rdev != found_rdev) {
        return Err(format!("it is device {found_rdev:#x} now"));
    }
    // The device files of a machine are made anew at each boot: their number is what counts.
    if rdev.is_some() {
        return Ok(None);
    }
    check(file, flags & libc::O_APPEND as u32 != 0, &metadata)
}

/// Opens the file again with flags and position, after a last look at what was opened.
pub(super) fn restore(
    description: &Description,
    file: &FileIdentity,
    root: &[u8],
    rdev: Option<u64>,
) -> Result<File, ResourceError> {
    let path = engine_path(root, file);
    let flags = OFlag::from_bits_retain((description.flags as i32 & !ONCE) | libc::O_CLOEXEC | libc::O_NOCTTY);
    let opened = open(&path, flags, Mode::empty()).map_err(|source| ResourceError::call("open", path.display(), source))?;
    let mut opened = File::from(opened);
    let metadata = opened.metadata().map_err(|source| ResourceError::file("look at", &path, source))?;
    let changed =
        |found| ResourceError::Unexpected { object: path.display().to_string(), expected: "the file of the capture", found };
    if rdev.is_none() {
        check(file, description.flags & libc::O_APPEND as u32 != 0, &metadata).map_err(changed)?;
    } else if rdev != Some(metadata.rdev()) {
        return Err(changed(format!("device {:#x}", metadata.rdev())));
    }
    if description.position != 0 && description.flags & libc::O_PATH as u32 == 0 {
        seek(&mut opened, &path, description.position)?;
    }
    Ok(opened)
}

/// Sets the position of a restored file.
pub(super) fn seek(file: &mut File, path: &Path, position: u64) -> Result<(), ResourceError> {
    file.seek(SeekFrom::Start(position)).map(drop).map_err(|source| ResourceError::file("set the position of", path, source))
}

/// Takes the locks that belong to the open description. POSIX locks belong to the process and are taken in it.
pub(super) fn lock(file: &File, description: &Description) -> Result<(), ResourceError> {
    for lock in &description.locks {
        let failed = |call| {
            let object = String::from_utf8_lossy(&description.target).into_owned();
            move |source| ResourceError::call(call, object, source)
        };
        match lock.class.as_str() {
            "FLOCK" => objects::lock_file(file.as_fd(), lock.write).map_err(failed("flock"))?,
            "OFDLCK" => {
                let (start, length) = extent(lock.start, lock.end);
                objects::lock_description(file.as_fd(), lock.write, start, length).map_err(failed("fcntl(F_OFD_SETLK)"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// `l_start` and `l_len` of a lock; zero length reaches to the end of the file.
pub(super) fn extent(start: u64, end: u64) -> (i64, i64) {
    let length = if end == u64::MAX { 0 } else { end.saturating_sub(start).saturating_add(1) };
    (i64::try_from(start).unwrap_or(i64::MAX), i64::try_from(length).unwrap_or(0))
}
