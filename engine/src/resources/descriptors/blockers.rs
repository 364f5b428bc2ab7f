//! Which descriptors stand in the way, before anything is done.

use dsu_formats::model::latest::{Description, DescriptionId, Descriptors, FileIdentity, Kind};

use super::super::error::Obstacle;
use super::identity::{Caution, engine_path};
use super::{epoll, eventfd, files, socket_restore, unix_pair};

/// Kinds that this engine has no saved form for and that an exec is known to keep whole.
const KEPT_BY_EXEC: [&str; 12] = [
    eventfd::UNTOLD,
    "memfd_secret",
    "POSIX message queue",
    "file of huge pages",
    "socket with a packet filter (SO_ATTACH_FILTER)",
    "bpf-map",
    "bpf-prog",
    "bpf_link",
    "btf",
    "landlock-ruleset",
    "fscontext",
    "seccomp notify",
];

/// Descriptors that an exec would break: those bound to the address space or to a thread, and unknown kinds.
pub fn blockers_of_exec(found: &Descriptors) -> Vec<Obstacle> {
    let obstacle_of = |description: &Description| match &description.kind {
        Kind::BoundToMemory { name } => {
            Some(format!("{name} is bound to the address space or to a thread and would not survive it"))
        }
        Kind::Unknown { name } if !KEPT_BY_EXEC.contains(&name.as_str()) => Some(format!("its kind ({name}) is not known")),
        _ => None,
    };
    collect(found, |_, description| obstacle_of(description))
}

/// Descriptors that cannot be made anew in a fresh process, and what the user should know of those that can. `root` is the
/// saved process's root directory; `lives` says that the process still has them, so that what waits in its FIFOs is its own.
pub fn blockers_of_restore(found: &Descriptors, root: &[u8], lives: bool) -> (Vec<Obstacle>, Vec<Caution>) {
    let mut cautions = Vec::new();
    let obstacles = collect(found, |_, description| match obstacle(description, found, root, lives) {
        Ok(caution) => {
            cautions.extend(caution);
            None
        }
        Err(reason) => Some(reason),
    });
    (obstacles, cautions)
}

/// One obstacle for each description that `reason_of` has one for, under its lowest number.
fn collect(found: &Descriptors, mut reason_of: impl FnMut(DescriptionId, &Description) -> Option<String>) -> Vec<Obstacle> {
    let mut obstacles = Vec::new();
    for (index, description) in found.descriptions.iter().enumerate() {
        let id = DescriptionId(index as u32);
        if let Some(reason) = reason_of(id, description) {
            let table = found.tables.iter().flat_map(|table| &table.descriptors);
            let number = table.filter(|descriptor| descriptor.description == id).map(|d| d.number).min().unwrap_or(-1);
            let target = String::from_utf8_lossy(&description.target).into_owned();
            obstacles.push(Obstacle::Descriptor { number, target, reason });
        }
    }
    obstacles
}

fn obstacle(description: &Description, found: &Descriptors, root: &[u8], lives: bool) -> Result<Option<Caution>, String> {
    if description.locks.iter().any(|lock| lock.class == "LEASE") {
        return Err("a lease is held on it".to_owned());
    }
    let refuse = |reason: Option<String>| reason.map_or(Ok(None), Err);
    match &description.kind {
        Kind::Regular(file) | Kind::Directory(file) => files::inspect(file, description.flags, root, None),
        // O_PATH names the file, whatever has become of its bytes.
        Kind::Path(file) => files::inspect(file, description.flags, root, None).map(|_| None),
        Kind::PlainDevice { file, device } => files::inspect(file, description.flags, root, Some(*device)),
        Kind::Fifo { file, contents, .. } => fifo_obstacle(file, contents, root, lives),
        Kind::Pipe { internal: false, .. } => Err("the other end of the pipe is outside the image".to_owned()),
        Kind::Pipe { inode, contents, .. } if !contents.is_empty() && writes_packets(*inode, found) => {
            Err("messages wait in a pipe of packets (O_DIRECT), whose borders are not known".to_owned())
        }
        Kind::Pipe { .. } | Kind::EventFd { .. } | Kind::SignalFd { .. } | Kind::MemFd { .. } => Ok(None),
        Kind::TimerFd { .. } => Ok(None),
        Kind::Epoll { watches } => refuse(epoll::obstacle(watches, found)),
        Kind::Socket(socket) => refuse(match unix_pair::peer_of(socket, found) {
            Some(peer) => unix_pair::obstacle(socket, peer),
            None => socket_restore::obstacle(socket),
        }),
        Kind::Terminal { .. } => Err("it is a terminal".to_owned()),
        Kind::Device { block, .. } => {
            Err(if *block { "it is a block device" } else { "it is a device with a state of its own" }.to_owned())
        }
        Kind::PidFd { pid } => Err(format!("it refers to process {pid}")),
        Kind::Inotify { .. } => Err("its inotify watches are not carried".to_owned()),
        Kind::Fanotify { .. } => Err("its fanotify marks are not carried".to_owned()),
        Kind::Namespace { .. } => Err("it is a namespace".to_owned()),
        Kind::BoundToMemory { name } => Err(format!("{name} is bound to the address space")),
        Kind::Unknown { name } => Err(format!("its kind ({name}) is not known")),
    }
}

/// Whether an end of pipe `inode` has O_DIRECT: `pipe2(2)` gives it to the writing end only, the bytes are with either end.
fn writes_packets(inode: u64, found: &Descriptors) -> bool {
    let mut ends = found.descriptions.iter().filter(|end| end.flags & libc::O_DIRECT as u32 != 0);
    ends.any(|end| matches!(end.kind, Kind::Pipe { inode: other, .. } if other == inode))
}

/// A FIFO that others have filled meanwhile has no room for what was in it in its order.
fn fifo_obstacle(file: &FileIdentity, contents: &[u8], root: &[u8], lives: bool) -> Result<Option<Caution>, String> {
    files::inspect(file, 0, root, None)?;
    if contents.is_empty() || lives {
        return Ok(None);
    }
    use std::os::fd::AsFd;
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(engine_path(root, file));
    let waiting = opened.ok().and_then(|opened| crate::tracee::objects::readable_bytes(opened.as_fd()).ok());
    match waiting {
        Some(0) => Ok(None),
        Some(bytes) => Err(format!("{bytes} bytes of somebody else's wait in it now")),
        None => Err("it cannot be opened".to_owned()),
    }
}
