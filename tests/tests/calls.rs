//! A call after the restore that faults, hangs, or would end the process takes the way back: the old version goes on as it was.

use std::fs;

use dsu_tests::build::{self, Style, Version};
use dsu_tests::catalogue::find;
use dsu_tests::dsu::{Run, code};
use dsu_tests::flavours::plain;
use dsu_tests::target::{Event, Target};
use tempfile::TempDir;

const PROGRAM: &str = "calls_fail";

/// Updates with `call` in the spec, which must be rolled back with `words`, and lets the old version check itself.
fn rolled_back(call: &str, words: &[&str]) {
    for style in Style::OPPOSITE {
        let [old, new] = [Version::One, Version::Two].map(|version| build::program(&find(PROGRAM), version, style));
        let directory = TempDir::new().expect("a temporary directory");
        let spec = directory.path().join("update.toml");
        let field = "[fields]\n\"struct entry.text\" = 0\n";
        fs::write(&spec, format!("[after-restore]\ncall = [\"succeed(&made)\", \"{call}\"]\n{field}")).expect("a spec");
        let mut target = Target::start(&find(PROGRAM), &old);
        assert_eq!(target.event(), Event::Ready, "{call}");
        let outcome = Run::update(target.pid(), &new).option("--spec", &spec).run();
        outcome.assert_code(code::ROLLED_BACK, call);
        for word in words.iter().chain(&[call]) {
            assert!(outcome.text().contains(word), "{call}: dsu does not say {word:?}:\n{}", outcome.text());
        }
        let link = fs::read_link(format!("/proc/{}/exe", target.pid())).expect("the process is there");
        assert_eq!(link, old, "{call}");
        target.go(1);
        assert_eq!(target.event(), Event::Right, "{call}: {}", target.log());
        target.finish();
    }
}

#[test]
fn the_program_itself_is_right() {
    plain(PROGRAM);
}

#[test]
fn a_call_that_faults() {
    rolled_back("fault(8)", &["SIGSEGV"]);
}

#[test]
fn a_call_that_overruns_its_stack() {
    rolled_back("recurse(&made)", &["SIGSEGV"]);
}

#[test]
fn a_call_that_aborts() {
    rolled_back("give_up()", &["SIGABRT"]);
}

#[test]
fn a_call_that_ends_the_process() {
    rolled_back("end(0)", &["exit_group"]);
}

#[test]
fn a_call_that_makes_another_process() {
    rolled_back("split()", &["clone"]);
}

#[test]
fn a_call_that_waits_for_ever() {
    rolled_back("hang()", &["within"]);
}

#[test]
fn a_call_that_computes_for_ever() {
    rolled_back("spin(&made)", &["within"]);
}
