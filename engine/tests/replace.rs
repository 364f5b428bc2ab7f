//! A running process is moved onto a new build and goes on as that.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Program;
use dsu_engine::plan::blocker::Blocker;
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::operation::{Observer, UpdateOutcome, UpdateRequest, Updated, update};

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _name: &'static str) {}
    fn waiting(&mut self, _blockers: &[Blocker]) {}
}

fn move_to(pid: i32, program: &Path) -> Result<Box<Updated>, UpdateError> {
    let request = UpdateRequest {
        pid,
        program: program.to_owned(),
        wait: Duration::from_secs(5),
        keep_image: None,
        force: false,
        spec: None,
        accept_seccomp_risk: false,
        strict: false,
        debug_directories: Vec::new(),
        cache: None,
        continuations: None,
    };
    match update(&request, &mut Silent)? {
        UpdateOutcome::Updated(updated) => Ok(updated),
        UpdateOutcome::UpToDate { .. } => panic!("two versions with one build-id"),
    }
}

fn moved(pid: i32, program: &Path) -> Box<Updated> {
    match move_to(pid, program) {
        Ok(updated) => updated,
        Err(UpdateError::Blocked { blockers, obstacles }) => {
            for blocker in &blockers {
                eprintln!("blocker: {blocker}");
            }
            panic!("blocked: {obstacles:?}");
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn versions(name: &str, directory: &Path, flags: &[&str]) -> (PathBuf, PathBuf) {
    let build = |version: &str| {
        let define = format!("-DVERSION={version}");
        let flags: Vec<&str> = flags.iter().copied().chain([define.as_str()]).collect();
        let directory = directory.join(version);
        std::fs::create_dir_all(&directory).unwrap();
        Program::compile(name, &directory, &flags)
    };
    (build("1"), build("2"))
}

fn there_and_back(flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = versions("shifty", directory.path(), flags);
    let mut program = Program::start(&one);
    assert_eq!(program.ask("check"), "wrong 0");
    assert_eq!(program.ask("version"), "version 1 limit 100 counter 6");
    let updated = moved(program.pid(), &two);
    eprintln!("{:.2} ms {:?} {:?}", updated.pause_ms, updated.steps, updated.report);
    assert_eq!(program.ask("version"), "version 2 limit 200 counter 7");
    assert_eq!(program.ask("check"), "wrong 0");
    assert_eq!(program.ask("greeting"), "hello from one");
    assert_eq!(program.ask("signal"), "signalled 10");
    assert_eq!(program.ask("jump"), "jumped");
    moved(program.pid(), &one);
    assert_eq!(program.ask("version"), "version 1 limit 100 counter 8");
    assert_eq!(program.ask("check"), "wrong 0");
    moved(program.pid(), &two);
    assert_eq!(program.ask("join"), "joined 70");
    assert_eq!(program.ask("check"), "wrong 0");
    assert_eq!(program.ask("quit"), "goodbye 2 8");
}

#[test]
fn a_program_goes_through_the_vessel_onto_its_own_build() {
    let directory = tempfile::tempdir().unwrap();
    let (one, _) = versions("shifty", directory.path(), &[]);
    let mut program = Program::start(&one);
    assert_eq!(program.ask("check"), "wrong 0");
    let request = UpdateRequest {
        pid: program.pid(),
        program: one,
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
    update(&request, &mut Silent).unwrap();
    assert_eq!(program.ask("check"), "wrong 0");
    assert_eq!(program.ask("join"), "joined 70");
}

#[test]
fn a_lazily_bound_program_goes_there_and_back() {
    there_and_back(&["-Wl,-z,lazy"]);
}

#[test]
fn an_immediately_bound_program_goes_there_and_back() {
    there_and_back(&["-Wl,-z,now"]);
}

#[test]
fn an_unoptimised_program_goes_there_and_back() {
    there_and_back(&["-O0"]);
}

fn mapping_count(pid: i32) -> usize {
    std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines().count()
}

#[test]
fn a_hundred_updates_leave_no_more_mappings_than_two() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = versions("shifty", directory.path(), &[]);
    let mut program = Program::start(&one);
    // A process that the loader still sets up has no C library yet, and cannot be taken.
    assert_eq!(program.ask("check"), "wrong 0");
    let mut counts = Vec::new();
    for round in 0..50 {
        moved(program.pid(), &two);
        counts.push(mapping_count(program.pid()));
        moved(program.pid(), &one);
        counts.push(mapping_count(program.pid()));
        assert_eq!(program.ask("check"), "wrong 0", "round {round}");
    }
    assert!(counts[2..].iter().all(|count| *count <= counts[1].max(counts[0])), "{counts:?}");
    assert_eq!(program.ask("join"), "joined 70");
}

#[test]
fn a_literal_that_only_the_old_version_has_stays_readable_until_it_is_not_needed() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = versions("literals", directory.path(), &[]);
    let mut program = Program::start(&one);
    assert_eq!(program.ask("motto"), "made by the first version");
    let updated = moved(program.pid(), &two);
    assert!(updated.report.retained_bytes > 0);
    assert_eq!(program.ask("motto"), "made by the first version");
    let updated = moved(program.pid(), &one);
    assert_eq!(updated.report.retained_bytes, 0);
    assert_eq!(program.ask("motto"), "made by the first version");
    moved(program.pid(), &two);
    assert_eq!(program.ask("renew"), "made by a later version");
    let updated = moved(program.pid(), &one);
    assert_eq!(program.ask("motto"), "made by a later version");
    assert!(updated.report.retained_bytes > 0);
}

#[test]
fn values_that_following_the_symbol_gets_wrong_are_right() {
    for flags in [&["-O2"][..], &["-O0"]] {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = versions("wrong_values", directory.path(), flags);
        let mut program = Program::start(&one);
        assert_eq!(program.ask("report"), "1 off 0, 10 15, info 5");
        let updated = moved(program.pid(), &two);
        assert_eq!(program.ask("report"), "2 off 0, 20 15, info 5", "{flags:?}");
        assert!(updated.report.warnings.iter().any(|warning| warning.contains("`touched`")), "{:?}", updated.report.warnings);
        moved(program.pid(), &one);
        assert_eq!(program.ask("report"), "1 off 0, 10 15, info 5");
    }
}

#[test]
fn a_pointer_to_the_first_row_of_a_table_that_gains_one_before_it_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = versions("first_row", directory.path(), &[]);
    let mut program = Program::start(&one);
    assert_eq!(program.ask("report"), "first");
    let Err(UpdateError::Blocked { blockers, .. }) = move_to(program.pid(), &two) else { panic!("not refused") };
    assert!(blockers.iter().any(|blocker| blocker.to_string().contains("row 0 of `rows`")), "{blockers:?}");
    assert_eq!(program.ask("report"), "first");
}

#[test]
fn thread_local_variables_grow_into_the_loader_s_surplus() {
    for flags in [&["-O2"][..], &["-O0"]] {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = versions("locals", directory.path(), flags);
        let mut program = Program::start(&one);
        assert_eq!(program.ask("check"), "1 wrong 0");
        moved(program.pid(), &two);
        assert_eq!(program.ask("join"), "2 wrong 0", "{flags:?}");
        moved(program.pid(), &one);
        assert_eq!(program.ask("check"), "1 wrong 0", "{flags:?}");
    }
}

#[test]
fn thread_local_variables_that_do_not_fit_are_refused_with_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let (one, _) = versions("locals", directory.path(), &[]);
    let third = directory.path().join("3");
    std::fs::create_dir(&third).unwrap();
    let three = Program::compile("locals", &third, &["-DVERSION=3"]);
    let mut program = Program::start(&one);
    assert_eq!(program.ask("check"), "1 wrong 0");
    let Err(UpdateError::Blocked { blockers, .. }) = move_to(program.pid(), &three) else { panic!("not refused") };
    let numbers = blockers.iter().find_map(|blocker| match blocker {
        Blocker::ThreadLocal { old, new, room, .. } => Some((*old, *new, *room)),
        _ => None,
    });
    let (old, new, room) = numbers.expect("the reason is the size");
    assert!(old == 16 && new > 5000 && (old..new).contains(&room), "{old} {new} {room}");
    assert_eq!(program.ask("join"), "1 wrong 0");
}
