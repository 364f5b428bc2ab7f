//! Rules bound to two small programs, and what is refused.

use dsu_formats::spec::Spec;

use super::{Bound, Initial, bind};
use crate::plan::data::rules::{FieldSource, Length, Place, PluginId, Pointee, Root, UnionChoice, Unmapped};
use crate::plan::data::value::Value;
use crate::plan::spec::calls::BoundArgument;
use crate::plan::testing::{Pair, pair};
use crate::plan::walk::KernelWords;
use crate::program::types::TypeId;

const OLD: &str = "\
    #include <stdlib.h>
    enum state { IDLE, BUSY, DONE };
    enum kind { KIND_USER, KIND_BLOB };
    struct user { int id; };
    union value { long number; struct user *user; };
    struct item { int key; char label[8]; enum state state; enum kind kind; void *data; struct user *list; int used; union value as; int slots[2]; };
    typedef struct { int x; struct item *inside; } wrap_t;
    struct debug { int level; };
    struct item *head; wrap_t wrap; static int limit = 3; struct debug debug; struct user *users;
    __attribute__((noinline)) int hash(void *p) { return (int)(unsigned long)p; }
    int main(int argc, char **argv) { return hash(&head) + limit++ + wrap.x + debug.level + (users != 0); }";
const NEW: &str = "\
    #include <stdlib.h>
    enum state { IDLE, WAITING, ACTIVE, DONE = 9 };
    enum kind { KIND_USER, KIND_BLOB };
    struct user { int id; };
    union value { long amount; struct user *user; };
    struct entry { long key; char name[4]; enum state state; enum kind kind; void *data; struct user *list; int used; union value as;
                   unsigned char small; double ratio; int slots[4]; char tag[4]; };
    typedef struct { int x; struct entry *inside; unsigned y; } wrap_t;
    struct entry *head; wrap_t wrap; static int limit = 4; struct user *users; int fresh; __thread int mine;
    __attribute__((noinline)) int hash(void *p) { return (int)(unsigned long)p; }
    void rebuild(struct entry **table, int n, const char *why) { if (n) *table = 0; if (why) mine++; }
    void *pool_get(unsigned long n) { return malloc(n); }
    void pool_put(void *p) { free(p); }
    int main(int argc, char **argv) { rebuild(&head, argc, 0); pool_put(pool_get(3)); return hash(&head) + limit++ + wrap.x + fresh + (users != 0); }";
const RENAMED: &str = "pair.types.\"struct item\" = \"struct entry\"\n";

fn bound_in(pair: &Pair, text: &str) -> Result<Bound, Vec<String>> {
    let messages = |error: dsu_formats::spec::SpecError| error.0.iter().map(ToString::to_string).collect::<Vec<_>>();
    let spec = Spec::parse(std::path::Path::new("u.toml"), text).map_err(messages)?;
    bind(&spec, &pair.old, &pair.new, &pair.comparison).map_err(messages)
}

fn old_type(pair: &Pair, name: &str) -> TypeId {
    let types = &pair.old.debug.types;
    let tag = if name == "state" || name == "kind" { gimli::DW_TAG_enumeration_type } else { gimli::DW_TAG_structure_type };
    types.canonical(types.definitions(tag.0, name)[0])
}

fn new_place(pair: &Pair, names: &[&str]) -> Place {
    let types = &pair.new.debug.types;
    let id = types.canonical(types.definitions(gimli::DW_TAG_structure_type.0, "entry")[0]);
    let path = names.iter().flat_map(|name| types.member_path(Some(id), name).expect("a member"));
    Place::member(id, &path.collect::<Vec<_>>())
}

fn old_place(pair: &Pair, name: &str) -> Place {
    let id = old_type(pair, "item");
    Place::member(id, &pair.old.debug.types.member_path(Some(id), name).expect("a member"))
}

