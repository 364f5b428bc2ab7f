//! A real process is stopped, called into and let go; it must not notice.

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::Program;
use dsu_engine::tracee::adopt;
use dsu_engine::tracee::batch::Call;
use dsu_engine::tracee::borrowed::Undo;
use dsu_engine::tracee::calls::{self, Compared};
use dsu_engine::tracee::error::{Refusal, TraceeError};
use dsu_engine::tracee::inject::Injector;
use dsu_engine::tracee::procfs;
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

/// Calls in every thread, two in each, that take off what an exec would act upon.
fn farewell(tids: &[i32]) -> Vec<(Call, Undo)> {
    let lists = tids.iter().map(|tid| {
        let (head, length) = calls::get_robust_list(*tid).unwrap();
        let undo = Undo { number: libc::SYS_set_robust_list, arguments: vec![head, length] };
        (Call::new(*tid, "set_robust_list", libc::SYS_set_robust_list, [0, length]), undo)
    });
    let nothing = Undo { number: libc::SYS_gettid, arguments: Vec::new() };
    lists.chain(tids.iter().map(|tid| (Call::new(*tid, "gettid", libc::SYS_gettid, []), nothing.clone()))).collect()
}

fn robust_lists(pid: i32) -> Vec<(u64, u64)> {
    procfs::thread_ids(pid).unwrap().into_iter().map(|tid| calls::get_robust_list(tid).unwrap()).collect()
}

/// The lists once every thread has come to register its own.
fn settled_lists(pid: i32) -> Vec<(u64, u64)> {
    let deadline = deadline();
    loop {
        let lists = robust_lists(pid);
        if lists.iter().all(|(head, _)| *head != 0) {
            return lists;
        }
        assert!(Instant::now() < deadline, "a thread without a robust list: {lists:x?}");
        std::thread::yield_now();
    }
}

#[test]
fn calls_run_side_by_side_and_are_undone() {
    let (_directory, mut program) = steady();
    let before = settled_lists(program.pid());
    let mut borrowed = Target::open(program.pid()).unwrap().stop(deadline()).unwrap().borrow().unwrap();
    let tids = borrowed.threads().to_vec();
    let answers = borrowed.call_all_undoable(&farewell(&tids)).unwrap();
    let expected: Vec<u64> = tids.iter().map(|_| 0).chain(tids.iter().map(|tid| *tid as u64)).collect();
    assert_eq!(answers, expected);
    assert!(robust_lists(program.pid()).iter().all(|(head, _)| *head == 0));
    let refused = Call::new(tids[1], "close", libc::SYS_close, [999_999]);
    let fine = Call::new(tids[1], "gettid", libc::SYS_gettid, []);
    let mixed = borrowed.call_each(&[refused, fine]).unwrap();
    assert_eq!(mixed, [Err(nix::errno::Errno::EBADF), Ok(tids[1] as u64)]);
    drop(borrowed.give_back().unwrap());
    assert_eq!(robust_lists(program.pid()), before);
    assert_eq!(program.ask("check"), "right 0");
}

#[test]
fn a_holder_is_nobodys_child_and_goes_with_the_process_given_back() {
    let (_directory, mut program) = steady();
    let mut borrowed = Target::open(program.pid()).unwrap().stop(deadline()).unwrap().borrow().unwrap();
    let holder = borrowed.start_holder().unwrap();
    let pid = holder.pid();
    assert_ne!(procfs::read_text(pid, "stat").unwrap().split_whitespace().nth(3), Some(program.pid().to_string().as_str()));
    assert!(calls::shares(Compared::Memory, program.pid(), pid).unwrap());
    assert_eq!(procfs::descriptor_numbers(pid).unwrap(), Vec::<i32>::new());
    drop(borrowed.give_back().unwrap());
    holder.end();
    assert!(procfs::has_ended(pid));
    let children = procfs::read_text(program.pid(), &format!("task/{}/children", program.pid())).unwrap();
    assert_eq!(children, "");
    assert_eq!(program.ask("check"), "right 0");
}

/// Waits for threads that a killed engine left on their way to undo what it did.
fn heal(before: &[(u64, u64)], pid: i32) {
    let deadline = deadline();
    while robust_lists(pid) != before {
        assert!(Instant::now() < deadline, "{:x?} instead of {before:x?}", robust_lists(pid));
        std::thread::yield_now();
    }
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
        let stopped = match target.stop(deadline()) {
            Ok(stopped) => stopped,
            // The holder of the engine before this one, which the process is about to end.
            Err(TraceeError::Refused { reason: Refusal::SharedMemory { .. }, .. }) => continue,
            Err(error) => panic!("the program cannot be stopped: {error}"),
        };
        let Ok(mut borrowed) = stopped.borrow() else { continue };
        println!("injecting");
        for tid in borrowed.threads().to_vec() {
            borrowed.call(tid, "gettid", libc::SYS_gettid, &[]).unwrap();
        }
        borrowed.call_all_undoable(&farewell(borrowed.threads())).unwrap();
        let holder = borrowed.start_holder().unwrap();
        drop(borrowed.give_back());
        holder.end();
    }
}

#[test]
fn a_process_outlives_an_engine_that_is_killed_in_mid_injection() {
    let (_directory, mut program) = steady();
    let (lists, before) = (settled_lists(program.pid()), maps(program.pid()));
    let rounds = std::env::var("DSU_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    for round in 0..rounds {
        let mut engine = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine_that_will_be_killed", "--nocapture"])
            .env("DSU_TEST_INJECT_INTO", program.pid().to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
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
            heal(&lists, program.pid());
            assert_eq!(program.ask("check"), "right 0", "after {} kills", round + 1);
        }
    }
    assert_eq!(program.ask("check"), "right 0");
    // What the last one left is removed; what those before it left, by the next one each.
    adopt::clear(program.pid(), deadline()).unwrap();
    assert_eq!(maps(program.pid()), before);
}
