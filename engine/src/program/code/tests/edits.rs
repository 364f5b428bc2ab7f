//! Small edits of one source: each is seen in the function where it was made, and nowhere else.

use super::*;

pub(super) const SOURCE: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define NOINLINE __attribute__((noinline))

struct entry { const char *name; int (*run)(int); };
int counter = 7;
static int history[8];
static int total;
const int primes[] = {2, 3, 5, 7, 11};
extern const struct entry table[];

NOINLINE static int twice(int n) { total += n; return n * 2; }
NOINLINE static int thrice(int n) { history[n & 7]++; return n * 3; }
const struct entry table[] = {{"twice", twice}, {"thrice", thrice}};

NOINLINE double scale(double x) { return x * 1.25 + 0.5; }

NOINLINE int pick(int n) {
    switch (n) {
        case 0: return puts("zero");
        case 1: return counter += 3;
        case 2: return total ^ 77;
        case 3: return twice(n) + 1;
        case 4: puts("four"); return thrice(9);
        case 5: return (int)strlen(getenv("HOME"));
        case 6: return history[3];
        default: return -1;
    }
}

NOINLINE int name_of(int n) {
    switch (n) { case 10: return 41; case 11: return 7; case 12: return 99; case 13: return 3; case 14: return 56; default: return 0; }
}

NOINLINE void greet(const char *who) {
    static int greeted;
    greeted++;
    printf("hello %s, you are number %d\n", who, greeted);
    if (counter > 100) { fprintf(stderr, "too many\n"); exit(3); }
}

NOINLINE int sum(void) {
    int s = 0;
    for (const int *p = primes; p < primes + 5; p++) s += *p;
    for (int i = 0; i < 2; i++) s += table[i].run(i);
    return s;
}

int main(int argc, char **argv) {
    greet(argv[0]);
    return pick(argc) + name_of(argc) + sum() + (int)scale(argc);
}
"#;

const LEVELS: [&str; 2] = ["-O0", "-O2"];

fn check(from: &str, to: &str, expected: &[(&str, Found)]) {
    for level in LEVELS {
        Pair::compile(SOURCE, &edit(SOURCE, from, to), &[level]).expect(expected);
    }
}

#[test]
fn the_same_source_is_the_same_code() {
    for level in LEVELS {
        for more in ["-fcf-protection=full", "-fcf-protection=none", "-ffunction-sections", "-fno-plt"] {
            Pair::compile(SOURCE, SOURCE, &[level, more]).expect(&[]);
        }
    }
}

#[test]
fn moved_variables_and_functions_are_no_change() {
    let added = "static int more[100]; int other = 5; int unused(void) { more[3]++; return other + more[4]; }\nint counter = 7;";
    check("int counter = 7;", added, &[]);
    let string = "const char *unrelated = \"a string that comes first\"; const double d = 3.25;\nint counter = 7;";
    check("int counter = 7;", string, &[]);
}

#[test]
fn literals_may_differ_in_content() {
    check("hello %s, you are", "good day %s, you are", &[("greet", Found::Literals)]);
    check("\"four\"", "\"the fourth\"", &[("pick", Found::Literals)]);
}

#[test]
fn immediates_are_code() {
    check("^ 77", "^ 78", &[("pick", Found::Different(Reason::Instruction))]);
    check("counter > 100", "counter > 101", &[("greet", Found::Different(Reason::Instruction))]);
}

#[test]
fn constants_are_code() {
    check("1.25", "1.75", &[("scale", Found::Different(Reason::Constant))]);
}

#[test]
fn switch_tables_are_code() {
    for level in LEVELS {
        let swapped = edit(&edit(SOURCE, "case 1: return counter", "case 9: return counter"), "case 6:", "case 1:");
        let swapped = edit(&swapped, "case 9:", "case 6:");
        let fates = Pair::compile(SOURCE, &swapped, &[level]).fates();
        assert!(matches!(fates["pick"], Found::Different(_)), "{fates:?}");
        let more = edit(SOURCE, "default: return -1;", "case 7: return 5; default: return -1;");
        let fates = Pair::compile(SOURCE, &more, &[level]).fates();
        assert!(matches!(fates["pick"], Found::Different(_)), "{fates:?}");
    }
    // At -O2 this switch becomes a table of results.
    let fates = Pair::compile(SOURCE, &edit(SOURCE, "return 56", "return 57"), &["-O2"]).fates();
    assert_eq!(fates["name_of"], Found::Different(Reason::Constant));
    assert_eq!(fates["main"], Found::Same);
}

