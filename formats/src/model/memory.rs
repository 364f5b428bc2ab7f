//! Section `memory`: mappings and the layout fields of each address space.

use serde::{Deserialize, Serialize};

use crate::address::{RunAddress, RunRange};

/// One address space.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSpaceV1 {
    /// Mappings by ascending address, none overlapping.
    pub mappings: Vec<MappingV1>,
    /// What `prctl(PR_SET_MM_MAP)` sets.
    pub layout: LayoutV1,
    /// Whether `mlockall(MCL_FUTURE)` is in force.
    pub lock_future: bool,
}

/// One VMA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingV1 {
    /// Addresses covered, page aligned.
    pub range: RunRange,
    /// Access allowed.
    pub protection: ProtectionV1,
    /// Private or shared.
    pub sharing: SharingV1,
    /// What lies under it.
    pub backing: BackingV1,
    /// Advice and growth, from `VmFlags` in smaps.
    pub flags: MappingFlagsV1,
}

/// Access that a mapping allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtectionV1 {
    /// PROT_READ.
    pub read: bool,
    /// PROT_WRITE.
    pub write: bool,
    /// PROT_EXEC.
    pub execute: bool,
}

/// MAP_PRIVATE or MAP_SHARED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SharingV1 {
    /// Copy on write.
    Private,
    /// Stores reach the object below.
    Shared,
}

/// What lies under a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackingV1 {
    /// Private anonymous memory, `[heap]` and `[stack]` included.
    Anonymous {
        /// Name given with `PR_SET_VMA_ANON_NAME`.
        name: Option<Vec<u8>>,
    },
    /// A file, a memfd or a device.
    File {
        /// Path as the kernel prints it, without the mark of a deleted file.
        path: Vec<u8>,
        /// Device of the file as in `/proc/PID/maps` (major << 32 | minor).
        device: u64,
        /// Inode.
        inode: u64,
        /// Offset of the mapping's start in the file, in bytes.
        offset: u64,
        /// Whether the path no longer names the file.
        deleted: bool,
        /// Length of the file in bytes at the capture.
        size: u64,
        /// GNU build-id, when the file is an ELF with one.
        build_id: Option<Vec<u8>>,
    },
    /// Shared anonymous memory (`MAP_SHARED | MAP_ANONYMOUS`), numbered by its inode.
    SharedAnonymous {
        /// Inode of the kernel's hidden file.
        inode: u64,
        /// Offset of the mapping's start in it, in bytes.
        offset: u64,
    },
    /// A System V segment.
    SysV {
        /// Segment ID (the inode in maps).
        id: i32,
        /// Key in the path, `/SYSVkkkkkkkk`.
        key: i32,
        /// Offset in bytes.
        offset: u64,
        /// Whether the segment is marked removed.
        deleted: bool,
    },
    /// `[vdso]`.
    Vdso,
    /// `[vvar]` and its companions.
    Vvar {
        /// The bracketed name.
        name: Vec<u8>,
    },
    /// `[vsyscall]`, which the kernel owns.
    Vsyscall,
}

/// Advice, locking, growth: the parts of `VmFlags` that a fresh mapping would lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingFlagsV1 {
    /// `gd`: MAP_GROWSDOWN.
    pub grows_down: bool,
    /// `lo`: mlock.
    pub locked: bool,
    /// `lf`: locked as pages are touched (MLOCK_ONFAULT).
    pub locked_on_fault: bool,
    /// `nr`: MAP_NORESERVE.
    pub no_reserve: bool,
    /// `dc`: MADV_DONTFORK.
    pub dont_fork: bool,
    /// `dd`: MADV_DONTDUMP.
    pub dont_dump: bool,
    /// `wf`: MADV_WIPEONFORK.
    pub wipe_on_fork: bool,
    /// `mg`: MADV_MERGEABLE.
    pub mergeable: bool,
    /// `hg`: MADV_HUGEPAGE.
    pub huge_page: bool,
    /// `nh`: MADV_NOHUGEPAGE.
    pub no_huge_page: bool,
    /// `sr`: MADV_SEQUENTIAL.
    pub sequential: bool,
    /// `rr`: MADV_RANDOM.
    pub random: bool,
    /// `ht`: a hugetlb mapping.
    pub hugetlb: bool,
    /// `io` or `pf`: device memory without pages to copy.
    pub device: bool,
    /// `um`, `uw` or `ui`: a userfaultfd is registered on it.
    pub userfault: bool,
    /// Protection key other than 0.
    pub protection_key: u32,
    /// `ss`: a shadow stack.
    pub shadow_stack: bool,
    /// A `memfd_secret` mapping.
    pub secret: bool,
}

/// The numbers behind `/proc/PID/stat`, cmdline, environ and auxv (`struct prctl_mm_map`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutV1 {
    /// `start_code`.
    pub start_code: RunAddress,
    /// `end_code`.
    pub end_code: RunAddress,
    /// `start_data`.
    pub start_data: RunAddress,
    /// `end_data`.
    pub end_data: RunAddress,
    /// `start_brk`.
    pub start_brk: RunAddress,
    /// Current break.
    pub brk: RunAddress,
    /// `start_stack`.
    pub start_stack: RunAddress,
    /// `arg_start`.
    pub arg_start: RunAddress,
    /// `arg_end`.
    pub arg_end: RunAddress,
    /// `env_start`.
    pub env_start: RunAddress,
    /// `env_end`.
    pub env_end: RunAddress,
    /// Auxiliary vector, as pairs of type and value, the terminating pair included.
    pub auxv: Vec<(u64, u64)>,
    /// Target of `/proc/PID/exe`.
    pub exe: Vec<u8>,
}

impl LayoutV1 {
    /// The extent of the program break.
    pub fn program_break(&self) -> RunRange {
        RunRange { start: self.start_brk, end: self.brk.max(self.start_brk) }
    }
}
