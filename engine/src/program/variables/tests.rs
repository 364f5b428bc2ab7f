//! Variables of compiled functions.

use dsu_formats::address::RunAddress;

use super::*;
use crate::program::testing::Compiled;
use crate::program::unwind::{Place, RegisterValue};

const SOURCE: &str = r#"
    struct pair { long first, second; };
    __attribute__((noipa)) void use(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
    static inline __attribute__((always_inline)) long inner(struct pair *deep) { long kept = deep->first; use(deep); return kept; }
    __attribute__((noinline)) long outer(struct pair *given, int number) {
        struct pair own = {number, 2};
        long sum = inner(&own);
        { struct pair *block = given; use(block); sum += block->second; }
        return sum + own.second;
    }
    int main(int argc, char **argv) { struct pair p = {argc, 2}; return outer(&p, argc); }
"#;

/// The places behind calls in `function`, by disassembly, one byte back.
fn calls(build: &Build, function: &str) -> Vec<LinkAddress> {
    let symbol = build.elf.symbols_named(function).next().expect("the function");
    let code = build.elf.file_bytes(symbol.address, symbol.size).expect("its code");
    let decoder = iced_x86::Decoder::with_ip(64, code, symbol.address.0, 0);
    let calls = decoder.into_iter().filter(|instruction| instruction.mnemonic() == iced_x86::Mnemonic::Call);
    calls.map(|call| LinkAddress(call.next_ip() - 1)).collect()
}

fn known() -> [Option<RegisterValue>; 16] {
    std::array::from_fn(|number| {
        let value = 0x7000 + number as u64 * 0x100;
        Some(RegisterValue { value, place: Place::Register(number as u8) })
    })
}

#[test]
fn scopes_names_and_types_are_those_of_the_place() {
    for flags in [["-g", "-O0"], ["-g", "-O2"], ["-gdwarf-4", "-O2"]] {
        let build = Compiled::new("program", SOURCE, &flags).build();
        let mut variables = Variables::new(&build);
        let places = calls(&build, "outer");
        let all: Vec<Vec<Local<'_>>> = places.iter().map(|place| variables.at(*place).unwrap()).collect();
        let find = |name: &str| all.iter().flatten().find(|local| local.name == name);
        let own = find("own").expect("a variable in memory is always somewhere");
        assert_eq!(build.debug.types.describe(own.kind), "struct pair", "{flags:?}");
        let given = find("given").expect("a parameter that is used behind the calls");
        assert_eq!(build.debug.types.describe(given.kind), "struct pair *");
        if flags[1] == "-O2" {
            let kept = find("kept").expect("the inlined function's variable");
            assert_eq!(kept.inlined.as_deref(), Some("inner"));
        }
        let block = all.iter().map(|locals| locals.iter().filter(|local| local.name == "block").count());
        assert!(block.clone().any(|count| count == 1) && block.clone().all(|count| count <= 1));
    }
}

#[test]
fn places_follow_from_the_frame() {
    let build = Compiled::new("program", SOURCE, &["-g", "-O0"]).build();
    let mut variables = Variables::new(&build);
    let place = calls(&build, "outer")[0];
    let locals = variables.at(place).unwrap();
    let own = locals.iter().find(|local| local.name == "own").unwrap();
    let registers = known();
    let mut word = |_: RunAddress| None;
    let mut frame = Frame { registers: &registers, cfa: RunAddress(0x9000), bias: 0, word: &mut word };
    let pieces = variables.locate(own, &mut frame);
    let [Piece { bits: None, source: Source::Memory(address) }] = pieces.as_slice() else { panic!("{pieces:?}") };
    assert!((0x9000 - 0x100..0x9000).contains(&address.0), "{address}");
    let build = Compiled::new("program", SOURCE, &["-g", "-O2"]).build();
    let mut variables = Variables::new(&build);
    let mut seen = Vec::new();
    for place in calls(&build, "outer") {
        for local in variables.at(place).unwrap() {
            seen.extend(variables.locate(&local, &mut frame).into_iter().map(|piece| (local.name.clone(), piece.source)));
        }
    }
    let callee_saved =
        |source: &Source| matches!(source, Source::Register(RegisterValue { place: Place::Register(3 | 6 | 12..=15), .. }));
    assert!(seen.iter().any(|(name, source)| name == "given" && callee_saved(source)), "{seen:?}");
    // A register that unwinding gave up is not guessed.
    let lost = [None; 16];
    let mut frame = Frame { registers: &lost, cfa: RunAddress(0x9000), bias: 0, word: &mut word };
    for place in calls(&build, "outer") {
        for local in variables.at(place).unwrap().iter().filter(|local| local.name == "given") {
            let pieces = variables.locate(local, &mut frame);
            assert!(pieces.iter().all(|piece| !matches!(piece.source, Source::Register(_))), "{pieces:?}");
        }
    }
}

/// What is known of the variables at every place behind a call, in words.
fn told(build: &Build) -> Vec<String> {
    let registers = known();
    let mut word = |_: RunAddress| None;
    let mut frame = Frame { registers: &registers, cfa: RunAddress(0x9000), bias: 0, word: &mut word };
    let mut variables = Variables::new(build);
    let mut told = Vec::new();
    for place in ["outer", "main"].iter().flat_map(|function| calls(build, function)) {
        for local in variables.at(place).unwrap() {
            let (kind, pieces) = (build.debug.types.describe(local.kind), variables.locate(&local, &mut frame));
            told.push(format!("{place}: {kind} {} in {:?}, line {}: {pieces:?}", local.name, local.inlined, local.line));
        }
    }
    told
}

#[test]
fn split_debug_information_says_the_same() {
    for compiler in ["gcc", "clang"] {
        for version in ["-gdwarf-4", "-gdwarf-5"] {
            let build = |split: &[&str]| {
                let flags = [&["-O2", version], split].concat();
                Compiled::with(compiler, &[("program", SOURCE)], &flags).build()
            };
            let (whole, split) = (told(&build(&[])), told(&build(&["-gsplit-dwarf"])));
            assert!(!whole.is_empty(), "{compiler} {version}");
            assert_eq!(whole, split, "{compiler} {version}");
        }
    }
}
