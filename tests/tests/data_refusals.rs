//! Data that no rule carries is refused with its place, wrong specs with theirs; the program goes on exactly as it was.

use std::fs;
use std::path::{Path, PathBuf};

use dsu_tests::build::{self, Style, Version};
use dsu_tests::catalogue::find;
use dsu_tests::dsu::{Run, code};
use dsu_tests::flavours::{plain, refused};
use dsu_tests::target::{Event, Target};
use tempfile::TempDir;

/// The builds of a program, and where specs for them are written.
struct Case {
    name: &'static str,
    old: PathBuf,
    new: PathBuf,
    directory: TempDir,
}

impl Case {
    fn new(name: &'static str, style: Style) -> Self {
        let [old, new] = [Version::One, Version::Two].map(|version| build::program(&find(name), version, style));
        Case { name, old, new, directory: TempDir::new().expect("a temporary directory") }
    }

    fn spec(&self, text: &str) -> PathBuf {
        let path = self.directory.path().join("wrong.toml");
        fs::write(&path, text).expect("a spec");
        path
    }

    fn start(&self) -> Target {
        let mut target = Target::start(&find(self.name), &self.old);
        assert_eq!(target.event(), Event::Ready, "{}", self.name);
        target
    }

    /// Update and plan are refused with `words` and this exit code.
    fn refuse(&self, target: &mut Target, spec: Option<&Path>, words: &[&str], expected: i32) {
        for command in ["update", "plan"] {
            let run = Run::new(command).pid(target.pid()).option("--program", &self.new).option("--wait", Path::new("100ms"));
            let run = spec.into_iter().fold(run, |run, spec| run.option("--spec", spec));
            let what = format!("{command} of {}", self.name);
            refused(target, &find(self.name), run, words, &what).assert_code(expected, &what);
        }
    }
}

/// Lets a program that was refused check itself and end.
fn go_on(mut target: Target, what: &str) {
    target.go(1);
    assert_eq!(target.event(), Event::Right, "{what}: {}", target.log());
    target.finish();
}

/// Starts version one of `name` and expects that it is refused with `words`, with the spec `text`.
fn blocked(name: &'static str, text: &str, words: &[&str]) {
    for style in Style::OPPOSITE {
        let case = Case::new(name, style);
        let spec = (!text.is_empty()).then(|| case.spec(text));
        let mut target = case.start();
        case.refuse(&mut target, spec.as_deref(), words, code::BLOCKED);
        go_on(target, name);
    }
}

#[test]
fn the_programs_themselves_are_right() {
    dsu_tests::catalogue::REFUSED_PROGRAMS.iter().for_each(|program| plain(program.name));
}

#[test]
fn a_new_field_without_an_answer() {
    blocked("refused_field", "", &["struct account.limit", "is new"]);
}

#[test]
fn what_only_the_start_of_the_new_program_would_have_made() {
    let words =
        ["`server.pending` (struct list *) is new and starts as zero, although `prepare` stores to it", ":table` (int *) is new"];
    blocked("refused_startup", "", &words);
    blocked("refused_startup", "globals.table = \"new\"", &words[..1]);
    blocked("refused_startup", "fields.\"server.pending\" = 0", &words[1..]);
    let case = Case::new("refused_startup", Style::USUAL);
    let spec =
        case.spec("[fields]\n\"server.pending\" = 0\n[globals]\ntable = \"new\"\n[after-restore]\ncall = [\"prepare()\"]\n");
    let mut target = case.start();
    let update = Run::update(target.pid(), &case.new).option("--spec", &spec).options(&["--json"]).run();
    update.assert_code(code::DONE, "an answer and a call");
    let warning = "`server.limit` is new and starts as zero, although `prepare` stores to it";
    assert!(update.text().contains(warning) && !update.text().contains("lazy` is new and"), "{}", update.text());
    target.go(2);
    assert_eq!(target.event(), Event::Right, "{}", target.log());
    target.finish();
}

#[test]
fn a_void_pointer_to_what_changes() {
    blocked(
        "refused_void_pointer",
        "fields.\"struct user.shell\" = 0",
        &["could be `struct user`", "(struct session).data points to it"],
    );
}

#[test]
fn a_union_without_a_tag() {
    blocked("refused_union", "fields.\"struct name.length\" = 0", &["could be `struct name`", "(struct value).as"]);
    blocked("data_union_tagged", "", &["`struct value.as`", "which member is in use"]);
}

