//! Facts about what compilers of several versions say of small programs.

use gimli::constants as dw;
use object::elf;

use super::{Function, Storage, Variable};
use crate::program::build::Build;
use crate::program::error::ProgramError;
use crate::program::testing::Compiled;
use crate::program::types::{Member, Shape, Type, TypeId};

const SOURCE: &str = r#"
#include <stdint.h>
struct opaque;
struct list { struct list *next; struct opaque *data; };
enum level { LOW = -2, MIDDLE, HIGH = 100 };
enum wide { WIDE = 0x8000000000000000ULL };
union word { uint32_t whole; uint16_t half[2]; };
typedef int (*handler)(const char *name, struct list *item, ...);
struct conn {
    int fd;
    unsigned ready : 1, level : 3;
    int signed_bits : 5;
    uint64_t wide_bits : 40;
    union { long number; char *text; };
    struct { short x, y; } at;
    handler run;
    int grid[2][3];
    volatile const char *const name;
    _Atomic int uses;
    enum level how;
    union word word;
    char rest[];
};
struct list head;
extern int declared_first[];
int declared_first[5] = {1};
extern int never_defined;
static const int folded = 3;
__thread long per_thread = 4;
static __thread int second_per_thread;
static struct conn *current;
enum wide w;
static int twice(int x) { static int calls = 5; calls++; { static char inner; inner++; } return x + calls; }
int work(int x) { static int calls; calls += x; return twice(calls) + folded + never(&never_defined, x); }
int never(int *p, int x) { return current ? current->fd : *p + x; }
__attribute__((noinline)) static int leaf(int a, long b) { return a * (int)b + second_per_thread; }
int main(int argc, char **argv) { second_per_thread = argc; per_thread += leaf(argc, 3); if (argc > 9) { current = (struct conn *)argv; head.next = (struct list *)argv; w = argc; declared_first[argc] = 3; } return work(argc) + twice(argc) + (int)per_thread + w + (head.next != 0) + declared_first[argc & 3]; }
int never_defined;
"#;

/// Compilers and flags that all have to say the same.
const FLAGS: &[(&str, &[&str])] = &[
    ("gcc", &["-O0", "-gdwarf-4"]),
    ("gcc", &["-O0", "-gdwarf-5"]),
    ("gcc", &["-O0", "-gdwarf-3", "-gstrict-dwarf"]),
    ("gcc", &["-O2", "-gdwarf-4", "-gstrict-dwarf"]),
    ("gcc", &["-O2", "-gdwarf-5"]),
    ("gcc", &["-O2", "-g", "-gz=zlib"]),
    ("gcc", &["-O2", "-g", "-flto"]),
    ("gcc", &["-O2", "-g", "-gdwarf-4", "-fdebug-types-section"]),
    ("gcc", &["-O2", "-g", "-gdwarf-5", "-fdebug-types-section", "-ffunction-sections", "-Wl,--gc-sections"]),
    ("gcc", &["-O0", "-gdwarf-5", "-gsplit-dwarf"]),
    ("gcc", &["-O2", "-gdwarf-4", "-gsplit-dwarf"]),
    ("gcc", &["-O2", "-gdwarf-5", "-gsplit-dwarf", "-gz=zlib"]),
    ("clang", &["-O0", "-gdwarf-4"]),
    ("clang", &["-O2", "-gdwarf-5", "-gsplit-dwarf"]),
    ("clang", &["-O2", "-gdwarf-4", "-gsplit-dwarf"]),
    ("clang", &["-O2", "-gdwarf-5"]),
];

fn every(check: impl Fn(&str, &Build)) {
    for (compiler, flags) in FLAGS {
        let mut all = vec!["-Wno-implicit-function-declaration"];
        all.extend_from_slice(flags);
        if std::process::Command::new(compiler).arg("--version").output().is_err() {
            continue;
        }
        let compiled = Compiled::with(compiler, &[("sample", SOURCE)], &all);
        check(&format!("{compiler} {flags:?}"), &compiled.build());
    }
}

fn function<'b>(build: &'b Build, name: &str) -> &'b Function {
    build.debug.functions.iter().find(|function| function.name == name).expect(name)
}

