//! A snapshot with fixed values in which every variant of every saved type occurs, and the pages that go with it.
//!
//! `tests/golden/v1.dsu` was written from it. Never change a value here: see `golden.rs`.

use std::fs::File;
use std::path::Path;

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};
use dsu_formats::image::{ImageError, ImageReader, ImageWriter};
use dsu_formats::model::latest::*;

use super::descriptors::descriptors;

/// Identity of `tests/golden/v1-parent.dsu`.
pub const PARENT_IDENTITY: u32 = 0xb205_7e32;

/// Where the heap of the first process lies.
pub const HEAP: u64 = 0x5555_5560_0000;

/// The planner's report of the golden image.
pub const PLAN_REPORT: &[u8] = b"words rewritten: 42\n";

/// A page with a pattern that depends on `seed`.
pub fn page(seed: u8) -> Vec<u8> {
    (0..PAGE_SIZE).map(|at| (at as u8).wrapping_mul(seed).wrapping_add((at >> 8) as u8) ^ seed).collect()
}

/// Writes the golden image to a file.
pub fn write_image(file: File) -> Result<(), ImageError> {
    let mut writer = ImageWriter::to_file(file)?;
    // Stored, zero, stored; then two pages that continue the extent before them.
    writer.put_pages(0, RunAddress(HEAP), &[page(1), vec![0; PAGE_SIZE as usize], page(2)].concat())?;
    writer.put_pages(0, RunAddress(HEAP + 3 * PAGE_SIZE), &page(3))?;
    writer.put_pages(1, RunAddress(HEAP), &page(4))?;
    let reference = |start, pages, source| Extent { address_space: 0, start: RunAddress(start), pages, source };
    writer.put_reference(reference(HEAP + 4 * PAGE_SIZE, 3, PageSource::Parent))?;
    writer.put_reference(reference(HEAP + 8 * PAGE_SIZE, 2, PageSource::Holder))?;
    writer.set_plan_report(PLAN_REPORT.to_vec())?;
    writer.finish(&snapshot()).map(|_| ())
}

/// Writes the parent of the golden image to a file.
pub fn write_parent(file: File) -> Result<(), ImageError> {
    let mut writer = ImageWriter::to_file(file)?;
    writer.put_pages(0, RunAddress(HEAP), &[page(11), page(12), page(13), page(14), page(15)].concat())?;
    writer.put_pages(0, RunAddress(HEAP + 5 * PAGE_SIZE), &vec![0; PAGE_SIZE as usize])?;
    writer.put_pages(0, RunAddress(HEAP + 6 * PAGE_SIZE), &page(16))?;
    let mut snapshot = snapshot();
    snapshot.manifest.lineage = None;
    writer.finish(&snapshot).map(|_| ())
}

/// The bytes of an image that `write` writes.
pub fn bytes_of(write: impl FnOnce(File) -> Result<(), ImageError>) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    write(file.reopen().expect("the same file")).expect("an image");
    std::fs::read(file.path()).expect("its bytes")
}

/// The golden image, as it is written now.
pub fn image() -> ImageReader {
    ImageReader::from_bytes(bytes_of(write_image)).expect("a right image")
}

/// Path of a golden file.
pub fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Everything but the pages.
pub fn snapshot() -> Snapshot {
    Snapshot {
        manifest: manifest(),
        tree: Tree { processes: vec![process(0, 4711, 1), process(1, 4720, 4711)] },
        address_spaces: vec![first_space(), second_space()],
        modules: vec![module(0, b"/usr/bin/kvd", Some(vec![0xab; 20]), Some(0x7fff_f7ff_e2e0)), module(1, b"", None, None)],
        threads: vec![leader(), worker(), child()],
        signals: vec![signals(), ProcessSignals::default()],
        timers: vec![timers(), ProcessTimers::default()],
        descriptors: descriptors(),
        credentials: vec![credentials(), Credentials::default()],
        limits: vec![limits(), limits()],
        generations: vec![generation(), Generation::default()],
    }
}

fn manifest() -> Manifest {
    Manifest {
        engine_version: "0.1.0".into(),
        created_ns: 1_767_225_600_000_000_001,
        program: ProgramId {
            path: b"/usr/bin/kvd".to_vec(),
            build_id: Some(vec![0xab; 20]),
            device: 0x0801,
            inode: 131_073,
            size: 98_304,
            mtime_ns: -1,
            deleted: true,
        },
        host: Host {
            hostname: "golden".into(),
            kernel: "6.18.0".into(),
            vdso_crc: 0xdead_beef,
            vdso_len: 8192,
            xfeatures: 0xe7,
            cpu: "GenuineIntel, golden".into(),
            hwcap: [2, 0xbfeb_fbff],
        },
        lineage: Some(Lineage { parent: PARENT_IDENTITY, old_build_id: vec![1; 20], new_build_id: vec![2; 20] }),
    }
}

