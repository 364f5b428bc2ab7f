//! `eventfd(2)`.

use std::io::Write;
use std::os::fd::OwnedFd;

use dsu_formats::model::latest::Kind;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::super::error::ResourceError;
use super::fdinfo::FdInfo;
use crate::tracee::error::TraceeError;

/// The name of an eventfd on kernels (before 6.5) that do not tell whether it is a semaphore.
pub(super) const UNTOLD: &str = "eventfd of a kernel that does not tell EFD_SEMAPHORE";

pub(super) fn capture(info: &FdInfo) -> Result<Kind, TraceeError> {
    if info.value("eventfd-semaphore").is_none() {
        return Ok(Kind::Unknown { name: UNTOLD.to_owned() });
    }
    Ok(Kind::EventFd { count: info.hexadecimal("eventfd-count")?, semaphore: info.decimal::<u8>("eventfd-semaphore")? != 0 })
}

pub(super) fn restore(count: u64, semaphore: bool) -> Result<OwnedFd, ResourceError> {
    let failed = |source| ResourceError::call("eventfd", "a new descriptor", source);
    let flags = EfdFlags::EFD_CLOEXEC | if semaphore { EfdFlags::EFD_SEMAPHORE } else { EfdFlags::empty() };
    let event = OwnedFd::from(EventFd::from_value_and_flags(0, flags).map_err(failed)?);
    if count > 0 {
        // The initial value of the call has 32 bits, a write has 64.
        let mut file = std::fs::File::from(event);
        file.write_all(&count.to_ne_bytes()).map_err(|source| ResourceError::file("write to", "an eventfd", source))?;
        return Ok(file.into());
    }
    Ok(event)
}
