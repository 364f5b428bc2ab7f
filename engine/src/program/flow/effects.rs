//! What one instruction reads and writes: registers by the bit, memory by how its address relates to the frame.

mod kernel;
mod refine;

use iced_x86::{
    Code, EncodingKind, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory,
};

use super::graph::{Exit, Node};
use super::stack::{self, FrameValue, Registers};
use crate::program::code::{RegisterSet, Results};

pub(super) use kernel::number as kernel_number;

/// The arithmetic flags; the others do not change in programs.
const STATUS_FLAGS: u32 = 0x3f;
/// Registers that a function gives back as it got them (System V ABI §3.2.1): rbx, rbp, r12 to r15.
pub(super) const KEPT: u16 = 1 << 3 | 1 << 5 | 0xf000;

/// A place outside memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A general register, by the number that instructions encode it with.
    Register(u8),
    /// A vector register.
    Vector(u8),
    /// A vector mask register.
    Mask(u8),
    /// The arithmetic flags, bits as in iced's `RflagsBits`.
    Flags,
    /// The registers and the stack of the x87 unit, MMX too.
    X87,
}

/// Bits of a place that are read or written. For a vector register each bit stands for a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Where.
    pub location: Location,
    /// Which bits.
    pub bits: u64,
}

/// How the address of memory relates to the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The canonical frame address plus this.
    Slot(i64),
    /// Computed from an address in the frame: any object in it.
    Frame,
    /// In the part of the frame whose extent is only known at run time, below the fixed one.
    Dynamic,
    /// By a pointer that was not made of an address in the frame here: what has got away of it, or anything else.
    Pointer,
    /// At a fixed address, or in the thread's storage: never in the frame.
    Fixed,
}

/// Whether memory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// No.
    No,
    /// Under a condition, or not all of it.
    Maybe,
    /// All of it.
    Certainly,
}

/// Memory that an instruction reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Where.
    pub reach: Reach,
    /// Length in bytes; `None` where it is not known.
    pub length: Option<u32>,
    /// Whether it is read.
    pub reads: bool,
    /// Whether it is written.
    pub writes: Writes,
}

/// What an instruction does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What is read.
    pub reads: Vec<Touch>,
    /// What is overwritten for certain.
    pub writes: Vec<Touch>,
    /// What may be overwritten.
    pub may_write: Vec<Touch>,
    /// Memory. The return address that a return reads is left out, and so is what a called function reads.
    pub memory: Vec<Access>,
}

impl Effects {
    /// The effects of `node` with the registers that are there before it; `results` is what its function leaves to its caller, `call` the
    /// number of the system call that it makes, where that is known.
    pub fn of(
        node: &Node,
        before: &Registers,
        results: &Results,
        call: Option<u64>,
        factory: &mut InstructionInfoFactory,
    ) -> Self {
        let mut effects = Self::default();
        let instruction = &node.instruction;
        if instruction.mnemonic() == Mnemonic::Nop {
            return effects;
        }
        let info = factory.info(instruction);
        for used in info.used_registers() {
            effects.register(used.register(), used.access());
        }
        for used in info.used_memory() {
            effects.memory(instruction, used, before);
        }
        effects.flags(instruction);
        match node.exit {
            Some(Exit::Return) => effects.leaves(results),
            Some(Exit::TailCall) => effects.read_general(KEPT),
            _ => {}
        }
        if node.call.is_some() {
            effects.call(node);
        }
        match instruction.mnemonic() {
            Mnemonic::Syscall => effects.kernel(kernel::arguments(call)),
            // Numbered otherwise for 32-bit calls.
            Mnemonic::Int => effects.kernel(u16::MAX),
            _ => {}
        }
        refine::refine(instruction, &mut effects);
        effects.forget_upper_parts(instruction);
        effects.reads.retain(|touch| touch.bits != 0);
        effects
    }

