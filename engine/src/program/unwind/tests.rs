//! Walks over made-up memory: hostile stacks, corrupt call frame information, trampolines without any. Real threads are in
//! `tests/unwind`.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use dsu_formats::address::{RunAddress, RunRange};
use proptest::prelude::*;

use super::*;
use crate::program::elf::Elf;
use crate::program::testing::Compiled;

const BIAS: u64 = 0x5555_5555_0000;
const STACK: u64 = 0x7fff_0000_0000;

fn program() -> &'static Compiled {
    static PROGRAM: OnceLock<Compiled> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = "#include <stdio.h>\n#include <stdlib.h>\n\
            int deep(int n) { char b[32]; snprintf(b, n, \"%d\", n); return n ? deep(n - 1) + b[0] : abs(n); }\n\
            int main(int c, char **v) { return deep(c) + !v; }";
        Compiled::new("walked", source, &["-O2", "-g", "-Wl,-z,lazy"])
    })
}

fn loaded(elf: &Elf) -> Vec<LoadedModule> {
    let (low, high) = elf.load_range();
    let range = RunRange::new(BIAS + low.0, BIAS + high.0);
    vec![LoadedModule { range, bias: BIAS, unwind: Arc::new(UnwindIndex::new(elf)) }]
}

fn at(pc: u64) -> Registers {
    let mut general = [0x1111; 16];
    general[dwarf::RSP] = STACK;
    Registers { general, pc: RunAddress(pc) }
}

