//! The scratch mapping of a borrowed process, told from the program's own for certain, so that one that a dead engine left
//! behind can go.
//!
//! It lies at an address that follows from the process's start time, far from where the kernel puts mappings of its own
//! choice, so that it merges with none. It opens with a header, written as soon as it is mapped. An engine that dies before
//! that leaves a mapping at that address of which no page was ever touched.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

use super::borrowed::Borrowed;
use super::error::TraceeError;
use super::inject::Injector;
use super::memory::RemoteMemory;
use super::procfs::{self, MapLine};
use nix::errno::Errno;

/// Room for the header; what follows it is aligned for signal frames.
pub(super) const HEADER_ROOM: u64 = 64;
const MAGIC: [u8; 8] = *b"dsu-scr1";
/// Magic, length of the mapping, start time of the process, ID of the engine, CRC32 of all that.
const HEADER_LENGTH: usize = 32;
/// Addresses that are tried one after the other when something lies there already.
const CANDIDATES: u64 = 64;
/// Where candidates lie: above heaps of fixed-address programs and the shadow memory of sanitizers, below programs and
/// libraries at their usual places.
const LOWEST: u64 = 0x1000_0000_0000;
const SPREAD: u64 = 0x4000_0000_0000;

/// Where the scratch mapping of a process may start, in the order of trial.
fn candidates(start_time: u64) -> impl Iterator<Item = RunAddress> {
    // SplitMix64 (Steele, Lea, Flood 2014): neighbouring start times give addresses far apart.
    const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    (1..=CANDIDATES).map(move |nth| {
        let mut z = start_time.wrapping_mul(CANDIDATES).wrapping_add(nth).wrapping_mul(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        RunAddress(LOWEST + (z ^ (z >> 31)) % SPREAD / PAGE_SIZE * PAGE_SIZE)
    })
}

fn header(length: u64, start_time: u64, engine: u32) -> [u8; HEADER_LENGTH] {
    let mut bytes = [0; HEADER_LENGTH];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&length.to_le_bytes());
    bytes[16..24].copy_from_slice(&start_time.to_le_bytes());
    bytes[24..28].copy_from_slice(&engine.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Whether `bytes` are the header of a mapping of `length` bytes in the process that started at `start_time`.
fn is_header(bytes: &[u8; HEADER_LENGTH], length: u64, start_time: u64) -> bool {
    let engine = bytes[24..28].first_chunk().map_or(0, |engine| u32::from_le_bytes(*engine));
    *bytes == header(length, start_time, engine)
}

/// Scratch mappings that engines left in `pid`; a process that cannot be looked at has none. The caller holds the process's
/// lock, or the process itself: the mapping of an engine at work looks the same.
pub fn leftovers(pid: i32) -> Vec<RunRange> {
    let (Ok(start_time), Ok(lines), Ok(memory)) = (procfs::start_time(pid), procfs::maps(pid), RemoteMemory::open(pid)) else {
        return Vec::new();
    };
    let is_left = |line: &&MapLine| {
        let at = RunAddress(line.start);
        is_plain(line) && candidates(start_time).any(|candidate| candidate == at) && is_own(&memory, line, start_time)
    };
    lines.iter().filter(is_left).map(|line| RunRange::new(line.start, line.end)).collect()
}

fn is_plain(line: &MapLine) -> bool {
    line.access == "rw-p" && line.inode == 0 && line.name.is_empty()
}

fn is_own(memory: &RemoteMemory, line: &MapLine, start_time: u64) -> bool {
    let range = RunRange::new(line.start, line.end);
    match touched(memory.pid(), range) {
        Some(false) => true,
        // Only now: reading makes a page of one that is not there.
        Some(true) => {
            let mut bytes = [0; HEADER_LENGTH];
            memory.read(range.start, &mut bytes).is_ok() && is_header(&bytes, range.len(), start_time)
        }
        None => false,
    }
}

/// Whether a page of `range` was ever touched: entries of `/proc/PID/pagemap` are zero but for their flags 55 to 63
/// (Documentation/admin-guide/mm/pagemap.rst), of which only soft-dirty (55) is set for a page that is not there.
fn touched(pid: i32, range: RunRange) -> Option<bool> {
    use std::os::unix::fs::FileExt;
    const SOFT_DIRTY: u64 = 1 << 55;
    let file = std::fs::File::open(format!("/proc/{pid}/pagemap")).ok()?;
    let mut entries = vec![0; (range.len() / PAGE_SIZE * 8) as usize];
    file.read_exact_at(&mut entries, range.start.0 / PAGE_SIZE * 8).ok()?;
    Some(entries.chunks_exact(8).filter_map(<[u8]>::first_chunk).any(|entry| u64::from_le_bytes(*entry) & !SOFT_DIRTY != 0))
}

impl Borrowed {
    /// Maps `length` bytes of scratch, marks them and lays all chains in them.
    pub(super) fn map_scratch(&mut self, length: u64) -> Result<(), TraceeError> {
        let pid = self.tids[0];
        let start_time = procfs::start_time(pid)?;
        let protection = (libc::PROT_READ | libc::PROT_WRITE) as u64;
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
        let mut refused = Errno::EEXIST;
        for wanted in candidates(start_time) {
            let arguments = [wanted.0, length, protection, flags, u64::MAX, 0];
            // A kernel older than 4.17 takes the address as a mere wish.
            let made = self.call_over_stack("mmap", libc::SYS_mmap, &arguments, |borrowed, start| {
                borrowed.scratch = RunRange::new(start, start + length);
                borrowed.memory().write(borrowed.scratch.start, &header(length, start_time, std::process::id()))?;
                borrowed.next_frame = borrowed.scratch().end.0;
                borrowed.lay_chains()
            });
            match made {
                Err(TraceeError::Call { source: source @ Errno::EEXIST, .. }) => refused = source,
                other => return other,
            }
        }
        Err(TraceeError::Call { call: "mmap", tid: pid, source: refused })
    }

    /// Unmaps what engines that died left in the process, unless a thread is still on its way out of it.
    ///
    /// `true` when nothing is left.
    pub fn remove_leftovers(&mut self) -> Result<bool, TraceeError> {
        let pid = self.tids[0];
        let own = self.scratch_mapping();
        let mut all = true;
        for range in leftovers(pid).into_iter().filter(|range| *range != own) {
            if self.stopped().may_need(range) {
                all = false;
                continue;
            }
            self.leader_call("munmap", libc::SYS_munmap, &[range.start.0, range.len()])?;
            tracing::info!(%range, "removed what an earlier dsu that was killed had left in the process");
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_pages_apart_from_each_other_and_from_other_start_times() {
        let all: std::collections::BTreeSet<_> = (0..100).flat_map(candidates).collect();
        assert_eq!(all.len() as u64, 100 * CANDIDATES);
        assert!(all.iter().all(|at| at.0 % PAGE_SIZE == 0 && (LOWEST..LOWEST + SPREAD).contains(&at.0)));
    }

    #[test]
    fn a_header_speaks_for_its_own_mapping_and_process_alone() {
        let bytes = header(0x1_a000, 77, 4711);
        assert!(is_header(&bytes, 0x1_a000, 77));
        assert!(!is_header(&bytes, 0x1_b000, 77));
        assert!(!is_header(&bytes, 0x1_a000, 78));
        for i in 0..HEADER_LENGTH {
            let mut damaged = bytes;
            damaged[i] ^= 1;
            assert!(!is_header(&damaged, 0x1_a000, 77), "byte {i}");
        }
    }
}
