//! What each general register has to do with the frame, before each instruction: the distance from the canonical frame address where it is
//! an address in the frame. Followed through the code and checked against the call frame information.

use std::collections::BTreeMap;

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::graph::{Node, Unclear};
use crate::program::unwind::{FrameRow, UnwindIndex};

/// Number of the stack pointer, as instructions encode registers.
pub(super) const RSP: usize = 4;
/// What a register holds, as far as the frame is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameValue {
    /// Control never comes here.
    #[default]
    Unreached,
    /// The canonical frame address plus this.
    At(i64),
    /// Possibly an address in the frame, or something computed from one; which is not known.
    Near,
    /// Nothing that the function itself made of an address in its frame.
    Other,
}

impl FrameValue {
    /// Whether it may have been made of an address in the frame.
    pub fn is_frame(self) -> bool {
        matches!(self, Self::At(_) | Self::Near)
    }

    fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unreached, value) | (value, Self::Unreached) => value,
            (one, two) if one == two => one,
            _ => Self::Near,
        }
    }

    fn plus(self, bytes: i64) -> Self {
        match self {
            Self::At(offset) => offset.checked_add(bytes).map_or(Self::Near, Self::At),
            other => other,
        }
    }
}

/// The registers at one place, by the number that instructions encode them with.
pub type Registers = [FrameValue; 16];

/// The registers before each node of a graph.
#[derive(Clone, Debug, Default)]
pub struct StackStates {
    before: Vec<Registers>,
    rows: Rows,
}

/// The call frame information of a function by start of each row.
#[derive(Clone, Debug, Default)]
struct Rows(BTreeMap<u64, FrameRow>);

impl Rows {
    fn at(&self, address: u64) -> Option<&FrameRow> {
        let (_, row) = self.0.range(..=address).next_back()?;
        (address < row.end.0).then_some(row)
    }
}

impl StackStates {
    /// Follows the registers through `nodes`. Ways behind calls on which the call frame information contradicts are none: the call does not
    /// return. They are given back as (from, to).
    pub(super) fn new(nodes: &[Node], unwind: &UnwindIndex) -> Result<(Self, Vec<(u32, u32)>), Unclear> {
        let rows = read_rows(nodes, unwind)?;
        let states = Self { before: vec![[FrameValue::Unreached; 16]; nodes.len()], rows };
        Follow { nodes, states, dropped: Vec::new(), info: InstructionInfoFactory::new() }.run()
    }

    /// The registers before a node; all unreached for a node that control does not come to.
    pub fn before(&self, node: u32) -> &Registers {
        const NOWHERE: &Registers = &[FrameValue::Unreached; 16];
        self.before.get(node as usize).unwrap_or(NOWHERE)
    }

    /// Whether control comes to a node.
    pub fn is_reached(&self, node: u32) -> bool {
        self.before(node).iter().any(|value| *value != FrameValue::Unreached)
    }

    /// The call frame information that holds at an instruction.
    pub fn row(&self, address: crate::program::address::LinkAddress) -> Option<&FrameRow> {
        self.rows.at(address.0)
    }
}

fn read_rows(nodes: &[Node], unwind: &UnwindIndex) -> Result<Rows, Unclear> {
    let mut rows = Rows::default();
    for node in nodes {
        if rows.at(node.instruction.ip()).is_none() {
            let found = unwind.frame_rows(node.address());
            let found = found.ok_or(Unclear { at: node.address(), what: "no call frame information" })?;
            rows.0.extend(found.into_iter().map(|row| (row.start.0, row)));
        }
    }
    Ok(rows)
}

struct Follow<'n> {
    nodes: &'n [Node],
    states: StackStates,
    dropped: Vec<(u32, u32)>,
    info: InstructionInfoFactory,
}