fn variables<'b>(build: &'b Build, name: &str) -> Vec<&'b Variable> {
    build.debug.variables.iter().filter(|variable| variable.name == name).collect()
}

fn symbol(build: &Build, name: &str) -> Storage {
    Storage::Static(build.elf.symbols_named(name).next().expect(name).address)
}

fn definition<'b>(build: &'b Build, tag: gimli::DwTag, name: &str) -> &'b Type {
    build.debug.types.get(*build.debug.types.definitions(tag.0, name).first().expect(name))
}

fn peeled(build: &Build, kind: Option<TypeId>) -> Option<&Type> {
    build.debug.types.peel(kind).map(|id| build.debug.types.get(id))
}

#[test]
fn functions_have_ranges_names_and_types() {
    every(|how, build| {
        let main = function(build, "main");
        assert_eq!((main.unit.as_str(), main.external), ("sample.c", true), "{how}");
        assert_eq!(main.declared, ("sample.c".to_owned(), 37), "{how}");
        let address = build.elf.symbols_named("main").next().expect("main").address;
        assert_eq!(main.ranges.first().map(|range| range.0), Some(address), "{how}");
        let kind = build.debug.types.describe(main.kind);
        assert_eq!(kind, "int (int, char **)", "{how}");
        let leaf = function(build, "leaf");
        assert!(!leaf.external, "{how}");
        assert_eq!(build.debug.types.describe(leaf.kind), "int (int, long)".replace("long", long_name(build, leaf)), "{how}");
        for function in &build.debug.functions {
            assert!(!function.name.is_empty() && function.ranges.iter().all(|range| range.1 != 0), "{how}: {function:?}");
        }
    });
}

/// gcc says `long int`, clang `long`.
fn long_name<'b>(build: &'b Build, leaf: &Function) -> &'b str {
    let Some(Type { shape: Shape::Function { parameters, .. }, .. }) = peeled(build, leaf.kind) else {
        panic!("a function type")
    };
    &peeled(build, parameters[1]).expect("a base type").name
}

#[test]
fn variables_have_places() {
    every(|how, build| {
        for name in ["head", "declared_first", "current", "w"] {
            let found = variables(build, name);
            assert_eq!(found.len(), 1, "{how}: {found:?}");
            assert_eq!((found[0].storage, found[0].function.as_ref()), (symbol(build, name), None), "{how}: {name}");
        }
        assert_eq!(build.debug.types.size_of(variables(build, "declared_first")[0].kind), Some(20), "{how}");
        assert_eq!(variables(build, "never_defined").len(), 1, "{how}");
        assert!(!variables(build, "current")[0].external && variables(build, "head")[0].external, "{how}");
        let in_tls = |name: &str| build.elf.symbols_named(name).next().expect(name).address.0;
        for name in ["per_thread", "second_per_thread"] {
            let found = variables(build, name);
            assert_eq!(found.len(), 1, "{how}: {found:?}");
            assert_eq!(found[0].storage, Storage::ThreadLocal(in_tls(name)), "{how}: {name}");
        }
    });
}

#[test]
fn static_locals_belong_to_their_function_and_stand_once() {
    every(|how, build| {
        let calls = variables(build, "calls");
        let mut owners: Vec<_> = calls.iter().map(|variable| variable.function.as_deref()).collect();
        owners.sort_unstable();
        assert_eq!(owners, [Some("twice"), Some("work")], "{how}");
        for variable in &calls {
            let Storage::Static(address) = variable.storage else { panic!("{how}: {variable:?}") };
            let symbol = build.data_symbol_at(address).expect("symbol");
            assert!(symbol.name.contains("calls"), "{how}: {}", symbol.name);
        }
        let initial = calls.iter().find(|variable| variable.function.as_deref() == Some("twice")).expect("calls of twice");
        let Storage::Static(address) = initial.storage else { panic!("{how}") };
        assert_eq!(build.elf.initial_bytes(address, 4).expect("data").as_ref(), 5u32.to_le_bytes(), "{how}");
        let inner = variables(build, "inner");
        assert_eq!(inner.len(), 1, "{how}");
        assert_eq!(inner[0].function.as_deref(), Some("twice"), "{how}");
    });
}

