//! The commands beyond the plain update: plan, checkpoint, images, kept images, separate debugging information, two at once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dsu_tests::build::{self, Style, Version};
use dsu_tests::catalogue::{IDLE, Program, find};
use dsu_tests::dsu::{Run, code};
use dsu_tests::observe::{Registers, Snapshot};
use dsu_tests::target::{Event, Target};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use tempfile::TempDir;

fn start(program: &Program) -> Target {
    let mut target = Target::start(program, &build::program(program, Version::One, Style::USUAL));
    assert_eq!(target.event(), Event::Ready);
    target
}

fn version_two(program: &Program) -> PathBuf {
    build::program(program, Version::Two, Style::USUAL)
}

fn go_on(mut target: Target, number: u32) {
    target.go(number);
    assert_eq!(target.event(), Event::Right, "{}", target.log());
    target.finish();
}

#[test]
fn a_plan_changes_nothing() {
    let program = find("function_pointers");
    let mut target = start(&program);
    let before = Snapshot::take(target.pid(), Registers::Read);
    let plan = Run::new("plan").pid(target.pid()).option("--program", &version_two(&program)).run();
    plan.assert_code(code::DONE, "plan");
    Snapshot::take(target.pid(), Registers::Read).assert_same_as(&before, "plan");
    target.go(1);
    assert_eq!(target.event(), Event::Right, "{}", target.log());
    target.finish();
}

#[test]
fn a_checkpoint_lets_the_program_run_on() {
    let target = start(&find("malloc_stress"));
    let image = target.path("image");
    let before = Snapshot::take(target.pid(), Registers::Read);
    Run::new("checkpoint").pid(target.pid()).option("--output", &image).run().assert_code(code::DONE, "checkpoint");
    Snapshot::take(target.pid(), Registers::Read).assert_same_as(&before, "checkpoint");
    Run::new("verify").argument(&image).run().assert_code(code::DONE, "verify");
    Run::new("inspect").argument(&image).run().assert_code(code::DONE, "inspect");
    let mode = fs::metadata(&image).expect("the image").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "an image holds secrets");
    go_on(target, 1);
}

#[test]
fn a_checkpoint_may_leave_the_program_stopped() {
    let target = start(&IDLE);
    let image = target.path("image");
    let run = Run::new("checkpoint").pid(target.pid()).option("--output", &image).option("--then", Path::new("stop"));
    run.run().assert_code(code::DONE, "checkpoint");
    let stat = fs::read_to_string(format!("/proc/{}/stat", target.pid())).expect("the process is there");
    assert!(stat.contains(") T "), "stopped: {stat}");
    kill(target.pid(), Signal::SIGCONT).expect("SIGCONT");
    go_on(target, 1);
}

/// Stopped by its parent, as by a shell with ^Z: nobody who watches it is told of anything else.
#[test]
fn a_stopped_program_is_moved_and_stays_stopped() {
    let program = find("cond_wait");
    let target = start(&program);
    let pid = target.pid();
    kill(pid, Signal::SIGSTOP).expect("SIGSTOP");
    let stopped = waitid(Id::Pid(pid), WaitPidFlag::WSTOPPED).expect("its end, or its stop");
    assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
        assert!(stat.contains(") T "), "stopped: {stat}");
        let news = WaitPidFlag::WSTOPPED | WaitPidFlag::WCONTINUED | WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        assert_eq!(waitid(Id::Pid(pid), news).expect("waitid"), WaitStatus::StillAlive);
    };
    let image = target.path("image");
    let outcome = Run::new("checkpoint").pid(pid).option("--output", &image).run();
    outcome.assert_code(code::DONE, "checkpoint");
    assert!(outcome.text().contains("let it run"), "{}", outcome.text());
    is_stopped();
    for version in [Version::Two, Version::One, Version::Two] {
        let new = build::program(&program, version, Style::USUAL);
        Run::update(pid, &new).run().assert_code(code::DONE, "update");
        is_stopped();
    }
    kill(pid, Signal::SIGCONT).expect("SIGCONT");
    let on = waitid(Id::Pid(pid), WaitPidFlag::WCONTINUED).expect("that it goes on");
    assert_eq!(on, WaitStatus::Continued(pid));
    go_on(target, 2);
}

#[test]
fn an_image_is_no_larger_than_what_was_touched() {
    let target = start(&find("malloc_stress"));
    let image = target.path("image");
    Run::new("checkpoint").pid(target.pid()).option("--output", &image).run().assert_code(code::DONE, "checkpoint");
    let smaps = fs::read_to_string(format!("/proc/{}/smaps_rollup", target.pid())).expect("smaps_rollup");
    let anonymous_kib: u64 = smaps
        .lines()
        .find_map(|line| line.strip_prefix("Anonymous:")?.split_whitespace().next()?.parse().ok())
        .expect("a line Anonymous");
    let limit = anonymous_kib * 1024 * 101 / 100 + 65536;
    let size = fs::metadata(&image).expect("the image").len();
    assert!(size <= limit, "image of {size} bytes, limit {limit}");
    go_on(target, 1);
}

