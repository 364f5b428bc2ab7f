//! Section `manifest`: what was saved, on what host, from what image.

use serde::{Deserialize, Serialize};

/// What an image is of and where it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestV1 {
    /// Version of dsu that wrote the image.
    pub engine_version: String,
    /// Wall-clock time of the capture, in nanoseconds since 1970.
    pub created_ns: u64,
    /// The program that the root process runs.
    pub program: ProgramIdV1,
    /// What the image assumes of the machine.
    pub host: HostV1,
    /// Where the image came from, when it is not a capture.
    pub lineage: Option<LineageV1>,
}

/// One build of an executable, as found on disk at the capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramIdV1 {
    /// Path as `/proc/PID/exe` gave it, without the mark of a deleted file.
    pub path: Vec<u8>,
    /// GNU build-id note, when the ELF has one.
    pub build_id: Option<Vec<u8>>,
    /// Device of the file (`st_dev`).
    pub device: u64,
    /// Inode of the file.
    pub inode: u64,
    /// Length of the file in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Whether the path no longer named the file.
    pub deleted: bool,
}

/// What an image assumes of kernel and processor; a restore checks each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostV1 {
    /// `uname -n`.
    pub hostname: String,
    /// `uname -r`.
    pub kernel: String,
    /// CRC32 of the bytes of the vdso.
    pub vdso_crc: u32,
    /// Length of the vdso mapping in bytes.
    pub vdso_len: u64,
    /// Enabled extended-state components (XCR0).
    pub xfeatures: u64,
    /// Vendor and model line of `/proc/cpuinfo`.
    pub cpu: String,
    /// AT_HWCAP2 and AT_HWCAP of the process: what the C library selected its routines by.
    pub hwcap: [u64; 2],
}

/// Which image an image was made from, and by what transform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageV1 {
    /// Identity of the parent image: the checksum of its header.
    pub parent: u32,
    /// Build-id of the program before the transform.
    pub old_build_id: Vec<u8>,
    /// Build-id of the program after the transform.
    pub new_build_id: Vec<u8>,
}
