//! The mappings of the new address space: the old program's go, the new one's come, what is still pointed to stays.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{Backing, Mapping, MappingFlags, ProgramId, Protection, Sharing};

use super::abi;
use super::address::{page_ceil, page_floor};
use crate::program::elf::{Elf, Segment};

/// No access.
const NONE: Protection = Protection { read: false, write: false, execute: false };
/// Read only.
pub const READ: Protection = Protection { read: true, write: false, execute: false };

/// `mappings` without `gone`; what a removed range cuts is split.
pub fn without(mappings: &[Mapping], gone: &[RunRange]) -> Vec<Mapping> {
    let mut kept = Vec::new();
    for mapping in mappings {
        for range in mapping.range.without(gone) {
            kept.push(part(mapping, range));
        }
    }
    kept
}

fn part(mapping: &Mapping, range: RunRange) -> Mapping {
    let skip = range.start.0 - mapping.range.start.0;
    let mut part = Mapping { range, ..mapping.clone() };
    match &mut part.backing {
        Backing::File { offset, .. } | Backing::SharedAnonymous { offset, .. } | Backing::SysV { offset, .. } => *offset += skip,
        Backing::Anonymous { .. } | Backing::Vdso | Backing::Vvar { .. } | Backing::Vsyscall => {}
    }
    part
}

/// Private anonymous memory.
pub fn anonymous(range: RunRange, protection: Protection) -> Mapping {
    Mapping {
        range,
        protection,
        sharing: Sharing::Private,
        backing: Backing::Anonymous { name: None },
        flags: MappingFlags::default(),
    }
}

/// Address space without access, so that a pointer that was missed faults.
pub fn reserved(range: RunRange) -> Mapping {
    let flags = MappingFlags { no_reserve: true, ..MappingFlags::default() };
    Mapping { flags, ..anonymous(range, NONE) }
}

/// The mappings of a program's segments at `bias`, as they are once the kernel has mapped them and the loader has protected RELRO.
pub fn segments(elf: &Elf, bias: u64, file: &ProgramId) -> Vec<Mapping> {
    let protected = relro(elf, bias);
    let mapped = unprotected(elf, bias, file);
    let Some(protected) = protected else { return mapped };
    let mut mappings = Vec::new();
    for mapping in mapped {
        mappings.extend(mapping.range.without(&[protected]).into_iter().map(|range| part(&mapping, range)));
        if let Some(range) = mapping.range.intersection(&protected) {
            mappings.push(Mapping { protection: READ, ..part(&mapping, range) });
        }
    }
    mappings.sort_unstable_by_key(|mapping| mapping.range);
    mappings
}

fn unprotected(elf: &Elf, bias: u64, file: &ProgramId) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    for load in elf.loads() {
        let run = |link: u64| bias.wrapping_add(link);
        let start = page_floor(load.address.0);
        let file_end = page_ceil(load.address.0.saturating_add(load.file_size));
        let end = page_ceil(load.address.0.saturating_add(load.memory_size));
        if load.file_size != 0 {
            let mut mapping = anonymous(RunRange::new(run(start), run(file_end)), protection(load));
            mapping.backing = backing(file, page_floor(load.offset));
            mappings.push(mapping);
        }
        let rest = if load.file_size == 0 { start } else { file_end };
        if rest < end {
            mappings.push(anonymous(RunRange::new(run(rest), run(end)), protection(load)));
        }
    }
    mappings
}

fn protection(load: &Segment) -> Protection {
    let has = |flag| load.flags & flag != 0;
    Protection { read: has(abi::PF_R), write: has(abi::PF_W), execute: has(abi::PF_X) }
}

fn backing(file: &ProgramId, offset: u64) -> Backing {
    let (major, minor) = (nix::sys::stat::major(file.device), nix::sys::stat::minor(file.device));
    Backing::File {
        path: file.path.clone(),
        device: major << 32 | minor,
        inode: file.inode,
        offset,
        deleted: file.deleted,
        size: file.size,
        build_id: file.build_id.clone(),
    }
}

/// Memory that other processes may share under its name and that is nobody's data file: there a pointer of the program's can be.
/// What has no name is rewritten (`MemorySource::shared_pages`).
pub fn shared_memory(mappings: &[Mapping]) -> Vec<RunRange> {
    let in_memory = |backing: &Backing| matches!(backing, Backing::File { path, .. } if path.starts_with(b"/dev/shm/"));
    let shared = mappings.iter().filter(|mapping| mapping.sharing == Sharing::Shared && mapping.protection.read);
    shared.filter(|mapping| in_memory(&mapping.backing)).map(|mapping| mapping.range).collect()
}

/// Whole pages around byte ranges, merged, ascending.
pub fn pages(mut ranges: Vec<RunRange>) -> Vec<RunRange> {
    ranges.sort_unstable();
    let mut pages: Vec<RunRange> = Vec::new();
    for range in ranges.into_iter().filter(|range| !range.is_empty()) {
        let page = RunRange { start: range.start.page_floor(), end: range.end.page_ceil() };
        match pages.last_mut() {
            Some(last) if page.start <= last.end => last.end = last.end.max(page.end),
            _ => pages.push(page),
        }
    }
    pages
}

/// The segment that RELRO protects after relocation, in whole pages, at `bias`.
pub fn relro(elf: &Elf, bias: u64) -> Option<RunRange> {
    let relro = elf.relro()?;
    // The loader rounds the end down: a page that is shared stays writable.
    let start = page_floor(relro.address.0);
    let end = page_floor(relro.address.0.saturating_add(relro.memory_size));
    (start < end).then(|| RunRange::new(bias.wrapping_add(start), bias.wrapping_add(end)))
}

/// `start_code`, `end_code`, `start_data`, `end_data` as the kernel counts them (`load_elf_binary`).
pub fn code_and_data(elf: &Elf, bias: u64) -> [RunAddress; 4] {
    let run = |link: u64| RunAddress(bias.wrapping_add(link));
    let end = |load: &Segment| load.address.0.saturating_add(load.file_size);
    let code = || elf.loads().filter(|load| load.flags & abi::PF_X != 0);
    [
        run(code().map(|load| load.address.0).min().unwrap_or(0)),
        run(code().map(end).max().unwrap_or(0)),
        run(elf.loads().map(|load| load.address.0).max().unwrap_or(0)),
        run(elf.loads().map(end).max().unwrap_or(0)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_splits_a_mapping_and_its_offset_follows() {
        let mut mapping = anonymous(RunRange::new(0x1000, 0x6000), READ);
        mapping.backing = Backing::SharedAnonymous { inode: 1, offset: 0x1000 };
        let kept = without(&[mapping], &[RunRange::new(0x2000, 0x3000), RunRange::new(0x5000, 0x9000)]);
        let ranges: Vec<RunRange> = kept.iter().map(|mapping| mapping.range).collect();
        assert_eq!(ranges, [RunRange::new(0x1000, 0x2000), RunRange::new(0x3000, 0x5000)]);
        assert_eq!(kept[1].backing, Backing::SharedAnonymous { inode: 1, offset: 0x3000 });
    }

    #[test]
    fn byte_ranges_become_whole_pages() {
        let ranges = vec![RunRange::new(0x5010, 0x5020), RunRange::new(0x1ff8, 0x2008), RunRange::new(0x2100, 0x2101)];
        assert_eq!(pages(ranges), [RunRange::new(0x1000, 0x3000), RunRange::new(0x5000, 0x6000)]);
    }
}
