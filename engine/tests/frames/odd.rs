//! Frames that are not of one size, not where a call would put them, or of a library in the middle.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dsu_engine::update::error::UpdateError;
use dsu_engine::update::operation::UpdateOutcome;

use crate::common::Program;
use crate::moving::move_within;

/// What `odd_frames` does.
const MODES: [&str; 19] = [
    "alloca", "array", "aligned", "buffer", "handler", "beneath", "inside", "under", "sort", "search", "walk", "once", "cleanup",
    "body", "little", "context", "jump", "deep", "wide",
];
/// What of it goes on in functions that change, built by GCC with optimisation: all that its values say.
const GO_ON: [&str; 7] = ["buffer", "handler", "sort", "walk", "once", "body", "deep"];
/// What never does, and what is said of it.
const REFUSED: [(&str, &str); 5] = [
    ("inside", "with a stack that moves with the variable `alternate`"),
    ("under", "with a stack that moves with the variable `alternate`"),
    ("little", "its stack would reach down to"),
    ("context", "a place inside `routine`"),
    ("alloca", "at no fixed distance from its frame"),
];

/// Builds both versions; `None` where the compiler is not there.
fn versions(directory: &Path, compiler: &str, flags: &[&str]) -> Option<[PathBuf; 2]> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/odd_frames.c");
    let build = |number: u32| {
        let binary = directory.join(format!("odd-{number}"));
        let mut command = Command::new(compiler);
        command.args(["-g", "-w", "-pthread", &format!("-DVERSION={number}"), "-o"]).arg(&binary).arg(&source).args(flags);
        let status = match command.status() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            status => status.unwrap(),
        };
        assert!(status.success(), "{compiler} failed");
        Some(binary)
    };
    Some([build(1)?, build(2)?])
}

/// What came of an update of a program in one mode: nothing, or what was said against it. The program finds itself right in any case.
fn outcome(versions: &[PathBuf; 2], mode: &str) -> Option<String> {
    let mut program = Program::spawn(Command::new(&versions[0]).arg(mode));
    assert_eq!(program.line(), "waiting", "{mode}");
    let refused = match move_within(Duration::from_millis(200), program.pid(), &versions[1], None) {
        Ok(UpdateOutcome::Updated(_)) => None,
        Err(UpdateError::Blocked { blockers, obstacles }) => {
            Some(blockers.iter().map(|blocker| format!("{blocker}\n")).collect::<String>() + &format!("{obstacles:?}"))
        }
        other => panic!("{mode}: {other:?}"),
    };
    let version = if refused.is_none() { 2 } else { 1 };
    let said = program.ask("go");
    assert!(said.starts_with(&format!("{mode} right in version {version} ")), "{mode}: {said}; {refused:?}");
    refused
}

fn carried(compiler: &str, flags: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let Some(versions) = versions(directory.path(), compiler, flags) else { return println!("not run, no {compiler}") };
    for mode in MODES {
        let refused = outcome(&versions, mode);
        // GCC may make `main` anew for what it calls.
        let with_main = refused.as_deref().is_some_and(|said| said.contains("`main`, which changes, with a stack that moves"));
        assert!(refused.is_none() || with_main, "{compiler} {flags:?}: {mode}: {refused:?}");
    }
}

/// Whether each mode goes on, is refused with reasons, and never is wrong.
fn changed(compiler: &str, flags: &[&str], must: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let flags = [flags, &["-DCHANGED"]].concat();
    let Some(versions) = versions(directory.path(), compiler, &flags) else { return println!("not run, no {compiler}") };
    for mode in MODES {
        let refused = outcome(&versions, mode);
        assert!(refused.is_none() || !must.contains(&mode), "{compiler} {flags:?}: {mode}: {refused:?}");
        if let Some((_, words)) = REFUSED.iter().find(|(name, _)| *name == mode) {
            let said = refused.as_deref().unwrap_or_default();
            // In other builds other things may be said first.
            assert!(
                said.contains(words) || must.len() != GO_ON.len() && !said.is_empty(),
                "{compiler} {flags:?}: {mode}: {refused:?}"
            );
        }
        println!("{compiler} {flags:?}: {mode}: {}", if refused.is_none() { "goes on" } else { "refused" });
    }
}

#[test]
fn unchanged_functions_keep_such_frames() {
    carried("gcc", &["-O2"]);
    carried("gcc", &["-O0"]);
}

#[test]
fn unchanged_functions_keep_such_frames_that_clang_made() {
    carried("clang", &["-O2"]);
    carried("clang", &["-O0"]);
}

#[test]
fn unchanged_functions_keep_realigned_and_protected_stacks() {
    carried("gcc", &["-O2", "-mstackrealign"]);
    carried("gcc", &["-O2", "-fstack-protector-all"]);
}

#[test]
fn changed_functions_go_on_or_are_refused() {
    changed("gcc", &["-O2"], &GO_ON);
    changed("gcc", &["-O0"], &[]);
}

#[test]
fn changed_functions_that_clang_made_go_on_or_are_refused() {
    changed("clang", &["-O2"], &[]);
    changed("clang", &["-O0"], &[]);
}

#[test]
fn changed_functions_with_realigned_and_protected_stacks_go_on_or_are_refused() {
    changed("gcc", &["-O2", "-mstackrealign"], &["body", "deep"]);
    changed("gcc", &["-O2", "-fstack-protector-strong"], &GO_ON);
}
