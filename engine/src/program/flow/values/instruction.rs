//! What one instruction makes of a place.

use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, RflagsBits};

use super::Values;
use super::term::{Binary, Place, Term, ValueId};

/// All status flags.
const STATUS: u32 = RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::CF | RflagsBits::PF;
impl Values<'_> {
    /// What `place` holds after the instruction at node `at`, if that instruction has to do with it.
    pub(super) fn made_by(&mut self, at: u32, place: Place) -> Option<ValueId> {
        let graph = self.function.graph;
        let node = &graph.nodes()[at as usize];
        if node.call.is_some() {
            return self.left_by_call(at, place);
        }
        let instruction = node.instruction;
        match place {
            Place::Slot { offset, length } => self.stored(at, &instruction, offset, length),
            Place::Register(register) => self.register(at, &instruction, register),
            Place::Vector(_) | Place::Flags => self.other(at, &instruction, place),
        }
    }

    fn left_by_call(&mut self, at: u32, place: Place) -> Option<ValueId> {
        let clobbers = self.function.graph.nodes()[at as usize].clobbers;
        match place {
            Place::Register(register) if clobbers.general >> register & 1 == 0 => None,
            Place::Vector(vector) if clobbers.vector >> vector & 1 == 0 => None,
            Place::Register(0 | 2) | Place::Vector(0 | 1) => Some(self.number(Term::Result { call: at, place })),
            Place::Slot { .. } => None,
            _ => Some(self.number(Term::Unknown { at, place })),
        }
    }

    fn register(&mut self, at: u32, instruction: &Instruction, register: u8) -> Option<ValueId> {
        // The kernel's answer is no operand.
        if instruction.mnemonic() == Mnemonic::Syscall && register == 0 {
            return Some(self.number(Term::Result { call: at, place: Place::Register(0) }));
        }
        if !writes(instruction, register) {
            return None;
        }
        // They have no operands to be seen.
        if let Mnemonic::Cdqe | Mnemonic::Cwde = instruction.mnemonic() {
            let (from, to) = if instruction.mnemonic() == Mnemonic::Cdqe { (32, 64) } else { (16, 32) };
            let value = self.read_at(at, Place::Register(0));
            let value = self.extend(from, true, value);
            return Some(self.extend(to, false, value));
        }
        let first = instruction.op0_register();
        let is_first = instruction.op0_kind() == OpKind::Register && general(first) == Some(register);
        let place = Place::Register(register);
        if is_first {
            let bits = (first.size() * 8) as u8;
            let made = self.first_operand(at, instruction).unwrap_or_else(|| self.opaque(at, instruction, place, (0, bits)));
            return Some(self.merged(at, first, made));
        }
        Some(match writes_part(instruction, register) {
            true => self.number(Term::Unknown { at, place }),
            false => self.opaque(at, instruction, place, (2 + register, 64)),
        })
    }

    /// The whole register after a write of `made` to `written`, which may be a part of it.
    fn merged(&mut self, at: u32, written: Register, made: ValueId) -> ValueId {
        let register = general(written).unwrap_or(0);
        match written.size() {
            8 => made,
            4 => self.extend(32, false, made),
            size => {
                let bits = (size * 8) as u8;
                let shift = if is_high_byte(written) { 8 } else { 0 };
                let mask = !(((1u64 << bits) - 1) << shift);
                let whole = self.read_at(at, Place::Register(register));
                let mask = self.constant(mask);
                let kept = self.binary(Binary::And, 64, whole, mask);
                let low = self.extend(bits, false, made);
                let low = if shift == 0 { low } else { self.sum(64, &[(low, 256)], 0) };
                self.binary(Binary::Or, 64, kept, low)
            }
        }
    }

    /// What instructions that are understood write to their first operand.
    fn first_operand(&mut self, at: u32, instruction: &Instruction) -> Option<ValueId> {
        let bits = (instruction.op0_register().size() * 8) as u8;
        Some(match instruction.mnemonic() {
            Mnemonic::Mov | Mnemonic::Movzx => self.operand(at, instruction, 1)?,
            Mnemonic::Movsx | Mnemonic::Movsxd => {
                let from = operand_bits(instruction, 1);
                let value = self.operand(at, instruction, 1)?;
                let value = self.extend(from, true, value);
                self.extend(bits, false, value)
            }
            Mnemonic::Lea => {
                let address = self.address(at, instruction)?;
                self.extend(bits, false, address)
            }
            Mnemonic::Xor | Mnemonic::Sub if is_same(instruction) => self.constant(0),
            Mnemonic::Add => self.linear(at, instruction, bits, 1)?,
            Mnemonic::Sub => self.linear(at, instruction, bits, -1)?,
            Mnemonic::Inc => self.stepped(at, instruction, bits, 1, 1)?,
            Mnemonic::Dec => self.stepped(at, instruction, bits, 1, -1)?,
            Mnemonic::Neg => self.stepped(at, instruction, bits, -1, 0)?,
            // Two's complement.
            Mnemonic::Not => self.stepped(at, instruction, bits, -1, -1)?,
            Mnemonic::And => self.two(at, instruction, bits, Binary::And)?,
            Mnemonic::Or => self.two(at, instruction, bits, Binary::Or)?,
            Mnemonic::Xor => self.two(at, instruction, bits, Binary::Xor)?,
            Mnemonic::Shl | Mnemonic::Sal | Mnemonic::Shlx => self.two(at, instruction, bits, Binary::ShiftLeft)?,
            Mnemonic::Shr | Mnemonic::Shrx => self.two(at, instruction, bits, Binary::ShiftRight)?,
            Mnemonic::Sar | Mnemonic::Sarx => self.two(at, instruction, bits, Binary::ShiftRightSigned)?,
            Mnemonic::Imul if instruction.op_count() == 2 => self.two(at, instruction, bits, Binary::Multiply)?,
            Mnemonic::Imul if instruction.op_count() == 3 => {
                let (left, right) = (self.operand(at, instruction, 1)?, self.operand(at, instruction, 2)?);
                self.binary(Binary::Multiply, bits, left, right)
            }
            Mnemonic::Movq | Mnemonic::Movd => {
                let value = self.operand(at, instruction, 1)?;
                self.part(value, 0, bits / 8)
            }
            Mnemonic::Pop => {
                let offset = self.function.frame_offset(at, 4)?;
                self.slot_or_load(at, offset, 8)
            }
            Mnemonic::Leave => return None,
            _ => return None,
        })
    }

    fn linear(&mut self, at: u32, instruction: &Instruction, bits: u8, factor: i64) -> Option<ValueId> {
        let (left, right) = (self.operand(at, instruction, 0)?, self.operand(at, instruction, 1)?);
        Some(self.sum(bits, &[(left, 1), (right, factor)], 0))
    }

    fn stepped(&mut self, at: u32, instruction: &Instruction, bits: u8, factor: i64, by: i64) -> Option<ValueId> {
        let value = self.operand(at, instruction, 0)?;
        Some(self.sum(bits, &[(value, factor)], by))
    }

    fn two(&mut self, at: u32, instruction: &Instruction, bits: u8, operation: Binary) -> Option<ValueId> {
        let three = instruction.op_count() == 3;
        let left = self.operand(at, instruction, u32::from(three))?;
        let right =
            if instruction.op_count() == 1 { self.constant(1) } else { self.operand(at, instruction, 1 + u32::from(three))? };
        Some(self.binary(operation, bits, left, right))
    }

    /// What an instruction stores to memory as its first operand.
    pub(super) fn stored_value(&mut self, at: u32, instruction: &Instruction) -> Option<ValueId> {
        let bits = operand_bits(instruction, 0);
        Some(match instruction.mnemonic() {
            Mnemonic::Mov | Mnemonic::Movq | Mnemonic::Movd => {
                let value = self.operand(at, instruction, 1)?;
                self.part(value, 0, (bits / 8).clamp(1, 8))
            }
            Mnemonic::Push => self.operand(at, instruction, 0).map(|value| self.extend(64, false, value))?,
            Mnemonic::Movaps
            | Mnemonic::Movups
            | Mnemonic::Movapd
            | Mnemonic::Movupd
            | Mnemonic::Movdqa
            | Mnemonic::Movdqu
            | Mnemonic::Movsd
            | Mnemonic::Movss
            | Mnemonic::Movlps
            | Mnemonic::Movlpd
            | Mnemonic::Vmovaps
            | Mnemonic::Vmovups
            | Mnemonic::Vmovdqa
            | Mnemonic::Vmovdqu => {
                let length = instruction.memory_size().size() as u8;
                let value = self.operand(at, instruction, 1)?;
                self.part(value, 0, length)
            }
            Mnemonic::Add => self.linear(at, instruction, bits, 1)?,
            Mnemonic::Sub => self.linear(at, instruction, bits, -1)?,
            Mnemonic::Inc => self.stepped(at, instruction, bits, 1, 1)?,
            Mnemonic::Dec => self.stepped(at, instruction, bits, 1, -1)?,
            Mnemonic::Neg => self.stepped(at, instruction, bits, -1, 0)?,
            Mnemonic::Not => self.stepped(at, instruction, bits, -1, -1)?,
            Mnemonic::And => self.two(at, instruction, bits, Binary::And)?,
            Mnemonic::Or => self.two(at, instruction, bits, Binary::Or)?,
            Mnemonic::Xor => self.two(at, instruction, bits, Binary::Xor)?,
            Mnemonic::Shl | Mnemonic::Sal => self.two(at, instruction, bits, Binary::ShiftLeft)?,
            Mnemonic::Shr => self.two(at, instruction, bits, Binary::ShiftRight)?,
            Mnemonic::Sar => self.two(at, instruction, bits, Binary::ShiftRightSigned)?,
            _ => return None,
        })
    }

    /// Vector registers and flags.
    fn other(&mut self, at: u32, instruction: &Instruction, place: Place) -> Option<ValueId> {
        match place {
            Place::Flags if instruction.rflags_modified() == 0 => return None,
            Place::Vector(vector) => {
                if !writes_vector(instruction, vector) {
                    return None;
                }
                if instruction.op0_kind() == OpKind::Register
                    && vector_number(instruction.op0_register()) == Some(vector)
                    && let Some(value) = self.vector(at, instruction)
                {
                    return Some(value);
                }
            }
            _ => {}
        }
        let result = if place == Place::Flags { (1, 64) } else { (0, 0) };
        Some(self.opaque(at, instruction, place, result))
    }

    fn vector(&mut self, at: u32, instruction: &Instruction) -> Option<ValueId> {
        let from_memory = instruction.op1_kind() == OpKind::Memory;
        match instruction.mnemonic() {
            Mnemonic::Pxor | Mnemonic::Xorps | Mnemonic::Xorpd if is_same(instruction) => Some(self.constant(0)),
            Mnemonic::Movaps
            | Mnemonic::Movups
            | Mnemonic::Movapd
            | Mnemonic::Movupd
            | Mnemonic::Movdqa
            | Mnemonic::Movdqu
            | Mnemonic::Movq
            | Mnemonic::Movd => self.operand(at, instruction, 1),
            Mnemonic::Movsd | Mnemonic::Movss if from_memory => self.operand(at, instruction, 1),
            _ => None,
        }
    }

    /// The result of an instruction that is not taken apart: a function of what it reads, if it is one.
    pub(super) fn opaque(&mut self, at: u32, instruction: &Instruction, place: Place, (result, bits): (u8, u8)) -> ValueId {
        let operands = if is_function(instruction) { self.operands(at, instruction) } else { None };
        match operands {
            Some(operands) => self.number(Term::Pure { code: instruction.code(), result, bits, operands }),
            None => self.number(Term::Unknown { at, place }),
        }
    }

    fn operands(&mut self, at: u32, instruction: &Instruction) -> Option<Vec<ValueId>> {
        let mut found = Vec::new();
        let mut info = InstructionInfoFactory::new();
        let used: Vec<(Register, OpAccess)> =
            info.info(instruction).used_registers().iter().map(|used| (used.register(), used.access())).collect();
        let memory = instruction.op_kinds().position(|kind| kind == OpKind::Memory);
        for (register, access) in used {
            // What may be left as it is counts as read.
            if !is_read(access) && access != OpAccess::CondWrite {
                continue;
            }
            let is_address = memory.is_some()
                && [instruction.memory_base(), instruction.memory_index()].contains(&register)
                && !instruction.op_kinds().enumerate().any(|(index, kind)| {
                    kind == OpKind::Register && instruction.op_register(index as u32).full_register() == register.full_register()
                });
            if is_address {
                continue;
            }
            found.push(self.register_value(at, register)?);
        }
        if let Some(index) = memory {
            found.push(self.operand(at, instruction, index as u32)?);
        }
        for (index, kind) in instruction.op_kinds().enumerate() {
            if let Ok(number) = instruction.try_immediate(index as u32)
                && kind != OpKind::Register
                && kind != OpKind::Memory
            {
                found.push(self.constant(number));
            }
        }
        let keeps_some = instruction.rflags_modified() != 0 && instruction.rflags_modified() & STATUS != STATUS;
        if instruction.rflags_read() != 0 || keeps_some {
            found.push(self.read_at(at, Place::Flags));
        }
        Some(found)
    }

    /// The value of an operand before an instruction, zero-extended from its width.
    pub(super) fn operand(&mut self, at: u32, instruction: &Instruction, index: u32) -> Option<ValueId> {
        match instruction.try_op_kind(index).ok()? {
            OpKind::Register => self.register_value(at, instruction.op_register(index)),
            OpKind::Memory => self.load(at, instruction),
            _ => {
                let number = instruction.try_immediate(index).ok()?;
                let bits = (operand_bits(instruction, 0)).max(8);
                let named = self.function.graph.nodes()[at as usize].operands.immediate;
                Some(match named {
                    Some(symbol) => self.number(Term::Address(symbol)),
                    None => self.constant(super::arithmetic::low(number, bits)),
                })
            }
        }
    }

    fn register_value(&mut self, at: u32, register: Register) -> Option<ValueId> {
        if let Some(vector) = vector_number(register) {
            return Some(self.read_at(at, Place::Vector(vector)));
        }
        let whole = self.read_at(at, Place::Register(general(register)?));
        if is_high_byte(register) {
            let eight = self.constant(8);
            let shifted = self.binary(Binary::ShiftRight, 64, whole, eight);
            return Some(self.extend(8, false, shifted));
        }
        Some(self.extend((register.size() * 8) as u8, false, whole))
    }

    pub(super) fn read_at(&mut self, at: u32, place: Place) -> ValueId {
        self.read(at, place)
    }
}

