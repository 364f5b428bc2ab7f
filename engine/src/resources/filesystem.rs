//! Root, working directory and umask. An exec keeps them; a fresh process gets them set.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use dsu_formats::model::latest::Filesystem;

use super::error::{Obstacle, ResourceError};
use super::scratch::put_string;
use crate::tracee::inject::Injector;

/// Directories of the image that are not here.
pub fn blockers(saved: &Filesystem) -> Vec<Obstacle> {
    let missing =
        [("working directory", &saved.cwd), ("root directory", &saved.root)].into_iter().filter_map(|(attribute, path)| {
            let reason = open_directory(path).err()?.to_string();
            Some(Obstacle::Attribute { attribute, value: String::from_utf8_lossy(path).into_owned(), reason })
        });
    missing.collect()
}

/// Sets directories and umask of a fresh process. The root comes after everything that is opened by path in the vessel.
pub fn restore(injector: &mut dyn Injector, saved: &Filesystem) -> Result<(), ResourceError> {
    injector.leader_call("umask", libc::SYS_umask, &[u64::from(saved.umask)])?;
    // Both are paths of the engine's: they are opened before the root changes what a path means.
    let cwd = open_directory(&saved.cwd)?;
    if saved.root != b"/" {
        enter(injector, &open_directory(&saved.root)?)?;
        let here = put_string(injector, 0, b".")?;
        injector.leader_call("chroot", libc::SYS_chroot, &[here])?;
    }
    enter(injector, &cwd)
}

fn enter(injector: &mut dyn Injector, directory: &File) -> Result<(), ResourceError> {
    let number = injector.import(directory.as_fd())? as u64;
    injector.leader_call("fchdir", libc::SYS_fchdir, &[number])?;
    injector.leader_call("close", libc::SYS_close, &[number])?;
    Ok(())
}

fn open_directory(path: &[u8]) -> Result<File, ResourceError> {
    let path = PathBuf::from(OsString::from_vec(path.to_vec()));
    let options = libc::O_PATH | libc::O_DIRECTORY;
    File::options().read(true).custom_flags(options).open(&path).map_err(|source| ResourceError::file("open", path, source))
}
