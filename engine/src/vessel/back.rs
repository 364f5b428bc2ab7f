//! Back from a restore that failed: an emptied process is made fit once more to become what it was.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::Snapshot;

use super::error::VesselError;
use super::stub;
use crate::resources::credentials::{from_file, has_restore_capability};
use crate::resources::descriptors::close_on_exec_numbers;
use crate::resources::{ResourceError, Status};
use crate::tracee::emptied::Emptied;
use crate::tracee::exec::Way;
use crate::tracee::inject::Injector;
use crate::tracee::{last_pid, procfs};

/// Readies `vessel`, which has moved into `site`, for a restore of `snapshot`, and returns what the link to the executable is to be
/// set to then: `program`, or nothing when it names it already.
///
/// What the vessel was emptied with does not matter: the privilege that it then had may have been given up with the rest of the
/// credentials of the image that is taken back.
pub fn make_ready<'a>(
    vessel: &mut Emptied,
    program: &'a File,
    snapshot: &Snapshot,
    site: RunRange,
) -> Result<Option<BorrowedFd<'a>>, VesselError> {
    let link = Some(program.as_fd());
    if is_privileged(vessel.pid())? {
        return Ok(link);
    }
    if is_linked_to(vessel.pid(), program)? {
        return Ok(None);
    }
    let given = snapshot.credentials.first().map_or(0, from_file);
    if given != 0
        && stub::may_serve(vessel.pid())
        && let Ok(privileged) = stub::make_privileged(site.start, given)
    {
        exec(vessel, privileged.as_fd(), Way::PrivilegedStub, snapshot, site)?;
        if is_privileged(vessel.pid())? {
            return Ok(link);
        }
    }
    exec(vessel, program.as_fd(), Way::Program, snapshot, site)?;
    Ok(None)
}

fn exec(vessel: &mut Emptied, file: BorrowedFd<'_>, way: Way, snapshot: &Snapshot, site: RunRange) -> Result<(), VesselError> {
    // The restore that is taken back may have given the flag to some already.
    let open = procfs::descriptor_numbers(vessel.pid())?;
    for number in close_on_exec_numbers(&snapshot.descriptors).into_iter().filter(|number| open.contains(number)) {
        vessel.leader_call("fcntl", libc::SYS_fcntl, &[number as u64, libc::F_SETFD as u64, 0])?;
    }
    last_pid::move_past(snapshot.threads.iter().map(|thread| thread.tid))?;
    vessel.exec_again(file, way, site)?;
    Ok(vessel.move_in(site)?)
}

fn is_privileged(pid: i32) -> Result<bool, VesselError> {
    Ok(has_restore_capability(Status::read(pid, pid)?.capabilities.effective))
}

fn is_linked_to(pid: i32, program: &File) -> Result<bool, ResourceError> {
    let link = format!("/proc/{pid}/exe");
    let (linked, wanted) = std::fs::metadata(&link)
        .and_then(|linked| Ok((linked, program.metadata()?)))
        .map_err(|source| ResourceError::File { operation: "look at", path: link.into(), source })?;
    Ok((linked.dev(), linked.ino()) == (wanted.dev(), wanted.ino()))
}
