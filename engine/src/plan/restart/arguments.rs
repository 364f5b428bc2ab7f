//! What an entered function gets: what the spec says, else what its partner was given, else what its partner's parameter of the same name
//! holds.

use dsu_formats::address::RunAddress;

use super::base::Caller;
use super::{Argument, Parameter, Reason, Restart};
use crate::plan::data::rules::FieldValue;
use crate::plan::data::value::{ObjectView, Value as Data, is_signed};
use crate::plan::frames::{FramePlace, Operation, Placed, Value};
use crate::plan::safe_point::Examiner;
use crate::plan::source::{read_bytes, read_word};
use crate::program::address::LinkAddress;
use crate::program::types::{Shape, TypeId};
use crate::program::unwind::{Frame, Place, RegisterValue, dwarf};
use crate::program::variables::{self, Local, Piece, Source, Variables};

/// Registers of the arguments, by DWARF number (System V ABI, 3.2.3).
const REGISTERS: [usize; 6] = [dwarf::RDI, dwarf::RSI, dwarf::RDX, dwarf::RCX, dwarf::R8, dwarf::R9];
/// Length of a word.
const WORD: u8 = 8;

/// Why a variable of a frame that an earlier update may have made anew tells nothing.
const STALE: &str = "the old code does not read it again, and an earlier update may have made the frame anew without it";

/// A value with the rule that gives it.
type Given = (Value, String);

/// The arguments of the function that is entered in the place of `frame`.
pub(super) fn values(examiner: &Examiner<'_>, restart: &Restart, frame: &Frame, caller: &Caller) -> Result<Vec<Placed>, Reason> {
    let mut old = OldFrame::new(examiner, frame);
    let one = |(number, parameter): (usize, &Parameter)| {
        let (value, why) = match restart.arguments.as_ref().map(|given| given.get(number)) {
            Some(Some(argument)) => old.said(argument, parameter)?,
            Some(None) => return Err(question(restart, parameter, "the spec gives fewer arguments")),
            None => match called_with(caller, number, parameter, frame) {
                Some(given) => given,
                None => old.same_name(restart, parameter)?,
            },
        };
        let register = REGISTERS.get(number).copied().unwrap_or_default() as u8;
        let bits = if parameter.size < WORD { u64::from(u32::MAX) } else { u64::MAX };
        let value = extended(value, parameter);
        Ok(Placed { place: FramePlace::Register(register), bits, value, why, reader: restart.entry })
    };
    restart.parameters.iter().enumerate().map(one).collect()
}

/// What is narrower than a register's lower half fills that, as compilers rely on.
fn extended(value: Value, parameter: &Parameter) -> Value {
    match (parameter.size, parameter.is_signed) {
        (size @ 1..4, true) => Value::Computed(Operation::SignExtend { from: size * 8 }, vec![value]),
        (size @ 1..4, false) => Value::Computed(Operation::ZeroExtend { from: size * 8 }, vec![value]),
        _ => value,
    }
}

fn question(restart: &Restart, parameter: &Parameter, why: &str) -> Reason {
    let names = restart.parameters.iter().map(|own| format!("\"old.{}\"", own.name)).collect::<Vec<_>>().join(", ");
    let text = format!("what its parameter `{}` is to be is not known: {why}", parameter.name);
    let answer = format!("[[restart]]\nfunction = \"{}\"\narguments = [{names}]", restart.name);
    Reason { text, passing: false, answers: vec![answer] }
}

/// What whoever called the old function gave it, and would give any other in its place.
fn called_with(caller: &Caller, number: usize, parameter: &Parameter, frame: &Frame) -> Option<Given> {
    match (caller, number, parameter.is_pointer) {
        (Caller::Start { count, .. }, 0, false) => {
            Some((Value::Constant(*count), "the number of the program's arguments".to_owned()))
        }
        (Caller::Start { arguments, .. }, 1, true) => Some((Value::Constant(arguments.0), "the program's arguments".to_owned())),
        (Caller::Start { environment, .. }, 2, true) => {
            Some((Value::Constant(environment.0), "the environment that the program began with".to_owned()))
        }
        (Caller::Thread { argument }, 0, _) if parameter.size == WORD => {
            let offset = argument.0.wrapping_sub(frame.cfa.0).cast_signed();
            Some((Value::Old(FramePlace::Slot { offset, length: WORD }), "what the thread was begun with".to_owned()))
        }
        _ => None,
    }
}

