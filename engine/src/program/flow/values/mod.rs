//! Where values come from: for a place of a function at a point, the term that it holds there, followed back through the code.
//!
//! Places are general and vector registers, flags, and bytes of the frame that only the function itself uses. All else is memory: what is
//! read from it is told apart by the instruction that reads. Where ways meet there are choices; a choice all of whose ways agree is
//! none. Terms are brought to normal forms, since compilers write the same sum in many ways.

mod arithmetic;
mod choices;
mod instruction;
mod memory;
mod term;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

pub use memory::may_store;
pub use term::{Binary, Place, Term, ValueId};

use iced_x86::Instruction;

use super::dominators::ENTRY;
use super::escape::Escapes;
use super::graph::Graph;
use super::stack::FrameValue;

/// How deep terms are followed before they count as not understood: each step takes some kilobytes of the engine's stack.
const DEPTH_LIMIT: u32 = 400;

/// What is known of one function, from which its values follow.
#[derive(Clone, Copy, Debug)]
pub struct Function<'g> {
    /// Its code.
    pub graph: &'g Graph,
    /// Bytes of the frame that others may read or write.
    pub escapes: &'g Escapes,
}

/// Values of one function, found when asked for.
#[derive(Debug)]
pub struct Values<'g> {
    function: Function<'g>,
    nodes: Vec<Term>,
    numbers: HashMap<Term, ValueId>,
    /// Values before a node of the graph.
    known: HashMap<(u32, Place), ValueId>,
    /// For each choice what it chooses from, by the ways that lead to its node; the first is the entry if it is one of them.
    choices: HashMap<ValueId, Vec<ValueId>>,
    /// Choices that are none.
    same: HashMap<ValueId, ValueId>,
    /// How many choices there were when they were last looked at.
    settled: usize,
    depth: u32,
}

impl<'g> Function<'g> {
    /// The distance from the canonical frame address that a register holds before a node, if it is one.
    pub fn frame_offset(&self, at: u32, register: u8) -> Option<i64> {
        match self.graph.stack().before(at).get(usize::from(register))? {
            FrameValue::At(offset) => Some(*offset),
            _ => None,
        }
    }

    /// Whether by the time that control comes to a node only the function's own instructions have touched these bytes of the frame, and by
    /// no address that they compute. What holds at a node holds on all ways to it.
    pub fn is_private(&self, at: u32, offset: i64, bytes: i64) -> bool {
        let before = self.graph.node(at).map_or(&[][..], |node| &node.before);
        !self.escapes.is_computed(offset, bytes) && !before.iter().any(|node| self.escapes.is_escaped_at(*node, offset, bytes))
    }

    /// The same when control comes back from the call at a node.
    pub fn is_private_behind(&self, call: u32, offset: i64, bytes: i64) -> bool {
        !self.escapes.is_computed(offset, bytes) && !self.escapes.is_escaped_at(call, offset, bytes)
    }

    /// The bytes of the frame that the memory operand of an instruction is, as (offset, length).
    pub fn frame_operand(&self, at: u32, instruction: &Instruction) -> Option<(i64, i64)> {
        memory::frame_operand(self, at, instruction)
    }
}

impl<'g> Values<'g> {
    /// Nothing is followed yet.
    pub fn new(function: Function<'g>) -> Self {
        Self {
            function,
            nodes: Vec::new(),
            numbers: HashMap::new(),
            known: HashMap::new(),
            choices: HashMap::new(),
            same: HashMap::new(),
            settled: 0,
            depth: 0,
        }
    }