impl Follow<'_> {
    fn run(mut self) -> Result<(StackStates, Vec<(u32, u32)>), Unclear> {
        let mut entry = [FrameValue::Other; 16];
        // The call has just pushed the return address.
        if let Some(stack) = entry.get_mut(RSP) {
            *stack = FrameValue::At(-8);
        }
        let mut open = Vec::new();
        self.arrive(0, entry, None, &mut open)?;
        while let Some(index) = open.pop() {
            let Some(node) = self.nodes.get(index as usize) else { continue };
            let mut state = *self.states.before(index);
            step(node, &mut state, &mut self.info);
            for next in &node.next {
                self.arrive(*next, state, Some(index), &mut open)?;
            }
        }
        let dropped = self.still_dropped();
        Ok((self.states, dropped))
    }

    /// Takes into account that control comes to a node with `state`.
    fn arrive(&mut self, to: u32, mut state: Registers, from: Option<u32>, open: &mut Vec<u32>) -> Result<(), Unclear> {
        let Some(node) = self.nodes.get(to as usize) else { return Ok(()) };
        if let Some((register, value)) = self.told(node)
            && let Some(known) = state.get_mut(register)
        {
            match *known {
                FrameValue::At(offset) if offset != value => {
                    let source = from.and_then(|from| self.nodes.get(from as usize).map(|node| (from, node)));
                    return match source {
                        Some((from, source)) if source.is_call() => {
                            self.dropped.push((from, to));
                            Ok(())
                        }
                        _ => Err(Unclear { at: node.address(), what: "the call frame information says otherwise than the code" }),
                    };
                }
                _ => *known = FrameValue::At(value),
            }
        }
        let Some(before) = self.states.before.get_mut(to as usize) else { return Ok(()) };
        let mut joined = *before;
        for (one, other) in joined.iter_mut().zip(state) {
            *one = one.join(other);
        }
        if joined != *before {
            *before = joined;
            open.push(to);
        }
        Ok(())
    }

    /// The register that gives the canonical frame address at a node, and how far from it it is.
    fn told(&self, node: &Node) -> Option<(usize, i64)> {
        let (register, offset) = self.states.rows.at(node.instruction.ip())?.frame_address?;
        Some((encoded(register)?, offset.checked_neg()?))
    }

    fn still_dropped(&mut self) -> Vec<(u32, u32)> {
        let mut dropped = std::mem::take(&mut self.dropped);
        dropped.sort_unstable();
        dropped.dedup();
        dropped
    }
}

/// Encoded number of a general register by its number in DWARF (System V ABI, figure 3.36).
pub(super) fn encoded(dwarf: u16) -> Option<usize> {
    const ENCODED: [usize; 16] = [0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
    ENCODED.get(usize::from(dwarf)).copied()
}

/// Number of a general register, whichever part of it is named.
pub(super) fn number(register: Register) -> Option<usize> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number())
}

/// What an instruction leaves in the registers.
fn step(node: &Node, state: &mut Registers, info: &mut InstructionInfoFactory) {
    let instruction = &node.instruction;
    if node.is_call() {
        return after_call(node, state);
    }
    let moved = instruction.stack_pointer_increment();
    match instruction.mnemonic() {
        Mnemonic::Leave => {
            let frame = get(state, Register::RBP);
            put(state, Register::RSP, frame.plus(8));
            return put(state, Register::RBP, FrameValue::Other);
        }
        Mnemonic::Push | Mnemonic::Pushfq => return put(state, Register::RSP, get(state, Register::RSP).plus(i64::from(moved))),
        Mnemonic::Pop => {
            put(state, Register::RSP, get(state, Register::RSP).plus(i64::from(moved)));
            if instruction.op0_kind() == OpKind::Register {
                put(state, instruction.op0_register(), FrameValue::Other);
            }
            return;
        }
        Mnemonic::Popfq => return put(state, Register::RSP, get(state, Register::RSP).plus(i64::from(moved))),
        _ => {}
    }
    if instruction.is_string_instruction() {
        return string(instruction, state, info);
    }
    if let Some(value) = simple(instruction, state) {
        return put(state, instruction.op0_register(), value);
    }
    general(instruction, state, info);
}

/// What a called function leaves.
fn after_call(node: &Node, state: &mut Registers) {
    for (number, value) in state.iter_mut().enumerate() {
        if node.clobbers.general & 1 << number != 0 {
            *value = FrameValue::Other;
        }
    }
}