/// The frame that gives way.
struct OldFrame<'e> {
    examiner: Examiner<'e>,
    frame: &'e Frame,
    variables: Variables<'e>,
    locals: Vec<Local<'e>>,
}

impl<'e> OldFrame<'e> {
    fn new(examiner: &Examiner<'e>, frame: &'e Frame) -> Self {
        let mut variables = Variables::new(examiner.view.old);
        let locals = frame.module.and_then(|(_, link)| variables.at(link).ok()).unwrap_or_default();
        let locals = locals.into_iter().filter(|local| local.inlined.is_none()).collect();
        Self { examiner: *examiner, frame, variables, locals }
    }

    /// What the spec says.
    fn said(&mut self, argument: &Argument, parameter: &Parameter) -> Result<Given, Reason> {
        let why = || "as the spec says".to_owned();
        match argument {
            Argument::Word(word) => Ok((Value::Constant(*word), why())),
            Argument::Address(link) => Ok((Value::Address(*link), why())),
            Argument::Expression { code, variables, length } => {
                let mut bytes = vec![0; usize::try_from(*length).unwrap_or_default()];
                for (name, at, kind) in variables {
                    self.read(name, *kind, usize::try_from(*at).unwrap_or(usize::MAX), &mut bytes)?;
                }
                let types = &self.examiner.view.old.debug.types;
                let view = ObjectView::new(types, None, self.frame.cfa, &bytes, self.examiner.memory);
                let found = code.value(&view).map_err(|error| Reason::lasting(error.to_string()))?;
                let text = format!("{}: `{}`", code.origin(), code.describe());
                match found {
                    Data::Integer(value) if !parameter.is_pointer || value == 0 => Ok((Value::Constant(value as u64), text)),
                    Data::Address(RunAddress(0)) => Ok((Value::Constant(0), text)),
                    Data::Address(address) if parameter.size == WORD => Ok((Value::Pointer(address.0), text)),
                    _ => Err(Reason::lasting(format!("{text} does not suit the parameter `{}`", parameter.name))),
                }
            }
        }
    }

    /// What the old function's variable of that name holds.
    fn same_name(&mut self, restart: &Restart, parameter: &Parameter) -> Result<Given, Reason> {
        let unknown = |why: &str| question(restart, parameter, why);
        let mut named = self.locals.iter().filter(|local| local.name == parameter.name && !parameter.name.is_empty());
        let local = named.next().cloned().ok_or_else(|| unknown("the old function has no variable of that name there"))?;
        if named.next().is_some() {
            return Err(unknown("the old function has several variables of that name there"));
        }
        let (old, new) = (&self.examiner.view.old.debug.types, &self.examiner.view.new.debug.types);
        let size = old.size_of(local.kind).unwrap_or(0);
        let shape = old.peel(local.kind).map(|kind| &old.get(old.resolve(kind)).shape);
        let is_same = old.describe(local.kind) == new.describe(parameter.kind);
        let is_pointer = matches!(shape, Some(Shape::Pointer { .. }));
        let is_number = matches!(shape, Some(Shape::Base { .. } | Shape::Enum { .. }));
        if !(is_same && size == u64::from(parameter.size) && (is_pointer || is_number)) {
            let (from, to) = (old.describe(local.kind), new.describe(parameter.kind));
            return Err(unknown(&format!("the old function's is a `{from}`, and the new one's a `{to}`")));
        }
        let pieces = self.pieces(&local);
        let lost = || unknown("the old function has it nowhere at this point");
        let [piece] = pieces.as_slice() else { return Err(lost()) };
        if !self.is_kept(piece, size) {
            return Err(unknown(STALE));
        }
        let slot = |address: RunAddress, length: u8| {
            let offset = address.0.wrapping_sub(self.frame.cfa.0).cast_signed();
            Value::Old(FramePlace::Slot { offset, length })
        };
        let value = match piece.source {
            Source::Memory(address) => slot(address, parameter.size),
            Source::Register(RegisterValue { place: Place::Slot(address), .. }) => slot(address, WORD),
            Source::Register(RegisterValue { place: Place::Register(number), .. }) => Value::Old(FramePlace::Register(number)),
            Source::Value(value) if is_number => Value::Constant(value),
            Source::Value(value) => Value::Pointer(value),
            Source::Register(_) | Source::Unknown => return Err(lost()),
        };
        Ok((value, format!("variable `{}`", parameter.name)))
    }

