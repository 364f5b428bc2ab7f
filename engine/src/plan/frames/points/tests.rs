//! Pairs of small C programs. Lines of a source carry marks (`//@mark`); a call is paired right if both lines carry the same mark.

use super::*;
use crate::plan::compare::code;
use crate::plan::frames::Coded;
use crate::program::address::LinkAddress;
use crate::program::build::DebugSearch;
use crate::program::testing::Compiled;
use crate::program::unwind::UnwindIndex;

/// What everything calls; compiled apart, so that the compiler knows nothing of it.
const OTHERS: &str = "
    #include <unistd.h>
    volatile int stored;
    int wait_for(int n) { stored = n; return getpid() - n; }
    int first(int n) { stored += n; return stored; }
    int second(int n) { stored -= n; return stored; }
    int third(int n) { stored ^= n; return stored; }
    void note(const char *text) { stored = (int)(long)text; }
    int main(int argc, char **argv) { int f(int, char **); return f(argc, argv); }";
const HEAD: &str = "int wait_for(int); int first(int); int second(int); int third(int); void note(const char *);\n";

/// What is expected of the calls on the lines with a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// They are paired.
    Right,
    /// They are refused.
    Refused,
    /// Either.
    Safe,
}
use Expect::{Refused, Right, Safe};

struct Built {
    source: String,
    build: Build,
    _files: Compiled,
}

fn built(compiler: &str, level: &str, source: &str) -> Built {
    let source = format!("{HEAD}{source}");
    let files = Compiled::with(compiler, &[("program", &source), ("others", OTHERS)], &["-g", level]);
    let build = Build::open(&files.path, &DebugSearch::default()).expect("a compiler's output opens");
    Built { source, build, _files: files }
}

impl Built {
    /// The mark of the line that the call before `next` is on.
    fn mark(&self, next: LinkAddress) -> Option<String> {
        let (file, line) = self.build.line_at(LinkAddress(next.0 - 1))?;
        assert!(file.ends_with("program.c"), "{file}");
        let text = self.source.lines().nth(line as usize - 1)?;
        text.split_once("//@").map(|(_, mark)| mark.trim().to_owned())
    }
}

/// Pairs two sources with one compiler.
struct Case {
    old: Built,
    new: Built,
    sides: Sides,
    points: Points,
    what: String,
}

fn case(compiler: &str, level: &str, old: &str, new: &str) -> Case {
    let (old, new) = (built(compiler, level, old), built(compiler, level, new));
    let mut sides = Sides::new(&old.build, &new.build);
    let (from, to) = code::read(&old.build, &new.build, &mut sides);
    let unwinds = (UnwindIndex::new(&old.build.elf), UnwindIndex::new(&new.build.elf));
    let coded = (Coded::new((&old.build, &from), &unwinds.0), Coded::new((&new.build, &to), &unwinds.1));
    let facts = code::compare(coded.0, coded.1, &mut sides, &[]);
    let points = Points::new((&old.build, &from), (&new.build, &to), (&sides, &facts.same), &[]);
    Case { old, new, sides, points, what: format!("{compiler} {level}") }
}

fn cases(old: &str, new: &str) -> impl Iterator<Item = Case> {
    let ways = ["gcc", "clang"].into_iter().flat_map(|compiler| ["-O0", "-O2"].map(|level| (compiler, level)));
    ways.map(move |(compiler, level)| case(compiler, level, old, new))
}