#[test]
fn blocks_that_no_typed_path_reaches() {
    blocked("refused_hidden_block", "", &["could be `struct secret`", "hidden[] points to it"]);
}

#[test]
fn a_pointer_off_its_alignment() {
    blocked("refused_misaligned", "", &["(struct node).other points to", "which is no aligned `struct node`"]);
}

#[test]
fn a_pointer_to_a_block_that_is_too_small() {
    blocked("refused_small_block", "", &["(struct node).other points to", "too few for `struct node`"]);
}

#[test]
fn an_array_that_shrinks_with_what_it_holds() {
    blocked("refused_array_shrinks", "", &["table.slots"]);
}

#[test]
fn a_pointer_in_a_pipe_to_what_moves() {
    blocked("refused_pipe", "", &["pipe"]);
}

#[test]
fn what_holds_objects_that_outgrow_their_blocks_and_cannot_follow() {
    let spec = "fields.\"struct holder.name\" = 0";
    blocked("refused_alternate_stack", spec, &["the alternate stack of thread", "outgrows its block"]);
    blocked("refused_shared_word", spec, &["the word at", "outgrows its block"]);
    blocked("refused_message", spec, &["a message queued in socket", "an object whose type changes"]);
}

#[test]
fn a_thread_in_the_middle_of_malloc() {
    let spec = "fields.\"struct node.text\" = 0";
    blocked("refused_inside_malloc", spec, &["is inside malloc"]);
    let case = Case::new("refused_inside_malloc", Style::USUAL);
    let target = case.start();
    let plan = Run::new("plan")
        .pid(target.pid())
        .option("--program", &case.new)
        .option("--spec", &case.spec(spec))
        .options(&["--json"])
        .run();
    plan.assert_code(code::BLOCKED, "a thread in the middle of malloc");
    assert!(plan.text().contains("\"transient\":true") && !plan.text().contains("\"transient\":false"), "{}", plan.text());
    go_on(target, "refused_inside_malloc");
}

#[test]
fn objects_beside_others_that_no_typed_path_reaches() {
    blocked("data_mapped_region", "", &["`struct particle`", "that no typed path reaches"]);
}

#[test]
fn an_enumerator_without_a_name() {
    blocked("refused_enum", "", &["the value 77 is none of", "colour"]);
}

#[test]
fn no_room_in_memory_of_the_programs_own() {
    blocked("refused_mapped", "fields.\"struct cell.more\" = 0", &["`struct cell`", "lies within other memory"]);
}

/// What no look at the types can tell: the object is named, and the rule with its place.
#[test]
fn values_that_cannot_be_computed() {
    let style = Style::USUAL;
    let case = Case::new("refused_field", style);
    let mut target = case.start();
    for (rule, words) in [
        ("\"old.number / old.divisor\"", "division by zero"),
        ("\"old.number * 2\"", "out of range"),
        ("\"1 << old.number\"", "shift"),
        ("\"old.next->number\"", "the pointer is null"),
        ("{ map = { 0 = 1 }, of = \"old.divisor\" }", "says nothing of the value"),
    ] {
        let spec = case.spec(&format!("[fields]\n\"struct account.limit\" = {rule}\n"));
        case.refuse(&mut target, Some(&spec), &["wrong.toml:2:", "limit", words], code::BLOCKED);
    }
    go_on(target, "values that cannot be computed");
}

