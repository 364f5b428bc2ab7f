//! Thread-local variables, boundary addresses, unnamed constants, fixed-address programs: what depends on where things lie.

use super::*;

const THREADS: &str = r#"
#include <errno.h>
#define NOINLINE __attribute__((noinline))
extern __thread int shared;
static __thread int mine;
static __thread long row[4];
NOINLINE int bump(int n) { mine += n; return mine; }
NOINLINE int *where(void) { return &mine; }
NOINLINE long cell(int n) { return row[n]; }
NOINLINE int other(void) { return shared + errno; }
int main(int c, char **v) { return bump(c) + *where() + (int)cell(c) + other() + !v; }
"#;

const SHARED: &str = "__thread int shared = 4;";

fn compare(old: &str, new: &str, flags: &[&str]) -> Pair {
    Pair::files(&[("program", old), ("shared", SHARED)], &[("program", new), ("shared", SHARED)], flags)
}

#[test]
fn thread_locals_count_by_variable() {
    let moved = edit(THREADS, "static __thread int mine;", "static __thread int first[3]; static __thread int mine;");
    let moved = edit(&moved, "{ mine += n;", "{ mine += n + 0 * first[1];")
        .replace("int main(int c, char **v) {", "int use(int n) { return first[n]++; }\nint main(int c, char **v) {");
    for flags in [&["-O0"][..], &["-O2"], &["-O2", "-fPIC"]] {
        let pair = compare(THREADS, &moved, flags);
        let fates = pair.fates();
        for name in ["where", "bump", "cell", "other"] {
            assert_eq!(fates[name], Found::Same, "{name} with {flags:?}: {fates:?}");
        }
        // Two variables that changed places: the same bytes name another one.
        let swapped = THREADS
            .replace("mine", "m_ine")
            .replace("shared + errno", "m_ine + errno")
            .replace("int *where(void) { return &m_ine; }", "int *where(void) { return &shared; }");
        let fates = compare(THREADS, &swapped, flags).fates();
        assert!(matches!(fates["where"], Found::Different(_)), "{flags:?}: {fates:?}");
        assert!(matches!(fates["other"], Found::Different(_)), "{flags:?}: {fates:?}");
    }
}

#[test]
fn equal_bytes_that_name_another_thread_local_differ() {
    let source = |names: &str| {
        format!(
            "static __thread int a = 1; static __thread int b = 2;
            __attribute__((noinline)) int *get(void) {{ return &{names}; }}
            __attribute__((noinline)) int value(void) {{ return {names}; }}
            int main(void) {{ return *get() + value() + a + b; }}"
        )
    };
    // Old `a` and new `b` are at the same offset.
    let new = source("b").replace(
        "static __thread int a = 1; static __thread int b = 2;",
        "static __thread int b = 2; static __thread int a = 1;",
    );
    for level in ["-O0", "-O2"] {
        let pair = Pair::compile(&source("a"), &new, &[level]);
        let fates = pair.fates();
        for name in ["get", "value"] {
            assert!(matches!(fates[name], Found::Different(Reason::ThreadLocal | Reason::ThreadPointer)), "{level}: {fates:?}");
        }
        Pair::compile(&source("a"), &source("a"), &[level]).expect(&[]);
    }
}

/// Variables in this order in memory, each of 32 bytes, none between.
fn in_order(names: &[&str]) -> String {
    let list: String = names
        .iter()
        .map(|name| format!(".globl {name}\\n.type {name},@object\\n.size {name},32\\n{name}: .fill 4,8,1\\n"))
        .collect();
    let declared: String =
        names.iter().map(|name| format!("extern long {name}[4] __attribute__((visibility(\"hidden\")));\n")).collect();
    format!("__asm__(\".data\\n.balign 32\\n{list}.text\\n\");\n{declared}")
}

#[test]
fn an_end_pointer_is_not_the_next_variable() {
    let source = |order: &[&str]| {
        format!(
            "{}
            __attribute__((noinline)) long *end(void) {{ return row + 4; }}
            __attribute__((noinline)) long *start(void) {{ return last; }}
            __attribute__((noinline)) long sum(void) {{ long s = 0; for (long *p = row; p != row + 4; p++) s += *p ^ s; return s; }}
            __attribute__((noinline)) long both(long **p) {{ p[0] = row; p[1] = last; return 0; }}
            int main(void) {{ long *p[2]; return (int)(*start() + *end() + next[0] + other[0] + sum() + both(p)); }}",
            in_order(order)
        )
    };
    let old = source(&["row", "next", "other", "last"]);
    let moved = source(&["next", "row", "other", "last"]);
    let behind = source(&["next", "other", "row", "last"]);
    for level in ["-O0", "-O2"] {
        Pair::compile(&old, &old, &[level]).expect(&[]);
        let fates = Pair::compile(&old, &moved, &[level]).fates();
        // `end` is `next` in one and `other` in the other, and does not use what it is the end of.
        assert_eq!(fates["end"], Found::Different(Reason::Variable), "{fates:?}");
        // An end beside its object is one.
        assert_eq!((&fates["sum"], &fates["start"], &fates["both"]), (&Found::Same, &Found::Same, &Found::Same), "{fates:?}");
        let fates = Pair::compile(&old, &behind, &[level]).fates();
        // Now `last` is the end of `row` too, which the function uses; it was not before, so it means `last` or is equal to it.
        assert_eq!(fates["both"], Found::Same, "{fates:?}");
        assert_eq!(fates["start"], Found::Same, "{fates:?}");
    }
}

