//! What an exec takes from descriptors that it keeps: the close-on-exec flag, which has to be cleared before it, and owners
//! of signals that are threads.

use std::os::fd::RawFd;

use dsu_formats::model::latest::{DescriptionId, Descriptor, Descriptors};

use super::super::error::ResourceError;
use super::super::proc;
use super::super::timers::Path;
use super::fdinfo::FdInfo;
use crate::tracee::batch::Batch;

const CLOSE_RANGE_CLOEXEC: u64 = 4;
const F_SETSIG: u64 = 10;
const F_SETOWN_EX: u64 = 15;
const F_OWNER_TID: i32 = 0;

/// Numbers that an exec would close: their flag must be cleared before it.
pub fn close_on_exec_numbers(found: &Descriptors) -> Vec<RawFd> {
    let descriptors = found.tables.iter().flat_map(|table| &table.descriptors);
    descriptors.filter(|descriptor| descriptor.close_on_exec).map(|descriptor| descriptor.number).collect()
}

/// Sets the close-on-exec flags again. One call for each run of such numbers without another in between.
pub fn give_back_close_on_exec(batch: &mut Batch<'_>, found: &Descriptors) -> Result<(), ResourceError> {
    let Some(table) = found.tables.first() else { return Ok(()) };
    for run in table.descriptors.chunk_by(|a, b| a.close_on_exec == b.close_on_exec) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        if first.close_on_exec {
            let arguments = [first.number as u64, last.number as u64, CLOSE_RANGE_CLOEXEC];
            batch.leader("close_range", libc::SYS_close_range, arguments)?;
        }
    }
    Ok(())
}

/// Sets who gets the signals of a description again: after an exec where that is a thread other than the leader, in a fresh
/// process wherever there is one. Comes after the threads.
pub fn give_back_owners(batch: &mut Batch<'_>, found: &Descriptors, path: Path) -> Result<(), ResourceError> {
    let leader = batch.pid();
    for (index, description) in found.descriptions.iter().enumerate() {
        let (kind, id) = description.owner;
        let is_lost = match path {
            Path::Hot => kind == F_OWNER_TID && id != 0 && id != leader,
            Path::Cold => description.owner != (0, 0) || description.signal != 0,
        };
        let Some(number) = number_of(found, index).filter(|_| is_lost) else { continue };
        batch.leader_with("fcntl(F_SETOWN_EX)", libc::SYS_fcntl, |at| {
            ([kind.to_le_bytes(), id.to_le_bytes()].concat(), [number, F_SETOWN_EX, at])
        })?;
        batch.leader("fcntl(F_SETSIG)", libc::SYS_fcntl, [number, F_SETSIG, description.signal as u64])?;
    }
    Ok(())
}

/// A number that leads to the description at `index`.
pub(super) fn number_of(found: &Descriptors, index: usize) -> Option<u64> {
    let id = DescriptionId(index as u32);
    let mut descriptors = found.tables.iter().flat_map(|table| &table.descriptors);
    descriptors.find(|descriptor| descriptor.description == id).map(|descriptor| descriptor.number as u64)
}

/// Compares numbers, targets and close-on-exec flags of `pid` with what they should be; `engine` are the engine's own.
pub fn verify(pid: i32, found: &Descriptors, engine: &[RawFd]) -> Result<(), ResourceError> {
    let Some(table) = found.tables.first() else { return Ok(()) };
    let numbers: Vec<RawFd> = proc::numbers(pid, "fd")?.into_iter().filter(|number| !engine.contains(number)).collect();
    let expected: Vec<RawFd> = table.descriptors.iter().map(|descriptor| descriptor.number).collect();
    let differ = |object: String, expected: String, found: String| ResourceError::NotGivenBack { object, expected, found };
    if numbers != expected {
        return Err(differ(format!("the descriptors of process {pid}"), format!("{expected:?}"), format!("{numbers:?}")));
    }
    for Descriptor { number, close_on_exec, description } in &table.descriptors {
        let target =
            found.descriptions.get(description.0 as usize).map(|description| description.target.clone()).unwrap_or_default();
        let now = proc::link(pid, &format!("fd/{number}"))?;
        let flag = FdInfo::read(pid, *number)?.flags & libc::O_CLOEXEC as u32 != 0;
        if (&now, flag) != (&target, *close_on_exec) {
            let show = |target: &[u8], flag| format!("{} (close-on-exec: {flag})", String::from_utf8_lossy(target));
            return Err(differ(format!("descriptor {number}"), show(&target, *close_on_exec), show(&now, flag)));
        }
    }
    Ok(())
}
