//! Frames that come apart: one of the old code is several of the new one, each called by the one before.
//!
//! The innermost of them stands in the old frame's place. The others are put in above it, with nothing of the old stack for their own.

use std::sync::Arc;

use super::continuation::{Condition, Continuation, Value};
use crate::plan::safe_point::Standing;
use crate::program::unwind::{Frame, dwarf};

/// Puts in the frames that others come apart into.
pub fn come_apart(frames: &mut Vec<Frame>, standings: &mut Vec<Standing>) {
    let mut number = 0;
    while let Some((frame, standing)) = frames.get(number).zip(standings.get(number)) {
        let inside = match standing {
            Standing::Rebuilt(continuation) => continuation.besides.inside.clone(),
            _ => Vec::new(),
        };
        if inside.is_empty() {
            number += 1;
            continue;
        }
        let mut above = frame.clone();
        if let Some(Some(pointer)) = above.registers.get_mut(dwarf::RSP) {
            pointer.value = above.cfa.0;
        }
        let count = inside.len();
        for standing in standings.iter_mut() {
            if let Standing::Rebuilt(continuation) | Standing::Entered(continuation) = standing {
                *continuation = shifted(continuation, number, count);
            }
        }
        frames.splice(number + 1..number + 1, std::iter::repeat_n(above, count));
        let inner = inside.into_iter().rev().map(|inner| Standing::Rebuilt(shifted(&inner, number, count)));
        standings.splice(number..number, inner);
        number += count + 1;
    }
}

/// Whether a frame is what one further out came apart into.
pub fn is_inside(frames: &[Frame], number: usize) -> bool {
    frames.get(number).zip(frames.get(number + 1)).is_some_and(|(own, above)| own.cfa == above.cfa && own.pc == above.pc)
}

/// A continuation that finds other frames where they are now.
fn shifted(continuation: &Arc<Continuation>, from: usize, by: usize) -> Arc<Continuation> {
    let in_condition = |condition: &Condition| names_outer(&condition.left) || names_outer(&condition.right);
    if !continuation.values.iter().any(|placed| names_outer(&placed.value)) && !continuation.conditions.iter().any(in_condition) {
        return Arc::clone(continuation);
    }
    let mut moved = Continuation::clone(continuation);
    moved.values.iter_mut().for_each(|placed| shift(&mut placed.value, from, by));
    for condition in &mut moved.conditions {
        shift(&mut condition.left, from, by);
        shift(&mut condition.right, from, by);
    }
    Arc::new(moved)
}

fn names_outer(value: &Value) -> bool {
    match value {
        Value::Outer(..) => true,
        Value::Computed(_, operands) => operands.iter().any(names_outer),
        _ => false,
    }
}

fn shift(value: &mut Value, from: usize, by: usize) {
    match value {
        Value::Outer(number, _) if *number >= from => *number += by,
        Value::Computed(_, operands) => operands.iter_mut().for_each(|operand| shift(operand, from, by)),
        _ => {}
    }
}
