//! Threads that are stopped, or struck by a signal, inside functions that change, away from any call; and in system calls.

mod common;
#[path = "common/moving.rs"]
mod moving;

use std::process::Command;

use common::Program;
use moving::{moved, version};

/// A thread that goes round without a call goes on in the new code with all that it has, there and back.
fn spinning(mode: &str, flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let versions = [1, 2].map(|number| version("spinning", directory.path(), number, flags));
    let mut program = Program::spawn(Command::new(&versions[0]).arg(mode));
    assert_eq!(program.line(), "running");
    for round in 1..=4 {
        moved(program.pid(), &versions[round % 2], None);
    }
    moved(program.pid(), &versions[1], None);
    let told = if mode == "multiply" { 10 } else { 1 };
    assert_eq!(program.ask("stop"), format!("{mode} right in version 2 told {told}"));
}

/// The same where the thread was struck by a signal and its handler waits.
fn struck(mode: &str, flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let versions = [1, 2].map(|number| version("spinning", directory.path(), number, flags));
    let mut program = Program::spawn(Command::new(&versions[0]).arg(mode));
    assert_eq!(program.line(), "running");
    for round in 1..=4 {
        assert_eq!(program.ask("strike"), "done");
        moved(program.pid(), &versions[round % 2], None);
        assert_eq!(program.ask("leave"), "done");
    }
    assert_eq!(program.ask("stop"), format!("{mode} right in version 1 told 0"));
}

fn blocked(flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let versions = [1, 2].map(|number| version("blocked", directory.path(), number, flags));
    let mut program = Program::start(&versions[0]);
    assert_eq!(program.ask("go"), "rounds 8 wrong 0 versions 8");
    moved(program.pid(), &versions[1], None);
    assert_eq!(program.ask("go"), "rounds 16 wrong 0 versions 16");
    assert_eq!(program.ask("go"), "rounds 24 wrong 0 versions 16");
    moved(program.pid(), &versions[0], None);
    moved(program.pid(), &versions[1], None);
    assert_eq!(program.ask("go"), "rounds 32 wrong 0 versions 16");
    moved(program.pid(), &versions[0], None);
    assert_eq!(program.ask("go"), "rounds 40 wrong 0 versions 8");
}

#[test]
fn a_loop_without_a_call_goes_on() {
    for level in ["-O0", "-O1", "-O2"] {
        spinning("spin", &[level]);
    }
}

#[test]
fn nested_loops_with_temporaries_go_on() {
    for level in ["-O0", "-O1", "-O2"] {
        spinning("multiply", &[level]);
    }
}

#[test]
fn what_a_signal_struck_goes_on() {
    for level in ["-O0", "-O1", "-O2"] {
        struck("spin", &[level]);
        struck("multiply", &[level]);
    }
}

#[test]
fn eight_system_calls_of_the_library_go_on() {
    for level in ["-O0", "-O1", "-O2"] {
        blocked(&[level]);
    }
}

#[test]
fn eight_system_calls_made_by_hand_go_on() {
    // Without optimisation their numbers come from variables.
    for level in ["-O1", "-O2"] {
        blocked(&[level, "-DRAW"]);
    }
}
