//! What is read from a point on before it is written: registers by the bit, the frame by the piece.
//!
//! Never too little: what a call is passed, what has got away, and what a computed address may reach counts as read. The other way round,
//! what nobody can have put there (registers that a call has overwritten, bytes of the frame that nothing has written yet) is left out.

mod demand;
mod readers;
mod set;

use std::collections::BTreeSet;
use std::sync::Arc;

use iced_x86::Mnemonic;

use super::effects::{KEPT, Reach, Writes};
use super::escape::{Escapes, Shared};
use super::forward::Before;
use super::frame::NO_END;
use super::graph::{Exit, Graph, Unclear};
use super::stack::{self, FrameValue};
use crate::program::address::LinkAddress;
use crate::program::code::RegisterSet;
use crate::program::unwind::{FrameRow, SavedAt};
use readers::Wanted;
use set::LiveSet;

/// Where something live is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LivePlace {
    /// A general register, by the number that instructions encode it with.
    Register(u8),
    /// A vector register; each bit stands for a byte.
    Vector(u8),
    /// A vector mask register.
    Mask(u8),
    /// The arithmetic flags.
    Flags,
    /// The x87 unit.
    X87,
    /// Bytes of the frame that only instructions of the function touch, 8 at most.
    Slot {
        /// First byte, from the canonical frame address.
        offset: i64,
        /// Length in bytes.
        length: u8,
    },
    /// Bytes of the frame that addresses may lead to: a variable, or a part of one.
    Object {
        /// First byte, from the canonical frame address.
        offset: i64,
        /// Length in bytes.
        length: u64,
    },
    /// Arguments on the stack whose number is not known, from the canonical frame address on.
    Incoming,
    /// The part of the frame whose extent is only known at run time (`alloca`, variable-length arrays, realigned stacks).
    Dynamic,
}

/// Whose value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveKind {
    /// The function's own.
    Plain,
    /// An address in the function's own frame: the canonical frame address plus this. It follows from the code alone.
    Frame(i64),
    /// The caller's, in a register with this DWARF number, which the function gives back.
    Saved(u8),
}

/// Something that is read before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Where it is.
    pub place: LivePlace,
    /// The bits that are read; all for what is longer than 8 bytes.
    pub bits: u64,
    /// An instruction that reads it.
    pub reader: LinkAddress,
    /// Whose value it is.
    pub kind: LiveKind,
}

/// What is live at each place of a function.
#[derive(Debug)]
pub struct Liveness {
    shared: Arc<Shared>,
    stack: stack::StackStates,
    addresses: Vec<(u64, u32)>,
    /// What is live behind each block.
    behind: Vec<LiveSet>,
}

impl Liveness {
    /// Solves for all places of a function at once.
    ///
    /// # Errors
    /// None so far: what is not understood is live.
    pub fn new(graph: &Graph, escapes: &Escapes) -> Result<Self, Unclear> {
        let mut addresses: Vec<(u64, u32)> = (0u32..).zip(graph.nodes()).map(|(i, node)| (node.instruction.ip(), i)).collect();
        addresses.sort_unstable();
        let shared = Arc::clone(&escapes.shared);
        let nothing = LiveSet::new(shared.frame.pieces.len());
        let behind = vec![nothing; shared.frame.blocks.len()];
        let mut liveness = Self { shared, stack: graph.stack().clone(), addresses, behind };
        liveness.solve();
        Ok(liveness)
    }

    fn solve(&mut self) {
        let mut open: BTreeSet<u32> = (0..self.shared.frame.blocks.len() as u32).collect();
        while let Some(block) = open.pop_last() {
            let nodes = self.shared.frame.blocks.nodes(block);
            let Some(live) = self.before(nodes.start) else { continue };
            let Some(first) = self.shared.frame.nodes.get(nodes.start as usize) else { continue };
            for before in first.before.clone() {
                let from = self.shared.frame.blocks.of(before);
                if self.behind.get_mut(from as usize).is_some_and(|behind| behind.add(&live)) {
                    open.insert(from);
                }
            }
        }
    }

    /// What is live before a node.
    fn before(&self, node: u32) -> Option<LiveSet> {
        let block = self.shared.frame.blocks.of(node);
        let mut live = self.behind.get(block as usize)?.clone();
        for index in self.shared.frame.blocks.nodes(block).rev().take_while(|index| *index >= node) {
            self.step_back(index, &mut live);
        }
        Some(live)
    }

