//! What one instruction that goes on behind itself does to the state.

use iced_x86::{Instruction, Mnemonic, OpAccess, OpKind, Register};

use super::bytes::Byte;
use super::function::{Origin, Walk};
use super::locals::Number;
use super::state::{RAX, RBP, RCX, RDI, RSP, State};
use super::types::Target;
use super::value::{Fresh, Value};

/// Bytes of a word.
const WORD: u64 = 8;

impl Walk<'_, '_> {
    /// Follows an instruction.
    pub(super) fn step(&mut self, instruction: &Instruction, state: &mut State) {
        match instruction.mnemonic() {
            Mnemonic::Push => {
                let value = self.operand(instruction, 0, state);
                self.move_stack(state, -8);
                self.store(state.register(RSP), WORD, value, byte_of(value), state);
            }
            Mnemonic::Pop => {
                let value = self.load(state.register(RSP), WORD, state);
                self.move_stack(state, 8);
                self.write(instruction, value, state);
            }
            Mnemonic::Leave => {
                let saved = self.load(state.register(RBP), WORD, state);
                state.set_register(RSP, state.register(RBP).plus(Some(8)));
                state.set_register(RBP, saved);
            }
            Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => self.fill(instruction, state),
            Mnemonic::Xchg | Mnemonic::Cmpxchg | Mnemonic::Xadd => self.exchange(instruction, state),
            _ => {
                let result = self.result(instruction, state);
                self.write_all(instruction, result, state);
            }
        }
        match instruction.mnemonic() {
            Mnemonic::Test if is_same(instruction) && instruction.op0_register().size() == 8 => {
                state.tested = Some(self.operand(instruction, 0, state));
            }
            Mnemonic::Cmp if instruction.memory_size().size() != 4 && self.operand(instruction, 1, state) == Value::Const(0) => {
                let is_word = instruction.op0_kind() == OpKind::Memory && instruction.memory_size().size() == 8
                    || instruction.op0_kind() == OpKind::Register && instruction.op0_register().size() == 8;
                state.tested = is_word.then(|| self.operand(instruction, 0, state));
            }
            _ if instruction.rflags_modified() != 0 => state.tested = None,
            _ => {}
        }
    }

    fn move_stack(&self, state: &mut State, by: i64) {
        state.set_register(RSP, state.register(RSP).plus(Some(by)));
    }

    /// What the first operand becomes, where that is known.
    fn result(&mut self, instruction: &Instruction, state: &State) -> Option<Value> {
        let same = is_same(instruction);
        Some(match instruction.mnemonic() {
            Mnemonic::Mov => self.operand(instruction, 1, state),
            Mnemonic::Lea => match self.address(instruction, state) {
                Value::Const(number) => self.variable(number).unwrap_or(Value::Const(number)),
                other => other,
            },
            Mnemonic::Xor | Mnemonic::Sub if same => Value::Const(0),
            Mnemonic::Movsxd | Mnemonic::Movzx | Mnemonic::Movsx => match self.operand(instruction, 1, state) {
                Value::Const(number) => Value::Const(number as u32 as i32 as i64 as u64),
                _ => Value::Unknown,
            },
            Mnemonic::Add => {
                let (a, b) = (self.operand(instruction, 0, state), self.operand(instruction, 1, state));
                self.sum(a, b, false)
            }
            Mnemonic::Sub => {
                let (a, b) = (self.operand(instruction, 0, state), self.operand(instruction, 1, state));
                let by = if let Value::Const(number) = b { (number as i64).checked_neg() } else { None };
                self.reduced(a.plus(by))
            }
            Mnemonic::Inc => self.operand(instruction, 0, state).plus(Some(1)),
            Mnemonic::Dec => self.operand(instruction, 0, state).plus(Some(-1)),
            Mnemonic::And => match (self.operand(instruction, 0, state), self.operand(instruction, 1, state)) {
                (_, Value::Const(0)) => Value::Const(0),
                // A function is entered 8 bytes below a multiple of 16 (System V ABI, 3.2.2).
                (Value::Stack(offset), Value::Const(mask)) if mask == 16u64.wrapping_neg() => {
                    Value::Stack(offset - (offset + 8).rem_euclid(16))
                }
                (Value::Const(a), Value::Const(b)) => Value::Const(a & b),
                (a, _) => a.plus(None),
            },
            Mnemonic::Or | Mnemonic::Xor => self.operand(instruction, 0, state).plus(None),
            _ if instruction.mnemonic_is_conditional_move() => {
                let (a, b) = (self.operand(instruction, 0, state), self.operand(instruction, 1, state));
                a.join(b, |_, _| true, |a, b| self.program.types.meet(a, b))
            }
            _ => return None,
        })
    }

