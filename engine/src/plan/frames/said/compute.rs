//! What an expression over an old frame comes to at the stop.

use dsu_formats::address::RunAddress;

use super::{Form, Piece, Readable, Said, Source};
use crate::plan::address::Placement;
use crate::plan::data::value::{ObjectView, Value};
use crate::plan::source::MemorySource;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::unwind::{Frame, Place};
use crate::program::variables::{self, Variables};

/// The old process, as expressions see it.
#[derive(Clone, Copy)]
pub struct OldProcess<'p> {
    /// Where the builds are.
    pub placement: &'p Placement,
    /// Its memory.
    pub memory: &'p dyn MemorySource,
    /// The old build.
    pub build: &'p Build,
}

/// A value of the user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A number, from its lowest bit on.
    Number(u64),
    /// An address in the old process, and something that held it.
    Pointer(u64, Place),
}

/// What a value comes to in a frame, by its number among those of its thread, innermost first: the bytes of the variable from `skip` on.
///
/// # Errors
/// What cannot be read or computed.
pub fn word(given: &Said, (frames, position): (&[Frame], usize), old: OldProcess<'_>) -> Result<Word, String> {
    let frame = frames.get(position).ok_or("a frame that is not there")?;
    let formula = &given.formula;
    let mut bytes = vec![0; formula.length];
    let mut holder = Place::Computed;
    for (read, piece) in formula.reads.iter().zip(&given.places) {
        let end = usize::try_from(read.length).ok().and_then(|length| read.at.checked_add(length));
        let wanted = end.and_then(|end| bytes.get_mut(read.at..end)).ok_or("an expression reads past what it is given")?;
        let at = match (piece, &read.what) {
            (Piece::Described(place), Readable::Local(name)) => At::Number(described(name, *place, frame, old)?, None),
            (Piece::Inner(inner, register), _) => {
                let inner = position.checked_sub(usize::from(*inner)).and_then(|position| frames.get(position));
                place(&Piece::Register(*register), inner.ok_or("a frame further in is not looked at")?, old.placement)?
            }
            _ => place(piece, frame, old.placement)?,
        };
        match at {
            At::Memory(address) => {
                old.memory.read(address, wanted).map_err(|error| error.to_string())?;
                holder = Place::Slot(address);
            }
            At::Number(number, place) => {
                let number = number.to_le_bytes();
                let known = number.get(..wanted.len()).ok_or("a variable of more than eight bytes in a register")?;
                wanted.copy_from_slice(known);
                holder = place.unwrap_or(holder);
            }
        }
    }
    let value = match &formula.source {
        Source::Constant(value) => value.clone(),
        Source::Expression(expression) => {
            let view = ObjectView::new(&old.build.debug.types, None, RunAddress(0), &bytes, old.memory);
            expression.value(&view).map_err(|error| error.to_string())?
        }
    };
    let skipped = |number: u64| number.checked_shr(8 * u32::from(given.skip)).unwrap_or(0);
    match value {
        Value::Address(RunAddress(0)) => Ok(Word::Number(0)),
        Value::Address(address) if given.skip == 0 => Ok(Word::Pointer(address.0, holder)),
        value => number(&value, formula.form).map(|number| Word::Number(skipped(number))),
    }
}

enum At {
    Memory(RunAddress),
    Number(u64, Option<Place>),
}

fn place(piece: &Piece, frame: &Frame, placement: &Placement) -> Result<At, String> {
    Ok(match piece {
        Piece::Frame(offset) => At::Memory(RunAddress(frame.cfa.0.wrapping_add_signed(*offset))),
        Piece::Static(link) => At::Memory(placement.old_run(*link).0),
        Piece::Constant(number) => At::Number(*number, None),
        Piece::Described(_) | Piece::Inner(..) => return Err("a variable without a name".to_owned()),
        Piece::Register(register) => {
            let known = frame.registers.get(usize::from(*register)).copied().flatten();
            let known = known.ok_or_else(|| format!("what the old frame has in register {register} (DWARF number) is lost"))?;
            At::Number(known.value, Some(known.place))
        }
    })
}

/// What debug information makes of the registers of a frame.
fn described(name: &str, place: LinkAddress, frame: &Frame, old: OldProcess<'_>) -> Result<u64, String> {
    let lost = || format!("the old frame does not keep `{name}`: it is made of registers that are lost");
    let mut variables = Variables::new(old.build);
    let locals = variables.at(place).map_err(|error| error.to_string())?;
    let local = locals.iter().find(|local| local.name == name && local.inlined.is_none()).ok_or_else(lost)?;
    let mut word = |address: RunAddress| {
        let mut bytes = [0; 8];
        old.memory.read(address, &mut bytes).ok().map(|()| u64::from_le_bytes(bytes))
    };
    let bias = old.placement.old_bias();
    let mut whole = variables::Frame { registers: &frame.registers, cfa: frame.cfa, bias, word: &mut word };
    match variables.locate(local, &mut whole)[..] {
        [variables::Piece { bits: None, source: variables::Source::Value(number) }] => Ok(number),
        _ => Err(lost()),
    }
}

/// A number as it is stored, sign-extended where it has a sign.
fn number(value: &Value, form: Form) -> Result<u64, String> {
    let float = |number: f64| match form.length {
        4 => Ok(u64::from((number as f32).to_bits())),
        8 => Ok(number.to_bits()),
        length => Err(format!("a floating-point number of {length} bytes")),
    };
    match value {
        Value::Zero => Ok(0),
        Value::Integer(number) if form.float => float(*number as f64),
        Value::Integer(number) => Ok(*number as u64),
        Value::Float(number) => float(*number),
        Value::Bytes(_) | Value::Address(_) | Value::New(_) => Err("the value is no number".to_owned()),
    }
}
