//! How functions are named, split and linked: statics of several files, clones, cold parts, the ways to reach a library.

use super::*;

const A: &str = "int used; __attribute__((noinline)) static int helper(int n) { return n + 1; }
    int from_a(int n) { used++; return helper(n) * 3; }";
const B: &str = "extern int used; __attribute__((noinline)) static int helper(int n) { return n - 1; }
    int from_b(int n) { return helper(n) * 5 + used; }";
const MAIN: &str = "int from_a(int); int from_b(int); int main(int c, char **v) { return from_a(c) + from_b(c) + !v; }";

#[test]
fn statics_pair_within_their_file() {
    let old = [("main", MAIN), ("a", A), ("b", B)];
    let new = [("main", MAIN), ("b", B), ("a", A)];
    for level in ["-O0", "-O2"] {
        Pair::files(&old, &new, &[level]).expect(&[]);
    }
}

#[test]
fn statics_follow_a_renamed_file() {
    let old = [("main", MAIN), ("a", A), ("b", B)];
    let new = [("main", MAIN), ("z", A), ("b", B)];
    Pair::files(&old, &new, &["-O2"]).expect(&[]);
}

#[test]
fn functions_that_are_folded_or_split_again() {
    let apart = "__attribute__((noinline)) int one(int n) { return n * 3 + 1; } __attribute__((noinline)) int two(int n) { return n * 5 - 2; }
        int main(int c, char **v) { return one(c) + two(c) + !v; }";
    let folded = "__attribute__((noinline)) int one(int n) { return n * 3 + 1; } int two(int n) __attribute__((alias(\"one\")));
        int main(int c, char **v) { return one(c) + two(c) + !v; }";
    let fates = Pair::compile(apart, folded, &["-O1"]).fates();
    assert_eq!(fates["one"], Found::Same, "{fates:?}");
    assert_eq!(fates["two"], Found::Different(Reason::Instruction), "{fates:?}");
    let fates = Pair::compile(folded, apart, &["-O1"]).fates();
    assert_eq!(fates["one"], Found::Ambiguous, "an address of it may mean either: {fates:?}");
}

#[test]
fn two_renamed_files_are_told_apart_by_content_or_not_at_all() {
    let old = [("main", MAIN), ("a", A), ("b", B)];
    let new = [("main", MAIN), ("y", A), ("z", B)];
    Pair::files(&old, &new, &["-O2"]).expect(&[]);
    let changed = edit(A, "n + 1", "n + 2");
    let new = [("main", MAIN), ("y", changed.as_str()), ("z", B)];
    let pair = Pair::files(&old, &new, &["-O2"]);
    pair.with(|old, _, diff| {
        let helpers = old.inventory().iter().filter(|(_, function)| function.name == "helper");
        let fates: Vec<_> = helpers.map(|(id, _)| diff.fate(id).expect("a fate")).collect();
        assert_eq!(fates.iter().filter(|fate| fate.is_same()).count(), 1, "{fates:?}");
        assert_eq!(fates.iter().filter(|fate| matches!(fate, Fate::Ambiguous(_))).count(), 1, "{fates:?}");
    });
}

