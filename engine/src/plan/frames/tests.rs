//! Continuations between two builds of small programs.

use super::*;
use crate::plan::address::OldLink;
use crate::plan::compare::Comparison;
use crate::program::build::Build;
use crate::program::testing::Compiled;

/// What every program has: calls that nothing is known of.
const COMMON: &str = r#"
    __attribute__((noipa)) void point(void) { __asm__ volatile("" : : : "memory"); }
    __attribute__((noipa)) long get(long n) { __asm__ volatile("" : : : "memory"); return n; }
    __attribute__((noipa)) void put(long n) { __asm__ volatile("" : : "r"(n) : "memory"); }
    __attribute__((noipa)) void fill(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
"#;

/// The two builds of a program at one level.
struct Pair {
    old: Build,
    new: Build,
}

impl Pair {
    fn new(old: &str, new: &str, flags: &[&str]) -> Self {
        let build = |body: &str| {
            let source = format!("{COMMON}{body}\nint main(int argc, char **argv) {{ return (int)work(argc, argv); }}");
            Compiled::new("frames", &source, flags).build()
        };
        Self { old: build(old), new: build(new) }
    }

    /// How `work` goes on behind its first call of `point`.
    fn at_point(&self) -> Result<Continuation, Vec<FrameBlocker>> {
        let comparison = Comparison::new(&self.old, &self.new);
        let (work, returns) = self.point(&comparison);
        let explainer = Explainer { view: comparison.view(&self.old, &self.new), comparison: &comparison };
        explainer.continuation(work, returns)
    }

    /// The position of `work`, and where its first call of `point` returns to.
    fn point(&self, comparison: &Comparison) -> (usize, OldLink) {
        let functions = comparison.sides.old.functions.list();
        let position = |name: &str| functions.iter().position(|code| code.identity.name == name).expect("a function");
        let (work, point) = (position("work"), functions[position("point")].entry);
        let symbol = functions[work].ranges[0];
        let code = self.old.elf.file_bytes(symbol.0, symbol.1).expect("its code");
        let mut decoder = iced_x86::Decoder::with_ip(64, code, symbol.0.0, 0).into_iter();
        let call = decoder.find(|instruction| instruction.is_call_near() && instruction.near_branch_target() == point.0);
        (work, OldLink::new(call.expect("a call of `point`").next_ip()))
    }
}

const LEVELS: [&[&str]; 4] = [&["-g", "-O0"], &["-g", "-O1"], &["-g", "-O2"], &["-g", "-O3"]];

/// The continuation at every level.
fn goes_on(old: &str, new: &str, check: impl Fn(&str, &Continuation)) {
    for flags in LEVELS {
        match Pair::new(old, new, flags).at_point() {
            Ok(continuation) => check(flags[1], &continuation),
            Err(blockers) => panic!("{flags:?}: {}", blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }
}

/// All levels refuse, or do not read what is in doubt, and some refuse with each of these words.
fn is_refused(old: &str, new: &str, words: &[&str]) {
    let mut refused = 0;
    for flags in LEVELS {
        match Pair::new(old, new, flags).at_point() {
            Ok(continuation) => panic!("{flags:?}: {continuation:#?}"),
            Err(blockers) => {
                let text = blockers.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
                refused += usize::from(words.iter().all(|word| text.contains(word)));
            }
        }
    }
    assert!(refused > 0, "no level refuses for the reason that it should");
}

#[test]
fn a_loop_that_does_more_after_the_point_goes_on() {
    let old =
        "long work(long n, char **argv) { long sum = 0; for (long i = 0; i < n; i++) { point(); sum += get(i); } return sum; }";
    let new = "long work(long n, char **argv) { long sum = 0; for (long i = 0; i < n; i++) { point(); sum += get(i); put(sum + n); } return sum; }";
    goes_on(old, new, |level, continuation| {
        assert!(continuation.values.len() >= 3, "{level}: n, i and sum: {continuation:#?}");
        let is_kept = |placed: &Placed| matches!(placed.value, Value::Old(_) | Value::Computed(..) | Value::Frame(_));
        assert!(continuation.values.iter().all(is_kept), "{level}: {continuation:#?}");
    });
}

#[test]
fn what_the_new_code_makes_of_an_argument_before_the_point_is_not_the_argument() {
    let old = "long work(long n, char **argv) { point(); put(n); return n; }";
    let new = "long work(long n, char **argv) { if (n > 10) n = 10; point(); put(n); return n + 1; }";
    // It is refused, or clamped again.
    for flags in LEVELS {
        if let Ok(continuation) = Pair::new(old, new, flags).at_point() {
            assert!(format!("{continuation:?}").contains("Choose"), "{flags:?}: {continuation:#?}");
        }
    }
}

#[test]
fn a_flag_of_the_first_round_is_a_question() {
    let old = "long work(long n, char **argv) { for (;;) { point(); if (get(n)) return n; } }";
    let new = "long work(long n, char **argv) { int first = 1; for (;;) { if (first) { put(1); first = 0; } point(); if (get(n)) return n; } }";
    // The value is a choice of constants, which the old code gave nothing.
    let refused = LEVELS.iter().filter(|flags| Pair::new(old, new, flags).at_point().is_err()).count();
    assert!(refused > 0);
}

#[test]
fn a_new_variable_takes_a_constant_that_holds_on_all_ways() {
    let old = "long work(long n, char **argv) { for (;;) { point(); if (get(n)) return n; } }";
    let new = "long work(long n, char **argv) { volatile long unused; long step = 3; for (;;) { point(); if (get(n)) return n + step; put(step); } }";
    goes_on(old, new, |_, _| {});
}

#[test]
fn an_address_taken_variable_is_carried_as_a_whole() {
    let old = "long work(long n, char **argv) { struct { long a, b; } s; fill(&s); point(); put(s.a); fill(&s); return s.b; }";
    let new =
        "long work(long n, char **argv) { struct { long a, b; } s; fill(&s); point(); put(s.b); fill(&s); return s.b + s.a; }";
    goes_on(old, new, |level, continuation| {
        let object = continuation.objects.iter().find(|object| object.name == "s");
        assert!(object.is_some_and(|object| object.old_length == 16), "{level}: {continuation:#?}");
    });
}

#[test]
fn a_store_before_the_point_that_never_ran_is_told() {
    let old = "long work(long n, char **argv) { long s[2] = {1, 2}; fill(s); point(); fill(s); return s[0]; }";
    let new = "long work(long n, char **argv) { long s[2] = {1, 3}; fill(s); point(); fill(s); return s[0] + s[1]; }";
    is_refused(old, new, &["variable `s`"]);
}

/// Two builds of a loop that goes on in the new code.
fn counting() -> Pair {
    let old = "long work(long n, char **argv) { long sum = 0; while (get(sum) < n) { point(); sum++; } return sum; }";
    let new = "long work(long n, char **argv) { long sum = 0; while (get(sum) < n) { point(); sum++; put(sum); } return sum; }";
    Pair::new(old, new, &["-g", "-O1"])
}

#[test]
fn what_is_asked_while_frames_are_deferred_is_followed_afterwards() {
    let pair = counting();
    let comparison = Comparison::new(&pair.old, &pair.new);
    let (work, returns) = pair.point(&comparison);
    let explainer = Explainer { view: comparison.view(&pair.old, &pair.new), comparison: &comparison };
    comparison.prepared.defer(true);
    assert!(explainer.of(work, returns.0).is_err_and(|blockers| blockers.is_empty()), "it is followed although it was deferred");
    assert!(explainer.follow_deferred());
    let found = explainer.of(work, returns.0).expect("it goes on");
    assert_eq!(*found, explainer.continuation(work, returns).expect("it goes on"));
    assert!(!explainer.follow_deferred(), "it was followed already");
    comparison.prepared.defer(false);
    assert!(!explainer.follow_deferred());
}

#[test]
fn of_words_on_a_stack_those_are_foreseen_that_calls_of_changed_functions_return_to() {
    let pair = counting();
    let comparison = Comparison::new(&pair.old, &pair.new);
    let (work, returns) = pair.point(&comparison);
    let explainer = Explainer { view: comparison.view(&pair.old, &pair.new), comparison: &comparison };
    comparison.prepared.defer(true);
    let entry = comparison.sides.old.functions.list()[work].entry;
    let others = [LinkAddress(0), LinkAddress(u64::MAX), entry, LinkAddress(returns.0.0 - 1), LinkAddress(returns.0.0 + 1)];
    explainer.foresee(others);
    assert!(explainer.of(work, returns.0).is_err(), "something else was taken for it");
    explainer.foresee(others.into_iter().chain([returns.0, returns.0]));
    assert!(explainer.of(work, returns.0).is_ok());
}
