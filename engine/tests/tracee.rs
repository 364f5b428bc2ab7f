//! A real process is stopped, called into and let go; it must not notice.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::Program;
use dsu_engine::tracee::adopt;
use dsu_engine::tracee::error::{Refusal, TraceeError};
use dsu_engine::tracee::inject::Injector;
use dsu_engine::tracee::target::Target;

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn steady() -> (tempfile::TempDir, Program) {
    let directory = tempfile::tempdir().unwrap();
    let binary = Program::compile("steady", directory.path(), &[]);
    let mut program = Program::start(&binary);
    assert_eq!(program.ask("check"), "right 0");
    (directory, program)
}

fn maps(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap()
}

#[test]
fn a_process_that_was_stopped_goes_on_unchanged() {
    let (_directory, mut program) = steady();
    let stopped = Target::open(program.pid()).unwrap().stop(deadline()).unwrap();
    assert_eq!(stopped.threads().len(), 5);
    assert_eq!(stopped.threads()[0].tid, program.pid());
    let target = stopped.resume();
    assert_eq!(program.ask("check"), "right 0");
    drop(target.stop(deadline()).unwrap());
    assert_eq!(program.ask("check"), "right 0");
}

#[test]
fn calls_run_in_every_thread_and_leave_no_trace() {
    let (_directory, mut program) = steady();
    let before = maps(program.pid());
    let mut target = Target::open(program.pid()).unwrap();
    for _ in 0..20 {
        let mut borrowed = target.stop(deadline()).unwrap().borrow().unwrap();
        for tid in borrowed.threads().to_vec() {
            assert_eq!(borrowed.call(tid, "gettid", libc::SYS_gettid, &[]).unwrap(), tid as u64);
        }
        let refused = borrowed.leader_call("close", libc::SYS_close, &[999_999]);
        assert!(matches!(refused, Err(TraceeError::Call { source: nix::errno::Errno::EBADF, .. })), "{refused:?}");
        target = borrowed.give_back().unwrap().resume();
    }
    assert_eq!(program.ask("check"), "right 0");
    assert_eq!(maps(program.pid()), before);
}

#[test]
fn descriptors_travel_both_ways() {
    use std::io::Read;
    use std::os::fd::AsFd;
    let (_directory, mut program) = steady();
    let mut borrowed = Target::open(program.pid()).unwrap().stop(deadline()).unwrap().borrow().unwrap();
    let file = std::fs::File::open("/proc/version").unwrap();
    let number = borrowed.import(file.as_fd()).unwrap();
    let mut back = std::fs::File::from(borrowed.export(number).unwrap());
    let mut text = String::new();
    back.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("Linux version"));
    // What was brought in goes when the process is given back.
    drop(borrowed.give_back().unwrap());
    assert!(!std::path::Path::new(&format!("/proc/{}/fd/{number}", program.pid())).exists());
    assert_eq!(program.ask("check"), "right 0");
}

/// The engine's part of the next test, in a process of its own: calls without end until it is killed.
#[test]
fn engine_that_will_be_killed() {
    let Ok(pid) = std::env::var("DSU_TEST_INJECT_INTO") else { return };
    let pid: i32 = pid.parse().unwrap();
    loop {
        let target = match Target::open(pid) {
            Ok(target) => target,
            Err(TraceeError::Refused { reason: Refusal::Traced { .. }, .. }) => continue,
            Err(error) => panic!("the program is lost: {error}"),
        };
        let Ok(mut borrowed) = target.stop(deadline()).unwrap().borrow() else { continue };
        println!("injecting");
        for tid in borrowed.threads().to_vec() {
            borrowed.call(tid, "gettid", libc::SYS_gettid, &[]).unwrap();
        }
        drop(borrowed.give_back());
    }
}

#[test]
fn a_process_outlives_an_engine_that_is_killed_in_mid_injection() {
    let (_directory, mut program) = steady();
    let before = maps(program.pid());
    let rounds = std::env::var("DSU_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    for round in 0..rounds {
        let mut engine = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine_that_will_be_killed", "--nocapture"])
            .env("DSU_TEST_INJECT_INTO", program.pid().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut output = std::io::BufReader::new(engine.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("injecting") {
            line.clear();
            assert_ne!(std::io::BufRead::read_line(&mut output, &mut line).unwrap(), 0, "the engine ended by itself");
        }
        // Every round spins a little longer, so that the kills fall on different instructions of the engine.
        for _ in 0..(round * 7919) % 40_000 {
            std::hint::spin_loop();
        }
        engine.kill().unwrap();
        engine.wait().unwrap();
        if round % 10 == 9 {
            assert_eq!(program.ask("check"), "right 0", "after {} kills", round + 1);
        }
    }
    assert_eq!(program.ask("check"), "right 0");
    // What the last one left is removed; what those before it left, by the next one each.
    adopt::clear(program.pid(), deadline()).unwrap();
    assert_eq!(maps(program.pid()), before);
}