/// Number of a general register's full one, as instructions encode it.
pub fn general(register: Register) -> Option<u8> {
    register.is_gpr().then(|| register.full_register().number() as u8)
}

fn vector_number(register: Register) -> Option<u8> {
    register.is_vector_register().then(|| register.number() as u8)
}

fn is_high_byte(register: Register) -> bool {
    matches!(register, Register::AH | Register::BH | Register::CH | Register::DH)
}

fn is_same(instruction: &Instruction) -> bool {
    instruction.op_count() == 2
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register()
}

fn operand_bits(instruction: &Instruction, index: u32) -> u8 {
    match instruction.try_op_kind(index) {
        Ok(OpKind::Register) => (instruction.op_register(index).size() * 8).min(64) as u8,
        _ => (instruction.memory_size().size() * 8).min(64) as u8,
    }
}

fn is_read(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn is_write(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn writes(instruction: &Instruction, register: u8) -> bool {
    let mut info = InstructionInfoFactory::new();
    let info = info.info(instruction);
    info.used_registers().iter().any(|used| is_write(used.access()) && general(used.register()) == Some(register))
}

/// Whether it leaves some bits of a register that it writes as they were.
fn writes_part(instruction: &Instruction, register: u8) -> bool {
    let mut info = InstructionInfoFactory::new();
    let info = info.info(instruction);
    let of_register = |used: &&iced_x86::UsedRegister| is_write(used.access()) && general(used.register()) == Some(register);
    info.used_registers().iter().filter(of_register).any(|used| used.register().size() < 4)
}

fn writes_vector(instruction: &Instruction, vector: u8) -> bool {
    let mut info = InstructionInfoFactory::new();
    let info = info.info(instruction);
    info.used_registers().iter().any(|used| is_write(used.access()) && vector_number(used.register()) == Some(vector))
}

/// Whether the results of an instruction depend on its operands alone.
fn is_function(instruction: &Instruction) -> bool {
    use iced_x86::{CpuidFeature, FlowControl};
    let asks = matches!(
        instruction.mnemonic(),
        Mnemonic::Rdtsc
            | Mnemonic::Rdtscp
            | Mnemonic::Cpuid
            | Mnemonic::Rdrand
            | Mnemonic::Rdseed
            | Mnemonic::Rdpmc
            | Mnemonic::Xgetbv
            | Mnemonic::Syscall
            | Mnemonic::Rdpid
            | Mnemonic::Xchg
            | Mnemonic::Xadd
            | Mnemonic::Cmpxchg
            | Mnemonic::Cmpxchg8b
            | Mnemonic::Cmpxchg16b
            | Mnemonic::Rdfsbase
            | Mnemonic::Rdgsbase
            | Mnemonic::Leave
    );
    let is_x87 = instruction.cpuid_features().iter().any(|feature| matches!(feature, CpuidFeature::FPU | CpuidFeature::FPU287));
    let plain = instruction.flow_control() == FlowControl::Next;
    plain
        && !asks
        && !is_x87
        && !instruction.is_privileged()
        && !instruction.is_string_instruction()
        && !instruction.has_lock_prefix()
}