impl Case {
    fn function(&self, name: &str) -> usize {
        let list = self.sides.old.functions.list();
        list.iter().position(|code| code.identity.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Every call of `f` that a mark's line has: paired with which marks, or refused.
    fn found(&self, name: &str, mark: &str) -> Vec<Result<Vec<String>, Box<PointProblem>>> {
        let calls = self.points.calls(self.function(name));
        let calls = calls.filter(|(returns, _)| self.old.mark(returns.0).as_deref() == Some(mark));
        let marks = |partners: &Partners| {
            let marked = partners.all().iter().map(|next| self.new.mark(next.0).unwrap_or_default());
            marked.collect::<Vec<String>>()
        };
        calls.map(|(_, found)| found.map(marks).map_err(|problem| Box::new(problem.clone()))).collect()
    }

    fn expect(&self, name: &str, expected: &[(&str, Expect)]) {
        for (mark, expect) in expected {
            let found = self.found(name, mark);
            assert!(!found.is_empty(), "{}: no call at {mark}", self.what);
            for found in found {
                let place = format!("{}, mark {mark}: {found:?}", self.what);
                match (&found, expect) {
                    (Ok(marks), Right | Safe) => assert!(marks.iter().all(|other| other == mark), "{place}"),
                    (Err(_), Refused | Safe) => {}
                    _ => panic!("expected {expect:?}: {place}"),
                }
            }
        }
    }
}

/// Expects something of `f` with all compilers and levels.
fn expect(old: &str, new: &str, expected: &[(&str, Expect)]) {
    cases(old, new).for_each(|case| case.expect("f", expected));
}

#[test]
fn calls_that_are_added_and_removed() {
    let old = "int f(int n, char **v) {
        n += first(n); //@first
        n += wait_for(n); //@wait
        n += second(n); //@second
        return n + !v; }";
    let new = "int f(int n, char **v) {
        n += third(n);
        n += first(n); //@first
        n += wait_for(n); //@wait
        n += third(n);
        return n + !v; }";
    expect(old, new, &[("first", Right), ("wait", Right), ("second", Refused)]);
    expect(new, old, &[("first", Right), ("wait", Right)]);
}

#[test]
fn calls_in_another_order() {
    let old = "int f(int n, char **v) {
        n += first(n); //@first
        n += wait_for(n); //@wait
        n += wait_for(n + 1); //@again
        n += second(n); //@second
        return n + !v; }";
    let new = "int f(int n, char **v) {
        n += second(n); //@second
        n += wait_for(n); //@wait
        n += first(n * 2); //@first
        n += wait_for(n + 1); //@again
        return n + !v; }";
    expect(old, new, &[("first", Right), ("second", Right), ("wait", Safe), ("again", Safe)]);
}

#[test]
fn a_new_call_among_equal_ones() {
    let old = "int f(int n, char **v) {
        n += wait_for(n); //@one
        n += wait_for(n * 3); //@two
        n += first(n); //@first
        n += wait_for(n + 1); //@three
        return n + !v; }";
    let new = "int f(int n, char **v) {
        n += wait_for(n); //@one
        n += wait_for(n * 7);
        n += wait_for(n * 3); //@two
        n += first(n); //@first
        n += wait_for(n + 1); //@three
        return n + !v + 1; }";
    expect(old, new, &[("one", Refused), ("two", Refused), ("first", Right), ("three", Right)]);
    expect(new, old, &[("one", Refused), ("two", Refused), ("first", Right), ("three", Right)]);
}

#[test]
fn declarations_stand_between_calls() {
    let old = "int f(int n, char **v) {
        int a = wait_for(n); //@a
        int b = wait_for(a * 3); //@b
        return a * b + !v; }";
    let new = "int f(int n, char **v) {
        int c = wait_for(n + 5);
        int a = wait_for(n + c); //@a
        int b = wait_for(a * 3); //@b
        return a * b - c + !v; }";
    cases(old, new).for_each(|case| case.expect("f", &[("b", Right), ("a", Safe)]));
}

const HELPER: &str = "static inline __attribute__((always_inline)) int helper(int n) {
        n += first(n);
        n += wait_for(n);
        return n; }\n";

/// Which of the calls of `wait_for` in the helper's copies lead where, both numbered in the order of the code.
fn copies(case: &Case) -> Vec<Result<usize, String>> {
    let at = |list: &[NewLink], next: NewLink| list.iter().position(|other| *other == next);
    let new_image = CodeImage::new(&case.new.build.elf, &case.new.build.debug);
    let named = |name: &str| case.new.build.elf.symbols_named(name).next().expect("a symbol").address;
    let function = new_image.inventory().entered_at(named("f")).expect("a function");
    let target = new_image.inventory().entered_at(named("wait_for")).map(crate::program::code::Callee::Function);
    let calls = new_image.calls(function).iter().filter(|call| Some(call.callee) == target);
    let order: Vec<NewLink> = calls.map(|call| NewLink(call.next)).collect();
    let waits = case.points.calls(case.function("f")).filter(|(returns, _)| {
        let (_, line) = case.old.build.line_at(LinkAddress(returns.0.0 - 1)).expect("a line");
        case.old.source.lines().nth(line as usize - 1).is_some_and(|text| text.contains("wait_for"))
    });
    waits
        .map(|(_, found)| match found {
            Ok(Partners::One(next)) => at(&order, *next).ok_or_else(|| "elsewhere".to_owned()),
            Ok(_) => Err("several".to_owned()),
            Err(problem) => Err(problem.reason.to_string()),
        })
        .collect()
}

