//! From message to answer: a person who reads nothing but what `dsu plan` prints writes the lines that it offers into a spec, fills in what they
//! leave open, and the update passes; the program finds itself right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dsu_tests::build;
use dsu_tests::catalogue::Program;
use dsu_tests::dsu::{Run, code};
use dsu_tests::target::{Event, Target};
use tempfile::TempDir;

/// Rounds of message and answer.
const MOST_ROUNDS: usize = 6;

/// A program, what the answers leave open, and what is asked.
struct Case {
    source: &'static str,
    flags: &'static [&'static str],
    open: &'static [(&'static str, &'static str)],
    asked: &'static [&'static str],
}

const fn data(source: &'static str, open: &'static [(&'static str, &'static str)], asked: &'static [&'static str]) -> Case {
    Case { source, flags: &["-O2"], open, asked }
}

const fn own(
    source: &'static str,
    flags: &'static [&'static str],
    open: &'static [(&'static str, &'static str)],
    asked: &'static [&'static str],
) -> Case {
    Case { source, flags, open, asked }
}

const NAME: &str = "NAME IN THE NEW PROGRAM";
const CASES: [Case; 25] = [
    data("refused_field.c", &[], &["is new: what is its value?"]),
    data("data_text_grows.c", &[], &["what do the new elements hold?"]),
    data(
        "data_union_tagged.c",
        &[
            ("old.TAG", "old.tag"),
            ("VALUE = \"MEMBER\"", "TAG_NUMBER = \"number\", TAG_TEXT = \"text\", TAG_PAIR = \"pair\", else = false"),
            ("\"struct pair.weight\" = 0", "\"struct pair.weight\" = 9"),
        ],
        &["which member is in use?"],
    ),
    data(
        "data_type_renamed.c",
        &[("struct NAME", "struct customer")],
        &["of the new build what struct", "what does it lead to?"],
    ),
    data("data_flexible.c", &[("old.FIELD", "old.used")], &["how many are there?"]),
    data("refused_enum.c", &[("NEW_VALUE", "77")], &["is none of enum"]),
    own("asked_data.c", &["-O0", "-DCASE=1"], &[(NAME, "treat_it_otherwise")], &["the new program has no such function"]),
    own("asked_data.c", &["-O0", "-DCASE=2"], &[(NAME, "sum_of_all")], &["the new program has no such variable"]),
    own("asked_data.c", &["-O0", "-DCASE=3"], &[], &["constructors do not run in an update"]),
    own("asked_data.c", &["-O0", "-DCASE=4"], &[], &["the new field ends before it"]),
    own(
        "asked_data.c",
        &["-O0", "-DCASE=5"],
        &[("EXPRESSION OF old.state", "length(old.state) * 2")],
        &["how does its value become one?"],
    ),
    own("asked_data.c", &["-O0", "-DCASE=6"], &[("CALL_OF_THE_NEW_PROGRAM(&TABLE)", "fill(1)")], &["as with a number"]),
    own("asked_data.c", &["-O0", "-DCASE=7"], &[], &["start-up code does not run again"]),
    own("asked.c", &["-O0", "-DCASE=1"], &[], &["the new code has stored to memory"]),
    own("asked.c", &["-O0", "-DCASE=2"], &[], &["the new code has called `note`"]),
    own("asked.c", &["-O0", "-DCASE=3"], &[], &["the old code has called `note`"]),
    own("asked.c", &["-O0", "-DCASE=4"], &[], &["the old code has stored to memory"]),
    own("asked.c", &["-O0", "-DCASE=5"], &[], &["only there if a branch goes one way"]),
    own("asked.c", &["-O0", "-DCASE=6"], &[("EXPRESSION", "old.n * 2")], &["variable `left`"]),
    own("asked.c", &["-O0", "-DCASE=7"], &[], &["variable `twice`"]),
    own("asked.c", &["-O0", "-DCASE=8"], &[], &["the new code has stored to memory"]),
    own("asked.c", &["-O0", "-DCASE=9"], &[("EXPRESSION", "old.numbers")], &["variable `sorted`"]),
    own("asked.c", &["-O0", "-DCASE=10"], &[], &["has no certain partner"]),
    own(
        "asked.c",
        &["-O0", "-DCASE=11"],
        &[(NAME, "serve_all_of_them"), ("{ line = \"FILE:LINE OF THE NEW FUNCTION\" }", "{ call = \"serve_all_of_them\" }")],
        &["the new program has no such function"],
    ),
    own("asked.c", &["-O0", "-DCASE=12"], &[("\"old.state\"", "\"old.state ? 0 : 1\"")], &["what its value means"]),
];

