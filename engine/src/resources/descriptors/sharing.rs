//! Which numbers share an open description (`kcmp(2)`), and which other processes share one.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt;

use dsu_formats::model::latest::{Descriptors, Kind};
use nix::errno::Errno;

use super::super::error::{Obstacle, ResourceError};
use super::super::proc;
use super::capture::Entry;
use crate::tracee::calls;

/// Entries of a table sorted into open descriptions.
pub(super) struct Grouping {
    /// Number of the description of each entry.
    pub(super) of_entry: Vec<u32>,
    /// Index of the first entry of each description.
    pub(super) first_entry: Vec<usize>,
}

impl Grouping {
    /// Compares only entries of the same inode, flags and position: one description cannot differ in these.
    pub(super) fn of(pid: i32, entries: &[Entry]) -> Result<Self, ResourceError> {
        let mut candidates: HashMap<_, Vec<usize>> = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            let flags = entry.info.flags & !(libc::O_CLOEXEC as u32);
            candidates.entry((entry.inode, flags, entry.info.position, &entry.target)).or_default().push(index);
        }
        // The first entry that has each entry's description.
        let mut first_of: Vec<usize> = (0..entries.len()).collect();
        for group in candidates.into_values().filter(|group| group.len() > 1) {
            sort_group(pid, entries, group, &mut first_of)?;
        }
        let mut grouping = Self { of_entry: Vec::with_capacity(entries.len()), first_entry: Vec::new() };
        for (index, first) in first_of.into_iter().enumerate() {
            let number = if first == index {
                grouping.first_entry.push(index);
                (grouping.first_entry.len() - 1) as u32
            } else {
                grouping.of_entry[first]
            };
            grouping.of_entry.push(number);
        }
        Ok(grouping)
    }
}

/// Sorts a group by the kernel's order of descriptions and points each entry to the lowest entry equal to it.
fn sort_group(pid: i32, entries: &[Entry], mut group: Vec<usize>, first_of: &mut [usize]) -> Result<(), ResourceError> {
    let mut failure: Option<Errno> = None;
    let mut compare = |a: usize, b: usize| {
        if failure.is_some() || a == b {
            return a.cmp(&b);
        }
        match calls::compare_descriptions(pid, entries[a].number, entries[b].number) {
            Ok(order) => order,
            Err(error) => {
                failure = Some(error);
                Ordering::Equal
            }
        }
    };
    group.sort_by(|a, b| compare(*a, *b).then(a.cmp(b)));
    for pair in 1..group.len() {
        let (before, index) = (group[pair - 1], group[pair]);
        if compare(before, index) == Ordering::Equal {
            first_of[index] = first_of[before];
        }
    }
    match failure {
        Some(source) => Err(ResourceError::call("kcmp", format_args!("descriptors of process {pid}"), source)),
        None => Ok(()),
    }
}

/// Pipes and socket pairs of the image that a process other than `pid` has open too: a fresh one would cut it off.
///
/// Walks all of `/proc`; processes that may not be looked into are passed over. For images that must stand alone.
pub fn shared_with_others(pid: i32, found: &Descriptors) -> Vec<Obstacle> {
    let mut wanted: HashMap<Vec<u8>, i32> = HashMap::new();
    for descriptor in found.tables.iter().flat_map(|table| &table.descriptors) {
        let Some(description) = found.descriptions.get(descriptor.description.0 as usize) else { continue };
        if matches!(description.kind, Kind::Pipe { .. } | Kind::Socket(_)) {
            wanted.entry(description.target.clone()).or_insert(descriptor.number);
        }
    }
    let mut obstacles = Vec::new();
    for other in other_processes(pid) {
        for number in proc::numbers(other, "fd").unwrap_or_default() {
            let Ok(target) = std::fs::read_link(format!("/proc/{other}/fd/{number}")) else { continue };
            let target = target.into_os_string().into_vec();
            if let Some(number) = wanted.remove(&target) {
                let target = String::from_utf8_lossy(&target).into_owned();
                let reason = format!("process {other} has it open too");
                obstacles.push(Obstacle::Descriptor { number, target, reason });
            }
        }
    }
    obstacles
}

fn other_processes(pid: i32) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let own = std::process::id() as i32;
    names.filter(|other| *other != pid && *other != own).collect()
}