fn member<'t>(entry: &'t Type, name: &str) -> &'t Member {
    entry.shape.members().expect("members").iter().find(|member| member.name == name).expect(name)
}

#[test]
fn structures_have_members_at_offsets() {
    every(|how, build| {
        let conn = definition(build, dw::DW_TAG_structure_type, "conn");
        assert_eq!((conn.size, conn.file.as_str(), conn.line), (Some(88), "sample.c", 9), "{how}");
        let offsets: Vec<_> =
            conn.shape.members().expect("members").iter().map(|m| (m.name.as_str(), m.offset, m.bits)).collect();
        let expected = [
            ("fd", 0, None),
            ("ready", 4, Some((32, 1))),
            ("level", 4, Some((33, 3))),
            ("signed_bits", 4, Some((36, 5))),
            ("wide_bits", 8, Some((64, 40))),
            ("", 16, None),
            ("at", 24, None),
            ("run", 32, None),
            ("grid", 40, None),
            ("name", 64, None),
            ("uses", 72, None),
            ("how", 76, None),
            ("word", 80, None),
            ("rest", 84, None),
        ];
        assert_eq!(offsets, expected, "{how}");
        let grid = peeled(build, member(conn, "grid").kind).expect("an array");
        assert!(matches!(&grid.shape, Shape::Array { counts, .. } if *counts == [Some(2), Some(3)]), "{how}: {grid:?}");
        assert_eq!(grid.size, Some(24), "{how}");
        let rest = peeled(build, member(conn, "rest").kind).expect("an array");
        assert!(matches!(&rest.shape, Shape::Array { counts, .. } if *counts == [None]), "{how}: {rest:?}");
        let name = member(conn, "name").kind;
        assert!(
            matches!(build.debug.types.describe(name).as_str(), "const volatile const char *" | "const const volatile char *"),
            "{how}"
        );
        assert_eq!(build.debug.types.size_of(member(conn, "uses").kind), Some(4), "{how}");
    });
}

#[test]
fn function_pointers_enums_and_incomplete_types() {
    every(|how, build| {
        let conn = definition(build, dw::DW_TAG_structure_type, "conn");
        let run = peeled(build, member(conn, "run").kind).expect("a pointer");
        let Shape::Pointer { target } = run.shape else { panic!("{how}: {run:?}") };
        let called = peeled(build, target).expect("a function");
        let Shape::Function { result, parameters, variadic } = &called.shape else { panic!("{how}: {called:?}") };
        assert_eq!((build.debug.types.describe(*result).as_str(), parameters.len(), *variadic), ("int", 2, true), "{how}");
        let level = definition(build, dw::DW_TAG_enumeration_type, "level");
        let values = [("LOW", -2), ("MIDDLE", -1), ("HIGH", 100)].map(|(name, value)| (name.to_owned(), value));
        assert_eq!(level.shape, Shape::Enum { enumerators: values.to_vec() }, "{how}");
        let wide = definition(build, dw::DW_TAG_enumeration_type, "wide");
        assert_eq!(wide.shape, Shape::Enum { enumerators: vec![("WIDE".to_owned(), 1 << 63)] }, "{how}");
        let list = definition(build, dw::DW_TAG_structure_type, "list");
        let data = peeled(build, member(list, "data").kind).expect("a pointer");
        let Shape::Pointer { target } = data.shape else { panic!("{how}") };
        let opaque = peeled(build, target).expect("a declaration");
        assert_eq!(opaque.shape, Shape::Incomplete { tag: dw::DW_TAG_structure_type.0 }, "{how}");
    });
}

#[test]
fn an_incomplete_type_resolves_to_its_only_structure() {
    let use_only =
        "struct both; struct twice; struct one; struct one *a; struct twice *b; struct both *c; int main(void) { return 0; }";
    let first = "struct one { int x; }; struct twice { long v; struct one *p; }; struct both { int a; }; struct one o; struct twice t; struct both b1;";
    let second = "struct one; struct twice { long v; struct one *p; }; struct both { char b; }; struct twice u; struct both b2;";
    let build = Compiled::files(&[("uses", use_only), ("first", first), ("second", second)], &["-g"]).build();
    let resolved = |name: &str| {
        let pointer = peeled(&build, variables(&build, name)[0].kind).expect("pointer");
        let Shape::Pointer { target: Some(target) } = pointer.shape else { panic!("{pointer:?}") };
        let entry = build.debug.types.get(build.debug.types.resolve(target));
        (entry.name.as_str(), entry.shape.members().map(<[Member]>::len))
    };
    assert_eq!(resolved("a"), ("one", Some(1)));
    assert_eq!(resolved("b"), ("twice", Some(2)));
    assert_eq!(resolved("c"), ("both", None), "two different definitions decide nothing");
}