    /// Whether a part of a variable still holds what the code made it: an update that made the frame anew has put there what the code reads
    /// again, and nothing else.
    fn is_kept(&self, piece: &Piece, length: u64) -> bool {
        if !self.examiner.was_updated {
            return true;
        }
        let Some((_, link)) = self.frame.module else { return false };
        let functions = &self.examiner.view.sides.old.functions;
        let (Some(known), Some((function, _))) = (self.examiner.continuations, functions.containing(link)) else { return false };
        let skipped = self.frame.pc.0.wrapping_sub(self.frame.lookup.0);
        let at = (function, LinkAddress(link.0.wrapping_add(skipped)), skipped == 0);
        let place = match piece.source {
            Source::Memory(address) => {
                let offset = address.0.wrapping_sub(self.frame.cfa.0).cast_signed();
                FramePlace::Slot { offset, length: WORD }
            }
            Source::Register(known) => {
                let mut own = (0u8..).zip(&self.frame.registers);
                match own.find(|(_, own)| own.is_some_and(|own| own.place == known.place)) {
                    Some((number, _)) => FramePlace::Register(number),
                    None => return false,
                }
            }
            Source::Value(_) | Source::Unknown => return false,
        };
        known.reads(at, place, length)
    }

    fn pieces(&mut self, local: &Local<'_>) -> Vec<Piece> {
        let memory = self.examiner.memory;
        let mut word = |address: RunAddress| read_word(memory, address).ok();
        let bias = self.examiner.placement.old_bias();
        let (registers, cfa) = (&self.frame.registers, self.frame.cfa);
        let mut frame = variables::Frame { registers, cfa, bias, word: &mut word };
        self.variables.locate(local, &mut frame)
    }

    /// Reads a variable into `bytes` from `at` on.
    fn read(&mut self, name: &str, kind: Option<TypeId>, at: usize, bytes: &mut [u8]) -> Result<(), Reason> {
        let lost = |what: &str| Reason::lasting(format!("the old function's variable `{name}` {what} at this point"));
        let types = &self.examiner.view.old.debug.types;
        let mut named = self.locals.iter().filter(|local| local.name == name && types.peel(local.kind) == types.peel(kind));
        let local = named.next().cloned().ok_or_else(|| lost("is not in scope"))?;
        if named.next().is_some() {
            return Err(lost("is there more than once"));
        }
        let size = types.size_of(kind).unwrap_or(0);
        let mut to = at;
        for Piece { bits, source } in self.pieces(&local) {
            let length = bits.map_or(Some(size), |bits| bits.is_multiple_of(8).then_some(bits / 8));
            let length = length.and_then(|length| usize::try_from(length).ok()).ok_or_else(|| lost("is in pieces of bits"))?;
            let kept = Piece { bits, source };
            if !self.is_kept(&kept, length as u64) {
                return Err(lost(&format!("counts no more: {STALE}")));
            }
            let place = to.checked_add(length).and_then(|end| bytes.get_mut(to..end)).ok_or_else(|| lost("is too long"))?;
            let word = |value: u64| value.to_le_bytes();
            let read = match source {
                Source::Memory(address) => {
                    read_bytes(self.examiner.memory, address, length).map_err(|error| Reason::lasting(error.to_string()))?
                }
                Source::Register(known) if length <= 8 => word(known.value).get(..length).unwrap_or_default().to_vec(),
                Source::Value(value) if length <= 8 => word(value).get(..length).unwrap_or_default().to_vec(),
                _ => return Err(lost("is nowhere")),
            };
            place.copy_from_slice(&read);
            to = to.saturating_add(length);
        }
        Ok(())
    }
}

/// How a parameter of this type is passed; `None` where it is not in a general register.
pub(in crate::plan) fn parameter(
    types: &crate::program::types::TypeTable,
    name: &str,
    kind: Option<TypeId>,
) -> Option<Parameter> {
    let size = types.size_of(kind).and_then(|size| u8::try_from(size).ok()).filter(|size| matches!(size, 1 | 2 | 4 | 8))?;
    let (is_pointer, is_signed) = match &types.get(types.resolve(types.peel(kind)?)).shape {
        Shape::Pointer { .. } => (true, false),
        Shape::Enum { enumerators } => (false, enumerators.iter().any(|(_, value)| *value < 0)),
        Shape::Base { encoding } if !crate::plan::data::value::is_float(*encoding) => (false, is_signed(*encoding)),
        _ => return None,
    };
    Some(Parameter { name: name.to_owned(), kind, size, is_pointer, is_signed })
}
