//! What an exec takes from memory beside its bytes: advice, locks, names, guards, the layout numbers.

use std::os::fd::RawFd;

use dsu_formats::address::RunRange;
use dsu_formats::model::latest::{Backing, Credentials, Layout, Limits, Mapping, MappingFlags};

use super::super::error::{Obstacle, ResourceError};
use super::super::scratch;
use super::layout::read_layout;
use crate::tracee::batch::Batch;

const PR_SET_VMA: u64 = 0x5356_4d41;
const PR_SET_VMA_ANON_NAME: u64 = 0;
const PR_SET_MM: u64 = 35;
const PR_SET_MM_MAP: u64 = 14;
const MADV_GUARD_INSTALL: u64 = 102;
const MLOCK_ONFAULT: u64 = 1;

/// Gives mappings that have just been made their advice, names and locks; locks last, since they fault pages in.
///
/// One call for each flag of each mapping that has one; none for a plain mapping.
pub fn give_back_flags(batch: &mut Batch<'_>, mappings: &[Mapping]) -> Result<(), ResourceError> {
    for mapping in mappings {
        let (start, length) = (mapping.range.start.0, mapping.range.len());
        for advice in advice(&mapping.flags) {
            batch.leader("madvise", libc::SYS_madvise, [start, length, advice])?;
        }
        if let Backing::Anonymous { name: Some(name) } = &mapping.backing {
            batch.leader_with("prctl(PR_SET_VMA)", libc::SYS_prctl, |at| {
                (scratch::string(name), [PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, length, at])
            })?;
        }
    }
    for mapping in mappings.iter().filter(|mapping| mapping.flags.locked) {
        let how = if mapping.flags.locked_on_fault { MLOCK_ONFAULT } else { 0 };
        batch.leader("mlock2", libc::SYS_mlock2, [mapping.range.start.0, mapping.range.len(), how])?;
    }
    Ok(())
}

/// The `madvise` values that lead from a fresh mapping to one with `flags`.
fn advice(flags: &MappingFlags) -> impl Iterator<Item = u64> {
    [
        (flags.dont_fork, libc::MADV_DONTFORK),
        (flags.dont_dump, libc::MADV_DONTDUMP),
        (flags.wipe_on_fork, libc::MADV_WIPEONFORK),
        (flags.mergeable, libc::MADV_MERGEABLE),
        (flags.huge_page, libc::MADV_HUGEPAGE),
        (flags.no_huge_page, libc::MADV_NOHUGEPAGE),
        (flags.sequential, libc::MADV_SEQUENTIAL),
        (flags.random, libc::MADV_RANDOM),
    ]
    .into_iter()
    .filter_map(|(set, advice)| set.then_some(advice as u64))
}

/// Installs guards again (`MADV_GUARD_INSTALL`, Linux 6.13).
pub fn give_back_guards(batch: &mut Batch<'_>, guards: &[RunRange]) -> Result<(), ResourceError> {
    for guard in guards {
        let arguments = [guard.start.0, guard.len(), MADV_GUARD_INSTALL];
        batch.leader("madvise(MADV_GUARD_INSTALL)", libc::SYS_madvise, arguments)?;
    }
    Ok(())
}

/// Locks that the process could not take again: it has given up CAP_IPC_LOCK, and its limit is lower than what is locked.
pub fn blockers_of_locks(mappings: &[Mapping], limits: &Limits, credentials: &Credentials) -> Vec<Obstacle> {
    const CAP_IPC_LOCK: u64 = 1 << 14;
    let needed: u64 = mappings.iter().filter(|mapping| mapping.flags.locked).map(|mapping| mapping.range.len()).sum();
    let limit = limits.limits.get(libc::RLIMIT_MEMLOCK as usize).map_or(u64::MAX, |limit| limit.soft);
    if credentials.capabilities.effective & CAP_IPC_LOCK != 0 || needed <= limit {
        return Vec::new();
    }
    vec![Obstacle::Room { limit: "RLIMIT_MEMLOCK".to_owned(), available: limit, needed }]
}

/// Puts `mlockall(MCL_FUTURE)` back in force; everything mapped from here on is locked, so this comes last.
pub fn give_back_lock_future(batch: &mut Batch<'_>) -> Result<(), ResourceError> {
    batch.leader("mlockall", libc::SYS_mlockall, [libc::MCL_FUTURE as u64])?;
    Ok(())
}

/// Sets the layout numbers and the auxiliary vector, and the `/proc/PID/exe` link if `exe` is a descriptor of the tracee.
///
/// The link is refused with EBUSY while any mapping of the previous one is left, and with EPERM for a target without
/// CAP_CHECKPOINT_RESTORE (`is_layout_link_settable`).
pub fn give_back_layout(batch: &mut Batch<'_>, layout: &Layout, exe: Option<RawFd>) -> Result<(), ResourceError> {
    batch.leader_with("prctl(PR_SET_MM_MAP)", libc::SYS_prctl, |at| {
        (memory_map(layout, exe, at), [PR_SET_MM, PR_SET_MM_MAP, at, MM_MAP_LENGTH, 0])
    })?;
    Ok(())
}

