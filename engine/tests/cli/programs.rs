//! Programs that a process cannot be moved to, and one that it runs already.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::run::{Waiting, assert_fails, command, dsu};

/// Compiles a program that waits.
fn compile(directory: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let (source, binary) = (directory.join("wait.c"), directory.join(name));
    fs::write(&source, "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n").unwrap();
    let status = Command::new("cc").arg("-o").arg(&binary).arg(&source).args(flags).status().expect("cc can be started");
    assert!(status.success());
    binary
}

#[test]
fn files_that_are_no_program() {
    let directory = tempfile::tempdir().unwrap();
    let running = compile(directory.path(), "running", &["-g"]);
    let waiting = Waiting::start(&running, &[]);
    let pid = waiting.pid().to_string();
    let refused = |file: &str, name: &str, facts: &[&str]| {
        assert_fails(&["update", "--pid", &pid, "--program", file], 1, name, facts);
        assert_fails(&["plan", "--pid", &pid, "--program", file], 1, name, facts);
    };
    refused("/etc/passwd", "not-elf", &["/etc/passwd", "not an ELF file"]);
    refused("/nonexistent/new", "no-such-file", &["/nonexistent/new"]);
    refused("/", "wrong-path", &["`/`", "regular file"]);
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    refused(fifo.to_str().unwrap(), "wrong-path", &["fifo", "regular file"]);
    let bare = compile(directory.path(), "bare", &["-s"]);
    refused(bare.to_str().unwrap(), "no-debug-info", &["bare", "debug information"]);
}

#[test]
fn a_process_without_debug_information_is_told_from_a_new_program_without() {
    let directory = tempfile::tempdir().unwrap();
    let bare = compile(directory.path(), "bare", &["-s"]);
    let new = compile(directory.path(), "new", &["-g"]);
    let waiting = Waiting::start(&bare, &[]);
    let pid = waiting.pid().to_string();
    assert_fails(
        &["update", "--pid", &pid, "--program", new.to_str().unwrap()],
        1,
        "no-debug-info",
        &["running program", "bare"],
    );
}

#[test]
fn the_same_build_is_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let running = compile(directory.path(), "running", &["-g"]);
    let waiting = Waiting::start(&running, &[]);
    let pid = waiting.pid().to_string();
    let words = ["update", "--pid", &pid, "--program", running.to_str().unwrap()];
    let human = dsu(&words);
    assert_eq!(human.code, Some(0), "{}", human.stderr);
    assert!(human.stdout.contains("up to date"), "{}", human.stdout);
    let value = dsu(&[&words[..], &["--json"]].concat()).json();
    assert_eq!((&value["result"], &value["pid"]), (&"up-to-date".into(), &waiting.pid().into()));
}

#[test]
fn an_image_that_could_not_be_kept_is_refused_before_anything_is_done() {
    let waiting = Waiting::sleep();
    let pid = waiting.pid().to_string();
    let words = ["update", "--pid", &pid, "--program", env!("CARGO_BIN_EXE_dsu"), "--keep-image", "/nonexistent/image"];
    assert_fails(&words, 1, "no-such-file", &["/nonexistent/image"]);
    assert_fails(&["checkpoint", "--pid", &pid, "--output", "/tmp"], 1, "wrong-path", &["/tmp"]);
}

#[test]
fn every_update_leaves_a_line_in_the_system_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = UnixDatagram::bind(&path).unwrap();
    log.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let running = compile(directory.path(), "running", &["-g", "-Wl,--build-id=0xabcdef01"]);
    let waiting = Waiting::start(&running, &[]);
    let pid = waiting.pid().to_string();
    let line = |program: &str| {
        command().args(["update", "--pid", &pid, "--program", program]).env("DSU_SYSLOG_SOCKET", &path).output().unwrap();
        let mut bytes = [0; 4096];
        let length = log.recv(&mut bytes).expect("a line comes");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let done = line(running.to_str().unwrap());
    let user = nix::unistd::getuid().to_string();
    let facts = [&format!("update of process {pid}"), &format!("user {user}"), "abcdef01 to abcdef01", "exit 0", "up to date"];
    assert!(facts.iter().all(|fact| done.contains(*fact)), "{done}");
    let failed = line("/etc/passwd");
    assert!(failed.contains("abcdef01 to unknown") && failed.contains("exit 1"), "{failed}");
}

#[test]
fn a_log_that_nobody_reads_fails_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let running = compile(directory.path(), "running", &["-g"]);
    let waiting = Waiting::start(&running, &[]);
    let words = ["update", "--pid", &waiting.pid().to_string(), "--program", running.to_str().unwrap()];
    let output = command().args(words).env("DSU_SYSLOG_SOCKET", directory.path().join("nobody")).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
