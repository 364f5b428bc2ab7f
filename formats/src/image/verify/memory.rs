//! Checks of the address spaces: mappings, layout, modules, retained ranges.

use super::{Coverage, Findings, USER_END, whole_pages};
use crate::address::{PAGE_SIZE, RunAddress, RunRange};
use crate::image::SectionKind;
use crate::model::latest::{AddressSpace, Backing, Layout, Mapping, Module, Snapshot};

pub(super) fn check(snapshot: &Snapshot, coverage: &Coverage, findings: &mut Findings) {
    findings.enter(SectionKind::Memory);
    for (index, space) in snapshot.address_spaces.iter().enumerate() {
        check_space(index, space, findings);
        check_layout(index, &space.layout, findings);
    }
    findings.enter(SectionKind::Modules);
    for (index, module) in snapshot.modules.iter().enumerate() {
        check_module(index, module, snapshot.address_spaces.len(), coverage, findings);
    }
    findings.enter(SectionKind::Generations);
    for (index, generation) in snapshot.generations.iter().enumerate() {
        for retained in &generation.retained {
            let item = format_args!("retained range {} of address space {index}", retained.range);
            let space = u32::try_from(index).unwrap_or(u32::MAX);
            let mapped = whole_pages(&retained.range) && coverage.covers(space, retained.range);
            findings.check(mapped, item, format_args!("it is not mapped, or not whole pages"));
            let (from, count) = (retained.generation, generation.count);
            // The program of the last update may have some, too: texts that functions were called with.
            findings.check(from <= count, item, format_args!("it is of generation {from}, and {count} is the last"));
        }
    }
}

fn check_space(index: usize, space: &AddressSpace, findings: &mut Findings) {
    let mut previous = RunRange::default();
    for mapping in &space.mappings {
        check_mapping(index, mapping, previous, findings);
        previous = mapping.range;
    }
}

fn check_mapping(index: usize, mapping: &Mapping, previous: RunRange, findings: &mut Findings) {
    let range = mapping.range;
    let item = format_args!("mapping {range} of address space {index}");
    findings.check(whole_pages(&range), item, format_args!("it is not whole pages"));
    findings.check(range.start >= previous.end, item, format_args!("it overlaps or precedes {previous}"));
    let user = range.end <= USER_END || mapping.backing == Backing::Vsyscall;
    findings.check(user, item, format_args!("it reaches past the end of a program's addresses, {USER_END}"));
    if let Backing::File { offset, .. } | Backing::SharedAnonymous { offset, .. } | Backing::SysV { offset, .. } = mapping.backing
    {
        let problem = format_args!("it starts at {offset:#x} of its file, which is no page boundary");
        findings.check(offset.is_multiple_of(PAGE_SIZE), item, problem);
    }
    let key = mapping.flags.protection_key;
    findings.check(key < 16, item, format_args!("there is no protection key {key}"));
}

fn check_layout(index: usize, layout: &Layout, findings: &mut Findings) {
    let pairs: [(&str, RunAddress, RunAddress); 5] = [
        ("code", layout.start_code, layout.end_code),
        ("data", layout.start_data, layout.end_data),
        ("heap", layout.start_brk, layout.brk),
        ("arguments", layout.arg_start, layout.arg_end),
        ("environment", layout.env_start, layout.env_end),
    ];
    let item = format_args!("layout of address space {index}");
    for (what, start, end) in pairs {
        findings.check(start <= end, item, format_args!("{what} from {start} ends before it, at {end}"));
    }
    let ended = layout.auxv.last().is_none_or(|last| last.0 == 0);
    findings.check(ended, item, format_args!("the auxiliary vector does not end with AT_NULL"));
}

fn check_module(index: usize, module: &Module, spaces: usize, coverage: &Coverage, findings: &mut Findings) {
    let item = format_args!("module {index} ({})", module.path.escape_ascii());
    let (space, range) = (module.address_space, module.range);
    findings.check((space as usize) < spaces, item, format_args!("address space {space} of {spaces} does not exist"));
    findings.check(whole_pages(&range), item, format_args!("{range} is not whole pages"));
    // Between its segments there may be holes; its first and last page are parts of segments.
    let last = RunAddress(range.end.0.saturating_sub(1));
    let mapped = coverage.covers_bytes(space, range.start, 1) && coverage.covers_bytes(space, last, 1);
    findings.check(mapped, item, format_args!("the first or last page of {range} is not mapped"));
    if let Some(link_map) = module.link_map {
        let problem = format_args!("its link_map {link_map} is not mapped");
        findings.check(coverage.covers_bytes(space, link_map, 1), item, problem);
    }
    let empty = module.build_id.as_ref().is_some_and(Vec::is_empty);
    findings.check(!empty, item, format_args!("its build-id is empty"));
}
