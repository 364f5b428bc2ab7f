//! What a spec says of frames (`[[continue]]`), in running programs: where they go on, what their variables and others take, frames that vanish
//! or come, and answers to nothing.

use std::fs;
use std::path::{Path, PathBuf};

use dsu_tests::build;
use dsu_tests::catalogue::Program;
use dsu_tests::dsu::{Run, code};
use dsu_tests::target::{Event, Target};
use tempfile::TempDir;

const LEVELS: [&str; 2] = ["-O0", "-O2"];

fn built(name: &str, version: u32, level: &str) -> PathBuf {
    build::of_version(&build::said().join(format!("{name}.c")), version, &[level])
}

/// Starts version `from`, moves it to `to` with its spec while it waits, and lets it check itself.
fn goes_on(name: &'static str, (from, to): (u32, u32)) {
    let spec = build::said().join(if to == 2 { format!("{name}.toml") } else { format!("{name}.back.toml") });
    for level in LEVELS {
        let what = format!("{name}, {from} to {to}, {level}");
        let [old, new] = [from, to].map(|version| built(name, version, level));
        let mut target = Target::start(&Program::new(name, &[]), &old);
        assert_eq!(target.event(), Event::Ready, "{what}: {}", target.log());
        Run::update(target.pid(), &new).option("--spec", &spec).run().assert_code(code::DONE, &what);
        target.go(to);
        assert_eq!(target.event(), Event::Right, "{what}: {}", target.log());
        target.finish();
    }
}

#[test]
fn a_function_is_split_in_two() {
    goes_on("split", (1, 2));
}

#[test]
fn two_functions_become_one() {
    goes_on("split", (2, 1));
}

#[test]
fn a_function_is_inlined_by_the_compiler() {
    goes_on("inlined", (1, 2));
}

#[test]
fn locals_become_fields_and_variables_and_these_locals() {
    goes_on("values", (1, 2));
}

#[test]
fn the_way_back_of_locals_fields_and_variables() {
    goes_on("values", (2, 1));
}

#[test]
fn what_frames_become_depends_on_callers_threads_lines_labels_and_values() {
    goes_on("places", (1, 2));
}

#[test]
fn an_answer_to_nothing_is_told_with_its_place_and_the_program_goes_on() {
    let directory = TempDir::new().expect("a temporary directory");
    let cases = [
        ("accept = [\"skipped split.c:99\"]", ":10:12: `skipped split.c:99` answers no question", code::BLOCKED),
        ("set = { \"the_job.id\" = 1 }", ":10:9: this answers no question", code::FAILED),
    ];
    let table = "[[continue]]\nfunction = \"session\"\n";
    let whole = "drop = \"serve_one\"\nat = { call = \"wait_at\" }\nlocals = { done = \"old.done\", line = \"old.line\" }\n";
    let given = format!("{table}{whole}accept = [\"skipped\", \"argument\"]\n\n{table}");
    let [old, new] = [2, 1].map(|version| built("split", version, "-O0"));
    for (answer, expected, exit) in cases {
        let spec = directory.path().join("idle.toml");
        fs::write(&spec, format!("{given}{answer}\n")).expect("a spec");
        let mut target = Target::start(&Program::new("split", &[]), &old);
        assert_eq!(target.event(), Event::Ready, "{}", target.log());
        let run = Run::update(target.pid(), &new).option("--spec", &spec).option("--wait", Path::new("100ms")).run();
        run.assert_code(exit, answer);
        assert!(run.text().contains(expected), "{answer}: expected {expected}:\n{}", run.text());
        target.go(2);
        assert_eq!(target.event(), Event::Right, "{answer}: {}", target.log());
        target.finish();
    }
}

/// What a draft says of a pair of builds, and that it means something to both.
fn drafted(name: &str, (from, to): (u32, u32), lines: &[&str], answered: &[(&str, &str)]) {
    for level in LEVELS {
        let directory = TempDir::new().expect("a temporary directory");
        let [old, new] = [from, to].map(|version| built(name, version, level));
        let draft = directory.path().join("draft.toml");
        let diff = || Run::new("diff").argument(&old).argument(&new);
        let what = format!("{name}, {from} to {to}, {level}");
        diff().option("--output", &draft).run().assert_code(code::DONE, &what);
        let text = fs::read_to_string(&draft).expect("the draft");
        for line in lines {
            assert!(text.contains(line), "{what}: {line}\n{text}");
        }
        diff().option("--spec", &draft).run().assert_code(code::DONE, &what);
        // With its marks taken away, and what it leaves open filled in, the table about frames is a table, too.
        let table = text.lines().skip_while(|line| *line != "# [[continue]]").take_while(|line| line.starts_with('#'));
        let table: String = table.map(|line| line.trim_start_matches("# ").to_owned() + "\n").collect();
        let table = answered.iter().fold(table, |table, (open, given)| table.replace(open, given));
        assert!(table.contains("function = "), "{what}:\n{text}");
        fs::write(&draft, table).expect("a spec");
        diff().option("--spec", &draft).run().assert_code(code::DONE, &format!("{what}, with its answers"));
    }
}

#[test]
fn a_draft_lists_the_calls_of_both_sides_and_what_has_no_counterpart() {
    drafted(
        "split",
        (1, 2),
        &[
            "# If a thread is in",
            "in call 1 of wait_at at split.c:27: is not certain",
            "only the new one has call 1 of serve_one at split.c:42",
            "only the old one has line",
            "# [[continue]]",
            "# at = { call = \"serve_one\", ordinal = 1 }",
        ],
        &[],
    );
    drafted(
        "values",
        (1, 2),
        &[
            "in call 1 of update_here at values.c:29: goes on at values.c:45",
            "only the new one has call 1 of open_log at values.c:44",
            "only the old one has numbers, retries, served",
            "# locals = { id = \"EXPRESSION\", limit = \"EXPRESSION\", sorted = \"EXPRESSION\" }",
        ],
        &[("sorted = \"EXPRESSION\"", "sorted = \"old.numbers\""), ("EXPRESSION", "old.n")],
    );
}
