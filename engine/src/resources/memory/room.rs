//! How much memory the process's limits, its control groups and the machine still allow.

use std::path::{Path, PathBuf};

use super::super::error::{Obstacle, ResourceError};
use super::super::limits::read_limits;
use super::super::proc;
use crate::tracee::error::TraceeError;

/// What is still allowed, in bytes, by each limit that has a figure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Limits on address ranges: name and bytes left.
    pub virtual_bytes: Vec<(String, u64)>,
    /// Limits on private writable memory of one address space, touched or not: name and bytes left.
    pub data_bytes: Vec<(String, u64)>,
    /// Limits on private writable memory of the whole machine, touched or not: name and bytes left.
    pub committed_bytes: Vec<(String, u64)>,
    /// Limits on memory in use: name and bytes left.
    pub resident_bytes: Vec<(String, u64)>,
}

/// What something would take, in bytes: each figure beyond what the process has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Address ranges.
    pub virtual_bytes: u64,
    /// Private writable memory in one address space.
    pub data_bytes: u64,
    /// Private writable memory in all address spaces together.
    pub committed_bytes: u64,
    /// Memory in use.
    pub resident_bytes: u64,
}

/// Reads what `pid` may still take. Memory that is only cache counts as free.
pub fn measure_room(pid: i32) -> Result<Room, ResourceError> {
    let mut room = Room::default();
    let limits = read_limits(pid)?.limits;
    let usage = Usage::read(pid)?;
    for (resource, name, used, list) in [
        (libc::RLIMIT_AS, "RLIMIT_AS", usage.virtual_bytes, &mut room.virtual_bytes),
        (libc::RLIMIT_DATA, "RLIMIT_DATA", usage.data_bytes, &mut room.data_bytes),
    ] {
        if let Some(limit) = limits.get(resource as usize).filter(|limit| limit.soft != u64::MAX) {
            list.push((name.to_owned(), limit.soft.saturating_sub(used)));
        }
    }
    machine(&mut room)?;
    control_groups(pid, &mut room)?;
    Ok(room)
}

/// The limits of `room` that `needs` would exceed.
pub fn check_room(room: &Room, needs: Needs) -> Vec<Obstacle> {
    let needs = [
        (&room.virtual_bytes, needs.virtual_bytes),
        (&room.data_bytes, needs.data_bytes),
        (&room.committed_bytes, needs.committed_bytes),
        (&room.resident_bytes, needs.resident_bytes),
    ];
    let exceeded = needs.into_iter().flat_map(|(limits, needed)| {
        let short = limits.iter().filter(move |(_, available)| *available < needed);
        short.map(move |(limit, available)| Obstacle::Room { limit: limit.clone(), available: *available, needed })
    });
    exceeded.collect()
}

/// What a process has mapped.
struct Usage {
    virtual_bytes: u64,
    data_bytes: u64,
}

impl Usage {
    fn read(pid: i32) -> Result<Self, TraceeError> {
        const PAGE: u64 = dsu_formats::address::PAGE_SIZE;
        let path = format!("/proc/{pid}/statm");
        let text = proc::text(pid, "statm")?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let pages = |index: usize| -> Result<u64, TraceeError> {
            proc::decimal(&path, "seven numbers of pages", words.get(index).copied().unwrap_or(""))
        };
        Ok(Self { virtual_bytes: pages(0)? * PAGE, data_bytes: pages(5)? * PAGE })
    }
}

fn machine(room: &mut Room) -> Result<(), TraceeError> {
    let meminfo = read(Path::new("/proc/meminfo"))?;
    let field = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
    };
    if let Some(available) = field("MemAvailable") {
        room.resident_bytes.push(("the machine's memory".to_owned(), available + field("SwapFree").unwrap_or(0)));
    }
    let strict = read(Path::new("/proc/sys/vm/overcommit_memory"))?.trim() == "2";
    if let (true, Some(limit), Some(used)) = (strict, field("CommitLimit"), field("Committed_AS")) {
        room.committed_bytes.push(("vm.overcommit_memory=2".to_owned(), limit.saturating_sub(used)));
    }
    Ok(())
}

/// Every level of the process's memory control group that has a limit; versions 1 and 2.
fn control_groups(pid: i32, room: &mut Room) -> Result<(), TraceeError> {
    for line in proc::text(pid, "cgroup")?.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        if controllers.is_empty() {
            levels(Path::new("/sys/fs/cgroup"), path, ["memory.max", "memory.current"], room);
        } else if controllers.split(',').any(|controller| controller == "memory") {
            levels(Path::new("/sys/fs/cgroup/memory"), path, ["memory.limit_in_bytes", "memory.usage_in_bytes"], room);
        }
    }
    Ok(())
}

fn levels(mount: &Path, path: &str, [limit_file, usage_file]: [&str; 2], room: &mut Room) {
    let mut directory: PathBuf = mount.join(path.trim_start_matches('/'));
    while directory.starts_with(mount) {
        // A level without the file (the root), or one that is not mounted here, limits nothing that could be read.
        let number = |name: &str| std::fs::read_to_string(directory.join(name)).ok()?.trim().parse::<u64>().ok();
        if let (Some(limit), Some(usage)) = (number(limit_file), number(usage_file)) {
            let left = limit.saturating_sub(usage.saturating_sub(cache(&directory)));
            room.resident_bytes.push((format!("control group {}", directory.display()), left));
        }
        if !directory.pop() {
            break;
        }
    }
}

/// Bytes of file cache that a control group could give up.
fn cache(directory: &Path) -> u64 {
    let text = std::fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(name, _)| matches!(*name, "inactive_file" | "active_file")).filter_map(|(_, n)| n.parse::<u64>().ok()).sum()
}

fn read(path: &Path) -> Result<String, TraceeError> {
    std::fs::read_to_string(path).map_err(|source| TraceeError::Proc { path: path.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::Target;

    #[test]
    fn a_limit_on_addresses_is_found_and_named() {
        let mut target = Target::start(
            r#"
            #include <sys/resource.h>
            int main(void) {
                struct rlimit limit = { 64 << 20, 64 << 20 };
                CHECK(setrlimit(RLIMIT_AS, &limit));
                say("ready");
                wait_for_end();
            }"#,
        );
        target.line();
        let room = measure_room(target.pid()).unwrap();
        let (_, left) = room.virtual_bytes.iter().find(|(name, _)| name == "RLIMIT_AS").unwrap();
        assert!(*left < 64 << 20 && *left > 32 << 20, "{left}");
        let obstacles = check_room(&room, Needs { virtual_bytes: 64 << 20, ..Needs::default() });
        assert!(matches!(&obstacles[..], [Obstacle::Room { limit, needed, .. }] if limit == "RLIMIT_AS" && *needed == 64 << 20));
        assert_eq!(check_room(&room, Needs { virtual_bytes: 1 << 20, ..Needs::default() }), []);
    }

    #[test]
    fn more_than_the_machine_has_is_refused() {
        let room = measure_room(std::process::id() as i32).unwrap();
        assert!(!check_room(&room, Needs { resident_bytes: 1 << 60, ..Needs::default() }).is_empty());
    }
}