    /// From behind a node to before it.
    fn step_back(&self, index: u32, live: &mut LiveSet) {
        let Shared { frame, forward } = &*self.shared;
        let (Some(node), Some(effects)) = (frame.nodes.get(index as usize), frame.effects.get(index as usize)) else { return };
        let reads = demand::reads(&node.instruction, effects, live);
        // What is loaded into a register that nobody reads makes no difference (`pop %rcx` in place of `add $8,%rsp`).
        let is_idle = demand::is_idle_load(&node.instruction, effects, live);
        effects.writes.iter().for_each(|touch| live.remove(touch));
        reads.iter().for_each(|touch| live.touch(touch));
        if node.is_call()
            && let Some(Some(top)) = frame.stack_pointers.get(index as usize)
        {
            live.pieces.clear_all(frame.pieces.below(*top));
        }
        frame.overwritten(index).for_each(|piece| live.pieces.clear(piece));
        let exposed = forward.exposed(index);
        for access in effects.memory.iter().filter(|access| access.reads) {
            if is_idle && matches!(access.reach, Reach::Slot(_)) {
                continue;
            }
            frame.touched(access.reach, access.length, exposed, |pieces| live.pieces.add(pieces));
            let may_be_dynamic = matches!(access.reach, Reach::Frame | Reach::Pointer) && frame.has_dynamic;
            live.dynamic |= may_be_dynamic || access.reach == Reach::Dynamic;
        }
        if node.call.is_some() {
            self.passes(index, live);
        }
    }

    /// What a called function may read of the frame.
    fn passes(&self, index: u32, live: &mut LiveSet) {
        let Shared { frame, forward } = &*self.shared;
        let Some(node) = frame.nodes.get(index as usize) else { return };
        live.pieces.add(forward.exposed(index));
        live.dynamic |= frame.has_dynamic;
        if node.exit == Some(Exit::TailCall) {
            live.pieces.set_all(frame.pieces.touching(0, NO_END));
        }
        live.pieces.add(forward.arguments(index));
    }

    /// What the code behind a call reads of what was there before the call, and what the call itself did not put there: the results are
    /// left out. Registers that calls destroy as a rule are among it where the callee leaves them alone and the code counts on that.
    ///
    /// # Errors
    /// `next` is no place that a call returns to.
    pub fn after_call(&self, next: LinkAddress) -> Result<Vec<Live>, Unclear> {
        let unclear = |what| Unclear { at: next, what };
        let frame = &self.shared.frame;
        let behind = self.addresses.partition_point(|entry| entry.0 < next.0);
        let call = behind.checked_sub(1).and_then(|before| self.addresses.get(before)).map(|entry| entry.1);
        let call = call.ok_or(unclear("no call returns here"))?;
        let node = frame.nodes.get(call as usize).filter(|node| node.behind() == next && node.is_call());
        let node = node.ok_or(unclear("no call returns here"))?;
        // A call that does not come back ends the way: nobody reads anything behind it.
        if node.next.is_empty() {
            return Ok(Vec::new());
        }
        let after = self.addresses.get(behind).filter(|entry| entry.0 == next.0).map(|entry| entry.1);
        let after = after.filter(|after| node.next.contains(after)).ok_or(unclear("behind a call that does not return"))?;
        let mut state = self.shared.forward.before(frame, call).ok_or(unclear("code that control does not come to"))?;
        state.step(frame, call, node);
        let live = self.before(after).ok_or(unclear("code that control does not come to"))?;
        Ok(self.report(after, &live, &state, node.clobbers, true))
    }

    /// What is read from a node on, itself included; nothing for one that control does not come to.
    pub fn at(&self, node: u32) -> Vec<Live> {
        let state = self.shared.forward.before(&self.shared.frame, node);
        match (self.before(node), state) {
            (Some(live), Some(state)) => self.report(node, &live, &state, RegisterSet::default(), false),
            _ => Vec::new(),
        }
    }

    /// Puts what is live before `node` into words. `left` are registers that a call has just left something new in.
    fn report(&self, node: u32, live: &LiveSet, state: &Before, left: RegisterSet, after_call: bool) -> Vec<Live> {
        let left = left.with(state.garbage);
        let mut found = Vec::new();
        for (number, bits) in (0u8..).zip(live.general) {
            if bits != 0 && left.general & 1 << number == 0 && usize::from(number) != stack::RSP {
                found.extend(self.register(node, number, bits));
            }
        }
        let plain = |place, bits, wanted: Wanted| {
            let reader = self.reader(node, &wanted);
            Live { place, bits, reader: reader.0, kind: LiveKind::Plain }
        };
        for (number, bits) in (0u8..).zip(live.vector).filter(|(number, bits)| *bits != 0 && left.vector & 1 << number == 0) {
            found.push(plain(LivePlace::Vector(number), bits, Wanted::vector(number, bits)));
        }
        for number in (0u8..8).filter(|number| live.mask & !left.mask & 1 << number != 0) {
            found.push(plain(LivePlace::Mask(number), u64::MAX, Wanted::mask(number)));
        }
        if live.flags != 0 && !after_call {
            found.push(plain(LivePlace::Flags, live.flags, Wanted::flags(live.flags)));
        }
        // Behind a call the unit holds nothing but a result.
        if live.x87 && !after_call {
            found.push(plain(LivePlace::X87, u64::MAX, Wanted::x87()));
        }
        self.pieces(node, live, state, &mut found);
        found
    }