#[test]
fn files_and_units_are_relative_to_the_build() {
    let build = Compiled::with("cc", &[("sample", SOURCE)], &["-g", "-w"]).build();
    assert!(build.debug.functions.iter().all(|function| function.unit == "sample.c"));
    let word = definition(&build, dw::DW_TAG_union_type, "word");
    let Some(Type { name, file, .. }) = word.shape.members().and_then(|m| m[0].kind).map(|id| build.debug.types.get(id)) else {
        panic!("uint32_t")
    };
    assert_eq!(name, "uint32_t");
    assert!(file.starts_with("/usr/"), "{file}");
}

#[test]
fn cold_parts_belong_to_their_function() {
    let source = r#"
        #include <stdlib.h>
        extern void report(const char *) __attribute__((cold, noinline));
        void report(const char *s) { if (s) abort(); }
        volatile int state;
        __attribute__((noinline)) int split(int x) {
            if (__builtin_expect(x == 77, 0)) { report("a"); state = x * 3; report("b"); state++; report("c"); }
            return state + x;
        }
        int main(int argc, char **argv) { return split(argc); }"#;
    let build = Compiled::new("cold", source, &["-O2", "-g", "-freorder-blocks-and-partition"]).build();
    let split = function(&build, "split");
    let hot = build.elf.symbols_named("split").next().expect("split");
    assert_eq!(split.ranges[0].0, hot.address);
    if let Some(cold) = build.elf.symbols_named("split.cold").next() {
        assert_eq!(split.ranges.len(), 2);
        assert_eq!(build.function_at(cold.address).map(|found| found.name.as_str()), Some("split"));
        assert_eq!(build.code_symbol_at(cold.address).map(|found| found.name.as_str()), Some("split.cold"));
    }
}

