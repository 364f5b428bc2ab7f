//! Variables of a function at a point that are in the memory of its frame, and which of them are pairs.

use dsu_formats::address::RunAddress;

use super::continuation::FrameObject;
use super::converted;
use crate::program::address::LinkAddress;
use crate::program::build::Build;
use crate::program::compare_types::Comparison;
use crate::program::error::ProgramError;
use crate::program::flow::{self, Function};
use crate::program::types::TypeId;
use crate::program::unwind::{Place, RegisterValue};
use crate::program::variables::{Frame, Local, Piece, Source, Variables};

/// Where the frame is thought to be while places in it are found.
const FRAME: u64 = 1 << 40;
/// More calls of one function are not looked at for places of its variables.
const MOST_CALLS: usize = 256;
/// Farther from the frame's address is not in the frame.
const FARTHEST: u64 = 1 << 31;
/// DWARF numbers of general registers, by the numbers that instructions have them by (System V ABI, figure 3.36).
pub(super) const DWARF: [u8; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
/// The reverse.
pub(super) const ENCODED: [u8; 16] = [0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];

/// A variable in memory.
#[derive(Clone, Debug)]
pub(super) struct InMemory {
    pub(super) name: String,
    /// First byte, from the canonical frame address.
    pub(super) offset: i64,
    pub(super) length: u64,
    pub(super) kind: Option<TypeId>,
}

/// Variables at one point.
#[derive(Clone, Debug, Default)]
pub(super) struct Locals {
    pub(super) in_memory: Vec<InMemory>,
    /// Variables in registers, by DWARF number, for messages.
    pub(super) in_registers: Vec<(u8, String)>,
    /// All that are somewhere, with their types.
    kinds: Vec<(String, Option<TypeId>)>,
    /// Those that are numbers.
    constants: Vec<(String, u64)>,
    /// Those that debug information computes from registers.
    computed: Vec<String>,
    /// Those in several parts.
    split: Vec<String>,
    /// Parameters that still are what they were given, in this register by its DWARF number, and that are nowhere else.
    entered: Vec<(String, u8)>,
    /// The place that all this is about.
    pub(super) place: LinkAddress,
}

impl Locals {
    /// The variables of `build` behind the call that returns to `next`; with `between`, before the instruction there.
    pub(super) fn at(build: &Build, function: Function<'_>, next: LinkAddress, between: bool) -> Result<Self, ProgramError> {
        let mut variables = Variables::new(build);
        let place = LinkAddress(next.0.wrapping_sub(u64::from(!between)));
        let locals = variables.at(place)?;
        let registers = registers(function, next);
        let mut found = Self { place, ..Self::default() };
        for local in &locals {
            let mut word = |_: RunAddress| None;
            let mut frame = Frame { registers: &registers, cfa: RunAddress(FRAME), bias: 0, word: &mut word };
            let pieces = variables.locate(local, &mut frame);
            found.add(build, local, &pieces);
            found.constants.extend(fixed(&variables, local).map(|number| (local.name.clone(), number)));
            let entered = variables.entered(local).filter(|_| local.inlined.is_none());
            found.entered.extend(entered.map(|register| (local.name.clone(), register)));
        }
        let absent = variables.absent(place)?.into_iter().filter(|absent| absent.inlined.is_none());
        found.constants.extend(absent.filter_map(|absent| Some((absent.name, absent.value?))));
        Ok(found)
    }

    /// Adds variables in registers that are in memory at other calls of the function and in one place only, where nothing else is in that memory here:
    /// what is found in it now is what was stored there, although debug information has the value in a register.
    pub(super) fn add_homes(&mut self, build: &Build, function: Function<'_>) -> Result<(), ProgramError> {
        let mut variables = Variables::new(build);
        let mut homes: Vec<InMemory> = Vec::new();
        let mut moved: Vec<String> = Vec::new();
        let calls = function.graph.nodes().iter().filter(|node| node.is_call());
        for call in calls.take(MOST_CALLS) {
            let registers = registers(function, call.behind());
            for local in variables.at(LinkAddress(call.behind().0.wrapping_sub(1)))? {
                let mut word = |_: RunAddress| None;
                let mut frame = Frame { registers: &registers, cfa: RunAddress(FRAME), bias: 0, word: &mut word };
                let pieces = variables.locate(&local, &mut frame);
                let mut there = Self::default();
                there.add(build, &local, &pieces);
                for home in there.in_memory {
                    match homes.iter().find(|known| known.name == home.name) {
                        Some(known) if (known.offset, known.length) == (home.offset, home.length) => {}
                        Some(_) => moved.push(home.name),
                        None => homes.push(home),
                    }
                }
            }
        }
        for home in homes {
            let end = |variable: &InMemory| variable.offset.saturating_add_unsigned(variable.length);
            let is_free = |own: &InMemory| own.name != home.name && (end(own) <= home.offset || end(&home) <= own.offset);
            // A variable of a block that control is not in has no value here.
            let is_here = self.in_registers.iter().any(|(_, name)| *name == home.name);
            if is_here && !moved.contains(&home.name) && self.in_memory.iter().all(is_free) {
                self.in_memory.push(home);
            }
        }
        Ok(())
    }

    fn add(&mut self, build: &Build, local: &Local<'_>, pieces: &[Piece]) {
        let name = match &local.inlined {
            Some(function) => format!("{} of {function}", local.name),
            None => local.name.clone(),
        };
        self.kinds.push((name.clone(), local.kind));
        match pieces {
            [Piece { bits: None, source: Source::Memory(address) }] => {
                let offset = address.0.wrapping_sub(FRAME).cast_signed();
                let length = build.debug.types.size_of(local.kind).unwrap_or(0);
                if offset.unsigned_abs() < FARTHEST && length > 0 {
                    self.in_memory.push(InMemory { name, offset, length, kind: local.kind });
                }
            }
            [Piece { bits: None, source: Source::Value(_) }] => self.computed.push(name),
            [Piece { source: Source::Register(RegisterValue { place: Place::Register(register), .. }), .. }] => {
                self.in_registers.push((*register, name));
            }
            [_, _, ..] => self.split.push(name),
            _ => {}
        }
    }

    /// Names of the variables that are somewhere.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|(name, _)| name.as_str())
    }

    /// The type of the only variable with this name.
    pub(super) fn kind_of(&self, name: &str) -> Option<Option<TypeId>> {
        let mut named = self.kinds.iter().filter(|(own, _)| own == name).map(|(_, kind)| *kind);
        named.next().filter(|_| named.next().is_none())
    }

    /// Whether debug information computes the only variable with this name from registers.
    pub(super) fn is_computed(&self, name: &str) -> bool {
        self.kind_of(name).is_some() && self.computed.iter().any(|own| own == name)
    }

    /// Whether a variable is in several parts.
    pub(super) fn is_split(&self, name: &str) -> bool {
        self.split.iter().any(|own| own == name)
    }

    /// Other variables in the place of this one.
    pub(super) fn beside(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (register, _) in self.in_registers.iter().filter(|(_, own)| own == name) {
            found.extend(self.in_registers.iter().filter(|(other, _)| other == register).map(|(_, other)| other.clone()));
        }
        for own in self.in_memory.iter().filter(|own| own.name == name) {
            let meets = |other: &&InMemory| {
                other.offset < own.offset.saturating_add_unsigned(own.length)
                    && own.offset < other.offset.saturating_add_unsigned(other.length)
            };
            found.extend(self.in_memory.iter().filter(meets).map(|other| other.name.clone()));
        }
        found.retain(|other| other != name);
        found
    }

    /// Names of the variables that are numbers.
    pub(super) fn numbered(&self) -> Vec<String> {
        self.constants.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What the only variable with this name is, if it is a number.
    pub(super) fn constant(&self, name: &str) -> Option<u64> {
        let mut named = self.constants.iter().filter(|(own, _)| own == name).map(|(_, number)| *number);
        named.next().filter(|_| named.next().is_none())
    }

    /// Where a variable of one word at most is, if it is at one place.
    pub(super) fn place_of(&self, name: &str) -> Option<flow::Place> {
        self.kind_of(name)?;
        let register = self.in_registers.iter().find(|(_, own)| own == name);
        if let Some((register, _)) = register {
            return ENCODED.get(usize::from(*register)).map(|register| flow::Place::Register(*register));
        }
        let variable = self.in_memory.iter().find(|variable| variable.name == name && variable.length <= 8)?;
        Some(flow::Place::Slot { offset: variable.offset, length: variable.length as u8 })
    }

    /// The register that the only parameter with this name was given in, by the number that instructions have it by, if it still is what it
    /// was and debug information knows of no other place.
    pub(super) fn entered(&self, name: &str) -> Option<u8> {
        self.kind_of(name)?;
        let (_, register) = self.entered.iter().find(|(own, _)| own == name)?;
        ENCODED.get(usize::from(*register)).copied()
    }

    /// The parameter that was given in a register, likewise.
    pub(super) fn entered_in(&self, register: u8) -> Option<&str> {
        let names = self.entered.iter().map(|(name, _)| name.as_str());
        names.into_iter().find(|name| self.entered(name) == Some(register))
    }

    /// The variable that holds the byte at `offset`.
    pub(super) fn holding(&self, offset: i64) -> Option<&InMemory> {
        let holds = |variable: &&InMemory| {
            let end = variable.offset.saturating_add_unsigned(variable.length);
            (variable.offset..end).contains(&offset)
        };
        self.in_memory.iter().find(holds)
    }
}

/// The number that a variable is whatever the frame.
fn fixed(variables: &Variables<'_>, local: &Local<'_>) -> Option<u64> {
    let at = |cfa: u64, bias: u64| {
        let mut word = |_: RunAddress| None;
        let mut frame = Frame { registers: &[None; 16], cfa: RunAddress(cfa), bias, word: &mut word };
        match variables.locate(local, &mut frame)[..] {
            [Piece { bits: None, source: Source::Value(number) }] => Some(number),
            _ => None,
        }
    };
    let number = at(FRAME, 0).filter(|_| local.inlined.is_none())?;
    (at(FRAME + FARTHEST, 0) == Some(number) && at(FRAME, FARTHEST) == Some(number)).then_some(number)
}

/// Registers by DWARF number: those that point into the frame, and any value for the others, so that what they hold can be told.
fn registers(function: Function<'_>, next: LinkAddress) -> [Option<RegisterValue>; 16] {
    let node = function.graph.at(next);
    std::array::from_fn(|number| {
        let encoded = ENCODED.get(number).copied().unwrap_or(0);
        let offset = node.and_then(|node| function.frame_offset(node, encoded));
        let value = offset.map_or(0, |offset| FRAME.wrapping_add_signed(offset));
        Some(RegisterValue { value, place: Place::Register(number as u8) })
    })
}

/// Variables that are in memory on both sides, paired by name in their order, where that leaves no doubt.
pub(super) fn objects(old: (&Build, &Locals), new: (&Build, &Locals)) -> Vec<FrameObject> {
    let mut types = Comparison::new(&old.0.debug.types, &new.0.debug.types);
    let mut found = Vec::new();
    let named = |locals: &'_ Locals, name: &str| -> Vec<InMemory> {
        locals.in_memory.iter().filter(|variable| variable.name == name).cloned().collect()
    };
    let mut names: Vec<&str> = new.1.in_memory.iter().map(|variable| variable.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let (from, to) = (named(old.1, name), named(new.1, name));
        // One of them is new, and nobody knows which.
        if from.len() != to.len() {
            continue;
        }
        for (from, to) in from.into_iter().zip(to) {
            let kinds = ((&old.0.debug.types, from.kind), (&new.0.debug.types, to.kind));
            let same = (from.length == to.length && types.compare_own(from.kind, to.kind).is_ok())
                || converted::is_longer_array(kinds.0, kinds.1);
            found.push(FrameObject {
                name: to.name,
                old: from.offset,
                new: to.offset,
                old_length: from.length,
                new_length: to.length,
                kinds: (from.kind, to.kind),
                is_changed: !same,
                initial: Vec::new(),
            });
        }
    }
    found.sort_unstable_by_key(|object| object.new);
    found
}
