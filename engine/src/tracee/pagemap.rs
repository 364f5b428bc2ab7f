//! `ioctl(PAGEMAP_SCAN)` on `/proc/PID/pagemap` (Linux 6.7, include/uapi/linux/fs.h).

use std::fs::File;
use std::os::fd::AsRawFd;

use dsu_formats::address::{PAGE_SIZE, RunRange};
use nix::errno::Errno;

/// `PAGE_IS_FILE`: the page belongs to a file or to shared memory.
pub const PAGE_IS_FILE: u64 = 1 << 2;
/// `PAGE_IS_PRESENT`.
pub const PAGE_IS_PRESENT: u64 = 1 << 3;
/// `PAGE_IS_SWAPPED`.
pub const PAGE_IS_SWAPPED: u64 = 1 << 4;
/// `PAGE_IS_PFNZERO`: the page is the kernel's shared page of zeros.
pub const PAGE_IS_PFNZERO: u64 = 1 << 5;
/// `PAGE_IS_GUARD`: the page is a guard made with MADV_GUARD_INSTALL (Linux 6.15).
pub const PAGE_IS_GUARD: u64 = 1 << 8;

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

mod ioctl {
    nix::ioctl_readwrite!(pagemap_scan, b'f', 16, super::ScanArguments);
}

/// Which pages a scan is after. A page qualifies when every category of `all` has the wanted value and one of `any` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Categories that are looked at.
    pub all: u64,
    /// Those of `all` that must *not* hold.
    pub inverted: u64,
    /// Categories of which one must hold; zero asks for none.
    pub any: u64,
}

/// The runs of pages in `range` that are `wanted`, ascending. `ENOTTY` on a kernel without the call, `EINVAL` without a category.
pub fn scan(pagemap: &File, range: RunRange, wanted: Wanted) -> Result<Vec<RunRange>, Errno> {
    const BATCH: usize = 512;
    let mut runs: Vec<RunRange> = Vec::new();
    let mut start = range.start.0;
    while start < range.end.0 {
        let mut regions = [PageRegion::default(); BATCH];
        let mut arguments = ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            start,
            end: range.end.0,
            vec: regions.as_mut_ptr() as u64,
            vec_len: BATCH as u64,
            category_inverted: wanted.inverted,
            category_mask: wanted.all,
            category_anyof_mask: wanted.any,
            return_mask: wanted.all | wanted.any,
            ..ScanArguments::default()
        };
        // SAFETY: `arguments` is a live `pm_scan_arg` whose `vec` names `vec_len` regions of the array above, which
        // outlives the call; the kernel writes no more than that.
        let found = unsafe { ioctl::pagemap_scan(pagemap.as_raw_fd(), &raw mut arguments) }?;
        for region in regions.iter().take(usize::try_from(found).unwrap_or(0)) {
            append(&mut runs, RunRange::new(region.start, region.end));
        }
        // A walk that did not advance would never end.
        start = arguments.walk_end.max(start + PAGE_SIZE);
    }
    Ok(runs)
}

/// Adds a run, joined to the one before when they touch: categories may differ within one run.
fn append(runs: &mut Vec<RunRange>, run: RunRange) {
    match runs.last_mut() {
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run),
    }
}
