//! The oracle's own parts: what programs and plans say is read, and differences are seen.

use super::compare::Counts;
use super::kept::Kept;
use super::plan::{Answer, Fate, Place};
use super::program::{self, Good, Kind, Program, Style};
use super::random;
use super::run::{Frames, Outcome, Report};
use super::tally;

#[test]
fn every_program_says_what_it_is_about() {
    let programs = program::all();
    assert!(programs.len() >= 100, "{}", programs.len());
    for good in [Good::Right, Good::Refused, Good::Either] {
        assert!(programs.iter().filter(|program| program.good == good).count() >= 10, "{good:?}");
    }
    for kind in [Kind::Release, Kind::Case, Kind::Counterexample] {
        assert!(programs.iter().filter(|program| program.kind == kind).count() >= 10, "{kind:?}");
    }
    // What must be refused for the rules' sake is no ordinary change.
    let wrong = |program: &&Program| program.kind == Kind::Case && program.good == Good::Refused;
    assert_eq!(programs.iter().find(wrong).map(|program| program.name.as_str()), None);
}

#[test]
fn a_program_that_does_not_say_it_is_refused() {
    let whole = "// About.\n// rule: 3.1\n// good: right\n// point: 2\n// input: 5 6\n// flags: -pthread -DX\n#include";
    let program = Program::parse("p", whole).expect("a whole header");
    assert_eq!((program.point, program.input.as_str(), program.flags.len()), (2, "5 6", 2));
    for (line, complaint) in
        [("// About.\n", "about"), ("// rule: 3.1\n", "rule"), ("// point: 2\n", "point"), ("// good: right\n", "good")]
    {
        let error = Program::parse("p", &whole.replace(line, "")).expect_err("a line is missing");
        assert!(error.contains(complaint), "{error}");
    }
    assert_eq!(program.kind, Kind::Case);
    assert!(Program::parse("p", &whole.replace("right", "maybe")).is_err());
    assert!(Program::parse("p", &whole.replace("// good", "// kind: usual\n// good")).is_err());
    assert!(Program::parse("p", &whole.replace("point: 2", "point: 0")).is_err());
}

const SAMPLE: &str = r#"{ "result": "planned", "stacks": [ { "tid": 7, "frames": [
  { "function": "loop", "fate": "rebuilt",
    "old": { "pc": "0x1000", "cfa": "0x7ffff000", "line": "f.c:12" }, "new": { "pc": "0x2000", "cfa": "0x7fffe000", "line": "f.c:14" },
    "module": "program",
    "values": [ { "place": "rbx", "length": 8, "bits": "0xffffffffffffffff", "value": "0x2a", "why": "variable `n`", "reader": "f.c:15" },
                { "place": "cfa-24", "length": 4, "bits": "0xffffffff", "value": "0x1", "why": "constant", "reader": "f.c:16" } ],
    "objects": [ { "name": "session", "old": "cfa-96", "new": "cfa-112", "old_length": 2, "new_length": 3, "bytes": "01ff00" } ],
    "blockers": [] },
  { "function": "main", "fate": "blocked", "old": { "pc": "0x3000", "cfa": "0x7ffff100", "line": "" }, "blockers": [ "no" ] } ] } ] }"#;

#[test]
fn a_plan_is_read() {
    let answer: Answer = serde_json::from_str(SAMPLE).expect("the documented form");
    let frames = &answer.stacks[0].frames;
    assert_eq!(frames[0].new.map(|new| (new.pc, new.cfa)), Some((0x2000, 0x7fff_e000)));
    let values: Vec<_> = frames[0].values.iter().map(|value| (value.place, value.value)).collect();
    assert_eq!(values, [(Place::Register(3), Some(0x2a)), (Place::Slot(-24), Some(1))]);
    assert_eq!((frames[0].objects[0].new, frames[0].objects[0].bytes.clone()), (Place::Slot(-112), Some(vec![1, 255, 0])));
    assert_eq!((frames[1].fate, frames[1].new.is_none(), frames[1].blockers.len()), (Fate::Blocked, true, 1));
}

