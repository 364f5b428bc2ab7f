//! A function's frame in pieces, what each instruction does to them, and which pieces an address in the frame may be used for.
//!
//! An address is good for the variable that it points into or to the end of. Code that computes addresses within the frame may start
//! from one that lies beside the variable (`a[i - 5]`), so that it is taken to reach every variable with parts, and, unless it starts at
//! one of them, whatever has no name. Registers that the function saves, and the compiler's own copies of registers, are reached by no
//! such address.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use iced_x86::{InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::bits::{Bits, Pieces};
use super::blocks::Blocks;
use super::effects::{self, Effects, Location, Reach, Writes};
use super::graph::{Graph, Node, Unclear};
use super::objects::{self, Object};
use super::stack::{self, FrameValue, RSP};
use crate::program::build::Build;
use crate::program::code::Arguments;
use crate::program::unwind::SavedAt;

/// What ends the piece of a frame that has no known end: the arguments that a caller may have pushed.
pub(super) const NO_END: i64 = i64::MAX;
/// Where the return address is.
pub(super) const RETURN_ADDRESS: i64 = -8;

/// The frame of a function.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) nodes: Arc<Vec<Node>>,
    pub(super) blocks: Blocks,
    pub(super) effects: Vec<Effects>,
    pub(super) pieces: Pieces,
    /// Pieces that a computed address may reach.
    pub(super) computed: Bits,
    /// Pieces that addresses are made of, or could be: what has parts, and what an address is taken of.
    pub(super) addressed: Bits,
    /// Nodes at which the addresses of pieces get out of sight.
    pub(super) gains: HashMap<u32, Bits>,
    /// Nodes at which the address of something below the fixed part of the frame gets out of sight, or may have.
    pub(super) has_dynamic: bool,
    /// Where the stack pointer is before each node, if that is known.
    pub(super) stack_pointers: Vec<Option<i64>>,
    /// Places where registers (DWARF numbers) are saved.
    pub(super) saved: BTreeSet<(u8, i64)>,
    objects: Vec<Object>,
    /// What the function may be given.
    pub(super) parameters: Arguments,
}

impl Frame {
    pub(super) fn new(graph: &Graph, build: &Build) -> Result<Self, Unclear> {
        let mut factory = InstructionInfoFactory::new();
        let results = graph.results();
        let numbered = || (0u32..).zip(graph.nodes());
        let effects: Vec<Effects> = numbered()
            .map(|(index, node)| {
                let call = effects::kernel_number(graph.nodes(), index, &mut factory);
                Effects::of(node, graph.stack().before(index), &results, call, &mut factory)
            })
            .collect();
        let stack_pointers: Vec<Option<i64>> = numbered().map(|(index, _)| known(graph.stack().before(index)[RSP])).collect();
        let mut frame = Self {
            nodes: graph.shared_nodes(),
            blocks: graph.blocks().clone(),
            effects,
            pieces: Pieces::default(),
            computed: Bits::default(),
            addressed: Bits::default(),
            gains: HashMap::new(),
            has_dynamic: numbered().any(|(index, _)| graph.stack().before(index)[RSP] == FrameValue::Near),
            stack_pointers,
            saved: saved(graph),
            objects: objects::find(graph, build)?,
            parameters: graph.parameters(),
        };
        let taken = taken(graph);
        frame.cut(&taken);
        let computes = frame.computes(graph);
        frame.addressed = frame.find_addressed(&taken, computes);
        frame.computed = if computes { frame.addressed.clone() } else { Bits::new(frame.pieces.len()) };
        frame.find_gains(graph);
        Ok(frame)
    }

    /// The variables in the frame, first and behind-last byte.
    pub(super) fn variables(&self) -> impl Iterator<Item = (i64, i64)> {
        self.objects.iter().map(|object| (object.start, object.end))
    }

    /// The variables that hold a byte: their bytes, the code that they are there for, and whether that is all the code that they are in
    /// scope of.
    pub(super) fn holding(&self, offset: i64) -> impl Iterator<Item = ((i64, i64), (u64, u64), bool)> {
        let there = self.objects.iter().filter(move |object| (object.start..object.end).contains(&offset));
        there.map(|object| ((object.start, object.end), object.code, object.always))
    }

    fn cut(&mut self, taken: &Taken) {
        let mut edges = vec![RETURN_ADDRESS, 0];
        for access in self.effects.iter().flat_map(|effects| &effects.memory) {
            if let (Reach::Slot(start), Some(length)) = (access.reach, access.length) {
                edges.extend([start, start.saturating_add(i64::from(length))]);
            }
        }
        edges.extend(self.objects.iter().flat_map(|object| [object.start, object.end]));
        edges.extend(self.saved.iter().flat_map(|(_, start)| [*start, start.saturating_add(8)]));
        edges.extend(self.stack_pointers.iter().flatten());
        edges.extend(taken.all.iter().chain(&taken.computed));
        if taken.all.iter().chain(&taken.computed).any(|offset| *offset >= 0) {
            edges.push(NO_END);
        }
        self.pieces = Pieces::new(edges);
    }

