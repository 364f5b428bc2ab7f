//! Whether code ever keeps the address of a table as such, or only computes with it: what then holds that address points to the first
//! row (`PROOF` §1.2, the code that made a pointer decides what it means).
//!
//! Conservative: a use that is not understood keeps the address.

use std::collections::BTreeMap;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::functions::FunctionId;
use super::image::CodeImage;
use super::reference::{FunctionCode, PartCode, Role, Target};
use super::slots::Loaded;
use crate::program::dwarf::DebugInfo;
use crate::program::types::Shape;

/// Library functions that write all registers to memory, where a later read brings them back.
const REGISTER_SAVERS: [&str; 7] =
    ["setjmp", "_setjmp", "__sigsetjmp", "sigsetjmp", "getcontext", "swapcontext", "__builtin_setjmp"];

/// A set of general registers, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Registers(u16);

impl Registers {
    fn of(register: Register) -> Self {
        let full = register.full_register();
        if full.is_gpr64() { Self(1 << full.number()) } else { Self(0) }
    }

    fn meets(self, other: Registers) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Registers) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Registers) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Registers of a result (System V ABI §3.2.3).
fn results() -> Registers {
    Registers::of(Register::RAX).with(Registers::of(Register::RDX))
}

/// Registers by which a function is given something (System V ABI §3.2.3): arguments, static chain, number of vector registers.
fn passed() -> Registers {
    use Register::{R8, R9, R10, RAX, RCX, RDI, RDX, RSI};
    [RDI, RSI, RDX, RCX, R8, R9, R10, RAX].into_iter().fold(Registers::default(), |all, one| all.with(Registers::of(one)))
}

impl CodeImage<'_> {
    /// Whether some instruction or initialised word keeps `address` itself, rather than an address computed from it with an index or
    /// what lies there.
    pub fn keeps_address(&self, address: u64, debug: &DebugInfo) -> bool {
        let stored = self.layout.elf.relocations.iter().filter(|relocation| !self.layout.slots.is_slot(relocation.address.0));
        let by_data =
            stored.map(|relocation| self.layout.slots.relocated(relocation)).any(|loaded| loaded == Loaded::Address(address));
        let exported = self.layout.elf.dynamic_symbols.iter().any(|symbol| symbol.defined && symbol.address.0 == address);
        let saves = self.layout.elf.dynamic_symbols.iter().any(|symbol| REGISTER_SAVERS.contains(&symbol.name.as_str()));
        by_data || exported || saves || self.inventory().iter().any(|(id, _)| self.function_keeps(id, address, debug))
    }

    fn function_keeps(&self, id: FunctionId, address: u64, debug: &DebugInfo) -> bool {
        let Some(code) = self.code(id) else { return true };
        let names = |part: &PartCode<'_>| part.references.iter().any(|reference| self.makes(reference.target) == Some(address));
        if !code.parts.iter().any(names) {
            return false;
        }
        if code.defect.is_some() {
            return true;
        }
        let results = if self.returns_nothing(id, debug) { Registers::default() } else { results() };
        Flow { image: self, code, address, results, reached: BTreeMap::new() }.keeps()
    }

    /// Whether a function has no result, so that what is left in the registers for one is nobody's.
    fn returns_nothing(&self, id: FunctionId, debug: &DebugInfo) -> bool {
        let known = self.inventory().get(id).map(|function| &function.debug[..]).unwrap_or_default();
        let is_void = |position: &usize| {
            let kind = debug.functions.get(*position).and_then(|function| function.kind);
            kind.is_some_and(|kind| match &debug.types.get(kind).shape {
                Shape::Function { result, .. } => result.is_none_or(|id| debug.types.get(id).shape == Shape::Void),
                _ => false,
            })
        };
        !known.is_empty() && known.iter().all(is_void)
    }

    /// The address that an operand with this target puts into a register.
    fn makes(&self, target: Target) -> Option<u64> {
        match target {
            Target::Address(address) => Some(address),
            Target::Slot(slot) => match self.layout.slots.loaded(slot) {
                Loaded::Address(address) => Some(address),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The instructions of a function, with the registers that may hold the address before each.
struct Flow<'i, 'a> {
    image: &'i CodeImage<'a>,
    code: &'i FunctionCode<'a>,
    address: u64,
    /// Registers that hold a result at the end.
    results: Registers,
    reached: BTreeMap<u64, Registers>,
}

/// What follows an instruction.
enum Step {
    /// The registers that may hold the address behind it.
    Goes(Registers),
    /// The address is kept.
    Keeps,
}

impl Flow<'_, '_> {
    fn keeps(mut self) -> bool {
        let mut open = Vec::new();
        for part in &self.code.parts {
            for reference in part.references.iter().filter(|reference| self.image.makes(reference.target) == Some(self.address)) {
                let Role::Load(into) = reference.role else { return true };
                let next = part.start + u64::from(reference.offset + reference.length);
                open.push((next, Registers::of(into)));
            }
        }
        let mut factory = InstructionInfoFactory::new();
        while let Some((at, holding)) = open.pop() {
            let known = self.reached.get(&at).copied();
            let all = known.unwrap_or_default().with(holding);
            if all == Registers::default() || known == Some(all) {
                continue;
            }
            self.reached.insert(at, all);
            let Some(instruction) = self.decode(at) else { return true };
            match step(&instruction, all, &mut factory) {
                Step::Keeps => return true,
                Step::Goes(after) if !self.follow(&instruction, after, &mut open) => return true,
                Step::Goes(_) => {}
            }
        }
        false
    }

    /// The instruction at `at`, when it lies in the function.
    fn decode(&self, at: u64) -> Option<Instruction> {
        let part = self.part(at)?;
        let bytes = part.bytes.get((at - part.start) as usize..)?;
        let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    fn part(&self, at: u64) -> Option<&PartCode<'_>> {
        self.code.parts.iter().find(|part| (part.start..part.start + part.bytes.len() as u64).contains(&at))
    }

    /// Goes on behind `instruction`; whether every way is known.
    fn follow(&self, instruction: &Instruction, after: Registers, open: &mut Vec<(u64, Registers)>) -> bool {
        let behind = (instruction.next_ip(), after);
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                // Behind a call that does not return the function may end.
                if self.part(behind.0).is_some() {
                    open.push(behind);
                }
                true
            }
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                let to = instruction.near_branch_target();
                if self.part(to).is_some() {
                    open.push((to, after));
                } else if after.meets(passed()) {
                    return false;
                }
                if instruction.flow_control() == FlowControl::ConditionalBranch {
                    open.push(behind);
                }
                true
            }
            FlowControl::Return => !after.meets(self.results),
            FlowControl::Exception => true,
            _ => false,
        }
    }
}

