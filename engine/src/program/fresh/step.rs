//! What one instruction that goes on behind itself does to the state.

use iced_x86::{EncodingKind, Instruction, Mnemonic, OpAccess, OpKind, Register};

use super::bytes::Byte;
use super::function::Walk;
use super::locals::Number;
use super::memory::WORD;
use super::state::{RAX, RBP, RCX, RDI, RSI, RSP, State};
use super::value::Value;

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
            _ if instruction.is_string_instruction() => self.string(instruction, state),
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
                state.clear_vectors &= !whole_vector(register);
            }
        }
        if clear {
            // The older instructions leave the rest of a longer register as it was.
            let bits = if instruction.encoding() == EncodingKind::Legacy { vector_bit } else { whole_vector };
            state.clear_vectors |= bits(instruction.op0_register());
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
        let needed = vector_bit(instruction.op1_register());
        if is_vector_move && state.clear_vectors & needed == needed {
            return Byte::Zero;
        }
        result.map_or(Byte::Other, byte_of)
    }

    /// A string instruction, repeated or not: `stos` fills, `movs` copies, the others read.
    fn string(&mut self, instruction: &Instruction, state: &mut State) {
        let unit = instruction.memory_size().size() as u64;
        let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
        let length = match state.register(RCX) {
            _ if !repeats => Some(unit),
            Value::Const(count) => count.checked_mul(unit),
            _ => None,
        };
        let to = state.register(RDI);
        let after = to.plus(length.and_then(|length| i64::try_from(length).ok()));
        match instruction.mnemonic() {
            Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => {
                self.fill_bytes(to, length, byte_of(part(state.register(RAX), unit as usize)), state);
                state.set_register(RDI, after);
            }
            Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => {
                self.fill_bytes(to, length, Byte::Other, state);
                state.set_register(RDI, after);
                state.set_register(RSI, Value::Unknown);
            }
            _ => [RAX, RSI, RDI].into_iter().for_each(|register| state.set_register(register, Value::Unknown)),
        }
        if repeats {
            state.set_register(RCX, if length.is_some() { Value::Const(0) } else { Value::Unknown });
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
pub(super) fn part(value: Value, size: usize) -> Value {
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

/// The bits of a vector register: one for its first 16 bytes, one for the rest if `register` has it.
fn vector_bit(register: Register) -> u64 {
    let first = 1u64.checked_shl(register.number() as u32).unwrap_or(0);
    if register.size() > 16 { first | first << 32 } else { first }
}

/// The same for all of the register.
fn whole_vector(register: Register) -> u64 {
    let first = 1u64.checked_shl(register.number() as u32).unwrap_or(0);
    first | first << 32
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
                state.clear_vectors & bits == bits && (whole || state.clear_vectors & vector_bit(instruction.op0_register()) != 0)
            }
            [_, from] => number(*from).is_some_and(|from| state.register(from) == Value::Const(0)),
            _ => false,
        },
        _ => false,
    }
}