    /// Whether the code uses addresses in the frame that are not known exactly.
    fn computes(&self, graph: &Graph) -> bool {
        let reaches = self.effects.iter().flat_map(|effects| &effects.memory).any(|access| access.reach == Reach::Frame);
        let escapes = || {
            (0u32..).zip(graph.nodes()).any(|(index, node)| {
                let before = graph.stack().before(index);
                escaping(node, self.effects.get(index as usize))
                    .iter()
                    .any(|number| before.get(*number) == Some(&FrameValue::Near))
            })
        };
        reaches || escapes()
    }

    /// Where no address is computed, what has parts is only reached by those that are taken, like all else.
    fn find_addressed(&self, taken: &Taken, computes: bool) -> Bits {
        let mut computed = Bits::new(self.pieces.len());
        for object in &self.objects {
            if (computes && object.has_parts) || taken.all.iter().any(|offset| object.is_meant_by(*offset)) {
                computed.add(&self.pieces.set_of(object.start, object.end));
            }
        }
        let starts_at_parts = |offset: &i64| self.objects.iter().any(|object| object.has_parts && object.is_meant_by(*offset));
        if !taken.computed.iter().all(starts_at_parts) {
            computed.add(&self.without_name());
        }
        computed
    }

    /// All that no variable and no saved register has.
    fn without_name(&self) -> Bits {
        let mut bits = Bits::new(self.pieces.len());
        bits.set_all(0..self.pieces.len());
        for object in &self.objects {
            bits.remove(&self.pieces.set_of(object.start, object.end));
        }
        for start in self.saved.iter().map(|saved| saved.1).chain([RETURN_ADDRESS]) {
            bits.remove(&self.pieces.set_of(start, start.saturating_add(8)));
        }
        bits
    }

    /// What an address may be used for by whoever gets it at `code`.
    fn meant(&self, offset: i64, code: u64) -> Bits {
        let mut bits = Bits::new(self.pieces.len());
        let covering = || self.objects.iter().filter(|object| object.is_meant_by(offset));
        for object in covering() {
            bits.add(&self.pieces.set_of(object.start, object.end));
        }
        let inside = |object: &&Object| (object.start..object.end).contains(&offset);
        if !covering().any(|object| inside(&object)) {
            let (start, end) = self.unnamed_around(offset);
            bits.add(&self.pieces.set_of(start, end));
        } else if !covering().any(|object| (object.code.0..object.code.1).contains(&code)) {
            // A temporary without a name may lie where the variable will be, and be longer.
            let end = covering().map(|object| object.end).max().unwrap_or(offset);
            bits.add(&self.pieces.set_of(end, self.next_named(end)));
        }
        bits
    }

    /// The bytes without a name around a place.
    fn unnamed_around(&self, offset: i64) -> (i64, i64) {
        let ends = self.objects.iter().map(|object| object.end).filter(|end| *end <= offset);
        let start = ends.max().or(self.pieces.bytes(0).map(|first| first.0)).unwrap_or(offset);
        (if offset >= 0 { start.max(0) } else { start }, self.next_named(offset.saturating_add(1)))
    }

    /// Where the next thing with a name begins at or above a place.
    fn next_named(&self, from: i64) -> i64 {
        let starts = self.objects.iter().map(|object| object.start);
        let saved = self.saved.iter().map(|saved| saved.1);
        starts.chain(saved).chain([RETURN_ADDRESS]).filter(|start| *start >= from).min().unwrap_or(NO_END)
    }

    fn find_gains(&mut self, graph: &Graph) {
        let mut gains = HashMap::new();
        for (index, node) in (0u32..).zip(graph.nodes()) {
            let before = graph.stack().before(index);
            let mut gained = Bits::new(self.pieces.len());
            let mut any = false;
            for number in escaping(node, self.effects.get(index as usize)) {
                match before.get(number) {
                    Some(FrameValue::At(offset)) => gained.add(&self.meant(*offset, node.instruction.ip())),
                    Some(FrameValue::Near) => gained.add(&self.computed),
                    _ => continue,
                }
                any = true;
            }
            if any {
                gains.insert(index, gained);
            }
        }
        self.gains = gains;
    }

    /// Pieces that `node` overwrites for certain.
    pub(super) fn overwritten(&self, node: u32) -> impl Iterator<Item = usize> {
        let accesses = self.effects.get(node as usize).into_iter().flat_map(|effects| &effects.memory);
        let certain = accesses.filter(|access| access.writes == Writes::Certainly);
        certain.flat_map(|access| match (access.reach, access.length) {
            (Reach::Slot(start), Some(length)) => self.pieces.touching(start, start.saturating_add(i64::from(length))),
            _ => 0..0,
        })
    }

    /// The pieces that an access touches, with those whose address has got away before.
    pub(super) fn touched(&self, reach: Reach, length: Option<u32>, exposed: &Bits, add: impl FnOnce(&Bits)) {
        match (reach, length) {
            (Reach::Slot(start), Some(length)) => {
                add(&self.pieces.set_of(start, start.saturating_add(i64::from(length))));
            }
            (Reach::Slot(_) | Reach::Frame, _) => {
                let mut all = self.computed.clone();
                all.add(exposed);
                add(&all);
            }
            (Reach::Pointer, _) => add(exposed),
            (Reach::Dynamic | Reach::Fixed, _) => {}
        }
    }
}

