//! What may have happened before each instruction: which pieces of the frame have been written, whose address has got away, and which
//! registers hold nothing that anybody put there.

use std::collections::{BTreeSet, HashMap};

use iced_x86::{Mnemonic, OpKind};

use super::bits::Bits;
use super::effects::{Location, Writes};
use super::frame::Frame;
use super::graph::Node;
use super::stack::RSP;
use crate::program::code::RegisterSet;

/// What a caller may hand over, and what a function has to keep.
const KEPT: RegisterSet = RegisterSet { general: 1 << 3 | 1 << 4 | 1 << 5 | 0xf000, vector: 0, mask: 0 };

/// What is known at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Before {
    /// Pieces whose address may have got out of sight.
    pub(super) exposed: Bits,
    /// Pieces that may have been written since the function was entered, or by its caller.
    pub(super) written: Bits,
    /// Pieces that may have been written since the last call: arguments of the next one may be among them.
    pub(super) fresh: Bits,
    /// Registers that hold nothing of anybody's on every way: calls have overwritten them.
    pub(super) garbage: RegisterSet,
}

impl Before {
    fn entry(frame: &Frame) -> Self {
        let nothing = Bits::new(frame.pieces.len());
        let all = RegisterSet { general: u16::MAX, vector: u32::MAX, mask: u8::MAX };
        Self {
            exposed: nothing.clone(),
            written: frame.pieces.set_of(-8, super::frame::NO_END),
            fresh: nothing,
            garbage: all.without(frame.parameters.registers).without(KEPT),
        }
    }

    /// Adds what holds on another way; whether that changes anything.
    fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        self.exposed.add(&other.exposed);
        self.written.add(&other.written);
        self.fresh.add(&other.fresh);
        self.garbage = self.garbage.and(other.garbage);
        *self != before
    }

    /// Goes over one instruction.
    pub(super) fn step(&mut self, frame: &Frame, index: u32, node: &Node) {
        if let Some(gains) = frame.gains.get(&index) {
            self.exposed.add(gains);
        }
        let Some(effects) = frame.effects.get(index as usize) else { return };
        // `push %rax` in place of `sub $8,%rsp` puts nothing there.
        let is_garbage = stored(node).is_some_and(|register| register.and(self.garbage) == register);
        for access in effects.memory.iter().filter(|access| access.writes != Writes::No && !is_garbage) {
            let mut written = Bits::new(frame.pieces.len());
            frame.touched(access.reach, access.length, &self.exposed, |pieces| written.add(pieces));
            self.written.add(&written);
            self.fresh.add(&written);
        }
        if node.is_call() {
            return self.call(frame, index, node);
        }
        for touch in effects.writes.iter().chain(&effects.may_write) {
            self.garbage = self.garbage.without(match touch.location {
                Location::Register(number) => RegisterSet { general: 1 << number, ..RegisterSet::default() },
                Location::Vector(number) => RegisterSet { vector: 1 << number, ..RegisterSet::default() },
                Location::Mask(number) => RegisterSet { mask: 1 << number, ..RegisterSet::default() },
                Location::Flags | Location::X87 => RegisterSet::default(),
            });
        }
    }

    fn call(&mut self, frame: &Frame, index: u32, node: &Node) {
        let exposed = self.exposed.clone();
        self.written.add(&exposed);
        if let Some(Some(top)) = frame.stack_pointers.get(index as usize) {
            self.written.clear_all(frame.pieces.below(*top));
        }
        self.fresh = Bits::new(frame.pieces.len());
        self.garbage = self.garbage.with(node.clobbers).without(node.leaves);
        debug_assert!(self.garbage.general & 1 << RSP == 0);
    }
}

/// Bytes that may be a call's arguments on the stack, which begin where the stack pointer is: the words that have been written since the
/// last call, up to one that has not, unless that is what the alignment of the next argument skips (the frame's address is a multiple of 16).
fn passed(frame: &Frame, fresh: &Bits, top: i64) -> Bits {
    const WORD: i64 = 8;
    const ALIGNMENT: i64 = 16;
    let mut found = Bits::new(frame.pieces.len());
    let written = |word: i64| frame.pieces.touching(word, word.saturating_add(WORD)).filter(|piece| fresh.has(*piece));
    let mut word = top;
    // At most up to the function's own return address.
    while word < super::frame::RETURN_ADDRESS {
        let next = word.saturating_add(WORD);
        let is_written = written(word).next().is_some();
        let may_be_skipped = word != top && next % ALIGNMENT == 0 && written(next).next().is_some();
        if !is_written && !may_be_skipped {
            break;
        }
        written(word).for_each(|piece| found.set(piece));
        word = next;
    }
    found
}

