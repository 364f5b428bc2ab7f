//! Which bytes of a frame have an address that gets out of sight: passed, stored, or returned. Others can be touched by the function's own
//! instructions only.

use std::sync::Arc;

use super::bits::Bits;
use super::effects::Effects;
use super::forward::Forward;
use super::frame::Frame;
use super::graph::{Graph, Unclear};
use super::stack::FrameValue;
use crate::program::address::LinkAddress;
use crate::program::build::Build;

/// What is known of a function's frame as memory.
#[derive(Clone, Debug)]
pub struct Escapes {
    /// Bytes whose address gets out of sight somewhere in the function, first and behind-last, from the canonical frame address.
    pub ranges: Vec<(i64, i64)>,
    /// Bytes of what has parts or an address that is taken: code of the function itself may reach them by computed addresses.
    pub computed: Vec<(i64, i64)>,
    pub(super) shared: Arc<Shared>,
}

/// What the analyses of one function have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) frame: Frame,
    pub(super) forward: Forward,
}

impl Escapes {
    /// Looks at the frame of a function of `build`.
    ///
    /// # Errors
    /// Debug information that cannot be decoded.
    pub fn new(graph: &Graph, build: &Build) -> Result<Self, Unclear> {
        let frame = Frame::new(graph, build)?;
        let forward = Forward::new(&frame);
        let ranges = ranges(&frame, forward.ever_exposed());
        let computed = ranges_of_computed(&frame);
        Ok(Self { ranges, computed, shared: Arc::new(Shared { frame, forward }) })
    }

    /// Whether the address of one of `bytes` bytes at `offset` gets out of sight somewhere, so that calls and unknown pointers may touch it.
    pub fn is_escaped(&self, offset: i64, bytes: i64) -> bool {
        meets(&self.ranges, offset, bytes)
    }

    /// Whether the function's own instructions may touch one of `bytes` bytes at `offset` by an address that they compute.
    pub fn is_computed(&self, offset: i64, bytes: i64) -> bool {
        meets(&self.computed, offset, bytes)
    }

    /// Whether it may have got out of sight by the time that a node has run.
    pub fn is_escaped_at(&self, node: u32, offset: i64, bytes: i64) -> bool {
        let exposed = self.shared.forward.exposed(node);
        self.shared.frame.pieces.touching(offset, offset.saturating_add(bytes)).any(|piece| exposed.has(piece))
    }

    /// What a node reads and writes; of a call without what the called function does.
    pub fn effects(&self, node: u32) -> Option<&Effects> {
        self.shared.frame.effects.get(node as usize)
    }

    /// Whether a byte of the frame belongs to variables only that are out of scope at `place`, so that it has no value there; and to nothing
    /// without a name: no code outside their scopes stores there or takes the address.
    pub fn is_out_of_scope(&self, graph: &Graph, offset: i64, place: LinkAddress) -> bool {
        let variables: Vec<_> = self.shared.frame.holding(offset).collect();
        let within = |code: u64| variables.iter().any(|(_, range, _)| (range.0..range.1).contains(&code));
        let (start, end) =
            variables.iter().fold((offset, offset), |(start, end), (bytes, ..)| (start.min(bytes.0), end.max(bytes.1)));
        !variables.is_empty()
            && variables.iter().all(|(_, _, always)| *always)
            && !within(place.0)
            && !(0u32..)
                .zip(graph.nodes())
                .any(|(index, node)| !within(node.address().0) && meets_frame(graph, index, (start, end)))
    }

    /// The variables that debug information puts into the frame somewhere, first and behind-last byte.
    pub fn variables(&self) -> impl Iterator<Item = (i64, i64)> {
        self.shared.frame.variables()
    }
}

fn ranges_of_computed(frame: &Frame) -> Vec<(i64, i64)> {
    ranges(frame, &frame.addressed)
}

fn ranges(frame: &Frame, pieces: &Bits) -> Vec<(i64, i64)> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for (start, end) in pieces.iter().filter_map(|piece| frame.pieces.bytes(piece)) {
        match found.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => found.push((start, end)),
        }
    }
    found
}

fn meets(ranges: &[(i64, i64)], offset: i64, bytes: i64) -> bool {
    ranges.iter().any(|(start, end)| *start < offset.saturating_add(bytes) && offset < *end)
}

/// Whether an instruction has to do with bytes of the frame: by its memory operand, or by a register that it copies.
fn meets_frame(graph: &Graph, index: u32, (start, end): (i64, i64)) -> bool {
    let Some(node) = graph.node(index) else { return false };
    let (instruction, registers) = (&node.instruction, graph.stack().before(index));
    let at = |register: iced_x86::Register| match registers.get(register.full_register().number()) {
        Some(FrameValue::At(offset)) if register.is_gpr64() => Some(*offset),
        _ => None,
    };
    let operand = at(instruction.memory_base()).map(|base| base.wrapping_add(instruction.memory_displacement64().cast_signed()));
    let length = i64::try_from(instruction.memory_size().size()).unwrap_or(i64::MAX).max(1);
    let by_operand = operand.is_some_and(|from| from < end && start < from.saturating_add(length));
    let copies = instruction.mnemonic() == iced_x86::Mnemonic::Mov && instruction.op1_kind() == iced_x86::OpKind::Register;
    let frame_register = matches!(instruction.op0_register(), iced_x86::Register::RSP | iced_x86::Register::RBP);
    by_operand || (copies && !frame_register && at(instruction.op1_register()).is_some_and(|from| (start..end).contains(&from)))
}
