//! Where debug information is found and refused, and what lies at addresses.

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::{Build, DebugSearch, Library};
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;
use crate::program::testing::Compiled;

const SOURCE: &str = r#"
int table[4] = {1, 2, 3, 4};
static char *names[2];
__attribute__((noinline)) static int helper(int x) {
    static int calls;
    calls += x;
    return calls + table[x & 3];
}
int main(int argc, char **argv) {
    names[0] = argv[0];
    return helper(argc);
}
"#;

fn program(flags: &[&str]) -> Compiled {
    Compiled::new("program", SOURCE, &[&["-g", "-Wl,--build-id"], flags].concat())
}

fn nowhere() -> DebugSearch {
    DebugSearch { directories: Vec::new() }
}

/// Splits the debug information off into `program.debug`.
fn split(compiled: &Compiled) {
    compiled.tool("objcopy", &["--only-keep-debug", "program", "program.debug"]);
    compiled.tool("objcopy", &["--strip-all", "program"]);
}

fn address(build: &Build, name: &str) -> LinkAddress {
    build.elf.symbols_named(name).next().expect(name).address
}

fn check_facts(build: &Build) {
    assert_eq!(build.debug.functions.iter().filter(|function| function.name == "helper").count(), 1);
    assert!(build.debug.variables.iter().any(|variable| variable.name == "calls"));
    assert!(build.place(address(build, "helper").offset(1)).starts_with("helper+0x1 (program.c:"));
}

#[test]
fn compressed_sections_are_unpacked() {
    for packing in ["-gz=zlib", "-gz=zlib-gnu"] {
        let compiled = program(&[packing]);
        check_facts(&compiled.build());
    }
    let compiled = program(&[]);
    if compiled.try_tool("objcopy", &["--compress-debug-sections=zstd", "program"]) {
        check_facts(&compiled.build());
    }
}

#[test]
fn debug_files_are_found_by_build_id() {
    let compiled = program(&[]);
    split(&compiled);
    let id = Library::open(&compiled.path).expect("stripped").elf.build_id.expect("build-id");
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let root = compiled.directory.path().join("debug");
    let place = root.join(".build-id").join(&hex[..2]);
    std::fs::create_dir_all(&place).expect("directory");
    let file = place.join(format!("{}.debug", &hex[2..]));
    std::fs::rename(compiled.directory.path().join("program.debug"), &file).expect("moved");
    let build = Build::open(&compiled.path, &DebugSearch { directories: vec![root.clone()] }).expect("found");
    assert_eq!(build.debug_path.as_deref(), Some(file.as_path()));
    check_facts(&build);

    let other = Compiled::new("program", "int main(void) { return 1; }", &["-g", "-Wl,--build-id"]);
    std::fs::copy(&other.path, &file).expect("another build's file");
    let error = Build::open(&compiled.path, &DebugSearch { directories: vec![root] }).expect_err("another build").to_string();
    assert!(error.contains("of another build: expected build-id") && error.contains(&hex), "{error}");
}

#[test]
fn debug_files_are_found_by_debuglink() {
    let beside = |below: &str, flags: &[&str]| {
        let compiled = program(flags);
        split(&compiled);
        compiled.tool("objcopy", &["--add-gnu-debuglink=program.debug", "program"]);
        let own = compiled.directory.path().canonicalize().expect("path");
        let place = match below {
            "root" => own.join("root").join(own.strip_prefix("/").expect("absolute")),
            below => own.join(below),
        };
        std::fs::create_dir_all(&place).expect("directory");
        let file = place.join("program.debug");
        std::fs::rename(own.join("program.debug"), &file).expect("moved");
        let search = DebugSearch { directories: vec![own.join("root")] };
        let build = Build::open(&compiled.path, &search).expect("found");
        assert_eq!(build.debug_path, Some(file.clone()));
        check_facts(&build);
        let mut bytes = std::fs::read(&file).expect("debug file");
        *bytes.last_mut().expect("content") ^= 1;
        std::fs::write(&file, bytes).expect("changed");
        (Build::open(&compiled.path, &search), compiled)
    };
    for below in [".", ".debug", "root"] {
        assert!(beside(below, &[]).0.is_ok(), "the same build-id is enough");
        let (changed, _) = beside(below, &["-Wl,--build-id=none"]);
        let error = changed.expect_err("the sum differs").to_string();
        assert!(error.contains("expected CRC32"), "{error}");
    }
}

