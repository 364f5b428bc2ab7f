//! Section `descriptors`: descriptor tables and the open descriptions behind them.

use serde::{Deserialize, Serialize};

/// Number of an open description within an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DescriptionIdV1(pub u32);

/// All descriptor tables and open descriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorsV1 {
    /// Tables by index; processes refer to them.
    pub tables: Vec<DescriptorTableV1>,
    /// Open descriptions; descriptors refer to them by position.
    pub descriptions: Vec<DescriptionV1>,
}

/// What `CLONE_FILES` shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorTableV1 {
    /// Descriptors by ascending number.
    pub descriptors: Vec<DescriptorV1>,
}

/// One number in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorV1 {
    /// Number.
    pub number: i32,
    /// FD_CLOEXEC.
    pub close_on_exec: bool,
    /// What it refers to.
    pub description: DescriptionIdV1,
}

/// One open description (`struct file`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptionV1 {
    /// Target of the `/proc/PID/fd` link, for people.
    pub target: Vec<u8>,
    /// Access mode and status flags (`flags` of fdinfo, without O_CLOEXEC).
    pub flags: u32,
    /// File position.
    pub position: u64,
    /// F_GETOWN_EX: type and ID; (0, 0) when none.
    pub owner: (i32, i32),
    /// F_GETSIG.
    pub signal: i32,
    /// Locks held through it.
    pub locks: Vec<FileLockV1>,
    /// What it is, with the state that belongs to that kind.
    pub kind: KindV1,
}

/// A line `lock:` of fdinfo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLockV1 {
    /// `POSIX`, `OFDLCK`, `FLOCK` or `LEASE`.
    pub class: String,
    /// Whether for writing.
    pub write: bool,
    /// First byte.
    pub start: u64,
    /// Last byte; `u64::MAX` to the end of the file.
    pub end: u64,
}

/// What identifies a file beyond its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentityV1 {
    /// Path within the process's root, without the mark of a deleted file.
    pub path: Vec<u8>,
    /// `st_dev`.
    pub device: u64,
    /// Inode.
    pub inode: u64,
    /// `st_mode`.
    pub mode: u32,
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Whether the path no longer names the file.
    pub deleted: bool,
}

/// End of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PipeEndV1 {
    /// Opened for reading.
    Read,
    /// Opened for writing.
    Write,
    /// A FIFO opened for both.
    Both,
}

