//! A fault at every step of the transaction and at every injected call: the process goes on as it was or is recovered.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::Program;
use dsu_engine::plan::blocker::Blocker;
use dsu_engine::tracee::fault::{self, Fault};
use dsu_engine::tracee::mark;
use dsu_engine::tracee::procfs;
use dsu_engine::tracee::target::Target;
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::lock::ProcessLock;
use dsu_engine::update::operation::{self, Observer, RecoveredTo, UpdateRequest};

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _: &'static str) {}
    fn waiting(&mut self, _: &[Blocker]) {}
}

/// Exit codes of the engine's part below.
const UPDATED: i32 = 10;
const FAILED: i32 = 11;

/// The engine's part of the tests, in a process of its own, since faults end it.
#[test]
fn engine_with_a_fault() {
    let Ok(pid) = std::env::var("DSU_TEST_UPDATE") else { return };
    let pid: i32 = pid.parse().unwrap();
    if let Ok(text) = std::env::var("DSU_TEST_FAULT") {
        fault::arm(Fault::parse_all(&text).unwrap());
    }
    let request = UpdateRequest {
        pid,
        program: PathBuf::from(std::env::var_os("DSU_TEST_PROGRAM").unwrap()),
        wait: Duration::from_secs(5),
        keep_image: None,
        force: true,
        spec: None,
        accept_seccomp_risk: false,
        strict: false,
        debug_directories: Vec::new(),
        cache: None,
        continuations: None,
    };
    match operation::update(&request, &mut Silent) {
        Ok(_) => std::process::exit(UPDATED),
        Err(error) => {
            eprintln!("{error:?}");
            std::process::exit(FAILED)
        }
    }
}

/// Runs an engine with a fault; `None` when it was killed.
fn engine(pid: i32, program: &Path, fault: &str, way: Way) -> Option<i32> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine_with_a_fault", "--nocapture"])
        .env("DSU_TEST_UPDATE", pid.to_string())
        .env("DSU_TEST_PROGRAM", program)
        .env("DSU_TEST_FAULT", fault)
        .env("DSU_NO_FILE_CAPABILITIES", if way == Way::ProgramOnly { "1" } else { "0" })
        .output()
        .unwrap();
    let code = output.status.code();
    assert!(
        matches!(code, None | Some(UPDATED | FAILED)),
        "{fault}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    // The fault itself must be what failed, not something that an earlier fault left behind.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(code != Some(FAILED) || said.contains("EIO"), "{fault}: {said}");
    code
}

fn mappings(pid: i32) -> Vec<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    maps.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect()
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn check(program: &mut Program, fault: &str) {
    // Shown with a failure: a program that does not answer fails in `ask`.
    eprintln!("{fault}");
    assert_eq!(program.ask("check"), "right 0", "after {fault}");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", program.pid())).unwrap();
    assert_eq!(children, "", "after {fault}");
}

fn recover(program: &mut Program, fault: &str) {
    let recovered = operation::recover(program.pid(), &mut Silent);
    assert!(recovered.is_ok(), "{fault}: {recovered:?}");
    check(program, fault);
    // The first recovery may have come before the process had made the call that the engine died in.
    operation::recover(program.pid(), &mut Silent).unwrap();
    let again = operation::recover(program.pid(), &mut Silent).unwrap();
    assert_eq!(again.outcome, RecoveredTo::NothingToDo, "{fault}");
}

/// Who runs the program, and how it may be emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The user who runs the tests.
    Own,
    /// A user without privilege; what the engine finds.
    AnyForNobody,
    /// The same, only by an exec of the program itself.
    ProgramOnly,
}

