//! Processes that cannot be taken: each with its own message, its exit code, and itself untouched.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::ptrace;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, gettid};

use crate::run::{Outcome, Waiting, assert_fails, command};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dsu");

/// Every command that takes a process refuses it alike.
fn assert_refused(pid: i32, code: i32, name: &str, facts: &[&str]) {
    let pid = pid.to_string();
    let output = std::env::temp_dir().join(format!("dsu-cli-refused-{}.dsu", std::process::id()));
    let output = output.to_str().unwrap();
    assert_fails(&["update", "--pid", &pid, "--program", PROGRAM], code, name, facts);
    assert_fails(&["plan", "--pid", &pid, "--program", PROGRAM], code, name, facts);
    assert_fails(&["checkpoint", "--pid", &pid, "--output", output], code, name, facts);
    assert!(!fs::exists(output).unwrap(), "a refused checkpoint leaves no file");
}

#[test]
fn no_such_process() {
    // Above the largest pid_max.
    let pid = (1 << 22) + 18;
    assert_refused(pid, 1, "no-such-process", &[&pid.to_string(), "no such process"]);
    assert_fails(&["recover", "--pid", &pid.to_string()], 1, "no-such-process", &[&pid.to_string()]);
}

#[test]
fn a_kernel_thread() {
    let Some(pid) = kernel_thread() else {
        eprintln!("SKIPPED: no kernel thread is visible here");
        return;
    };
    assert_refused(pid, 1, "kernel-thread", &[&pid.to_string(), "kernel thread"]);
}

/// Kernel threads are the children of process 2.
fn kernel_thread() -> Option<i32> {
    let status = |pid: i32| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let is_one = |pid: &i32| status(*pid).lines().any(|line| line == "PPid:\t2" || line == "Name:\tkthreadd");
    fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find(is_one)
}

#[test]
fn a_zombie() {
    let mut child = Command::new("true").spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
    assert_refused(pid.as_raw(), 1, "zombie", &[&pid.to_string(), "ended"]);
    child.wait().unwrap();
}

#[test]
fn a_thread() {
    let tid = gettid();
    assert_refused(tid.as_raw(), 1, "not-a-process", &[&tid.to_string(), "thread"]);
}

#[test]
fn a_traced_process() {
    let waiting = Waiting::sleep();
    let pid = Pid::from_raw(waiting.pid());
    ptrace::seize(pid, ptrace::Options::empty()).unwrap();
    assert_refused(waiting.pid(), 3, "traced", &[&waiting.pid().to_string(), &gettid().to_string()]);
}

#[test]
fn dsu_itself() {
    let script = format!("exec '{PROGRAM}' \"$@\" --pid $$");
    let words = ["update", "--program", PROGRAM, "--json"];
    let output = Command::new("sh").args(["-c", &script, "sh"]).args(words).stdin(Stdio::null()).output().unwrap();
    let value = Outcome::from(output).json();
    assert_eq!(value["exit"], 1);
    assert_eq!(value["error"]["code"], "dsu-itself", "{value}");
}

#[test]
fn a_process_of_another_user_names_what_is_missing() {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can become another user");
        return;
    }
    // The binary may lie where another user cannot go: a copy goes where everybody can.
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("dsu");
    fs::copy(PROGRAM, &copy).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let waiting = Waiting::sleep();
    let pid = waiting.pid().to_string();
    const NOBODY: u32 = 65534;
    let mut run = Command::new(&copy);
    run.args(["update", "--json", "--pid", &pid, "--program"]).arg(&copy).uid(NOBODY).gid(NOBODY).env_remove("XDG_RUNTIME_DIR");
    let value = Outcome::from(run.stdin(Stdio::null()).output().unwrap()).json();
    assert_eq!(value["exit"], 5, "{value}");
    assert_eq!(value["result"], "lacking", "{value}");
    assert!(value["error"]["hints"][0].as_str().unwrap().contains("root"), "{value}");
}

#[test]
fn a_refused_process_goes_on_as_it_was() {
    let waiting = Waiting::sleep();
    let pid = waiting.pid().to_string();
    let outcome: Outcome =
        command().args(["update", "--pid", &pid, "--program", "/etc/passwd", "--json"]).output().unwrap().into();
    assert_eq!(outcome.json()["error"]["state"], "untouched");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("TracerPid:\t0"), "{status}");
    assert!(!status.contains("State:\tT") && !status.contains("State:\tt"), "{status}");
}