fn process(index: u32, pid: i32, ppid: i32) -> Process {
    Process {
        pid,
        ppid,
        pgid: 4711,
        sid: 4700,
        address_space: index,
        descriptor_table: index,
        filesystem: Filesystem { cwd: b"/var/lib/kvd".to_vec(), root: b"/".to_vec(), umask: 0o22 },
        dumpable: 1,
        child_subreaper: index == 0,
        personality: 0x0004_0000,
        oom_score_adj: -900,
        thp_disable: index == 1,
        membarrier_registrations: 0x14,
        children: vec![4800 + index as i32],
    }
}

fn mapping(start: u64, pages: u64, backing: Backing) -> Mapping {
    Mapping {
        range: RunRange::new(start, start + pages * PAGE_SIZE),
        protection: Protection { read: true, write: true, execute: false },
        sharing: Sharing::Private,
        backing,
        flags: MappingFlags::default(),
    }
}

fn file_backing(offset: u64, deleted: bool) -> Backing {
    let (path, build_id) = (b"/usr/bin/kvd".to_vec(), (!deleted).then(|| vec![0xab; 20]));
    Backing::File { path, device: 8 << 32 | 1, inode: 131_073, offset, deleted, size: 98_304, build_id }
}

fn text() -> Mapping {
    let protection = Protection { read: true, write: false, execute: true };
    Mapping { protection, ..mapping(0x5555_5555_4000, 4, file_backing(0, false)) }
}

fn first_space() -> AddressSpace {
    let every_flag = MappingFlags {
        grows_down: true,
        locked: true,
        locked_on_fault: true,
        no_reserve: true,
        dont_fork: true,
        dont_dump: true,
        wipe_on_fork: true,
        mergeable: true,
        huge_page: true,
        no_huge_page: true,
        sequential: true,
        random: true,
        hugetlb: true,
        device: true,
        userfault: true,
        protection_key: 15,
        shadow_stack: true,
        secret: true,
    };
    let shared = |mapping| Mapping { sharing: Sharing::Shared, ..mapping };
    AddressSpace {
        mappings: vec![
            text(),
            mapping(0x5555_5555_8000, 2, file_backing(0x4000, true)),
            mapping(HEAP, 16, Backing::Anonymous { name: None }),
            mapping(0x7fff_f000_0000, 1, Backing::Anonymous { name: Some(b"pool".to_vec()) }),
            shared(mapping(0x7fff_f100_0000, 2, Backing::SharedAnonymous { inode: 77, offset: 0x2000 })),
            shared(mapping(0x7fff_f200_0000, 1, Backing::SysV { id: 3, key: -559_038_737, offset: 0, deleted: true })),
            mapping(0x7fff_f7ff_7000, 4, Backing::Vvar { name: b"[vvar]".to_vec() }),
            mapping(0x7fff_f7ff_b000, 2, Backing::Vdso),
            mapping(0x7fff_f7ff_e000, 1, Backing::Anonymous { name: None }),
            Mapping { flags: every_flag, ..mapping(0x7fff_fffd_e000, 33, Backing::Anonymous { name: None }) },
            mapping(0xffff_ffff_ff60_0000, 1, Backing::Vsyscall),
        ],
        layout: layout(),
        lock_future: true,
    }
}

fn second_space() -> AddressSpace {
    let mappings = vec![text(), mapping(HEAP, 1, Backing::Anonymous { name: None })];
    AddressSpace { mappings, layout: Layout::default(), lock_future: false }
}

fn layout() -> Layout {
    Layout {
        start_code: RunAddress(0x5555_5555_4000),
        end_code: RunAddress(0x5555_5555_7f01),
        start_data: RunAddress(0x5555_5555_8d10),
        end_data: RunAddress(0x5555_5555_9020),
        start_brk: RunAddress(HEAP),
        brk: RunAddress(HEAP + 16 * PAGE_SIZE),
        start_stack: RunAddress(0x7fff_ffff_e4c0),
        arg_start: RunAddress(0x7fff_ffff_e7a1),
        arg_end: RunAddress(0x7fff_ffff_e7b9),
        env_start: RunAddress(0x7fff_ffff_e7b9),
        env_end: RunAddress(0x7fff_ffff_efe0),
        auxv: vec![(33, 0x7fff_f7ff_b000), (6, 4096), (0, 0)],
        exe: b"/usr/bin/kvd (deleted)".to_vec(),
    }
}

fn module(space: u32, path: &[u8], build_id: Option<Vec<u8>>, link_map: Option<u64>) -> Module {
    Module {
        address_space: space,
        path: path.to_vec(),
        build_id,
        bias: RunAddress(0x5555_5555_4000),
        range: RunRange::new(0x5555_5555_4000, 0x5555_5555_8000),
        link_map: link_map.map(RunAddress),
    }
}

/// A whole XSAVE area with the x87 and SSE components in use.
fn xstate(seed: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..832u32).map(|at| (at as u8).wrapping_mul(seed)).collect();
    bytes[512..576].fill(0);
    bytes[512] = 3;
    bytes
}