#[test]
fn copies_of_an_inlined_function_are_told_apart_by_where_they_were_called() {
    let old = format!("{HELPER}int f(int n, char **v) {{ n = helper(n);\n n = helper(n * 3);\n return n + !v; }}");
    let moved = format!(
        "int extra;\n{HELPER}int f(int n, char **v) {{ extra = n;\n n = helper(n);\n n = helper(n * 3);\n return n + !v; }}"
    );
    for case in cases(&old, &moved) {
        assert_eq!(copies(&case), [Ok(0), Ok(1)], "{}", case.what);
    }
    let added =
        format!("{HELPER}int f(int n, char **v) {{ n = helper(n);\n n = helper(n * 3);\n n = helper(n * 5);\n return n + !v; }}");
    for case in cases(&old, &added) {
        for found in copies(&case) {
            assert!(found.as_ref().is_err_and(|why| why.contains("inlined copies of `helper`")), "{}: {found:?}", case.what);
        }
    }
}

#[test]
fn what_is_inlined_on_one_side_only() {
    let called = "__attribute__((noinline)) static int helper(int n) { n += first(n); return n + wait_for(n); } //@inner
        int f(int n, char **v) { n = helper(n); //@call
        return n + !v; }";
    let inlined =
        "static inline __attribute__((always_inline)) int helper(int n) { n += first(n); return n + wait_for(n); } //@inner
        int f(int n, char **v) { n = helper(n); //@call
        return n + !v; }";
    for case in cases(called, inlined) {
        for found in case.found("f", "call") {
            let problem = found.expect_err("there is no call any more");
            assert!(matches!(problem.reason, PointReason::Inlined), "{}: {problem}: {}", case.what, problem.reason);
        }
    }
    for case in cases(inlined, called) {
        let found = case.found("f", "inner");
        assert!(!found.is_empty());
        for found in found {
            let problem = found.expect_err("the call is in another function now");
            assert!(matches!(problem.reason, PointReason::NotInlined { .. }), "{}: {problem}: {}", case.what, problem.reason);
            assert!(problem.to_string().contains("helper"), "{problem}");
        }
    }
}

#[test]
fn a_loop_that_is_unrolled() {
    let old = "int f(int n, char **v) { for (int i = 0; i < n; i++)
            n += wait_for(i); //@wait
        return n + !v; }";
    let new = "int f(int n, char **v) { for (int i = 0; i < 3; i++)
            n += wait_for(i); //@wait
        return n + !v; }";
    expect(old, new, &[("wait", Right)]);
    for case in [case("gcc", "-O2", old, new), case("clang", "-O2", old, new)] {
        let function = case.function("f");
        let several =
            case.points.calls(function).any(|(_, found)| matches!(found, Ok(Partners::Several(list)) if list.len() == 3));
        assert!(several, "{}: the compiler unrolls it", case.what);
    }
    expect(new, old, &[("wait", Safe)]);
}

#[test]
fn a_call_that_a_condition_splits() {
    let old = "int f(int n, char **v) { int m = n & 1 ? 4 : 9;
        n += wait_for(m); //@wait
        return n + m + !v; }";
    let new =
        "int f(int n, char **v) { int m; if (n & 1) { m = 4; note(\"odd\"); } else { m = 9; note(\"even\"); n += second(n); }
        n += wait_for(m); //@wait
        if (m == 4) note(\"4\"); return n + m + !v; }";
    expect(old, new, &[("wait", Right)]);
    expect(new, old, &[("wait", Safe)]);
}

#[test]
fn macros_hide_which_call_it_is() {
    let old = "#define TWICE(n) do { wait_for(n); wait_for((n) + 1); } while (0)
        int f(int n, char **v) {
        TWICE(n); //@twice
        return n + !v; }";
    let new = old.replace("{ wait_for(n); ", "{ ").replace("!v", "2 * !v");
    for case in cases(old, &new) {
        let mut calls = case.points.calls(case.function("f"));
        let shared = |found: Result<&Partners, _>| matches!(found, Ok(Partners::Shared { copies, .. }) if copies.len() == 2);
        assert!(calls.all(|(_, found)| shared(found)), "{}: only the ways between them tell", case.what);
    }
}

