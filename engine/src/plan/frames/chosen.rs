//! What conditional moves make of values, done again: from what they compare and what they choose from (PROOF 3.39).

use iced_x86::{Code, Mnemonic};

use super::continuation::{Condition, Operation, Value};
use super::facts;
use super::terms::{Explained, Terms};
use crate::program::flow::{Term, ValueId, Values};

/// A choice takes four values.
const STEPS: u32 = 2;

impl Terms<'_, '_, '_> {
    /// What a conditional move made; `None` where a value is none, or what is compared is not understood.
    pub(super) fn chosen(&mut self, value: ValueId, depth: u32) -> Option<Explained> {
        let depth = depth.checked_sub(STEPS)?;
        let Term::Pure { code, result: 0, bits, .. } = *self.correspondence.new.values.node(value) else { return None };
        let at = maker(self.correspondence.new.values, (value, code, bits))?;
        let asked = facts::chosen(self.correspondence.new.values, at)?;
        let values = &mut self.correspondence.new.values;
        let (otherwise, then) = (values.operand_at(at, 0)?, values.operand_at(at, 1)?);
        let conditions = match facts::chosen_if(self, &asked, depth)? {
            Ok(conditions) => conditions,
            Err(reason) => return Some(Err(reason)),
        };
        Some(self.deep(then, bits, depth).and_then(|then| {
            let otherwise = self.deep(otherwise, bits, depth)?;
            Ok(conditions.into_iter().rev().fold(then, |then, condition| choice(condition, then, otherwise.clone())))
        }))
    }
}

fn choice(condition: Condition, then: Value, otherwise: Value) -> Value {
    let Condition { left, relation, right, bits, .. } = condition;
    Value::Computed(Operation::Choose { relation, bits }, vec![left, right, then, otherwise])
}

/// The conditional move that makes a value of so many bits.
fn maker(values: &mut Values<'_>, (value, code, bits): (ValueId, Code, u8)) -> Option<u32> {
    if !is_conditional_move(code.mnemonic()) {
        return None;
    }
    let graph = values.function().graph;
    let made = values.extend(bits, false, value);
    let mut moves = (0u32..).zip(graph.nodes()).filter(|(_, node)| node.instruction.code() == code).map(|(at, _)| at);
    moves.find(|at| facts::result(values, *at).is_some_and(|left| values.resolve(left) == values.resolve(made)))
}

fn is_conditional_move(mnemonic: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(
        mnemonic,
        M::Cmova
            | M::Cmovae
            | M::Cmovb
            | M::Cmovbe
            | M::Cmove
            | M::Cmovg
            | M::Cmovge
            | M::Cmovl
            | M::Cmovle
            | M::Cmovne
            | M::Cmovns
            | M::Cmovs
    )
}
