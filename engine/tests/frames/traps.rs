//! What steps may meet: traps that somebody sends, breakpoints of the program's own, the kernel's code in the process, restartable sequences.

use std::time::{Duration, Instant};

use dsu_engine::tracee::step::{Stepped, Stepping};
use dsu_engine::tracee::target::Target;
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::operation::UpdateOutcome;

use crate::common::Program;
use crate::moving::{move_within, moved};
use crate::steps::{start, there_and_back, versions};

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A program of one mode, with the thread that is to be stepped: all that it has besides the leader.
fn running(arguments: &[&str]) -> (tempfile::TempDir, Program) {
    let directory = tempfile::tempdir().unwrap();
    let [binary, _] = versions(directory.path(), &["-O2"]);
    let program = start(&binary, arguments);
    (directory, program)
}

/// The first thread besides the leader: the program makes it first.
fn worker(stepping: &Stepping) -> i32 {
    stepping.threads()[1].tid
}

#[test]
fn a_trap_that_somebody_sends_is_left_to_whoever_waits_for_it() {
    const SENT: &str = "3000";
    let (_directory, mut program) = running(&["alone", SENT, "sent"]);
    assert_eq!(program.ask("signals"), "done");
    let (mut held, until) = (0, deadline());
    // The child sends the next one when the last was received; one that waits at a stop keeps the engine from steps.
    while held < 5 {
        assert!(Instant::now() < until, "only {held} traps came while a thread was stepped");
        let stopped = Target::open(program.pid()).unwrap().stop(deadline()).unwrap();
        if !stopped.can_step() {
            continue;
        }
        let mut stepping = stopped.step().unwrap();
        let tid = worker(&stepping);
        let window = Instant::now() + Duration::from_millis(20);
        let mut last = Stepped::On;
        while last == Stepped::On && Instant::now() < window {
            last = stepping.step(tid).unwrap();
        }
        let stopped = stepping.finish().unwrap();
        let is_trap =
            |pending: &dsu_formats::model::latest::Pending| pending.siginfo.first_chunk() == Some(&libc::SIGTRAP.to_le_bytes());
        let waits = stopped.shared_pending().iter().any(is_trap);
        assert!(!stopped.threads().iter().any(|thread| thread.pending.iter().any(is_trap)), "it was sent to the process");
        if last == Stepped::Held {
            assert!(waits, "the trap that ended the steps is gone");
            held += 1;
        }
        drop(stopped.resume());
    }
    assert_eq!(program.ask("stop"), "alone right in version 1");
    assert_eq!(program.line(), format!("signals {SENT}"));
}

#[test]
fn traps_that_somebody_sends_arrive_during_updates() {
    let mut program = there_and_back(&["alone", "3000", "sent"], &["-O2"]);
    assert_eq!(program.ask("stop"), "alone right in version 1");
    assert_eq!(program.line(), "signals 3000");
}

#[test]
fn a_program_with_breakpoints_of_its_own_is_not_stepped() {
    let directory = tempfile::tempdir().unwrap();
    let versions = versions(directory.path(), &["-O2"]);
    let mut program = start(&versions[0], &["int3"]);
    let stopped = Target::open(program.pid()).unwrap().stop(deadline()).unwrap();
    assert!(!stopped.can_step());
    drop(stopped.resume());
    for round in 1..=4 {
        match move_within(Duration::from_secs(2), program.pid(), &versions[round % 2], None) {
            Ok(UpdateOutcome::Updated(updated)) => assert!(updated.steps.iter().all(|step| step.name != "step")),
            Ok(UpdateOutcome::UpToDate { .. }) | Err(UpdateError::Blocked { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(program.ask("stop").starts_with("int3 right in version "));
}

/// Where the kernel's own code is.
fn vdso(pid: i32) -> std::ops::Range<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let line = maps.lines().find(|line| line.ends_with("[vdso]")).expect("the kernel's code in the process");
    let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
    u64::from_str_radix(start, 16).unwrap()..u64::from_str_radix(end, 16).unwrap()
}

#[test]
fn a_thread_in_the_kernels_own_code_is_stepped_like_any_other() {
    let (_directory, mut program) = running(&["clock"]);
    let vdso = vdso(program.pid());
    let mut stepping = Target::open(program.pid()).unwrap().stop(deadline()).unwrap().step().unwrap();
    let tid = worker(&stepping);
    let (mut inside, mut outside) = (0, 0);
    for _ in 0..3000 {
        match stepping.step(tid).unwrap() {
            Stepped::On => {}
            other => panic!("{other:?} at {:?}", stepping.place(tid)),
        }
        let place = stepping.place(tid).unwrap();
        *if vdso.contains(&place.0) { &mut inside } else { &mut outside } += 1;
    }
    assert!(inside > 100 && outside > 100, "{inside} steps inside, {outside} outside");
    drop(stepping.finish().unwrap().resume());
    assert_eq!(program.ask("stop"), "clock right in version 1");
}

/// Six times; most of the time such a thread can go on where it is.
fn moves(mode: &str) {
    for level in ["-O0", "-O2"] {
        let directory = tempfile::tempdir().unwrap();
        let versions = versions(directory.path(), &[level]);
        let mut program = start(&versions[0], &[mode]);
        (1..=6).for_each(|round| moved(program.pid(), &versions[round % 2], None));
        assert_eq!(program.ask("stop"), format!("{mode} right in version 1"));
    }
}

#[test]
fn threads_that_ask_for_the_time_are_moved() {
    moves("clock");
}

#[test]
fn a_thread_in_a_restartable_sequence_is_left_there() {
    let (_directory, mut program) = running(&["sequence"]);
    let places = program.ask("places");
    let (begins, ends) = places.split_once(' ').unwrap();
    let sequence = begins.parse::<u64>().unwrap()..ends.parse::<u64>().unwrap();
    let mut target = Target::open(program.pid()).unwrap();
    for _ in 0..5 {
        let mut stepping = target.stop(deadline()).unwrap().step().unwrap();
        let tid = worker(&stepping);
        let mut last = Stepped::On;
        for _ in 0..1000 {
            let before = stepping.place(tid).unwrap();
            last = stepping.step(tid).unwrap();
            assert!(last != Stepped::On || !sequence.contains(&before.0), "stepped within the sequence");
            if last != Stepped::On {
                break;
            }
        }
        assert_eq!(last, Stepped::Stays);
        assert_eq!(stepping.place(tid).unwrap().0, sequence.start, "the sequence has just begun");
        let stopped = stepping.finish().unwrap();
        let goes_on = stopped.threads().iter().find(|thread| thread.tid == tid).unwrap().registers.rip;
        assert!(!sequence.contains(&goes_on), "it is given up");
        target = stopped.resume();
    }
    drop(target);
    assert_eq!(program.ask("stop"), "sequence right in version 1");
}

#[test]
fn threads_in_restartable_sequences_are_moved() {
    moves("sequence");
}
