//! Variables that the new code takes for constants at a point (DW_AT_const_value, locations that are plain numbers, copies of a function
//! that the compiler made for certain arguments): the old ones must have those values.

use dsu_formats::address::RunAddress;

use super::super::continuation::{Condition, FramePlace, Relation, Value};
use super::super::locals::DWARF;
use super::{Position, Problem};
use crate::plan::address::{NewLink, OldLink};
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::error::ProgramError;
use crate::program::flow::Function;
use crate::program::unwind::{Place, RegisterValue};
use crate::program::variables::{Frame, Local, Piece, Source, Variables};

/// Where a frame is thought to be while places in it are found.
const FRAME: u64 = 1 << 40;
/// Where else.
const ELSEWHERE: u64 = 1 << 41;
/// How far a build is moved to tell addresses in it from numbers.
const MOVED: u64 = 1 << 42;
/// Farther from the frame's address is not in the frame.
const FARTHEST: u64 = 1 << 31;
/// Registers that a call keeps (System V ABI, figure 3.4), by DWARF number.
const KEPT: [u8; 6] = [3, 6, 12, 13, 14, 15];

/// A variable at a point.
#[derive(Clone, Debug, PartialEq)]
struct Variable {
    name: String,
    /// Line of its declaration; 0 when unknown.
    line: u64,
    /// Length in bytes, at most 8.
    length: u8,
    place: Where,
}

/// Where a variable is.
#[derive(Clone, Debug, PartialEq)]
enum Where {
    Constant(u64),
    /// It is this address of its build.
    Address(LinkAddress),
    Frame(FramePlace),
    /// In a register, by DWARF number, that the call at the point does not keep.
    Passing(u8),
    /// It is what the function was given in this register, by DWARF number.
    Entered(u8),
    /// In the old frame it is this.
    Told(Value),
    Unknown,
}

/// The variables of a function in scope at a point.
#[derive(Debug, Default)]
pub(in super::super) struct Constants(Vec<Variable>);

impl Constants {
    /// The variables of `build` behind the call that returns to `next`; with `between`, before the instruction there.
    pub(in super::super) fn at(
        build: &Build,
        function: Function<'_>,
        next: LinkAddress,
        between: bool,
    ) -> Result<Self, ProgramError> {
        let mut variables = Variables::new(build);
        let place = LinkAddress(next.0.wrapping_sub(u64::from(!between)));
        let mut found = Vec::new();
        for local in variables.at(place)? {
            let Ok(length @ 1..=8) = u8::try_from(build.debug.types.size_of(local.kind).unwrap_or(0)) else { continue };
            let place = located(&variables, &local, (function, next, between), length);
            found.push(Variable { name: name(&local.name, local.inlined.as_deref()), line: local.line, length, place });
        }
        for constant in variables.absent(place)? {
            let length = build.debug.types.size_of(constant.kind).unwrap_or(0);
            let Ok(length @ 1..=8) = u8::try_from(length) else { continue };
            let place = constant.value.map_or(Where::Unknown, Where::Constant);
            let name = name(&constant.name, constant.inlined.as_deref());
            found.push(Variable { name, line: constant.line, length, place });
        }
        Ok(Self(found))
    }

    /// The number that a variable is, with its length in bytes.
    pub(in super::super) fn number(&self, name: &str) -> Option<(u64, u8)> {
        let variable = self.0.iter().find(|variable| variable.name == name)?;
        match variable.place {
            Where::Constant(number) => Some((number & super::ranges::greatest(variable.length * 8), variable.length)),
            _ => None,
        }
    }

    /// Those whose name is not `known`.
    pub(in super::super) fn without(mut self, known: &dyn Fn(&str) -> bool) -> Self {
        self.0.retain(|variable| !known(&variable.name));
        self
    }

    /// What is in registers at the call, or was at the entry, as `held` tells it from the frame.
    pub(in super::super) fn told(mut self, held: &mut dyn FnMut(u8, bool) -> Option<Value>) -> Self {
        for variable in &mut self.0 {
            let told = match variable.place {
                Where::Passing(register) => held(register, false),
                Where::Entered(register) => held(register, true),
                _ => continue,
            };
            variable.place = told.map_or(Where::Unknown, Where::Told);
        }
        self
    }

    /// What the constants among `self`, the new code's variables, say of the old ones. `same` tells whether an address of the old build
    /// and one of the new build mean the same.
    pub(in super::super) fn check(
        &self,
        old: &Self,
        (returns, to): (OldLink, NewLink),
        same: &dyn Fn(LinkAddress, LinkAddress) -> bool,
    ) -> Position {
        let mut found = Position::default();
        let problem = |reason: String| Problem { branch: None, reason };
        for new in &self.0 {
            let number = match new.place {
                Where::Constant(number) => number & super::ranges::greatest(new.length * 8),
                Where::Address(address) => {
                    found.extend(address_of(new, address, old.partner(self, new), to, same));
                    continue;
                }
                _ => continue,
            };
            let Some(old) = old.partner(self, new) else { continue };
            match old {
                Err(()) => {
                    let reason = format!(
                        "`{}` is {number} there, and which of the old variables of that name it is is not known",
                        new.name
                    );
                    found.problems.push(problem(reason));
                }
                Ok(Variable { place: Where::Constant(other), .. })
                    if other & super::ranges::greatest(new.length * 8) == number => {}
                Ok(Variable { place: place @ (Where::Frame(_) | Where::Told(_)), length, .. }) if *length == new.length => {
                    found.conditions.extend(place.value().map(|left| Condition {
                        left,
                        relation: Relation::Equal,
                        right: Value::Constant(number),
                        bits: new.length * 8,
                        branch: to,
                        argument: None,
                    }));
                }
                Ok(Variable { place: Where::Constant(other), .. }) => {
                    found.problems.push(problem(format!("`{}` is {number} there, and {other} in the old code", new.name)));
                    // Of several points, this is not the one.
                    found.conditions.push(Condition {
                        left: Value::Constant(*other),
                        relation: Relation::Equal,
                        right: Value::Constant(number),
                        bits: new.length * 8,
                        branch: to,
                        argument: None,
                    });
                }
                Ok(_) => {
                    let reason =
                        format!("`{}` is {number} there, and the old frame at {} does not tell its value", new.name, returns.0);
                    found.problems.push(problem(reason));
                }
            }
        }
        found
    }

