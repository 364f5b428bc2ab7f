//! Which instructions of two functions run along each other: followed from the entry and from behind paired calls as long as both do the same
//! with whatever registers, and by the longest common part of both codes. Proposals only.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use iced_x86::{ConditionCode, Instruction, OpKind, Register};

use super::super::correspond::negated;
use crate::program::flow::{ENTRY, Graph, Node};

/// More differences between two functions are not looked for.
const MOST_DIFFERENCES: usize = 1200;

/// For each instruction of the old function those of the new one that may be it.
#[derive(Debug)]
pub(in super::super) struct Aligned(HashMap<u32, Vec<u32>>);

impl Aligned {
    /// `calls` are pairs of calls that are one.
    pub(super) fn new(old: &Graph, new: &Graph, calls: &[(u32, u32)]) -> Self {
        let mut found = Self(HashMap::new());
        found.follow(old, new, calls);
        let keys = |graph: &Graph| graph.nodes().iter().map(key).collect::<Vec<u64>>();
        for (from, to) in common(&keys(old), &keys(new)) {
            found.add(from, to);
        }
        found
    }

    /// What the instruction `old` may be, most likely first.
    pub(super) fn of(&self, old: u32) -> &[u32] {
        self.0.get(&old).map_or(&[], Vec::as_slice)
    }

    fn add(&mut self, old: u32, new: u32) {
        let known = self.0.entry(old).or_default();
        if !known.contains(&new) {
            known.push(new);
        }
    }

    /// Follows both codes from the entry, and from behind and before paired calls.
    fn follow(&mut self, old: &Graph, new: &Graph, calls: &[(u32, u32)]) {
        let behind = |graph: &Graph, call: u32| graph.node(call).and_then(|node| node.next.first().copied());
        let after = calls.iter().filter_map(|(from, to)| Some((behind(old, *from)?, behind(new, *to)?)));
        let mut forward: VecDeque<(u32, u32)> = std::iter::once((ENTRY, ENTRY)).chain(after).collect();
        let mut seen = HashSet::new();
        while let Some((from, to)) = forward.pop_front() {
            let (Some(a), Some(b)) = (old.node(from), new.node(to)) else { continue };
            if self.0.contains_key(&from) || !seen.insert((from, to)) {
                continue;
            }
            self.add(from, to);
            forward.extend(successors(old, a, new, b));
        }
        let mut backward: VecDeque<(u32, u32)> = calls.iter().copied().collect();
        while let Some((from, to)) = backward.pop_front() {
            self.add(from, to);
            let (Some(a), Some(b)) = (old.node(from), new.node(to)) else { continue };
            // Where ways meet nothing says which is which.
            let ([before], [other]) = (a.before.as_slice(), b.before.as_slice()) else { continue };
            let (Some(a), Some(b)) = (old.node(*before), new.node(*other)) else { continue };
            if a.call.is_none() && b.call.is_none() && is_alike(a, b) && seen.insert((*before, *other)) {
                backward.push_back((*before, *other));
            }
        }
    }
}

/// Where control goes on behind two instructions that do the same.
fn successors(old: &Graph, a: &Node, new: &Graph, b: &Node) -> Vec<(u32, u32)> {
    if a.call.is_some() || b.call.is_some() || !is_alike(a, b) {
        return Vec::new();
    }
    match (a.next.as_slice(), b.next.as_slice()) {
        ([from], [to]) => vec![(*from, *to)],
        ([_, _], [_, _]) => {
            let ways = |graph: &Graph, node: &Node| -> Option<(u32, u32)> {
                let target = node.instruction.near_branch_target();
                let is_taken = |next: &u32| graph.node(*next).is_some_and(|next| next.instruction.ip() == target);
                let taken = node.next.iter().copied().find(is_taken)?;
                Some((taken, node.next.iter().copied().find(|next| *next != taken)?))
            };
            let Some((from, to)) = ways(old, a).zip(ways(new, b)) else { return Vec::new() };
            match a.instruction.condition_code() == b.instruction.condition_code() {
                true => vec![(from.0, to.0), (from.1, to.1)],
                false => vec![(from.0, to.1), (from.1, to.0)],
            }
        }
        _ => Vec::new(),
    }
}

/// Whether two instructions do the same with whatever registers and places.
fn is_alike(a: &Node, b: &Node) -> bool {
    let conditions = (a.instruction.condition_code(), b.instruction.condition_code());
    if a.next.len() == 2 && b.next.len() == 2 && conditions.0 != ConditionCode::None && conditions.1 != ConditionCode::None {
        return conditions.0 == conditions.1 || negated(conditions.0) == conditions.1;
    }
    key(a) == key(b)
}