#[test]
fn without_debug_information_the_error_says_where_it_looked() {
    let compiled = program(&[]);
    compiled.tool("objcopy", &["--strip-all", "--add-gnu-debuglink=/dev/null", "program"]);
    let search = DebugSearch { directories: vec![PathBuf::from("/nonexistent")] };
    let error = Build::open(&compiled.path, &search).expect_err("nothing");
    assert!(matches!(&error, ProgramError::NoDebugInfo { path, .. } if *path == compiled.path));
    let error = error.to_string();
    for part in ["inside it", "/nonexistent/.build-id/", ".debug/null", "build it with -g"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_is_no_program_is_refused() {
    let directory = tempfile::tempdir().expect("directory");
    let open = |path: &Path| Build::open(path, &nowhere()).expect_err("refused").to_string();
    assert!(open(&directory.path().join("absent")).contains("absent"));
    let directory_error = Library::open(directory.path()).expect_err("refused");
    assert!(matches!(directory_error, ProgramError::Read { .. }));
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("fifo");
    assert!(matches!(Library::open(&fifo).expect_err("refused"), ProgramError::Read { .. }));
}

#[test]
fn addresses_lead_to_functions_variables_and_lines() {
    let build = program(&["-O0"]).build();
    let helper = address(&build, "helper");
    assert_eq!(build.code_at(helper).function.map(|function| function.name.as_str()), Some("helper"));
    assert_eq!(build.code_at(helper).symbol.map(|symbol| symbol.name.as_str()), Some("helper"));
    assert_eq!(build.line_at(helper), Some(("program.c".to_owned(), 4)));
    assert_eq!(build.place(helper), "helper (program.c:4)");
    let main = build.debug.functions.iter().find(|function| function.name == "main").expect("main");
    let (start, length) = main.ranges[0];
    assert_eq!(build.function_at(start.offset(length - 1)).map(|function| function.name.as_str()), Some("main"));
    assert_ne!(build.function_at(start.offset(length)).map(|function| function.name.as_str()), Some("main"));
    let table = address(&build, "table");
    let at = |address: LinkAddress| build.variable_at(address).map(|(variable, offset)| (variable.name.as_str(), offset));
    assert_eq!(at(table.offset(15)), Some(("table", 15)));
    assert_ne!(at(table.offset(16)).map(|found| found.0), Some("table"));
    assert_eq!(build.place(table.offset(8)), "table+0x8 (program.c:2)");
    let calls = build.debug.variables.iter().find(|variable| variable.name == "calls").expect("calls");
    let crate::program::dwarf::Storage::Static(calls) = calls.storage else { panic!("static") };
    assert_eq!(build.place(calls), "helper::calls (program.c:5)");
    assert_eq!(build.place(LinkAddress(1 << 40)), "+0x10000000000");
    assert!(build.place(build.elf.entry).starts_with("_start"));
}

#[test]
fn functions_folded_into_others_are_functions_still() {
    let source = r#"
        typedef struct { int (*a)(long, char *); int (*b)(long, char *); } table;
        static int first(long x, char *y) { volatile int z = (int)x * 3; return z + *y; }
        static int second(long x, char *y) { volatile int z = (int)x * 3; return z + *y; }
        table t = { first, second };
        int main(int argc, char **argv) { return t.a(argc, *argv) + t.b(argc, *argv); }"#;
    let build = Compiled::new("folded", source, &["-O2", "-g"]).build();
    let symbols = build.elf.symbols.iter().filter(|symbol| symbol.name == "first" || symbol.name == "second");
    let mut count = 0;
    for symbol in symbols {
        let function = build.debug.functions.iter().find(|function| function.name == symbol.name).expect("described");
        assert_eq!((function.ranges[0].0, function.unit.as_str()), (symbol.address, "folded.c"));
        count += 1;
    }
    assert_eq!(count, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    /// Mangled debug sections end in an answer: this fails by a panic (or by never ending) only.
    #[test]
    fn mangled_debug_information_never_panics(
        which in 0..5usize,
        name in 0..8usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        thread_local!(static GOOD: Vec<Vec<u8>> = [
            &["-gdwarf-4"][..], &["-gdwarf-5"], &["-gdwarf-5", "-O2"], &["-gz"], &["-gdwarf-4", "-fdebug-types-section"],
        ].map(|flags| program(flags).bytes()).to_vec());
        let mut bytes = GOOD.with(|good| good[which].clone());
        let elf = crate::program::elf::Elf::parse(bytes.clone().into()).expect("good");
        let names = [".debug_info", ".debug_abbrev", ".debug_line", ".debug_info", ".debug_str", ".debug_rnglists", ".debug_types", ".debug_ranges"];
        let section = elf.section(names[name]).or_else(|| elf.section(".debug_info")).expect("section");
        for (index, byte) in edits {
            bytes[section.offset as usize + index.index(section.size as usize)] = byte;
        }
        if let Ok(build) = Build::from_bytes(bytes.into(), Path::new("/nonexistent/program"), &nowhere()) {
            for function in &build.debug.functions {
                let _ = build.place(function.ranges[0].0);
                let _ = build.debug.types.describe(function.kind);
            }
            for variable in &build.debug.variables {
                let _ = crate::program::compare_types::compare(&build.debug.types, variable.kind, &build.debug.types, variable.kind);
            }
            let _ = crate::program::compare_types::changed_named_types(&build.debug.types, &build.debug.types);
        }
    }
}
