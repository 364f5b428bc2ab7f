//! From message to answer: what stands against a frame prints the lines of a spec that answer it, and those lines alone let it go on.

use std::collections::BTreeSet;

use super::tests::Pair;

/// A function before and after, the call that it waits in, and what a person writes where the answer leaves something open.
struct Case {
    old: &'static str,
    new: &'static str,
    callee: &'static str,
    open: &'static [(&'static str, &'static str)],
}

const fn case(old: &'static str, new: &'static str, open: &'static [(&'static str, &'static str)]) -> Case {
    Case { old, new, callee: "point", open }
}

const CASES: [Case; 24] = [
    case(
        "long work(long n, char **argv) { point(); return n; }",
        "long work(long n, char **argv) { long left = get(n); point(); return n + left; }",
        &[("EXPRESSION", "old.n * 2")],
    ),
    case(
        "long work(long n, char **argv) { point(); put(n); return n; }",
        "long work(long n, char **argv) { if (n > 10) n = 10; point(); put(n); return n + 1; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) { for (;;) { point(); if (get(n)) return n; } }",
        "long work(long n, char **argv) { int first = 1; for (;;) { if (first) { put(1); first = 0; } point(); if (get(n)) return n; } }",
        &[("EXPRESSION", "0")],
    ),
    case(
        "long work(long n, char **argv) { point(); return n; }",
        "long work(long n, char **argv) {\n stats.done = 7;\n point();\n return n + stats.done; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) { point(); return n; }",
        "long work(long n, char **argv) {\n note(n);\n point();\n return n + 1; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) {\n note(n);\n point();\n return n; }",
        "long work(long n, char **argv) {\n point();\n note(n);\n return n + 1; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) {\n stats.active += n;\n point();\n return n; }",
        "long work(long n, char **argv) {\n point();\n stats.active += n;\n return n + 1; }",
        &[],
    ),
    Case {
        old: "long work(long n, char **argv) { return get(9) + n; }",
        new: "long work(long n, char **argv) { return get(4) + n * 2; }",
        callee: "get",
        open: &[],
    },
    case(
        "long work(long n, char **argv) { point(); return n; }",
        "long work(long n, char **argv) {\n if (get(n) > 3) {\n  point();\n  put(n);\n }\n return n; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) { point(); put(n); point(); return n; }",
        "long work(long n, char **argv) { point(); put(n); point(); put(n); point(); return n; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) {\n point();\n return n; }",
        "long work(long n, char **argv) {\n n++;\n return n; }",
        &[("FILE:LINE OF THE NEW FUNCTION", "given.c:3")],
    ),
    case(
        "long work(long n, char **argv) { long numbers[4]; fill(numbers); point(); fill(numbers); return numbers[0]; }",
        "long work(long n, char **argv) { long sorted[4]; fill(sorted); put(n); point(); fill(sorted); return sorted[3]; }",
        &[("EXPRESSION", "old.numbers")],
    ),
    case(
        "long work(long n, char **argv) { long s[2] = {1, 2}; fill(s); point(); fill(s); return s[0]; }",
        "long work(long n, char **argv) { long s[2] = {1, 3}; fill(s); point(); fill(s); return s[0] + s[1]; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) { long calls = get(n); point(); return calls; }",
        "long work(long n, char **argv) { static long calls; calls += get(n); point(); return calls; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) { enum state { OFF, ON } state = n > 1; point(); return state == ON; }",
        "long work(long n, char **argv) { enum state { ON, OFF } state = n > 1; point(); return state == ON ? 2 : 3; }",
        &[("\"old.state\"", "\"old.state ? 0 : 1\"")],
    ),
    case(
        "long work(long n, char **argv) { long pace = 4; point(); return n + pace; }",
        "long work(long n, char **argv) { long pace = 3; point(); return n - pace; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) { point(); return n; }",
        "long work(long n, char **argv) { char *name = argv[get(0)]; point(); fill(name); return n; }",
        &[("EXPRESSION", "old.argv[0]")],
    ),
    case(
        "long work(long n, char **argv) { point(); return n; }",
        "long work(long n, char **argv) { double share = get(n) / 2.0; point(); return n + (long)share; }",
        &[("EXPRESSION", "old.n / 2.0")],
    ),
    case(
        "long work(long n, char **argv) { long i = 0; for (;;) { point(); if (get(i++) > n) return i; } }",
        "long work(long n, char **argv) { long i = 0, seen = get(2); for (;;) { seen++; point(); if (get(i++) > n) return i + seen; } }",
        &[("EXPRESSION", "old.i + 1")],
    ),
    case(
        "long work(long n, char **argv) { point(); return n; }",
        "long work(long n, char **argv) {\n struct { long a, b; } pair = {n, 2}; fill(&pair); point(); fill(&pair); return pair.b; }",
        &[("locals = { pair = \"EXPRESSION\" }", "at = { line = 2 }")],
    ),
    case(
        "long work(long n, char **argv) { unsigned char kind = (unsigned char)n; point(); return kind; }",
        "long work(long n, char **argv) { unsigned char kind = (unsigned char)get(n); point(); return kind + 1; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) { long a = get(1), b = get(2); point(); return a - b; }",
        "long work(long n, char **argv) { long a = get(2), b = get(1); point(); return a - b + n; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) {\n stats.active = n;\n point();\n return n; }",
        "long work(long n, char **argv) {\n stats.active = n;\n limit--;\n put(limit);\n point();\n return n + limit; }",
        &[],
    ),
    case(
        "long work(long n, char **argv) {\n point();\n return n; }",
        "long work(long n, char **argv) {\n for (long i = 0; i < n; i++) {\n  point();\n  put(i);\n }\n return n; }",
        &[("EXPRESSION", "0")],
    ),
];

/// Rounds of message and answer until nothing stands against the frame; the reasons that were answered.
fn answered(case: &Case) -> BTreeSet<String> {
    let pair = Pair::new(case.old, case.new, &["-g", "-O0"]);
    let (mut spec, mut known, mut reasons) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for _ in 0..6 {
        match pair.tried(&spec, (case.callee, 1)) {
            Err(problem) => panic!("{}\n{spec}\n{problem}", case.new),
            Ok(Ok(_)) => return reasons,
            Ok(Err(blockers)) => {
                let before = known.len();
                for blocker in &blockers {
                    let Some(answer) = &blocker.answer else { panic!("{}\n{spec}\nno answer to: {blocker}", case.new) };
                    let answer = case.open.iter().fold(answer.clone(), |answer, (open, given)| answer.replace(open, given));
                    if known.insert(answer.clone()) {
                        spec.push_str(&format!("{answer}\n\n"));
                    }
                    reasons.insert(blocker.to_string());
                }
                let told = blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
                assert!(known.len() > before, "{}\n{spec}\nstill: {told}", case.new);
            }
        }
    }
    panic!("{}: never done\n{spec}", case.new)
}

#[test]
fn the_lines_that_a_blocker_prints_answer_it() {
    let mut answers = 0;
    for case in &CASES {
        let reasons = answered(case);
        assert!(!reasons.is_empty(), "nothing stands against {}", case.new);
        answers += reasons.len();
    }
    assert!(answers >= 20, "{answers}");
}
