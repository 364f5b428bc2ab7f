//! Addresses, loads and stores: the frame's own bytes are places, all else is memory.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::instruction::general;
use super::term::{Place, Term, ValueId};
use super::{Function, Values};
use crate::program::code::Symbolic;

/// Offset of the stack protectors' word from the thread pointer (`tcbhead_t::stack_guard`).
const CANARY: u64 = 0x28;

impl Values<'_> {
    /// The address of an instruction's memory operand. `None` where segments other than the default ones are used.
    pub(super) fn address(&mut self, at: u32, instruction: &Instruction) -> Option<ValueId> {
        if instruction.segment_prefix() != Register::None && !matches!(instruction.segment_prefix(), Register::DS | Register::SS)
        {
            return None;
        }
        let named = match self.function.graph.nodes()[at as usize].operands.memory {
            Some(Symbolic::Memory(address)) => Some(self.number(Term::Address(Symbolic::Address(address)))),
            Some(symbol) => Some(self.number(Term::Address(symbol))),
            None => None,
        };
        match named {
            Some(named) if instruction.is_ip_rel_memory_operand() => Some(named),
            named => self.indexed(at, instruction, named),
        }
    }

    fn indexed(&mut self, at: u32, instruction: &Instruction, named: Option<ValueId>) -> Option<ValueId> {
        let mut parts: Vec<(ValueId, i64)> = Vec::new();
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        if base != Register::None {
            parts.push((self.read_at(at, Place::Register(general(base)?)), 1));
        }
        if index != Register::None {
            parts.push((self.read_at(at, Place::Register(general(index)?)), i64::from(instruction.memory_index_scale())));
        }
        let displacement = match named {
            Some(named) => {
                parts.push((named, 1));
                0
            }
            None => instruction.memory_displacement64().cast_signed(),
        };
        Some(self.sum(64, &parts, displacement))
    }

    /// What an instruction's memory operand holds, zero-extended; wide ones as they are.
    pub(super) fn load(&mut self, at: u32, instruction: &Instruction) -> Option<ValueId> {
        let bytes = u8::try_from(instruction.memory_size().size()).ok().filter(|bytes| *bytes > 0)?;
        if instruction.segment_prefix() == Register::FS {
            let plain = instruction.memory_base() == Register::None && instruction.memory_index() == Register::None;
            if plain && instruction.memory_displacement64() == CANARY && bytes == 8 {
                return Some(self.number(Term::Canary));
            }
            return match self.function.graph.nodes()[at as usize].operands.memory {
                Some(symbol @ (Symbolic::Thread(_) | Symbolic::ImportedThread(_))) if plain => {
                    let address = self.number(Term::Address(symbol));
                    Some(self.number(Term::Load { at, address, bytes }))
                }
                _ => None,
            };
        }
        let whole = self.function.graph.nodes()[at as usize].operands.memory;
        if let Some(symbol) = whole.filter(|symbol| !matches!(symbol, Symbolic::Memory(_)))
            && instruction.is_ip_rel_memory_operand()
        {
            return Some(self.number(Term::Address(symbol)));
        }
        let address = self.address(at, instruction)?;
        match *self.node(address) {
            Term::Frame(offset) => Some(self.slot_or_load(at, offset, bytes)),
            _ => Some(self.number(Term::Load { at, address, bytes })),
        }
    }

    /// What bytes of the frame hold before an instruction.
    pub(super) fn slot_or_load(&mut self, at: u32, offset: i64, bytes: u8) -> ValueId {
        if !self.function.is_private(at, offset, i64::from(bytes)) {
            let address = self.number(Term::Frame(offset));
            return self.number(Term::Load { at, address, bytes });
        }
        self.read_at(at, Place::Slot { offset, length: bytes })
    }

    /// What bytes of the frame hold after an instruction, if it stores to any of them.
    pub(super) fn stored(&mut self, at: u32, instruction: &Instruction, offset: i64, length: u8) -> Option<ValueId> {
        if is_fill(instruction) {
            return self.filled(at, instruction, offset, length);
        }
        let (start, size) = self.store_to_frame(at, instruction)?;
        let (end, wanted) = (start.saturating_add(i64::from(size)), offset.saturating_add(i64::from(length)));
        if end <= offset || wanted <= start {
            return None;
        }
        let place = Place::Slot { offset, length };
        let value = self.stored_value(at, instruction);
        let bits = if size <= 8 { size * 8 } else { 0 };
        let exact = start == offset && size == length;
        let value = value.or_else(|| exact.then(|| self.opaque(at, instruction, place, (0, bits))));
        if start <= offset
            && wanted <= end
            && let Some(value) = value
        {
            let skip = u8::try_from(offset - start).unwrap_or(u8::MAX);
            return Some(match (skip, size == length) {
                (0, true) if length <= 8 => self.extend(length.saturating_mul(8).min(64), false, value),
                (0, true) => value,
                _ => self.part(value, skip, length),
            });
        }
        Some(self.number(Term::Unknown { at, place }))
    }

    /// The same of an instruction that fills many bytes (`rep stos`).
    fn filled(&mut self, at: u32, instruction: &Instruction, offset: i64, length: u8) -> Option<ValueId> {
        let unknown = Term::Unknown { at, place: Place::Slot { offset, length } };
        let end = offset.saturating_add(i64::from(length));
        let Some((start, behind)) = self.fill_of_frame(at, instruction) else {
            // Bytes whose address nobody computes are not filled by a computed one.
            return self.function.escapes.is_computed(offset, i64::from(length)).then(|| self.number(unknown));
        };
        if behind <= offset || end <= start {
            return None;
        }
        let unit = instruction.memory_size().size();
        let value = self.read_at(at, Place::Register(0));
        let bytes = match self.node(value) {
            Term::Constant(number) => number.to_le_bytes(),
            _ => return Some(self.number(unknown)),
        };
        let is_zero = bytes.iter().take(unit).all(|byte| *byte == 0);
        if start > offset || end > behind || (length > 8 && !is_zero) {
            return Some(self.number(unknown));
        }
        let first = usize::try_from(offset - start).unwrap_or(0);
        let mut whole = [0; 8];
        for (index, byte) in whole.iter_mut().enumerate().take(usize::from(length)) {
            *byte = bytes.get((first + index) % unit.max(1)).copied().unwrap_or(0);
        }
        Some(self.constant(u64::from_le_bytes(whole)))
    }

    /// The bytes of the frame that an instruction fills which stores as often as a register says (`rep stos`), first and behind-last. Functions find
    /// the direction flag clear (System V ABI, 3.2.1).
    pub fn fill_of_frame(&mut self, at: u32, instruction: &Instruction) -> Option<(i64, i64)> {
        if !is_fill(instruction) {
            return None;
        }
        let start = self.function.frame_offset(at, 7)?;
        let count = match instruction.has_rep_prefix() || instruction.has_repne_prefix() {
            true => {
                let count = self.read_at(at, Place::Register(1));
                let Term::Constant(count) = self.node(count) else { return None };
                i64::try_from(*count).ok()?
            }
            false => 1,
        };
        let unit = i64::try_from(instruction.memory_size().size()).ok()?;
        Some((start, start.checked_add(count.checked_mul(unit)?)?))
    }

    /// Where in the frame an instruction stores, and how many bytes.
    pub fn store_to_frame(&mut self, at: u32, instruction: &Instruction) -> Option<(i64, u8)> {
        if instruction.mnemonic() == Mnemonic::Push {
            let below = self.function.frame_offset(at, 4)?.checked_sub(8)?;
            return Some((below, 8));
        }
        if instruction.op0_kind() != OpKind::Memory || !may_store(instruction) {
            return None;
        }
        let (offset, bytes) = frame_operand(&self.function, at, instruction)?;
        Some((offset, u8::try_from(bytes).ok()?))
    }
}

