//! DWARF expressions in call frame information: PLT sections, signal trampolines, hand-written code.

use dsu_formats::address::RunAddress;
use gimli::{Encoding, EvaluationResult, Expression, Format, Location, Register, UnitOffset, Value};

use super::memory::Memory;
use super::registers::{Known, dwarf};
use super::row::Bytes;
use super::stack::Incomplete;

/// An expression that runs longer is taken for a loop.
const MAX_OPERATIONS: u32 = 10_000;

/// Runs `code` in the frame with the given registers; `initial` is pushed first. The result is an address or a value, as the rule says.
pub(super) fn evaluate(
    code: &[u8],
    initial: Option<u64>,
    pc: RunAddress,
    registers: &Known,
    memory: &mut Memory<'_>,
) -> Result<u64, Incomplete> {
    let corrupt = |source| Incomplete::CorruptCfi { pc, source };
    let unsupported = |what| Incomplete::UnsupportedCfi { pc, what };
    let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 4 };
    let mut evaluation = Expression(Bytes::new(code, gimli::LittleEndian)).evaluation(encoding);
    evaluation.set_max_iterations(MAX_OPERATIONS);
    if let Some(value) = initial {
        evaluation.set_initial_value(value);
    }
    let mut state = evaluation.evaluate().map_err(corrupt)?;
    loop {
        state = match state {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, base_type: UnitOffset(0) } => {
                let value = register_value(register, pc, registers)?;
                evaluation.resume_with_register(Value::Generic(value)).map_err(corrupt)?
            }
            EvaluationResult::RequiresMemory { address, size: size @ 1..=8, space: None, base_type: UnitOffset(0) } => {
                let value = read(RunAddress(address), size, pc, memory)?;
                evaluation.resume_with_memory(Value::Generic(value)).map_err(corrupt)?
            }
            _ => return Err(unsupported("an expression that needs more than registers and memory")),
        };
    }
    match evaluation.as_result() {
        [piece] if piece.size_in_bits.is_none() => match piece.location {
            Location::Address { address } => Ok(address),
            Location::Value { value: Value::Generic(value) } => Ok(value),
            _ => Err(unsupported("an expression whose result is no address")),
        },
        _ => Err(unsupported("an expression with pieces")),
    }
}

fn register_value(register: Register, pc: RunAddress, registers: &Known) -> Result<u64, Incomplete> {
    let number = usize::from(register.0);
    if number == dwarf::RETURN_ADDRESS {
        return Ok(pc.0);
    }
    let known = registers.get(number).copied().flatten();
    known.map(|known| known.value).ok_or(Incomplete::LostRegister { pc, register: register.0 })
}

fn read(address: RunAddress, size: u8, pc: RunAddress, memory: &mut Memory<'_>) -> Result<u64, Incomplete> {
    let word = memory.word(address).map_err(|source| Incomplete::Memory { pc, address, source })?;
    Ok(if size < 8 { word & ((1 << (u32::from(size) * 8)) - 1) } else { word })
}