#[test]
fn calls_of_a_switch() {
    let old = "int f(int n, char **v) { switch (n) {
        case 1: n += wait_for(1); //@one
            break;
        case 2: n += first(1); //@first
            break;
        case 3: n += wait_for(3); //@three
            break;
        case 4: n += second(4); //@second
            break; }
        return n + !v; }";
    let new = "int f(int n, char **v) { switch (n) {
        case 0: n += third(9); break;
        case 1: n += wait_for(1); //@one
            break;
        case 2: n += first(1); //@first
            break;
        case 3: n += wait_for(3); //@three
            break;
        case 4: n += second(4); //@second
            break; }
        return n + 2 * !v; }";
    expect(old, new, &[("one", Right), ("first", Right), ("three", Right), ("second", Right)]);
}

#[test]
fn calls_through_pointers() {
    let table = "extern int (*const table[3])(int); extern int (*hook)(int); int (*const table[3])(int) = { first, second, third }; int (*hook)(int) = wait_for;\n";
    let old = format!(
        "{table}int f(int n, char **v) {{
        n += table[n & 1](n); //@table
        note(\"between\"); //@note
        n += hook(n); //@hook
        return n + !v; }}"
    );
    let new = format!(
        "{table}int f(int n, char **v) {{
        n += second(n + 1);
        n += table[n % 3](n); //@table
        note(\"between them\"); //@note
        n += hook(n); //@hook
        return n + 2 * !v; }}"
    );
    expect(&old, &new, &[("table", Right), ("note", Right), ("hook", Right)]);
    let more = new.replace("n += second(n + 1);", "n += table[(n + 1) & 1](n);");
    expect(&old, &more, &[("table", Refused), ("note", Right), ("hook", Right)]);
}

#[test]
fn a_call_that_becomes_a_jump() {
    let old = "int f(int n, char **v) { first(n); //@first
        return wait_for(n) + !v; } //@wait";
    let new = "int f(int n, char **v) { first(n + !v); //@first
        return wait_for(n); } //@wait";
    for case in [case("gcc", "-O2", old, new), case("clang", "-O2", old, new)] {
        case.expect("f", &[("first", Right), ("wait", Refused)]);
        let problem = case.found("f", "wait").remove(0).expect_err("a tail call");
        assert!(matches!(problem.reason, PointReason::TailCall), "{}: {}", case.what, problem.reason);
    }
}

#[test]
fn a_callee_with_another_suffix_is_the_same_function() {
    let old = "__attribute__((noinline)) static int helper(int n, int m) { for (int i = 0; i < m; i++) n += first(n); return n; }
        int f(int n, char **v) {
        n += helper(n, 7); //@helper
        return n + !v; }";
    let new = "__attribute__((noinline)) static int helper(int n, int m) { for (int i = 0; i < m; i++) n += first(n); return n; }
        int f(int n, char **v) {
        n += helper(n, *v ? 7 : n); //@helper
        return n + !v; }";
    let pair = case("gcc", "-O2", old, new);
    let names: Vec<&str> = pair.sides.old.functions.list().iter().map(|code| code.identity.name.as_str()).collect();
    assert!(names.contains(&"helper.constprop"), "the compiler makes a clone: {names:?}");
    expect(old, new, &[("helper", Right)]);
    expect(new, old, &[("helper", Right)]);
}

#[test]
fn problems_say_what_and_where() {
    let old = "int f(int n, char **v) {
        n += wait_for(n);
        return n + wait_for(n + !v); }";
    let new = "int f(int n, char **v) {
        n += wait_for(n);
        n += wait_for(n);
        return n + wait_for(n + !v); }";
    let case = case("gcc", "-O0", old, new);
    let (_, found) = case.points.calls(case.function("f")).next().expect("a call");
    let problem = found.expect_err("nothing tells");
    let text = format!("{problem}: {}", problem.reason);
    assert_eq!(
        text,
        "the call of `wait_for` in `f` at program.c:3 has no certain partner in the new build; there are program.c:3, program.c:4, \
         program.c:5: of the old function's 2 and the new one's 3 calls of it nothing tells which is which"
    );
    let missing = case.points.partner(case.function("f"), OldLink::new(1)).expect_err("no call there");
    assert!(matches!(missing.reason, PointReason::NoCallThere { .. }));
}
