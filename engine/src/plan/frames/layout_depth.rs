//! How far the stack pointer is below the canonical frame address at an instruction, where call frame information counts from another
//! register.

use std::collections::HashMap;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use crate::program::address::LinkAddress;
use crate::program::elf::Elf;
use crate::program::unwind::{UnwindIndex, dwarf};

/// Bytes from the stack pointer up to the canonical frame address just before the instruction at `place`; `None` where the code gives its
/// frame a size of its own making (`alloca`, arrays of variable length), or the way there is not understood.
pub fn depth_at(elf: &Elf, unwind: &UnwindIndex, place: LinkAddress) -> Option<i64> {
    let (start, end) = unwind.range(place)?;
    let code = elf.file_bytes(start, end.0.checked_sub(start.0)?)?;
    let instructions: Vec<Instruction> = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE).iter().collect();
    let numbers: HashMap<u64, usize> = instructions.iter().enumerate().map(|(number, at)| (at.ip(), number)).collect();
    let mut depths: Vec<Known> = vec![Known::Unseen; instructions.len()];
    let mut waiting: Vec<usize> = Vec::new();
    let mut told = vec![false; instructions.len()];
    // Wherever the frame is counted from the stack pointer, it is known.
    for (number, instruction) in instructions.iter().enumerate() {
        if let Some((register, offset)) = unwind.frame_address(LinkAddress(instruction.ip()))
            && usize::from(register) == dwarf::RSP
        {
            *depths.get_mut(number)? = Known::At(offset);
            *told.get_mut(number)? = true;
            waiting.push(number);
        }
    }
    let mut info = InstructionInfoFactory::new();
    while let Some(number) = waiting.pop() {
        let (Some(instruction), Some(known)) = (instructions.get(number), depths.get(number).copied()) else { continue };
        let behind = match known {
            Known::At(depth) => after(instruction, depth, &mut info, unwind),
            Known::Unseen | Known::Unclear => known,
        };
        let ways = [next(instruction), target(instruction)].into_iter().flatten();
        let ways = ways.filter_map(|way| numbers.get(&way).copied());
        for way in ways.filter(|way| told.get(*way) == Some(&false)) {
            let Some(known) = depths.get_mut(way) else { continue };
            let joined = known.join(behind);
            if joined != *known {
                *known = joined;
                waiting.push(way);
            }
        }
    }
    match numbers.get(&place.0).and_then(|number| depths.get(*number))? {
        Known::At(depth) => Some(*depth),
        Known::Unseen | Known::Unclear => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// No way there was found yet.
    Unseen,
    At(i64),
    Unclear,
}

impl Known {
    fn join(self, other: Known) -> Known {
        match (self, other) {
            (Known::Unseen, other) => other,
            (known, Known::Unseen) => known,
            (Known::At(one), Known::At(two)) if one == two => self,
            _ => Known::Unclear,
        }
    }
}

fn next(instruction: &Instruction) -> Option<u64> {
    match instruction.flow_control() {
        FlowControl::UnconditionalBranch | FlowControl::IndirectBranch | FlowControl::Return | FlowControl::Exception => None,
        _ => Some(instruction.next_ip()),
    }
}

fn target(instruction: &Instruction) -> Option<u64> {
    match instruction.flow_control() {
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => Some(instruction.near_branch_target()),
        _ => None,
    }
}

/// The depth behind an instruction.
fn after(instruction: &Instruction, depth: i64, info: &mut InstructionInfoFactory, unwind: &UnwindIndex) -> Known {
    if matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
        return Known::At(depth);
    }
    let is_pointer =
        instruction.op_count() > 0 && instruction.op_kind(0) == OpKind::Register && instruction.op0_register() == Register::RSP;
    let immediate = || match instruction.op1_kind() {
        OpKind::Immediate8to64 | OpKind::Immediate32to64 => Some(instruction.immediate(1).cast_signed()),
        _ => None,
    };
    match instruction.mnemonic() {
        Mnemonic::Sub if is_pointer => immediate().map_or(Known::Unclear, |bytes| Known::At(depth.saturating_add(bytes))),
        Mnemonic::Add if is_pointer => immediate().map_or(Known::Unclear, |bytes| Known::At(depth.saturating_sub(bytes))),
        Mnemonic::Lea if is_pointer => from_base(instruction, depth, unwind),
        Mnemonic::Push | Mnemonic::Pop => Known::At(depth.saturating_sub(instruction.stack_pointer_increment().into())),
        // Told by the row behind it.
        Mnemonic::Leave => Known::Unseen,
        _ => {
            let writes = |access| !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
            let used = info.info(instruction).used_registers().iter();
            let changes = used.clone().any(|used| used.register().full_register() == Register::RSP && writes(used.access()));
            if changes { Known::Unclear } else { Known::At(depth) }
        }
    }
}

/// `lea -0x28(%rbp),%rsp`, and the like from the stack pointer.
fn from_base(instruction: &Instruction, depth: i64, unwind: &UnwindIndex) -> Known {
    let frame = unwind.frame_address(LinkAddress(instruction.ip()));
    let moved = instruction.memory_displacement64().cast_signed();
    match (instruction.memory_base(), instruction.memory_index(), frame) {
        (Register::RBP, Register::None, Some((register, offset))) if usize::from(register) == dwarf::RBP => {
            Known::At(offset.saturating_sub(moved))
        }
        (Register::RSP, Register::None, _) => Known::At(depth.saturating_sub(moved)),
        _ => Known::Unclear,
    }
}