/// What instructions leave in their first operand, a whole register, that compute addresses in a way that is followed.
fn simple(instruction: &Instruction, state: &Registers) -> Option<FrameValue> {
    if instruction.op_count() == 0 || instruction.op0_kind() != OpKind::Register || !instruction.op0_register().is_gpr64() {
        return None;
    }
    let own = get(state, instruction.op0_register());
    let other = || match instruction.op1_kind() {
        OpKind::Register if instruction.op1_register().is_gpr64() => Some(get(state, instruction.op1_register())),
        _ => None,
    };
    let immediate = || instruction.try_immediate(1).ok().map(u64::cast_signed);
    match instruction.mnemonic() {
        Mnemonic::Mov if instruction.op1_kind() == OpKind::Memory => Some(FrameValue::Other),
        Mnemonic::Mov => other(),
        Mnemonic::Lea => Some(address(instruction, state)),
        Mnemonic::Add => Some(own.plus(immediate()?)),
        Mnemonic::Sub => Some(own.plus(immediate()?.checked_neg()?)),
        Mnemonic::Inc => Some(own.plus(1)),
        Mnemonic::Dec => Some(own.plus(-1)),
        _ => None,
    }
}

/// What the address of an instruction's operand in memory is.
pub(super) fn address(instruction: &Instruction, state: &Registers) -> FrameValue {
    let (base, index) = (instruction.memory_base(), instruction.memory_index());
    if base == Register::RIP || base == Register::EIP {
        return FrameValue::Other;
    }
    let part = |register: Register| number(register).map_or(FrameValue::Other, |_| get(state, register));
    match (part(base), part(index)) {
        (value, _) if index == Register::None => value.plus(instruction.memory_displacement64().cast_signed()),
        (FrameValue::Other, FrameValue::Other) => FrameValue::Other,
        _ => FrameValue::Near,
    }
}

/// What string instructions leave: addresses that go on from where they were, and a count, or a number that was read, which is none.
fn string(instruction: &Instruction, state: &mut Registers, info: &mut InstructionInfoFactory) {
    for register in info.info(instruction).used_registers() {
        let is_written =
            !matches!(register.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess);
        let Some(known) = number(register.register()).and_then(|number| state.get_mut(number)).filter(|_| is_written) else {
            continue;
        };
        *known = if known.is_frame() { FrameValue::Near } else { FrameValue::Other };
    }
}

/// Any other instruction: what it writes is near the frame if something is that it reads as a value.
fn general(instruction: &Instruction, state: &mut Registers, info: &mut InstructionInfoFactory) {
    if matches!(instruction.flow_control(), FlowControl::Return) {
        return;
    }
    let used = info.info(instruction);
    let has_memory = instruction.op_kinds().any(|kind| kind == OpKind::Memory) && instruction.mnemonic() != Mnemonic::Lea;
    let explicit = |register: Register| {
        let full = register.full_register();
        (0..instruction.op_count()).any(|operand| {
            instruction.op_kind(operand) == OpKind::Register && instruction.op_register(operand).full_register() == full
        })
    };
    let in_address = |register: Register| {
        let full = register.full_register();
        full == instruction.memory_base().full_register() || full == instruction.memory_index().full_register()
    };
    let mut is_frame = false;
    let mut written = 0u16;
    for register in used.used_registers() {
        let Some(number) = number(register.register()) else { continue };
        let reads = !matches!(register.access(), OpAccess::Write | OpAccess::CondWrite | OpAccess::None | OpAccess::NoMemAccess);
        let writes = !matches!(register.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess);
        let only_address = has_memory && in_address(register.register()) && !explicit(register.register());
        // A conditional write leaves the old value on the other way.
        let counts = reads || register.access() == OpAccess::CondWrite;
        is_frame |= counts && !only_address && state.get(number).is_some_and(|value| value.is_frame());
        written |= u16::from(writes) << number;
    }
    // Half an address is none.
    let is_half = instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && number(instruction.op0_register()).is_some()
        && instruction.op0_register().size() == 4;
    let value = if is_frame && !is_half { FrameValue::Near } else { FrameValue::Other };
    for (number, known) in state.iter_mut().enumerate() {
        if written & 1 << number != 0 {
            *known = value;
        }
    }
}

pub(super) fn get(state: &Registers, register: Register) -> FrameValue {
    number(register).and_then(|number| state.get(number)).copied().unwrap_or(FrameValue::Other)
}

fn put(state: &mut Registers, register: Register, value: FrameValue) {
    if let Some(known) = number(register).and_then(|number| state.get_mut(number)) {
        *known = value;
    }
}