#[test]
fn a_kept_image_restores_the_old_version_later() {
    let program = find("globals_move");
    let mut target = start(&program);
    let image = target.path("kept");
    let run = Run::update(target.pid(), &version_two(&program)).option("--keep-image", &image);
    run.run().assert_code(code::DONE, "update with a kept image");
    target.go(2);
    assert_eq!(target.event(), Event::Right, "{}", target.log());
    assert_eq!(target.await_end(), "exit status 0");
    Run::new("verify").argument(&image).run().assert_code(code::DONE, "verify");
    Run::restore(&image).run().assert_code(code::DONE, "restore of the kept image");
    go_on(target, 1);
}

#[test]
fn a_damaged_image_is_refused() {
    let target = start(&IDLE);
    let [image, damaged] = ["image", "damaged"].map(|name| target.path(name));
    Run::new("checkpoint").pid(target.pid()).option("--output", &image).run().assert_code(code::DONE, "checkpoint");
    let bytes = fs::read(&image).expect("the image");
    let refuse = |content: &[u8], what: &str| {
        fs::write(&damaged, content).expect("a damaged image");
        for command in ["verify", "inspect", "restore"] {
            let outcome = Run::new(command).argument(&damaged).run();
            // An inspection reads no page; a flipped one is for the others to find.
            let allowed = if command == "inspect" {
                &[code::FAILED, code::BLOCKED, code::DONE][..]
            } else {
                &[code::FAILED, code::BLOCKED]
            };
            assert!(outcome.code.is_some_and(|code| allowed.contains(&code)), "{command}, {what}: {outcome:?}");
        }
    };
    for length in [0, 7, 64, bytes.len() / 2, bytes.len() - 1] {
        refuse(&bytes[..length], &format!("truncated to {length} bytes"));
    }
    for step in 0..24 {
        let offset = step * (bytes.len() - 1) / 23;
        let mut flipped = bytes.clone();
        flipped[offset] ^= 0x10;
        refuse(&flipped, &format!("byte {offset} flipped"));
    }
    refuse(b"This is no image but a line of text, longer than a header would be, so that only its first bytes can tell.", "text");
    go_on(target, 1);
}

#[test]
fn debugging_information_may_be_in_another_file() {
    let directory = TempDir::new().expect("a temporary directory");
    let program = find("globals_move");
    let [old, new] = [(Version::One, "old"), (Version::Two, "new")].map(|(version, name)| {
        let stripped = directory.path().join(name);
        separate_debugging_information(&build::program(&program, version, Style::USUAL), &stripped);
        stripped
    });
    let mut target = Target::start(&program, &old);
    assert_eq!(target.event(), Event::Ready);
    Run::update(target.pid(), &new).run().assert_code(code::DONE, "update with debuglink");
    go_on(target, 2);
}

/// Writes a copy of `program` without debugging information to `stripped`, with a debuglink to a file beside it.
fn separate_debugging_information(program: &Path, stripped: &Path) {
    let mut debug = stripped.as_os_str().to_owned();
    debug.push(".debug");
    let objcopy = |arguments: &[&std::ffi::OsStr]| {
        let status = Command::new("objcopy").args(arguments).current_dir(stripped.parent().expect("a directory")).status();
        assert!(status.expect("objcopy runs").success());
    };
    let mut link = std::ffi::OsString::from("--add-gnu-debuglink=");
    link.push(&debug);
    objcopy(&["--only-keep-debug".as_ref(), program.as_os_str(), &debug]);
    objcopy(&["--strip-debug".as_ref(), &link, program.as_os_str(), stripped.as_os_str()]);
}

#[test]
fn two_at_once_never_touch_one_process() {
    let program = find("cond_wait");
    let target = start(&program);
    let (pid, new) = (target.pid(), version_two(&program));
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| Run::update(pid, &new).run())).collect();
        runs.into_iter().map(|run| run.join().expect("a run of dsu")).collect()
    });
    assert!(outcomes.iter().any(|outcome| outcome.code == Some(code::DONE)), "{outcomes:?}");
    for outcome in &outcomes {
        assert!([code::DONE, code::FAILED, code::BLOCKED].map(Some).contains(&outcome.code), "{outcome:?}");
    }
    go_on(target, 2);
}

#[test]
fn every_answer_can_be_had_as_json() {
    let program = find("globals_move");
    let target = start(&program);
    let new = version_two(&program);
    let image = target.path("image");
    let json = Path::new("--json");
    let runs = [
        Run::new("doctor").argument(json),
        Run::new("plan").pid(target.pid()).option("--program", &new).argument(json),
        Run::new("checkpoint").pid(target.pid()).option("--output", &image).argument(json),
        Run::new("inspect").argument(&image).argument(json),
        Run::new("verify").argument(&image).argument(json),
        Run::update(target.pid(), &new).argument(json),
        Run::update(target.pid(), &new).argument(json),
        Run::update(target.pid(), Path::new("/does/not/exist")).argument(json),
    ];
    for run in runs {
        let outcome = run.run();
        let value = serde_json::from_str::<serde_json::Value>(&outcome.stdout);
        assert!(value.is_ok_and(|value| value.is_object()), "no JSON object: {outcome:?}");
    }
    go_on(target, 2);
}
