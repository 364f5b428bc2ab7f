//! General registers in DWARF order, and where an unwound value is kept.

use dsu_formats::address::RunAddress;
use dsu_formats::model::threads::RegistersV1;

/// DWARF numbers of the x86-64 general registers (System V ABI for AMD64, figure 3.36).
#[allow(missing_docs, reason = "the names are the registers'")]
pub mod dwarf {
    pub const RAX: usize = 0;
    pub const RDX: usize = 1;
    pub const RCX: usize = 2;
    pub const RBX: usize = 3;
    pub const RSI: usize = 4;
    pub const RDI: usize = 5;
    pub const RBP: usize = 6;
    pub const RSP: usize = 7;
    pub const R8: usize = 8;
    pub const R9: usize = 9;
    pub const R10: usize = 10;
    pub const R11: usize = 11;
    pub const R12: usize = 12;
    pub const R13: usize = 13;
    pub const R14: usize = 14;
    pub const R15: usize = 15;
    /// The column of the return address.
    pub const RETURN_ADDRESS: usize = 16;
}

/// The registers that a walk starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The general registers by DWARF number ([`dwarf`]).
    pub general: [u64; 16],
    /// The instruction that runs next.
    pub pc: RunAddress,
}

impl From<&RegistersV1> for Registers {
    fn from(r: &RegistersV1) -> Self {
        let general =
            [r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15];
        Self { general, pc: RunAddress(r.rip) }
    }
}

/// Where the value of a caller's register is kept while deeper frames run. Changing it there changes what the caller gets back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Still in this machine register (DWARF number): no deeper frame saved it.
    Register(u8),
    /// In memory: a stack slot of a deeper frame, or the register set of a signal frame.
    Slot(RunAddress),
    /// Nowhere: it follows from the stack's layout (the stack pointer of a caller, `DW_CFA_val_offset`).
    Computed,
}

/// The value that a register has in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterValue {
    /// The value.
    pub value: u64,
    /// Where it is kept.
    pub place: Place,
}

/// What is known of the 16 general registers in one frame; `None` for a register that call frame information gives up.
pub(super) type Known = [Option<RegisterValue>; 16];

/// The innermost frame's registers: all known, all in the machine.
pub(super) fn in_machine(registers: &Registers) -> Known {
    std::array::from_fn(|number| {
        registers.general.get(number).map(|&value| RegisterValue { value, place: Place::Register(number as u8) })
    })
}

/// Whether the ABI makes a called function keep the register (DWARF number), so that no rule means "same value".
pub(super) fn is_callee_saved(number: usize) -> bool {
    use dwarf::*;
    matches!(number, RBX | RBP | R12 | R13 | R14 | R15)
}
