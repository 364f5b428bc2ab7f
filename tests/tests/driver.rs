//! A test of the tests: the driver sees what it exists to see.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};

use dsu_tests::build::{self, Style, Version};
use dsu_tests::catalogue::{IDLE, find};
use dsu_tests::leaks;
use dsu_tests::observe::{Growth, Registers, Snapshot};
use dsu_tests::target::{Event, Target};

fn start(name: &str) -> Target {
    let program = if name == "idle" { IDLE } else { find(name) };
    let mut target = Target::start(&program, &build::program(&program, Version::One, Style::USUAL));
    assert_eq!(target.event(), Event::Ready);
    target
}

/// Address of the first byte of the program's writable data.
fn writable_data(target: &Target, program: &str) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{}/maps", target.pid())).expect("maps");
    let line = maps.lines().find(|line| line.contains(" rw-p ") && line.contains(program)).expect("writable data");
    u64::from_str_radix(line.split('-').next().expect("an address"), 16).expect("a number")
}

#[test]
fn a_snapshot_is_the_same_while_nothing_happens() {
    for name in ["idle", "cond_wait", "block_read_pipe", "itimer"] {
        let target = start(name);
        let before = Snapshot::take(target.pid(), Registers::Read);
        Snapshot::take(target.pid(), Registers::Read).assert_same_as(&before, name);
    }
}

#[test]
fn a_snapshot_shows_one_changed_byte() {
    let target = start("idle");
    let before = Snapshot::take(target.pid(), Registers::Read);
    let memory = OpenOptions::new().write(true).open(format!("/proc/{}/mem", target.pid())).expect("mem");
    memory.write_all_at(&[0x5a], writable_data(&target, "idle")).expect("a byte is written");
    let after = Snapshot::take(target.pid(), Registers::Read);
    assert!(catch_unwind(AssertUnwindSafe(|| after.assert_same_as(&before, "idle"))).is_err());
}

#[test]
fn a_wrong_version_is_noticed() {
    let mut target = start("idle");
    target.go(2);
    assert!(matches!(target.event(), Event::Wrong(line) if line.contains("version of the code that runs")));
    assert!(matches!(target.event(), Event::Ended(how) if how == "exit status 1"));
}

#[test]
fn a_killed_program_is_noticed() {
    let mut target = start("idle");
    nix::sys::signal::kill(target.pid(), nix::sys::signal::Signal::SIGSEGV).expect("kill");
    assert!(matches!(target.event(), Event::Ended(how) if how == "killed by SIGSEGV"));
}

#[test]
fn growth_is_noticed() {
    let small = start("idle");
    let large = start("malloc_stress");
    let [small, large] = [small.pid(), large.pid()].map(Growth::measure);
    small.assert_no_more_than(&large, "a small program");
    assert!(catch_unwind(|| large.assert_no_more_than(&small, "a large program")).is_err());
}

#[test]
fn a_process_left_behind_is_found_and_ended() {
    let marker = format!("driver-{}", std::process::id());
    let mut child = Command::new("cat").env(leaks::MARKER, &marker).stdin(Stdio::piped()).spawn().expect("cat starts");
    let nobody = nix::unistd::Pid::from_raw(-1);
    let found = leaks::find(&marker, nobody);
    assert_eq!(found.iter().map(|found| found.pid).collect::<Vec<_>>(), [child.id() as i32]);
    leaks::end(&marker, nobody);
    assert_eq!(leaks::find(&marker, nobody), []);
    // Reaped by number already; std may find nothing to wait for.
    let _ = child.wait();
    assert!(File::open(format!("/proc/{}/stat", child.id())).is_err());
}