#[test]
fn a_folded_index_lies_before_its_array() {
    let source = r#"
        extern void print(const char *);
        static const char *const words[] __attribute__((aligned(64))) = {"one", "two", "three", "four", "five"};
        __attribute__((noinline)) void list(int n) { for (int i = 1; i <= n; i++) print(words[i - 1]); }
        __attribute__((noinline)) void print(const char *s) { __asm__ volatile("" :: "r"(s)); }
        int main(int c, char **v) { list(c); return !v; }"#;
    let moved = edit(
        source,
        "static const char",
        "static const char *const more[] = {\"a\", \"b\", \"c\"}; const char *get(int n) { return more[n]; }\nstatic const char",
    );
    for level in ["-O0", "-O2"] {
        Pair::compile(source, &moved, &[level]).expect(&[]);
    }
}

#[test]
fn small_arrays_are_not_taken_for_strings() {
    let source = |value: u32| {
        format!(
            "#include <string.h>
            struct big {{ int words[40]; }};
            __attribute__((noinline)) int use(const struct big *b) {{ int s = 0; for (int i = 0; i < 40; i++) s += b->words[i]; return s; }}
            __attribute__((noinline)) int fill(void) {{ struct big b = {{{{{value}, 105, 106, 107}}}}; b.words[30] = 1; return use(&b); }}
            __attribute__((noinline)) int floats(double *d) {{ double k[16] = {{{value}.5, 1, 2, 3, 4, 5, 6, 7, 8}}; memcpy(d, k, sizeof k); return 0; }}
            int main(void) {{ double d[16]; return fill() + floats(d) + (int)d[3]; }}"
        )
    };
    for level in ["-O0", "-O2"] {
        let fates = Pair::compile(&source(104), &source(110), &[level]).fates();
        assert!(matches!(fates["fill"], Found::Different(_)), "{level}: {fates:?}");
        assert!(matches!(fates["floats"], Found::Different(_)), "{level}: {fates:?}");
        Pair::compile(&source(104), &source(104), &[level]).expect(&[]);
    }
}

#[test]
fn fixed_addresses_count_by_what_they_name() {
    let source = r#"
        #include <stdio.h>
        int zero, a = 1, b = 2;
        int list[10];
        int jump(int n);
        int (*chosen)(int);
        __attribute__((noinline)) int *address(void) { return &a; }
        __attribute__((noinline)) int get(int n) { return list[n] + b; }
        __attribute__((noinline)) void choose(void) { chosen = get; }
        __attribute__((noinline)) int number(int n) { return n & 0x401000 ? 0x400000 : 0x400100; }
        __attribute__((noinline)) int jump(int n) {
            switch (n) { case 1: return puts("one"); case 2: return a; case 3: return get(5); case 4: return b * 3; case 5: puts("five"); return 9; }
            return 0;
        }
        int main(int c, char **v) { choose(); return *address() + get(c) + jump(c) + zero + !v + number(c) + chosen(c); }"#;
    let flags = ["-fno-pie", "-no-pie"];
    for level in ["-O0", "-O2"] {
        let flags = [flags[0], flags[1], level];
        Pair::compile(source, source, &flags).expect(&[]);
        let moved = edit(source, "int zero,", "int more[50] = {1}; int zero,");
        let moved = edit(&moved, "int main(", "int extra(int n) { return more[n]; }\nint main(");
        Pair::compile(source, &moved, &flags).expect(&[]);
        let other = edit(source, "return &a;", "return &b;");
        let fates = Pair::compile(source, &other, &flags).fates();
        assert!(matches!(fates["address"], Found::Different(_)), "{fates:?}");
        let table = edit(&edit(source, "case 2: return a;", "case 6: return a;"), "case 4:", "case 2:");
        let fates = Pair::compile(source, &table, &flags).fates();
        assert!(matches!(fates["jump"], Found::Different(_)), "{fates:?}");
        let fates = Pair::compile(source, &edit(source, "chosen = get;", "chosen = jump;"), &flags).fates();
        assert!(matches!(fates["choose"], Found::Different(_)), "{fates:?}");
        for (from, to) in [("0x401000", "0x401040"), ("0x400000", "0x400080")] {
            let fates = Pair::compile(source, &edit(source, from, to), &flags).fates();
            assert!(matches!(fates["number"], Found::Different(_)), "{from}: {fates:?}");
        }
    }
}
