//! Arguments that an old frame did not keep, told from its caller's old frame: what the call was given, if that is still there (PROOF 3.4).
//!
//! What a call was given is a fact of the old run, whatever becomes of the frames. Told from the old code of the caller alone, and read from
//! its old frame.

use std::collections::HashMap;
use std::sync::Arc;

use super::Continuations;
use super::continuation::{Condition, Continuation, FramePlace, Held, Operation, Value};
use super::explain::{candidates, readers};
use super::prepared::Facts;
use super::rebuild_value;
use super::terms::{Candidate, repeated};
use crate::plan::address::OldLink;
use crate::plan::compare::Comparison;
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::code::{Callee, FunctionId, Symbolic, TailPath};
use crate::program::flow::{Place, Term, ValueId, Values};
use crate::program::unwind::Frame;

/// How deep instructions are done again.
const DEPTH: u32 = 12;
/// Callers that pass on what they were given themselves.
const MOST_CALLERS: usize = 200;

/// What the call of `caller` that returns to `returns` gave the function `callee` in a register, in terms of the caller's old frame.
pub(super) fn given(
    (view, comparison): (View<'_>, &Comparison),
    (caller, returns): (usize, LinkAddress),
    callee: usize,
    register: u8,
    was_updated: bool,
) -> Result<Value, String> {
    let Some(called) = view.code.returns.get(&returns) else { return Err("its caller's call is not known".to_owned()) };
    let is_named = matches!(called, Callee::Function(FunctionId(to)) if *to as usize == callee);
    let frame = FunctionId(u32::try_from(callee).unwrap_or(u32::MAX));
    let is_direct = is_named && view.code.calls.tail_path(*called, frame) == TailPath::Direct;
    if !is_direct || !view.code.calls.is_entered_once(frame) {
        return Err("its caller may not be who gave it".to_owned());
    }
    let facts = comparison.prepared.caller(caller).map_err(|unclear| unclear.to_string())?;
    let Some(call) = facts.graph.call_before(returns) else { return Err("its caller's call is not known".to_owned()) };
    let mut values = Values::new(facts.function());
    let mut candidates = candidates(facts, call, &mut values);
    if was_updated {
        // An earlier update may have made the caller's frame anew, too.
        let readers = readers(facts, (OldLink(returns), call), false).map_err(|unclear| unclear.to_string())?;
        candidates.retain(|candidate| readers.reads(candidate.place, length_of(candidate.place)));
    }
    let mut caller = Caller { values, candidates, view };
    let value = caller.values.before(call, Place::Register(register));
    caller.tell(value, DEPTH)
}

/// What a call that is under way in a frame was given in a place, in terms of that frame.
pub(super) fn passed(view: View<'_>, facts: &Facts, call: u32, place: Place) -> Result<Value, String> {
    let mut values = Values::new(facts.function());
    let candidates = candidates(facts, call, &mut values);
    let mut caller = Caller { values, candidates, view };
    let value = caller.values.before(call, place);
    caller.tell(value, DEPTH)
}

/// The caller's side.
struct Caller<'c> {
    values: Values<'c>,
    candidates: Vec<Candidate>,
    view: View<'c>,
}

impl Caller<'_> {
    fn tell(&mut self, value: ValueId, depth: u32) -> Result<Value, String> {
        let lost = || Err("its caller does not keep it either".to_owned());
        let value = self.values.resolve(value);
        let node = self.values.node(value).clone();
        match node {
            // In a program at a fixed address a number may be an address.
            Term::Constant(number) if self.is_number(number) => return Ok(Value::Constant(number)),
            Term::Frame(offset) => return Ok(Value::Outer(0, Held::Frame(offset))),
            Term::Address(Symbolic::Address(link)) => return Ok(Value::Outer(0, Held::Address(OldLink(link)))),
            _ => {}
        }
        if let Some(place) = self.kept(value) {
            return Ok(Value::Old(place));
        }
        let Some(depth) = depth.checked_sub(1) else { return lost() };
        match node {
            Term::Entry(Place::Register(register)) => Ok(Value::Given(register)),
            Term::Extend { from, signed, of } => {
                let operation = if signed { Operation::SignExtend { from } } else { Operation::ZeroExtend { from } };
                Ok(made(operation, vec![self.tell(of, depth)?]))
            }
            Term::Sum { bits, terms, constant } => {
                let mut sum = Value::Constant(constant.cast_unsigned());
                for (term, factor) in terms {
                    let mut part = self.tell(term, depth)?;
                    if factor != 1 {
                        part = made(Operation::Multiply { bits }, vec![part, Value::Constant(factor.cast_unsigned())]);
                    }
                    sum = made(Operation::Add { bits }, vec![part, sum]);
                }
                Ok(sum)
            }
            Term::Binary { operation, bits, left, right } => {
                let (left, right) = (self.tell(left, depth)?, self.tell(right, depth)?);
                Ok(made(repeated(operation, bits), vec![left, right]))
            }
            _ => lost(),
        }
    }

    fn is_number(&self, number: u64) -> bool {
        let elf = &self.view.old.elf;
        elf.is_position_independent() || elf.load_at(LinkAddress(number)).is_none()
    }

    /// A place of the caller's frame that holds a value behind the call. One value of a function is one number at any moment: a loop makes
    /// new ones where its ways meet.
    fn kept(&self, value: ValueId) -> Option<FramePlace> {
        let is_whole = |place: FramePlace| matches!(place, FramePlace::Register(_) | FramePlace::Slot { length: 8, .. });
        let holds = |candidate: &&Candidate| {
            let same = self.values.resolve(candidate.value) == value;
            same && (is_whole(candidate.place) || self.values.width(value) <= length_of(candidate.place))
        };
        self.candidates.iter().find(holds).map(|candidate| candidate.place)
    }
}