/// What `instruction` does with the address in `holding`.
fn step(instruction: &Instruction, holding: Registers, factory: &mut InstructionInfoFactory) -> Step {
    if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
        return if holding.meets(passed()) { Step::Keeps } else { Step::Goes(holding) };
    }
    let info = factory.info(instruction);
    let mut written = Registers::default();
    let mut read = Registers::default();
    for used in info.used_registers() {
        let register = Registers::of(used.register());
        match used.access() {
            OpAccess::Write if used.register().size() >= 4 => written = written.with(register),
            OpAccess::Write | OpAccess::CondWrite => {}
            _ => read = read.with(register),
        }
        if matches!(used.access(), OpAccess::ReadWrite) && used.register().size() == 8 {
            written = written.with(register);
        }
    }
    if !read.meets(holding) {
        return Step::Goes(holding.without(written));
    }
    match use_of(instruction, holding) {
        Use::Other => Step::Keeps,
        Use::Computes => Step::Goes(holding.without(written)),
        Use::Copies => Step::Goes(holding.without(written).with(Registers::of(instruction.op0_register()))),
    }
}

enum Use {
    /// As an address of memory that is read or written, in a comparison, or with an index or a distance added.
    Computes,
    /// Into another register.
    Copies,
    /// In a way that may keep it.
    Other,
}

fn use_of(instruction: &Instruction, holding: Registers) -> Use {
    let is_held = |register: Register| register != Register::None && Registers::of(register).meets(holding);
    let operand = |index: u32| match instruction.op_kind(index) {
        OpKind::Register => is_held(instruction.op_register(index)),
        _ => false,
    };
    match instruction.mnemonic() {
        Mnemonic::Cmp | Mnemonic::Test => Use::Computes,
        Mnemonic::Lea => {
            let indexed = instruction.memory_index() != Register::None && instruction.memory_base() != Register::None;
            let distant = instruction.memory_displacement64() != 0;
            if indexed || distant { Use::Computes } else { Use::Copies }
        }
        Mnemonic::Add | Mnemonic::Sub if instruction.op0_kind() == OpKind::Register => Use::Computes,
        Mnemonic::Mov if instruction.op0_kind() == OpKind::Register && operand(1) => {
            if instruction.op0_register().is_gpr64() {
                Use::Copies
            } else {
                Use::Other
            }
        }
        Mnemonic::Cmove | Mnemonic::Cmovne | Mnemonic::Cmova | Mnemonic::Cmovae | Mnemonic::Cmovb | Mnemonic::Cmovbe
            if operand(1) =>
        {
            Use::Copies
        }
        // Read through, and none of the operands is the address itself.
        _ if instruction.op_count() > 0 && !(0..instruction.op_count()).any(operand) && through_memory(instruction, holding) => {
            Use::Computes
        }
        // The old value of a register that is overwritten from memory does not count as read.
        Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsxd | Mnemonic::Movsx if !operand(1) => Use::Computes,
        _ => Use::Other,
    }
}

/// Whether the address is in the memory operand; what is not understood there (string instructions) is not.
fn through_memory(instruction: &Instruction, holding: Registers) -> bool {
    let explicit = instruction.op_kinds().any(|kind| kind == OpKind::Memory);
    let held = |register: Register| Registers::of(register).meets(holding);
    explicit && (held(instruction.memory_base()) || held(instruction.memory_index()))
}
