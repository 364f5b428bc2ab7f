//! What a branch asks: the comparison behind the flags that it looks at.

use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind};

use super::super::continuation::Relation;
use super::super::correspond::Side;
use super::ranges::{self, Ranges};
use crate::program::address::LinkAddress;
use crate::program::code::Symbolic;
use crate::program::flow::{Graph, Node, Place, Term, ValueId, Values};

/// Instructions looked back over for what sets flags.
const LONGEST: usize = 64;

/// Something that holds at a point, or control would not have come there.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The instruction that decides.
    pub(super) branch: LinkAddress,
    /// What it asks.
    pub(super) asked: Asked,
}

/// What holds.
#[derive(Clone, Debug)]
pub(in super::super) enum Asked {
    /// A number is in one of some ranges.
    Within {
        /// Zero-extended.
        value: ValueId,
        bits: u8,
        ranges: Ranges,
    },
    /// Two numbers relate; a mask is a constant on the right.
    Compared { left: ValueId, relation: Relation, right: ValueId, bits: u8 },
    /// The flags are so; not taken apart.
    Flags { flags: ValueId, condition: ConditionCode },
    /// Something that is not understood.
    Other(&'static str),
}

/// The entries of a table of jumps at an address, 4 or 8 bytes each.
pub(super) type Table<'t> = dyn Fn(LinkAddress, u8) -> Vec<LinkAddress> + 't;

/// What a branch at `node` asks on the way to `to`; `None` where that way says nothing.
pub(super) fn asked(side: &mut Side<'_, '_>, table: &Table<'_>, node: u32, to: u32) -> Option<Asked> {
    let graph = side.values.function().graph;
    let (branch, target) = (graph.node(node)?, graph.node(to)?);
    if branch.call.is_some() {
        // Control comes behind a call anyhow; elsewhere it comes by an exception or a long jump.
        return (branch.behind() != target.address()).then_some(Asked::Other("an exception was thrown"));
    }
    let instruction = &branch.instruction;
    if instruction.condition_code() == ConditionCode::None || !instruction.is_jcc_short_or_near() {
        let other = Asked::Other("where a computed jump led");
        return Some(selected(side.values, node, target, table).unwrap_or(other));
    }
    let taken = instruction.near_branch_target() == target.instruction.ip();
    let condition = instruction.condition_code();
    let condition = if taken { condition } else { super::super::correspond::negated(condition) };
    let flags = side.values.before(node, Place::Flags);
    Some(
        setter(graph, node)
            .and_then(|setter| compared(side.values, setter, condition))
            .unwrap_or(Asked::Flags { flags, condition }),
    )
}

/// What a conditional move asks before it takes its second operand; `None` where that is not understood.
pub(in super::super) fn chosen(values: &mut Values<'_>, at: u32) -> Option<Asked> {
    let graph = values.function().graph;
    let condition = graph.node(at)?.instruction.condition_code();
    compared(values, setter(graph, at)?, condition)
}

/// The one instruction that sets the flags before a branch.
fn setter(graph: &Graph, branch: u32) -> Option<u32> {
    let mut here = branch;
    for _ in 0..LONGEST {
        let [before] = graph.node(here)?.before.as_slice() else { return None };
        let node = graph.node(*before)?;
        if node.call.is_some() {
            return None;
        }
        if node.instruction.rflags_modified() != 0 {
            return Some(*before);
        }
        here = *before;
    }
    None
}

/// The comparison that an instruction makes, seen through a condition.
fn compared(values: &mut Values<'_>, at: u32, condition: ConditionCode) -> Option<Asked> {
    let instruction = values.function().graph.node(at)?.instruction;
    let bits = operand_bits(&instruction)?;
    let (left, right, relation) = match instruction.mnemonic() {
        Mnemonic::Cmp | Mnemonic::Sub => {
            let (left, right) = (values.operand_at(at, 0)?, values.operand_at(at, 1)?);
            let zero = number(values, right, bits) == Some(0);
            (left, right, relation(condition).or_else(|| if zero { sign(condition) } else { None })?)
        }
        Mnemonic::Test => {
            let (left, right) = (values.operand_at(at, 0)?, values.operand_at(at, 1)?);
            if left != right {
                let relation = match condition {
                    ConditionCode::e => Relation::NoCommonBit,
                    ConditionCode::ne => Relation::CommonBit,
                    _ => return None,
                };
                return Some(masked(values, left, relation, right, bits));
            }
            (left, values.constant(0), to_zero(condition)?)
        }
        Mnemonic::And | Mnemonic::Or | Mnemonic::Xor => (result(values, at)?, values.constant(0), to_zero(condition)?),
        Mnemonic::Add | Mnemonic::Inc | Mnemonic::Dec | Mnemonic::Neg | Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar => {
            if !always_sets(&instruction) {
                return None;
            }
            let relation = match condition {
                ConditionCode::e => Relation::Equal,
                ConditionCode::ne => Relation::Different,
                _ => sign(condition)?,
            };
            (result(values, at)?, values.constant(0), relation)
        }
        _ => return None,
    };
    Some(related(values, left, relation, right, bits))
}

/// A shift by zero leaves the flags as they are.
fn always_sets(instruction: &Instruction) -> bool {
    let is_shift = matches!(instruction.mnemonic(), Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar);
    !is_shift || instruction.op_count() == 1 || instruction.try_immediate(1).is_ok_and(|count| count & 31 != 0)
}

fn operand_bits(instruction: &Instruction) -> Option<u8> {
    let bytes = match instruction.op0_kind() {
        OpKind::Register if instruction.op0_register().is_gpr() => instruction.op0_register().size(),
        OpKind::Memory => instruction.memory_size().size(),
        _ => return None,
    };
    matches!(bytes, 1 | 2 | 4 | 8).then_some((bytes * 8) as u8)
}

/// What an instruction leaves in its first operand.
pub(in super::super) fn result(values: &mut Values<'_>, at: u32) -> Option<ValueId> {
    let graph = values.function().graph;
    let node = graph.node(at)?;
    let instruction = node.instruction;
    if instruction.op0_kind() == OpKind::Memory {
        return values.stored_at(at);
    }
    let next = graph.at(node.behind())?;
    // Where other ways meet behind it the register may hold something else.
    let [_] = graph.node(next)?.before.as_slice() else { return None };
    let register = instruction.op0_register();
    let is_low = register.size() > 1 || register.number() < 4 || register.number() >= 8;
    let number = u8::try_from(register.full_register().number()).ok()?;
    is_low.then(|| values.before(next, Place::Register(number)))
}

fn number(values: &Values<'_>, value: ValueId, bits: u8) -> Option<u64> {
    match values.node(value) {
        Term::Constant(number) => Some(number & ranges::greatest(bits)),
        _ => None,
    }
}

/// Brings a comparison with a constant to ranges, and a sum with a constant to what is added to.
pub(super) fn related(values: &mut Values<'_>, left: ValueId, relation: Relation, right: ValueId, bits: u8) -> Asked {
    let (left, right) = (values.extend(bits, false, left), values.extend(bits, false, right));
    let (value, relation, to) = match (number(values, left, bits), number(values, right, bits)) {
        (None, Some(to)) => (left, relation, to),
        (Some(to), None) => (right, swapped(relation), to),
        _ => return Asked::Compared { left, relation, right, bits },
    };
    match ranges::of(relation, to, bits) {
        Some(ranges) => within(values, value, bits, ranges),
        None => Asked::Compared { left, relation, right, bits },
    }
}

fn masked(values: &mut Values<'_>, left: ValueId, relation: Relation, right: ValueId, bits: u8) -> Asked {
    let (left, right) = (values.extend(bits, false, left), values.extend(bits, false, right));
    let (left, right) = if number(values, left, bits).is_some() { (right, left) } else { (left, right) };
    Asked::Compared { left, relation, right, bits }
}

/// That a value is in some ranges; of a value plus a number that the value itself is in others.
fn within(values: &mut Values<'_>, value: ValueId, bits: u8, ranges: Ranges) -> Asked {
    if let Term::Sum { bits: width, terms, constant } = values.node(value).clone()
        && width == bits
        && let [(term, 1)] = terms.as_slice()
        && constant != 0
    {
        let top = ranges::greatest(bits);
        let back = |number: u64| number.wrapping_sub(constant.cast_unsigned()) & top;
        let moved = ranges.iter().flat_map(|(low, high)| match (back(*low), back(*high)) {
            (low, high) if low <= high => vec![(low, high)],
            (low, high) => vec![(low, top), (0, high)],
        });
        let ranges = ranges::unite(moved.collect());
        let value = values.extend(bits, false, *term);
        return Asked::Within { value, bits, ranges };
    }
    Asked::Within { value, bits, ranges }
}

/// What a comparison says when a condition holds behind it.
fn relation(condition: ConditionCode) -> Option<Relation> {
    Some(match condition {
        ConditionCode::e => Relation::Equal,
        ConditionCode::ne => Relation::Different,
        ConditionCode::b => Relation::Below,
        ConditionCode::be => Relation::BelowOrEqual,
        ConditionCode::a => Relation::Above,
        ConditionCode::ae => Relation::AboveOrEqual,
        ConditionCode::l => Relation::Less,
        ConditionCode::le => Relation::LessOrEqual,
        ConditionCode::g => Relation::Greater,
        ConditionCode::ge => Relation::GreaterOrEqual,
        _ => return None,
    })
}

/// What the sign of a result says of it.
fn sign(condition: ConditionCode) -> Option<Relation> {
    match condition {
        ConditionCode::s => Some(Relation::Less),
        ConditionCode::ns => Some(Relation::GreaterOrEqual),
        _ => None,
    }
}

/// What a condition says of a result that can neither carry nor overflow, beside zero.
fn to_zero(condition: ConditionCode) -> Option<Relation> {
    match condition {
        ConditionCode::be => Some(Relation::Equal),
        ConditionCode::a => Some(Relation::Different),
        ConditionCode::b | ConditionCode::ae => None,
        other => relation(other).or_else(|| sign(other)),
    }
}

/// The same relation with its sides exchanged.
pub(super) fn swapped(relation: Relation) -> Relation {
    match relation {
        Relation::Below => Relation::Above,
        Relation::BelowOrEqual => Relation::AboveOrEqual,
        Relation::Above => Relation::Below,
        Relation::AboveOrEqual => Relation::BelowOrEqual,
        Relation::Less => Relation::Greater,
        Relation::LessOrEqual => Relation::GreaterOrEqual,
        Relation::Greater => Relation::Less,
        Relation::GreaterOrEqual => Relation::LessOrEqual,
        same => same,
    }
}

/// Which entries of its table a jump may have taken to come to `target`: the table's address plus an entry of 32 bits, or an entry.
fn selected(values: &mut Values<'_>, jump: u32, target: &Node, table: &Table<'_>) -> Option<Asked> {
    let to = values.operand_at(jump, 0)?;
    let (address, width) = match values.node(to).clone() {
        Term::Sum { terms, constant: 0, .. } => {
            let entry = terms.iter().find_map(|(term, factor)| match values.node(*term) {
                Term::Extend { from: 32, signed: true, of } if *factor == 1 => Some(*of),
                _ => None,
            });
            match values.node(entry?).clone() {
                Term::Load { address, bytes: 4, .. } => (address, 4),
                _ => return None,
            }
        }
        Term::Load { address, bytes: 8, .. } => (address, 8),
        _ => return None,
    };
    let Term::Sum { terms, constant: 0, .. } = values.node(address).clone() else { return None };
    let base = terms.iter().find_map(|(term, factor)| match values.node(*term) {
        Term::Address(Symbolic::Address(base)) if *factor == 1 => Some(*base),
        _ => None,
    })?;
    let index = terms.iter().find(|(_, factor)| *factor == i64::from(width))?.0;
    let entries = table(base, width);
    let numbers = (0u64..).zip(&entries).filter(|(_, entry)| **entry == target.address()).map(|(number, _)| (number, number));
    let ranges = ranges::unite(numbers.collect());
    (terms.len() == 2 && !ranges.is_empty()).then(|| within(values, index, 64, ranges))
}