fn length_of(place: FramePlace) -> u8 {
    match place {
        FramePlace::Register(_) => 64,
        FramePlace::Slot { length, .. } => length.saturating_mul(8),
    }
}

/// An operation on values; on numbers, and a number added to a sum with a number, what it comes to.
fn made(operation: Operation, operands: Vec<Value>) -> Value {
    match (operation, operands.as_slice()) {
        (_, [Value::Constant(only)]) => Value::Constant(rebuild_value::compute(operation, *only, 0)),
        (_, [Value::Constant(first), Value::Constant(second)]) => {
            Value::Constant(rebuild_value::compute(operation, *first, *second))
        }
        (Operation::Add { bits: 64 }, [only, Value::Constant(0)]) => only.clone(),
        (Operation::Add { .. }, [Value::Computed(inner, parts), Value::Constant(second)]) if *inner == operation => {
            match parts.as_slice() {
                [rest, Value::Constant(first)] => {
                    let sum = rebuild_value::compute(operation, *first, *second);
                    Value::Computed(operation, vec![rest.clone(), Value::Constant(sum)])
                }
                _ => Value::Computed(operation, operands),
            }
        }
        _ => Value::Computed(operation, operands),
    }
}

/// What the frames of one thread were given, found when asked for.
pub struct Givers<'g> {
    /// Who knows what calls give.
    pub continuations: &'g dyn Continuations,
    /// The frames, innermost first.
    pub frames: &'g [Frame],
    /// The function of the old build, by its position, that has code at an address.
    pub function: &'g dyn Fn(LinkAddress) -> Option<usize>,
    /// What was found.
    pub known: HashMap<(usize, u8), Result<Value, String>>,
    /// Whether an earlier update made frames anew.
    pub was_updated: bool,
}

impl Givers<'_> {
    /// The continuation of frame `number` with all that its callers gave filled in.
    ///
    /// # Errors
    /// What is not known of an argument that it needs.
    pub fn filled(&mut self, number: usize, continuation: Arc<Continuation>) -> Result<Arc<Continuation>, String> {
        let in_condition = |condition: &Condition| is_given(&condition.left) || is_given(&condition.right);
        let needs = continuation.values.iter().any(|placed| is_given(&placed.value));
        if !needs && !continuation.conditions.iter().any(in_condition) {
            return Ok(continuation);
        }
        let mut filled = Continuation::clone(&continuation);
        for placed in &mut filled.values {
            placed.value = self.own(number, &placed.value)?;
        }
        for condition in &mut filled.conditions {
            condition.left = self.own(number, &condition.left)?;
            condition.right = self.own(number, &condition.right)?;
        }
        Ok(Arc::new(filled))
    }

    /// A value in terms of frame `number`, without what its callers gave.
    fn own(&mut self, number: usize, value: &Value) -> Result<Value, String> {
        match value {
            Value::Given(register) => self.argument(number, *register, 0),
            Value::Computed(operation, operands) => {
                let operands: Result<Vec<Value>, String> = operands.iter().map(|operand| self.own(number, operand)).collect();
                Ok(Value::Computed(*operation, operands?))
            }
            other => Ok(other.clone()),
        }
    }

    /// What frame `number` was given in a register.
    fn argument(&mut self, number: usize, register: u8, callers: usize) -> Result<Value, String> {
        if let Some(known) = self.known.get(&(number, register)) {
            return known.clone();
        }
        let found = self.asked(number, register, callers);
        self.known.insert((number, register), found.clone());
        found
    }

    fn asked(&mut self, number: usize, register: u8, callers: usize) -> Result<Value, String> {
        let lost = || "it is an argument that the old frame does not keep".to_owned();
        let above = number.saturating_add(1);
        let (Some(frame), Some(caller)) = (self.frames.get(number), self.frames.get(above)) else { return Err(lost()) };
        let is_call = !frame.is_signal_frame && !caller.is_signal_frame && caller.pc != caller.lookup;
        let own = |frame: &Frame| {
            let link = frame.module.filter(|(module, _)| *module == 0).map(|(_, link)| link)?;
            Some(((self.function)(link)?, link))
        };
        let (Some((callee, _)), Some((function, link))) = (own(frame), own(caller)) else { return Err(lost()) };
        if !is_call || callers >= MOST_CALLERS {
            return Err(lost());
        }
        let returns = LinkAddress(link.0.wrapping_add(caller.pc.0.wrapping_sub(caller.lookup.0)));
        let value = self.continuations.given((function, returns), callee, register, self.was_updated);
        let value = value.map_err(|reason| format!("{}, and {reason}", lost()))?;
        self.of_caller(above, &value, callers.saturating_add(1))
    }

    /// A value in terms of a caller's frame, seen from below.
    fn of_caller(&mut self, number: usize, value: &Value, callers: usize) -> Result<Value, String> {
        match value {
            Value::Old(place) => Ok(Value::Outer(number, Held::Place(*place))),
            Value::Outer(_, held) => Ok(Value::Outer(number, *held)),
            Value::Given(register) => self.argument(number, *register, callers),
            Value::Computed(operation, operands) => {
                let operands: Result<Vec<Value>, String> =
                    operands.iter().map(|operand| self.of_caller(number, operand, callers)).collect();
                Ok(made(*operation, operands?))
            }
            other => Ok(other.clone()),
        }
    }
}

fn is_given(value: &Value) -> bool {
    match value {
        Value::Given(_) => true,
        Value::Computed(_, operands) => operands.iter().any(is_given),
        _ => false,
    }
}
