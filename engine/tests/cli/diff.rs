//! What `dsu diff` says of two programs, and the draft that it writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{Waiting, assert_fails, dsu};

const OLD: &str = "\
    #include <unistd.h>
    struct entry { int key; char label[16]; struct entry *next; };
    struct entry first = { 1, \"one\", 0 };
    static int total = 3;
    __attribute__((noinline)) int serve(int n) { total += n; return total * first.key; }
    int main(int argc, char **argv) { serve(argc); for (;;) pause(); }\n";
const NEW: &str = "\
    #include <unistd.h>
    struct entry { int key; char name[16]; unsigned hits; struct entry *next; };
    struct entry first = { 1, \"one\", 0, 0 };
    static int grand_total = 3;
    __attribute__((noinline)) int serve_client(int n) { grand_total += n; return grand_total * first.key; }
    int main(int argc, char **argv) { serve_client(argc); for (;;) pause(); }\n";

fn compile(directory: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let (file, binary) = (directory.join(format!("{name}.c")), directory.join(name));
    fs::write(&file, source).unwrap();
    let status =
        Command::new("cc").args(["-g", "-O1", "-o"]).arg(&binary).arg(&file).args(flags).status().expect("cc can be started");
    assert!(status.success());
    binary
}

struct Programs {
    directory: tempfile::TempDir,
    old: PathBuf,
    new: PathBuf,
}

impl Programs {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let old = compile(directory.path(), "old", OLD, &["-Wl,--build-id=0xaaaaaaaaaaaa"]);
        let new = compile(directory.path(), "new", NEW, &["-Wl,--build-id=0xbbbbbbbbbbbb"]);
        Self { directory, old, new }
    }

    fn words(&self) -> [&str; 3] {
        ["diff", self.old.to_str().unwrap(), self.new.to_str().unwrap()]
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn a_difference_is_told_to_people_and_to_programs() {
    let programs = Programs::new();
    let human = dsu(&programs.words());
    assert_eq!(human.code, Some(0), "{}", human.stderr);
    for fact in [
        "(aaaaaaaaaaaa)",
        "to ",
        "functions (",
        "- serve (",
        "perhaps `serve_client` (",
        "- old.c:total (",
        "~ struct entry (",
        ": 32 bytes",
        "+ hits: unsigned int at 20",
        "+ name: char [16] at 4; perhaps `label` (",
    ] {
        assert!(human.stdout.contains(fact), "`{fact}` is not in:\n{}", human.stdout);
    }
    let value = dsu(&[&programs.words()[..], &["--json"]].concat()).json();
    assert_eq!(value["result"], "different");
    let entry = &value["diff"]["types"]["changed"][0];
    assert_eq!((&entry["name"], &entry["members"][1]["name"]), (&"struct entry".into(), &"hits".into()), "{entry}");
    assert_eq!(value["diff"]["functions"]["removed"][0]["candidates"][0]["name"], "serve_client");
    assert_eq!(value["diff"]["old"]["build_id"], "aaaaaaaaaaaa");
    let same = dsu(&["diff", programs.old.to_str().unwrap(), programs.old.to_str().unwrap(), "--json"]).json();
    assert_eq!(same["result"], "same");
}

#[test]
fn a_draft_is_written_once_and_its_answers_are_taken() {
    let programs = Programs::new();
    let draft = programs.file("update.toml");
    let outcome = dsu(&[&programs.words()[..], &["-o", &draft]].concat());
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let text = fs::read_to_string(&draft).unwrap();
    assert!(text.contains("build-id = \"aaaaaaaaaaaa\"") && text.contains("# \"struct entry.hits\" = 0"), "{text}");
    assert_fails(&[&programs.words()[..], &["-o", &draft]].concat(), 1, "system-error", &["update.toml", "exists"]);
    assert_eq!(fs::read_to_string(&draft).unwrap(), text);
    let answered = text.replace("# \"serve\" =", "\"serve\" =").replace("# \"old.c:total\" =", "\"old.c:total\" =");
    fs::write(&draft, answered).unwrap();
    let value = dsu(&[&programs.words()[..], &["--spec", &draft, "--json"]].concat()).json();
    assert_eq!(value["diff"]["functions"]["removed"].as_array().map(Vec::len), Some(0), "{value}");
    let variables = value["diff"]["variables"]["changed"].as_array().unwrap();
    let total = variables.iter().find(|variable| variable["name"] == "old.c:total").expect("it is paired now");
    assert_eq!(total["changes"][0]["change"], "moved", "{value}");
}

#[test]
fn a_spec_that_does_not_fit_is_refused_before_anything_is_done() {
    let programs = Programs::new();
    let spec = programs.file("spec.toml");
    let waiting = Waiting::start(&programs.old, &[]);
    let pid = waiting.pid().to_string();
    let program = programs.new.to_str().unwrap();
    for (text, facts) in [
        ("[pair.functions]\nsrve = \"serve_client\"\n", ["spec.toml:2:1", "nearest known name is `serve`"]),
        ("[old]\nbuild-id = \"cccccccccccc\"\n", ["spec.toml:2:13", "another build"]),
        ("[pear]\n", ["spec.toml:1:2", "nearest known name is `pair`"]),
        ("[accept]\nunused-types = [\"struct entri\"]\n", ["spec.toml:2:18", "nearest known name is `struct entry`"]),
    ] {
        fs::write(&spec, text).unwrap();
        assert_fails(&[&programs.words()[..], &["--spec", &spec]].concat(), 1, "wrong-spec", &facts);
        assert_fails(&["plan", "--pid", &pid, "--program", program, "--spec", &spec], 1, "wrong-spec", &facts);
    }
    assert_fails(&["plan", "--pid", &pid, "--program", program, "--spec", "/nonexistent"], 1, "no-such-file", &["/nonexistent"]);
}