/// The register that an instruction does nothing but store.
fn stored(node: &Node) -> Option<RegisterSet> {
    let instruction = &node.instruction;
    let register = match instruction.mnemonic() {
        Mnemonic::Push if instruction.op0_kind() == OpKind::Register => instruction.op0_register(),
        Mnemonic::Mov if instruction.op0_kind() == OpKind::Memory && instruction.op1_kind() == OpKind::Register => {
            instruction.op1_register()
        }
        _ => return None,
    };
    Some(RegisterSet::of(register)).filter(|set| *set != RegisterSet::default())
}

/// What is known before each block, and what backward analyses ask for at each node.
#[derive(Clone, Debug, Default)]
pub(super) struct Forward {
    blocks: Vec<Option<Before>>,
    /// Distinct sets of exposed pieces, and which holds after each node has made its own known.
    exposed: Vec<Bits>,
    exposed_at: Vec<u32>,
    /// Pieces that may be arguments of a call.
    arguments: HashMap<u32, Bits>,
    nothing: Bits,
    ever_exposed: Bits,
}

impl Forward {
    pub(super) fn new(frame: &Frame) -> Self {
        let mut forward =
            Self { blocks: vec![None; frame.blocks.len()], nothing: Bits::new(frame.pieces.len()), ..Self::default() };
        let mut open = BTreeSet::new();
        if let Some(first) = forward.blocks.first_mut() {
            *first = Some(Before::entry(frame));
            open.insert(0u32);
        }
        while let Some(block) = open.pop_first() {
            let Some(Some(mut state)) = forward.blocks.get(block as usize).cloned() else { continue };
            let mut last = None;
            for index in frame.blocks.nodes(block) {
                let Some(node) = frame.nodes.get(index as usize) else { break };
                state.step(frame, index, node);
                last = Some(node);
            }
            for next in last.into_iter().flat_map(|node| &node.next) {
                let to = frame.blocks.of(*next);
                let Some(known) = forward.blocks.get_mut(to as usize) else { continue };
                let changed = match known {
                    Some(known) => known.join(&state),
                    None => {
                        *known = Some(state.clone());
                        true
                    }
                };
                if changed {
                    open.insert(to);
                }
            }
        }
        forward.note(frame);
        let mut ever = forward.nothing.clone();
        forward.exposed.iter().for_each(|exposed| ever.add(exposed));
        forward.ever_exposed = ever;
        forward
    }

    /// Remembers at each node what others ask for.
    fn note(&mut self, frame: &Frame) {
        self.exposed_at = vec![0; frame.nodes.len()];
        self.exposed = vec![self.nothing.clone()];
        for block in 0..frame.blocks.len() as u32 {
            let Some(Some(mut state)) = self.blocks.get(block as usize).cloned() else { continue };
            for index in frame.blocks.nodes(block) {
                let Some(node) = frame.nodes.get(index as usize) else { break };
                let passes = node.is_call() && node.arguments.is_none_or(|arguments| arguments.on_stack);
                if passes && let Some(Some(top)) = frame.stack_pointers.get(index as usize) {
                    self.arguments.insert(index, passed(frame, &state.fresh, *top));
                }
                state.step(frame, index, node);
                let number = match self.exposed.iter().rposition(|known| *known == state.exposed) {
                    Some(number) => number,
                    None => {
                        self.exposed.push(state.exposed.clone());
                        self.exposed.len() - 1
                    }
                };
                if let Some(at) = self.exposed_at.get_mut(index as usize) {
                    *at = number as u32;
                }
            }
        }
    }

    /// What is known before a node; `None` for one that control does not come to.
    pub(super) fn before(&self, frame: &Frame, node: u32) -> Option<Before> {
        let block = frame.blocks.of(node);
        let mut state = self.blocks.get(block as usize)?.clone()?;
        for index in frame.blocks.nodes(block).take_while(|index| *index < node) {
            state.step(frame, index, frame.nodes.get(index as usize)?);
        }
        Some(state)
    }

    /// Pieces whose address may be known elsewhere while a node runs.
    pub(super) fn exposed(&self, node: u32) -> &Bits {
        let number = self.exposed_at.get(node as usize).copied().unwrap_or_default();
        self.exposed.get(number as usize).unwrap_or(&self.nothing)
    }

    /// Pieces that may be arguments of the call at a node, if it has any on the stack.
    pub(super) fn arguments(&self, node: u32) -> &Bits {
        self.arguments.get(&node).unwrap_or(&self.nothing)
    }

    /// Every piece whose address gets out of sight somewhere.
    pub(super) fn ever_exposed(&self) -> &Bits {
        &self.ever_exposed
    }
}
