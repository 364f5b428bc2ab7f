//! A running process goes through the vessel and comes out the same.

mod common;

use std::time::{Duration, Instant};

use common::Program;
use dsu_engine::plan;
use dsu_engine::tracee::target::Target;
use dsu_engine::update::capture::{self, Facts, Purpose};
use dsu_engine::update::journal::Journal;
use dsu_engine::update::timeline::Timeline;
use dsu_engine::update::transaction::Transaction;
use dsu_engine::vessel::files::MappedFiles;
use dsu_engine::vessel::stock::Stock;
use dsu_formats::model::latest::{Host, ProgramId};

fn facts() -> Facts {
    let program = ProgramId { path: Vec::new(), build_id: None, device: 0, inode: 0, size: 0, mtime_ns: 0, deleted: false };
    let host = Host {
        hostname: String::new(),
        kernel: String::new(),
        vdso_crc: 0,
        vdso_len: 0,
        xfeatures: 0,
        cpu: String::new(),
        hwcap: [0; 2],
    };
    Facts { program, host }
}

fn go_through(pid: i32, directory: &std::path::Path, stock: &Stock) -> f64 {
    let exe = std::fs::File::open(format!("/proc/{pid}/exe")).unwrap();
    let target = Target::open(pid).unwrap();
    let mut timeline = Timeline::start();
    timeline.pause();
    let mut borrowed = target.stop(Instant::now() + Duration::from_secs(5)).unwrap().borrow().unwrap();
    timeline.mark("stop");
    let captured = capture::capture(&mut borrowed, &facts(), Purpose::Update).unwrap();
    timeline.mark("capture");
    assert_eq!(captured.obstacles, []);
    let rewrite = plan::identity(&captured.snapshot);
    let journal = Journal::of_process(directory, 0);
    let transaction = Transaction {
        captured: &captured,
        rewrite: &rewrite,
        new_program: &exe,
        old_program: &exe,
        journal: &journal,
        stock,
        stopped_at: Instant::now(),
        start_time: 0,
    };
    drop(transaction.run(borrowed, MappedFiles::default(), &mut timeline).unwrap());
    eprintln!("{:?}", timeline.steps());
    timeline.pause_ms()
}

#[test]
fn a_process_comes_out_of_the_vessel_as_it_went_in() {
    let directory = tempfile::tempdir().unwrap();
    let binary = Program::compile("steady", directory.path(), &[]);
    let mut program = Program::start(&binary);
    assert_eq!(program.ask("check"), "right 0");
    for round in 0..5 {
        let pause = go_through(program.pid(), directory.path(), &Stock::default());
        eprintln!("pause {pause:.2} ms");
        assert_eq!(program.ask("check"), "right 0", "after round {round}");
    }
}

/// `Rss`, `AnonHugePages` in KiB and `VmFlags` of the mapping at `start`.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    resident: u64,
    huge: u64,
    flags: String,
}

/// Entries of `/proc/PID/smaps` in order, with their addresses.
fn entries(pid: i32) -> Vec<(u64, Entry)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut entries: Vec<(u64, Entry)> = Vec::new();
    for line in text.lines() {
        let (key, rest) = line.split_once([':', '-']).unwrap();
        let number = || rest.trim().trim_end_matches(" kB").parse().unwrap();
        if key.starts_with(char::is_uppercase) {
            let entry = &mut entries.last_mut().unwrap().1;
            match key {
                "Rss" => entry.resident = number(),
                "AnonHugePages" => entry.huge = number(),
                "VmFlags" => entry.flags = rest.trim().to_owned(),
                _ => {}
            }
        } else {
            entries.push((u64::from_str_radix(key, 16).unwrap(), Entry { resident: 0, huge: 0, flags: String::new() }));
        }
    }
    entries
}

/// The entry that `address` lies in.
fn entry_at(entries: &[(u64, Entry)], address: u64) -> &Entry {
    &entries.iter().rev().find(|(start, _)| *start <= address).unwrap().1
}

/// Pages become huge only where all of one were there and the program has nothing against it, and no flag of a mapping changes.
#[test]
fn much_memory_comes_out_as_large_as_it_was_and_no_larger() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = Program::start(&Program::compile("large", directory.path(), &[]));
    let starts: Vec<u64> = program.ask("where").split(' ').map(|address| u64::from_str_radix(address, 16).unwrap()).collect();
    let &[plain, with_gaps, refusing, asking, other] = starts.as_slice() else { panic!("{starts:?}") };
    let modes = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let may_be_huge = modes.contains("[always]") || modes.contains("[madvise]");
    let before = entries(program.pid());
    for round in 0..3 {
        let stock = if round == 0 { Stock::of(64 << 20, Duration::from_secs(60)) } else { Stock::default() };
        let pause = go_through(program.pid(), directory.path(), &stock);
        eprintln!("pause {pause:.2} ms");
        assert_eq!(stock.bytes(), 0, "what was set aside is free again");
        let after = entries(program.pid());
        assert_eq!(program.ask("check"), "wrong 0", "after round {round}");
        for start in [plain, with_gaps, refusing, asking, other] {
            let (old, new) = (entry_at(&before, start), entry_at(&after, start));
            assert_eq!((old.resident, &old.flags), (new.resident, &new.flags), "at {start:#x} after round {round}");
        }
        assert_eq!(entry_at(&after, refusing).huge, 0);
        // How many depends on how fast the kernel finds them; the first ones are always asked for.
        let huge: u64 = starts.iter().map(|start| entry_at(&after, *start).huge).sum();
        assert_eq!(huge > 0, may_be_huge);
        let threads = std::fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap().count();
        assert_eq!(threads, 1, "helping threads are gone");
        assert_eq!(program.ask("stir"), "stirred 0");
        assert_eq!(program.ask("check"), "wrong 0", "after round {round}");
    }
}
