//! Address spaces for people: modules, mappings, what earlier updates retained.

use std::fmt::Write;

use dsu_formats::model::latest::{Backing, Mapping, MappingFlags, Sharing, Snapshot};

use crate::cli::output::human;

/// Every address space.
pub fn address_spaces(text: &mut String, snapshot: &Snapshot) {
    for (index, space) in snapshot.address_spaces.iter().enumerate() {
        let _ = writeln!(text, "\naddress space {index}: modules");
        for module in snapshot.modules.iter().filter(|module| module.address_space as usize == index) {
            let path = if module.path.is_empty() { "[vdso]".to_owned() } else { human::text(&module.path) };
            let build_id = module.build_id.as_deref().map_or_else(|| "no build-id".to_owned(), human::build_id);
            let _ = writeln!(text, "  {}  {path}  {build_id}", module.range);
        }
        let _ = writeln!(text, "\naddress space {index}: mappings ({})", space.mappings.len());
        for mapping in &space.mappings {
            let _ = writeln!(text, "  {}", self::mapping(mapping));
        }
        for retained in snapshot.generations.get(index).into_iter().flat_map(|generation| &generation.retained) {
            let kind = if retained.readable { "literals" } else { "reserved" };
            let build_id = human::build_id(&retained.build_id);
            let _ = writeln!(text, "  {} {kind} of generation {} ({build_id})", retained.range, retained.generation);
        }
    }
}

fn mapping(mapping: &Mapping) -> String {
    let protection = mapping.protection;
    let flag = |set, letter| if set { letter } else { '-' };
    let access: String = [
        flag(protection.read, 'r'),
        flag(protection.write, 'w'),
        flag(protection.execute, 'x'),
        if mapping.sharing == Sharing::Shared { 's' } else { 'p' },
    ]
    .iter()
    .collect();
    let size = human::size(mapping.range.len());
    format!("{}  {access}  {size:>10}  {}{}", mapping.range, backing(&mapping.backing), flags(&mapping.flags))
}

fn backing(backing: &Backing) -> String {
    match backing {
        Backing::Anonymous { name: None } => "anonymous".to_owned(),
        Backing::Anonymous { name: Some(name) } => format!("anonymous ({})", human::text(name)),
        Backing::File { path, offset, deleted, .. } => {
            format!("{} at {offset:#x}{}", human::text(path), if *deleted { " (deleted)" } else { "" })
        }
        Backing::SharedAnonymous { inode, offset } => format!("shared memory {inode} at {offset:#x}"),
        Backing::SysV { id, key, .. } => format!("System V segment {id} (key {key:#x})"),
        Backing::Vdso => "[vdso]".to_owned(),
        Backing::Vvar { name } => human::text(name),
        Backing::Vsyscall => "[vsyscall]".to_owned(),
    }
}

/// The flags that are set, by the names of `/proc/PID/smaps` and madvise.
fn flags(flags: &MappingFlags) -> String {
    let named = [
        (flags.grows_down, "grows-down"),
        (flags.locked, "locked"),
        (flags.no_reserve, "no-reserve"),
        (flags.dont_fork, "dont-fork"),
        (flags.dont_dump, "dont-dump"),
        (flags.wipe_on_fork, "wipe-on-fork"),
        (flags.mergeable, "mergeable"),
        (flags.huge_page, "huge-page"),
        (flags.no_huge_page, "no-huge-page"),
        (flags.sequential, "sequential"),
        (flags.random, "random"),
        (flags.hugetlb, "hugetlb"),
        (flags.device, "device"),
        (flags.userfault, "userfault"),
        (flags.protection_key != 0, "protection-key"),
        (flags.shadow_stack, "shadow-stack"),
        (flags.secret, "secret"),
    ];
    named.iter().filter(|(set, _)| *set).map(|(_, name)| format!("  {name}")).collect()
}