fn registers(seed: u64) -> Registers {
    let number = |at: u64| 0x0102_0304_0506_0708u64.wrapping_mul(at) ^ seed;
    Registers {
        r15: number(15),
        r14: number(14),
        r13: number(13),
        r12: number(12),
        rbp: number(5),
        rbx: number(3),
        r11: number(11),
        r10: number(10),
        r9: number(9),
        r8: number(8),
        rax: u64::MAX - 3,
        rcx: number(1),
        rdx: number(2),
        rsi: number(6),
        rdi: number(7),
        orig_rax: 202,
        rip: 0x5555_5555_5a10,
        cs: 0x33,
        eflags: 0x246,
        rsp: 0x7fff_ffff_e010,
        ss: 0x2b,
        fs_base: 0x7fff_f7ff_e740,
        gs_base: number(20),
        ds: number(21),
        es: number(22),
        fs: number(23),
        gs: number(24),
    }
}

fn leader() -> Thread {
    Thread {
        process: 0,
        tid: 4711,
        name: b"kvd".to_vec(),
        registers: registers(0),
        in_syscall: Some(InSyscall { number: 202, result: -512, restart: true }),
        xstate: xstate(3),
        signal_mask: 1 << 9,
        pending: vec![pending(12)],
        alt_stack: AltStack { base: RunAddress(HEAP + 0x1000), flags: 0, size: 8192 },
        robust_list: RobustList { head: RunAddress(0x7fff_f7ff_ea20), length: 24 },
        clear_tid: RunAddress(0x7fff_f7ff_ea10),
        rseq: Some(Rseq { address: RunAddress(0x7fff_f7ff_ed60), length: 32, signature: 0x5305_3053, flags: 0 }),
        affinity: vec![3, 0, 0, 0, 0, 0, 0, 0],
        scheduling: Scheduling { nice: -5, ..Scheduling::default() },
        io_priority: 0x4004,
        timer_slack_ns: 50_000,
        parent_death_signal: 15,
        seccomp_mode: 2,
        seccomp_filters: 1,
    }
}

fn worker() -> Thread {
    Thread {
        tid: 4712,
        name: b"kvd-worker".to_vec(),
        registers: registers(0x5a5a),
        in_syscall: None,
        xstate: xstate(5),
        pending: Vec::new(),
        alt_stack: AltStack { base: RunAddress(0), flags: 2, size: 0 },
        robust_list: RobustList::default(),
        clear_tid: RunAddress(0),
        rseq: None,
        scheduling: Scheduling {
            policy: 6,
            flags: 1,
            nice: 0,
            priority: 0,
            runtime_ns: 1_000_000,
            deadline_ns: 5_000_000,
            period_ns: 10_000_000,
        },
        parent_death_signal: 0,
        seccomp_mode: 0,
        seccomp_filters: 0,
        ..leader()
    }
}

fn child() -> Thread {
    Thread { process: 1, tid: 4720, ..worker() }
}

fn pending(signal: u8) -> Pending {
    let mut siginfo: Vec<u8> = (0..128).collect();
    siginfo[..4].copy_from_slice(&[signal, 0, 0, 0]);
    Pending { siginfo }
}

fn signals() -> ProcessSignals {
    let handler = |signal, handler| Handler {
        signal,
        handler: RunAddress(handler),
        flags: 0x1400_0004,
        restorer: RunAddress(0x7fff_f7c4_2520),
        mask: 1 << 14,
    };
    ProcessSignals { handlers: vec![handler(13, 1), handler(15, 0x5555_5555_5b00)], pending: vec![pending(10), pending(34)] }
}

fn timers() -> ProcessTimers {
    let posix = PosixTimer {
        id: 0,
        clock: 1,
        notify: 4,
        signal: 32,
        value: RunAddress(0x5555_5555_9000),
        thread: 4712,
        value_ns: 500_000_000,
        interval_ns: 1_000_000_000,
        overrun: 2,
    };
    let interval = |value_us, interval_us| IntervalTimer { value_us, interval_us };
    ProcessTimers { interval: [interval(1, 2), interval(3, 4), interval(5, 6)], posix: vec![posix] }
}

fn credentials() -> Credentials {
    Credentials {
        uids: [1000, 0, 1001, 1002],
        gids: [100, 101, 102, 103],
        groups: vec![4, 27, 100],
        capabilities: Capabilities { effective: 1, permitted: 3, inheritable: 4, bounding: u64::MAX >> 23, ambient: 8 },
        securebits: 0x2f,
        no_new_privs: true,
        keep_capabilities: true,
    }
}

fn limits() -> Limits {
    let limit = |at: u64| Limit { soft: at * 1024, hard: if at == 7 { u64::MAX } else { at * 2048 } };
    Limits { limits: (0..16).map(limit).collect() }
}

fn generation() -> Generation {
    let retained = |start, generation, readable| Retained {
        range: RunRange::new(start, start + PAGE_SIZE),
        generation,
        build_id: if readable { vec![7; 20] } else { Vec::new() },
        readable,
    };
    Generation { count: 2, retained: vec![retained(0x5555_5555_8000, 0, true), retained(0x5555_5555_9000, 1, false)] }
}