#[test]
fn other_variables_and_callees_are_code() {
    check("return history[3];", "return history[4];", &[("pick", Found::Different(Reason::Variable))]);
    check("return total ^ 77", "return counter ^ 77", &[("pick", Found::Different(Reason::Variable))]);
    check("twice(n) + 1", "thrice(n) + 1", &[("pick", Found::Different(Reason::Callee))]);
    check("puts(\"four\")", "perror(\"four\")", &[("pick", Found::Different(Reason::Import))]);
}

#[test]
fn images_of_local_arrays_are_constants() {
    let source = r#"
        #include <stdio.h>
        __attribute__((noinline)) int show(const char **lines) { int n = 0; while (lines[n]) puts(lines[n++]); return n; }
        __attribute__((noinline)) int help(int n) {
            const char *lines[] = {"usage: program", "-v  say more", "-q  say less", "-x  do it", "-y  do not", "one", "two", "three",
                "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", NULL};
            return show(lines) + n;
        }
        int main(int c, char **v) { return help(c) + !v; }"#;
    for level in LEVELS {
        Pair::compile(source, source, &[level]).expect(&[]);
        Pair::compile(source, &edit(source, "-v  say more", "-v  say much more"), &[level]).expect(&[("help", Found::Literals)]);
        let fates =
            Pair::compile(source, &edit(source, "\"-q  say less\", \"-x  do it\"", "NULL, \"-x  do it\""), &[level]).fates();
        assert!(matches!(fates["help"], Found::Different(_)), "{level}: {fates:?}");
    }
}

#[test]
fn content_of_named_constants_is_data() {
    check("7, 11}", "7, 13}", &[]);
}

#[test]
fn comes_and_goes() {
    let renamed = SOURCE.replace("name_of", "number_of");
    for level in LEVELS {
        let pair = Pair::compile(SOURCE, &renamed, &[level]);
        pair.expect(&[("name_of", Found::Removed), ("main", Found::Different(Reason::Callee))]);
        let added: Vec<String> = pair.with(|_, new, diff| {
            diff.added().iter().filter_map(|id| new.inventory().get(*id)).map(Function::full_name).collect()
        });
        assert_eq!(added, ["number_of"]);
    }
}

#[test]
fn differences_say_where() {
    let pair = Pair::compile(SOURCE, &edit(SOURCE, "^ 77", "^ 78"), &["-O2"]);
    pair.with(|old, new, diff| {
        let (id, pick) = old.inventory().iter().find(|(_, function)| function.name == "pick").expect("a function");
        let Some(Fate::Paired { comparison: Comparison::Different(difference), .. }) = diff.fate(id) else {
            panic!("not different")
        };
        let inside = old.inventory().at(difference.old).expect("an address in it");
        assert_eq!(inside.function, id);
        let there = new.inventory().at(difference.new).expect("an address in it");
        assert_eq!((inside.part, inside.offset), (there.part, there.offset));
        let skip = (difference.old.0 - pick.entry().0) as usize;
        let bytes = pair.old.elf.file_bytes(pick.entry(), pick.parts[0].size).expect("code");
        let mut decoder = iced_x86::Decoder::new(64, &bytes[skip..], 0);
        let instruction = decoder.decode();
        assert!((0..instruction.op_count()).any(|index| instruction.try_immediate(index).is_ok_and(|value| value == 77)));
    });
}

#[test]
fn a_user_pairs_what_names_cannot() {
    let renamed = SOURCE.replace("name_of", "number_of");
    let pair = Pair::compile(SOURCE, &renamed, &["-O2"]);
    let old = CodeImage::new(&pair.old.elf, &pair.old.debug);
    let new = CodeImage::new(&pair.new.elf, &pair.new.debug);
    let entry = |image: &CodeImage<'_>, name: &str| {
        image
            .inventory()
            .iter()
            .find(|(_, function)| function.name == name)
            .map(|(_, function)| function.entry())
            .expect("a function")
    };
    let given = [(entry(&old, "name_of"), Some(entry(&new, "number_of")))];
    let diff = FunctionDiff::with_pairs(&old, &new, &ByName::new(&pair.old.elf, &pair.new.elf), &given);
    assert!(diff.iter().all(|(_, fate)| fate.is_same()), "{diff:?}");
    assert!(diff.added().is_empty());
}
