//! Captures one descriptor table.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use dsu_formats::model::latest::{Description, DescriptionId, Descriptor, DescriptorTable, Descriptors, Kind};

use super::super::error::ResourceError;
use super::super::proc;
use super::fdinfo::FdInfo;
use super::sharing::Grouping;
use super::unix_diag::Monitor;
use super::{epoll, kind, pipe, socket};
use crate::tracee::calls;
use crate::tracee::error::TraceeError;

/// What to capture, and how to get at it.
pub struct CaptureRequest<'a> {
    /// The process.
    pub pid: i32,
    /// Numbers that the engine put there, which are no part of the process.
    pub engine: &'a [RawFd],
    /// Whether the image must stand alone: then what only a fresh process needs is recorded, the bytes of memfds and the options
    /// of sockets.
    pub durable: bool,
    /// Takes a duplicate of one of the process's descriptors.
    pub duplicate: &'a mut dyn FnMut(RawFd) -> Result<OwnedFd, TraceeError>,
}

/// What the capture of one description may need.
pub(super) struct Context {
    pub(super) pid: i32,
    pub(super) durable: bool,
    pub(super) monitor: Monitor,
}

/// One number of the table, with what was looked up for it.
pub(super) struct Entry {
    pub(super) number: RawFd,
    pub(super) target: Vec<u8>,
    pub(super) info: FdInfo,
    pub(super) file: File,
    pub(super) inode: (u64, u64),
}

/// Captures every descriptor of the process as the only table of the result. All threads must be stopped.
pub fn capture(request: &mut CaptureRequest<'_>) -> Result<Descriptors, ResourceError> {
    let entries = open_entries(request)?;
    let grouping = Grouping::of(request.pid, &entries)?;
    let mut table = DescriptorTable::default();
    for (entry, description) in entries.iter().zip(&grouping.of_entry) {
        table.descriptors.push(Descriptor {
            number: entry.number,
            close_on_exec: entry.info.flags & libc::O_CLOEXEC as u32 != 0,
            description: DescriptionId(*description),
        });
    }
    let mut descriptions = Vec::with_capacity(grouping.first_entry.len());
    let mut context = Context { pid: request.pid, durable: request.durable, monitor: Monitor::default() };
    for first in &grouping.first_entry {
        descriptions.push(describe(&mut context, &entries[*first])?);
    }
    let mut found = Descriptors { tables: vec![table], descriptions };
    epoll::resolve(request.pid, &mut found)?;
    socket::link_peers(&mut found, &representatives(&entries, &grouping))?;
    pipe::record(&mut found, &representatives(&entries, &grouping))?;
    Ok(found)
}

/// One descriptor of each description, by the description's position.
fn representatives<'a>(entries: &'a [Entry], grouping: &Grouping) -> Vec<&'a Entry> {
    grouping.first_entry.iter().map(|first| &entries[*first]).collect()
}

fn open_entries(request: &mut CaptureRequest<'_>) -> Result<Vec<Entry>, ResourceError> {
    use std::os::unix::fs::MetadataExt;
    let mut entries = Vec::new();
    for number in proc::numbers(request.pid, "fd")?.into_iter().filter(|number| !request.engine.contains(number)) {
        let file = File::from((request.duplicate)(number)?);
        let metadata = file.metadata().map_err(|e| ResourceError::file("look at", format!("descriptor {number}"), e))?;
        entries.push(Entry {
            number,
            target: proc::link(request.pid, &format!("fd/{number}"))?,
            info: FdInfo::read(request.pid, number)?,
            file,
            inode: (metadata.dev(), metadata.ino()),
        });
    }
    Ok(entries)
}

fn describe(context: &mut Context, entry: &Entry) -> Result<Description, ResourceError> {
    let kind = kind::of(context, entry)?;
    // A descriptor of O_PATH has no owner and refuses to say so.
    let (owner, signal) = if matches!(kind, Kind::Path(_)) {
        ((0, 0), 0)
    } else {
        let failed = |call| move |source| ResourceError::call(call, format_args!("descriptor {}", entry.number), source);
        let owner = calls::owner_of(entry.file.as_fd()).map_err(failed("fcntl(F_GETOWN_EX)"))?;
        let signal = calls::signal_of(entry.file.as_fd()).map_err(failed("fcntl(F_GETSIG)"))?;
        // Without an owner the kernel reports the type of a thread and ID 0.
        (if owner.1 == 0 { (0, 0) } else { owner }, signal)
    };
    Ok(Description {
        target: entry.target.clone(),
        flags: entry.info.flags & !(libc::O_CLOEXEC as u32),
        position: entry.info.position,
        owner,
        signal,
        locks: entry.info.locks.clone(),
        kind,
    })
}

/// Inodes of the descriptions for which `inode_of` gives one, with how many ends each has.
pub(super) fn count_inodes(found: &Descriptors, inode_of: impl Fn(&Kind) -> Option<u64>) -> HashMap<u64, BTreeSet<u32>> {
    let mut inodes: HashMap<u64, BTreeSet<u32>> = HashMap::new();
    for (index, description) in found.descriptions.iter().enumerate() {
        if let Some(inode) = inode_of(&description.kind) {
            inodes.entry(inode).or_default().insert(index as u32);
        }
    }
    inodes
}
