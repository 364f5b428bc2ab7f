//! Updates of programs that tests have started.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dsu_engine::plan::blocker::Blocker;
use dsu_engine::plan::frames::Continuations;
use dsu_engine::update::error::UpdateError;
use dsu_engine::update::operation::{Observer, UpdateOutcome, UpdateRequest, update};

use crate::common::Program;

pub struct Silent;

impl Observer for Silent {
    fn step(&mut self, _name: &'static str) {}
    fn waiting(&mut self, _blockers: &[Blocker]) {}
}

/// One version of a program, in a folder of its own.
pub fn version(name: &str, directory: &Path, number: u32, flags: &[&str]) -> PathBuf {
    let directory = directory.join(number.to_string());
    std::fs::create_dir_all(&directory).unwrap();
    let define = format!("-DVERSION={number}");
    Program::compile(name, &directory, &[flags, &[&define]].concat())
}

/// Moves a process, waiting so long for it.
pub fn move_within(
    wait: Duration,
    pid: i32,
    program: &Path,
    continuations: Option<Arc<dyn Continuations>>,
) -> Result<UpdateOutcome, UpdateError> {
    let request = UpdateRequest {
        pid,
        program: program.to_owned(),
        wait,
        keep_image: None,
        force: false,
        strict: false,
        spec: None,
        accept_seccomp_risk: false,
        debug_directories: Vec::new(),
        cache: None,
        continuations,
    };
    update(&request, &mut Silent)
}

pub fn moved(pid: i32, program: &Path, continuations: Option<Arc<dyn Continuations>>) {
    // As long as it takes on a machine that does much else.
    match move_within(Duration::from_secs(30), pid, program, continuations) {
        Ok(UpdateOutcome::Updated(_)) => {}
        Ok(UpdateOutcome::UpToDate { .. }) => panic!("two versions with one build-id"),
        Err(UpdateError::Blocked { blockers, obstacles }) => {
            panic!("{obstacles:?}\n{}", blockers.iter().map(|blocker| format!("{blocker}\n")).collect::<String>())
        }
        Err(error) => panic!("{error:?}"),
    }
}
