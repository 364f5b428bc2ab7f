//! Threads that are let on by single instructions to where they can go on in the new code.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dsu_engine::tracee::fault::{self, Fault};
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::operation::UpdateOutcome;

use crate::common::Program;
use crate::moving::{self, move_within, version};

/// Enough on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn versions(directory: &Path, flags: &[&str]) -> [PathBuf; 2] {
    [1, 2].map(|number| version("stepped", directory, number, flags))
}

pub(crate) fn start(binary: &Path, arguments: &[&str]) -> Program {
    let mut program = match arguments {
        [] => Program::start(binary),
        _ => Program::spawn(Command::new(binary).args(arguments)),
    };
    assert_eq!(program.line(), "running");
    program
}

/// Moves a process; whether threads were let on by single instructions for it.
fn moved(pid: i32, program: &Path) -> bool {
    match move_within(PATIENCE, pid, program, None) {
        Ok(UpdateOutcome::Updated(updated)) => updated.steps.iter().any(|step| step.name == "step"),
        Ok(UpdateOutcome::UpToDate { .. }) => panic!("two versions with one build-id"),
        Err(UpdateError::Blocked { blockers, obstacles }) => {
            panic!("{obstacles:?}\n{}", blockers.iter().map(|blocker| format!("{blocker}\n")).collect::<String>())
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// There and back, with signals on the way where the program is told a number of them. Of so many updates some must have found a thread where
/// it cannot go on: that is nine tenths of the code or more.
pub(crate) fn there_and_back(arguments: &[&str], flags: &[&str]) -> Program {
    let directory = tempfile::tempdir().unwrap();
    let versions = versions(directory.path(), flags);
    let mut program = start(&versions[0], arguments);
    assert_eq!(program.ask("signals"), "done");
    let stepped = (1..=6).filter(|round| moved(program.pid(), &versions[round % 2])).count();
    assert!(stepped > 0, "{arguments:?} {flags:?}: no thread was let on by single instructions");
    program
}

#[test]
fn a_thread_that_can_go_on_at_few_places_comes_to_one() {
    for level in ["-O0", "-O2"] {
        let mut program = there_and_back(&["alone"], &[level]);
        assert_eq!(program.ask("stop"), "alone right in version 1");
    }
}

#[test]
fn threads_that_wait_for_each_other_come_to_places_at_one_time() {
    for level in ["-O0", "-O2"] {
        let mut program = there_and_back(&["pair"], &[level]);
        assert_eq!(program.ask("stop"), "pair right in version 1");
        assert_eq!(program.line(), "pair right in version 1");
    }
}

#[test]
fn signals_are_delivered_while_threads_are_let_on() {
    for mode in ["alone", "pair"] {
        let mut program = there_and_back(&[mode, "400"], &["-O2"]);
        assert_eq!(program.ask("stop"), format!("{mode} right in version 1"));
        if mode == "pair" {
            program.line();
        }
        assert_eq!(program.line(), "signals 400");
    }
}

#[test]
fn a_blocked_trap_stays_blocked() {
    let mut program = there_and_back(&["alone", "0", "blocked"], &["-O2"]);
    assert_eq!(program.ask("stop"), "alone right in version 1");
}

#[test]
fn a_repeated_instruction_that_is_half_done_is_no_place_to_go_on_at() {
    for level in ["-O1", "-O2"] {
        let directory = tempfile::tempdir().unwrap();
        let versions = versions(directory.path(), &[level]);
        let mut program = start(&versions[0], &["fill"]);
        for round in 1..=6 {
            // Each round is long; it may also be refused.
            match move_within(Duration::from_secs(3), program.pid(), &versions[round % 2], None) {
                Ok(_) | Err(UpdateError::Blocked { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(program.ask("stop").starts_with("fill right in version "));
    }
}

#[test]
fn a_thread_that_comes_to_a_call_that_waits_is_left_in_it() {
    for level in ["-O0", "-O2"] {
        let directory = tempfile::tempdir().unwrap();
        let versions = versions(directory.path(), &[level]);
        let mut program = start(&versions[0], &["read"]);
        for round in 0..10 {
            if round % 3 == 0 {
                let refused = move_within(Duration::from_millis(300), program.pid(), &versions[1], None);
                assert!(matches!(refused, Err(UpdateError::Blocked { .. })), "{refused:?}");
            }
            assert_eq!(program.ask("byte"), "done");
        }
        assert_eq!(program.ask("stop"), "read right in version 1");
    }
}

/// The engine's part of the test below, in a process of its own, since the fault ends it.
#[test]
fn engine_with_a_fault() {
    let Ok(pid) = std::env::var("DSU_TEST_STEPPED") else { return };
    fault::arm(Fault::parse_all(&std::env::var("DSU_TEST_FAULT").unwrap()).unwrap());
    let program = PathBuf::from(std::env::var_os("DSU_TEST_PROGRAM").unwrap());
    let moved = move_within(PATIENCE, pid.parse().unwrap(), &program, None);
    assert!(moved.is_ok(), "{moved:?}");
}

/// Whether the process has a handler of SIGTRAP.
fn catches_trap(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << 4 != 0
}

#[test]
fn the_process_goes_on_when_the_engine_dies_between_two_steps() {
    outlives("alone", "step", &[1, 2, 3, 4, 6, 9, 13, 20]);
}

#[test]
fn the_process_goes_on_when_the_engine_dies_while_a_thread_runs_to_its_return() {
    outlives("kernel", "run", &[1, 1, 1, 2]);
}

/// Updates of a program whose engine dies at these passages of a step.
fn outlives(mode: &str, step: &str, passages: &[u32]) {
    let directory = tempfile::tempdir().unwrap();
    let versions = versions(directory.path(), &["-O2"]);
    let mut program = start(&versions[0], &[mode]);
    let mut killed = 0;
    for (round, passage) in passages.iter().enumerate() {
        let current = std::fs::read_link(format!("/proc/{}/exe", program.pid())).unwrap();
        let next = versions.iter().find(|version| **version != current).unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "steps::engine_with_a_fault", "--nocapture"])
            .env("DSU_TEST_STEPPED", program.pid().to_string())
            .env("DSU_TEST_PROGRAM", next)
            .env("DSU_TEST_FAULT", format!("die:{step}:{passage}"))
            .output()
            .unwrap();
        let died = output.status.signal() == Some(9);
        assert!(died || output.status.success(), "round {round}: {}", String::from_utf8_lossy(&output.stderr));
        killed += u32::from(died);
        assert_eq!(program.ask("nothing"), "done");
    }
    assert!(killed > 0, "no fault struck");
    // What the last engine left goes with an update.
    for version in [1, 0, 1] {
        let current = std::fs::read_link(format!("/proc/{}/exe", program.pid())).unwrap();
        if versions[version] != current {
            moving::moved(program.pid(), &versions[version], None);
        }
    }
    assert!(!catches_trap(program.pid()));
    assert_eq!(program.ask("stop"), format!("{mode} right in version 2"));
}

#[test]
fn a_function_that_takes_long_is_let_run_to_its_return() {
    for level in ["-O0", "-O2"] {
        let mut program = there_and_back(&["kernel"], &[level]);
        assert_eq!(program.ask("stop"), "kernel right in version 1");
    }
    let mut program = there_and_back(&["kernel", "400"], &["-O2"]);
    assert_eq!(program.ask("stop"), "kernel right in version 1");
    assert_eq!(program.line(), "signals 400");
}