    fn register(&mut self, register: Register, access: OpAccess) {
        let Some(touch) = touch(register) else { return };
        if matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite) {
            self.reads.push(touch);
        }
        match access {
            OpAccess::Write | OpAccess::ReadWrite if touch.location != Location::X87 => self.writes.push(touch),
            OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite => self.may_write.push(touch),
            _ => {}
        }
    }

    fn memory(&mut self, instruction: &Instruction, used: &UsedMemory, before: &Registers) {
        let (reads, writes) = match used.access() {
            OpAccess::Read | OpAccess::CondRead => (true, Writes::No),
            OpAccess::Write => (false, Writes::Certainly),
            OpAccess::CondWrite => (false, Writes::Maybe),
            OpAccess::ReadWrite => (true, Writes::Certainly),
            OpAccess::ReadCondWrite => (true, Writes::Maybe),
            OpAccess::None | OpAccess::NoMemAccess => return,
        };
        // The return address is nobody's value.
        if instruction.flow_control() == FlowControl::Return {
            return;
        }
        let repeats = instruction.is_string_instruction()
            && (instruction.has_rep_prefix() || instruction.has_repe_prefix() || instruction.has_repne_prefix());
        let size = u32::try_from(used.memory_size().size()).ok().filter(|size| *size > 0 && !repeats);
        let reach = match (reach(instruction, used, before), size) {
            (Reach::Slot(_), None) => Reach::Frame,
            (reach, _) => reach,
        };
        let writes = if size.is_none() && writes == Writes::Certainly { Writes::Maybe } else { writes };
        self.memory.push(Access { reach, length: size, reads, writes });
    }

    /// Instructions without a VEX prefix keep the upper parts of vector registers; compilers do not mix them with code that has any there.
    fn forget_upper_parts(&mut self, instruction: &Instruction) {
        if instruction.encoding() == EncodingKind::Legacy {
            let vectors = self.writes.iter_mut().filter(|touch| matches!(touch.location, Location::Vector(_)));
            vectors.for_each(|touch| touch.bits |= !low_bits(16));
        }
    }

    fn flags(&mut self, instruction: &Instruction) {
        // They are kept in a register that is lost, and come back from it.
        let is_kept = instruction.mnemonic() == Mnemonic::Syscall;
        let read = if is_kept { 0 } else { instruction.rflags_read() & STATUS_FLAGS };
        if read != 0 {
            self.reads.push(Touch { location: Location::Flags, bits: u64::from(read) });
        }
        let modified = instruction.rflags_modified() & STATUS_FLAGS;
        if modified != 0 {
            self.write(Location::Flags, u64::from(modified));
        }
    }

    /// A return: the caller reads the results and what the function has to keep.
    fn leaves(&mut self, results: &Results) {
        self.read_general(KEPT);
        let vectors = (0u8..2).filter(|number| results.vector & 1 << number != 0);
        self.reads.extend(vectors.map(|number| Touch { location: Location::Vector(number), bits: 0xffff_ffff }));
        self.reads.push(Touch { location: Location::Register(0), bits: results.rax });
        self.reads.push(Touch { location: Location::Register(2), bits: results.rdx });
        if results.x87 {
            self.reads.push(Touch { location: Location::X87, bits: 1 });
        }
    }

    fn call(&mut self, node: &Node) {
        let passed = node.arguments.map(|arguments| arguments.registers).unwrap_or_default();
        self.read_general(passed.general);
        let vectors = (0u8..32).filter(|number| passed.vector & 1 << number != 0);
        let is_wide = node.arguments.is_none_or(|arguments| arguments.wide_vectors);
        let bits = if is_wide { u64::MAX } else { low_bits(8) };
        self.reads.extend(vectors.map(|number| Touch { location: Location::Vector(number), bits }));
        if node.exit == Some(Exit::TailCall) {
            return;
        }
        let RegisterSet { general, vector, mask } = node.clobbers;
        let general = (0u8..16).filter(|number| general & 1 << number != 0).map(Location::Register);
        let vector = (0u8..32).filter(|number| vector & 1 << number != 0).map(Location::Vector);
        let mask = (0u8..8).filter(|number| mask & 1 << number != 0).map(Location::Mask);
        let clobbered = general.chain(vector).chain(mask).chain([Location::Flags]);
        self.writes.extend(clobbered.map(|location| Touch { location, bits: u64::MAX }));
    }

    fn kernel(&mut self, arguments: u16) {
        self.read_general(arguments);
        self.write(Location::Register(0), u64::MAX);
        self.memory.push(Access { reach: Reach::Pointer, length: None, reads: true, writes: Writes::Maybe });
    }

    fn read_general(&mut self, registers: u16) {
        let numbers = (0u8..16).filter(|number| registers & 1 << number != 0);
        self.reads.extend(numbers.map(|number| Touch { location: Location::Register(number), bits: u64::MAX }));
    }

    fn write(&mut self, location: Location, bits: u64) {
        self.writes.push(Touch { location, bits });
    }
}

/// The place and the bits that a register's name stands for. Segment registers and the instruction pointer are none.
fn touch(register: Register) -> Option<Touch> {
    let full = register.full_register();
    if full.is_gpr64() {
        let bits = match register {
            Register::AH | Register::BH | Register::CH | Register::DH => 0xff00,
            _ => low_bits(register.size() * 8),
        };
        return Some(Touch { location: Location::Register(full.number() as u8), bits });
    }
    if full.is_vector_register() {
        return Some(Touch { location: Location::Vector(full.number() as u8), bits: low_bits(register.size()) });
    }
    if register.is_k() {
        return Some(Touch { location: Location::Mask(register.number() as u8), bits: u64::MAX });
    }
    (register.is_st() || register.is_mm()).then_some(Touch { location: Location::X87, bits: 1 })
}

/// So many low bits.
pub(super) fn low_bits(count: usize) -> u64 {
    match count {
        0 => 0,
        1..=63 => u64::MAX >> (64 - count),
        _ => u64::MAX,
    }
}

fn reach(instruction: &Instruction, used: &UsedMemory, before: &Registers) -> Reach {
    if matches!(used.segment(), Register::FS | Register::GS) {
        return Reach::Fixed;
    }
    let (base, index) = (used.base(), used.index());
    let is_plain = index == Register::None;
    if is_plain && matches!(base, Register::None | Register::RIP | Register::EIP) {
        return Reach::Fixed;
    }
    // `pop 8(%rsp)` counts from where the stack pointer is afterwards.
    let moves_first = instruction.code() == Code::Pop_rm64 && instruction.op0_kind() == OpKind::Memory;
    let of = |register: Register| stack::get(before, register);
    match (of(base), of(index)) {
        (FrameValue::At(_) | FrameValue::Near, _) if moves_first && base == Register::RSP => Reach::Frame,
        (FrameValue::At(offset), _) if is_plain => match offset.checked_add(used.displacement().cast_signed()) {
            Some(offset) => Reach::Slot(offset),
            None => Reach::Frame,
        },
        (FrameValue::Near, FrameValue::Other) if base == Register::RSP => Reach::Dynamic,
        (base, index) if base.is_frame() || index.is_frame() => Reach::Frame,
        _ => Reach::Pointer,
    }
}
