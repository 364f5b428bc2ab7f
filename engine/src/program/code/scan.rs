//! Decodes a function once: every field that depends on layout, every call, every jump that leaves.

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::functions::{Function, FunctionId, Part};
use super::jumps::{self, Recent};
use super::layout::Layout;
use super::reference::{CallSite, Callee, FunctionCode, PartCode, Reference, Role, Target};
use super::slots::Loaded;
use super::thread::ThreadTracker;
use crate::program::address::LinkAddress;

/// Decodes all parts of `function`.
pub(super) fn scan<'a>(layout: &Layout<'a>, id: FunctionId, function: &Function) -> FunctionCode<'a> {
    let mut code = FunctionCode::default();
    for part in &function.parts {
        match layout.bytes(part.start.0, part.size) {
            Some(bytes) if part.size < u64::from(u32::MAX) => Scanner::new(layout, id, part, bytes).run(&mut code),
            _ => code.defect = Some((part.start, "its code is not in the file")),
        }
        if !layout.slots.relocations(part.start.0, part.size).is_empty() {
            code.defect = Some((part.start, "the loader relocates its code"));
        }
    }
    code
}

struct Scanner<'l, 'a> {
    layout: &'l Layout<'a>,
    id: FunctionId,
    bytes: &'a [u8],
    start: u64,
    end: u64,
    decoder: Decoder<'a>,
    recent: Recent,
    thread: ThreadTracker,
    references: Vec<Reference>,
}

impl<'l, 'a> Scanner<'l, 'a> {
    fn new(layout: &'l Layout<'a>, id: FunctionId, part: &Part, bytes: &'a [u8]) -> Self {
        let decoder = Decoder::with_ip(64, bytes, part.start.0, DecoderOptions::NONE);
        Self {
            layout,
            id,
            bytes,
            start: part.start.0,
            end: part.end(),
            decoder,
            recent: Recent::default(),
            thread: ThreadTracker::new(),
            references: Vec::new(),
        }
    }

    fn run(mut self, code: &mut FunctionCode<'a>) {
        let mut length = 0;
        let mut instruction = Instruction::default();
        while self.decoder.can_decode() {
            self.decoder.decode_out(&mut instruction);
            let offset = (instruction.ip() - self.start) as u32;
            if instruction.is_invalid() {
                code.defect = Some((LinkAddress(instruction.ip()), "an instruction that cannot be decoded"));
                length = self.bytes.len() as u32;
                break;
            }
            if instruction.mnemonic() == Mnemonic::Nop {
                self.padding(offset, instruction.len() as u32);
                continue;
            }
            // Traps behind the last instruction are padding too.
            if instruction.code() != Code::Int3 {
                length = offset + instruction.len() as u32;
            }
            self.instruction(&instruction, offset, code);
            self.recent.push(&instruction);
        }
        code.loose_thread_use |= self.thread.is_loose();
        self.references.sort_unstable_by_key(|reference| reference.offset);
        self.references.retain(|reference| reference.offset < length);
        if let Some(last) = self.references.last() {
            length = length.max(last.offset + last.length);
        }
        code.parts.push(PartCode { start: self.start, bytes: self.bytes, length, references: self.references });
    }

    fn padding(&mut self, offset: u32, length: u32) {
        if let Some(last) = self.references.last_mut() {
            if last.role == Role::Padding && last.offset + last.length == offset {
                last.length += length;
                return;
            }
            if last.role == Role::Jump && last.offset + last.length > offset {
                return;
            }
        }
        self.references.push(Reference { offset, length, role: Role::Padding, target: Target::None });
    }