    /// The variable that one of `news` was. `None` for a new one, an error where several may be meant.
    fn partner(&self, news: &Self, new: &Variable) -> Option<Result<&Variable, ()>> {
        let named = |list: &'_ [Variable]| -> Vec<usize> {
            (0..list.len()).filter(|index| list.get(*index).is_some_and(|own| own.name == new.name)).collect()
        };
        let (mut olds, mut same) = (named(&self.0), named(&news.0));
        if olds.is_empty() {
            return None;
        }
        if olds.len() != same.len() {
            return Some(Err(()));
        }
        // Variables of one name hide one another, or belong to copies of one function: in the order of their declarations.
        olds.sort_by_key(|index| self.0.get(*index).map(|own| own.line));
        same.sort_by_key(|index| news.0.get(*index).map(|own| own.line));
        let position = same.iter().position(|index| news.0.get(*index).is_some_and(|own| std::ptr::eq(own, new)))?;
        let old = self.0.get(*olds.get(position)?)?;
        Some(Ok(old))
    }
}

/// What it says of an old variable that the new one is an address.
fn address_of(
    new: &Variable,
    address: LinkAddress,
    old: Option<Result<&Variable, ()>>,
    to: NewLink,
    same: &dyn Fn(LinkAddress, LinkAddress) -> bool,
) -> Position {
    let mut found = Position::default();
    match old {
        None => {}
        Some(Ok(Variable { place: Where::Address(other), .. })) if same(*other, address) => {}
        Some(Ok(Variable { place: place @ (Where::Frame(_) | Where::Told(_)), length: 8, .. })) => {
            let right = Value::Address(NewLink(address));
            let same = |left| Condition { left, relation: Relation::Equal, right, bits: 64, branch: to, argument: None };
            found.conditions.extend(place.value().map(same));
        }
        Some(_) => {
            let reason =
                format!("`{}` is a certain address there, and the old frame does not tell that it was the same", new.name);
            found.problems.push(Problem { branch: None, reason });
        }
    }
    found
}

impl Where {
    /// What tells the value at the stop.
    fn value(&self) -> Option<Value> {
        match self {
            Self::Frame(place) => Some(Value::Old(*place)),
            Self::Told(value) => Some(value.clone()),
            _ => None,
        }
    }
}

fn name(name: &str, inlined: Option<&str>) -> String {
    match inlined {
        Some(function) => format!("{name} of {function}"),
        None => name.to_owned(),
    }
}

fn located(
    variables: &Variables<'_>,
    local: &Local<'_>,
    (function, next, between): (Function<'_>, LinkAddress, bool),
    length: u8,
) -> Where {
    if let Some(register) = variables.entered(local) {
        return Where::Entered(register);
    }
    let at = |registers: &[Option<RegisterValue>; 16], cfa: u64, bias: u64| -> Option<Source> {
        let mut word = |_: RunAddress| None;
        let mut frame = Frame { registers, cfa: RunAddress(cfa), bias, word: &mut word };
        match variables.locate(local, &mut frame)[..] {
            [Piece { bits: None, source }] => Some(source),
            _ => None,
        }
    };
    // What needs no register and is the same in any frame is a constant.
    let none = [None; 16];
    if let (Some(Source::Value(one)), Some(Source::Value(other)), Some(Source::Value(moved))) =
        (at(&none, FRAME, 0), at(&none, ELSEWHERE, 0), at(&none, FRAME, MOVED))
    {
        return match (one == other, moved.wrapping_sub(one)) {
            (true, 0) => Where::Constant(one),
            (true, MOVED) => Where::Address(LinkAddress(one)),
            _ => Where::Unknown,
        };
    }
    match at(&registers(function, next), FRAME, 0) {
        Some(Source::Register(RegisterValue { place: Place::Register(register), .. })) if KEPT.contains(&register) => {
            Where::Frame(FramePlace::Register(register))
        }
        Some(Source::Register(RegisterValue { place: Place::Register(register), .. })) if !between => Where::Passing(register),
        Some(Source::Memory(address)) => {
            let offset = address.0.wrapping_sub(FRAME).cast_signed();
            match offset.unsigned_abs() < FARTHEST {
                true => Where::Frame(FramePlace::Slot { offset, length }),
                false => Where::Unknown,
            }
        }
        _ => Where::Unknown,
    }
}

/// Registers by DWARF number: those that point into the frame; what the others hold tells only where a variable is.
fn registers(function: Function<'_>, next: LinkAddress) -> [Option<RegisterValue>; 16] {
    let node = function.graph.at(next);
    let mut found = [None; 16];
    for (encoded, number) in (0u8..).zip(DWARF) {
        let offset = node.and_then(|node| function.frame_offset(node, encoded));
        let value = offset.map_or(0, |offset| FRAME.wrapping_add_signed(offset));
        if let Some(slot) = found.get_mut(usize::from(number)) {
            *slot = Some(RegisterValue { value, place: Place::Register(number) });
        }
    }
    found
}
