//! What a caller has to know of a function's code: which registers it may overwrite, with all that it calls, and whether it comes back.
//!
//! Compilers look at a callee's code, too (`-fipa-ra`, on by default at -O2): a value may stay in a register that calls destroy as a
//! rule, if the callee leaves that one alone.

use iced_x86::{Decoder, DecoderOptions, FlowControl, InstructionInfoFactory, Mnemonic, OpAccess, Register};

use super::functions::FunctionId;
use super::image::CodeImage;
use super::reference::{Callee, FunctionCode};

/// A set of registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RegisterSet {
    /// General registers, by the number that instructions encode them with.
    pub general: u16,
    /// Vector registers, by number.
    pub vector: u32,
    /// Vector mask registers, by number.
    pub mask: u8,
}

impl RegisterSet {
    /// All registers that a called function may overwrite (System V ABI §3.2.1).
    pub const CLOBBERED: Self = Self { general: 0b0000_1111_1100_0111, vector: u32::MAX, mask: u8::MAX };

    /// The set of one register, or of none.
    pub fn of(register: Register) -> Self {
        let full = register.full_register();
        let bit = |count: usize| 1u32.checked_shl(count as u32).unwrap_or(0);
        match () {
            () if full.is_gpr64() => Self { general: bit(full.number()) as u16, ..Self::default() },
            () if full.is_vector_register() => Self { vector: bit(full.number()), ..Self::default() },
            () if full.is_k() => Self { mask: bit(full.number()) as u8, ..Self::default() },
            () => Self::default(),
        }
    }

    /// What is in either set.
    pub fn with(self, other: Self) -> Self {
        Self { general: self.general | other.general, vector: self.vector | other.vector, mask: self.mask | other.mask }
    }

    /// What is in both sets.
    pub fn and(self, other: Self) -> Self {
        Self { general: self.general & other.general, vector: self.vector & other.vector, mask: self.mask & other.mask }
    }

    /// What is in this set alone.
    pub fn without(self, other: Self) -> Self {
        Self { general: self.general & !other.general, vector: self.vector & !other.vector, mask: self.mask & !other.mask }
    }
}

/// What is known of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    writes: RegisterSet,
    /// Registers that its code, or what it calls, reads somewhere: others are no arguments that matter.
    reads: RegisterSet,
    returns: bool,
}

impl Facts {
    const UNKNOWN: Self = Self { writes: RegisterSet::CLOBBERED, reads: RegisterSet::CLOBBERED, returns: true };
}

impl CodeImage<'_> {
    /// The registers that a call may overwrite, of those that the ABI lets it, or leaves a result in: all for a callee that a compiler
    /// cannot look into.
    pub fn clobbers(&self, callee: Callee) -> RegisterSet {
        self.known(callee).writes.with(self.left(callee))
    }

    /// The registers that a callee's code reads anywhere.
    pub(super) fn reads(&self, callee: Callee) -> RegisterSet {
        self.known(callee).reads
    }

    /// Whether a callee's code has no way back to its caller.
    pub fn never_returns(&self, callee: Callee) -> bool {
        !self.known(callee).returns
    }

    fn known(&self, callee: Callee) -> Facts {
        let Callee::Function(function) = callee else { return Facts::UNKNOWN };
        let all = self.facts.get_or_init(|| all(self));
        all.get(function.0 as usize).copied().unwrap_or(Facts::UNKNOWN)
    }
}

/// The facts of all functions: each one's own code first, then what it calls, until nothing is added.
fn all(image: &CodeImage<'_>) -> Vec<Facts> {
    let mut factory = InstructionInfoFactory::new();
    let mut all: Vec<Facts> = image.codes.iter().map(|code| own(code, &mut factory)).collect();
    loop {
        let mut changed = false;
        for (position, code) in image.codes.iter().enumerate() {
            let Some(known) = all.get(position).copied() else { continue };
            let called = code.calls.iter().map(|call| match call.callee {
                Callee::Function(FunctionId(function)) => all.get(function as usize).copied().unwrap_or(Facts::UNKNOWN),
                _ => Facts::UNKNOWN,
            });
            let more = called.fold(known, |more, called| Facts {
                writes: more.writes.with(called.writes),
                reads: more.reads.with(called.reads),
                returns: known.returns,
            });
            if more != known
                && let Some(facts) = all.get_mut(position)
            {
                *facts = more;
                changed = true;
            }
        }
        if !changed {
            return all;
        }
    }
}

/// What a function's own instructions do.
fn own(code: &FunctionCode<'_>, factory: &mut InstructionInfoFactory) -> Facts {
    let returns = code.calls.iter().any(|call| call.is_tail);
    let mut facts = Facts { writes: RegisterSet::default(), reads: RegisterSet::default(), returns };
    if code.defect.is_some() {
        return Facts::UNKNOWN;
    }
    for part in &code.parts {
        let bytes = part.bytes.get(..part.length as usize).unwrap_or(part.bytes);
        for instruction in Decoder::with_ip(64, bytes, part.start, DecoderOptions::NONE) {
            facts.returns |= matches!(instruction.flow_control(), FlowControl::Return | FlowControl::IndirectBranch);
            if matches!(instruction.mnemonic(), Mnemonic::Syscall | Mnemonic::Int) {
                facts.writes = facts.writes.with(RegisterSet::of(Register::RAX));
                facts.reads = RegisterSet::CLOBBERED;
            }
            for used in factory.info(&instruction).used_registers() {
                let register = RegisterSet::of(used.register());
                if !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess) {
                    facts.writes = facts.writes.with(register);
                }
                if !matches!(used.access(), OpAccess::Write | OpAccess::None | OpAccess::NoMemAccess) {
                    facts.reads = facts.reads.with(register);
                }
            }
        }
    }
    facts.writes = facts.writes.and(RegisterSet::CLOBBERED);
    facts
}