/// `struct prctl_mm_map` as it lies at `at`, the auxiliary vector that it points to behind it.
fn memory_map(layout: &Layout, exe: Option<RawFd>, at: u64) -> Vec<u8> {
    let auxv: Vec<u8> = layout.auxv.iter().flat_map(|(kind, value)| [*kind, *value]).flat_map(u64::to_le_bytes).collect();
    let mut map: Vec<u8> = Vec::with_capacity(MM_MAP_LENGTH as usize);
    let numbers = [
        layout.start_code,
        layout.end_code,
        layout.start_data,
        layout.end_data,
        layout.start_brk,
        layout.brk,
        layout.start_stack,
        layout.arg_start,
        layout.arg_end,
        layout.env_start,
        layout.env_end,
    ];
    numbers.iter().for_each(|number| map.extend(number.0.to_le_bytes()));
    map.extend((at + MM_MAP_LENGTH).to_le_bytes());
    map.extend((auxv.len() as u32).to_le_bytes());
    map.extend(exe.map_or(u32::MAX, |number| number as u32).to_le_bytes());
    map.extend(auxv);
    map
}

/// Length of `struct prctl_mm_map` in bytes.
const MM_MAP_LENGTH: u64 = 11 * 8 + 8 + 4 + 4;

/// Compares the layout numbers of `pid` with what they should be; `exe` too if `with_exe`.
pub fn check_layout(pid: i32, expected: &Layout, with_exe: bool) -> Result<(), ResourceError> {
    let mut found = read_layout(pid)?;
    found.brk = expected.brk;
    if !with_exe {
        found.exe.clone_from(&expected.exe);
    }
    if found == *expected {
        return Ok(());
    }
    Err(ResourceError::NotGivenBack {
        object: format!("the layout of process {pid}"),
        expected: format!("{expected:?}"),
        found: format!("{found:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracee::batch::together;
    use crate::tracee::inject::Injector;

    #[test]
    fn a_plain_mapping_needs_no_advice() {
        assert_eq!(advice(&MappingFlags::default()).count(), 0);
    }

    #[test]
    fn locks_beyond_the_limit_block_a_process_without_the_capability() {
        use dsu_formats::model::latest::{Limit, Protection, Sharing};
        let mapping = Mapping {
            range: RunRange::new(0x10000, 0x30000),
            protection: Protection::default(),
            sharing: Sharing::Private,
            backing: Backing::Anonymous { name: None },
            flags: MappingFlags { locked: true, ..MappingFlags::default() },
        };
        let limits = Limits { limits: vec![Limit { soft: 0x10000, hard: 0x10000 }; 16] };
        let mut credentials = Credentials::default();
        let obstacles = blockers_of_locks(std::slice::from_ref(&mapping), &limits, &credentials);
        assert!(matches!(&obstacles[..], [Obstacle::Room { available: 0x10000, needed: 0x20000, .. }]), "{obstacles:?}");
        credentials.capabilities.effective = u64::MAX;
        assert_eq!(blockers_of_locks(&[mapping], &limits, &credentials), []);
    }

    #[test]
    fn every_advice_has_its_value() {
        let flags = MappingFlags { dont_fork: true, random: true, ..MappingFlags::default() };
        assert_eq!(advice(&flags).collect::<Vec<_>>(), [libc::MADV_DONTFORK as u64, libc::MADV_RANDOM as u64]);
    }

    #[test]
    fn another_process_gets_the_same_flags_names_and_locks() {
        use super::super::maps::capture_mappings;
        use crate::resources::testing::Target;
        let mut target = Target::start(
            r#"
            #include <sys/mman.h>
            int main(void) {
                char *p = mmap((void *)0x200000000, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                CHECK(madvise(p, 2 * 4096, MADV_DONTDUMP));
                CHECK(madvise(p + 2 * 4096, 2 * 4096, MADV_WIPEONFORK));
                CHECK(madvise(p + 2 * 4096, 2 * 4096, MADV_RANDOM));
                CHECK(mlock(p + 4 * 4096, 2 * 4096));
                CHECK(madvise(p + 4 * 4096, 2 * 4096, MADV_DONTFORK));
                say("%p", p);
                wait_for_end();
            }"#,
        );
        let block = RunRange::new(target.address(), 0x2_0000_8000);
        let inside = |pid| -> Vec<Mapping> {
            let mappings = capture_mappings(pid, &[]).unwrap().mappings;
            mappings.into_iter().filter(|mapping| mapping.range.overlaps(&block)).collect()
        };
        let saved = inside(target.pid());
        assert!(saved.len() == 4 && saved[0].flags.dont_dump && saved[2].flags.locked, "{saved:?}");
        let other = Target::idle();
        let mut injector = other.borrow();
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
        injector.leader_call("mmap", libc::SYS_mmap, &[block.start.0, block.len(), 3, flags, u64::MAX, 0]).unwrap();
        together(&mut injector, |batch| give_back_flags(batch, &saved)).unwrap();
        assert_eq!(inside(other.pid()), saved);
    }

    #[test]
    fn layout_numbers_are_set_and_checked() {
        use super::super::layout::capture_layout;
        use crate::resources::testing::Target;
        let target = Target::idle();
        let mut injector = target.borrow();
        let mut layout = capture_layout(&mut injector).unwrap();
        assert!(layout.brk >= layout.start_brk);
        layout.env_end.0 -= 1;
        layout.auxv.insert(0, (libc::AT_HWCAP2, 0x1234));
        assert!(check_layout(target.pid(), &layout, true).is_err());
        together(&mut injector, |batch| give_back_layout(batch, &layout, None)).unwrap();
        check_layout(target.pid(), &layout, true).unwrap();
    }
}
