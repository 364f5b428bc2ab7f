//! What has to hold at a point, between two builds of small programs at several levels.

use super::super::{Condition, Continuation, Explainer, FrameBlocker, Partners, Relation, Value};
use crate::plan::compare::Comparison;
use crate::program::build::Build;
use crate::program::code::{Callee, FunctionId};
use crate::program::testing::Compiled;

const COMMON: &str = r#"
    __attribute__((noipa)) void point(void) { __asm__ volatile("" : : : "memory"); }
    __attribute__((noipa)) long get(long n) { __asm__ volatile("" : : : "memory"); return n; }
    __attribute__((noipa)) void put(long n) { __asm__ volatile("" : : "r"(n) : "memory"); }
    extern long setting; long setting;
"#;
const LEVELS: [&str; 4] = ["-O0", "-O1", "-O2", "-O3"];

struct Case {
    old: Build,
    new: Build,
    level: &'static str,
}

type Found = Result<Continuation, Vec<FrameBlocker>>;

fn cases(old: &str, new: &str) -> Vec<Case> {
    let build = |body: &str, level: &str| {
        let source = format!("{COMMON}{body}\nint main(int argc, char **argv) {{ return (int)work(argc, argv); }}");
        Compiled::new("facts", &source, &["-g", level]).build()
    };
    LEVELS.iter().map(|level| Case { old: build(old, level), new: build(new, level), level }).collect()
}

impl Case {
    /// How `work` goes on behind each of its calls of `point`.
    fn continuations(&self) -> Vec<Found> {
        let comparison = Comparison::new(&self.old, &self.new);
        let functions = comparison.sides.old.functions.list();
        let position = |name: &str| functions.iter().position(|code| code.identity.name == name).expect("a function");
        let (work, point) = (position("work"), position("point"));
        let explainer = Explainer { view: comparison.view(&self.old, &self.new), comparison: &comparison };
        let point = Callee::Function(FunctionId(point as u32));
        let calls = comparison.points.calls(work).map(|(returns, _)| returns);
        let of_point = calls.filter(|returns| comparison.code.returns.get(&returns.0) == Some(&point));
        of_point.map(|returns| explainer.continuation(work, returns)).collect()
    }

    fn text(found: &Found) -> String {
        match found {
            Ok(continuation) => format!("{continuation:#?}"),
            Err(blockers) => blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }
}

/// Conditions of the only point.
fn conditions(old: &str, new: &str, check: impl Fn(&[Condition]) -> bool) {
    for case in cases(old, new) {
        let found = case.continuations().remove(0);
        let conditions = found.as_ref().map(|found| found.conditions.as_slice()).unwrap_or_default();
        assert!(found.is_ok() && check(conditions), "{}: {}", case.level, Case::text(&found));
    }
}

/// Every level refuses for a branch.
fn refused(old: &str, new: &str) {
    for case in cases(old, new) {
        let found = case.continuations().remove(0);
        assert!(found.is_err() && Case::text(&found).contains("goes one way"), "{}: {}", case.level, Case::text(&found));
    }
}

/// Whether conditions on one old value let a number through; those that compare two values are left out.
fn holds(conditions: &[Condition], number: u64) -> bool {
    conditions.iter().all(|condition| {
        let Value::Constant(to) = condition.right else { return true };
        let low = |number: u64| number & super::ranges::greatest(condition.bits);
        let ranges = super::ranges::of(condition.relation, to, condition.bits).expect("ranges");
        super::ranges::within(&[(low(number), low(number))], &ranges)
    })
}

#[test]
fn what_both_ask_needs_no_answer() {
    let old = "long work(long n, char **argv) { if (n > 3) { point(); put(n); } return n; }";
    let new = "long work(long n, char **argv) { if (n >= 4) { point(); put(n + 1); } return n; }";
    conditions(old, new, <[Condition]>::is_empty);
}

#[test]
fn what_only_the_new_code_asks_is_checked() {
    let old = "long work(long n, char **argv) { point(); put(n); return n; }";
    let new = "long work(long n, char **argv) { if (n > 3) point(); put(n + 1); return n; }";
    conditions(old, new, |found| {
        !found.is_empty()
            && [4, 5, 1 << 40].iter().all(|number| holds(found, *number))
            && [3, 0, u64::MAX].iter().all(|number| !holds(found, *number))
    });
}

#[test]
fn a_stronger_question_of_the_old_code_answers_a_weaker_one() {
    let weak = "long work(long n, char **argv) { if (n > 3) { point(); put(n); } return n; }";
    let strong = "long work(long n, char **argv) { if (n > 5) { point(); put(n + 1); } return n; }";
    conditions(strong, weak, <[Condition]>::is_empty);
    conditions(weak, strong, |found| holds(found, 6) && !holds(found, 5));
}

#[test]
fn a_question_about_a_range_is_checked_at_both_ends() {
    let old = "long work(long n, char **argv) { point(); put(n); return n; }";
    let new = "long work(long n, char **argv) { if (n >= 10 && n < 20) point(); put(n + 1); return n; }";
    conditions(old, new, |found| {
        [10, 15, 19].iter().all(|number| holds(found, *number))
            && [9, 20, 0, u64::MAX].iter().all(|number| !holds(found, *number))
    });
}

#[test]
fn results_of_paired_calls_and_globals_are_asked_alike() {
    let old = "long work(long n, char **argv) { while (get(n) > 0) { if (setting) { point(); put(n); } } return n; }";
    let new = "long work(long n, char **argv) { while (get(n) > 0) { if (setting) { point(); put(n + 1); } } return n; }";
    conditions(old, new, <[Condition]>::is_empty);
}

#[test]
fn a_question_about_memory_that_the_old_code_did_not_ask_is_refused() {
    let old = "long work(long n, char **argv) { point(); put(n); return n; }";
    let new = "long work(long n, char **argv) { if (argv[n]) point(); put(n + 1); return n; }";
    refused(old, new);
}

#[test]
fn a_question_about_a_call_that_never_ran_is_refused() {
    let old = "long work(long n, char **argv) { point(); put(n); return n; }";
    let new = "long work(long n, char **argv) { if (get(n + 1)) point(); put(n + 1); return n; }";
    refused(old, new);
}

#[test]
fn what_every_round_of_a_loop_asks_is_checked() {
    let old = "long work(long n, char **argv) { long total = 0; for (long i = 0; i < n; i++) { point(); total += i * i; } return total; }";
    let new = "long work(long n, char **argv) { long total = 0; for (long i = 0; i < n; i++) { if (total > 30) break; point(); total += i * i; } return total; }";
    conditions(old, new, |found| !found.is_empty() && holds(found, 30) && !holds(found, 31));
    conditions(new, &new.replace("30", "40"), <[Condition]>::is_empty);
}

#[test]
fn cases_of_a_switch() {
    let body = |more: &str, extra: &str| {
        format!(
            "long work(long n, char **argv) {{ switch (n) {{ {extra} case 1: put(11); break; case 2: put(7); break; case 3: point(); put(5); break;
             case 4: put(9); break; case 5: put(1); break; case 6: get(3); break; }} put({more}); return n; }}"
        )
    };
    let (old, new) = (body("1", ""), body("2", "case 0: put(2); break; case 8: put(80); break;"));
    conditions(&old, &new, |found| holds(found, 3));
    let plain = "long work(long n, char **argv) { point(); put(5); put(n); return n; }";
    conditions(plain, &new.replace("put(2);", "put(2 + n);"), |found| holds(found, 3) && !holds(found, 2) && !holds(found, 0));
}