#[test]
fn a_plan_of_another_form_is_refused() {
    for (from, to) in
        [("\"0x2a\"", "42"), ("cfa-24", "stack-24"), ("01ff00", "1ff00"), ("rebuilt", "guessed"), ("\"0x1000\"", "\"0xg\"")]
    {
        let text = SAMPLE.replace(from, to);
        let is_read = serde_json::from_str::<Answer>(&text).is_ok();
        assert!(!is_read, "{from} as {to}");
    }
}

#[test]
fn places_are_written_as_they_are_read() {
    for text in ["rbx", "r15", "cfa-24", "cfa+16"] {
        assert_eq!(text.parse::<Place>().expect("a place").to_string(), text);
    }
}

fn report(outcome: Outcome, equal: usize) -> Report {
    Report {
        program: "loop".to_owned(),
        style: Style { compiler: "clang", level: 2 },
        outcome,
        counts: Counts { equal, ..Counts::default() },
        frames: Frames::default(),
        reasons: Default::default(),
        findings: Vec::new(),
        refusals: Vec::new(),
        is_back: false,
    }
}

#[test]
fn kept_counts_are_read_as_they_are_written_and_a_loss_is_seen() {
    let before = Kept::of(&[report(Outcome::Equal, 7)]);
    assert_eq!(Kept::parse(&before.text()), Ok(before.clone()));
    let after = Kept::of(&[report(Outcome::Refused, 6)]);
    assert_eq!((after.losses(&before).len(), after.falls(&before).len()), (1, 1));
    assert_eq!((before.losses(&after).len(), before.falls(&after).len(), before.losses(&before).len()), (0, 0, 0));
    assert!(Kept::parse("loop ==").is_err() && Kept::parse("locations gcc -O0: many").is_err());
}

#[test]
fn a_part_of_the_runs_leaves_the_other_counts() {
    let other = Report { style: Style { compiler: "gcc", level: 0 }, ..report(Outcome::Refused, 1) };
    let both = Kept::of(&[report(Outcome::Equal, 7)]).over(Kept::of(std::slice::from_ref(&other)));
    assert_eq!(both, Kept::of(&[report(Outcome::Equal, 7), other]));
}

#[test]
fn wrong_values_and_runs_are_not_right() {
    assert!(report(Outcome::Equal, 1).is_right() && report(Outcome::Refused, 0).is_right());
    assert!(!report(Outcome::Wrong, 1).is_right() && !report(Outcome::Forbidden, 1).is_right());
    let mut wrong = report(Outcome::Equal, 1);
    wrong.counts.wrong = 1;
    assert!(!wrong.is_right());
    assert!(tally::table(&[wrong]).contains("clang -O2"));
    let text = "// About.\n// rule: 3.1\n// kind: counterexample\n// good: right\n// point: 2";
    let programs = [Program::parse("loop", text).expect("a whole header")];
    let shares = tally::shares(&programs, &[report(Outcome::Equal, 1), report(Outcome::Refused, 0)]);
    assert!(shares.contains("1 of 2  50%") && !shares.contains("ordinary"), "{shares}");
}

#[test]
fn a_seed_gives_the_same_program_every_time_and_another_seed_another() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = |seed: u64| {
        let program = random::make(seed, directory.path());
        let text = std::fs::read_to_string(directory.path().join(format!("{}.c", program.name))).expect("its source");
        assert_eq!(Program::parse(&program.name, &text).expect("it says what it is").point, program.point);
        text
    };
    assert_eq!(source(5), source(5));
    assert_ne!(source(5), source(6));
    // Both versions have points, and they differ.
    for seed in 1..40 {
        let text = source(seed);
        let (_, both) = text.split_once("long work(").expect("a function");
        let (new, old) = both.split_once("#else\n").expect("two versions");
        assert!(new.contains("point();") && old.contains("point();"), "{text}");
    }
}
