//! Whether a call gives arguments on the stack, told by the code before it.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::program::address::LinkAddress;
use crate::program::elf::Elf;
use crate::program::unwind::{SavedRegister, UnwindIndex, dwarf};

/// Whether the call that holds `call` stores anything for its callee at the bottom of its frame; `None` where that cannot be told.
///
/// Arguments are stored between the last branch or call and this one, by a push or at the stack pointer: compilers evaluate calls within
/// arguments first. What a function's prologue pushes are its caller's registers, which call frame information tells.
pub fn arguments_pushed(elf: &Elf, unwind: &UnwindIndex, call: LinkAddress) -> Option<bool> {
    let (start, end) = unwind.range(call)?;
    let code = elf.file_bytes(start, end.0.checked_sub(start.0)?)?;
    let all: Vec<Instruction> = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE).iter().collect();
    let at = all.iter().position(|instruction| instruction.ip() <= call.0 && call.0 < instruction.next_ip())?;
    let before = all.get(..at)?;
    let first = before.iter().rposition(|instruction| instruction.flow_control() != FlowControl::Next).map_or(0, |last| last + 1);
    let straight = before.get(first..)?;
    let is_entry = first == 0;
    let prologue = if is_entry { straight.iter().take_while(|instruction| is_prologue(instruction)).count() } else { 0 };
    Some(straight.iter().skip(prologue).any(|instruction| stores_below(instruction, unwind)))
}

fn is_prologue(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Push | Mnemonic::Endbr64)
        || (instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register() == Register::RBP)
}

fn stores_below(instruction: &Instruction, unwind: &UnwindIndex) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Push => !is_saved(instruction, unwind),
        _ => {
            let is_store = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Memory;
            // At the bottom of the frame: what is higher is the frame's own, as far as anybody's six arguments go.
            is_store && instruction.memory_base() == Register::RSP && instruction.memory_displacement64() == 0
        }
    }
}

/// Whether a push saves a register of the caller, which the row behind it tells.
fn is_saved(push: &Instruction, unwind: &UnwindIndex) -> bool {
    let Some(rules) = unwind.frame_rules(LinkAddress(push.next_ip())) else { return false };
    let slot = match rules.frame_address {
        Some((register, offset)) if usize::from(register) == dwarf::RSP => offset.wrapping_neg(),
        _ => return false,
    };
    rules.saved.contains(&SavedRegister::At(slot))
}
