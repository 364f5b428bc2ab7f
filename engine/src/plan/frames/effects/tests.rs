//! Effects around a point, between two builds of small programs at several levels.

use super::super::{Continuation, Explainer, FrameBlocker};
use crate::plan::compare::Comparison;
use crate::program::build::Build;
use crate::program::code::{Callee, FunctionId};
use crate::program::testing::Compiled;

const COMMON: &str = r#"
    #include <stdio.h>
    #include <string.h>
    #include <stdlib.h>
    extern long total; long total; extern long size; long size; extern void *kept; void *kept;
    __attribute__((noipa)) void point(void) { __asm__ volatile("" : : : "memory"); }
    __attribute__((noipa)) long get(long n) { __asm__ volatile("" : : : "memory"); return n; }
    __attribute__((noipa)) void put(long n) { __asm__ volatile("" : : "r"(n) : "memory"); total += n; }
    __attribute__((noipa)) void setup(long n) { size = n; }
    __attribute__((noipa)) long look(long n) { return total * n; }
    __attribute__((noipa)) void tell(long n) { printf("%ld\n", n); }
"#;
const LEVELS: [&str; 4] = ["-O0", "-O1", "-O2", "-O3"];

struct Case {
    old: Build,
    new: Build,
    level: &'static str,
}

fn cases(old: &str, new: &str) -> Vec<Case> {
    let build = |body: &str, level: &str| {
        let source = format!("{COMMON}{body}\nint main(int argc, char **argv) {{ return (int)work(argc, argv); }}");
        Compiled::new("effects", &source, &["-g", level]).build()
    };
    LEVELS.iter().map(|level| Case { old: build(old, level), new: build(new, level), level }).collect()
}

impl Case {
    /// How `work` goes on behind its call of `point`.
    fn continuation(&self) -> Result<Continuation, Vec<FrameBlocker>> {
        let comparison = Comparison::new(&self.old, &self.new);
        let functions = comparison.sides.old.functions.list();
        let position = |name: &str| functions.iter().position(|code| code.identity.name == name).expect("a function");
        let (work, point) = (position("work"), position("point"));
        let explainer = Explainer { view: comparison.view(&self.old, &self.new), comparison: &comparison };
        let point = Callee::Function(FunctionId(point as u32));
        let calls = comparison.points.calls(work).map(|(returns, _)| returns);
        let mut of_point = calls.filter(|returns| comparison.code.returns.get(&returns.0) == Some(&point));
        explainer.continuation(work, of_point.next().expect("a call of `point`"))
    }
}

fn text(found: &Result<Continuation, Vec<FrameBlocker>>) -> String {
    match found {
        Ok(continuation) => format!("{continuation:#?}"),
        Err(blockers) => blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    }
}

fn goes_on(old: &str, new: &str, warnings: &[&str]) {
    for case in cases(old, new) {
        let found = case.continuation();
        let told = found.as_ref().map(|found| found.warnings.join("\n")).unwrap_or_default();
        let fits = warnings.iter().all(|word| told.contains(word)) && told.is_empty() == warnings.is_empty();
        assert!(found.is_ok() && fits, "{}: {}", case.level, text(&found));
    }
}

fn refused(old: &str, new: &str, word: &str) {
    for case in cases(old, new) {
        let found = case.continuation();
        assert!(found.is_err() && text(&found).contains(word), "{}: {}", case.level, text(&found));
    }
}

#[test]
fn the_same_effects_before_and_others_behind() {
    let old = "long work(long n, char **argv) { put(n); size = n; for (;;) { point(); if (get(n)) return n; } }";
    let new =
        "long work(long n, char **argv) { put(n); size = n; for (;;) { point(); setup(n); if (get(n)) return n; put(3); } }";
    goes_on(old, new, &[]);
    goes_on(new, old, &[]);
}

#[test]
fn a_setup_that_never_ran() {
    let old = "long work(long n, char **argv) { put(n); for (;;) { point(); if (get(n)) return n; } }";
    let new = "long work(long n, char **argv) { put(n); setup(n); for (;;) { point(); if (get(n)) return n + 1; } }";
    refused(old, new, "called `setup`");
    // Where the new code has two points, it is the one or the other.
    goes_on(new, &old.replace("return n;", "return n + 1;"), &[]);
}

#[test]
fn a_store_that_never_ran_or_stored_another_value() {
    let none = "long work(long n, char **argv) { for (;;) { point(); if (get(n)) return n; } }";
    let one = "long work(long n, char **argv) { size = 5; for (;;) { point(); if (get(n)) return n + 1; } }";
    let other = "long work(long n, char **argv) { size = 6; for (;;) { point(); if (get(n)) return n; } }";
    refused(none, one, "stored to memory");
    refused(other, one, "stored to memory");
    goes_on(one, none, &[]);
}

