//! What a spec says of frames, bound to two builds of small programs and put into continuations.

use std::path::Path;

use dsu_formats::spec::Spec;

use crate::plan::compare::Comparison;
use crate::plan::frames::{Continuation, Continuations, Explainer, FrameAt, FrameBlocker, SetPlace, Value};
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::testing::Compiled;

const COMMON: &str = r#"
    __attribute__((noipa)) void point(void) { __asm__ volatile("" : : : "memory"); }
    __attribute__((noipa)) void other(void) { __asm__ volatile("" : : : "memory"); }
    __attribute__((noipa)) long get(long n) { __asm__ volatile("" : : : "memory"); return n; }
    __attribute__((noipa)) void put(long n) { __asm__ volatile("" : : "r"(n) : "memory"); }
    __attribute__((noipa)) void fill(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
    long limit = 5; struct { long active, done; } stats; static __thread long mine = 3;
    __attribute__((noipa)) void note(long n) { stats.done = n; }
    enum mode { IDLE, BUSY = 4 } mode = BUSY;
    struct node { long key; unsigned low : 3, high : 5; struct node *next; } *head, *sent;
    __attribute__((noipa)) struct node *first(void) { return head ? head : sent; }
"#;
const LEVELS: [&[&str]; 3] = [&["-g", "-O0"], &["-g", "-O1"], &["-g", "-O2"]];

pub(super) struct Pair {
    old: Build,
    new: Build,
}

impl Pair {
    pub(super) fn new(old: &str, new: &str, flags: &[&str]) -> Self {
        let build = |body: &str| {
            let main = "int main(int argc, char **argv) { mine++; stats.active = limit; return (int)work(argc, argv); }";
            Compiled::new("given", &format!("{COMMON}\n#line 1\n{body}\n#line 100\n{main}"), flags).build()
        };
        Self { old: build(old), new: build(new) }
    }

    fn answered(&self, spec: &str) -> Result<Comparison, Vec<String>> {
        let messages = |error: dsu_formats::spec::SpecError| error.0.iter().map(ToString::to_string).collect::<Vec<_>>();
        let spec = Spec::parse(Path::new("u.toml"), spec).map_err(messages)?;
        Comparison::answered(&self.old, &self.new, &spec).map_err(messages)
    }

    /// How `work` goes on from its call number `ordinal` of `point`.
    fn goes_on(&self, spec: &str, ordinal: usize) -> Result<Continuation, String> {
        let told = |blockers: Vec<FrameBlocker>| blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        self.tried(spec, ("point", ordinal))?.map_err(told)
    }

    /// The same from any call, with all that stands against it; an error is one of the spec.
    pub(super) fn tried(
        &self,
        spec: &str,
        (callee, ordinal): (&str, usize),
    ) -> Result<Result<Continuation, Vec<FrameBlocker>>, String> {
        let comparison = self.answered(spec).map_err(|problems| problems.join("\n"))?;
        let functions = comparison.sides.old.functions.list();
        let position = |name: &str| functions.iter().position(|code| code.identity.name == name).expect("a function");
        let (work, callee) = (position("work"), functions[position(callee)].entry);
        let range = functions[work].ranges[0];
        let code = self.old.elf.file_bytes(range.0, range.1).expect("its code");
        let decoder = iced_x86::Decoder::with_ip(64, code, range.0.0, 0).into_iter();
        let mut calls = decoder.filter(|instruction| instruction.is_call_near() && instruction.near_branch_target() == callee.0);
        let place = LinkAddress(calls.nth(ordinal - 1).expect("a call").next_ip());
        let explainer = Explainer { view: comparison.view(&self.old, &self.new), comparison: &comparison };
        let frame = FrameAt { function: work, place, between: false, callers: vec![position("main")], inner: Vec::new() };
        let found = explainer.told(&frame).unwrap_or_else(|| explainer.of(work, place));
        Ok(found.map(|continuation| (*continuation).clone()))
    }
}

fn table(rest: &str) -> String {
    format!("[[continue]]\nfunction = \"work\"\n{rest}\n")
}

const OLD: &str =
    "long work(long n, char **argv) {\n long i = n;\n for (;;) {\n  point();\n  if (get(i) > n) return i;\n  i++;\n }\n}";
const NEW: &str = "long work(long n, char **argv) {\n long left = get(n) * 2;\n for (;;) {\n  point();\n  if (get(left) == 0) return n;\n  left--;\n }\n}";

#[test]
fn a_variable_that_only_the_new_code_has_takes_what_the_spec_says() {
    for flags in LEVELS {
        let pair = Pair::new(OLD, NEW, flags);
        let message = pair.goes_on("", 1).unwrap_err();
        assert!(message.contains("left") || flags[1] != "-O0", "{flags:?}: {message}");
        let spec = table("locals = { left = \"limit * 2 - old.i + BUSY\" }");
        let continuation = pair.goes_on(&spec, 1).unwrap_or_else(|message| panic!("{flags:?}: {message}"));
        let given = continuation.values.iter().filter(|placed| matches!(placed.value, Value::Said(_)));
        assert_eq!(given.count(), 1, "{flags:?}: {continuation:#?}");
    }
}

#[test]
fn a_call_is_chosen_by_its_number() {
    let old = "long work(long n, char **argv) { point(); put(n); point(); return n; }";
    let new = "long work(long n, char **argv) { point(); put(n); point(); put(n + 1); point(); return n + 2; }";
    for flags in LEVELS {
        let pair = Pair::new(old, new, flags);
        let at = |ordinal: u32| {
            let spec =
                table(&format!("from = {{ call = \"point\", ordinal = 2 }}\nat = {{ call = \"point\", ordinal = {ordinal} }}"));
            pair.goes_on(&spec, 2).unwrap_or_else(|message| panic!("{flags:?}: {message}")).returns_to
        };
        assert!(at(1) < at(2) && at(2) < at(3), "{flags:?}");
        let only_second = table("from = { call = \"point\", ordinal = 2 }\nat = { call = \"point\", ordinal = 3 }");
        assert_ne!(pair.goes_on(&only_second, 1).map(|continuation| continuation.returns_to), Ok(at(3)), "{flags:?}");
    }
}

#[test]
fn a_line_and_a_label_are_points_too() {
    let old = "long work(long n, char **argv) {\n point();\n return n;\n}";
    let new =
        "long work(long n, char **argv) {\n if (n == 3)\n  goto again;\n point();\n put(n);\nagain:\n put(n + 7);\n return n;\n}";
    let pair = Pair::new(old, new, &["-g", "-O0"]);
    let at = |point: &str| {
        let spec = table(&format!("at = [{point}]"));
        pair.goes_on(&spec, 1).unwrap_or_else(|message| panic!("{point}: {message}"))
    };
    let (line, label) = (at("{ line = 7 }"), at("{ label = \"again\" }"));
    assert_eq!(line.returns_to, label.returns_to);
    assert!(line.besides.exact && !line.between);
    assert!(at("{ line = 5 }").returns_to < line.returns_to);
}

#[test]
fn what_the_point_says_of_a_value_must_hold_of_the_one_given() {
    let old = "long work(long n, char **argv) {\n long i = 0;\n point();\n return n + i;\n}";
    let new =
        "long work(long n, char **argv) {\n long left = get(n);\n if (left > 10) {\n  point();\n  put(left);\n }\n return n;\n}";
    for flags in LEVELS {
        let pair = Pair::new(old, new, flags);
        let continuation =
            pair.goes_on(&table("locals = { left = 20 }"), 1).unwrap_or_else(|message| panic!("{flags:?}: {message}"));
        assert!(
            continuation.conditions.iter().any(|condition| matches!(condition.left, Value::Said(_))),
            "{flags:?}: {continuation:#?}"
        );
    }
}

#[test]
fn an_array_is_handed_over_whole() {
    let old = "long work(long n, char **argv) { long numbers[4]; fill(numbers); point(); fill(numbers); return numbers[0]; }";
    let new = "long work(long n, char **argv) { long sorted[4]; fill(sorted); put(n); point(); fill(sorted); return sorted[3]; }";
    for flags in LEVELS {
        let pair = Pair::new(old, new, flags);
        assert!(pair.goes_on("", 1).unwrap_err().contains("sorted"), "{flags:?}");
        let spec = table("locals = { sorted = \"old.numbers\" }");
        let continuation = pair.goes_on(&spec, 1).unwrap_or_else(|message| panic!("{flags:?}: {message}"));
        let object = continuation.objects.iter().find(|object| object.name == "sorted");
        assert!(object.is_some_and(|object| object.old_length == 32 && !object.is_changed), "{flags:?}: {continuation:#?}");
    }
}

#[test]
fn effects_are_taken_one_by_one() {
    let old = "long work(long n, char **argv) {\n point();\n return n;\n}";
    let new = "long work(long n, char **argv) {\n stats.done = 7;\n stats.active = n;\n point();\n return n + stats.done;\n}";
    for flags in LEVELS {
        let pair = Pair::new(old, new, flags);
        let message = pair.goes_on("", 1).unwrap_err();
        assert!(message.contains(":2") && message.contains(":3"), "{flags:?}: {message}");
        let message = pair.goes_on(&table("accept = [\"skipped given.c:2\"]"), 1).unwrap_err();
        assert!(message.contains(":3"), "{flags:?}: {message}");
        let spec = table("accept = [\"skipped 2\", \"skipped 3\"]\nset = { \"stats.done\" = 7, \"stats.active\" = \"old.n\" }");
        let continuation = pair.goes_on(&spec, 1).unwrap_or_else(|message| panic!("{flags:?}: {message}"));
        assert_eq!(continuation.besides.set.len(), 2);
    }
}

#[test]
fn what_is_set_or_called_makes_up_for_what_never_ran() {
    let old = "long work(long n, char **argv) {\n point();\n return n;\n}";
    let new =
        "long work(long n, char **argv) {\n stats.active = n;\n note(n);\n point();\n return n + stats.active + stats.done;\n}";
    for flags in LEVELS {
        let pair = Pair::new(old, new, flags);
        let message = pair.goes_on(&table("set = { \"stats.active\" = \"old.n\" }"), 1).unwrap_err();
        assert!(message.contains("`note`") && !message.contains("given.c:2 when"), "{flags:?}: {message}");
        let spec = table("set = { \"stats.active\" = \"old.n\" }\nbefore = [\"note(old.n)\"]");
        let continuation = pair.goes_on(&spec, 1).unwrap_or_else(|message| panic!("{flags:?}: {message}"));
        assert_eq!(continuation.warnings.iter().filter(|warning| warning.contains("made up for")).count(), 2, "{flags:?}");
    }
}

#[test]
fn an_answer_to_nothing_is_an_error() {
    let old = "long work(long n, char **argv) {\n point();\n get(n);\n point();\n return n;\n}";
    let new =
        "long work(long n, char **argv) {\n point();\n get(n);\n stats.active = n;\n point();\n return n + stats.active;\n}";
    for flags in LEVELS {
        let pair = Pair::new(old, new, flags);
        let message = pair.goes_on(&table("accept = [\"skipped given.c:4\", \"skipped given.c:7\"]"), 2).unwrap_err();
        let expected = "u.toml:3:33: `skipped given.c:7` answers no question, which would be something that the new code has done when it \
                        comes to the point, and that the old code has not; asked here is `skipped given.c:4`";
        assert!(message.contains(expected) && message.contains("given.c:4"), "{flags:?}: {message}");
        // What another point asks is an answer, wherever the thread is now.
        let asked_elsewhere = table("accept = [\"skipped given.c:4\"]");
        assert!(pair.goes_on(&asked_elsewhere, 1).is_ok() && pair.goes_on(&asked_elsewhere, 2).is_ok(), "{flags:?}");
        let here_alone = table("from = { call = \"point\", ordinal = 1 }\naccept = [\"skipped given.c:4\"]");
        assert!(pair.goes_on(&here_alone, 1).unwrap_err().contains("u.toml:4:12"), "{flags:?}");
        let call = table("from = { call = \"point\", ordinal = 1 }\nbefore = [\"note(1)\"]");
        assert!(pair.goes_on(&call, 1).unwrap_err().contains("u.toml:4:12: `note(1)` answers no question"), "{flags:?}");
        let idle = pair.goes_on(&table("set = { limit = 3 }"), 1).unwrap_err();
        assert!(idle.starts_with("u.toml:3:9: this answers no question: neither `work`"), "{flags:?}: {idle}");
    }
}

#[test]
fn what_is_set_may_be_thread_local_a_bit_field_or_behind_a_pointer() {
    let old = "long work(long n, char **argv) {\n struct node *at = first();\n point();\n return at ? at->key : n;\n}";
    let new = "long work(long n, char **argv) {\n struct node *at = first();\n mine++;\n point();\n return (at ? at->key : n) + mine;\n}";
    let pair = Pair::new(old, new, &["-g", "-O1"]);
    let spec = table("set = { mine = 4, \"old.at->key\" = 1, \"head->next->high\" = 2 }\naccept = [\"skipped given.c:3\"]");
    let continuation = pair.goes_on(&spec, 1).unwrap_or_else(|message| panic!("{message}"));
    let places: Vec<_> = continuation.besides.set.iter().map(|set| (&set.place, set.bits)).collect();
    let [(SetPlace::Thread(_), None), (SetPlace::Through(_, 0), None), (SetPlace::Through(_, 8), Some((3, 5)))] = places[..]
    else {
        panic!("{places:?}");
    };
}

#[test]
fn what_means_nothing_is_refused_with_its_place() {
    let pair = Pair::new(OLD, NEW, &["-g", "-O0"]);
    let cases = [
        (
            "[[continue]]\nfunction = \"wrok\"",
            "u.toml:2:13: function of the old program `wrok` is not known; the nearest known name is `work`",
        ),
        (
            "[[continue]]\nfunction = \"get\"",
            "u.toml:2:13: `get` does not change: its frames are carried, and this answers nothing",
        ),
        (
            &*table("called-by = \"mian\""),
            "u.toml:3:14: function of the old program `mian` is not known; the nearest known name is `main`",
        ),
        (
            &*table("from = { call = \"pont\" }"),
            "u.toml:3:8: there is no such point in the old program: the function does not call `pont`; the nearest known name is `point`",
        ),
        (
            &*table("at = { call = \"point\", ordinal = 2 }"),
            "u.toml:3:6: there is no such point in the new program: `point` is called 1 times only",
        ),
        (
            &*table("at = { call = \"get\" }"),
            "u.toml:3:6: there is no such point in the new program: `get` is called 2 times; add `ordinal = 1`",
        ),
        (
            &*table("at = { line = 77 }"),
            "u.toml:3:6: there is no such point in the new program: the function has no code of line 77; the nearest known name is `8`",
        ),
        (
            &*table("at = { label = \"agian\" }"),
            "u.toml:3:6: there is no such point in the new program: the function has no label `agian`",
        ),
        (
            &*table("locals = { lfet = 1 }"),
            "u.toml:3:12: variable of the new function of `work` `lfet` is not known; the nearest known name is `left`",
        ),
        (&*table("locals = { left = \"old.m\" }"), "u.toml:3:20: variable of the old function `m` is not known"),
        (&*table("locals = { left = \"limti\" }"), "u.toml:3:20: name `limti` is not known"),
        (&*table("locals = { left = \"mine\" }"), "u.toml:3:20: `mine` is thread-local"),
        (&*table("locals = { left = \"2.5\" }"), "u.toml:3:19: type mismatch"),
        (&*table("locals = { argv = \"old.n\" }"), "u.toml:3:19: type mismatch"),
        (&*table("set = { \"stats.activ\" = 1 }"), "u.toml:3:9: member of"),
        (&*table("set = { \"head->kye\" = 1 }"), "u.toml:3:9: member of `struct node` of the new program `kye` is not known"),
        (&*table("set = { \"limit->key\" = 1 }"), "u.toml:3:9: expected a pointer to a structure before `->`"),
        (
            &*table("set = { \"stat\" = 1 }"),
            "u.toml:3:9: variable of the new program `stat` is not known; the nearest known name is `stats`",
        ),
        (
            &*table("before = [\"fil(0)\"]"),
            "u.toml:3:12: function of the new program `fil` is not known; the nearest known name is `fill`",
        ),
        (&*table("before = [\"put(\\\"x\\\")\"]"), "u.toml:3:"),
    ];
    for (text, expected) in cases {
        let problems = pair.answered(text).map(|_| ()).expect_err(text);
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{text}\nexpected {expected}\nfound {problems:#?}");
    }
}
