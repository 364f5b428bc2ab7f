//! Facts about compiled programs, refusals, and mangled bytes.

use object::elf;
use proptest::prelude::*;

use super::Elf;
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;
use crate::program::testing::{Compiled, installed, run};

const SOURCE: &str = r#"
#include <stdio.h>
#include <pthread.h>
static int counter = 7;
int shared[4] = {1, 2, 3, 4};
char big[5000];
__thread int per_thread = 3;
__thread int per_thread_zero;
int *pointers[] = {&shared[1], &counter, (int *)big};
static int add(int a) { return counter += a; }
static void *run(void *x) { per_thread++; return x; }
int main(int argc, char **argv) {
    pthread_t t; pthread_create(&t, 0, run, 0); pthread_join(t, 0);
    printf("%d %d %p\n", add(argc), per_thread_zero, (void *)pointers[argc]);
    return 0;
}
"#;

fn program(flags: &[&str]) -> Compiled {
    Compiled::new("program", SOURCE, flags)
}

fn address(elf: &Elf, name: &str) -> LinkAddress {
    elf.symbols_named(name).next().expect("symbol").address
}

#[test]
fn a_position_independent_program_is_read_whole() {
    let elf = program(&["-O0", "-g", "-pthread", "-Wl,--build-id", "-Wl,-z,relro"]).elf();
    assert!(elf.is_position_independent() && !elf.is_static());
    assert_eq!(elf.needed, ["libc.so.6"]);
    assert_eq!(elf.soname, None);
    assert_eq!(elf.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    assert_eq!(elf.build_id.as_ref().map(Vec::len), Some(20));
    assert_eq!(elf.debug_link, None);
    assert_eq!(elf.entry, address(&elf, "_start"));
    assert_eq!(elf.dynamic_address, Some(address(&elf, "_DYNAMIC")));
    assert!(elf.relro().is_some());
    assert_eq!(elf.tls().map(|tls| (tls.file_size, tls.memory_size)), Some((4, 8)));
    let counter = elf.symbols_named("counter").next().expect("static");
    assert_eq!((counter.file.as_deref(), counter.size, counter.binding), (Some("program.c"), 4, elf::STB_LOCAL.0));
    let main = elf.symbols_named("main").next().expect("global");
    assert_eq!((main.file.as_deref(), main.is_code()), (None, true));
    assert_eq!(elf.section_at(counter.address).map(|section| section.name.as_str()), Some(".data"));
    assert_eq!(elf.section_at(address(&elf, "big")).map(|section| section.name.as_str()), Some(".bss"));
}

#[test]
fn initial_content_is_the_file_then_zeros() {
    let elf = program(&["-O0", "-pthread"]).elf();
    let shared = elf.initial_bytes(address(&elf, "shared"), 16).expect("data");
    assert_eq!(shared.as_ref(), [1u32, 2, 3, 4].map(u32::to_le_bytes).concat());
    let big = address(&elf, "big");
    assert_eq!(elf.initial_bytes(big, 5000).expect("bss").as_ref(), [0; 5000]);
    assert_eq!(elf.file_bytes(big, 5000), None);
    let (low, high) = elf.load_range();
    assert_eq!((low.0, high.0 % 4096), (0, 0));
    assert!(big.0 + 5000 <= high.0);
    assert_eq!(elf.initial_bytes(high, 1), None);
    assert_eq!(elf.initial_bytes(LinkAddress(u64::MAX), 8), None);
    assert_eq!(elf.initial_bytes(big, u64::MAX), None);
}

#[test]
fn symbols_cover_their_extent_only() {
    let elf = program(&["-O0", "-pthread"]).elf();
    let shared = address(&elf, "shared");
    let names = |at: LinkAddress| elf.symbols_covering(at).map(|symbol| symbol.name.clone()).collect::<Vec<_>>();
    assert!(names(shared).contains(&"shared".to_owned()) && names(shared.offset(15)).contains(&"shared".to_owned()));
    assert!(!names(shared.offset(16)).contains(&"shared".to_owned()));
}

#[test]
fn relative_relocations_are_the_same_packed_and_unpacked() {
    let relatives = |flag: &str, packed: bool| {
        let elf = program(&["-O0", "-pthread", flag]).elf();
        assert_eq!(elf.dynamic_value(elf::DT_RELR.0 as u64).is_some(), packed);
        let at = address(&elf, "pointers");
        let wanted = [address(&elf, "shared").offset(4), address(&elf, "counter"), address(&elf, "big")];
        for (index, target) in wanted.iter().enumerate() {
            let place = at.offset(index as u64 * 8);
            let relocation = elf.relocations.iter().find(|relocation| relocation.address == place).expect("relocation");
            assert_eq!((relocation.kind, relocation.addend as u64), (elf::R_X86_64_RELATIVE.0, target.0));
        }
        elf.relocations.iter().filter(|relocation| relocation.kind == elf::R_X86_64_RELATIVE.0).count()
    };
    assert_eq!(relatives("-Wl,-z,nopack-relative-relocs", false), relatives("-Wl,-z,pack-relative-relocs", true));
}

#[test]
fn lazily_bound_calls_are_plt_relocations_with_versions() {
    let elf = program(&["-O0", "-pthread", "-Wl,-z,lazy"]).elf();
    let printf = elf.relocations.iter().find_map(|relocation| {
        let symbol = elf.dynamic_symbols.get(relocation.symbol as usize)?;
        (symbol.name == "printf").then_some((relocation, symbol))
    });
    let (relocation, symbol) = printf.expect("printf is imported");
    assert_eq!((relocation.kind, relocation.plt), (elf::R_X86_64_JUMP_SLOT.0, true));
    assert_eq!((symbol.version.as_deref(), symbol.defined), (Some("GLIBC_2.2.5"), false));
    assert!(elf.needed_versions().expect("versions").contains(&("libc.so.6".to_owned(), "GLIBC_2.2.5".to_owned())));
}

#[test]
fn a_library_defines_versions() {
    let map = "OLD_1 { global: f; };\nNEW_2 { global: f; g; local: *; } OLD_1;\n";
    let source = r#"
        __asm__(".symver f_old, f@OLD_1"); __asm__(".symver f_new, f@@NEW_2");
        int f_old(void) { return 1; } int f_new(void) { return 2; } int g(void) { return 3; }"#;
    let directory = tempfile::tempdir().expect("directory");
    std::fs::write(directory.path().join("lib.c"), source).expect("source");
    std::fs::write(directory.path().join("lib.map"), map).expect("map");
    run(std::process::Command::new("cc").current_dir(directory.path()).args([
        "-shared",
        "-fPIC",
        "-o",
        "lib.so",
        "lib.c",
        "-Wl,--version-script=lib.map",
        "-Wl,-soname,lib.so.1",
    ]));
    let elf = Elf::parse(std::fs::read(directory.path().join("lib.so")).expect("library").into()).expect("parses");
    assert_eq!((elf.soname.as_deref(), elf.is_position_independent()), (Some("lib.so.1"), false));
    let mut versions: Vec<_> = elf
        .dynamic_symbols
        .iter()
        .filter(|symbol| symbol.defined && (symbol.name == "f" || symbol.name == "g"))
        .map(|symbol| (symbol.name.as_str(), symbol.version.as_deref(), symbol.hidden))
        .collect();
    versions.sort();
    assert_eq!(versions, [("f", Some("NEW_2"), false), ("f", Some("OLD_1"), true), ("g", Some("NEW_2"), false)]);
}

#[test]
fn dynamic_symbols_are_counted_without_section_headers() {
    for style in ["gnu", "sysv"] {
        let compiled = program(&["-O0", "-pthread", "-rdynamic", &format!("-Wl,--hash-style={style}")]);
        let whole = compiled.elf();
        let mut bytes = compiled.bytes();
        bytes[40..48].fill(0);
        bytes[58..64].fill(0);
        let bare = Elf::parse(bytes.into()).expect("the loader needs no section headers");
        assert!(bare.sections.is_empty() && bare.symbols.is_empty());
        assert_eq!(bare.dynamic_symbols, whole.dynamic_symbols);
        assert_eq!(bare.relocations, whole.relocations);
        assert_eq!(bare.build_id, whole.build_id);
    }
}

#[test]
fn static_programs_are_told_apart() {
    let fixed = program(&["-O0", "-pthread", "-static"]).elf();
    assert!(fixed.is_static() && !fixed.is_position_independent());
    assert!(fixed.relocations.iter().all(|relocation| relocation.kind == elf::R_X86_64_IRELATIVE.0));
    let dynamic = program(&["-O0", "-pthread", "-no-pie"]).elf();
    assert!(!dynamic.is_static() && !dynamic.is_position_independent());
}

#[test]
fn the_installed_c_library_is_read() {
    let Some(elf) = installed("/lib/x86_64-linux-gnu/libc.so.6") else { return };
    let malloc = elf.dynamic_symbols.iter().find(|symbol| symbol.name == "malloc").expect("malloc");
    assert_eq!((malloc.version.as_deref(), malloc.defined), (Some("GLIBC_2.2.5"), true));
    assert_eq!(elf.soname.as_deref(), Some("libc.so.6"));
}

#[test]
fn foreign_files_are_refused_with_what_was_found() {
    let good = program(&["-O0", "-pthread"]).bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Elf::parse(bytes.into()).expect_err("refused").to_string()
    };
    assert_eq!(
        Elf::parse((*b"#!/bin/sh\n").into()).expect_err("refused").to_string(),
        "not an ELF file: expected it to begin with 7f 45 4c 46, found 23 21 2f 62"
    );
    assert!(matches!(Elf::parse(Vec::new().into()), Err(ProgramError::NotElf { found }) if found == "an empty file"));
    assert_eq!(with(4, 1), "unsupported ELF class: expected 64-bit, found 32-bit");
    assert_eq!(with(5, 2), "unsupported ELF byte order: expected little-endian, found big-endian");
    assert_eq!(with(18, 183), "unsupported ELF machine: expected 62 (x86-64), found 183 (AArch64)");
    assert!(with(16, 1).contains("an object file that is not linked"));
    let cut = Elf::parse(good[..good.len() / 2].into()).expect_err("cut").to_string();
    assert!(cut.starts_with("corrupt ELF") && cut.contains("expected") && cut.contains("found"), "{cut}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    /// Whatever bytes change in headers and tables, parsing ends with an answer: this fails by a panic only.
    #[test]
    fn mangled_bytes_never_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>(), truncate in any::<bool>(), near in 0..4usize) {
        thread_local!(static GOOD: Vec<u8> = program(&["-O0", "-pthread", "-Wl,-z,pack-relative-relocs"]).bytes());
        let mut bytes = GOOD.with(Clone::clone);
        let tables = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) as usize;
        let ranges = [0..64, 64..1024, tables..bytes.len(), 0..bytes.len()];
        let range = ranges[near].clone();
        for (index, byte) in edits {
            let at = range.start + index.index(range.len());
            bytes[at] = byte;
        }
        if truncate {
            let length = cut.index(bytes.len());
            bytes.truncate(length);
        }
        if let Ok(elf) = Elf::parse(bytes.clone().into()) {
            let _ = elf.load_range();
            let _ = elf.initial_bytes(elf.entry, 4096);
            let _ = elf.section_at(elf.entry);
            let _ = elf.needed_versions();
        }
        let _ = Elf::parse_debug_file(bytes.into());
    }
}