/// The kinds of open description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KindV1 {
    /// A regular file.
    Regular(FileIdentityV1),
    /// A directory.
    Directory(FileIdentityV1),
    /// `O_PATH`, whatever it names.
    Path(FileIdentityV1),
    /// A character device without state: null, zero, full, random, urandom.
    PlainDevice {
        /// Path.
        file: FileIdentityV1,
        /// `st_rdev`.
        device: u64,
    },
    /// A terminal.
    Terminal {
        /// Path.
        file: FileIdentityV1,
        /// `st_rdev`.
        device: u64,
    },
    /// Another character or block device.
    Device {
        /// Path.
        file: FileIdentityV1,
        /// `st_rdev`.
        device: u64,
        /// Whether a block device.
        block: bool,
    },
    /// A pipe; both ends share the inode.
    Pipe {
        /// Inode of the pipe.
        inode: u64,
        /// Which end.
        end: PipeEndV1,
        /// F_GETPIPE_SZ in bytes.
        capacity: u32,
        /// Bytes in the pipe, recorded with the first description that names the inode.
        contents: Vec<u8>,
        /// Whether both ends are inside the image.
        internal: bool,
    },
    /// A named pipe.
    Fifo {
        /// The file.
        file: FileIdentityV1,
        /// Which end.
        end: PipeEndV1,
        /// F_GETPIPE_SZ in bytes.
        capacity: u32,
        /// Bytes in it.
        contents: Vec<u8>,
    },
    /// `eventfd(2)`.
    EventFd {
        /// Counter.
        count: u64,
        /// EFD_SEMAPHORE.
        semaphore: bool,
    },
    /// `timerfd_create(2)`.
    TimerFd {
        /// Clock.
        clock: i32,
        /// Expirations not read yet.
        ticks: u64,
        /// Flags of `timerfd_settime`.
        settime_flags: u32,
        /// Time to the next expiry in nanoseconds; zero when disarmed.
        value_ns: u64,
        /// Period in nanoseconds.
        interval_ns: u64,
    },
    /// `signalfd(2)`.
    SignalFd {
        /// Mask.
        mask: u64,
    },
    /// `epoll_create(2)`.
    Epoll {
        /// What it watches.
        watches: Vec<EpollWatchV1>,
    },
    /// `memfd_create(2)`.
    MemFd {
        /// Name.
        name: Vec<u8>,
        /// Inode, by which mappings refer to it.
        inode: u64,
        /// Seals (F_GET_SEALS).
        seals: u32,
        /// `st_mode` permission bits.
        mode: u32,
        /// Length in bytes.
        size: u64,
        /// The bytes, recorded for durable images only and with the first description that names the inode.
        contents: Vec<u8>,
    },
    /// A socket.
    Socket(SocketV1),
    /// `pidfd_open(2)`.
    PidFd {
        /// Process it refers to, -1 when gone.
        pid: i32,
    },
    /// `inotify_init(2)`; the lines of its fdinfo.
    Inotify {
        /// Watches as fdinfo prints them.
        watches: Vec<String>,
    },
    /// `fanotify_init(2)`; the lines of its fdinfo.
    Fanotify {
        /// Marks as fdinfo prints them.
        marks: Vec<String>,
    },
    /// A namespace or another file of nsfs.
    Namespace {
        /// Link target.
        target: Vec<u8>,
    },
    /// A description that is bound to the address space: userfaultfd, io_uring, KVM, RDMA.
    BoundToMemory {
        /// The kernel's name for it.
        name: String,
    },
    /// A kind that this version does not know.
    Unknown {
        /// The kernel's name for it.
        name: String,
    },
}

/// One entry of an epoll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpollWatchV1 {
    /// Descriptor number it was added under.
    pub descriptor: i32,
    /// Events, with EPOLLET and its like.
    pub events: u32,
    /// User data: a word of the program's.
    pub data: u64,
    /// Inode of the target, from fdinfo.
    pub inode: u64,
    /// The description it watches, when that is still open under a descriptor of the table.
    pub description: Option<DescriptionIdV1>,
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketV1 {
    /// Address family (AF_…).
    pub family: i32,
    /// Type (SOCK_STREAM, …).
    pub kind: i32,
    /// Protocol.
    pub protocol: i32,
    /// Inode.
    pub inode: u64,
    /// Where it is in its life.
    pub state: SocketStateV1,
    /// Local address as the bytes of `sockaddr`.
    pub local: Vec<u8>,
    /// Peer address as the bytes of `sockaddr`.
    pub peer: Vec<u8>,
    /// Inode of the peer, for a UNIX socket.
    pub peer_inode: Option<u64>,
    /// Listen backlog.
    pub backlog: u32,
    /// Options read at the capture: (level, name, value bytes).
    pub options: Vec<(i32, i32, Vec<u8>)>,
    /// Messages waiting to be received, recorded for UNIX sockets whose peer is inside the image.
    pub receive_queue: Vec<Vec<u8>>,
    /// Whether the receive queue holds descriptors or credentials that cannot be recorded.
    pub ancillary_queued: bool,
    /// Shut-down directions: bit 0 receiving, bit 1 sending.
    pub shutdown: u8,
}

/// Where a socket is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketStateV1 {
    /// Neither bound nor connected.
    Unbound,
    /// Bound only.
    Bound,
    /// Listening.
    Listening,
    /// Connected, or with a default peer.
    Connected,
    /// Being set up or torn down.
    Transient,
}