    /// A general register, unless it holds what the caller left there and nothing but the way back to it reads it.
    fn register(&self, node: u32, number: u8, bits: u64) -> Option<Live> {
        let (reader, index) = self.reader(node, &Wanted::register(number, bits));
        let reading = self.shared.frame.nodes.get(index as usize);
        let gives_back = reading.is_some_and(|node| matches!(node.exit, Some(Exit::Return | Exit::TailCall)));
        let dwarf = dwarf_number(number);
        let is_kept = KEPT & 1 << number != 0;
        let is_own = self.row(node).is_some_and(|row| row.saved.get(usize::from(dwarf)) == Some(&SavedAt::Own));
        if is_kept && is_own && (gives_back || self.saves(index, number)) {
            return None;
        }
        let kind = match self.stack.before(node).get(usize::from(number)) {
            Some(FrameValue::At(offset)) => LiveKind::Frame(*offset),
            _ if is_kept && gives_back => LiveKind::Saved(dwarf),
            _ => LiveKind::Plain,
        };
        Some(Live { place: LivePlace::Register(number), bits, reader, kind })
    }

    /// Whether a node puts the caller's value of a register where the call frame information says that it is saved.
    fn saves(&self, index: u32, number: u8) -> bool {
        let frame = &self.shared.frame;
        let (Some(node), Some(effects)) = (frame.nodes.get(index as usize), frame.effects.get(index as usize)) else {
            return false;
        };
        matches!(node.instruction.mnemonic(), Mnemonic::Push | Mnemonic::Mov)
            && effects.memory.iter().any(|access| match access.reach {
                Reach::Slot(offset) => {
                    access.writes == Writes::Certainly && frame.saved.contains(&(dwarf_number(number), offset))
                }
                _ => false,
            })
    }

    fn pieces(&self, node: u32, live: &LiveSet, state: &Before, found: &mut Vec<Live>) {
        let frame = &self.shared.frame;
        let top = frame.stack_pointers.get(node as usize).copied().flatten();
        let ever = self.shared.forward.ever_exposed();
        let exists = |end: i64| top.is_none_or(|top| end > top);
        for piece in live.pieces.iter().filter(|piece| state.written.has(*piece)) {
            let Some((start, end)) = frame.pieces.bytes(piece).filter(|bytes| exists(bytes.1)) else { continue };
            let reader = self.reader(node, &Wanted::Piece(piece)).0;
            let (kind, bits) = (LiveKind::Plain, u64::MAX);
            if end == NO_END {
                found.push(Live { place: LivePlace::Incoming, bits, reader, kind });
                continue;
            }
            if ever.has(piece) || frame.computed.has(piece) {
                let length = end.abs_diff(start);
                let bits = super::effects::low_bits(usize::try_from(length.min(8) * 8).unwrap_or(64));
                found.push(Live { place: LivePlace::Object { offset: start, length }, bits, reader, kind });
                continue;
            }
            let kind = self.saved_in(node, start, end).map_or(LiveKind::Plain, LiveKind::Saved);
            let mut offset = start;
            while offset < end {
                let length = (end - offset).min(8) as u8;
                add_slot(found, Live { place: LivePlace::Slot { offset, length }, bits: 0, reader, kind });
                offset += i64::from(length);
            }
        }
        if live.dynamic && top.is_none() {
            let reader = self.reader(node, &Wanted::Dynamic).0;
            found.push(Live { place: LivePlace::Dynamic, bits: u64::MAX, reader, kind: LiveKind::Plain });
        }
    }

    /// The register whose caller's value the bytes hold at a node.
    fn saved_in(&self, node: u32, start: i64, end: i64) -> Option<u8> {
        let row = self.row(node)?;
        (0u8..16).find(|register| match row.saved.get(usize::from(*register)) {
            Some(SavedAt::Slot(slot)) => *slot <= start && end <= slot.saturating_add(8),
            _ => false,
        })
    }

    fn row(&self, node: u32) -> Option<&FrameRow> {
        self.stack.row(self.shared.frame.nodes.get(node as usize)?.address())
    }
}

/// Adds bytes of the frame, to those before them if both are parts of one word that one instruction reads.
fn add_slot(found: &mut Vec<Live>, live: Live) {
    let LivePlace::Slot { offset, length } = live.place else { return };
    let bits = |length: u8| super::effects::low_bits(usize::from(length) * 8);
    if let Some(last) = found.last_mut()
        && let LivePlace::Slot { offset: before, length: bytes } = last.place
        && before.checked_add(i64::from(bytes)) == Some(offset)
        && bytes + length <= 8
        && (last.reader, last.kind) == (live.reader, live.kind)
    {
        let length = bytes + length;
        last.place = LivePlace::Slot { offset: before, length };
        last.bits = bits(length);
        return;
    }
    found.push(Live { bits: bits(length), ..live });
}

/// DWARF number of a general register by the number that instructions encode it with.
fn dwarf_number(number: u8) -> u8 {
    const DWARF: [u8; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
    DWARF.get(usize::from(number)).copied().unwrap_or(number)
}