    /// The function.
    pub fn function(&self) -> Function<'g> {
        self.function
    }

    /// What `place` holds just before the instruction at node `at`.
    pub fn before(&mut self, at: u32, place: Place) -> ValueId {
        let value = self.read(at, place);
        if self.depth == 0 {
            self.settle_choices();
        }
        self.resolve(value)
    }

    /// What `place` holds when control comes back from the call at node `at`. Where other ways lead behind the call, too, that is not what it
    /// holds before the instruction there.
    pub fn behind(&mut self, at: u32, place: Place) -> ValueId {
        let value = self.made_by(at, place);
        let value = value.unwrap_or_else(|| self.read(at, place));
        self.settle_choices();
        self.resolve(value)
    }

    /// The term of a value; choices that are none are seen through.
    pub fn node(&self, value: ValueId) -> &Term {
        &self.nodes[self.resolve(value).0 as usize]
    }

    /// The choices at a node of the graph that are known so far.
    pub fn choices_at(&self, at: u32) -> Vec<ValueId> {
        let is_there = |choice: &ValueId| matches!(self.node(*choice), Term::Choice { at: own, .. } if *own == at);
        let mut found: Vec<ValueId> = self.choices.keys().map(|choice| self.resolve(*choice)).filter(is_there).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What a choice chooses from.
    pub fn inputs(&self, choice: ValueId) -> Vec<ValueId> {
        let inputs = self.choices.get(&self.resolve(choice)).map_or(&[][..], Vec::as_slice);
        inputs.iter().map(|input| self.resolve(*input)).collect()
    }

    /// The value that stands for this one.
    pub fn resolve(&self, mut value: ValueId) -> ValueId {
        while let Some(same) = self.same.get(&value) {
            value = *same;
        }
        value
    }

    /// The address that an instruction's memory operand is at.
    pub fn address_at(&mut self, at: u32) -> Option<ValueId> {
        let instruction = self.function.graph.node(at)?.instruction;
        let address = self.address(at, &instruction);
        self.settle_choices();
        address.map(|address| self.resolve(address))
    }

    /// What an operand of an instruction is before it runs, zero-extended.
    pub fn operand_at(&mut self, at: u32, operand: u32) -> Option<ValueId> {
        let instruction = self.function.graph.node(at)?.instruction;
        let value = self.operand(at, &instruction, operand);
        self.settle_choices();
        value.map(|value| self.resolve(value))
    }

    /// What an instruction stores to memory.
    pub fn stored_at(&mut self, at: u32) -> Option<ValueId> {
        let instruction = self.function.graph.node(at)?.instruction;
        let value = self.stored_value(at, &instruction);
        self.settle_choices();
        value.map(|value| self.resolve(value))
    }

    /// Numbers a term.
    pub(super) fn number(&mut self, node: Term) -> ValueId {
        if let Some(known) = self.numbers.get(&node) {
            return *known;
        }
        let number = ValueId(self.nodes.len() as u32);
        self.nodes.push(node.clone());
        self.numbers.insert(node, number);
        number
    }

    fn read(&mut self, at: u32, place: Place) -> ValueId {
        if let Place::Register(register) = place
            && let Some(offset) = self.function.frame_offset(at, register)
        {
            return self.number(Term::Frame(offset));
        }
        if let Some(known) = self.known.get(&(at, place)) {
            return self.resolve(*known);
        }
        if self.depth >= DEPTH_LIMIT {
            return self.number(Term::Unknown { at, place });
        }
        self.depth += 1;
        let value = self.read_anew(at, place);
        self.depth -= 1;
        value
    }

    /// What a place held when the function was entered.
    pub fn entered(&mut self, place: Place) -> ValueId {
        self.number(Term::Entry(place))
    }

    fn read_anew(&mut self, at: u32, place: Place) -> ValueId {
        let graph = self.function.graph;
        let mut passed = vec![at];
        let mut here = at;
        // Straight code is walked, ways that meet are followed one by one.
        let value = loop {
            let entered = here == ENTRY;
            let before = &graph.nodes()[here as usize].before;
            match before.as_slice() {
                [] => {
                    let node = if entered { Term::Entry(place) } else { Term::Unknown { at: here, place } };
                    break self.number(node);
                }
                [only] if !entered => {
                    if let Some(made) = self.made_by(*only, place) {
                        break made;
                    }
                    here = *only;
                    if let Some(known) = self.known.get(&(here, place)) {
                        break *known;
                    }
                    passed.push(here);
                }
                ways => break self.choose(here, entered, ways, place),
            }
        };
        for node in passed {
            self.known.insert((node, place), value);
        }
        value
    }

    fn choose(&mut self, at: u32, entered: bool, ways: &[u32], place: Place) -> ValueId {
        let choice = self.number(Term::Choice { at, place });
        self.known.insert((at, place), choice);
        let mut inputs = Vec::with_capacity(ways.len() + 1);
        if entered {
            inputs.push(self.number(Term::Entry(place)));
        }
        for way in ways {
            let input = match self.made_by(*way, place) {
                Some(made) => made,
                None => self.read(*way, place),
            };
            inputs.push(input);
        }
        self.choices.insert(choice, inputs);
        choice
    }
}
