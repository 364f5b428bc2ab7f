//! Usage, help, environment, and where the answer goes.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::run::{Outcome, command, dsu};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../formats/tests/golden/v1.dsu");

#[test]
fn wrong_usage() {
    let wrong: [&[&str]; 9] = [
        &[],
        &["frobnicate"],
        &["update"],
        &["update", "--pid", "0", "--program", "/bin/true"],
        &["update", "--pid", "-5", "--program", "/bin/true"],
        &["update", "--pid", "1", "--program", "/bin/true", "--wait", "5"],
        &["checkpoint", "--pid", "1", "--output", "x", "--then", "explode"],
        &["inspect"],
        &["verify", "one", "two"],
    ];
    for words in wrong {
        let human = dsu(words);
        assert_eq!(human.code, Some(2), "{words:?}: {}", human.stderr);
        assert!(human.stdout.is_empty() && !human.stderr.is_empty(), "{words:?}");
        let value = dsu(&[words, &["--json"]].concat()).json();
        assert_eq!((&value["result"], &value["exit"]), (&"usage".into(), &2.into()), "{words:?}: {value}");
        assert!(!value["error"]["message"].as_str().unwrap().is_empty(), "{words:?}: {value}");
    }
}

#[test]
fn help_names_every_exit_code() {
    let help = dsu(&["--help"]);
    assert_eq!(help.code, Some(0));
    for code in 0..=7 {
        assert!(help.stdout.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "{code}: {}", help.stdout);
    }
    for command in ["doctor", "checkpoint", "restore", "update", "plan", "diff", "recover", "inspect", "verify"] {
        assert!(help.stdout.contains(command), "{command}");
        assert_eq!(dsu(&[command, "--help"]).code, Some(0), "{command}");
    }
    assert_eq!(dsu(&["--version"]).code, Some(0));
}

#[test]
fn a_malformed_environment_is_wrong_usage() {
    for (name, value) in [("DSU_FAULT", "exec"), ("DSU_FAULT", "die:exec:x"), ("DSU_LOG", "dsu_engine=nonsense")] {
        let outcome: Outcome = command().args(["inspect", GOLDEN, "--json"]).env(name, value).output().unwrap().into();
        assert_eq!(outcome.code, Some(2), "{name}={value}");
        let message = outcome.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(name) && message.contains(value), "{message}");
    }
    let empty = command().args(["inspect", GOLDEN]).env("DSU_FAULT", "").env("DSU_LOG", "").output().unwrap();
    assert_eq!(empty.status.code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    drop(reader);
    let output: Outcome = command().args(["inspect", GOLDEN]).stdout(writer as OwnedFd).output().unwrap().into();
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output: Outcome = command().args(["inspect", GOLDEN]).stdout(full).output().unwrap().into();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("cannot print the result") && output.stderr.contains("No space"), "{}", output.stderr);
}

#[test]
fn the_doctor_lists_its_checks_and_counts_what_is_missing() {
    let human = dsu(&["doctor"]);
    let value = dsu(&["doctor", "--json"]).json();
    let checks = value["checks"].as_array().unwrap();
    let is_missing = checks.iter().any(|check| check["status"] == "missing");
    assert_eq!(value["exit"], if is_missing { 5 } else { 0 }, "{value}");
    assert_eq!(value["result"] == "lacking", is_missing);
    assert!(human.code == Some(0) || human.code == Some(5), "{}", human.stderr);
    for name in ["kernel", "capabilities", "ptrace", "thread ids", "page scan", "mapped files", "locks", "debug info"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name}: {value}");
        assert!(human.stdout.contains(name), "{name}: {}", human.stdout);
    }
}

#[test]
fn no_colour_reaches_a_file() {
    let failed = dsu(&["inspect", "/nonexistent"]);
    assert!(!failed.stderr.contains('\x1b') && !dsu(&["doctor"]).stdout.contains('\x1b'));
}