#[test]
fn fields_take_constants_renamed_fields_and_expressions() {
    let pair = pair(OLD, NEW);
    let text = format!(
        "{RENAMED}[fields]
\"struct entry.name\" = \"old.label\"
\"struct entry.small\" = 255
\"struct entry.ratio\" = 2
\"struct entry.tag\" = '\"abc\"'
\"struct entry.used\" = \"old.used * 2\"
\"struct entry.list\" = 0
\"struct entry.slots[new]\" = -1
\"struct entry.state\" = {{ map = {{ IDLE = \"ACTIVE\", 1 = 1, else = \"DONE_OR_NOT\" }}, of = \"old.state\" }}
\"wrap_t.y\" = \"old.x > 0 ? 1 : 0\"
[accept]
may-lose = [\"struct entry.name\"]
"
    );
    let text = text.replace("\"DONE_OR_NOT\"", "\"new::DONE\"");
    let bound = bound_in(&pair, &text).unwrap();
    let source = |names: &[&str]| &bound.rules.fields[&new_place(&pair, names)].source;
    assert!(matches!(source(&["name"]), FieldSource::Old(path) if path[..] == [1]));
    assert!(matches!(source(&["small"]), FieldSource::Constant(Value::Integer(255))));
    assert!(matches!(source(&["ratio"]), FieldSource::Constant(Value::Float(value)) if *value == 2.0));
    assert!(matches!(source(&["tag"]), FieldSource::Constant(Value::Bytes(text)) if text == b"abc"));
    assert!(matches!(source(&["used"]), FieldSource::Expression(code) if code.describe() == "old.used * 2"));
    assert!(matches!(source(&["list"]), FieldSource::Constant(Value::Zero)));
    assert!(matches!(source(&["state"]), FieldSource::Expression(_)));
    let slots = &bound.rules.new_elements[&new_place(&pair, &["slots"])];
    assert!(matches!(slots.source, FieldSource::Constant(Value::Integer(-1))));
    assert_eq!(&*slots.origin, "u.toml:9:1");
    assert!(bound.rules.may_lose.contains(&new_place(&pair, &["name"])));
    assert_eq!(bound.rules.fields.len(), 8, "the field of a typedef too");
    assert_eq!(bound.rules.types.len(), 1);
}

#[test]
fn memory_is_told_by_type_length_and_tag() {
    let pair = pair(OLD, NEW);
    let text = format!(
        "{RENAMED}[memory]
\"struct item.data\" = {{ by = \"old.kind\", types = {{ KIND_USER = \"struct user\", 1 = \"opaque\" }} }}
\"struct item.list\" = {{ count = \"old.used\" }}
\"struct item.as\" = {{ by = \"old.kind\", members = {{ 0 = \"user\", 1 = {{ old = \"number\", new = \"amount\" }}, else = false }} }}
\"struct debug\" = \"opaque\"
users = {{ count = 4 }}
"
    );
    let bound = bound_in(&pair, &text).unwrap();
    let kind_path = old_place(&pair, "kind").path;
    let Pointee::ByTag { tag, choices } = &bound.rules.pointees[&old_place(&pair, "data")] else { panic!("{bound:?}") };
    assert_eq!((tag, choices[&0], choices[&1]), (&kind_path, Some(old_type(&pair, "user")), None));
    assert!(
        matches!(&bound.rules.lengths[&old_place(&pair, "list")], Length::Field(path) if *path == old_place(&pair, "used").path)
    );
    let union = &bound.rules.unions[&old_place(&pair, "as")];
    assert_eq!(union.tag, kind_path);
    assert_eq!(union.choices[&0], UnionChoice { old: Some(1), new: None });
    assert_eq!(union.choices[&1], UnionChoice { old: Some(0), new: Some(0) });
    assert_eq!(union.otherwise, Some(UnionChoice { old: None, new: None }));
    assert!(bound.rules.opaque.contains(&old_type(&pair, "debug")));
    let fixed = bound.rules.lengths.iter().filter(|(place, _)| matches!(place.root, Root::Variable(_)));
    assert!(matches!(fixed.collect::<Vec<_>>()[..], [(_, Length::Fixed(4))]));
}

#[test]
fn the_middle_of_objects_and_the_words_of_the_kernel_are_told() {
    let old = "\
        struct link { struct link *next; };
        struct job { int id; struct link ages[2]; struct { struct link by_size; unsigned open : 1; } in; void *any; } *job;
        struct link head; int main(void) { return job != 0 && head.next != 0; }";
    let pair = pair(old, old);
    let job = old_type(&pair, "job");
    let head = Place::variable(pair.old.debug.variables.iter().position(|one| one.name == "head").unwrap() as u32);
    let bound = bound_in(
        &pair,
        "[memory]
\"head.next\" = { type = \"struct job\", at = \"in.by_size\" }
\"struct job.any\" = { type = \"struct job\", at = \"in.by_size\" }
\"epoll data\" = { type = \"struct job\", at = \"in\" }
\"signal values\" = \"opaque\"",
    )
    .unwrap();
    let within = |found: Option<&Pointee>| matches!(found, Some(Pointee::Within { kind, back: 24 }) if *kind == job);
    assert!(within(bound.rules.pointees.get(&Place { path: vec![0], ..head })), "{:?}", bound.rules.pointees);
    assert!(within(bound.rules.pointees.get(&Place::member(job, &[3]))));
    assert!(within(bound.rules.kernel_words.get(&KernelWords::Epoll)));
    assert!(matches!(bound.rules.kernel_words.get(&KernelWords::Signals), Some(Pointee::Opaque)));
    for (rule, message) in [
        ("\"head.next\" = { type = \"struct job\", at = \"in.by_siz\" }", "the nearest known name is `by_size`"),
        ("\"head.next\" = { type = \"struct job\", at = \"id\" }", "the field is `int`"),
        ("\"struct job.any\" = { type = \"struct job\", at = \"ages\" }", ""),
        ("\"struct job.any\" = { type = \"struct job\", at = \"ages.next\" }", "a field that lies in no array"),
        ("\"struct job.any\" = { type = \"struct job\", at = \"in.open\" }", "a field that lies in no array and is no bit-field"),
        ("\"epoll data\" = { count = 3 }", "for the epoll data"),
    ] {
        match bound_in(&pair, &format!("[memory]\n{rule}")) {
            Ok(_) => assert_eq!(message, "", "{rule}"),
            Err(problems) => assert!(!message.is_empty() && problems[0].contains(message), "{rule}: {problems:?}"),
        }
    }
    let misplaced = bound_in(&pair, "[fields]\n\"epoll data\" = 1").unwrap_err();
    assert!(misplaced.iter().any(|problem| problem.contains("whole variables stand in [globals]")), "{misplaced:?}");
}

#[test]
fn enumerations_allocators_plugins_globals_and_calls() {
    let pair = pair(OLD, NEW);
    let text = format!(
        "{RENAMED}[enums]
\"enum state\" = {{ BUSY = \"ACTIVE\", DONE = 1, else = \"keep\" }}
\"enum kind\" = \"flags\"
[allocators]
\"struct user\" = {{ allocate = \"pool_get\", free = \"pool_put\" }}
[plugins]
\"struct item\" = \"./convert\"
[globals]
limit = \"new\"
head = \"keep\"
fresh = 7
[keyed-by-address]
hash = \"rebuild(&head, 2 * 8, \\\"moved\\\")\"
[after-restore]
call = [\"pool_put(0)\", \"rebuild(&users, -1, 0)\"]
health = {{ run = [\"true\"], within = \"1s\" }}
"
    );
    let bound = bound_in(&pair, &text).unwrap();
    let state = &bound.rules.enums[&old_type(&pair, "state")];
    assert_eq!((state.values[&1], state.values[&2], state.otherwise), (2, 1, Unmapped::Keep));
    assert!(bound.rules.enums[&old_type(&pair, "kind")].flags);
    assert_eq!(bound.rules.plugins[&old_type(&pair, "item")], PluginId(0));
    let allocator = bound.rules.allocators[&old_type(&pair, "user")];
    assert_eq!((allocator.allocate, allocator.free), (pair.new_symbol("pool_get"), Some(pair.new_symbol("pool_put"))));
    let mut initial: Vec<Initial> = bound.values.values().copied().collect();
    initial.sort_by_key(|initial| *initial == Initial::Keep);
    assert_eq!(initial, [Initial::New, Initial::Keep]);
    assert!(bound.rules.fields.iter().any(|(place, rule)| matches!(place.root, Root::Variable(_))
        && matches!(rule.source, FieldSource::Constant(Value::Integer(7)))));
    assert_eq!((bound.calls.len(), bound.keyed[0].call, bound.keyed[0].function), (3, 0, pair.old_symbol("hash").0));
    let expected =
        [BoundArgument::Address(pair.new_symbol("head")), BoundArgument::Word(16), BoundArgument::Text("moved".to_owned())];
    assert_eq!(bound.calls[0].arguments, expected);
    assert_eq!(bound.calls[2].arguments[1], BoundArgument::Word(u64::MAX));
    assert!(bound.health.is_some());
}

#[test]
fn rules_that_fit_nothing_are_refused_with_place_and_nearest_name() {
    let pair = pair(OLD, NEW);
    let fields = format!("{RENAMED}fields.");
    let cases: [(&str, &str, &str); 37] = [
        (
            "fields",
            "\"struct entri.small\" = 1",
            "2:8: type of the new program `struct entri` is not known; the nearest known name is `struct entry`",
        ),
        (
            "fields",
            "\"struct entry.smal\" = 1",
            "2:8: member of `struct entry` of the new program `smal` is not known; the nearest known name is `small`",
        ),
        ("fields", "\"struct entry\" = 1", "2:8: expected a field such as"),
        (
            "fields",
            "\"struct entry.small\" = \"old.kye\"",
            "2:32: member of `struct item` of the old program `kye` is not known; the nearest known name is `key`",
        ),
        (
            "fields",
            "\"struct entry.small\" = \"old.kye + 1\"",
            "2:32: member of `struct item` of the old program `kye` is not known",
        ),
        ("fields", "\"struct entry.small\" = 256", "2:31: the value 256 is out of range: `unsigned char` takes 0 to 255"),
        ("fields", "\"struct entry.small\" = \"-1\"", "out of range"),
        ("fields", "\"struct entry.small\" = \"1 / 0\"", "2:36: division by zero"),
        ("fields", "\"struct entry.small\" = \"1 / (2 - 2)\"", "division by zero"),
        ("fields", "\"struct entry.small\" = \"1 % (old.key * 0)\"", ""),
        ("fields", "\"struct entry.small\" = \"1 << 200\"", "the shift is out of range"),
        ("fields", "\"struct entry.key\" = \"9223372036854775807 + 1\"", "out of range: `long int` takes"),
        ("fields", "\"struct entry.key\" = \"0x7fffffffffffffffffffffffffffffff + 1\"", "overflow"),
        ("fields", "\"struct entry.small\" = \"old.label\"", ""),
        (
            "fields",
            "\"struct entry.small\" = \"old.label + 1\"",
            "2:32: type mismatch: the operator has a text and a whole number",
        ),
        ("fields", "\"struct entry.small\" = 1.5", "2:31: type mismatch: the field is `unsigned char` and takes a whole number"),
        ("fields", "\"struct entry.tag\" = '\"abcd\"'", "the text has 4 characters and a zero, the field has room for 4"),
        ("fields", "\"struct entry.tag\" = 5", "type mismatch: the field is `char [4]`"),
        ("fields", "\"struct entry.list\" = 5", "type mismatch: the field is `struct user *` and takes a pointer"),
        ("fields", "\"struct entry.small\" = \"BUSSY\"", "2:32: name `BUSSY` is not known; the nearest known name is `BUSY`"),
        (
            "fields",
            "\"struct entry.small\" = \"DONE\"",
            "2:32: `DONE` is 2 in the old program and 9 in the new one: write `old::DONE` or `new::DONE`",
        ),
        ("fields", "\"struct entry.small\" = \"old.slots[2] + 1\"", "2:42: element 2 is out of range: the array has 2"),
        ("fields", "\"struct entry.small\" = \"new.small + 1\"", "cyclic rule: `small` needs `small`"),
        ("fields", "\"struct entry.small\" = \"new.used\"", "field with a rule of its own `new.used` is not known"),
        (
            "fields",
            "\"struct entry.small[new]\" = 1",
            "2:8: type mismatch: expected an array, whose new elements take a value, found `unsigned char`",
        ),
        ("fields", "fresh = 1", "2:8: expected a field such as"),
        ("fields", "\"wrap.z\" = 1", "member of `wrap_t` of the new program `z` is not known"),
        ("globals", "fersh = 1", "2:9: variable of the new program `fersh` is not known; the nearest known name is `fresh`"),
        ("globals", "fresh = \"keep\"", "2:17: `fresh` has no partner in the old program whose value it could keep"),
        ("globals", "fresh = \"old + 1\"", "there is no old object that `old` could mean here"),
        (
            "enums",
            "\"enum state\" = { BSY = 1 }",
            "2:24: enumerator of `enum state` of the old program `BSY` is not known; the nearest known name is `BUSY`",
        ),
        ("enums", "\"struct item\" = { A = 1 }", "type mismatch: expected an enumeration, found `struct item`"),
        ("memory", "\"struct item.key\" = { type = \"struct user\" }", "2:8: type mismatch: expected a pointer, found `int`"),
        (
            "memory",
            "\"struct item.data\" = { by = \"old.label\", types = {} }",
            "type mismatch: expected a whole number or an enumeration, found `char [8]`",
        ),
        (
            "memory",
            "\"struct item.as\" = { by = \"old.as.number\", members = {} }",
            "cyclic rule: the tag lies within what it is to tell",
        ),
        (
            "after-restore",
            "call = [\"rebild(1)\"]",
            "function of the new program `rebild` is not known; the nearest known name is `rebuild`",
        ),
        ("after-restore", "call = [\"rebuild(&mine)\"]", "`mine` is thread-local"),
    ];
    assert!(fields.starts_with("pair"));
    for (table, line, expected) in cases {
        let problems = bound_in(&pair, &format!("{RENAMED}{table}.{line}")).err().unwrap_or_default();
        if expected.is_empty() {
            continue;
        }
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{table}.{line}\nexpected {expected}\nfound {problems:#?}"
        );
    }
}

#[test]
fn rules_use_one_another_but_not_in_a_circle() {
    let pair = pair(OLD, NEW);
    let text =
        format!("{RENAMED}[fields]\n\"struct entry.small\" = \"new.used & 0xff\"\n\"struct entry.used\" = \"old.used + 1\"\n");
    assert_eq!(bound_in(&pair, &text).unwrap().rules.fields.len(), 2);
    let text =
        format!("{RENAMED}[fields]\n\"struct entry.small\" = \"new.used & 1\"\n\"struct entry.used\" = \"new.small + 1\"\n");
    let problems = bound_in(&pair, &text).unwrap_err();
    assert!(problems[0].contains("u.toml:3:25: cyclic rule: `used` needs `small` needs `used`"), "{problems:?}");
    assert!(problems[1].contains("u.toml:4:24: cyclic rule: `small` needs `used` needs `small`"), "{problems:?}");
    let chain: String =
        (0..40).map(|n| format!("\"struct entry.f{n}\" = \"new.f{next} + new.f{next}\"\n", next = n + 1)).collect();
    let text = format!("{RENAMED}[fields]\n{chain}\"struct entry.f40\" = 1\n\"struct entry.small\" = \"new.f0\"\n");
    let problems = bound_in(&pair, &text).unwrap_err();
    assert!(problems.iter().any(|problem| problem.contains("too long, with all that it uses of other rules")), "{problems:?}");
}

#[test]
fn where_two_types_become_one_no_rule_reads_the_old_object() {
    let old =
        "struct circle { double size; } circle; struct square { long id; double size; } square; int main(void) { return 0; }";
    let new = "struct figure { double size; int form; } circle, square; int main(void) { return 0; }";
    let pair = pair(old, new);
    let merged = "[pair.types]\n\"struct circle\" = \"struct figure\"\n\"struct square\" = \"struct figure\"\n[fields]\n";
    assert!(bound_in(&pair, &format!("{merged}\"struct figure.form\" = 1")).is_ok());
    for read in ["old.size", "(int)old.size"] {
        let message = bound_in(&pair, &format!("{merged}\"struct figure.form\" = \"{read}\"")).expect_err("which old object?");
        assert!(message[0].contains("there is no old object that `old` could mean here"), "{message:?}");
    }
}
