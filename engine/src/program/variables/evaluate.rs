//! Where a variable is in a frame: its location expression, run over registers that unwinding recovered and over memory.

use dsu_formats::address::RunAddress;
use gimli::{EvaluationResult, Expression, Location, Operation, Register, UnitOffset, Value};

use super::{Local, Variables};
use crate::program::dwarf::Reader;
use crate::program::unwind::{Place, RegisterValue};

/// An expression that runs longer is taken for a loop.
const MAX_OPERATIONS: u32 = 10_000;

/// What an expression may look at. Registers that unwinding gave up are not known.
pub struct Frame<'f> {
    /// The general registers as the frame's code sees them, by DWARF number.
    pub registers: &'f [Option<RegisterValue>; 16],
    /// Canonical frame address.
    pub cfa: RunAddress,
    /// Difference of run-time and link-time addresses of its module.
    pub bias: u64,
    /// Reads a word of memory.
    pub word: &'f mut dyn FnMut(RunAddress) -> Option<u64>,
}

/// A part of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its length in bits; `None` for all of the variable.
    pub bits: Option<u64>,
    /// Where it is.
    pub source: Source,
}

/// Where a part of a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In memory.
    Memory(RunAddress),
    /// In a register of the frame, which is kept there, or in a slot.
    Register(RegisterValue),
    /// Nowhere, but this is its value.
    Value(u64),
    /// It cannot be told: optimised away, or known only at the function's entry.
    Unknown,
}

impl Variables<'_> {
    /// The parts of a variable in a frame; what cannot be told is one unknown part.
    pub fn locate(&self, local: &Local<'_>, frame: &mut Frame<'_>) -> Vec<Piece> {
        let Some(unit) = self.units.get(&local.unit) else { return vec![Piece { bits: None, source: Source::Unknown }] };
        let evaluation = Evaluation { dwarf: &self.dwarf, unit: &unit.unit, frame_base: local.frame_base };
        evaluation.run(local.location, frame).unwrap_or_else(|| vec![Piece { bits: None, source: Source::Unknown }])
    }
}

impl Variables<'_> {
    /// The register, by its DWARF number, that a variable is in when its function is entered, where that is all that debug information tells
    /// of it: it still has the value that it was given (`DW_OP_entry_value`, DWARF 5, 2.5.1.7).
    pub fn entered(&self, local: &Local<'_>) -> Option<u8> {
        let encoding = self.units.get(&local.unit)?.unit.encoding();
        let mut operations = local.location.operations(encoding);
        let Some(Operation::EntryValue { expression }) = operations.next().ok()? else { return None };
        let Some(Operation::StackValue) = operations.next().ok()? else { return None };
        if operations.next().ok()?.is_some() {
            return None;
        }
        let mut inner = Expression(expression).operations(encoding);
        match (inner.next().ok()?, inner.next().ok()?) {
            (Some(Operation::Register { register }), None) => u8::try_from(register.0).ok().filter(|register| *register < 16),
            _ => None,
        }
    }
}

struct Evaluation<'e, 'b> {
    dwarf: &'e gimli::Dwarf<Reader<'b>>,
    unit: &'e gimli::Unit<Reader<'b>>,
    frame_base: Option<Expression<Reader<'e>>>,
}

impl Evaluation<'_, '_> {
    /// `None` where something is needed that is not known.
    fn run(&self, expression: Expression<Reader<'_>>, frame: &mut Frame<'_>) -> Option<Vec<Piece>> {
        let mut evaluation = expression.evaluation(self.unit.encoding());
        evaluation.set_max_iterations(MAX_OPERATIONS);
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, base_type: UnitOffset(0) } => {
                    evaluation.resume_with_register(Value::Generic(register_value(register, frame)?.value))
                }
                EvaluationResult::RequiresMemory { address, size: size @ 1..=8, space: None, base_type: UnitOffset(0) } => {
                    let word = (frame.word)(RunAddress(address))?;
                    let mask = u64::MAX >> (64 - u32::from(size) * 8);
                    evaluation.resume_with_memory(Value::Generic(word & mask))
                }
                EvaluationResult::RequiresFrameBase => {
                    let base = self.frame_base(frame)?;
                    evaluation.resume_with_frame_base(base)
                }
                EvaluationResult::RequiresCallFrameCfa => evaluation.resume_with_call_frame_cfa(frame.cfa.0),
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    evaluation.resume_with_relocated_address(address.wrapping_add(frame.bias))
                }
                EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                    let address = self.dwarf.address(self.unit, index).ok()?;
                    evaluation.resume_with_indexed_address(if relocate { address.wrapping_add(frame.bias) } else { address })
                }
                // Values at the function's entry are not there any more; typed and thread-local operations are not read.
                _ => return None,
            }
            .ok()?;
        }
        let pieces = evaluation.as_result().iter();
        Some(
            pieces
                .map(|piece| {
                    let source = match piece.location {
                        Location::Address { address } => Source::Memory(RunAddress(address)),
                        Location::Register { register } => {
                            register_value(register, frame).map_or(Source::Unknown, Source::Register)
                        }
                        Location::Value { value: Value::Generic(value) } => Source::Value(value),
                        _ => Source::Unknown,
                    };
                    // A part that begins within a byte, or within its register, is more than pointers need.
                    let odd = piece.bit_offset.is_some_and(|offset| offset != 0);
                    Piece { bits: piece.size_in_bits, source: if odd { Source::Unknown } else { source } }
                })
                .collect(),
        )
    }

    /// A frame base is an address, or the register that holds it.
    fn frame_base(&self, frame: &mut Frame<'_>) -> Option<u64> {
        let inner = Evaluation { dwarf: self.dwarf, unit: self.unit, frame_base: None };
        match inner.run(self.frame_base?, frame)?.as_slice() {
            [Piece { bits: None, source: Source::Memory(address) }] => Some(address.0),
            [Piece { bits: None, source: Source::Register(RegisterValue { value, .. }) | Source::Value(value) }] => Some(*value),
            _ => None,
        }
    }
}

fn register_value(register: Register, frame: &Frame<'_>) -> Option<RegisterValue> {
    frame.registers.get(usize::from(register.0)).copied().flatten()
}

impl Source {
    /// The address of the word that holds a part which is kept in memory.
    pub fn slot(&self) -> Option<RunAddress> {
        match self {
            Self::Memory(address) | Self::Register(RegisterValue { place: Place::Slot(address), .. }) => Some(*address),
            _ => None,
        }
    }
}
