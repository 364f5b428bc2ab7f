//! Which pages of an image can be huge pages in the vessel without taking more memory or going against the program's will.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{Backing, Mapping, Sharing};

/// Bytes of a huge page (x86-64, one entry of a page middle directory).
pub(super) const HUGE_PAGE: u64 = 2 << 20;
/// Whole pieces, in bytes, below which small pages cost next to nothing.
pub(super) const WORTH_IT: u64 = 8 << 20;
/// Where the administrator says whether there may be huge pages (Documentation/admin-guide/mm/transhuge.rst).
const ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Whether this machine allows huge pages to anybody.
pub(super) fn are_allowed() -> bool {
    std::fs::read_to_string(ENABLED).is_ok_and(|modes| allows(&modes))
}

/// The mode in force is in brackets.
fn allows(modes: &str) -> bool {
    modes.split_whitespace().any(|mode| matches!(mode, "[always]" | "[madvise]"))
}

/// The pieces of the size and alignment of a huge page that `ranges` of own pages cover whole, neighbours as one, in mappings
/// that may have huge pages. Both lists ascend.
pub(super) fn whole_pieces(mappings: &[Mapping], ranges: &[RunRange]) -> Vec<RunRange> {
    let mut pieces: Vec<RunRange> = Vec::new();
    let mut from = 0;
    for range in ranges {
        from += mappings[from..].iter().take_while(|mapping| mapping.range.end <= range.start).count();
        for mapping in mappings[from..].iter().take_while(|mapping| mapping.range.start < range.end) {
            let Some(part) = mapping.range.intersection(range).filter(|_| may_be_huge(mapping)) else { continue };
            let start = part.start.0.next_multiple_of(HUGE_PAGE);
            let end = part.end.0 & !(HUGE_PAGE - 1);
            match pieces.last_mut() {
                Some(last) if start < end && last.end.0 == start => last.end = RunAddress(end),
                _ if start < end => pieces.push(RunRange::new(start, end)),
                _ => {}
            }
        }
    }
    pieces
}

/// Plain anonymous memory, unless the program asked for something that huge pages would undo: small pages, merging of equal
/// pages, locks of single pages.
fn may_be_huge(mapping: &Mapping) -> bool {
    let flags = &mapping.flags;
    let plain = mapping.sharing == Sharing::Private
        && matches!(mapping.backing, Backing::Anonymous { .. })
        && mapping.protection.read
        && mapping.protection.write;
    let special = flags.no_huge_page || flags.hugetlb || flags.device || flags.mergeable || flags.grows_down || flags.userfault;
    plain && !special && (flags.huge_page || !flags.locked)
}

#[cfg(test)]
mod tests {
    use dsu_formats::model::latest::{MappingFlags, Protection};

    use super::*;

    fn mapping(start: u64, end: u64, flags: MappingFlags) -> Mapping {
        Mapping {
            range: RunRange::new(start, end),
            protection: Protection { read: true, write: true, execute: false },
            sharing: Sharing::Private,
            backing: Backing::Anonymous { name: None },
            flags,
        }
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn only_whole_aligned_pieces_within_one_mapping_count() {
        let mappings = [
            mapping(MIB, 21 * MIB, MappingFlags::default()),
            mapping(21 * MIB, 30 * MIB, MappingFlags::default()),
            mapping(40 * MIB, 44 * MIB, MappingFlags::default()),
        ];
        let ranges = [
            RunRange::new(MIB, 5 * MIB),
            RunRange::new(6 * MIB, 12 * MIB - 4096),
            RunRange::new(19 * MIB, 21 * MIB),
            RunRange::new(21 * MIB, 28 * MIB),
            RunRange::new(40 * MIB, 44 * MIB),
        ];
        let expected = [(2, 4), (6, 10), (22, 28), (40, 44)].map(|(start, end)| RunRange::new(start * MIB, end * MIB));
        assert_eq!(whole_pieces(&mappings, &ranges), expected);
    }

    #[test]
    fn what_the_program_asked_for_decides() {
        let whole = RunRange::new(2 * MIB, 8 * MIB);
        let pieces = |flags| whole_pieces(&[mapping(2 * MIB, 8 * MIB, flags)], &[whole]);
        assert_eq!(pieces(MappingFlags::default()), [whole]);
        assert_eq!(pieces(MappingFlags { huge_page: true, locked: true, ..Default::default() }), [whole]);
        assert!(pieces(MappingFlags { no_huge_page: true, ..Default::default() }).is_empty());
        assert!(pieces(MappingFlags { locked: true, ..Default::default() }).is_empty());
        assert!(pieces(MappingFlags { mergeable: true, ..Default::default() }).is_empty());
        assert!(pieces(MappingFlags { grows_down: true, ..Default::default() }).is_empty());
        let mut read_only = mapping(2 * MIB, 8 * MIB, MappingFlags::default());
        read_only.protection.write = false;
        assert!(whole_pieces(&[read_only], &[whole]).is_empty());
    }

    #[test]
    fn the_mode_in_brackets_decides() {
        assert!(allows("always [madvise] never\n") && allows("[always] madvise never\n"));
        assert!(!allows("always madvise [never]\n") && !allows(""));
    }
}
