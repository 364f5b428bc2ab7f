//! The file that is exec'ed to empty a process.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use dsu_formats::address::RunAddress;
use nix::errno::Errno;

use super::error::VesselError;
use crate::tracee::error::TraceeError;
use crate::tracee::site;

/// A descriptor of a stub that is linked at `site`: a memory file, or where those may not be executed
/// (`vm.memfd_noexec=2`) an unlinked file.
pub fn make(site: RunAddress) -> Result<OwnedFd, VesselError> {
    let program = site::stub(site);
    in_memory(&program).or_else(|_| on_disk(&program)).map_err(failed)
}

/// A descriptor of a stub linked at `site` that gives `capabilities` to whoever executes it: an unlinked file, in a directory whose
/// file system lets files give privilege. All that the stub does is to park.
pub fn make_privileged(site: RunAddress, capabilities: u64) -> Result<OwnedFd, VesselError> {
    let program = site::stub(site);
    let directories = [PathBuf::from("/run"), std::env::temp_dir(), PathBuf::from("/var/tmp"), PathBuf::from("/dev/shm")];
    let mut made = directories.iter().filter(|directory| may_give_privilege(directory)).map(|directory| {
        let file = tempfile::NamedTempFile::new_in(directory)?;
        // After the last write, which would take them off again.
        write_executable(&file, &program)?;
        give_capabilities(file.as_file(), capabilities)?;
        open_for_exec(file)
    });
    let none = || Err(std::io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    made.find(Result::is_ok).unwrap_or_else(none).map_err(failed)
}

/// Whether a file of this engine's could give privilege to process `pid`: only one that sees the file's mount takes it, and only in
/// the user namespace that the file was made in.
pub fn may_serve(pid: i32) -> bool {
    use std::os::unix::fs::MetadataExt;
    // For tests: every machine has its last resort tried.
    let is_disabled = std::env::var_os("DSU_NO_FILE_CAPABILITIES").is_some_and(|value| value != "0");
    let namespace = |pid: &str, name: &str| std::fs::metadata(format!("/proc/{pid}/ns/{name}")).map(|found| found.ino()).ok();
    let is_ours = |name: &&str| namespace("self", name).zip(namespace(&pid.to_string(), name)).is_some_and(|(a, b)| a == b);
    !is_disabled && ["mnt", "user"].iter().all(is_ours)
}

/// Whether this engine can make such a file. Tried out.
pub fn can_give_privilege() -> bool {
    // Where the stub will lie does not matter for this.
    const CAP_CHECKPOINT_RESTORE: u64 = 1 << 40;
    make_privileged(RunAddress(0x1000_0000), CAP_CHECKPOINT_RESTORE).is_ok()
}

/// Neither `nosuid` nor `noexec`.
fn may_give_privilege(directory: &Path) -> bool {
    use nix::sys::statvfs::{FsFlags, statvfs};
    statvfs(directory).is_ok_and(|found| !found.flags().intersects(FsFlags::ST_NOSUID | FsFlags::ST_NOEXEC))
}

/// Sets the extended attribute that `setcap(8)` sets, for the permitted and effective sets (`struct vfs_cap_data`,
/// `include/uapi/linux/capability.h`).
fn give_capabilities(file: &File, capabilities: u64) -> std::io::Result<()> {
    const REVISION_2_EFFECTIVE: u32 = 0x0200_0000 | 1;
    // Permitted and inheritable, the lower halves first.
    let words = [REVISION_2_EFFECTIVE, capabilities as u32, 0, (capabilities >> 32) as u32, 0];
    let value: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    // SAFETY: name and value outlive the call, which reads `value.len()` bytes of the value.
    let set =
        unsafe { libc::fsetxattr(file.as_raw_fd(), c"security.capability".as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Ok(Errno::result(set).map(drop)?)
}

fn in_memory(program: &[u8]) -> std::io::Result<OwnedFd> {
    const MFD_EXEC: u32 = 0x10;
    let name = CString::from(c"dsu-vessel");
    // SAFETY: `name` is a string that outlives the call.
    let create = |flags: u32| unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) };
    let number = match Errno::result(create(libc::MFD_CLOEXEC | MFD_EXEC)) {
        // Kernels before 6.3 know no MFD_EXEC and need none.
        Err(Errno::EINVAL) => Errno::result(create(libc::MFD_CLOEXEC))?,
        other => other?,
    };
    // SAFETY: the kernel has just made this descriptor for us alone.
    let descriptor = unsafe { OwnedFd::from_raw_fd(number as i32) };
    let mut file = File::from(descriptor);
    file.write_all(program)?;
    Ok(file.into())
}

fn on_disk(program: &[u8]) -> std::io::Result<OwnedFd> {
    let file = tempfile::NamedTempFile::new()?;
    write_executable(&file, program)?;
    open_for_exec(file)
}

fn write_executable(file: &tempfile::NamedTempFile, program: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file().write_all(program)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))
}

/// A file that is open for writing cannot be executed: opens it for reading, closes the other, and removes its name.
fn open_for_exec(file: tempfile::NamedTempFile) -> std::io::Result<OwnedFd> {
    let readable = File::open(file.path())?;
    file.close()?;
    Ok(readable.into())
}

fn failed(error: std::io::Error) -> VesselError {
    let source = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    VesselError::Tracee(TraceeError::Call { call: "making the stub", tid: 0, source })
}
