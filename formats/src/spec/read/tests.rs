//! What is read, and what is refused where.

use std::path::Path;
use std::time::Duration;

use crate::spec::Spec;
use crate::spec::continuation::Point;
use crate::spec::expression::NodeKind;
use crate::spec::model::{Argument, Case, FieldValue, GlobalValue, Meaning, Otherwise};
use crate::spec::names::{KernelWords, Root};

const WHOLE: &str = r#"
[old]
program = "kvd"
build-id = "9F2C00112233"

[new]
build-id = "0011223344556677"

[pair.functions]
serve = "serve_client"
"net.c:helper" = "io.c:helper"
retired = false

[pair.globals]
"lookup::hits" = "search::hits"

[pair.types]
"struct item" = "struct entry"

[fields]
"struct entry.hits" = 0
"struct entry.size" = "(unsigned short)(old.length + 1)"
"struct entry.kind" = { map = { 1 = 2, BUSY = "new::ACTIVE", else = 0 }, of = "old.kind" }
"struct table.slots[new]" = -1

[globals]
limit = "new"
total = "keep"
ratio = 0.5

[enums]
"enum state" = { IDLE = "WAITING", 3 = 7, else = "keep" }
"enum perms" = "flags"

[memory]
"struct session.data" = { by = "old.kind", types = { 1 = "struct user", 2 = "opaque" } }
"struct vector.items" = { type = "struct item", count = "old.used" }
"struct value.as" = { by = "old.tag", members = { 0 = "number", 1 = { old = "text", new = "string" }, else = false } }
"struct blob" = "opaque"
"struct link.next" = { type = "struct conn", at = "links.by_age" }
"epoll data" = { type = "struct conn" }

[allocators]
"struct conn" = { allocate = "pool_get", free = "pool_put" }

[plugins]
"struct list" = "./list-to-hash"
"struct tree" = { run = ["./tree", "--fast"], within = "20s" }

[keyed-by-address]
hash_pointer = "table_rehash(&sessions)"

[after-restore]
call = ["rebuild(&store.c:index, 16, (2 + 3) * 4)", "log_line(\"moved, all\")", "ready()"]
health = { run = ["./check", "7000"], within = "5s" }

[accept]
constructors = ["init_cpu"]
unused-types = ["struct debug"]
may-lose = ["struct entry.name"]
cleared-blocks = true
"#;

fn read(text: &str) -> Result<Spec, Vec<String>> {
    let strip = |problem: &crate::spec::Problem| problem.to_string().trim_start_matches("u.toml:").to_owned();
    Spec::parse(Path::new("u.toml"), text).map_err(|error| error.0.iter().map(strip).collect())
}

#[test]
fn every_rule_is_read() {
    let spec = read(WHOLE).unwrap();
    assert_eq!(spec.old.build_id.as_ref().unwrap().value, "9f2c00112233");
    assert_eq!((spec.functions.len(), spec.globals.len(), spec.types.len()), (3, 1, 1));
    assert!(spec.functions[2].new.value.is_none());
    assert_eq!(spec.fields.len(), 4);
    let FieldValue::Map { values, otherwise, .. } = &spec.fields[2].value.value else { panic!("{:?}", spec.fields[2]) };
    assert_eq!(values[1].0.value, Case::Name("BUSY".to_owned()));
    assert!(otherwise.is_some() && spec.fields[3].subject.value.new_elements);
    assert_eq!((&spec.values[0].value.value, &spec.values[1].value.value), (&GlobalValue::New, &GlobalValue::Keep));
    assert_eq!(spec.enums[0].value.value.otherwise.as_ref().unwrap().value, Otherwise::Keep);
    assert!(spec.enums[1].value.value.flags);
    assert!(matches!(&spec.memory[0].value.value, Meaning::ByTag { types, .. } if types[1].1.value.is_none()));
    assert!(matches!(&spec.memory[2].value.value, Meaning::Union { otherwise: Some(member), .. } if member.value.old.is_none()));
    let Meaning::Holds { at: Some(at), .. } = &spec.memory[4].value.value else { panic!("{:?}", spec.memory[4]) };
    assert_eq!(at.value, ["links", "by_age"]);
    assert_eq!(spec.memory[5].subject.value.root, Root::Kernel(KernelWords::Epoll));
    assert_eq!(spec.plugins[1].value.value.command[1].value, "--fast");
    assert_eq!(spec.keyed[0].value.value.text, "table_rehash(&sessions)");
    assert_eq!(spec.calls.len(), 3);
    assert!(matches!(&spec.calls[0].arguments[0].value, Argument::Address(name) if name.file.as_deref() == Some("store.c")));
    assert!(matches!(&spec.calls[1].arguments[0].value, Argument::Text(text) if text == "moved, all"));
    assert!(spec.calls[2].arguments.is_empty());
    assert_eq!(spec.health.unwrap().within.value, Duration::from_secs(5));
    assert!(spec.accept.cleared_blocks.unwrap().value);
}

