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
use super::solved;
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
    names(view, returns, callee)?;
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
pub(super) fn given_to(view: View<'_>, facts: &Facts, call: u32, place: Place) -> Result<Value, String> {
    let mut values = Values::new(facts.function());
    let candidates = candidates(facts, call, &mut values);
    let mut caller = Caller { values, candidates, view };
    let value = caller.values.before(call, place);
    caller.tell(value, DEPTH)
}

/// That the call that returns to `returns` is what has led to the frame of `callee` further in.
fn names(view: View<'_>, returns: LinkAddress, callee: usize) -> Result<(), String> {
    let Some(called) = view.code.returns.get(&returns) else { return Err("its caller's call is not known".to_owned()) };
    let is_named = matches!(called, Callee::Function(FunctionId(to)) if *to as usize == callee);
    let frame = FunctionId(u32::try_from(callee).unwrap_or(u32::MAX));
    let is_direct = is_named && view.code.calls.tail_path(*called, frame) == TailPath::Direct;
    match is_direct && view.code.calls.is_entered_once(frame) {
        true => Ok(()),
        false => Err("its caller may not be who gave it".to_owned()),
    }
}

/// What the call that returns to `returns` gave the function `callee` in a register, in terms of that one's old frame, which waits in a call
/// itself: a place of it that holds the same, or what it passed on.
pub(super) fn passed(
    (view, comparison): (View<'_>, &Comparison),
    (_, returns): (usize, LinkAddress),
    (callee, waits): (usize, LinkAddress),
    register: u8,
    was_updated: bool,
) -> Result<Value, String> {
    names(view, returns, callee)?;
    let facts = comparison.prepared.caller(callee).map_err(|unclear| unclear.to_string())?;
    let Some(call) = facts.graph.call_before(waits) else { return Err("its call is not known".to_owned()) };
    let mut values = Values::new(facts.function());
    let mut candidates = candidates(facts, call, &mut values);
    if was_updated {
        let readers = readers(facts, (OldLink(waits), call), false).map_err(|unclear| unclear.to_string())?;
        candidates.retain(|candidate| readers.reads(candidate.place, length_of(candidate.place)));
    }
    let given = values.entered(Place::Register(register));
    let further = solved::arguments(&mut values, call).into_iter().find(|(_, value)| *value == given);
    let inner = Caller { values, candidates, view };
    match (inner.kept(given), further) {
        (Some(place), _) => Ok(Value::Old(place)),
        (None, Some((register, _))) => Ok(Value::Passed(register)),
        (None, None) => Err("the call under way does not keep it".to_owned()),
    }
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
            Value::Passed(register) => self.passed(number, *register, 0),
            Value::Word(made) => Ok(Value::Word(Box::new(self.own(number, made)?))),
            Value::FirstOf(ways) => {
                let mut lost = None;
                for way in ways {
                    match self.own(number, way) {
                        Ok(value) => return Ok(value),
                        Err(reason) => drop(lost.get_or_insert(reason)),
                    }
                }
                Err(lost.unwrap_or_else(|| "nothing tells its value".to_owned()))
            }
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

    /// What the call under way in frame `number` was given in a register, as frames further in still have it.
    fn passed(&self, number: usize, register: u8, callees: usize) -> Result<Value, String> {
        let lost = || "it is an argument that the old frame does not keep".to_owned();
        let below = number.checked_sub(1).filter(|_| callees < MOST_CALLERS).ok_or_else(lost)?;
        let (Some(frame), Some(inner)) = (self.frames.get(number), self.frames.get(below)) else { return Err(lost()) };
        let waits = |frame: &Frame| {
            let link = frame.module.filter(|(module, _)| *module == 0).map(|(_, link)| link)?;
            let is_call = !frame.is_signal_frame && frame.pc != frame.lookup;
            let returns = LinkAddress(link.0.wrapping_add(frame.pc.0.wrapping_sub(frame.lookup.0)));
            is_call.then_some(((self.function)(link)?, returns))
        };
        let (Some(caller), Some(callee)) = (waits(frame), waits(inner)) else { return Err(lost()) };
        match self.continuations.passed(caller, callee, register, self.was_updated) {
            Ok(Value::Old(place)) => Ok(Value::Outer(below, Held::Place(place))),
            Ok(Value::Passed(register)) => self.passed(below, register, callees.saturating_add(1)),
            Ok(_) => Err(lost()),
            Err(reason) => Err(format!("{}, and {reason}", lost())),
        }
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

/// Whether a value is filled in from other frames.
pub(super) fn is_given(value: &Value) -> bool {
    match value {
        Value::Given(_) | Value::Passed(_) | Value::FirstOf(_) => true,
        Value::Computed(_, operands) => operands.iter().any(is_given),
        Value::Word(made) => is_given(made),
        _ => false,
    }
}
