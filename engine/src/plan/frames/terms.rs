//! From a value of the new code to what the old frame has, or to what can be done again from it (PROOF 3.3).

use super::continuation::{FramePlace, Operation, Value};
use super::correspond::Correspondence;
use super::given;
use crate::plan::address::{NewLink, OldLink};
use crate::program::address::LinkAddress;
use crate::program::code::Symbolic;
use crate::program::flow::{Binary, Place, Term, ValueId, Values};

/// How deep instructions are done again.
const DEPTH: u32 = 12;

/// A place of the old frame and what it holds at the point.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) place: FramePlace,
    pub(super) value: ValueId,
}

/// What gives a value, or why nothing does.
pub(super) type Explained = Result<Value, String>;

/// Explains values at one pair of points.
pub(super) struct Terms<'t, 'c, 'g> {
    pub(super) correspondence: &'t mut Correspondence<'c, 'g>,
    /// Places of the old frame that can be read.
    pub(super) candidates: &'t [Candidate],
    /// Values of the new code that the user gives, with their widths in bits.
    pub(super) said: &'t [(ValueId, u8, Value)],
}

impl Terms<'_, '_, '_> {
    /// What gives the lowest `bits` of a value of the new code.
    pub(super) fn explain(&mut self, value: ValueId, bits: u8) -> Explained {
        self.deep(value, bits, DEPTH)
    }

    pub(super) fn deep(&mut self, value: ValueId, bits: u8, depth: u32) -> Explained {
        let wanted = self.correspondence.new.values.extend(bits, false, value);
        match self.correspondence.new.values.node(wanted).clone() {
            Term::Constant(number) => return Ok(Value::Constant(number)),
            Term::Canary => return Ok(Value::Canary),
            Term::Frame(offset) => return Ok(Value::Frame(offset)),
            Term::Address(Symbolic::Address(link)) => return Ok(Value::Address(NewLink(link))),
            _ => {}
        }
        if let Some(given) = self.said(wanted, bits) {
            return Ok(given);
        }
        if let Some(place) = self.kept(wanted, bits) {
            return Ok(Value::Old(place));
        }
        let Some(depth) = depth.checked_sub(1) else { return Err("it is made in too many steps".to_owned()) };
        if let Some(counted) = self.counted(wanted, depth).or_else(|| self.in_step(wanted, depth)) {
            return Ok(counted);
        }
        let found = self.made(wanted, bits, depth);
        // What it takes from callers may be lost, and what is told in another way too.
        let is_sure = found.as_ref().is_ok_and(|value| !given::is_given(value));
        let mut ways = if is_sure { Vec::new() } else { self.solved(wanted, bits) };
        match (found, ways.is_empty()) {
            (found, true) => found,
            (Ok(given), false) => {
                ways.insert(0, given);
                Ok(Value::FirstOf(ways))
            }
            (Err(_), false) if ways.len() == 1 => Ok(ways.remove(0)),
            (Err(_), false) => Ok(Value::FirstOf(ways)),
        }
    }

    /// Does again what makes the lowest `bits` bits of a value.
    fn made(&mut self, wanted: ValueId, bits: u8, depth: u32) -> Explained {
        // What is wanted is the lowest bits of something: nothing holds those, but what they are of may be made again.
        match self.correspondence.new.values.node(wanted).clone() {
            Term::Extend { from, signed: false, of } if from == bits => {
                let whole = self.again(of, depth)?;
                Ok(Value::Computed(Operation::ZeroExtend { from }, vec![whole]))
            }
            _ => self.again(wanted, depth),
        }
    }

    /// What the user gives.
    fn said(&mut self, wanted: ValueId, bits: u8) -> Option<Value> {
        for (value, width, given) in self.said.iter().filter(|(_, width, _)| bits <= *width) {
            let value = if bits < *width { self.correspondence.new.values.extend(bits, false, *value) } else { *value };
            if self.correspondence.new.values.resolve(value) == self.correspondence.new.values.resolve(wanted) {
                return Some(given.clone());
            }
        }
        None
    }

    /// A place of the old frame that holds the same.
    fn kept(&mut self, wanted: ValueId, bits: u8) -> Option<FramePlace> {
        for index in 0..self.candidates.len() {
            let Candidate { place, value } = *self.candidates.get(index)?;
            let value = self.correspondence.old.values.extend(bits, false, value);
            if self.correspondence.same(value, wanted) {
                return Some(place);
            }
        }
        None
    }

    /// Does the instructions again that make a value.
    fn again(&mut self, value: ValueId, depth: u32) -> Explained {
        match self.correspondence.new.values.node(value).clone() {
            Term::Extend { from, signed, of } => {
                let inner = self.deep(of, from, depth)?;
                let operation = if signed { Operation::SignExtend { from } } else { Operation::ZeroExtend { from } };
                Ok(Value::Computed(operation, vec![inner]))
            }
            Term::Sum { bits, terms, constant } => {
                let mut sum = Value::Constant(constant.cast_unsigned());
                for (term, factor) in terms {
                    let mut part = self.deep(term, bits, depth)?;
                    if factor != 1 {
                        let factor = Value::Constant(factor.cast_unsigned());
                        part = Value::Computed(Operation::Multiply { bits }, vec![part, factor]);
                    }
                    sum = match sum {
                        Value::Constant(0) => Value::Computed(Operation::ZeroExtend { from: bits }, vec![part]),
                        sum => Value::Computed(Operation::Add { bits }, vec![part, sum]),
                    };
                }
                Ok(sum)
            }
            Term::Binary { operation, bits, left, right } => {
                let (left, right) = (self.deep(left, bits, depth)?, self.deep(right, bits, depth)?);
                Ok(Value::Computed(repeated(operation, bits), vec![left, right]))
            }
            Term::Entry(place @ Place::Register(_)) if let Some(register) = self.correspondence.argument(place) => {
                Ok(Value::Given(register))
            }
            // The new program's constants are its own.
            Term::Load { address, bytes: bytes @ 1..=8, .. } if let Some(number) = self.constant_at(address, bytes) => {
                Ok(Value::Constant(number))
            }
            Term::Load { address, bytes: bytes @ 1..=8, .. } if let Some(link) = self.steady_at(address, bytes) => {
                Ok(Value::Memory(OldLink(link), bytes))
            }
            node => match self.chosen(value, depth) {
                Some(chosen) => chosen,
                None => Err(describe(&node, self.correspondence.new.values)),
            },
        }
    }
}

