//! Checks of descriptor tables and open descriptions.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::image::SectionKind;
use crate::model::latest::{Description, DescriptionId, DescriptorTable, Descriptors, Kind, PipeEnd, Snapshot, Socket};

/// The classes of lock that fdinfo prints (`fs/locks.c`).
const LOCK_CLASSES: [&str; 4] = ["POSIX", "OFDLCK", "FLOCK", "LEASE"];

pub(super) fn check(snapshot: &Snapshot, findings: &mut Findings) {
    findings.enter(SectionKind::Descriptors);
    let descriptors = &snapshot.descriptors;
    let count = descriptors.descriptions.len();
    let mut used = BTreeSet::new();
    for (index, table) in descriptors.tables.iter().enumerate() {
        check_table(index, table, count, &mut used, findings);
    }
    let pipes = pipe_ends(descriptors);
    let mut seen = BTreeSet::new();
    for (index, description) in descriptors.descriptions.iter().enumerate() {
        let known = u32::try_from(index).is_ok_and(|index| used.contains(&DescriptionId(index)));
        let item = format_args!("description {index} ({})", description.target.escape_ascii());
        findings.check(known, item, format_args!("no descriptor refers to it"));
        check_description(description, item, findings);
        match &description.kind {
            Kind::Epoll { watches } => {
                for watch in watches {
                    let right = watch.description.is_none_or(|id| (id.0 as usize) < count && id.0 as usize != index);
                    let problem = format_args!("its watch of descriptor {} names a description that cannot be", watch.descriptor);
                    findings.check(right, item, problem);
                }
            }
            Kind::Pipe { inode, .. } => check_pipe(&description.kind, &pipes, seen.insert(*inode), item, findings),
            Kind::MemFd { inode, size, contents, .. } => {
                let recorded = contents.len() as u64;
                let right = recorded == 0 || (recorded == *size && seen.insert(*inode));
                let problem = format_args!("{recorded} bytes are recorded of {size}, or recorded before");
                findings.check(right, item, problem);
            }
            Kind::Socket(socket) => check_socket(socket, item, findings),
            _ => {}
        }
    }
}

fn check_table(
    index: usize,
    table: &DescriptorTable,
    descriptions: usize,
    used: &mut BTreeSet<DescriptionId>,
    findings: &mut Findings,
) {
    let mut previous = -1;
    for descriptor in &table.descriptors {
        let item = format_args!("descriptor {} of table {index}", descriptor.number);
        let number = descriptor.number;
        findings.check(number > previous, item, format_args!("it does not come after {previous}"));
        previous = number;
        let id = descriptor.description;
        let problem = format_args!("description {} of {descriptions} does not exist", id.0);
        findings.check((id.0 as usize) < descriptions, item, problem);
        used.insert(id);
    }
}

fn check_description(description: &Description, item: std::fmt::Arguments<'_>, findings: &mut Findings) {
    for lock in &description.locks {
        let class = lock.class.escape_debug();
        let known = LOCK_CLASSES.contains(&lock.class.as_str());
        findings.check(known, item, format_args!("there is no class of lock `{class}`"));
        let (start, end) = (lock.start, lock.end);
        findings.check(start <= end, item, format_args!("its lock from {start} ends before it, at {end}"));
    }
    let signal = description.signal;
    findings.check((0..=64).contains(&signal), item, format_args!("there is no signal {signal}"));
    if let Kind::Fifo { capacity, contents, .. } = &description.kind {
        check_contents(contents, *capacity, item, findings);
    }
}

/// For each pipe, whether something can be read from it and written to it inside the image.
fn pipe_ends(descriptors: &Descriptors) -> BTreeMap<u64, (bool, bool)> {
    let mut ends = BTreeMap::new();
    for description in &descriptors.descriptions {
        if let Kind::Pipe { inode, end, .. } = description.kind {
            let (read, write): &mut (bool, bool) = ends.entry(inode).or_default();
            *read |= end != PipeEnd::Write;
            *write |= end != PipeEnd::Read;
        }
    }
    ends
}

fn check_pipe(
    pipe: &Kind,
    ends: &BTreeMap<u64, (bool, bool)>,
    first: bool,
    item: std::fmt::Arguments<'_>,
    findings: &mut Findings,
) {
    let Kind::Pipe { inode, capacity, contents, internal, .. } = pipe else { return };
    let both = ends.get(inode).is_some_and(|(read, write)| *read && *write);
    findings.check(!internal || both, item, format_args!("both ends of pipe {inode} are said to be here, and one is not"));
    findings.check(
        first || contents.is_empty(),
        item,
        format_args!("bytes of pipe {inode} are recorded with its first end already"),
    );
    check_contents(contents, *capacity, item, findings);
}

fn check_contents(contents: &[u8], capacity: u32, item: std::fmt::Arguments<'_>, findings: &mut Findings) {
    let len = contents.len();
    findings.check(len as u64 <= u64::from(capacity), item, format_args!("{len} bytes in a pipe that takes {capacity}"));
}

fn check_socket(socket: &Socket, item: std::fmt::Arguments<'_>, findings: &mut Findings) {
    /// `sizeof(struct sockaddr_storage)`.
    const LONGEST: usize = 128;
    let right = socket.local.len() <= LONGEST && socket.peer.len() <= LONGEST;
    findings.check(right, item, format_args!("an address is longer than {LONGEST} bytes"));
    findings.check(socket.shutdown <= 3, item, format_args!("shut-down directions {} are not 0 to 3", socket.shutdown));
}