/// Specs that are wrong for `refused_field`, and what is said: place, and the nearest known name where there is one.
const WRONG: [(&str, &str); 22] = [
    (
        "[fields]\n\"struct acount.limit\" = 1",
        "2:1: type of the new program `struct acount` is not known; the nearest known name is `struct account`",
    ),
    (
        "[fields]\n\"struct account.limt\" = 1",
        "2:1: member of `struct account` of the new program `limt` is not known; the nearest known name is `limit`",
    ),
    (
        "[fields]\n\"struct account.limit\" = \"old.nmber\"",
        "2:27: member of `struct account` of the old program `nmber` is not known; the nearest known name is `number`",
    ),
    ("[fields]\n\"struct account.limit\" = \"new.limit + 1\"", "2:27: cyclic rule: `limit` needs `limit`"),
    (
        "[fields]\n\"struct account.limit\" = \"new.small\"\n\"struct account.small\" = \"new.limit\"",
        "3:27: cyclic rule: `limit` needs `small` needs `limit`",
    ),
    ("[fields]\n\"struct account.limit\" = '\"text\"'", "2:26: type mismatch: the field is `int` and takes a whole number"),
    ("[fields]\n\"struct account.next\" = 5", "2:25: type mismatch: the field is `struct account *`"),
    ("[fields]\n\"struct account.limit\" = \"1 / 0\"", "2:31: division by zero"),
    ("[fields]\n\"struct account.limit\" = 3000000000", "2:26: the value 3000000000 is out of range"),
    ("[fields]\n\"struct account.small\" = 256", "2:26: the value 256 is out of range: `unsigned char` takes 0 to 255"),
    ("[fields]\n\"struct account.limit\" = \"old.number +\"", "2:39: expected a value, found the end of the expression"),
    ("[fields]\n\"struct account.limit\" = 1\n\"struct account.limit\" = 2", "3:1: duplicate key"),
    ("[feilds]\n\"struct account.limit\" = 1", "1:2: table `feilds` is not known; the nearest known name is `fields`"),
    ("fields.x = ", "1:12: "),
    (
        "[memory]\n\"struct account.number\" = { type = \"struct account\" }",
        "2:1: type mismatch: expected a pointer, found `int`",
    ),
    (
        "[enums]\n\"enum state\" = { IDEL = \"BUSY\" }",
        "2:18: enumerator of `enum state` of the old program `IDEL` is not known; the nearest known name is `IDLE`",
    ),
    (
        "[pair.types]\n\"struct account\" = \"struct acount\"",
        "2:21: type of the new program `struct acount` is not known; the nearest known name is `struct account`",
    ),
    (
        "[after-restore]\ncall = [\"chek()\"]",
        "2:10: function of the new program `chek` is not known; the nearest known name is `check`",
    ),
    ("[allocators]\n\"struct account\" = { allocate = \"mallok\" }", "2:34: function of the new program `mallok` is not known"),
    ("[globals]\nacounts = 0", "2:1: variable of the new program `acounts` is not known; the nearest known name is `accounts`"),
    ("[accept]\nmay-lose = [\"struct account.limt\"]", "the nearest known name is `limit`"),
    ("[old]\nbuild-id = \"0011223344\"", "2:13: this spec is for another build: expected old build-id `0011223344`"),
];

#[test]
fn wrong_specs() {
    let case = Case::new("refused_field", Style::USUAL);
    let mut target = case.start();
    for (text, message) in WRONG {
        let spec = case.spec(text);
        let place = if message.starts_with(|c: char| c.is_ascii_digit()) { "wrong.toml:" } else { "" };
        let expected = format!("{place}{message}");
        case.refuse(&mut target, Some(&spec), &[&expected], code::FAILED);
        let diff = Run::new("diff").argument(&case.old).argument(&case.new).option("--spec", &spec).run();
        diff.assert_code(code::FAILED, text);
        assert!(diff.text().contains(&expected), "{text}\n{}", diff.text());
    }
    go_on(target, "wrong specs");
}

#[test]
fn blocks_that_evidence_alone_clears_where_proof_is_asked_for() {
    let case = Case::new("data_hash_chains", Style::USUAL);
    let program = find(case.name);
    let spec = build::spec(&program, Version::Two).expect("a spec");
    let run = |command: &str, pid, spec: &Path| {
        Run::new(command).pid(pid).option("--program", &case.new).option("--spec", spec).options(&["--strict"])
    };
    let mut target = case.start();
    for command in ["update", "plan"] {
        let words =
            ["only evidence says that the block of 24 bytes", "cleared-blocks = true", "where a pointer would be, it holds"];
        let run = run(command, target.pid(), &spec);
        refused(&mut target, &program, run, &words, command).assert_code(code::BLOCKED, command);
    }
    let text = fs::read_to_string(&spec).expect("the spec");
    let accepted = case.spec(&format!("{text}\n[accept]\ncleared-blocks = true\n"));
    run("update", target.pid(), &accepted).run().assert_code(code::DONE, "the user takes the evidence");
    target.go(2);
    assert_eq!(target.event(), Event::Right, "{}", target.log());
    target.finish();
}
