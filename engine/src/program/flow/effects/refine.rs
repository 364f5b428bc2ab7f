//! What the decoder's tables are too coarse for: bits of operands that cannot make a difference.

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::{Effects, Location, Touch, low_bits};
use crate::program::flow::stack;

/// Narrows `effects` to what the instruction's result depends on.
pub(super) fn refine(instruction: &Instruction, effects: &mut Effects) {
    match instruction.mnemonic() {
        Mnemonic::Lea => narrow_address(instruction, effects),
        Mnemonic::Test | Mnemonic::And => mask_by_immediate(instruction, effects, |value| value),
        Mnemonic::Or => mask_by_immediate(instruction, effects, |value| !value),
        // The carry flag is the last bit that is shifted out.
        Mnemonic::Shr | Mnemonic::Sar => by_count(instruction, effects, |count, _| !low_bits(count - 1)),
        Mnemonic::Shl => by_count(instruction, effects, |count, width| low_bits(width + 1 - count)),
        Mnemonic::Bt => by_bit(instruction, effects),
        Mnemonic::Sbb if is_same_twice(instruction) => {
            effects.reads.retain(|touch| touch.location == Location::Flags);
        }
        mnemonic => scalar(mnemonic, instruction, effects),
    }
}

/// The upper half of the parts of an address makes no difference to a narrower result.
fn narrow_address(instruction: &Instruction, effects: &mut Effects) {
    let width = low_bits(instruction.op0_register().size() * 8);
    for touch in &mut effects.reads {
        touch.bits &= width;
    }
}

/// Bits of the first operand, a register, that the immediate operand settles.
fn mask_by_immediate(instruction: &Instruction, effects: &mut Effects, matters: impl Fn(u64) -> u64) {
    if let Ok(value) = instruction.try_immediate(1) {
        narrow_first(instruction, effects, matters(value));
    }
}

fn by_count(instruction: &Instruction, effects: &mut Effects, matters: impl Fn(usize, usize) -> u64) {
    if instruction.op0_kind() != OpKind::Register {
        return;
    }
    let width = instruction.op0_register().size() * 8;
    if let Ok(count) = instruction.try_immediate(1).map(|count| count as usize)
        && (1..width).contains(&count)
        && width >= 32
    {
        narrow_first(instruction, effects, matters(count, width));
    }
}

fn by_bit(instruction: &Instruction, effects: &mut Effects) {
    if instruction.op0_kind() == OpKind::Register
        && let Ok(bit) = instruction.try_immediate(1)
    {
        let width = (instruction.op0_register().size() * 8) as u64;
        narrow_first(instruction, effects, 1 << (bit % width));
    }
}

fn narrow_first(instruction: &Instruction, effects: &mut Effects, bits: u64) {
    if instruction.op0_kind() != OpKind::Register {
        return;
    }
    let Some(number) = stack::number(instruction.op0_register()) else { return };
    let is_high = super::touch(instruction.op0_register()).is_some_and(|touch| touch.bits == 0xff00);
    let bits = if is_high { bits << 8 } else { bits };
    for touch in effects.reads.iter_mut().filter(|touch| touch.location == Location::Register(number as u8)) {
        touch.bits &= bits;
    }
}

fn is_same_twice(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register()
}

/// Scalar operations on vector registers: the rest of the destination stays as it is rather than being read.
fn scalar(mnemonic: Mnemonic, instruction: &Instruction, effects: &mut Effects) {
    use Mnemonic::*;
    let (bytes, reads_first) = match mnemonic {
        Addsd | Subsd | Mulsd | Divsd | Minsd | Maxsd | Ucomisd | Comisd => (8, true),
        Addss | Subss | Mulss | Divss | Minss | Maxss | Ucomiss | Comiss => (4, true),
        Cvtsi2sd | Cvtss2sd | Sqrtsd => (8, false),
        Cvtsi2ss | Cvtsd2ss | Sqrtss => (4, false),
        Movsd if is_vectors(instruction) => (8, false),
        Movss if is_vectors(instruction) => (4, false),
        Pxor | Xorps | Xorpd | Pcmpeqb | Pcmpeqw | Pcmpeqd if is_same_twice(instruction) => {
            return effects.reads.clear();
        }
        _ => return,
    };
    let first = super::touch(instruction.op0_register()).map(|touch| touch.location);
    let source = (instruction.op1_kind() == OpKind::Register).then(|| super::touch(instruction.op1_register())).flatten();
    // The two widths of a conversion between floating-point numbers.
    let source_bytes = match mnemonic {
        Cvtss2sd => 4,
        Cvtsd2ss => 8,
        _ => bytes,
    };
    let is_vector = |touch: &&mut Touch| matches!(touch.location, Location::Vector(_));
    for touch in effects.reads.iter_mut().filter(is_vector) {
        let is_source = source.is_some_and(|source| source.location == touch.location);
        let own = if reads_first && Some(touch.location) == first { low_bits(bytes) } else { 0 };
        touch.bits &= own | if is_source { low_bits(source_bytes) } else { 0 };
    }
    for touch in effects.writes.iter_mut().filter(is_vector) {
        touch.bits &= low_bits(bytes);
    }
}

fn is_vectors(instruction: &Instruction) -> bool {
    instruction.op_count() == 2
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op1_register().is_xmm()
}
