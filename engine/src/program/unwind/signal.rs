//! Signal trampolines without call frame information, recognised by their code as debuggers and libgcc do.

use dsu_formats::address::RunAddress;

use super::memory::Memory;
use super::registers::dwarf;
use super::row::{Cfa, Row, Rule};

/// `mov $__NR_rt_sigreturn, %rax; syscall`, and its short form.
const TRAMPOLINES: [&[u8]; 2] = [&[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05], &[0xb8, 15, 0, 0, 0, 0x0f, 0x05]];

/// Offset of `gregs` in `struct ucontext` (kernel: `arch/x86/include/uapi/asm/sigcontext.h`, behind flags, link and stack).
const GENERAL_REGISTERS: i64 = 40;

/// DWARF numbers in the order of `struct sigcontext`; the return address last.
const ORDER: [usize; 17] = {
    use dwarf::*;
    [R8, R9, R10, R11, R12, R13, R14, R15, RDI, RSI, RBP, RBX, RDX, RAX, RCX, RSP, RETURN_ADDRESS]
};

/// Whether a signal trampoline starts at `pc`.
pub(super) fn is_trampoline(pc: RunAddress, memory: &mut Memory<'_>) -> bool {
    let mut code = [0; 16];
    for (index, half) in code.chunks_exact_mut(8).enumerate() {
        // The second word may lie past the end of the mapping.
        if let Some(address) = pc.checked_add(index as u64 * 8)
            && let Ok(word) = memory.word(address)
        {
            half.copy_from_slice(&word.to_le_bytes());
        }
    }
    TRAMPOLINES.iter().any(|trampoline| code.starts_with(trampoline))
}

/// The row of such a trampoline: at its entry the stack pointer is at `struct ucontext` (`struct rt_sigframe` without `pretcode`).
pub(super) fn row() -> Row<'static> {
    let mut rules = [Rule::Unspecified; 17];
    let mut cfa = Cfa::StackWord(0);
    for (index, &column) in ORDER.iter().enumerate() {
        let offset = GENERAL_REGISTERS + 8 * index as i64;
        if column == dwarf::RSP {
            cfa = Cfa::StackWord(offset);
        }
        if let Some(rule) = rules.get_mut(column) {
            *rule = Rule::StackWord(offset);
        }
    }
    Row { cfa, rules, is_signal_frame: true }
}
