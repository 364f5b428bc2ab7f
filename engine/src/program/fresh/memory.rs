//! Memory as code sees it: addresses, loads, and stores with all that they tell of pointers and their types.

use iced_x86::{Instruction, Register};

use super::bytes::Byte;
use super::function::{Origin, Walk};
use super::state::State;
use super::step::{number, part};
use super::types::Target;
use super::value::{Site, Value};
use crate::program::address::LinkAddress;

/// Bytes of a word.
pub(super) const WORD: u64 = 8;

impl Walk<'_, '_> {
    /// The sum of two values: where one is a pointer, it leads to another element unless the other one is a number that is known.
    pub(super) fn sum(&self, a: Value, b: Value, scaled: bool) -> Value {
        let is_pointer = |value: Value| match value {
            Value::Pointer { .. } | Value::Stack(_) | Value::Void(_) => true,
            Value::Fresh(fresh) => match self.sites.get(fresh.site as usize).map(|site| site.origin) {
                Some(Origin::Argument(Some(kind))) => {
                    self.program.types.target(kind) != Target::Raw || self.program.types.is_pointer(kind)
                }
                _ => true,
            },
            Value::Const(number) => self.is_data(number),
            _ => false,
        };
        match (a, b) {
            (Value::Const(a), Value::Const(b)) if !scaled => Value::Const(a.wrapping_add(b)),
            (pointer, Value::Const(number)) if !scaled && (is_pointer(pointer) || !self.is_data(number)) => {
                self.reduced(pointer.plus(Some(number as i64)))
            }
            (Value::Const(number), pointer) if !scaled && is_pointer(pointer) => self.reduced(pointer.plus(Some(number as i64))),
            (pointer, _) if is_pointer(pointer) => self.element(pointer),
            (_, pointer) if !scaled && is_pointer(pointer) => self.element(pointer),
            _ => Value::Raw,
        }
    }

    fn is_data(&self, number: u64) -> bool {
        self.program.build.variable_at(LinkAddress(number)).is_some()
    }

    /// Another element of the array that a pointer leads to.
    fn element(&self, pointer: Value) -> Value {
        match pointer {
            Value::Const(number) => self.variable(number).unwrap_or(Value::Raw),
            other => other.plus(None),
        }
    }

    /// A pointer into the variable at an address.
    pub(super) fn variable(&self, number: u64) -> Option<Value> {
        let (variable, offset) = self.program.build.variable_at(LinkAddress(number))?;
        let kind = self.program.types.normal(variable.kind)?;
        Some(self.program.types.pointer(kind, i64::try_from(offset).ok()?))
    }

    /// A pointer that ran over the end of its object is one to the next element.
    pub(super) fn reduced(&self, value: Value) -> Value {
        match value {
            Value::Pointer { to, offset: Some(offset) } => match self.program.types.size(to) {
                Some(size) if size > 0 && offset >= size && !self.program.types.is_flexible(to) => {
                    Value::Pointer { to, offset: Some(offset % size) }
                }
                _ => value,
            },
            other => other,
        }
    }

    /// The address of the memory operand.
    pub(super) fn address(&self, instruction: &Instruction, state: &State) -> Value {
        if instruction.is_ip_rel_memory_operand() {
            return Value::Const(instruction.ip_rel_memory_address());
        }
        if matches!(instruction.segment_prefix(), Register::FS | Register::GS) {
            return Value::Unknown;
        }
        let displacement = instruction.memory_displacement64();
        let base = match number(instruction.memory_base()) {
            Some(base) => self.sum(state.register(base), Value::Const(displacement), false),
            None => Value::Const(displacement),
        };
        match number(instruction.memory_index()) {
            None => base,
            Some(index) => match (base, state.register(index)) {
                (base, Value::Const(index)) => {
                    let by = index.wrapping_mul(u64::from(instruction.memory_index_scale()));
                    self.sum(base, Value::Const(by), false)
                }
                // The index register may be the pointer.
                (Value::Const(displacement), pointer) if instruction.memory_index_scale() == 1 && !self.is_data(displacement) => {
                    self.sum(pointer, Value::Const(displacement), false)
                }
                (base, index) if instruction.memory_index_scale() == 1 => {
                    // The displacement belongs to whichever is the pointer.
                    match self.sum(base, index, false) {
                        sum @ (Value::Pointer { .. } | Value::Fresh(_)) if matches!(base, Value::Unknown | Value::Raw) => {
                            self.reduced(sum.plus(Some(displacement as i64)))
                        }
                        sum => sum,
                    }
                }
                (base, index) => self.sum(base, index, true),
            },
        }
    }

