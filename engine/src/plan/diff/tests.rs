//! What is said of two small programs.

use std::path::Path;

use dsu_formats::spec::Spec;

use super::draft::draft;
use super::types::{Change, UnclearReason};
use super::variables::VariableChange;
use super::{Diff, MemberAt};
use crate::plan::testing::pair;

const OLD: &str = "\
    #include <stdlib.h>
    enum state { IDLE, BUSY, DONE };
    struct entry { int key; char label[16]; enum state state; void *data; struct entry *next; };
    static struct entry *head; int limit = 3; static int lookups = 1;
    __attribute__((noinline)) int serve(int n) { lookups += n; for (int i = 0; i < n; i++) limit += i * n; return limit; }
    __attribute__((noinline)) int add(int key) {
        struct entry *e = malloc(sizeof *e); e->key = key; e->label[0] = 0; e->state = BUSY; e->data = 0; e->next = head; head = e;
        return e->key + serve(key);
    }
    int main(int argc, char **argv) { return add(argc); }";
const NEW: &str = "\
    #include <stdlib.h>
    enum state { IDLE, WAITING, BUSY };
    struct entry { long key; unsigned hits; char name[16]; enum state state; void *data; struct entry *next; };
    static struct entry *head; int limit = 4; static int lookup_count = 1; int fresh = 7;
    __attribute__((noinline)) int serve_client(int n) { lookup_count += n; for (int i = 0; i < n; i++) limit += i * n; return limit; }
    __attribute__((noinline)) int add(int key) {
        struct entry *e = malloc(sizeof *e); e->key = key; e->name[0] = 0; e->state = BUSY; e->data = 0; e->next = head; head = e;
        e->hits = fresh; return e->key + serve_client(key);
    }
    int main(int argc, char **argv) { return add(argc); }";

fn diff() -> Diff {
    let pair = pair(OLD, NEW);
    Diff::new(&pair.old, &pair.new, &pair.comparison)
}

#[test]
fn functions_and_variables_are_told_with_what_they_may_be_now() {
    let diff = diff();
    let changed: Vec<&str> = diff.functions.changed.iter().map(|change| change.thing.name.as_str()).collect();
    assert_eq!(changed, ["add"]);
    let removed = &diff.functions.removed[0];
    assert_eq!((removed.thing.name.as_str(), removed.candidates[0].name.as_str()), ("serve", "serve_client"));
    assert!(removed.candidates[0].alike > 70, "{removed:?}");
    let gone = &diff.variables.removed[0];
    assert_eq!((gone.thing.name.as_str(), gone.candidates[0].name.as_str()), ("program.c:lookups", "program.c:lookup_count"));
    assert!(diff.variables.added.iter().any(|thing| thing.name == "fresh" && thing.line == 4));
    let limit = diff.variables.changed.iter().find(|change| change.thing.name == "limit").expect("a changed variable");
    assert_eq!(limit.changes, [VariableChange::Initialiser]);
}

#[test]
fn types_are_told_field_by_field() {
    let diff = diff();
    let entry = diff.types.changed.iter().find(|change| change.thing.name == "struct entry").expect("a changed type");
    let told: Vec<(&str, Change)> = entry.members.iter().map(|member| (member.name.as_str(), member.change)).collect();
    let expected = [
        ("key", Change::Retyped),
        ("hits", Change::Added),
        ("name", Change::Added),
        ("state", Change::Inside),
        ("data", Change::Moved),
        ("next", Change::Moved),
        ("label", Change::Removed),
    ];
    assert_eq!(told, expected);
    let hits = MemberAt { kind: "unsigned int".to_owned(), offset: 8, size: Some(4), bits: None };
    assert_eq!(entry.members[1].new, Some(hits));
    assert_eq!(entry.members[2].candidates[0].name, "label");
    let state = diff.types.changed.iter().find(|change| change.thing.name == "enum state").expect("a changed type");
    let values: Vec<_> = state.enumerators.iter().map(|entry| (entry.name.as_str(), entry.old, entry.new)).collect();
    assert_eq!(values, [("BUSY", Some(1), Some(2)), ("DONE", Some(2), None), ("WAITING", None, Some(1))]);
    assert!(
        diff.types.unclear.iter().any(|member| member.name == "struct entry.data" && member.reason == UnclearReason::Pointer)
    );
}

