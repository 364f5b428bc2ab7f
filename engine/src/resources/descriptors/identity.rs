//! What identifies a file beyond its path, and whether the path still leads to it.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use dsu_formats::model::latest::FileIdentity;

const DELETED: &[u8] = b" (deleted)";

/// Identity of the open file behind `metadata`, whose `/proc/PID/fd` link shows `target`.
pub(super) fn identify(pid: i32, target: &[u8], metadata: &Metadata) -> FileIdentity {
    let stem = target.strip_suffix(DELETED);
    // A file may be named `x (deleted)`: then its full name still leads to it.
    let deleted = stem.is_some() && !leads_to(pid, target, metadata);
    let path = if deleted { stem.unwrap_or(target) } else { target };
    FileIdentity {
        path: path.to_vec(),
        device: metadata.dev(),
        inode: metadata.ino(),
        mode: metadata.mode(),
        size: metadata.size(),
        mtime_ns: metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec()),
        deleted,
    }
}

fn leads_to(pid: i32, path: &[u8], metadata: &Metadata) -> bool {
    let mut full = format!("/proc/{pid}/root").into_bytes();
    full.extend_from_slice(path);
    let full = PathBuf::from(OsString::from_vec(full));
    std::fs::symlink_metadata(full).is_ok_and(|found| (found.dev(), found.ino()) == (metadata.dev(), metadata.ino()))
}

/// The path of a saved file as the engine opens it; `root` is the saved process's root directory.
pub(super) fn engine_path(root: &[u8], file: &FileIdentity) -> PathBuf {
    let mut full = if root == b"/" { Vec::new() } else { root.to_vec() };
    full.extend_from_slice(&file.path);
    PathBuf::from(OsString::from_vec(full))
}

/// Something that a restore accepts and that the user should know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Caution {
    /// A log was written on meanwhile.
    #[error("{path} has grown from {saved} to {found} bytes since the capture")]
    Grown {
        /// The file.
        path: String,
        /// Length at the capture.
        saved: u64,
        /// Length now.
        found: u64,
    },
    /// The same length, another time of change.
    #[error("{path} has the length that it had at the capture, but was written to since")]
    Touched {
        /// The file.
        path: String,
    },
}

/// Whether the file behind `metadata` is the saved one: the same inode, and at least as long for one that is only appended to.
pub(super) fn check(file: &FileIdentity, appending: bool, metadata: &Metadata) -> Result<Option<Caution>, String> {
    let path = || String::from_utf8_lossy(&file.path).into_owned();
    if (metadata.dev(), metadata.ino()) != (file.device, file.inode) {
        return Err(format!(
            "it is another file now (inode {} of device {:#x}, was {} of {:#x})",
            metadata.ino(),
            metadata.dev(),
            file.inode,
            file.device
        ));
    }
    if metadata.mode() & libc::S_IFMT != file.mode & libc::S_IFMT {
        return Err("it is another type of file now".to_owned());
    }
    if metadata.mode() & libc::S_IFMT != libc::S_IFREG {
        return Ok(None);
    }
    let (saved, found) = (file.size, metadata.size());
    if found < saved {
        return Err(format!("it was cut from {saved} to {found} bytes since the capture"));
    }
    if found > saved && !appending {
        return Err(format!("it has grown from {saved} to {found} bytes since the capture and is not opened for appending"));
    }
    let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    Ok(match found {
        _ if found > saved => Some(Caution::Grown { path: path(), saved, found }),
        _ if mtime_ns != file.mtime_ns => Some(Caution::Touched { path: path() }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_a_caution_for_logs_and_everything_else_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, b"four").unwrap();
        let pid = std::process::id() as i32;
        let saved = identify(pid, path.as_os_str().as_encoded_bytes(), &std::fs::metadata(&path).unwrap());
        assert!(!saved.deleted && saved.size == 4);
        let check_now = |appending| check(&saved, appending, &std::fs::metadata(&path).unwrap());
        assert_eq!(check_now(true), Ok(None));
        std::fs::write(&path, b"longer").unwrap();
        assert!(matches!(check_now(true), Ok(Some(Caution::Grown { saved: 4, found: 6, .. }))));
        assert!(check_now(false).unwrap_err().contains("not opened for appending"));
        std::fs::write(&path, b"1").unwrap();
        assert!(check_now(true).unwrap_err().contains("cut from 4 to 1"));
        std::fs::rename(&path, directory.path().join("log.1")).unwrap();
        std::fs::write(&path, b"four").unwrap();
        assert!(check_now(true).unwrap_err().contains("another file"));
    }

    #[test]
    fn a_deleted_file_is_told_from_one_with_that_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x (deleted)");
        let file = std::fs::File::create(&path).unwrap();
        let pid = std::process::id() as i32;
        let target = path.as_os_str().as_encoded_bytes();
        assert!(!identify(pid, target, &file.metadata().unwrap()).deleted);
        std::fs::remove_file(&path).unwrap();
        let gone = identify(pid, target, &file.metadata().unwrap());
        assert!(gone.deleted && gone.path.ends_with(b"/x"));
    }
}
