//! What no update can start from or lead to is refused with a reason, and the program goes on exactly as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use dsu_tests::build::{self, Style, Version};
use dsu_tests::catalogue::{IDLE, Program, find};
use dsu_tests::dsu::{Run, code};
use dsu_tests::flavours::refused;
use dsu_tests::observe::{Registers, Snapshot};
use dsu_tests::reach::{NOBODY, Reach};
use dsu_tests::target::{Event, Target};
use nix::unistd::{Pid, Uid};
use tempfile::TempDir;

/// Starts `old`, asks for an update to `new`, expects a refusal with `words`, and lets the program end by itself.
fn refuse(old: &Path, new: &Path, words: &[&str], what: &str) {
    refuse_program(&IDLE, old, new, words, what);
}

fn refuse_program(program: &Program, old: &Path, new: &Path, words: &[&str], what: &str) {
    let mut target = Target::start(program, old);
    assert_eq!(target.event(), Event::Ready, "{what}");
    let run = Run::update(target.pid(), new);
    refused(&mut target, program, run, words, what);
    let plan = Run::new("plan").pid(target.pid()).option("--program", new);
    refused(&mut target, program, plan, words, &format!("{what}, plan"));
    go_on(target, 1, what);
}

/// Lets a waiting program check itself and end.
fn go_on(mut target: Target, number: u32, what: &str) {
    target.go(number);
    assert_eq!(target.event(), Event::Right, "{what}: {}", target.log());
    target.finish();
}

fn idle(version: Version) -> PathBuf {
    build::program(&IDLE, version, Style::USUAL)
}

fn idle_with(version: Version, flags: &[&str]) -> PathBuf {
    build::with_flags(&IDLE, version, Style::USUAL, flags)
}

/// A copy of version two in which `change` has been made to its bytes.
fn altered(directory: &TempDir, change: impl Fn(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = fs::read(idle(Version::Two)).expect("version two");
    change(&mut bytes);
    file(directory, &bytes)
}

fn file(directory: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = directory.path().join("new");
    fs::write(&path, bytes).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    path
}

#[test]
fn a_static_program() {
    let flags = ["-static", "-no-pie", "-fno-pie"];
    refuse(&idle_with(Version::One, &flags), &idle_with(Version::Two, &flags), &["static"], "static program");
}

#[test]
fn a_static_position_independent_program() {
    let flags = ["-static-pie"];
    refuse(&idle_with(Version::One, &flags), &idle_with(Version::Two, &flags), &["static"], "static PIE");
}

#[test]
fn a_fixed_address_program_that_grows_into_what_lies_behind_it() {
    let flags = ["-no-pie", "-fno-pie"];
    // The program break is at most a gigabyte behind the program (`arch_randomize_brk`).
    let grown = ["-no-pie", "-fno-pie", "-DGROWN=(1100L << 20)"];
    let words = ["is in the way", "the heap", "does not grow by"];
    refuse(&idle_with(Version::One, &flags), &idle_with(Version::Two, &grown), &words, "fixed address, grown");
}

#[test]
fn a_position_independent_build_for_a_fixed_address_program() {
    let old = idle_with(Version::One, &["-no-pie", "-fno-pie"]);
    refuse(&old, &idle(Version::Two), &["position-independent"], "position-independent build");
}

#[test]
fn a_fixed_address_build_for_a_position_independent_program() {
    let new = idle_with(Version::Two, &["-no-pie", "-fno-pie"]);
    refuse(&idle(Version::One), &new, &["position-independent"], "new build at a fixed address");
}

#[test]
fn a_32_bit_program() {
    let flags = ["-m32", "-g", "-nostdlib", "-static", "-no-pie", "-fno-pie", "-fno-stack-protector"];
    let [old, new] = [1, 2].map(|number| {
        let define = format!("-DVERSION={number}");
        build::by_hand(&format!("bits32-v{number}"), "bits32.c", &[&flags[..], &[define.as_str()]].concat())
    });
    let program = Program::new("bits32", &["bits32.c"]).unstoppable();
    refuse_program(&program, &old, &new, &["32-bit"], "32-bit program");
    refuse(&idle(Version::One), &new, &[], "32-bit build for a 64-bit program");
}

#[test]
fn a_new_build_without_debugging_information() {
    refuse(&idle(Version::One), &idle_with(Version::Two, &["-s"]), &["no debug information"], "stripped new build");
    refuse(&idle(Version::One), &idle_with(Version::Two, &["-g0"]), &["no debug information"], "new build without -g");
}

#[test]
fn an_old_build_without_debugging_information() {
    refuse(&idle_with(Version::One, &["-s"]), &idle(Version::Two), &["no debug information"], "stripped old build");
}

#[test]
fn an_unrelated_program() {
    let other = build::by_hand("other_program", "other_program.c", &["-g", "-O2", "-fPIE", "-pie"]);
    refuse(&idle(Version::One), &other, &[], "unrelated program");
}

#[test]
fn a_program_that_needs_another_library() {
    let new = idle_with(Version::Two, &["-Wl,--no-as-needed", "-lm"]);
    refuse(&idle(Version::One), &new, &["libm"], "new DT_NEEDED");
}

#[test]
fn a_program_for_another_machine() {
    let directory = TempDir::new().expect("a temporary directory");
    const MACHINE: usize = 18; // e_machine
    const AARCH64: u8 = 183;
    let new = altered(&directory, |bytes| bytes[MACHINE] = AARCH64);
    refuse(&idle(Version::One), &new, &["machine"], "another machine");
}

#[test]
fn a_file_that_is_no_program() {
    let directory = TempDir::new().expect("a temporary directory");
    refuse(&idle(Version::One), &file(&directory, b"#!/bin/sh\necho no\n"), &["ELF"], "a script");
    refuse(&idle(Version::One), &file(&directory, b""), &[], "an empty file");
    refuse(&idle(Version::One), &file(&directory, b"\x7fELF\x02\x01\x01"), &[], "a torn header");
    refuse(&idle(Version::One), &altered(&directory, |bytes| bytes.truncate(bytes.len() / 2)), &[], "half a program");
    refuse(&idle(Version::One), directory.path(), &[], "a directory");
    refuse(&idle(Version::One), &directory.path().join("missing"), &["missing"], "a missing file");
    refuse(&idle(Version::One), &build::shared_library("lib_dlopen_lazy.c"), &[], "a shared library");
}

#[test]
fn the_same_build_is_up_to_date_already() {
    let program = idle(Version::One);
    let mut target = Target::start(&IDLE, &program);
    assert_eq!(target.event(), Event::Ready);
    let before = Snapshot::take(target.pid(), Registers::Read);
    let outcome = Run::update(target.pid(), &program).run();
    outcome.assert_code(code::DONE, "update to the running build");
    assert!(outcome.text().contains("up to date"), "{}", outcome.text());
    Snapshot::take(target.pid(), Registers::Read).assert_same_as(&before, "update to the running build");
    go_on(target, 1, "update to the running build");
}

#[test]
fn a_process_that_does_not_exist() {
    let mut child = Command::new("true").spawn().expect("true starts");
    let pid = Pid::from_raw(child.id() as i32);
    child.wait().expect("true ends");
    let outcome = Run::update(pid, &idle(Version::Two)).run();
    outcome.assert_code(code::FAILED, "no such process");
    assert!(outcome.text().contains(&pid.to_string()), "{}", outcome.text());
}

#[test]
fn a_zombie() {
    let mut child = Command::new("true").spawn().expect("true starts");
    let pid = Pid::from_raw(child.id() as i32);
    let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
    nix::sys::wait::waitid(nix::sys::wait::Id::Pid(pid), flags).expect("true ends");
    let outcome = Run::update(pid, &idle(Version::Two)).run();
    assert!(child.wait().expect("the zombie is still there").success());
    assert!([code::FAILED, code::BLOCKED].map(Some).contains(&outcome.code), "{outcome:?}");
    assert!(outcome.text().contains("zombie"), "{}", outcome.text());
}

#[test]
fn a_kernel_thread() {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let is_kernel_thread = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let flags: u64 = text.rsplit_once(')')?.1.split_whitespace().nth(6)?.parse().ok()?;
        (flags & PF_KTHREAD != 0).then_some(pid)
    };
    let Some(pid) = is_kernel_thread(2) else { return println!("not run, no kernel thread is visible here") };
    let outcome = Run::update(Pid::from_raw(pid), &idle(Version::Two)).run();
    assert!([code::FAILED, code::BLOCKED].map(Some).contains(&outcome.code), "{outcome:?}");
    assert!(outcome.text().contains("kernel thread"), "{}", outcome.text());
}