#[test]
fn what_only_looks_or_only_tells() {
    let old = "long work(long n, char **argv) { for (;;) { point(); if (get(n)) return n; } }";
    let new = "long work(long n, char **argv) { if (look(n) + (long)strlen(argv[0]) == 77) tell(1); tell(n); for (;;) { point(); if (get(n)) return n + 1; } }";
    goes_on(old, new, &["called `tell`"]);
}

#[test]
fn an_effect_that_moves_behind_the_point_would_be_had_twice() {
    let old = "long work(long n, char **argv) { void *p = malloc((unsigned long)n); kept = p; free(kept); point(); return n; }";
    let new =
        "long work(long n, char **argv) { void *p = malloc((unsigned long)n); kept = p; point(); free(kept); return n + 1; }";
    refused(old, new, "already");
    refused(new, old, "the old code has not");
}

#[test]
fn a_count_that_moves_behind_the_point_would_be_counted_twice() {
    let old = "long work(long n, char **argv) { for (;;) { total++; point(); if (get(n)) return n; } }";
    let new = "long work(long n, char **argv) { for (;;) { point(); total++; if (get(n)) return n + 1; } }";
    refused(old, new, "already");
}

#[test]
fn an_effect_of_a_round_that_is_missing() {
    let old = "long work(long n, char **argv) { for (;;) { point(); if (get(n)) return n; } }";
    let new = "long work(long n, char **argv) { for (;;) { setup(n); point(); if (get(n)) return n + 1; } }";
    refused(old, new, "in this round");
}

#[test]
fn what_may_not_have_run() {
    let old = "long work(long n, char **argv) { if (n > 3) setup(n); point(); return n; }";
    let new = "long work(long n, char **argv) { setup(n); point(); return n + 1; }";
    // Where the compiler makes two points of it, one has not had it at all.
    refused(old, new, "called `setup`");
    goes_on(new, &old.replace("return n;", "return n + 2;"), &[]);
}

#[test]
fn calls_of_a_macro_that_became_one_are_not_told_apart() {
    let old = "#define TWICE() do { point(); point(); } while (0)
        long work(long n, char **argv) { TWICE(); return n; }";
    let new = "#define TWICE() do { point(); } while (0)
        long work(long n, char **argv) { TWICE(); return n + 1; }";
    refused(old, new, "nothing tells which");
}

#[test]
fn a_call_that_one_side_inlines() {
    let body = |attribute: &str, end: &str| {
        format!(
            "static {attribute} void mark(long n) {{ size = n; put(n + 1); }}
             long work(long n, char **argv) {{ mark(n); for (;;) {{ point(); if (get(n)) return n{end}; }} }}"
        )
    };
    let called = body("__attribute__((noinline))", "");
    let inlined = body("inline __attribute__((always_inline))", " + 1");
    goes_on(&called, &inlined, &[]);
    goes_on(&inlined, &called, &[]);
}

#[test]
fn rounds_that_pass_the_point_by_were_the_old_codes() {
    let body = |end: &str| {
        format!(
            "long work(long n, char **argv) {{ for (;;) {{ if (get(n) > 3) point(); put(n); {end}
             if (get(n)) return n; }} }}"
        )
    };
    let (old, new) = (body(""), body("kept = argv; put(3);"));
    goes_on(&old, &new, &[]);
    goes_on(&new, &old, &[]);
}

#[test]
fn a_count_that_moves_across_a_wait_which_some_rounds_pass_by() {
    let ahead =
        "long work(long n, char **argv) { for (;;) { total += n; if (get(n) > 3) point(); put(n); if (get(n)) return n; } }";
    let behind =
        "long work(long n, char **argv) { for (;;) { if (get(n) > 3) point(); total += n; put(n); if (get(n)) return n; } }";
    refused(behind, ahead, "the old code has not in this round");
    refused(ahead, behind, "already");
}

#[test]
fn copies_that_a_compiler_makes_of_the_call_at_the_point() {
    let body = |more: &str| {
        format!(
            "long work(long n, char **argv) {{ long line = 0; for (;;) {{ point(); long value = get(n); if (!value) return line; line++;
             switch (value) {{ case 1: size += 5; break; case 2: total = size; break; case 3: put(line); break; {more}
             default: total++; put(value); }} }} }}"
        )
    };
    let (old, new) = (body(""), body("case 5: size++; break;"));
    goes_on(&old, &new, &[]);
}