#[test]
fn a_draft_is_a_spec_and_its_questions_are_rules() {
    let text = draft(&diff());
    let spec = Spec::parse(Path::new("draft.toml"), &text).expect("a draft is a spec");
    assert!(spec.fields.is_empty() && spec.old.build_id.is_some() && spec.new.build_id.is_some());
    for question in [
        "# \"serve\" = \"serve_client\"",
        "# \"program.c:lookups\" = \"program.c:lookup_count\"",
        "# \"struct entry.hits\" = 0",
        "# \"struct entry.name\" = \"old.label\"",
        "# \"limit\" = \"new\"",
        "# \"enum state\" = { DONE = \"WAITING\" }",
        "# \"struct entry.data\" = { type = \"struct NAME\" }",
    ] {
        assert!(text.contains(question), "{question}\n{text}");
    }
    let answered: String = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.starts_with('"')).unwrap_or(line))
        .fold(String::new(), |text, line| {
            let key = line.split(" = ").next().unwrap_or_default().to_owned();
            if line.starts_with('"') && text.contains(&format!("\n{key} = ")) { text } else { text + "\n" + line }
        });
    let spec = Spec::parse(Path::new("draft.toml"), &answered).expect("every question is a rule");
    assert_eq!((spec.functions.len(), spec.enums.len(), spec.memory.len()), (1, 1, 1), "{answered}");
}

#[test]
fn only_what_the_plan_would_ask_is_asked() {
    let source = |count: &str, members: &str, what: &str| {
        format!(
            "struct dict {{ int size; }}; struct store {{ long size; }};
             struct part {{ int a; {members} }};
             typedef struct {{ {count} length; struct part parts[]; }} list_t;
             union plain {{ long number; char *text; }}; union parts {{ struct part *one; long none; }};
             struct all {{ list_t *list; union plain plain; union parts parts; struct {what} *found; }} all;
             int main(void) {{ return sizeof(struct dict) + sizeof(struct store) + (int)all.plain.number; }}"
        )
    };
    let pair = pair(&source("int", "", "dict"), &source("long", "int b;", "store"));
    let diff = Diff::new(&pair.old, &pair.new, &pair.comparison);
    let names: Vec<(&str, UnclearReason)> =
        diff.types.unclear.iter().map(|member| (member.name.as_str(), member.reason)).collect();
    assert_eq!(names, [("struct all.parts", UnclearReason::Union), ("list_t.parts", UnclearReason::Length)]);
    let asked: Vec<(&str, &str)> = diff
        .types
        .changed
        .iter()
        .flat_map(|change| change.members.iter().map(move |member| (change, member)))
        .filter(|(_, member)| member.asked)
        .map(|(change, member)| (change.thing.name.as_str(), member.name.as_str()))
        .collect();
    // A wider number keeps its value; another structure behind a pointer is another thing.
    assert_eq!(asked, [("list_t", "parts"), ("struct all", "found"), ("struct part", "b")]);
    let text = draft(&diff);
    assert!(text.contains("# \"list_t.parts\" = { count = \"old.FIELD\" }") && !text.contains("plain"), "{text}");
}

#[test]
fn equal_programs_differ_in_nothing() {
    let pair = pair(OLD, OLD);
    let diff = Diff::new(&pair.old, &pair.new, &pair.comparison);
    assert!(diff.is_empty(), "{diff:?}");
    assert!(diff.functions.same >= 3 && diff.variables.same >= 3);
}

#[test]
fn structures_of_the_compiler_are_not_asked_about() {
    let source = |field: &str| {
        format!(
            "#include <stdarg.h>
            struct entry {{ int key; {field} void *data; }} entry;
            int add(int n, ...) {{ va_list list; va_start(list, n); n += va_arg(list, int); va_end(list); return n + entry.key; }}
            int main(void) {{ return add(1, 2); }}"
        )
    };
    let pair = pair(&source(""), &source("long hits;"));
    let diff = Diff::new(&pair.old, &pair.new, &pair.comparison);
    let names: Vec<&str> = diff.types.unclear.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["struct entry.data"]);
}
