//! The descriptors of the golden snapshot: every kind of open description.

use dsu_formats::model::latest::*;

/// Number of variants of [`Kind`], counted where the compiler knows them.
pub const KINDS: usize = 20;

/// A number for each kind; a new variant does not compile until it has one here, and in the fixture of its version.
pub fn kind_number(kind: &Kind) -> usize {
    match kind {
        Kind::Regular(_) => 0,
        Kind::Directory(_) => 1,
        Kind::Path(_) => 2,
        Kind::PlainDevice { .. } => 3,
        Kind::Terminal { .. } => 4,
        Kind::Device { .. } => 5,
        Kind::Pipe { .. } => 6,
        Kind::Fifo { .. } => 7,
        Kind::EventFd { .. } => 8,
        Kind::TimerFd { .. } => 9,
        Kind::SignalFd { .. } => 10,
        Kind::Epoll { .. } => 11,
        Kind::MemFd { .. } => 12,
        Kind::Socket(_) => 13,
        Kind::PidFd { .. } => 14,
        Kind::Inotify { .. } => 15,
        Kind::Fanotify { .. } => 16,
        Kind::Namespace { .. } => 17,
        Kind::BoundToMemory { .. } => 18,
        Kind::Unknown { .. } => 19,
    }
}

/// A number for each state of a socket.
pub fn state_number(state: SocketState) -> usize {
    match state {
        SocketState::Unbound => 0,
        SocketState::Bound => 1,
        SocketState::Listening => 2,
        SocketState::Connected => 3,
        SocketState::Transient => 4,
    }
}

/// All descriptors: one for each description in the first table, one of them twice, and one in the second.
pub fn descriptors() -> Descriptors {
    let descriptions: Vec<Description> = kinds().into_iter().enumerate().map(description).collect();
    let descriptor =
        |number, description| Descriptor { number, close_on_exec: number % 2 == 1, description: DescriptionId(description) };
    let mut first: Vec<Descriptor> = (0..descriptions.len() as u32).map(|at| descriptor(at as i32, at)).collect();
    first.push(descriptor(1023, 0));
    let tables = vec![DescriptorTable { descriptors: first }, DescriptorTable { descriptors: vec![descriptor(2, 3)] }];
    Descriptors { tables, descriptions }
}

fn description((index, kind): (usize, Kind)) -> Description {
    let lock = |class: &str, write, end| FileLock { class: class.into(), write, start: 16, end };
    let locks = match kind {
        Kind::Regular(_) => vec![
            lock("POSIX", true, 31),
            lock("OFDLCK", false, u64::MAX),
            lock("FLOCK", true, u64::MAX),
            lock("LEASE", false, u64::MAX),
        ],
        _ => Vec::new(),
    };
    Description {
        target: format!("target of {index}").into_bytes(),
        flags: 0o102_002,
        position: index as u64 * 10,
        owner: (1, 4711),
        signal: (index % 65) as i32,
        locks,
        kind,
    }
}

fn identity(path: &str) -> FileIdentity {
    FileIdentity {
        path: path.as_bytes().to_vec(),
        device: 0x0801,
        inode: 262_145,
        mode: 0o100_644,
        size: 1234,
        mtime_ns: 1_700_000_000_123_456_789,
        deleted: path.len() % 2 == 1,
    }
}

fn kinds() -> Vec<Kind> {
    let pipe =
        |end, contents: &[u8]| Kind::Pipe { inode: 900, end, capacity: 65_536, contents: contents.to_vec(), internal: true };
    let fifo = |end| Kind::Fifo { file: identity("/run/fifo"), end, capacity: 4096, contents: b"in a fifo".to_vec() };
    let mut kinds = vec![
        Kind::Regular(identity("/var/log/kvd.log")),
        Kind::Directory(identity("/var/lib/kvd")),
        Kind::Path(identity("/etc")),
        Kind::PlainDevice { file: identity("/dev/null"), device: 0x0103 },
        Kind::Terminal { file: identity("/dev/pts/0"), device: 0x8800 },
        Kind::Device { file: identity("/dev/sda"), device: 0x0800, block: true },
        pipe(PipeEnd::Read, b"in the pipe"),
        pipe(PipeEnd::Write, b""),
        fifo(PipeEnd::Both),
        Kind::EventFd { count: u64::MAX - 1, semaphore: true },
        Kind::TimerFd { clock: 7, ticks: 1, settime_flags: 3, value_ns: 250_000_000, interval_ns: 1_000_000_000 },
        Kind::SignalFd { mask: 1 << 1 | 1 << 14 },
        Kind::Epoll { watches: watches() },
        Kind::MemFd { name: b"arena".to_vec(), inode: 901, seals: 0xf, mode: 0o777, size: 5, contents: b"arena".to_vec() },
        Kind::PidFd { pid: -1 },
        Kind::Inotify { watches: vec!["inotify wd:1 ino:2 sdev:3 mask:fce".into()] },
        Kind::Fanotify { marks: vec!["fanotify flags:10 event-flags:0".into(), "fanotify mnt_id:12".into()] },
        Kind::Namespace { target: b"net:[4026531840]".to_vec() },
        Kind::BoundToMemory { name: "anon_inode:[userfaultfd]".into() },
        Kind::Unknown { name: "anon_inode:[something]".into() },
    ];
    kinds.extend(sockets());
    kinds
}

fn watches() -> Vec<EpollWatch> {
    let watch =
        |descriptor, description| EpollWatch { descriptor, events: 0x8000_2001, data: 0x5555_5555_9010, inode: 902, description };
    vec![watch(9, Some(DescriptionId(9))), watch(700, None)]
}

fn sockets() -> Vec<Kind> {
    use SocketState::*;
    let socket = |(state, family): (SocketState, i32)| Socket {
        family,
        kind: 1,
        protocol: if family == 1 { 0 } else { 6 },
        inode: 910 + state_number(state) as u64,
        state,
        local: vec![2, 0, 0x1f, 0x90, 127, 0, 0, 1],
        peer: if state == Connected { vec![1, 0, b'/', b's'] } else { Vec::new() },
        peer_inode: (state == Connected).then_some(913),
        backlog: 128,
        options: vec![(1, 2, vec![1, 0, 0, 0]), (6, 1, vec![0, 0, 0, 0])],
        receive_queue: if family == 1 { vec![b"first message".to_vec(), Vec::new()] } else { Vec::new() },
        ancillary_queued: state == Transient,
        shutdown: 3,
    };
    [(Unbound, 2), (Bound, 2), (Listening, 10), (Connected, 1), (Transient, 2)].map(|state| Kind::Socket(socket(state))).into()
}
