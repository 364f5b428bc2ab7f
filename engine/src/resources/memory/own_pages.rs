//! Which pages of private mappings have bytes of their own: touched anonymous pages and copies of file pages.

use std::fs::File;
use std::os::unix::fs::FileExt;

use dsu_formats::address::{PAGE_SIZE, RunRange};
use dsu_formats::model::latest::{Backing, Mapping, Sharing};
use nix::errno::Errno;

use super::super::error::ResourceError;
use crate::tracee::error::TraceeError;
use crate::tracee::pagemap::{PAGE_IS_FILE, PAGE_IS_GUARD, PAGE_IS_PFNZERO, PAGE_IS_PRESENT, PAGE_IS_SWAPPED, Wanted, scan};

/// Bits of an entry of `/proc/PID/pagemap` (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FILE: u64 = 1 << 61;
const GUARD: u64 = 1 << 58;

/// How page tables are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanner {
    /// `PAGEMAP_SCAN` where the kernel has it, else the entries.
    Best,
    /// The entries of `/proc/PID/pagemap`, eight bytes a page: every kernel has them. A page of the kernel's zeros counts
    /// as an own page there, since its number is hidden; its bytes are zero all the same.
    Entries,
}

/// What a scan of the private mappings found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnPages {
    /// Runs of private pages with bytes of their own, ascending, none crossing a mapping's border.
    pub runs: Vec<RunRange>,
    /// Guards made with `MADV_GUARD_INSTALL`: touching them is SIGSEGV, so they have no bytes.
    pub guards: Vec<RunRange>,
}

impl OwnPages {
    /// Bytes in all runs.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(RunRange::len).sum()
    }
}

/// Finds the own pages of the private mappings of `pid`. About 10 ms per GiB with `PAGEMAP_SCAN`.
pub fn scan_own_pages(pid: i32, mappings: &[Mapping], scanner: Scanner) -> Result<OwnPages, ResourceError> {
    let path = format!("/proc/{pid}/pagemap");
    let file = File::open(&path).map_err(|source| TraceeError::Proc { path: path.clone(), source })?;
    let mut found = OwnPages::default();
    let private: Vec<_> = mappings.iter().filter(|mapping| has_private_pages(mapping)).map(|mapping| mapping.range).collect();
    if scanner == Scanner::Best {
        match scan_all(&file, &private, &mut found) {
            Ok(()) => return Ok(found),
            // Not this call (before 6.7): by entries.
            Err(Errno::ENOTTY) => found = OwnPages::default(),
            Err(source) => return Err(ResourceError::call("ioctl(PAGEMAP_SCAN)", path, source)),
        }
    }
    for range in private {
        read_entries(&file, range, &mut found).map_err(|source| TraceeError::Proc { path: path.clone(), source })?;
    }
    Ok(found)
}

fn has_private_pages(mapping: &Mapping) -> bool {
    mapping.sharing == Sharing::Private
        && !mapping.flags.device
        && matches!(mapping.backing, Backing::Anonymous { .. } | Backing::File { .. })
}

fn scan_all(file: &File, ranges: &[RunRange], found: &mut OwnPages) -> Result<(), Errno> {
    let guards_known = match ranges.first() {
        Some(range) => match scan(file, *range, guard_pages()) {
            Ok(_) => true,
            Err(Errno::EINVAL) => false,
            Err(other) => return Err(other),
        },
        None => return Ok(()),
    };
    for range in ranges {
        found.runs.extend(scan(file, *range, own_pages(guards_known))?);
        if guards_known {
            found.guards.extend(scan(file, *range, guard_pages())?);
        }
    }
    Ok(())
}

/// Present or swapped out, neither a file's page nor the kernel's zeros (nor a guard, which looks swapped out).
fn own_pages(guards_known: bool) -> Wanted {
    let without = PAGE_IS_FILE | PAGE_IS_PFNZERO | if guards_known { PAGE_IS_GUARD } else { 0 };
    Wanted { all: without, inverted: without, any: PAGE_IS_PRESENT | PAGE_IS_SWAPPED }
}