#[test]
fn a_variable_that_the_new_code_takes_for_a_constant() {
    let old = "long work(long n, char **argv) { long k = get(n); point(); put(k); return k + n; }";
    let new = "long work(long n, char **argv) { long k = 5; get(n); point(); put(k); return k - n; }";
    for case in cases(old, new).into_iter().filter(|case| case.level != "-O0") {
        let found = case.continuations().remove(0);
        let asks = |continuation: &Continuation| {
            let equal = |condition: &&Condition| condition.relation == Relation::Equal && condition.right == Value::Constant(5);
            continuation.conditions.iter().any(|condition| equal(&condition))
        };
        assert!(found.as_ref().is_ok_and(asks), "{}: {}", case.level, Case::text(&found));
    }
}

#[test]
fn a_constant_that_was_a_value_which_the_old_frame_does_not_keep_is_refused() {
    let old = "long work(long n, char **argv) { long scale = n > 3 ? 9 : 4; point(); put(scale); return n * scale + scale; }";
    let new = "long work(long n, char **argv) { const long scale = 4; point(); put(scale); return n * scale + scale; }";
    for case in cases(old, new) {
        let found = case.continuations().remove(0);
        let asks =
            |continuation: &Continuation| continuation.conditions.iter().any(|condition| condition.right == Value::Constant(4));
        // At -O0 the constant is a variable in memory.
        let fits = case.level == "-O0" || found.as_ref().is_err() || found.as_ref().is_ok_and(asks);
        assert!(fits, "{}: {}", case.level, Case::text(&found));
    }
}

#[test]
fn copies_of_a_loop_are_told_apart_by_its_variable() {
    let old = "long work(long n, char **argv) { for (long i = 0; i < n; i++) { point(); put(i); } return n; }";
    let new = "long work(long n, char **argv) { for (long i = 0; i < 3; i++) { point(); put(i); } return n; }";
    for case in cases(old, new).into_iter().filter(|case| case.level == "-O2" || case.level == "-O3") {
        let comparison = Comparison::new(&case.old, &case.new);
        let work =
            comparison.sides.old.functions.list().iter().position(|code| code.identity.name == "work").expect("a function");
        let several = |found: Result<&Partners, _>| found.is_ok_and(|partners| partners.all().len() == 3);
        assert!(comparison.points.calls(work).any(|(_, found)| several(found)), "{}: it is unrolled", case.level);
    }
}
