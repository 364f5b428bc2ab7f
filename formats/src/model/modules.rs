//! Section `modules`: the ELF objects that the loader knows.

use serde::{Deserialize, Serialize};

use crate::address::{RunAddress, RunRange};

/// One ELF object in an address space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleV1 {
    /// Index of the address space.
    pub address_space: u32,
    /// Path of the file; empty for the vdso.
    pub path: Vec<u8>,
    /// GNU build-id.
    pub build_id: Option<Vec<u8>>,
    /// Difference of run-time and link-time addresses (`l_addr`).
    pub bias: RunAddress,
    /// From the first to the last byte of its loadable segments, page aligned.
    pub range: RunRange,
    /// Address of its `struct link_map`, when the loader has one.
    pub link_map: Option<RunAddress>,
}