/// Memory whose every word depends on its address and a seed; every other word is an address of the module.
fn noise(seed: u64, code: RunRange) -> impl FnMut(RunAddress, &mut [u8]) -> Result<(), Infallible> {
    move |address, buffer| {
        for (index, byte) in buffer.iter_mut().enumerate() {
            let at = address.0.wrapping_add(index as u64);
            let word = ((at / 8) ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
            let value = if word & 1 == 0 { code.start.0 + word % code.len() } else { STACK + word % 0x10_0000 };
            *byte = value.to_le_bytes()[(at % 8) as usize];
        }
        Ok(())
    }
}

#[test]
fn code_without_information_is_no_base() {
    let modules = loaded(&program().elf());
    let stack = Unwinder::new(&modules).walk(&at(0x10), |_, _| Err::<(), _>("nothing here"));
    assert!(matches!(stack.end, End::Incomplete(Incomplete::NoModule { .. })), "{:?}", stack.end);
    let header = Unwinder::new(&modules).walk(&at(BIAS + 8), |_, _| Err::<(), _>("nothing here"));
    assert!(matches!(header.end, End::Incomplete(Incomplete::NoCfi { .. })), "{:?}", header.end);
    assert!(header.frames.is_empty());
}

#[test]
fn the_entry_point_is_the_base_and_zero_ends_a_stack() {
    let elf = program().elf();
    let modules = loaded(&elf);
    let entry = Unwinder::new(&modules).walk(&at(BIAS + elf.entry.0), |_, _| Err::<(), _>("no memory needed"));
    assert!(matches!(entry.end, End::Complete(Base::UndefinedReturnAddress { .. })), "{:?}", entry.end);
    assert_eq!(entry.frames.len(), 1);
    let deep = elf.symbols_named("deep").next().expect("a function").address;
    let zeros = |_: RunAddress, buffer: &mut [u8]| {
        buffer.fill(0);
        Ok::<(), Infallible>(())
    };
    let ended = Unwinder::new(&modules).walk(&at(BIAS + deep.0), zeros);
    assert!(matches!(ended.end, End::Complete(Base::ZeroReturnAddress { .. })), "{:?}", ended.end);
    assert_eq!(ended.frames[0].return_slot, Some(RunAddress(STACK)));
    assert_eq!(ended.frames[0].cfa, RunAddress(STACK + 8));
}

#[test]
fn unreadable_memory_is_named() {
    let elf = program().elf();
    let modules = loaded(&elf);
    let deep = elf.symbols_named("deep").next().expect("a function").address;
    let stack = Unwinder::new(&modules).walk(&at(BIAS + deep.0), |_, _| Err::<(), _>("gone"));
    match stack.end {
        End::Incomplete(Incomplete::Memory { address, .. }) => assert_eq!(address, RunAddress(STACK)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_endless_stack_ends_at_the_limit() {
    let elf = program().elf();
    let modules = loaded(&elf);
    let deep = elf.symbols_named("deep").next().expect("a function").address;
    // Every word is a return address into `deep`: frames rise for ever, until the limit.
    let word = (BIAS + deep.0 + 1).to_le_bytes();
    let endless = |_: RunAddress, buffer: &mut [u8]| {
        buffer.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&word[..chunk.len()]));
        Ok::<(), Infallible>(())
    };
    let stack = Unwinder::new(&modules).with_max_frames(50).walk(&at(BIAS + deep.0), endless);
    assert!(matches!(stack.end, End::Incomplete(Incomplete::TooDeep { limit: 50, .. })), "{:?}", stack.end);
    assert_eq!(stack.frames.len(), 50);
}

#[test]
fn a_frame_that_does_not_rise_ends_the_walk() {
    let compiled = Compiled::new(
        "framed",
        "int deep(int n) { return n ? deep(n - 1) + 1 : 0; } int main(void) { return deep(3); }",
        &["-O0"],
    );
    let elf = compiled.elf();
    let modules = loaded(&elf);
    let deep = elf.symbols_named("deep").next().expect("a function").address;
    // The caller finds its frame by a frame pointer that points far below the stack pointer.
    let word = (BIAS + deep.0 + 20).to_le_bytes();
    let stack = Unwinder::new(&modules).walk(&at(BIAS + deep.0), |_, buffer| {
        buffer.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&word[..chunk.len()]));
        Ok::<(), Infallible>(())
    });
    match stack.end {
        End::Incomplete(Incomplete::NotAbove { below, cfa, .. }) => {
            assert_eq!((below, cfa), (RunAddress(STACK + 8), RunAddress(0x1111 + 16)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trampoline_without_information_is_known_by_its_code() {
    let elf = program().elf();
    let modules = loaded(&elf);
    let trampoline = 0x7000_0000_0010u64;
    let read = |address: RunAddress, buffer: &mut [u8]| {
        let code = [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05, 0, 0, 0, 0, 0, 0, 0];
        for (index, byte) in buffer.iter_mut().enumerate() {
            let at = address.0 + index as u64;
            *byte = match at.checked_sub(trampoline).and_then(|offset| code.get(offset as usize)) {
                Some(byte) => *byte,
                None => {
                    let slot = (at & !7).wrapping_sub(STACK) as i64;
                    let word = match slot {
                        160 => STACK + 0x1000,
                        168 => BIAS + elf.entry.0,
                        slot => slot as u64,
                    };
                    word.to_le_bytes()[(at % 8) as usize]
                }
            };
        }
        Ok::<(), Infallible>(())
    };
    let stack = Unwinder::new(&modules).walk(&at(trampoline), read);
    assert!(stack.end.is_complete(), "{:?}", stack.end);
    let [signal, interrupted] = &stack.frames[..] else { panic!("{:?}", stack.frames) };
    assert!(signal.is_signal_frame && signal.module.is_none());
    assert_eq!(interrupted.pc, RunAddress(BIAS + elf.entry.0));
    assert_eq!(interrupted.registers[dwarf::RSP].map(|rsp| rsp.value), Some(STACK + 0x1000));
    let rbx = interrupted.registers[dwarf::RBX].expect("saved by the kernel");
    assert_eq!((rbx.value, rbx.place), (128, Place::Slot(RunAddress(STACK + 128))));
}

#[test]
fn information_is_found_without_section_headers() {
    let mut elf = program().elf();
    let with = UnwindIndex::new(&elf);
    elf.sections.clear();
    let without = UnwindIndex::new(&elf);
    for symbol in elf.symbols.iter().filter(|symbol| symbol.is_code() && symbol.size > 0) {
        assert!(with.covers(symbol.address) && without.covers(symbol.address), "{}", symbol.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn hostile_stacks_end(seed: u64, start in 0u64..0x2000) {
        let elf = program().elf();
        let modules = loaded(&elf);
        let text = elf.section(".text").expect("text");
        let code = RunRange::new(BIAS + text.address.0, BIAS + text.address.0 + text.size);
        let pc = code.start.0 + start % code.len();
        let stack = Unwinder::new(&modules).with_max_frames(500).walk(&at(pc), noise(seed, code));
        prop_assert!(stack.frames.len() <= 500);
        for pair in stack.frames.windows(2) {
            prop_assert!(pair[1].cfa > pair[0].cfa || pair[1].is_signal_frame);
        }
    }

    #[test]
    fn corrupt_information_is_an_answer(seed: u64, damage in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..20)) {
        let mut elf = program().elf();
        let section = elf.section(".eh_frame").expect("call frame information").clone();
        let mut bytes = elf.bytes.to_vec();
        for (position, value) in damage {
            bytes[(section.offset + u64::from(position) % section.size) as usize] = value;
        }
        elf.bytes = bytes.into();
        let modules = loaded(&elf);
        let text = elf.section(".text").expect("text");
        let code = RunRange::new(BIAS + text.address.0, BIAS + text.address.0 + text.size);
        for offset in (0..code.len()).step_by(7) {
            let stack =
                Unwinder::new(&modules).with_max_frames(20).walk(&at(code.start.0 + offset), noise(seed, code));
            prop_assert!(stack.frames.len() <= 20);
        }
    }
}