/// The bytes of the frame that the memory operand of an instruction is, as (offset, length).
pub(super) fn frame_operand(function: &Function<'_>, at: u32, instruction: &Instruction) -> Option<(i64, i64)> {
    if instruction.memory_index() != Register::None || instruction.segment_prefix() == Register::FS {
        return None;
    }
    let base = general(instruction.memory_base())?;
    let from = function.frame_offset(at, base)?;
    let offset = from.wrapping_add(instruction.memory_displacement64().cast_signed());
    Some((offset, i64::try_from(instruction.memory_size().size()).ok()?))
}

/// Whether an instruction stores what is in the accumulator, once or several times.
fn is_fill(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq)
}

/// Whether an instruction with memory as its first operand may store there.
pub fn may_store(instruction: &Instruction) -> bool {
    !matches!(
        instruction.mnemonic(),
        Mnemonic::Cmp
            | Mnemonic::Test
            | Mnemonic::Bt
            | Mnemonic::Call
            | Mnemonic::Jmp
            | Mnemonic::Mul
            | Mnemonic::Imul
            | Mnemonic::Div
            | Mnemonic::Idiv
            | Mnemonic::Nop
            | Mnemonic::Lea
            | Mnemonic::Prefetcht0
            | Mnemonic::Prefetcht1
            | Mnemonic::Prefetcht2
            | Mnemonic::Prefetchnta
            | Mnemonic::Prefetchw
    )
}
