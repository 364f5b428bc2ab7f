//! Tells the kinds of open description apart, by the file's type, its file system and the kernel's name for it.

use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use dsu_formats::model::latest::{FileIdentity, Kind};
use nix::sys::stat::{major, minor};
use nix::sys::statfs::fstatfs;

use super::super::error::ResourceError;
use super::capture::{Context, Entry};
use super::identity::identify;
use super::{epoll, eventfd, memfd, pipe, signalfd, socket, timerfd};

/// include/uapi/linux/magic.h.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;
const NSFS_MAGIC: i64 = 0x6e73_6673;
const SECRETMEM_MAGIC: i64 = 0x5345_434d;
const HUGETLBFS_MAGIC: i64 = 0x9584_58f6;
const MQUEUE_MAGIC: i64 = 0x1980_0202;
const PID_FS_MAGIC: i64 = 0x5049_4446;
const ANON_INODE: &[u8] = b"anon_inode:";
/// Files of `/proc/PID` that stay with the address space that they were opened on.
const OF_MEMORY: [&str; 9] = ["maps", "smaps", "smaps_rollup", "numa_maps", "mem", "pagemap", "environ", "auxv", "clear_refs"];

/// What the description behind `entry` is.
pub(super) fn of(context: &mut Context, entry: &Entry) -> Result<Kind, ResourceError> {
    if entry.target.starts_with(ANON_INODE) {
        return anonymous(entry);
    }
    let shown = String::from_utf8_lossy(&entry.target).into_owned();
    let metadata = entry.file.metadata().map_err(|source| ResourceError::file("look at", shown.clone(), source))?;
    let identity = identify(context.pid, &entry.target, &metadata);
    if entry.info.flags & libc::O_PATH as u32 != 0 {
        return Ok(Kind::Path(identity));
    }
    let kind = metadata.file_type();
    if kind.is_socket() {
        return socket::capture(context, entry);
    }
    if kind.is_fifo() {
        return pipe::capture(entry, identity);
    }
    if kind.is_char_device() || kind.is_block_device() {
        return Ok(device(entry, identity, metadata.rdev(), kind.is_block_device()));
    }
    let statfs = fstatfs(entry.file.as_fd()).map_err(|source| ResourceError::call("fstatfs", &shown, source))?;
    match statfs.filesystem_type().0 {
        NSFS_MAGIC => Ok(Kind::Namespace { target: entry.target.clone() }),
        PID_FS_MAGIC => pidfd(entry),
        SECRETMEM_MAGIC => Ok(unknown("memfd_secret")),
        MQUEUE_MAGIC if kind.is_file() => Ok(unknown("POSIX message queue")),
        HUGETLBFS_MAGIC if kind.is_file() => Ok(unknown("file of huge pages")),
        PROC_SUPER_MAGIC if is_of_memory(&identity) => Ok(Kind::BoundToMemory { name: shown }),
        _ if kind.is_dir() => Ok(Kind::Directory(identity)),
        _ if kind.is_file() && entry.target.starts_with(b"/memfd:") && identity.deleted => {
            memfd::capture(entry, &identity, context.durable)
        }
        _ if kind.is_file() => Ok(Kind::Regular(identity)),
        _ => Ok(Kind::Unknown { name: shown }),
    }
}

fn unknown(name: &str) -> Kind {
    Kind::Unknown { name: name.to_owned() }
}

/// `anon_inode:[name]`, or without brackets.
fn anonymous(entry: &Entry) -> Result<Kind, ResourceError> {
    let name = String::from_utf8_lossy(&entry.target[ANON_INODE.len()..]).into_owned();
    match name.trim_matches(['[', ']']) {
        "eventfd" => Ok(eventfd::capture(&entry.info)?),
        "timerfd" => Ok(timerfd::capture(&entry.info)?),
        "signalfd" => Ok(signalfd::capture(&entry.info)?),
        "eventpoll" => Ok(epoll::capture(&entry.info)),
        "inotify" => Ok(Kind::Inotify { watches: entry.info.lines_of("inotify") }),
        "fanotify" => Ok(Kind::Fanotify { marks: entry.info.lines_of("fanotify") }),
        "pidfd" => pidfd(entry),
        name if is_bound_to_memory(name) => Ok(Kind::BoundToMemory { name: name.to_owned() }),
        name => Ok(unknown(name)),
    }
}

/// Objects that belong to the address space, or to a thread that an exec ends.
fn is_bound_to_memory(name: &str) -> bool {
    ["userfaultfd", "io_uring", "perf_event", "iommufd"].contains(&name)
        || ["kvm-", "vfio", "uverbs"].iter().any(|prefix| name.starts_with(prefix))
}

fn pidfd(entry: &Entry) -> Result<Kind, ResourceError> {
    Ok(Kind::PidFd { pid: entry.info.decimal::<i32>("Pid")? })
}

fn is_of_memory(identity: &FileIdentity) -> bool {
    let path = String::from_utf8_lossy(&identity.path);
    let mut parts = path.trim_start_matches("/proc/").split('/');
    let owner = parts.next().unwrap_or("");
    path.starts_with("/proc/")
        && owner.parse::<i32>().is_ok()
        && path.rsplit('/').next().is_some_and(|name| OF_MEMORY.contains(&name))
}

/// Character and block devices by their number (Documentation/admin-guide/devices.txt).
fn device(entry: &Entry, file: FileIdentity, device: u64, block: bool) -> Kind {
    const MEM_MAJOR: u64 = 1;
    const MISC_MAJOR: u64 = 10;
    const KVM_MINOR: u64 = 232;
    const INFINIBAND_MAJOR: u64 = 231;
    match (block, major(device), minor(device)) {
        // null, zero, full, random, urandom.
        (false, MEM_MAJOR, 3 | 5 | 7 | 8 | 9) => Kind::PlainDevice { file, device },
        (false, MISC_MAJOR, KVM_MINOR) => Kind::BoundToMemory { name: "kvm".to_owned() },
        (false, INFINIBAND_MAJOR, _) => Kind::BoundToMemory { name: "infiniband".to_owned() },
        (false, ..) if nix::unistd::isatty(entry.file.as_fd()).unwrap_or(false) => Kind::Terminal { file, device },
        _ => Kind::Device { file, device, block },
    }
}