/// Compiles and starts the program.
fn start(directory: &tempfile::TempDir, way: Way) -> (PathBuf, Program) {
    const NOBODY: u32 = 65534;
    let binary = Program::compile("steady", directory.path(), &[]);
    let mut program = if way == Way::Own {
        Program::start(&binary)
    } else {
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Program::spawn(Command::new(&binary).uid(NOBODY).gid(NOBODY))
    };
    assert_eq!(program.ask("check"), "right 0");
    (binary, program)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Faults at the first, second, … passage of a step until one is beyond the last.
fn at_every_passage(step: &str, kill: bool) {
    at_every_passage_as(step, kill, Way::Own);
}

fn at_every_passage_as(step: &str, kill: bool, way: Way) {
    let directory = tempfile::tempdir().unwrap();
    let (binary, mut program) = start(&directory, way);
    let (before, open_before) = (mappings(program.pid()).len(), descriptors(program.pid()));
    let mut passages = 0;
    loop {
        passages += 1;
        assert!(passages < 2000, "{step} has no end");
        let fault = if kill { format!("die:{step}:{passages}") } else { format!("{step}:{passages}") };
        match engine(program.pid(), &binary, &fault, way) {
            Some(UPDATED) => break,
            Some(_) => check(&mut program, &fault),
            None => recover(&mut program, &fault),
        }
        if !kill {
            assert_eq!(descriptors(program.pid()), open_before, "{fault}");
        }
        // A fresh mapping may merge with its neighbour where the old one had not; none may come to it.
        let now = mappings(program.pid());
        assert!(now.len() <= before, "{fault}: {now:#?}");
    }
    let only_by_exec_of_the_program = step == "exec-event" && way != Way::ProgramOnly;
    assert!(passages > 1 || only_by_exec_of_the_program, "{step} was never passed");
    check(&mut program, "the end");
}

#[test]
fn what_a_dead_engine_left_is_removed_by_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let binary = Program::compile("steady", directory.path(), &[]);
    let mut program = Program::start(&binary);
    assert_eq!(program.ask("check"), "right 0");
    let before = mappings(program.pid());
    for recovering in [false, true] {
        assert_eq!(engine(program.pid(), &binary, "die:call:9", Way::Own), None);
        assert_eq!(mappings(program.pid()).len(), before.len() + 1);
        assert_eq!(mark::leftovers(program.pid()).len(), 1);
        if recovering {
            let recovered = operation::recover(program.pid(), &mut Silent).unwrap();
            assert_eq!(recovered.outcome, RecoveredTo::HealedItself);
        } else {
            let deadline = Instant::now() + Duration::from_secs(20);
            // A thread may still be on its way out of the mapping at the first stop.
            while !mark::leftovers(program.pid()).is_empty() {
                drop(Target::open(program.pid()).unwrap().stop(deadline).unwrap().borrow().unwrap());
            }
        }
        assert_eq!(mappings(program.pid()), before, "recovering: {recovering}");
        check(&mut program, "the removal");
    }
}

/// Numbers of processes are used again: files of an earlier process, also of the time before names carried a start time.
#[test]
fn journals_of_an_earlier_process_with_the_same_number_do_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let (binary, mut program) = start(&directory, Way::Own);
    let files = ProcessLock::acquire(program.pid()).unwrap().directory().to_owned();
    let stale = ["journal", "journal.new", "old.dsu", "journal-1", "old-1.dsu"].map(|name| files.join(name));
    let leave = || stale.iter().for_each(|path| std::fs::write(path, [0xe4, 0x99, 0x01, 0xef]).unwrap());
    let are_gone = || stale.iter().all(|path| !path.exists());
    leave();
    assert_eq!(engine(program.pid(), &binary, "die:stopped:1", Way::Own), None);
    assert!(are_gone());
    leave();
    recover(&mut program, "die:stopped:1");
    assert!(are_gone());
    // Parked, the process needs its own journal among the others.
    assert_eq!(engine(program.pid(), &binary, "die:filled:1", Way::Own), None);
    leave();
    recover(&mut program, "die:filled:1");
    assert!(are_gone());
    leave();
    assert_eq!(engine(program.pid(), &binary, "none:1", Way::Own), Some(UPDATED));
    assert!(are_gone());
    check(&mut program, "the update");
}

