//! Which words of its frame a function's code may read: what no instruction can read is nobody's, whatever it holds.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};

use crate::program::address::LinkAddress;

/// DWARF numbers of the registers that a frame's address may be counted from.
const RBP: u16 = 6;
const RSP: u16 = 7;
/// Where the frame's address is when a function has given its frame back, as before a tail call.
const NO_FRAME: (u16, i64) = (RSP, 8);
/// Bytes that an instruction reads whose operand does not say: the largest there are, `xrstor` and its like apart.
const LARGEST: i64 = 64;

/// A range of a frame, in bytes from its canonical frame address.
pub type Slots = (i64, i64);

/// What an instruction reads, or the variable whose address it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRead {
    /// Where.
    pub slots: Slots,
    /// Whether it may lie below the stack pointer as it is then. What a function reads above it only after it has moved the pointer further
    /// down, it has written before: nobody reads new parts of a frame for what was there.
    pub below: bool,
}

/// A function's code with what is known of its frame.
pub struct FrameCode<'a> {
    /// Its instructions.
    pub code: &'a [u8],
    /// Where they are.
    pub start: LinkAddress,
    /// The register, by DWARF number, and offset that give the canonical frame address at an instruction.
    pub frame_address: &'a dyn Fn(LinkAddress) -> Option<(u16, i64)>,
    /// The variable that holds a place of the frame.
    pub variable: &'a dyn Fn(i64) -> Option<Slots>,
}

/// What is not understood: then nothing is.
struct Unclear;

impl FrameCode<'_> {
    /// What the code may read of its frame, and of its caller's where offsets are not negative: directly, or by an address that it takes
    /// of a variable. `None`: it cannot be told.
    pub fn reads(&self) -> Option<Vec<FrameRead>> {
        let mut reads = Vec::new();
        let mut info = InstructionInfoFactory::new();
        let mut decoder = Decoder::with_ip(64, self.code, self.start.0, DecoderOptions::NONE);
        for instruction in &mut decoder {
            self.instruction(&instruction, &mut info, &mut reads).ok()?;
        }
        Some(reads)
    }

    fn instruction(
        &self,
        instruction: &Instruction,
        info: &mut InstructionInfoFactory,
        reads: &mut Vec<FrameRead>,
    ) -> Result<(), Unclear> {
        if instruction.is_invalid() {
            return Err(Unclear);
        }
        let frame = (self.frame_address)(LinkAddress(instruction.ip())).ok_or(Unclear)?;
        if self.leaves(instruction) && frame != NO_FRAME {
            return Err(Unclear);
        }
        let saved = match instruction.mnemonic() {
            // The return address.
            Mnemonic::Ret => return Ok(()),
            Mnemonic::Pop => Some(Register::RSP),
            Mnemonic::Leave => Some(Register::RBP),
            _ => None,
        };
        if let Some(register) = saved {
            let slot = offset_of(register, frame)?.ok_or(Unclear)?;
            reads.push(FrameRead { slots: (slot, slot.saturating_add(8)), below: false });
            return Ok(());
        }
        if let Some(place) = self.taken(instruction, frame)? {
            reads.push(FrameRead { slots: (self.variable)(place).ok_or(Unclear)?, below: true });
        }
        if instruction.mnemonic() != Mnemonic::Lea {
            for memory in info.info(instruction).used_memory() {
                reads.extend(self.read(memory, frame)?);
            }
        }
        Ok(())
    }

    /// Whether it goes on elsewhere, as in a part of the function that lies apart, or nobody knows where.
    fn leaves(&self, instruction: &Instruction) -> bool {
        let inside = self.start.0..self.start.0.saturating_add(self.code.len() as u64);
        match instruction.flow_control() {
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {
                !inside.contains(&instruction.near_branch_target())
            }
            FlowControl::IndirectBranch => true,
            _ => false,
        }
    }

    /// What one operand reads of the frame.
    fn read(&self, memory: &UsedMemory, frame: (u16, i64)) -> Result<Option<FrameRead>, Unclear> {
        let is_plain = memory.index() == Register::None;
        let writes = matches!(memory.access(), OpAccess::Write | OpAccess::CondWrite | OpAccess::NoMemAccess | OpAccess::None);
        if is_plain && writes {
            return Ok(None);
        }
        let Some(base) = offset_of(memory.base(), frame)? else { return Ok(None) };
        let slot = base.checked_add(memory.displacement().cast_signed()).ok_or(Unclear)?;
        if !is_plain {
            let slots = (self.variable)(slot).ok_or(Unclear)?;
            return Ok(Some(FrameRead { slots, below: true }));
        }
        let size = i64::try_from(memory.memory_size().size()).ok().filter(|size| *size > 0).unwrap_or(LARGEST);
        let below = memory.base().full_register() != Register::RSP || slot < base;
        Ok(Some(FrameRead { slots: (slot, slot.checked_add(size).ok_or(Unclear)?), below }))
    }

    /// The place of the frame whose address an instruction takes, other than to keep the frame's own registers.
    fn taken(&self, instruction: &Instruction, frame: (u16, i64)) -> Result<Option<i64>, Unclear> {
        let is_register = |operand: u32| instruction.op_kind(operand) == OpKind::Register;
        let target = is_register(0).then(|| instruction.op0_register().full_register());
        // `sub $0x20,%rsp`, `lea -0x18(%rbp),%rsp`; `mov %rsp,%rbp` where that is the frame's register from there on.
        let next = || (self.frame_address)(LinkAddress(instruction.next_ip()));
        let is_own = match target {
            Some(Register::RSP) => true,
            Some(Register::RBP) => next().is_some_and(|(register, _)| register == RBP),
            _ => false,
        };
        if is_own {
            return Ok(None);
        }
        if instruction.mnemonic() == Mnemonic::Lea {
            let Some(base) = offset_of(instruction.memory_base(), frame)? else { return Ok(None) };
            return base.checked_add(instruction.memory_displacement64().cast_signed()).map(Some).ok_or(Unclear);
        }
        // A register that is saved before it becomes the frame's is not that yet.
        for operand in (0..instruction.op_count()).filter(|operand| is_register(*operand)) {
            if let Some(place) = offset_of(instruction.op_register(operand), frame)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }
}