#[test]
fn a_process_of_another_user() {
    if !Uid::effective().is_root() {
        return println!("not run, it needs root to become two users");
    }
    let reach = Reach::new();
    let [old, new] = [(Version::One, "v1"), (Version::Two, "v2")].map(|(version, name)| reach.copy(&idle(version), name));
    let mut target = Target::start(&IDLE, &old);
    assert_eq!(target.event(), Event::Ready);
    let run = Run::update(target.pid(), &new).binary(&reach.copy_dsu()).as_user(NOBODY);
    refused(&mut target, &IDLE, run, &["permi"], "process of another user");
    go_on(target, 1, "process of another user");
}

#[test]
fn wrong_usage() {
    for arguments in [&["update"][..], &["update", "--pid", "x", "--program", "y"], &["no-such-command"], &["restore"]] {
        let run = arguments[1..].iter().fold(Run::new(arguments[0]), |run, argument| run.argument(Path::new(argument)));
        run.run().assert_code(code::USAGE, &format!("dsu {arguments:?}"));
    }
}

#[test]
fn a_seccomp_filter_that_kills_at_the_way_back() {
    if !Uid::effective().is_root() {
        return;
    }
    let program = Program { options: &[], ..find("seccomp_strict") };
    let [old, new] = [Version::One, Version::Two].map(|version| build::program(&program, version, Style::USUAL));
    let mut target = Target::start(&program, &old);
    assert_eq!(target.event(), Event::Ready);
    let image = target.path("image");
    let words = ["seccomp", "munmap", "pause", "set_tid_address", "--accept-seccomp-risk"];
    for (run, what) in [
        (Run::update(target.pid(), &new), "update"),
        (Run::new("plan").pid(target.pid()).option("--program", &new), "plan"),
        (Run::checkpoint_and_kill(target.pid(), &image), "checkpoint"),
    ] {
        let outcome = refused(&mut target, &program, run, &words, what);
        outcome.assert_code(code::BLOCKED, what);
        // The filter allows these.
        assert!(!outcome.text().contains("futex") && !outcome.text().contains("mmap,"), "{what}: {}", outcome.text());
    }
    go_on(target, 1, "seccomp filter");
}
