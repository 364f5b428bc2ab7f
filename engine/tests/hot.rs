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

fn go_through(pid: i32, directory: &std::path::Path) -> f64 {
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
    let journal = Journal::in_directory(directory);
    let transaction = Transaction {
        captured: &captured,
        rewrite: &rewrite,
        new_program: &exe,
        old_program: &exe,
        journal: &journal,
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
        let pause = go_through(program.pid(), directory.path());
        eprintln!("pause {pause:.2} ms");
        assert_eq!(program.ask("check"), "right 0", "after round {round}");
    }
}
