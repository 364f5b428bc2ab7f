//! The file that is exec'ed to empty a process.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};

use dsu_formats::address::RunAddress;
use nix::errno::Errno;

use super::error::VesselError;
use crate::tracee::error::TraceeError;
use crate::tracee::site;

/// A descriptor of a stub that is linked at `site`: a memory file, or where those may not be executed
/// (`vm.memfd_noexec=2`) an unlinked file.
pub fn make(site: RunAddress) -> Result<OwnedFd, VesselError> {
    let program = site::stub(site);
    let made = in_memory(&program).or_else(|_| on_disk(&program));
    made.map_err(|error| {
        let source = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
        VesselError::Tracee(TraceeError::Call { call: "making the stub", tid: 0, source })
    })
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
    use std::os::unix::fs::PermissionsExt;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(program)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    // A file that is open for writing cannot be executed: open it for reading, close the other.
    let readable = File::open(file.path())?;
    file.close()?;
    Ok(readable.into())
}