impl Terms<'_, '_, '_> {
    fn constant_at(&self, address: ValueId, bytes: u8) -> Option<u64> {
        match self.correspondence.new.values.node(address) {
            Term::Address(symbol) => self.correspondence.number_at(symbol, bytes),
            _ => None,
        }
    }

    /// Where the old program still has what the new code read from a variable.
    fn steady_at(&self, address: ValueId, bytes: u8) -> Option<LinkAddress> {
        match self.correspondence.new.values.node(address) {
            Term::Address(symbol) => self.correspondence.steady(symbol, bytes),
            _ => None,
        }
    }
}

pub(super) fn repeated(operation: Binary, bits: u8) -> Operation {
    match operation {
        Binary::Multiply => Operation::Multiply { bits },
        Binary::And => Operation::And { bits },
        Binary::Or => Operation::Or { bits },
        Binary::Xor => Operation::Xor { bits },
        Binary::ShiftLeft => Operation::ShiftLeft { bits },
        Binary::ShiftRight => Operation::ShiftRight { bits },
        Binary::ShiftRightSigned => Operation::ShiftRightSigned { bits },
    }
}

/// Why a value is not explained, in words.
fn describe(node: &Term, values: &Values<'_>) -> String {
    let line = |at: u32| values.function().graph.node(at).map_or_else(String::new, |node| format!(" at {}", node.address()));
    match node {
        Term::Entry(Place::Slot { .. }) => "the new code has not given it a value yet".to_owned(),
        Term::Entry(_) => "it is an argument that the old frame does not keep".to_owned(),
        Term::Load { at, .. } => format!("the new code read it from memory{}, and the old frame keeps no such value", line(*at)),
        Term::Result { call, .. } => format!("it is the result of the call{}, which the old frame does not keep", line(*call)),
        Term::Choice { .. } => {
            "the new code gives it several values, which are not those that the old code gave any variable".to_owned()
        }
        Term::Unknown { at, .. } => format!("what makes it{} is not understood", line(*at)),
        Term::Address(_) => "it is an address in a library".to_owned(),
        _ => "the old frame keeps nothing that is made in the same way".to_owned(),
    }
}