fn guard_pages() -> Wanted {
    Wanted { all: PAGE_IS_GUARD, inverted: 0, any: 0 }
}

fn read_entries(file: &File, range: RunRange, found: &mut OwnPages) -> std::io::Result<()> {
    const BATCH: u64 = 8192;
    let mut buffer = vec![0; 8 * BATCH as usize];
    let mut start = range.start.0;
    while start < range.end.0 {
        let pages = BATCH.min((range.end.0 - start) / PAGE_SIZE);
        let bytes = &mut buffer[..8 * pages as usize];
        file.read_exact_at(bytes, start / PAGE_SIZE * 8)?;
        for (index, entry) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let address = start + index as u64 * PAGE_SIZE;
            let runs = match u64::from_le_bytes(*entry) {
                entry if entry & GUARD != 0 => &mut found.guards,
                entry if entry & (PRESENT | SWAPPED) != 0 && entry & FILE == 0 => &mut found.runs,
                _ => continue,
            };
            append(runs, address, range.start.0);
        }
        start += pages * PAGE_SIZE;
    }
    Ok(())
}

/// Adds a page to the last run if it continues that within the mapping that starts at `border`.
fn append(runs: &mut Vec<RunRange>, address: u64, border: u64) {
    match runs.last_mut() {
        Some(last) if last.end.0 == address && last.start.0 >= border => last.end.0 = address + PAGE_SIZE,
        _ => runs.push(RunRange::new(address, address + PAGE_SIZE)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::maps::capture_mappings;
    use super::*;
    use crate::resources::testing::Target;

    const PROGRAM: &str = r#"
        #include <sys/mman.h>
        int main(void) {
            char *p = mmap(0, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            volatile char sum = 0;
            for (int i = 0; i < 64; i += 4) p[i * 4096] = 1;      /* own */
            for (int i = 1; i < 64; i += 4) sum += p[i * 4096];   /* the kernel's zeros */
            say("%p", p);
            wait_for_end();
        }"#;

    #[test]
    fn touched_pages_are_own_and_read_ones_are_not() {
        let mut target = Target::start(PROGRAM);
        let start = target.address();
        let mappings = capture_mappings(target.pid(), &[]).unwrap().mappings;
        let block = RunRange::new(start, start + 64 * PAGE_SIZE);
        let pages = |scanner| {
            let own = scan_own_pages(target.pid(), &mappings, scanner).unwrap();
            let inside: Vec<_> = own.runs.iter().filter_map(|run| run.intersection(&block)).collect();
            inside.iter().flat_map(|run| (run.start.0..run.end.0).step_by(4096)).map(|page| (page - start) / 4096).collect()
        };
        let written: Vec<u64> = (0..64).step_by(4).collect();
        let exact: Vec<u64> = pages(Scanner::Best);
        let entries: Vec<u64> = pages(Scanner::Entries);
        if has_scan(target.pid()) {
            assert_eq!(exact, written);
        }
        assert!(written.iter().all(|page| entries.contains(page)));
        assert!(entries.iter().all(|page| page % 4 < 2), "an untouched page counts as own: {entries:?}");
    }

    fn has_scan(pid: i32) -> bool {
        let file = File::open(format!("/proc/{pid}/pagemap")).unwrap();
        scan(&file, RunRange::default(), own_pages(false)).is_ok()
            && scan(&file, RunRange::new(0x10000, 0x11000), own_pages(false)) != Err(Errno::ENOTTY)
    }

    #[test]
    fn both_scanners_agree_on_everything_but_zero_pages() {
        let mut target = Target::start(PROGRAM);
        target.address();
        let mappings = capture_mappings(target.pid(), &[]).unwrap().mappings;
        let best = scan_own_pages(target.pid(), &mappings, Scanner::Best).unwrap();
        let entries = scan_own_pages(target.pid(), &mappings, Scanner::Entries).unwrap();
        for run in &best.runs {
            assert!(entries.runs.iter().any(|other| other.intersection(run) == Some(*run)), "{run} is missing");
        }
        assert!(best.bytes() > 0 && entries.bytes() >= best.bytes());
    }
}