/// Addresses in the frame that code makes.
struct Taken {
    /// All that registers hold other than the stack pointer and the frame's own register.
    all: BTreeSet<i64>,
    /// Those from which further ones are computed.
    computed: BTreeSet<i64>,
}

fn taken(graph: &Graph) -> Taken {
    let mut taken = Taken { all: BTreeSet::new(), computed: BTreeSet::new() };
    // Registers that hold a computed address somewhere: it may have been made from any that they hold elsewhere.
    let mut near = [false; 16];
    for (index, node) in (0u32..).zip(graph.nodes()) {
        let before = graph.stack().before(index);
        let own = graph.stack().row(node.address()).and_then(|row| row.frame_address);
        let own = own.and_then(|(register, _)| stack::encoded(register));
        for (number, value) in before.iter().enumerate().filter(|(number, _)| *number != RSP && Some(*number) != own) {
            match value {
                FrameValue::At(offset) => {
                    taken.all.insert(*offset);
                }
                FrameValue::Near => near[number] = true,
                FrameValue::Other | FrameValue::Unreached => {}
            }
        }
        taken.computed.extend(indexed(node, before));
        taken.computed.extend(combined(node, before));
    }
    for (index, _) in (0u32..).zip(graph.nodes()) {
        let before = graph.stack().before(index);
        let held = before.iter().zip(near).enumerate().filter(|(number, (_, near))| *near && *number != RSP);
        taken.computed.extend(held.filter_map(|(_, (value, _))| known(*value)));
    }
    taken
}

/// Where an operand with an index starts.
fn indexed(node: &Node, before: &stack::Registers) -> Option<i64> {
    let instruction = &node.instruction;
    if instruction.memory_index() == Register::None {
        return None;
    }
    let plus = instruction.memory_displacement64().cast_signed();
    let parts = [instruction.memory_base(), instruction.memory_index()];
    parts.into_iter().filter(|part| *part != Register::None).find_map(|part| known(stack::get(before, part))?.checked_add(plus))
}

/// Addresses that an instruction combines with something else in a register other than the stack pointer.
fn combined(node: &Node, before: &stack::Registers) -> Vec<i64> {
    let instruction = &node.instruction;
    let follows = matches!(
        instruction.mnemonic(),
        Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push | Mnemonic::Pop | Mnemonic::Call
    );
    let is_sum = matches!(instruction.mnemonic(), Mnemonic::Add | Mnemonic::Sub) && instruction.try_immediate(1).is_ok();
    let writes_register = instruction.op_count() > 1 && instruction.op0_kind() == OpKind::Register;
    if follows || is_sum || !writes_register || instruction.op0_register() == Register::RSP {
        return Vec::new();
    }
    let operands = (0..instruction.op_count()).filter(|operand| instruction.op_kind(*operand) == OpKind::Register);
    operands.filter_map(|operand| known(stack::get(before, instruction.op_register(operand)))).collect()
}

fn known(value: FrameValue) -> Option<i64> {
    match value {
        FrameValue::At(offset) => Some(offset),
        _ => None,
    }
}

/// Registers whose value gets out of sight at a node: passed, stored, or moved to where it is not followed.
fn escaping(node: &Node, effects: Option<&Effects>) -> Vec<usize> {
    let instruction = &node.instruction;
    let Some(effects) = effects else { return Vec::new() };
    if let Some(arguments) = node.arguments {
        return (0..16).filter(|number| arguments.given & 1 << number != 0).collect();
    }
    let general = |touch: &super::effects::Touch| match touch.location {
        Location::Register(number) => Some(usize::from(number)),
        _ => None,
    };
    if matches!(instruction.mnemonic(), Mnemonic::Syscall | Mnemonic::Int) {
        return effects.reads.iter().filter_map(general).collect();
    }
    let stores = effects.memory.iter().any(|access| access.writes != Writes::No);
    let leaves = effects
        .writes
        .iter()
        .chain(&effects.may_write)
        .any(|touch| matches!(touch.location, Location::Vector(_) | Location::X87 | Location::Mask(_)));
    if !stores && !leaves {
        return Vec::new();
    }
    let operands = (0..instruction.op_count()).filter(|operand| instruction.op_kind(*operand) == OpKind::Register);
    let mut found: Vec<usize> = operands.filter_map(|operand| stack::number(instruction.op_register(operand))).collect();
    if instruction.is_string_instruction() {
        found.push(0);
    }
    found
}

fn saved(graph: &Graph) -> BTreeSet<(u8, i64)> {
    let mut found = BTreeSet::new();
    for row in graph.nodes().iter().filter_map(|node| graph.stack().row(node.address())) {
        for (register, place) in (0u8..).zip(row.saved) {
            if let SavedAt::Slot(offset) = place {
                found.insert((register, offset));
            }
        }
    }
    found
}
