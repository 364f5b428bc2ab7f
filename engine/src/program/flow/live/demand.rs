//! What an instruction needs of its operands for the bits of its result that anybody reads: nothing, where nobody does.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::set::LiveSet;
use crate::program::flow::effects::{Effects, Location, Touch, low_bits};
use crate::program::flow::stack;

/// The reads of an instruction that matter, with what is live behind it.
pub(super) fn reads(instruction: &Instruction, effects: &Effects, behind: &LiveSet) -> Vec<Touch> {
    let Some(need) = need(instruction, effects, behind) else { return effects.reads.clone() };
    let narrowed = effects.reads.iter().map(|touch| match touch.location {
        Location::Register(_) => Touch { bits: touch.bits & need, ..*touch },
        // The carry of `adc` and its like; such instructions are none of those below.
        _ => *touch,
    });
    narrowed.filter(|touch| touch.bits != 0).collect()
}

/// Bits of the operands in registers that matter; `None` where all do that the instruction reads.
fn need(instruction: &Instruction, effects: &Effects, behind: &LiveSet) -> Option<u64> {
    if instruction.op_count() < 1 || instruction.op0_kind() != OpKind::Register || !effects.memory.is_empty() {
        return None;
    }
    let target = instruction.op0_register();
    let width = target.size() * 8;
    if !target.is_gpr() || width < 32 || !effects.may_write.is_empty() || target.full_register() == Register::RSP {
        return None;
    }
    let reads_flags = effects.writes.iter().any(|touch| touch.location == Location::Flags && touch.bits & behind.flags != 0);
    if reads_flags {
        return None;
    }
    let wanted = behind.register(stack::number(target)? as u8) & low_bits(width);
    let up_to_highest = low_bits(64 - wanted.leading_zeros() as usize);
    Some(match instruction.mnemonic() {
        Mnemonic::Mov | Mnemonic::And | Mnemonic::Or | Mnemonic::Xor | Mnemonic::Not => wanted,
        Mnemonic::Lea | Mnemonic::Add | Mnemonic::Sub | Mnemonic::Neg | Mnemonic::Inc | Mnemonic::Dec | Mnemonic::Imul
            if instruction.op_count() > 1 || instruction.mnemonic() != Mnemonic::Imul =>
        {
            up_to_highest
        }
        Mnemonic::Movzx => widened(instruction, wanted),
        Mnemonic::Movsx | Mnemonic::Movsxd => extended(instruction, wanted)?,
        Mnemonic::Shl => wanted.checked_shr(count(instruction)?)?,
        Mnemonic::Shr => wanted.checked_shl(count(instruction)?)?,
        _ => return None,
    })
}

/// The count of a shift by a number.
fn count(instruction: &Instruction) -> Option<u32> {
    let count = u32::try_from(instruction.try_immediate(1).ok()?).ok()?;
    (count < 32).then_some(count)
}

fn widened(instruction: &Instruction, wanted: u64) -> u64 {
    in_place(instruction.op1_register(), wanted)
}

/// A sign is read where any bit above it is.
fn extended(instruction: &Instruction, wanted: u64) -> Option<u64> {
    let width = instruction.op1_register().size() * 8;
    let low = low_bits(width);
    let sign = if wanted & !low != 0 { 1u64.checked_shl(width as u32 - 1)? } else { 0 };
    Some(in_place(instruction.op1_register(), (wanted & low) | sign))
}

/// Bits of a register's part as bits of the whole.
fn in_place(part: Register, bits: u64) -> u64 {
    let is_high = matches!(part, Register::AH | Register::BH | Register::CH | Register::DH);
    if is_high { bits << 8 } else { bits }
}
