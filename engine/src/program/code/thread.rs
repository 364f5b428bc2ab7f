//! Offsets of thread-local variables in instructions: followed from the load of the thread pointer to where they are added.
//!
//! Their values depend on the layout of the TLS block, and nothing in their encoding tells them from numbers. What is not followed is
//! reported ([`ThreadTracker::is_loose`]); it matters only between builds whose TLS blocks differ.

use iced_x86::{ConstantOffsets, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::reference::{Reference, Role, Target};

/// What the general registers hold, as far as straight-line code tells.
pub(super) struct ThreadTracker {
    /// Registers that hold the thread pointer, by number.
    pointers: u16,
    /// Registers that hold an offset that has been accounted for.
    offsets: u16,
    /// Registers loaded with a negative constant: where (offset in the part, length) and which.
    constants: [Option<(u32, u32, i64)>; 16],
    loose: bool,
    info: InstructionInfoFactory,
}

impl ThreadTracker {
    pub(super) fn new() -> Self {
        Self { pointers: 0, offsets: 0, constants: [None; 16], loose: false, info: InstructionInfoFactory::new() }
    }

    /// Whether the thread pointer was used in a way that was not followed.
    pub(super) fn is_loose(&self) -> bool {
        self.loose
    }

    /// Takes the next instruction, at `offset` of its part, into account. `slot` says that it loads a thread offset from the global
    /// offset table.
    pub(super) fn follow(
        &mut self,
        instruction: &Instruction,
        offset: u32,
        slot: bool,
        fields: impl Fn() -> ConstantOffsets,
        references: &mut Vec<Reference>,
    ) {
        let uses_pointer = has_memory(instruction) && instruction.segment_prefix() == Register::FS;
        let constant = constant_load(instruction);
        if self.is_idle() && !uses_pointer && constant.is_none() && !slot {
            return;
        }
        if uses_pointer {
            self.segment_use(instruction, offset, &fields, references);
        } else if self.pointers != 0 {
            self.pointer_use(instruction, offset, &fields, references);
        }
        let copied = (instruction.mnemonic() == Mnemonic::Mov
            && instruction.op1_kind() == OpKind::Register
            && self.pointers & bit(instruction.op1_register()) != 0)
            || (uses_pointer && instruction.mnemonic() == Mnemonic::Mov && instruction.op0_kind() == OpKind::Register)
                && is_plain(instruction)
                && instruction.memory_displacement64() == 0;
        self.forget_written(instruction);
        let written = if instruction.op0_kind() == OpKind::Register { instruction.op0_register() } else { Register::None };
        if copied {
            self.pointers |= bit(written);
        }
        if slot && instruction.mnemonic() == Mnemonic::Mov {
            self.offsets |= bit(written);
        }
        if let Some(value) = constant
            && let Some(place) = number(written).and_then(|index| self.constants.get_mut(index))
        {
            *place = Some((offset, instruction.len() as u32, value));
        }
    }

    /// Control goes elsewhere: what registers hold is followed no further. A call keeps the callee-saved ones, a return ends their use.
    pub(super) fn branch(&mut self, flow: FlowControl) {
        const CALLEE_SAVED: u16 = 1 << 3 | 1 << 5 | 0xf000;
        match flow {
            FlowControl::Call | FlowControl::IndirectCall => self.pointers &= CALLEE_SAVED,
            FlowControl::Return => self.pointers = 0,
            _ => {
                self.loose |= self.pointers != 0;
                self.pointers = 0;
            }
        }
        self.offsets = 0;
        self.constants = [None; 16];
    }

    fn is_idle(&self) -> bool {
        self.pointers == 0 && self.offsets == 0 && self.constants.iter().all(Option::is_none)
    }

    /// A memory operand relative to the thread pointer itself.
    fn segment_use(
        &mut self,
        instruction: &Instruction,
        offset: u32,
        fields: &impl Fn() -> ConstantOffsets,
        references: &mut Vec<Reference>,
    ) {
        let displacement = instruction.memory_displacement64() as i64;
        if displacement < 0 && instruction.memory_displ_size() >= 4 {
            references.extend(displacement_field(offset, fields(), displacement));
        } else if !is_plain(instruction) {
            let accounted =
                self.account(instruction.memory_base(), references) || self.account(instruction.memory_index(), references);
            self.loose |= !accounted;
        } else if displacement == 0 && instruction.mnemonic() != Mnemonic::Mov {
            // `mov $offset, reg; add %fs:0, reg`.
            let accounted = instruction.op0_kind() == OpKind::Register && self.account(instruction.op0_register(), references);
            self.loose |= !accounted;
        }
    }

    /// Whether the register holds an offset that is a reference; a constant becomes one now.
    fn account(&mut self, register: Register, references: &mut Vec<Reference>) -> bool {
        if self.offsets & bit(register) != 0 {
            return true;
        }
        let Some(place) = number(register).and_then(|index| self.constants.get_mut(index)) else { return false };
        let Some((offset, length, value)) = place.take() else { return false };
        references.push(Reference {
            offset,
            length,
            role: Role::ThreadLoad(register.full_register()),
            target: Target::Thread(value),
        });
        self.offsets |= bit(register);
        true
    }

    /// An instruction that may add an offset to a register that holds the thread pointer.
    fn pointer_use(
        &mut self,
        instruction: &Instruction,
        offset: u32,
        fields: &impl Fn() -> ConstantOffsets,
        references: &mut Vec<Reference>,
    ) {
        if has_memory(instruction) && self.pointers & (bit(instruction.memory_base()) | bit(instruction.memory_index())) != 0 {
            let displacement = instruction.memory_displacement64() as i64;
            if displacement < 0 {
                references.extend(displacement_field(offset, fields(), displacement));
            }
        }
        let first = if instruction.op0_kind() == OpKind::Register { bit(instruction.op0_register()) } else { 0 };
        if self.pointers & first == 0 {
            return;
        }
        match (instruction.mnemonic(), instruction.try_immediate(1)) {
            (Mnemonic::Add, Ok(immediate)) => {
                let fields = fields();
                references.push(Reference {
                    offset: offset + fields.immediate_offset() as u32,
                    length: fields.immediate_size() as u32,
                    role: Role::Field,
                    target: Target::Thread(immediate as i64),
                });
            }
            (Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Push | Mnemonic::Cmp | Mnemonic::Test, _) => {}
            (Mnemonic::Add, _) if has_memory(instruction) && instruction.is_ip_rel_memory_operand() => {}
            _ => self.loose = true,
        }
    }

    fn forget_written(&mut self, instruction: &Instruction) {
        for used in self.info.info(instruction).used_registers() {
            let written =
                matches!(used.access(), OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite);
            if written {
                let mask = !bit(used.register());
                self.pointers &= mask;
                self.offsets &= mask;
                if let Some(place) = number(used.register()).and_then(|index| self.constants.get_mut(index)) {
                    *place = None;
                }
            }
        }
    }
}

/// A memory operand with nothing but a displacement.
fn is_plain(instruction: &Instruction) -> bool {
    instruction.memory_base() == Register::None && instruction.memory_index() == Register::None
}

fn has_memory(instruction: &Instruction) -> bool {
    instruction.op_kinds().any(|kind| kind == OpKind::Memory)
}

/// The negative constant that the instruction loads into a general register (`mov $imm32, %r64`, how a linker rewrites the load of a
/// thread offset).
fn constant_load(instruction: &Instruction) -> Option<i64> {
    let loads = instruction.code() == iced_x86::Code::Mov_rm64_imm32 && instruction.op0_kind() == OpKind::Register;
    let value = if loads { instruction.immediate32to64() } else { 0 };
    (value < 0).then_some(value)
}

fn displacement_field(offset: u32, fields: ConstantOffsets, value: i64) -> Option<Reference> {
    fields.has_displacement().then(|| Reference {
        offset: offset + fields.displacement_offset() as u32,
        length: fields.displacement_size() as u32,
        role: Role::Field,
        target: Target::Thread(value),
    })
}

/// Number of a general register, whichever part of it is named.
fn number(register: Register) -> Option<usize> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number())
}

fn bit(register: Register) -> u16 {
    number(register).map_or(0, |number| 1 << number)
}