/// Where a register points to in the frame; `None` for one that is none of the frame's.
fn offset_of(register: Register, (from, offset): (u16, i64)) -> Result<Option<i64>, Unclear> {
    match (register.full_register(), from) {
        (Register::RSP, RSP) | (Register::RBP, RBP) => offset.checked_neg().map(Some).ok_or(Unclear),
        (Register::RSP, _) => Err(Unclear),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `push %rbp; mov %rsp,%rbp; …; leave; ret` with the frame at rbp + 16, and a variable from -64 to -32.
    fn reads(body: &[u8]) -> Option<Vec<(Slots, bool)>> {
        let code = [&[0x55, 0x48, 0x89, 0xe5][..], body, &[0xc9, 0xc3]].concat();
        let end = 0x1000 + code.len() as u64 - 1;
        FrameCode {
            code: &code,
            start: LinkAddress(0x1000),
            frame_address: &move |at| {
                Some(if at.0 == 0x1000 || at.0 == end {
                    (RSP, 8)
                } else if at.0 == 0x1001 {
                    (RSP, 16)
                } else {
                    (RBP, 16)
                })
            },
            variable: &|slot| (-64..-32).contains(&slot).then_some((-64, -32)),
        }
        .reads()
        .map(|reads| reads.iter().map(|read| (read.slots, read.below)).collect())
    }

    #[test]
    fn direct_reads_and_taken_addresses_are_found_and_writes_are_not() {
        // mov -0x18(%rbp),%rax; movq $0,-0x20(%rbp)
        assert_eq!(
            reads(&[0x48, 0x8b, 0x45, 0xe8, 0x48, 0xc7, 0x45, 0xe0, 0, 0, 0, 0]),
            Some(vec![((-40, -32), true), ((-16, -8), false)])
        );
        // lea -0x28(%rbp),%rdi
        assert_eq!(reads(&[0x48, 0x8d, 0x7d, 0xd8]), Some(vec![((-64, -32), true), ((-16, -8), false)]));
        // push %rbx; sub $0x38,%rsp; call
        assert_eq!(reads(&[0x53, 0x48, 0x83, 0xec, 0x38, 0xe8, 0, 0, 0, 0]), Some(vec![((-16, -8), false)]));
    }

    #[test]
    fn what_cannot_be_told_is_not_told() {
        // lea -0x10(%rbp),%rdi: no variable is there
        assert_eq!(reads(&[0x48, 0x8d, 0x7d, 0xf0]), None);
        // mov (%rsp),%rax: the stack pointer's place is not known
        assert_eq!(reads(&[0x48, 0x8b, 0x04, 0x24]), None);
        // jmp to somewhere else
        assert_eq!(reads(&[0xe9, 0, 1, 0, 0]), None);
        // mov %rbp,%rdi: the address of no variable
        assert_eq!(reads(&[0x48, 0x89, 0xef]), None);
    }
}