const CLONED: &str = "
    #include <stdio.h>
    #include <stdlib.h>
    __attribute__((cold, noinline, noclone)) static int fail(const char *why, int n) { fprintf(stderr, \"%s %d\\n\", why, n); return n; }
    static int __attribute__((noinline)) power(int base, int exponent) {
        int result = 1;
        for (int i = 0; i < exponent; i++) { result *= base; if (result > 1000000) { result = fail(\"big\", result); exit(fail(\"end\", i)); } }
        return result;
    }
    __attribute__((noinline)) int squares(int n) { return power(n, 2) + 1; }
    __attribute__((noinline)) int more(int n) { return power(n + 1, 2) - 1; }
    int main(int c, char **v) { return squares(c) + more(c) + !v; }";

#[test]
fn clones_and_cold_parts_are_followed() {
    let flags = ["-O2", "-fipa-cp-clone", "-freorder-blocks-and-partition"];
    let pair = Pair::compile(CLONED, CLONED, &flags);
    pair.expect(&[]);
    let clone = pair.with(|old, _, _| old.inventory().iter().any(|(_, function)| !function.clone.is_original()));
    assert!(clone, "the compiler makes a clone of a function with a constant argument");
    let cold = pair.with(|old, _, _| old.inventory().iter().any(|(_, function)| function.parts.len() > 1));
    assert!(cold, "the compiler splits off what leads to abort()");
    Pair::compile(CLONED, &edit(CLONED, "\"big\"", "\"too big\""), &flags).expect(&[("power.constprop", Found::Literals)]);
    let edited = edit(CLONED, "result > 1000000", "result > 1000001");
    Pair::compile(CLONED, &edited, &flags).expect(&[("power.constprop", Found::Different(Reason::Instruction))]);
    // Numbers of clones say nothing: another clone that comes first changes them.
    let pushed = edit(
        CLONED,
        "static int __attribute__((noinline)) power",
        "static int __attribute__((noinline)) add(int a, int b) { int r = a; for (int i = 0; i < b; i++) r ^= i * a; return r; }\nint sums(int n) { return add(n, 9); }\nstatic int __attribute__((noinline)) power",
    );
    Pair::compile(CLONED, &pushed, &flags).expect(&[]);
}

#[test]
fn ways_to_reach_a_library_are_compared_by_symbol() {
    let source = |first: &str, second: &str| {
        format!(
            "#include <stdio.h>
            #include <stdlib.h>
            #include <string.h>
            typedef size_t (*length)(const char *);
            __attribute__((noinline)) length pointer(void) {{ return {first}; }}
            __attribute__((noinline)) int call(const char *s) {{ return {second}(s) + 1; }}
            __attribute__((noinline)) int tail(const char *s) {{ return {second}(s); }}
            __attribute__((noinline)) FILE *stream(void) {{ return stdout; }}
            int main(int c, char **v) {{ return pointer()(v[0]) + call(v[0]) + tail(v[0]) + (stream() == 0) + c; }}"
        )
    };
    let old = source("strlen", "system");
    for flags in [&["-O2"][..], &["-O2", "-fno-plt"], &["-O2", "-Wl,-z,lazy"], &["-O2", "-no-pie", "-fno-pie"], &["-O0"]] {
        Pair::compile(&old, &old, flags).expect(&[]);
        let unused = edit(
            &old,
            "typedef",
            "extern char **environ; int extra(void) { puts(*environ); return rand() + getchar(); }\ntypedef",
        );
        Pair::compile(&old, &unused, flags).expect(&[]);
        let fates = Pair::compile(&old, &source("(length)atol", "puts"), flags).fates();
        for name in ["pointer", "call", "tail"] {
            assert_eq!(fates[name], Found::Different(Reason::Import), "{name} with {flags:?}: {fates:?}");
        }
        let stderr = Pair::compile(&old, &old.replace("stdout", "stderr"), flags).fates();
        assert_eq!(stderr["stream"], Found::Different(Reason::Import), "{flags:?}");
    }
}

#[test]
fn a_call_through_the_offset_table_equals_the_direct_one() {
    let body = "extern int callee(int); extern int value;
        __attribute__((noinline)) int call(int n) { return callee(n) + 1; }
        __attribute__((noinline)) int tail(int n) { return callee(n); }
        __attribute__((noinline)) int *address(void) { return &value; }
        int main(int c, char **v) { return call(c) + tail(c) + *address() + !v; }";
    let other = "int value = 3; int callee(int n) { return n ^ 3; }";
    let files = [("main", body), ("other", other)];
    let relaxed = Compiled::files(&files, &["-g", "-O2", "-fPIC", "-fno-plt"]);
    let through = Compiled::files(&files, &["-g", "-O2", "-fPIC", "-fno-plt", "-Wl,--no-relax"]);
    let pair = Pair { old: through.build(), new: relaxed.build() };
    pair.expect(&[]);
    let back = Pair { old: pair.new, new: pair.old };
    back.expect(&[]);
}

#[test]
fn assembly_and_stripped_debug_information_still_compare() {
    let source = "__asm__(\".globl raw\\n.type raw,@function\\nraw: lea value(%rip), %rax\\n mov (%rax), %eax\\n ret\\n.size raw, .-raw\");
        int value = 4; int raw(void); int main(void) { return raw(); }";
    let old = Compiled::new("program", source, &["-O2", "-g"]);
    let moved = edit(source, "int value = 4;", "int before[9] = {1}; int value = 4; int use(int n) { return before[n]; }");
    let new = Compiled::new("program", &moved, &["-O2", "-g"]);
    Pair { old: old.build(), new: new.build() }.expect(&[]);
    let none = crate::program::dwarf::DebugInfo::default();
    let (old, new) = (old.elf(), new.elf());
    let (from, to) = (CodeImage::new(&old, &none), CodeImage::new(&new, &none));
    let diff = FunctionDiff::new(&from, &to, &ByName::new(&old, &new));
    assert!(diff.iter().all(|(_, fate)| fate.is_same()), "{diff:?}");
}

#[test]
fn code_of_installed_programs_is_read_and_equals_itself() {
    for path in ["/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/perl", "/usr/bin/git"] {
        let Some(elf) = crate::program::testing::installed(path) else { continue };
        let none = crate::program::dwarf::DebugInfo::default();
        let (old, new) = (CodeImage::new(&elf, &none), CodeImage::new(&elf, &none));
        let diff = FunctionDiff::new(&old, &new, &ByName::new(&elf, &elf));
        assert!(diff.iter().all(|(_, fate)| !matches!(fate, Fate::Removed)), "{path}");
    }
}

#[test]
fn code_of_clang_compares_too() {
    if !std::process::Command::new("clang").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return;
    }
    for level in ["-O0", "-O2"] {
        let build = |source: &str| Compiled::with("clang", &[("program", source)], &["-g", level]).build();
        let moved = edit(
            super::edits::SOURCE,
            "int counter = 7;",
            "static int more[100]; int unused(void) { return more[3]++; }\nint counter = 7;",
        );
        Pair { old: build(super::edits::SOURCE), new: build(&moved) }.expect(&[]);
        let edited = edit(super::edits::SOURCE, "1.25", "1.75");
        Pair { old: build(super::edits::SOURCE), new: build(&edited) }.expect(&[("scale", Found::Different(Reason::Constant))]);
        let table = edit(super::edits::SOURCE, "return 56", "return 57");
        let fates = Pair { old: build(super::edits::SOURCE), new: build(&table) }.fates();
        assert!(matches!(fates["name_of"], Found::Different(_)), "{level}: {fates:?}");
        let fates = Pair {
            old: build(super::edits::SOURCE),
            new: build(&edit(super::edits::SOURCE, "default: return -1;", "case 7: return 5; default: return -1;")),
        }
        .fates();
        assert!(matches!(fates["pick"], Found::Different(_)), "{level}: {fates:?}");
    }
}

#[test]
fn what_an_exception_meets_is_code() {
    let source = r#"
        struct A { int a; }; struct B { int b; };
        struct Guard { int *p; ~Guard() { ++*p; } };
        int count;
        __attribute__((noinline)) int thrower(int n) { if (n > 5) throw A{n}; if (n > 3) throw B{n}; return n; }
        __attribute__((noinline)) int catcher(int n) {
            Guard guard{&count};
            try { return thrower(n); } catch (A &) { return 7; }
        }
        __attribute__((noinline)) int all(int n) { try { return thrower(n); } catch (...) { return 9; } }
        int main(int c, char **v) { return catcher(c) + all(c) + !v; }"#;
    for flags in [&["-g", "-O2"][..], &["-g", "-O0"], &["-g", "-O2", "-fno-pie", "-no-pie"]] {
        let build = |source: &str| Compiled::with("g++", &[("program", source)], flags).build();
        let moved = edit(source, "int count;", "const char *more[] = {\"a\", \"b\"}; int count;");
        Pair { old: build(source), new: build(&moved) }.expect(&[]);
        let caught = edit(source, "catch (A &)", "catch (B &)");
        let name = "_Z7catcheri";
        let pair = Pair { old: build(source), new: build(&caught) };
        let fates = pair.fates();
        assert_eq!(fates[name], Found::Different(Reason::Handlers), "{flags:?}: {fates:?}");
        assert_eq!(fates["_Z3alli"], Found::Same);
    }
}