/// What is alike of instructions that do the same: all but registers, places in the frame, and addresses in the program.
fn key(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    let instruction = &node.instruction;
    if node.call.is_some() {
        (1u8, node.is_call()).hash(&mut hasher);
        return hasher.finish();
    }
    instruction.code().hash(&mut hasher);
    instruction.condition_code().hash(&mut hasher);
    for operand in 0..instruction.op_count() {
        match instruction.op_kind(operand) {
            OpKind::Register | OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {}
            OpKind::Memory => memory(node, instruction).hash(&mut hasher),
            _ => instruction.try_immediate(operand).ok().filter(|_| !names_address(node)).hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn names_address(node: &Node) -> bool {
    node.operands.immediate.is_some()
}

/// What is alike of operands in memory.
fn memory(node: &Node, instruction: &Instruction) -> (bool, bool, u32, u64) {
    let in_frame = matches!(instruction.memory_base(), Register::RSP | Register::RBP);
    let is_named = node.operands.memory.is_some();
    let displacement = if in_frame || is_named { 0 } else { instruction.memory_displacement64() };
    let index = instruction.memory_index() != Register::None;
    (is_named, index, instruction.memory_index_scale(), displacement)
}

/// Positions of the longest common part of two sequences, and between its pieces of what is as long on both sides (Myers, "An O(ND)
/// Difference Algorithm and Its Variations", 1986).
fn common(old: &[u64], new: &[u64]) -> Vec<(u32, u32)> {
    let matched = longest(old, new);
    let mut found: Vec<(u32, u32)> = Vec::new();
    let (mut from, mut to) = (0, 0);
    for (a, b) in matched.iter().copied().chain([(old.len(), new.len())]) {
        if a - from == b - to {
            found.extend((from..a).zip(to..b).map(narrow));
        }
        if a < old.len() {
            found.push(narrow((a, b)));
        }
        (from, to) = (a + 1, b + 1);
    }
    found
}

fn narrow((from, to): (usize, usize)) -> (u32, u32) {
    (u32::try_from(from).unwrap_or(u32::MAX), u32::try_from(to).unwrap_or(u32::MAX))
}

/// The longest common part, as ascending pairs of positions; of both ends alone where there are too many differences.
fn longest(old: &[u64], new: &[u64]) -> Vec<(usize, usize)> {
    let prefix = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (rest, other) = (&old[prefix..], &new[prefix..]);
    let suffix = rest.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let (rest, other) = (&rest[..rest.len() - suffix], &other[..other.len() - suffix]);
    let mut found: Vec<(usize, usize)> = (0..prefix).map(|at| (at, at)).collect();
    found.extend(middle(rest, other).into_iter().map(|(a, b)| (a + prefix, b + prefix)));
    found.extend((0..suffix).map(|at| (prefix + rest.len() + at, prefix + other.len() + at)));
    found
}

/// The part between what both begin and end with.
fn middle(old: &[u64], new: &[u64]) -> Vec<(usize, usize)> {
    let most = (old.len() + new.len()).min(MOST_DIFFERENCES);
    let width = 2 * most + 3;
    let center = most + 1;
    let mut reach = vec![0usize; width];
    let mut trace: Vec<Vec<usize>> = Vec::new();
    for differences in 0..=most {
        trace.push(reach.clone());
        for diagonal in (0..=differences).map(|step| center + 2 * step - differences) {
            let down = diagonal == center - differences
                || (diagonal != center + differences && reach[diagonal - 1] < reach[diagonal + 1]);
            let mut x = if down { reach[diagonal + 1] } else { reach[diagonal - 1] + 1 };
            let mut y = x + center - diagonal;
            while x < old.len() && y < new.len() && old[x] == new[y] {
                (x, y) = (x + 1, y + 1);
            }
            reach[diagonal] = x;
            if x >= old.len() && y >= new.len() {
                return way_back(&trace, (old, new), center, differences);
            }
        }
    }
    Vec::new()
}

/// The pairs on the way that was found.
fn way_back(trace: &[Vec<usize>], (old, new): (&[u64], &[u64]), center: usize, differences: usize) -> Vec<(usize, usize)> {
    let (mut x, mut y) = (old.len(), new.len());
    let mut found = Vec::new();
    for (step, reach) in trace.iter().enumerate().take(differences + 1).rev() {
        let diagonal = x + center - y;
        let down = diagonal == center - step || (diagonal != center + step && reach[diagonal - 1] < reach[diagonal + 1]);
        let before = if down { diagonal + 1 } else { diagonal - 1 };
        let (from, to) = if step == 0 { (0, 0) } else { (reach[before], reach[before] + center - before) };
        while x > from && y > to && old.get(x - 1) == new.get(y - 1) {
            (x, y) = (x - 1, y - 1);
            found.push((x, y));
        }
        (x, y) = (from, to);
    }
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(old: &str, new: &str) -> Vec<(char, char)> {
        let keys = |text: &str| text.bytes().map(u64::from).collect::<Vec<u64>>();
        let at = |text: &str, index: u32| text.as_bytes()[index as usize] as char;
        common(&keys(old), &keys(new)).into_iter().map(|(a, b)| (at(old, a), at(new, b))).collect()
    }

    #[test]
    fn what_both_have_in_one_order_is_paired() {
        assert_eq!(pairs("abcdef", "abcdef").len(), 6);
        assert_eq!(pairs("abcdef", "abXcdef"), [('a', 'a'), ('b', 'b'), ('c', 'c'), ('d', 'd'), ('e', 'e'), ('f', 'f')]);
        assert_eq!(pairs("abXcdef", "abcdef").len(), 6);
        assert_eq!(pairs("abcabba", "cbabac").iter().filter(|(a, b)| a == b).count(), 4);
        assert_eq!(pairs("abc", ""), []);
        assert_eq!(pairs("", ""), []);
    }

    #[test]
    fn what_stands_in_for_another_is_paired_with_it() {
        assert_eq!(pairs("abXde", "abYde")[2], ('X', 'Y'));
        assert_eq!(pairs("abXXde", "abYde").len(), 4);
    }
}