#[test]
fn a_journal_of_the_process_itself_that_cannot_be_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (_, program) = start(&directory, Way::Own);
    let files = ProcessLock::acquire(program.pid()).unwrap().directory().to_owned();
    let own = files.join(format!("journal-{}", procfs::start_time(program.pid()).unwrap()));
    std::fs::write(&own, [0xe4, 0x99, 0x01, 0xef]).unwrap();
    let error = operation::recover(program.pid(), &mut Silent).unwrap_err();
    assert!(matches!(error, UpdateError::Journal { operation: "read", .. }), "{error:?}");
    std::fs::remove_file(own).unwrap();
}

#[test]
fn a_failed_call_leaves_the_process_as_it_was() {
    at_every_passage("call", false);
}

#[test]
fn an_engine_that_dies_at_a_call_leaves_the_process_running_or_recoverable() {
    at_every_passage("call", true);
}

#[test]
fn a_failed_step_leaves_the_process_as_it_was() {
    for step in ["planned", "executed", "map", "fill", "give-back", "threads", "verify", "filled", "table"] {
        at_every_passage(step, false);
    }
}

#[test]
fn an_engine_that_dies_at_a_step_leaves_the_process_running_or_recoverable() {
    for step in ["planned", "executed", "map", "fill", "give-back", "threads", "verify", "filled", "table"] {
        at_every_passage(step, true);
    }
}

#[test]
fn a_failed_exec_leaves_the_process_as_it_was() {
    at_every_passage("exec", false);
}

#[test]
fn an_engine_that_dies_in_the_exec_leaves_the_process_running_or_recoverable() {
    at_every_passage("exec", true);
}

/// Moves a program of another user there and back with faults, in each way that there is for one without privilege.
fn of_another_user(steps: &[&str], kill: bool) {
    if !is_root() {
        return;
    }
    for way in [Way::AnyForNobody, Way::ProgramOnly] {
        for step in steps {
            at_every_passage_as(step, kill, way);
        }
    }
}

#[test]
fn a_failed_call_leaves_a_process_of_another_user_as_it_was() {
    of_another_user(&["call"], false);
}

#[test]
fn an_engine_that_dies_at_a_call_leaves_a_process_of_another_user_running_or_recoverable() {
    of_another_user(&["call"], true);
}

#[test]
fn a_failed_step_leaves_a_process_of_another_user_as_it_was() {
    of_another_user(&["exec", "map", "fill", "give-back", "threads", "verify", "filled"], false);
}

#[test]
fn an_engine_that_dies_at_a_step_leaves_a_process_of_another_user_running_or_recoverable() {
    of_another_user(&["exec", "exec-event", "map", "fill", "give-back", "threads", "verify", "filled"], true);
}

/// The way back of a program that could be emptied only by an exec of the new one is an exec of the old one, with the same dangers.
#[test]
fn an_engine_that_dies_on_the_way_back_leaves_a_process_that_can_be_recovered() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (binary, mut program) = start(&directory, Way::ProgramOnly);
    // Another build by its ID, or the link would be right already.
    let elsewhere = directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let other = Program::compile("steady", &elsewhere, &["-Wl,--build-id=0x1234567890abcdef"]);
    // The first exec passes its steps three and two times.
    for second in ["exec:4", "die:exec:4", "die:exec:5", "die:exec:6", "die:exec-event:3", "die:exec-event:4", "die:map:2"] {
        let fault = format!("give-back:1,{second}");
        assert_ne!(engine(program.pid(), &other, &fault, Way::ProgramOnly), Some(UPDATED), "{fault}");
        recover(&mut program, &fault);
        let link = std::fs::read_link(format!("/proc/{}/exe", program.pid())).unwrap();
        assert_eq!(link, binary, "{fault}");
    }
    assert_eq!(engine(program.pid(), &other, "none:1", Way::ProgramOnly), Some(UPDATED));
    check(&mut program, "the update");
    assert_eq!(std::fs::read_link(format!("/proc/{}/exe", program.pid())).unwrap(), other);
}
