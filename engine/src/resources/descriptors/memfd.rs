//! `memfd_create(2)`: its bytes are in no file system, so that a durable image must hold them.

use std::fs::{File, Permissions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use dsu_formats::model::latest::{FileIdentity, Kind};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::super::error::ResourceError;
use super::capture::Entry;

const PREFIX: &[u8] = b"/memfd:";

pub(super) fn capture(entry: &Entry, identity: &FileIdentity, durable: bool) -> Result<Kind, ResourceError> {
    let object = || format!("descriptor {} ({})", entry.number, String::from_utf8_lossy(&identity.path));
    let seals = fcntl(entry.file.as_fd(), FcntlArg::F_GET_SEALS)
        .map_err(|source| ResourceError::call("fcntl(F_GET_SEALS)", object(), source))?;
    let mut contents = Vec::new();
    if durable {
        contents.resize(identity.size as usize, 0);
        // A descriptor that was opened anew may be write-only: the file can be read all the same.
        let reader = File::open(format!("/proc/self/fd/{}", entry.file.as_raw_fd()));
        let reader = reader.map_err(|source| ResourceError::file("open", object(), source))?;
        reader.read_exact_at(&mut contents, 0).map_err(|source| ResourceError::file("read", object(), source))?;
    }
    Ok(Kind::MemFd {
        name: identity.path.strip_prefix(PREFIX).unwrap_or(&identity.path).to_vec(),
        inode: identity.inode,
        seals: seals as u32,
        mode: identity.mode & 0o7777,
        size: identity.size,
        contents,
    })
}

/// A new memfd with these bytes. Its seals are set last, by [`seal`], when everything is mapped that must be.
pub(super) fn restore(name: &[u8], mode: u32, size: u64, contents: &[u8]) -> Result<File, ResourceError> {
    let object = || format!("memfd {}", String::from_utf8_lossy(name));
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let descriptor = memfd_create(name, flags).map_err(|source| ResourceError::call("memfd_create", object(), source))?;
    let file = File::from(descriptor);
    let failed = |operation| move |source| ResourceError::file(operation, object(), source);
    file.set_len(size).map_err(failed("set the length of"))?;
    file.write_all_at(contents, 0).map_err(failed("write"))?;
    if file.metadata().map_err(failed("look at"))?.mode() & 0o7777 != mode {
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed("set the mode of"))?;
    }
    Ok(file)
}

/// Sets the seals that the memfd had. One that was made without sealing has SEAL_SEAL alone.
pub(super) fn seal(file: &File, seals: u32) -> Result<(), ResourceError> {
    let failed = |source| ResourceError::call("fcntl(F_ADD_SEALS)", format_args!("a memfd, seals {seals:#x}"), source);
    // All at once: SEAL_SEAL ends it.
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(SealFlag::from_bits_retain(seals as i32))).map(drop).map_err(failed)
}