    fn instruction(&mut self, instruction: &Instruction, offset: u32, code: &mut FunctionCode<'a>) {
        match instruction.flow_control() {
            FlowControl::Next => self.operands(instruction, offset),
            FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                let target = Target::Code(instruction.near_branch_target());
                self.whole(instruction, offset, Role::Call, target);
                self.call(instruction, target, false, code);
            }
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch | FlowControl::XbeginXabortXend
                if instruction.op0_kind() == OpKind::NearBranch64 =>
            {
                self.branch(instruction, offset, code);
            }
            FlowControl::IndirectCall => self.indirect(instruction, offset, Role::Call, code),
            FlowControl::IndirectBranch => self.indirect(instruction, offset, Role::Jump, code),
            _ => self.operands(instruction, offset),
        }
        match instruction.flow_control() {
            FlowControl::Next => {}
            flow => self.thread.branch(flow),
        }
    }

    /// A direct jump. Inside its part its displacement is compared as it is: equal displacements are equal places.
    fn branch(&mut self, instruction: &Instruction, offset: u32, code: &mut FunctionCode<'a>) {
        let to = instruction.near_branch_target();
        if (self.start..self.end).contains(&to) {
            return;
        }
        let target = Target::Code(to);
        if instruction.flow_control() == FlowControl::UnconditionalBranch {
            self.whole(instruction, offset, Role::Jump, target);
        } else {
            let fields = self.decoder.get_constant_offsets(instruction);
            self.field(offset, fields.immediate_offset(), fields.immediate_size(), target);
        }
        let inside =
            self.layout.inventory.at(LinkAddress(to)).is_some_and(|place| place.function == self.id && !place.is_entry());
        if !inside {
            self.call(instruction, target, true, code);
        }
    }

    /// A call or jump through a register or through memory.
    fn indirect(&mut self, instruction: &Instruction, offset: u32, role: Role, code: &mut FunctionCode<'a>) {
        let is_tail = role == Role::Jump;
        if instruction.is_ip_rel_memory_operand() && self.layout.slots.is_slot(instruction.ip_rel_memory_address()) {
            let target = Target::Slot(instruction.ip_rel_memory_address());
            self.whole(instruction, offset, role, target);
            return self.call(instruction, target, is_tail, code);
        }
        self.operands(instruction, offset);
        if is_tail && jumps::is_table_jump(instruction, &self.recent) {
            code.has_jump_tables = true;
        } else {
            self.call(instruction, Target::None, is_tail, code);
        }
    }

    fn call(&self, instruction: &Instruction, target: Target, is_tail: bool, code: &mut FunctionCode<'a>) {
        code.calls.push(CallSite {
            address: LinkAddress(instruction.ip()),
            next: LinkAddress(instruction.next_ip()),
            is_tail,
            callee: callee(self.layout, target),
        });
    }

    /// Operands of an instruction that goes on behind itself, or whose target is an operand like any other.
    fn operands(&mut self, instruction: &Instruction, offset: u32) {
        let mut thread_slot = false;
        if instruction.is_ip_rel_memory_operand() {
            thread_slot = self.relative_operand(instruction, offset);
        }
        if self.layout.fixed {
            self.fixed_operands(instruction, offset);
        }
        let decoder = &self.decoder;
        let fields = || decoder.get_constant_offsets(instruction);
        self.thread.follow(instruction, offset, thread_slot, fields, &mut self.references);
    }

    /// A RIP-relative operand; whether it is a slot that holds a thread offset.
    fn relative_operand(&mut self, instruction: &Instruction, offset: u32) -> bool {
        let address = instruction.ip_rel_memory_address();
        let into = instruction.op0_register();
        let loads = instruction.code() == Code::Mov_r64_rm64;
        let slot = self.layout.slots.is_slot(address).then(|| self.layout.slots.loaded(address));
        match slot {
            Some(Loaded::ThreadOffset(_) | Loaded::ImportedThreadOffset(_)) => {
                match loads {
                    true => self.whole(instruction, offset, Role::ThreadLoad(into), Target::ThreadSlot(address)),
                    false => self.displacement(instruction, offset, Target::ThreadSlot(address)),
                }
                return true;
            }
            Some(_) if loads => self.whole(instruction, offset, Role::Load(into), Target::Slot(address)),
            Some(_) if instruction.mnemonic() != Mnemonic::Lea => {
                self.displacement(instruction, offset, Target::Slot(address));
            }
            _ if instruction.code() == Code::Lea_r64_m => {
                self.whole(instruction, offset, Role::Load(into), Target::Address(address));
            }
            _ if instruction.mnemonic() == Mnemonic::Lea => self.displacement(instruction, offset, Target::Address(address)),
            _ => {
                let size = instruction.memory_size().size() as u32;
                self.displacement(instruction, offset, Target::Memory { address, size });
            }
        }
        false
    }

    /// In a fixed-address program addresses are displacements and immediates; a number of that size counts as one.
    fn fixed_operands(&mut self, instruction: &Instruction, offset: u32) {
        let mut has_memory = false;
        let mut immediate = None;
        for (index, kind) in instruction.op_kinds().enumerate() {
            match kind {
                OpKind::Memory => {
                    has_memory = instruction.segment_prefix() == Register::None && !instruction.is_ip_rel_memory_operand();
                }
                OpKind::Immediate32 | OpKind::Immediate64 | OpKind::Immediate32to64 if may_be_address(instruction) => {
                    immediate = instruction.try_immediate(index as u32).ok();
                }
                _ => {}
            }
        }
        let displacement = instruction.memory_displacement64();
        if has_memory && instruction.memory_displ_size() >= 4 && self.layout.holds(displacement) {
            let plain = instruction.memory_base() == Register::None && instruction.memory_index() == Register::None;
            let target = match instruction.mnemonic() {
                Mnemonic::Lea => Target::Address(displacement),
                _ if plain => Target::Memory { address: displacement, size: instruction.memory_size().size() as u32 },
                _ => Target::Address(displacement),
            };
            self.displacement(instruction, offset, target);
        }
        if let Some(value) = immediate.filter(|value| self.layout.holds(*value)) {
            let fields = self.decoder.get_constant_offsets(instruction);
            self.field(offset, fields.immediate_offset(), fields.immediate_size(), Target::Address(value));
        }
    }

    fn displacement(&mut self, instruction: &Instruction, offset: u32, target: Target) {
        let fields = self.decoder.get_constant_offsets(instruction);
        self.field(offset, fields.displacement_offset(), fields.displacement_size(), target);
    }

    fn field(&mut self, offset: u32, within: usize, size: usize, target: Target) {
        self.references.push(Reference { offset: offset + within as u32, length: size as u32, role: Role::Field, target });
    }

    /// The whole instruction. A linker turns `jmp *slot` into `jmp` and a no-operation, which then belongs to the jump.
    fn whole(&mut self, instruction: &Instruction, offset: u32, role: Role, target: Target) {
        let mut length = instruction.len() as u32;
        let behind = (offset + length) as usize;
        if role == Role::Jump && length == 5 && self.bytes.get(behind) == Some(&0x90) {
            length += 1;
        }
        self.references.push(Reference { offset, length, role, target });
    }
}

/// Whether an immediate operand of the instruction can be an address: bits are no part of one, nor are factors.
fn may_be_address(instruction: &Instruction) -> bool {
    !matches!(instruction.mnemonic(), Mnemonic::Test | Mnemonic::And | Mnemonic::Or | Mnemonic::Xor | Mnemonic::Imul)
}

/// What a call or jump to `target` ends at.
pub(super) fn callee(layout: &Layout<'_>, target: Target) -> Callee {
    let slot = match target {
        Target::Code(address) => match layout.slots.stub(address) {
            Some(slot) => slot,
            None => return code_at(layout, address),
        },
        Target::Slot(slot) => slot,
        _ => return Callee::Indirect,
    };
    match layout.slots.loaded(slot) {
        Loaded::Address(address) => code_at(layout, address),
        Loaded::Import(import, 0) => Callee::Import(import),
        Loaded::Selected(selector) => Callee::Selected(LinkAddress(selector)),
        _ => Callee::Indirect,
    }
}

fn code_at(layout: &Layout<'_>, address: u64) -> Callee {
    match layout.inventory.entered_at(LinkAddress(address)) {
        Some(function) => Callee::Function(function),
        None => Callee::Unknown(LinkAddress(address)),
    }
}