    /// What `size` bytes at an address hold.
    pub(super) fn load(&mut self, address: Value, size: u64, state: &State) -> Value {
        if let Value::Stack(offset) = address
            && let Some(value) = state.slot(offset)
        {
            return part(value, size as usize);
        }
        if size != WORD {
            return Value::Unknown;
        }
        match self.word_at(address) {
            Some((kind, cell)) => match cell.and_then(|cell| state.kept_at(cell)) {
                // What was made in this function and stored there, or in another such word.
                Some(kept) => kept,
                None => self.program.types.value(kind, cell),
            },
            None => Value::Unknown,
        }
    }

    /// Stores a value of which only the bytes matter where it is no whole word.
    pub(super) fn store(&mut self, address: Value, size: u64, value: Value, byte: Byte, state: &mut State) {
        let value = if size == WORD || matches!(value, Value::Const(_)) { value } else { Value::Unknown };
        match address {
            Value::Stack(offset) => {
                state.set_slot(offset, i64::try_from(size).unwrap_or(i64::MAX), value);
                if let Some(kind) = self.frame_word(offset).filter(|_| size == WORD) {
                    self.meets(value, kind);
                }
                return;
            }
            Value::Fresh(fresh) => state.store(fresh, (size > 0).then_some(size), byte),
            Value::Lost if byte == Byte::Other => state.spoil_value(address),
            _ => {}
        }
        if size != WORD {
            return;
        }
        if let Value::Stack(offset) = value {
            self.expose(offset, state);
        }
        match self.word_at(address) {
            Some((kind, cell)) => {
                let target = self.program.types.target(kind);
                if value == Value::Lost {
                    self.escape_all();
                }
                if target == Target::Void && !matches!(value, Value::Const(_)) {
                    self.filled.extend(cell);
                }
                self.meets(value, kind);
                if let Value::Fresh(fresh) = value {
                    let escapes = target == Target::Void || !self.program.types.is_pointer(kind);
                    self.site_mut(fresh.site, |site| site.told.escapes |= escapes);
                    self.given_through(address, fresh.site);
                    state.kept.extend(cell.filter(|_| self.is_made(fresh.site)).map(|cell| (cell, fresh.site)));
                }
            }
            None => {
                if value == Value::Lost {
                    self.escape_all();
                }
                if let Value::Fresh(fresh) = value {
                    self.site_mut(fresh.site, |site| site.told.escapes = true);
                    self.given_through(address, fresh.site);
                }
            }
        }
    }

    fn is_made(&self, site: Site) -> bool {
        self.sites.get(site as usize).is_some_and(|source| source.origin == Origin::Call)
    }

    /// A pointer from one of several sites went somewhere.
    pub(super) fn escape_all(&mut self) {
        self.sites.iter_mut().for_each(|site| site.told.escapes = true);
    }

    /// A pointer that is stored where an argument points to a pointer goes back to the caller, who may go on with the object.
    fn given_through(&mut self, address: Value, site: Site) {
        let Some(argument) = address.site() else { return };
        let Some(Origin::Argument(declared)) = self.sites.get(argument as usize).map(|site| site.origin) else { return };
        let is_object = match declared.map(|declared| self.program.types.target(declared)) {
            Some(Target::Object(to)) => !self.program.types.is_pointer(to),
            _ => false,
        };
        if !is_object {
            self.handed.insert((argument, site));
        }
    }

    /// Others get the address of a place in the frame.
    pub(super) fn expose(&self, offset: i64, state: &mut State) {
        match self.frame_variable(offset) {
            Some((local, within)) => {
                let start = offset - within;
                let size = self.program.types.size(local.kind).unwrap_or(i64::MAX);
                state.expose(start, start.saturating_add(size));
            }
            None => state.expose(offset, i64::MAX),
        }
    }

    /// Fills bytes at a pointer.
    pub(super) fn fill_bytes(&mut self, to: Value, length: Option<u64>, byte: Byte, state: &mut State) {
        match to {
            Value::Fresh(fresh) => state.store(fresh, length, byte),
            Value::Lost if byte == Byte::Other => state.spoil_value(to),
            Value::Stack(offset) => {
                let length = length.and_then(|length| i64::try_from(length).ok()).unwrap_or(i64::MAX);
                state.set_slot(offset, length, Value::Unknown);
            }
            _ => {}
        }
    }
}
