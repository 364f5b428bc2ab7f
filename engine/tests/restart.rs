//! Threads that enter a function of the new build, as a spec wants it: `main`, workers, and what is refused.

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Program;
use dsu_engine::plan::blocker::Blocker;
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::operation::{Observer, UpdateOutcome, UpdateRequest, update};
use dsu_formats::spec::Spec;

struct Silent;

impl Observer for Silent {
    fn step(&mut self, _name: &'static str) {}
    fn waiting(&mut self, _blockers: &[Blocker]) {}
}

fn version(directory: &Path, number: u32, flags: &[&str]) -> PathBuf {
    let directory = directory.join(number.to_string());
    std::fs::create_dir_all(&directory).unwrap();
    Program::compile("restarted", &directory, &[flags, &[&format!("-DVERSION={number}")]].concat())
}

fn versions(directory: &Path, flags: &[&str]) -> [PathBuf; 2] {
    [1, 2].map(|number| version(directory, number, flags))
}

fn spec(text: &str) -> Spec {
    Spec::parse(Path::new("update.toml"), text).unwrap()
}

fn move_to(pid: i32, program: &Path, spec: &Spec, wait: Duration) -> Result<UpdateOutcome, UpdateError> {
    let request = UpdateRequest {
        pid,
        program: program.to_owned(),
        wait,
        keep_image: None,
        force: false,
        strict: false,
        spec: Some(spec.clone()),
        accept_seccomp_risk: false,
        debug_directories: Vec::new(),
        continuations: None,
    };
    update(&request, &mut Silent)
}

fn moved(pid: i32, program: &Path, spec: &Spec) {
    match move_to(pid, program, spec, Duration::from_secs(10)) {
        Ok(UpdateOutcome::Updated(_)) => {}
        Ok(UpdateOutcome::UpToDate { .. }) => panic!("two versions with one build-id"),
        Err(UpdateError::Blocked { blockers, obstacles }) => {
            panic!("{obstacles:?}\n{}", blockers.iter().map(|blocker| format!("{blocker}\n")).collect::<String>())
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// What stands against it.
fn refused(pid: i32, program: &Path, spec: &Spec) -> String {
    match move_to(pid, program, spec, Duration::ZERO) {
        Err(UpdateError::Blocked { blockers, .. }) => blockers.iter().map(|blocker| format!("{blocker}\n")).collect(),
        Err(error) => format!("{error:?}"),
        Ok(_) => panic!("it was let through"),
    }
}

const BOTH: &str = "[[restart]]\nfunction = \"main\"\n\n[[restart]]\nfunction = \"worker\"\n";

/// `main` and four workers begin anew with all they had, there and back.
fn main_and_workers(flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let [one, two] = versions(directory.path(), flags);
    let spec = spec(BOTH);
    let mut program = Program::spawn(std::process::Command::new(&one).arg("given"));
    assert_eq!(program.line(), "version 1 begins 2 given");
    assert_eq!(program.ask("where"), "version 1 generation 0 asked 1");
    assert_eq!(program.ask("w2"), "version 1 worker 2 done 1");
    moved(program.pid(), &two, &spec);
    let mut said: Vec<String> = (0..5).map(|_| program.line()).collect();
    said.sort();
    assert_eq!(said[0], "version 2 begins 2 given with an environment, generation 1 asked 2");
    for number in 0..4 {
        let done = i32::from(number == 2);
        assert_eq!(said[number + 1], format!("version 2 worker {number} begins with {done}"));
    }
    assert_eq!(program.ask("where"), "version 2 generation 1 asked 12");
    assert_eq!(program.ask("w2"), "version 2 worker 2 done 101");
    assert_eq!(program.ask("w0"), "version 2 worker 0 done 100");
    moved(program.pid(), &one, &spec);
    assert_eq!(program.line(), "version 1 begins 2 given");
    assert_eq!(program.ask("where"), "version 1 generation 2 asked 33");
    assert_eq!(program.ask("w2"), "version 1 worker 2 done 102");
}

#[test]
fn main_and_workers_begin_anew() {
    main_and_workers(&["-O0"]);
}

#[test]
fn optimised_main_and_workers_begin_anew() {
    main_and_workers(&["-O2"]);
}

#[test]
fn main_and_workers_at_a_fixed_address_begin_anew() {
    main_and_workers(&["-O2", "-no-pie"]);
}