#[test]
fn dropped_functions_and_variables_have_no_place() {
    let source = "int unused_variable = 4; int unused(void) { return unused_variable; } int main(void) { return 0; }";
    let flags = ["-O0", "-g", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"];
    let build = Compiled::new("dropped", source, &flags).build();
    assert!(build.elf.symbols_named("unused").next().is_none(), "the linker dropped it");
    assert!(build.debug.functions.iter().all(|function| function.name != "unused"));
    assert_eq!(variables(&build, "unused_variable").first().map(|variable| variable.storage), Some(Storage::None));
}

#[test]
fn parts_of_split_debug_information_are_found_and_checked() {
    let sources = [
        ("one", "int two(int); int main(int argc, char **argv) { return two(argc) + !argv; }"),
        ("two", "int two(int x) { return x; }"),
    ];
    let compiled = Compiled::files(&sources, &["-g", "-gsplit-dwarf"]);
    let names = |build: &Build| build.debug.functions.iter().map(|function| function.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&compiled.build()), ["main", "two"]);

    // In a folder of its own it finds them beside it.
    let other = tempfile::tempdir().expect("directory");
    for entry in std::fs::read_dir(compiled.directory.path()).expect("files") {
        let path = entry.expect("file").path();
        std::fs::rename(&path, other.path().join(path.file_name().expect("name"))).expect("moved");
    }
    let program = other.path().join("one");
    let open = || Build::open(&program, &crate::program::build::DebugSearch { directories: Vec::new() });
    assert_eq!(names(&open().expect("reads")), ["main", "two"]);

    // Those of another build are not taken, and what is missing is named.
    let part = |name: &str| {
        let found = std::fs::read_dir(other.path()).expect("files").map(|entry| entry.expect("file").path());
        found
            .filter(|path| path.extension().is_some_and(|end| end == "dwo"))
            .find(|path| path.to_string_lossy().contains(name))
            .expect(name)
    };
    let (first, second) = (part("one.dwo"), part("two.dwo"));
    std::fs::copy(&first, &second).expect("copied");
    let error = open().expect_err("refused").to_string();
    assert!(error.contains("of another build: expected unit") && error.contains("two.dwo"), "{error}");
    std::fs::remove_file(&second).expect("removed");
    let error = open().expect_err("refused");
    assert!(matches!(&error, ProgramError::SplitDebug { .. }), "{error}");
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn a_package_of_split_debug_information_is_read() {
    let compiled = Compiled::with("clang", &[("sample", SOURCE)], &["-w", "-O2", "-gdwarf-5", "-gsplit-dwarf"]);
    let tool = ["dwp", "llvm-dwp", "llvm-dwp-14"]
        .into_iter()
        .find(|tool| compiled.try_tool(tool, &["-e", "sample", "-o", "sample.dwp"]));
    let Some(_) = tool else { return };
    for entry in std::fs::read_dir(compiled.directory.path()).expect("files") {
        let path = entry.expect("file").path();
        if path.extension().is_some_and(|end| end == "dwo") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let build = compiled.build();
    assert_eq!(function(&build, "main").unit, "sample.c");
}

#[test]
fn a_cxx_program_is_read() {
    let source = r#"
        namespace n { struct Base { virtual ~Base() {} int b = 1; }; struct Derived : Base { static int shared; int d = 2; int get() const; };
        int Derived::shared = 3; int Derived::get() const { static int calls; return calls++ + d; } }
        int main() { n::Derived d; return d.get() + n::Derived::shared; }"#;
    let directory = tempfile::tempdir().expect("directory");
    std::fs::write(directory.path().join("p.cc"), source).expect("source");
    crate::program::testing::run(std::process::Command::new("g++").current_dir(directory.path()).args(["-g", "-o", "p", "p.cc"]));
    let build = Build::open(&directory.path().join("p"), &crate::program::build::DebugSearch::default()).expect("reads");
    let get = function(&build, "get");
    assert_eq!(get.linkage_name.as_deref(), Some("_ZNK1n7Derived3getEv"));
    assert!(build.debug.types.describe(get.kind).starts_with("int ("), "{}", build.debug.types.describe(get.kind));
    assert_eq!(variables(&build, "shared").len(), 1);
    assert_eq!(variables(&build, "calls")[0].function.as_deref(), Some("get"));
    let derived = definition(&build, dw::DW_TAG_structure_type, "Derived");
    assert_eq!(member(derived, "d").offset, 12);
    assert!(build.elf.symbols.iter().any(|symbol| symbol.kind == elf::STT_FUNC.0));
}

#[test]
fn parts_of_a_variable_that_clang_keeps_apart() {
    let source = r#"
        #include <stdlib.h>
        struct list { struct list *first; struct { short x; int count; } in; long never; };
        static struct list list;
        static int grid[2][3], mode = 2;
        __attribute__((noinline)) static void work(int n) {
            list.first = malloc(n); list.in.count += n; grid[1][2] += n;
            if (n > 3) mode = 7;
        }
        int main(int argc, char **argv) { work(argc); work(2); return list.first && list.in.count + grid[1][2] > mode; }
    "#;
    let build = Compiled::with("clang", &[("parts", source)], &["-g", "-O2"]).build();
    let parts = |name: &str| -> Vec<(String, String)> {
        let of = build.debug.variables.iter().filter(|variable| variable.name == name);
        let mut found: Vec<_> = of.filter_map(|part| Some((part.part.clone()?, build.debug.types.describe(part.kind)))).collect();
        found.sort_unstable();
        found
    };
    let texts = |list: &[(&str, &str)]| -> Vec<(String, String)> {
        list.iter().map(|(path, kind)| ((*path).to_owned(), (*kind).to_owned())).collect()
    };
    assert_eq!(parts("list"), texts(&[(".first", "struct list *"), (".in.count", "int")]));
    assert_eq!(parts("grid"), texts(&[("[1][2]", "int")]));
    assert_eq!(parts("mode"), texts(&[(" as 2 or 7", "void")]));
}