    /// The sum of two values: where one is a pointer, it leads to another element unless the other one is a number that is known.
    fn sum(&self, a: Value, b: Value, scaled: bool) -> Value {
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
            (pointer, Value::Const(number)) if !scaled && !(self.is_data(number) && !is_pointer(pointer)) => {
                self.reduced(pointer.plus(Some(number as i64)))
            }
            (Value::Const(number), pointer) if !scaled && is_pointer(pointer) => self.reduced(pointer.plus(Some(number as i64))),
            (pointer, _) if is_pointer(pointer) => self.element(pointer),
            (_, pointer) if !scaled && is_pointer(pointer) => self.element(pointer),
            _ => Value::Raw,
        }
    }

    fn is_data(&self, number: u64) -> bool {
        self.program.build.variable_at(crate::program::address::LinkAddress(number)).is_some()
    }

    /// Another element of the array that a pointer leads to.
    fn element(&self, pointer: Value) -> Value {
        match pointer {
            Value::Const(number) => self.variable(number).unwrap_or(Value::Raw),
            other => other.plus(None),
        }
    }

    /// A pointer into the variable at an address.
    fn variable(&self, number: u64) -> Option<Value> {
        let (variable, offset) = self.program.build.variable_at(crate::program::address::LinkAddress(number))?;
        let kind = self.program.types.normal(variable.kind)?;
        Some(self.program.types.pointer(kind, i64::try_from(offset).ok()?))
    }

    /// A pointer that ran over the end of its object is one to the next element.
    fn reduced(&self, value: Value) -> Value {
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

    /// The value of an operand; of parts of words only constants.
    fn operand(&mut self, instruction: &Instruction, index: u32, state: &State) -> Value {
        match instruction.op_kind(index) {
            OpKind::Register => {
                let register = instruction.op_register(index);
                match (number(register), register.size()) {
                    (Some(general), 8) => state.register(general),
                    (Some(general), size) => part(state.register(general), size),
                    _ => Value::Unknown,
                }
            }
            OpKind::Memory => {
                let size = instruction.memory_size().size() as u64;
                self.load(self.address(instruction, state), size, state)
            }
            _ => instruction.try_immediate(index).map_or(Value::Unknown, Value::Const),
        }
    }

    /// What `size` bytes at an address hold.
    fn load(&mut self, address: Value, size: u64, state: &State) -> Value {
        if let Value::Stack(offset) = address
            && let Some(value) = state.slot(offset)
        {
            return part(value, size as usize);
        }
        if size != WORD {
            return Value::Unknown;
        }
        match self.word_at(address) {
            Some((kind, cell)) => self.program.types.value(kind, cell),
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
            Value::Pointer { .. } | Value::Void(_) | Value::Unknown if byte == Byte::Other => {
                self.store_elsewhere(address, size, state);
            }
            _ => {}
        }
        if let Some(site) = value.site().filter(|_| size == WORD) {
            state.shared.insert(site);
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

    /// A store through a pointer that was read from somewhere: it may be one to an object that others have got a pointer to.
    fn store_elsewhere(&self, address: Value, size: u64, state: &mut State) {
        let types = &self.program.types;
        for site in state.shared.clone() {
            let Some(source) = self.sites.get(site as usize).filter(|source| source.origin == Origin::Call) else { continue };
            for (kind, at) in &source.told.objects {
                let at = match (address, at) {
                    (Value::Pointer { to, .. }, _) if !types.are_related(to, *kind) => continue,
                    (Value::Pointer { to, offset: Some(offset) }, Some(at)) if to == *kind => at.checked_add(offset),
                    _ => None,
                };
                let to = Fresh { site, offset: at.unwrap_or(0), exact: at.is_some(), sure: false, doubtful: false };
                state.store(to, (size > 0).then_some(size), Byte::Other);
            }
        }
    }

    /// A pointer from one of several sites went somewhere.
    pub(super) fn escape_all(&mut self) {
        self.sites.iter_mut().for_each(|site| site.told.escapes = true);
    }

    /// A pointer that is stored where an argument points to a pointer goes back to the caller, who may go on with the object.
    fn given_through(&mut self, address: Value, site: super::value::Site) {
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

    /// Writes a result to the first operand, if it is a register.
    fn write(&mut self, instruction: &Instruction, value: Value, state: &mut State) {
        if instruction.op0_kind() == OpKind::Memory {
            return self.write_all(instruction, Some(value), state);
        }
        if let Some(general) = number(instruction.op0_register()) {
            state.set_register(general, part(value, instruction.op0_register().size()));
        }
    }

    /// Writes a result to the first operand, and what is not known to everything else that the instruction changes.
    fn write_all(&mut self, instruction: &Instruction, result: Option<Value>, state: &mut State) {
        let (address, byte) = (self.address(instruction, state), self.stored_byte(instruction, result, state));
        let info = self.info.info(instruction);
        let is_write = |access: OpAccess| {
            matches!(access, OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite)
        };
        let registers: Vec<Register> =
            info.used_registers().iter().filter(|used| is_write(used.access())).map(|used| used.register()).collect();
        let memory: Vec<(u64, bool)> = info
            .used_memory()
            .iter()
            .filter(|used| is_write(used.access()))
            .map(|used| (used.memory_size().size() as u64, used.access() == OpAccess::Write))
            .collect();
        let clear = is_cleared_vector(instruction, state);
        for register in registers {
            if let Some(general) = number(register) {
                state.set_register(general, Value::Unknown);
            } else if register.is_vector_register() {
                state.clear_vectors &= !vector_bit(register);
            }
        }
        if clear {
            state.clear_vectors |= vector_bit(instruction.op0_register());
        }
        for (size, _) in memory {
            let value = result.filter(|_| instruction.op0_kind() == OpKind::Memory).unwrap_or(Value::Unknown);
            self.store(address, size, value, byte, state);
        }
        if let (OpKind::Register, Some(value)) = (instruction.op0_kind(), result) {
            self.write(instruction, value, state);
        }
    }

    /// What bytes an instruction with a memory operand leaves there.
    fn stored_byte(&mut self, instruction: &Instruction, result: Option<Value>, state: &State) -> Byte {
        if instruction.op0_kind() != OpKind::Memory {
            return Byte::Other;
        }
        let is_vector_move = instruction.op_count() == 2
            && instruction.op1_kind() == OpKind::Register
            && instruction.op1_register().is_vector_register()
            && is_plain_move(instruction.mnemonic());
        if is_vector_move && state.clear_vectors & vector_bit(instruction.op1_register()) != 0 {
            return Byte::Zero;
        }
        result.map_or(Byte::Other, byte_of)
    }

    /// `rep stos`, or one of its steps.
    fn fill(&mut self, instruction: &Instruction, state: &mut State) {
        let unit: u64 = match instruction.mnemonic() {
            Mnemonic::Stosb => 1,
            Mnemonic::Stosw => 2,
            Mnemonic::Stosd => 4,
            _ => 8,
        };
        let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
        let length = match state.register(RCX) {
            _ if !repeats => Some(unit),
            Value::Const(count) => count.checked_mul(unit),
            _ => None,
        };
        let to = state.register(RDI);
        self.fill_bytes(to, length, byte_of(part(state.register(RAX), unit as usize)), state);
        state.set_register(RDI, to.plus(length.and_then(|length| i64::try_from(length).ok())));
        if repeats {
            state.set_register(RCX, Value::Const(0));
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

    /// An exchange with memory: the register's pointer is stored, whatever was there is not known.
    fn exchange(&mut self, instruction: &Instruction, state: &mut State) {
        let memory = (0..instruction.op_count()).any(|index| instruction.op_kind(index) == OpKind::Memory);
        let values: Vec<Value> = (0..2)
            .filter(|index| instruction.op_kind(*index) == OpKind::Register)
            .map(|index| self.operand(instruction, index, state))
            .collect();
        if memory {
            let address = self.address(instruction, state);
            let size = instruction.memory_size().size() as u64;
            let stored = values.first().copied().unwrap_or(Value::Unknown);
            self.store(address, size, stored, Byte::Other, state);
            if let Value::Stack(offset) = address {
                state.set_slot(offset, 8, Value::Unknown);
            }
        } else if instruction.mnemonic() == Mnemonic::Xchg
            && let ([a, b], Some(first), Some(second)) =
                (values.as_slice(), number(instruction.op0_register()), number(instruction.op1_register()))
        {
            let size = instruction.op0_register().size();
            state.set_register(first, part(*b, size));
            return state.set_register(second, part(*a, size));
        }
        self.write_all_unknown(instruction, state);
    }

    fn write_all_unknown(&mut self, instruction: &Instruction, state: &mut State) {
        let written: Vec<Register> = self.info.info(instruction).used_registers().iter().map(|used| used.register()).collect();
        let general = (0..instruction.op_count())
            .filter(|index| instruction.op_kind(*index) == OpKind::Register)
            .map(|index| instruction.op_register(index));
        let touched: Vec<Number> = general.filter_map(number).collect();
        for register in touched {
            state.set_register(register, Value::Unknown);
        }
        if instruction.mnemonic() == Mnemonic::Cmpxchg && written.iter().any(|register| number(*register) == Some(RAX)) {
            state.set_register(RAX, Value::Unknown);
        }
    }
}

trait Conditional {
    fn mnemonic_is_conditional_move(&self) -> bool;
}

impl Conditional for Instruction {
    fn mnemonic_is_conditional_move(&self) -> bool {
        use iced_x86::ConditionCode;
        self.condition_code() != ConditionCode::None && self.op_count() == 2 && self.op0_kind() == OpKind::Register
    }
}

/// Encoded number of the general register that `register` is or is a part of.
pub(super) fn number(register: Register) -> Option<Number> {
    let full = register.full_register();
    if !full.is_gpr64() {
        return None;
    }
    Some(full.number())
}

/// What `size` bytes of a value are as a word: a write of 4 bytes clears the rest, one of fewer keeps it.
fn part(value: Value, size: usize) -> Value {
    match (value, size) {
        (value, 8) => value,
        (Value::Const(number), 4) => Value::Const(number & u64::from(u32::MAX)),
        (Value::Const(number), 1 | 2) => Value::Const(number & ((1 << (8 * size)) - 1)),
        _ => Value::Unknown,
    }
}

fn byte_of(value: Value) -> Byte {
    if value == Value::Const(0) { Byte::Zero } else { Byte::Other }
}

fn is_same(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_register() == instruction.op1_register()
}

fn vector_bit(register: Register) -> u32 {
    1u32.checked_shl(register.number() as u32).unwrap_or(0)
}

fn is_plain_move(mnemonic: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(
        mnemonic,
        M::Movups
            | M::Movaps
            | M::Movdqu
            | M::Movdqa
            | M::Movq
            | M::Movd
            | M::Movlps
            | M::Movhps
            | M::Movsd
            | M::Movss
            | M::Movupd
            | M::Movapd
            | M::Movntps
            | M::Movntdq
            | M::Movlpd
            | M::Movhpd
            | M::Vmovups
            | M::Vmovaps
            | M::Vmovdqu
            | M::Vmovdqa
            | M::Vmovq
            | M::Vmovd
            | M::Vmovdqu8
            | M::Vmovdqu64
            | M::Vmovdqa64
    )
}

/// Whether an instruction leaves nothing but zeros in its vector register.
fn is_cleared_vector(instruction: &Instruction, state: &State) -> bool {
    use Mnemonic as M;
    if instruction.op0_kind() != OpKind::Register || !instruction.op0_register().is_vector_register() {
        return false;
    }
    let registers: Vec<Register> = (0..instruction.op_count())
        .filter(|index| instruction.op_kind(*index) == OpKind::Register)
        .map(|index| instruction.op_register(index))
        .collect();
    match instruction.mnemonic() {
        M::Pxor | M::Xorps | M::Xorpd => is_same(instruction),
        M::Vpxor | M::Vxorps | M::Vxorpd | M::Vpxord | M::Vpxorq => {
            matches!(registers.as_slice(), [_, a, b] if a == b)
        }
        mnemonic if is_plain_move(mnemonic) && instruction.op_count() == 2 => match registers.as_slice() {
            [_, from] if from.is_vector_register() => {
                let bits = vector_bit(*from);
                // The scalar moves between registers keep the upper part.
                let whole = !matches!(mnemonic, M::Movss | M::Movsd);
                state.clear_vectors & bits != 0 && (whole || state.clear_vectors & vector_bit(instruction.op0_register()) != 0)
            }
            [_, from] => number(*from).is_some_and(|from| state.register(from) == Value::Const(0)),
            _ => false,
        },
        _ => false,
    }
}