/// The lines that messages offer, each with those that would do as well.
fn offered(text: &str) -> Vec<Vec<String>> {
    const OFFER: &str = "answer in a spec (--spec FILE)";
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let Some((_, rest)) = line.split_once(OFFER) else { continue };
        let rest = rest.trim_start_matches(" with one of").trim_start_matches(':').trim();
        if !rest.is_empty() {
            found.push(rest.split("   or   ").map(str::to_owned).collect());
            continue;
        }
        let tables = lines.iter().skip(number + 1).map_while(|line| line.strip_prefix("      "));
        for line in tables {
            match found.last_mut() {
                Some(table) if !line.starts_with("[[") => {
                    let table: &mut Vec<String> = table;
                    if let Some(table) = table.last_mut() {
                        *table = format!("{table}\n{line}");
                    }
                }
                _ => found.push(vec![line.to_owned()]),
            }
        }
    }
    found
}

/// A spec of such lines: `[table] key = value`, or whole tables.
fn spec(lines: &[String]) -> String {
    let mut tables: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut whole = String::new();
    for line in lines {
        match line.strip_prefix('[').filter(|_| !line.starts_with("[[")).and_then(|line| line.split_once("] ")) {
            Some((table, entry)) => tables.entry(table).or_default().push(entry),
            None => whole.push_str(&format!("{line}\n\n")),
        }
    }
    let tables = tables.iter().map(|(table, entries)| format!("[{table}]\n{}\n\n", entries.join("\n")));
    tables.collect::<String>() + &whole
}

fn built(case: &Case, version: u32) -> PathBuf {
    let own = build::said().join(case.source);
    let source = if own.exists() { own } else { build::sources().join(case.source) };
    build::of_version(&source, version, case.flags)
}

/// Plans, answers and plans again until nothing is in the way, and updates; what was told.
fn answered(case: &Case) -> String {
    let what = format!("{} {:?}", case.source, case.flags);
    let (old, new) = (built(case, 1), built(case, 2));
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("update.toml");
    let mut target = Target::start(&Program::new("messages", &[]), &old);
    assert_eq!(target.event(), Event::Ready, "{what}: {}", target.log());
    let (mut known, mut told): (Vec<String>, String) = (Vec::new(), String::new());
    for round in 0.. {
        fs::write(&path, spec(&known)).expect("a spec");
        let plan = Run::new("plan").pid(target.pid()).option("--program", &new).option("--spec", &path).run();
        if plan.code == Some(code::DONE) {
            break;
        }
        plan.assert_code(code::BLOCKED, &format!("{what}, with\n{}", spec(&known)));
        told.push_str(&plan.text());
        let before = known.len();
        for answers in offered(&plan.text()) {
            let is_open = |answer: &&String| case.open.iter().any(|(open, _)| answer.contains(open));
            let Some(answer) = answers.iter().find(is_open).or(answers.first()) else { continue };
            let answer = case.open.iter().fold(answer.clone(), |answer, (open, given)| answer.replace(open, given));
            if !known.contains(&answer) {
                known.push(answer);
            }
        }
        assert!(known.len() > before && round < MOST_ROUNDS, "{what}: nothing more to answer with:\n{}", plan.text());
    }
    let run = Run::update(target.pid(), &new).option("--spec", &path).option("--wait", Path::new("2s")).run();
    run.assert_code(code::DONE, &format!("{what}, with\n{}", spec(&known)));
    target.go(2);
    assert_eq!(target.event(), Event::Right, "{what}: {}\n{}", target.log(), spec(&known));
    target.finish();
    told
}

#[test]
fn the_lines_that_plan_prints_let_the_update_pass() {
    let mut kinds: Vec<&str> = Vec::new();
    for case in &CASES {
        let told = answered(case);
        for asked in case.asked {
            assert!(told.contains(asked), "{} {:?}: {asked} was not asked:\n{told}", case.source, case.flags);
            if !kinds.contains(asked) {
                kinds.push(asked);
            }
        }
    }
    assert!(kinds.len() >= 20, "{} kinds of blockers: {kinds:#?}", kinds.len());
}