#[test]
fn places_are_those_in_the_file() {
    let spec = read("[fields]\n\"struct a.b\" = \"old.x + old.y\"\n").unwrap();
    let FieldValue::Expression(expression) = &spec.fields[0].value.value else { panic!("an expression") };
    let NodeKind::Binary(_, _, right) = &expression.root.kind else { panic!("a sum") };
    assert_eq!(spec.source.line_and_column(right.span.start), (2, 25));
}

#[test]
fn one_line_at_the_top_is_a_rule_too() {
    let spec = read("fields.\"struct a.b\" = 1\npair.globals.x = \"y\"\n").unwrap();
    assert_eq!((spec.fields.len(), spec.globals.len()), (1, 1));
}

#[test]
fn wrong_specs_are_refused_with_line_column_and_nearest_name() {
    let cases: [(&str, &str); 30] = [
        ("[feilds]\n", "1:2: table `feilds` is not known; the nearest known name is `fields`"),
        ("[old]\nprogarm = \"x\"", "2:1: key of [old] `progarm` is not known; the nearest known name is `program`"),
        (
            "[new]\nbuild-id = \"xyz\"",
            "2:13: expected a build-id: eight hexadecimal digits or more (`readelf -n PROGRAM` shows them), found `xyz`",
        ),
        ("[pair]\nzzz = 1", "2:1: key of [pair] `zzz` is not known; expected functions, globals, types"),
        ("[pair.functions]\nf = true", "2:5: expected a name of the new program, or false for none, found true"),
        ("[pair.functions]\nf = 3", "2:5: expected a name in quotes, a string, found the number 3"),
        ("[pair.functions]\nf = \"a b\"", "2:6: expected a name such as"),
        ("[pair.types]\n\"struct\" = \"x\"", "2:1: expected a type such as"),
        ("[fields]\n\"struct a.b\" = \"old. + 1\"", "2:22: expected a name, found `+`"),
        ("[fields]\n\"struct a.b\" = 1979-05-27", "2:16: expected a constant, or an expression in quotes, found a date"),
        ("[fields]\nstruct.b = 1", "2:1: a name with a `.` in it has to stand in quotes: `\"struct.…\" = …`"),
        ("[fields.x]\nb = 1", "1:9: a name with a `.` in it has to stand in quotes"),
        ("[fields]\n\"struct a.b\" = { map = { 1 = 2 } }", "2:16: expected `{ map = { 1 = 2 }, of = \"old.field\" }`"),
        ("[fields]\n\"struct a.b\" = { map = { 1 = 2, 0x1 = 3 }, of = \"old.b\" }", "2:33: the value 0x1 stands here twice"),
        ("[enums]\n\"enum e\" = 3", "2:12: expected `{ OLD = \"NEW\" }`"),
        ("[enums]\n\"enum e\" = { \"a b\" = 1 }", "2:14: expected a number or the name of an enumerator, found `a b`"),
        ("[memory]\n\"struct a.b\" = \"opak\"", "2:16: expected \"opaque\""),
        ("[memory]\n\"struct a.b\" = { at = \"link\" }", "2:16: expected `at` beside `type`"),
        (
            "[memory]\n\"struct a.b\" = { type = \"struct c\", at = \"link.\" }",
            "2:43: expected a field such as `link`, found `link.`",
        ),
        ("[memory]\n\"struct a.b\" = { by = \"old.x\" }", "2:16: expected `type`, `count` or both"),
        (
            "[memory]\n\"struct a.b\" = { typ = \"struct c\" }",
            "2:18: key of the meaning of memory `typ` is not known; the nearest known name is `type`",
        ),
        ("[allocators]\n\"struct a\" = { free = \"f\" }", "2:14: expected `{ allocate"),
        ("[plugins]\n\"struct a\" = { run = [] }", "2:14: expected `{ run"),
        ("[plugins]\n\"struct a\" = \"\"", "2:14: expected the name of a program, found nothing"),
        ("[after-restore]\ncall = [\"f\"]", "2:10: expected a call such as `rebuild(&index, 16)`, found `f`"),
        ("[after-restore]\ncall = [\"f(1 +)\"]", "2:15: expected a value, found the end of the expression"),
        ("[after-restore]\ncall = [\"f(1,2,3,4,5,6,7)\"]", "2:10: expected at most 6 arguments, found 7"),
        ("[after-restore]\nhealth = { run = [\"x\"] }", "2:10: expected `{ run = [\"./check\"], within = \"5s\" }`"),
        ("[after-restore]\nhealth = { run = [\"x\"], within = \"5\" }", "2:35: expected a unit"),
        ("[accept]\ncleared-blocks = 1", "2:18: expected true or false, found the number 1"),
    ];
    for (text, expected) in cases {
        let problems = read(text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{text}\nexpected {expected}\nfound {problems:#?}");
    }
}

const CONTINUED: &str = r#"
[[continue]]
function = "server.c:session_loop"
in = "serve_session"
called-by = "main"
thread = "worker"
from = { call = "recv", ordinal = 1 }
at = [ { call = "recv", ordinal = 2 }, { line = "server.c:120" }, { label = "again" } ]
locals = { count = "old.n + 1", limit = 3 }
set = { "stats.active" = 1 }
before = ["reopen(&log, old.fd)"]
accept = ["skipped server.c:7", "repeated", "argument length"]

[[continue]]
function = "helper"
"#;

#[test]
fn continuations_mean_what_they_say() {
    let spec = read(CONTINUED).unwrap();
    let [first, second] = &spec.continues[..] else { panic!("two tables") };
    assert_eq!(first.function.value.to_string(), "server.c:session_loop");
    assert_eq!(first.into.as_ref().unwrap().value.name, "serve_session");
    assert_eq!(first.from.as_ref().unwrap().value, Point::Call { callee: "recv".to_owned(), ordinal: Some(1) });
    let points: Vec<String> = first.at.iter().map(|point| point.value.to_string()).collect();
    assert_eq!(points, ["call 2 of `recv`", "line server.c:120", "the label `again`"]);
    assert_eq!((first.locals[0].subject.value.as_str(), first.locals.len()), ("count", 2));
    assert_eq!((first.set.len(), first.before[0].arguments.len()), (1, 2));
    let accepted: Vec<String> = first.accept.iter().map(|accepted| accepted.value.to_string()).collect();
    assert_eq!(accepted, ["skipped server.c:7", "repeated", "argument length"]);
    assert!(second.into.is_none() && second.at.is_empty());
}

#[test]
fn wrong_continuations_are_refused() {
    let table = |rest: &str| format!("[[continue]]\nfunction = \"f\"\n{rest}");
    let cases: [(String, &str); 13] = [
        ("[[continue]]\nat = { call = \"g\" }".to_owned(), "1:1: expected `function = \"NAME\"`"),
        ("[continue]\nfunction = \"f\"".to_owned(), "1:1: expected tables with the heading `[[continue]]`"),
        (table("form = { call = \"g\" }"), "3:1: key of [[continue]] `form` is not known; the nearest known name is `from`"),
        (table("at = \"g\""), "3:6: expected a table for a point, found the string"),
        (table("at = [{ call = \"g\", line = 3 }]"), "3:7: expected `{ call = \"recv\", ordinal = 2 }`"),
        (table("at = { ordinal = 2 }"), "3:6: expected `{ call = \"recv\", ordinal = 2 }`"),
        (table("at = { call = \"g\", ordinal = 0 }"), "3:30: expected a number from 1 on"),
        (table("at = { line = \"server.c:x\" }"), "3:16: expected a line such as `server.c:120`, found `server.c:x`"),
        (table("at = { cal = \"g\" }"), "3:8: key of a point `cal` is not known; the nearest known name is `call`"),
        (table("locals = { n = \"old.\" }"), "3:21: expected"),
        (table("locals.a.b = 1"), "3:8: a name with a `.` in it has to stand in quotes"),
        (table("before = [\"reopen\"]"), "3:12: expected a call such as"),
        (table("accept = [\"skiped a.c:1\"]"), "3:12: expected one of skipped, repeated, branch, argument"),
    ];
    for (text, expected) in cases {
        let problems = read(&text).unwrap_err();
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{text}\nexpected {expected}\nfound {problems:#?}");
    }
}

#[test]
fn all_problems_are_reported_at_once_by_place() {
    let problems = read("[fields]\n\"struct a.b\" = \"1 +\"\n[old]\nx = 1\n[enums]\n\"enum e\" = 1\n").unwrap_err();
    let lines: Vec<&str> = problems.iter().filter_map(|problem| problem.split(':').next()).collect();
    assert_eq!(lines, ["2", "4", "6"], "{problems:#?}");
}

#[test]
fn what_is_no_toml_says_where() {
    for (text, place) in [("[fields\n", "1:"), ("a = \n", "1:"), ("[old]\n[old]\n", "2:"), ("a = \"\u{1}\"", "1:")] {
        let problems = read(text).unwrap_err();
        assert!(problems[0].starts_with(place) && !problems[0].contains('\n'), "{text}: {problems:?}");
    }
}

#[test]
fn functions_that_begin_anew_are_read() {
    let text = "[[restart]]\nfunction = \"main\"\n\n[[restart]]\nfunction = \"serve\"\ninstead-of = \"net.c:session\"\n\
        thread = \"worker\"\nwaits-in = [\"read\", \"poll\"]\narguments = [\"old.fd + 1\", \"&table\", -3]\n";
    let spec = Spec::parse(Path::new("u.toml"), text).unwrap();
    let [main, serve] = spec.restarts.as_slice() else { panic!("{:?}", spec.restarts) };
    assert!(main.instead_of.is_none() && main.thread.is_none() && main.waits_in.is_none() && main.arguments.is_none());
    assert_eq!(serve.instead_of.as_ref().unwrap().value.to_string(), "net.c:session");
    assert_eq!(serve.waits_in.as_ref().unwrap().len(), 2);
    let arguments = serve.arguments.as_ref().unwrap();
    assert!(matches!(&arguments[0].value, Argument::Value(value) if value.text == "old.fd + 1"), "{arguments:?}");
    assert!(matches!(&arguments[1].value, Argument::Address(name) if name.name == "table"), "{arguments:?}");
    assert!(matches!(&arguments[2].value, Argument::Value(value) if value.root.kind == NodeKind::Integer(-3)), "{arguments:?}");
}

#[test]
fn functions_that_begin_anew_are_refused_where_they_are_wrong() {
    let wrong = |text: &str| Spec::parse(Path::new("u.toml"), text).unwrap_err().to_string();
    for (text, says) in [
        (
            "[[restart]]\nfunctoin = \"main\"\n",
            "u.toml:2:1: key of [[restart]] `functoin` is not known; the nearest known name is `function`",
        ),
        ("[[restart]]\nthread = \"main\"\n", "expected `function = \"NAME\"`"),
        ("[restart]\nfunction = \"main\"\n", "expected tables that begin with [[restart]], found a table"),
        ("[[restart]]\nfunction = \"f\"\narguments = [1, 2, 3, 4, 5, 6, 7]\n", "expected at most 6 arguments, found 7"),
        ("[[restart]]\nfunction = \"f\"\narguments = ['\"text\"']\n", "a text has no place in the process"),
        ("[[restart]]\nfunction = \"f\"\nwaits-in = \"read\"\n", "expected a list of functions of the C library"),
    ] {
        assert!(wrong(text).contains(says), "{text}: {}", wrong(text));
    }
}
