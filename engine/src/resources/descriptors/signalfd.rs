//! `signalfd(2)`.

use std::os::fd::OwnedFd;

use dsu_formats::model::latest::Kind;

use super::super::error::ResourceError;
use super::fdinfo::FdInfo;
use crate::tracee::error::TraceeError;
use crate::tracee::objects;

pub(super) fn capture(info: &FdInfo) -> Result<Kind, TraceeError> {
    Ok(Kind::SignalFd { mask: info.hexadecimal("sigmask")? })
}

pub(super) fn restore(mask: u64) -> Result<OwnedFd, ResourceError> {
    objects::signalfd(mask).map_err(|source| ResourceError::call("signalfd4", format_args!("mask {mask:#x}"), source))
}
