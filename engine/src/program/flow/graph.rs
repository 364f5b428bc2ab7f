//! A function's instructions with the ways between them.

use std::sync::Arc;

use iced_x86::{ConstantOffsets, Decoder, DecoderOptions, Instruction, Mnemonic};

use super::blocks::Blocks;
use super::edges::Edges;
use super::stack::StackStates;
use crate::program::address::LinkAddress;
use crate::program::code::{Arguments, Callee, CodeImage, FunctionId, Operands, RegisterSet, Results};
use crate::program::unwind::UnwindIndex;

/// More instructions in one function are not looked at.
const MAX_NODES: usize = 200_000;

/// Code that is not understood, so that nothing is known of its function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the code at {at} cannot be followed: {what}")]
pub struct Unclear {
    /// The instruction.
    pub at: LinkAddress,
    /// What is not understood.
    pub what: &'static str,
}

/// How control leaves a function at an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It returns to the caller.
    Return,
    /// It goes on in another function, which returns to the caller.
    TailCall,
    /// Nowhere: a trap, or a call that does not return.
    Never,
}

/// An instruction.
#[derive(Clone, Debug)]
pub struct Node {
    /// The instruction.
    pub instruction: Instruction,
    /// Nodes that control may go to.
    pub next: Vec<u32>,
    /// Nodes that control may come from.
    pub before: Vec<u32>,
    /// What it calls, for a call or a tail call.
    pub call: Option<Callee>,
    /// Registers that the call may overwrite.
    pub clobbers: RegisterSet,
    /// Registers among those in which the call may leave its result.
    pub leaves: RegisterSet,
    /// What the call passes.
    pub arguments: Option<Arguments>,
    /// How control may leave the function here.
    pub exit: Option<Exit>,
    /// What its operands stand for.
    pub operands: Operands,
}

impl Node {
    /// Where it is.
    pub fn address(&self) -> LinkAddress {
        LinkAddress(self.instruction.ip())
    }

    /// What lies behind it, such as the return address of a call.
    pub fn behind(&self) -> LinkAddress {
        LinkAddress(self.instruction.next_ip())
    }

    /// Whether it calls a function that may come back here.
    pub fn is_call(&self) -> bool {
        self.call.is_some() && self.exit != Some(Exit::TailCall)
    }
}

/// One function of one build. Owns what it knows.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The function.
    pub function: FunctionId,
    nodes: Arc<Vec<Node>>,
    /// Nodes by address.
    by_address: Vec<(u64, u32)>,
    stack: StackStates,
    blocks: Blocks,
    results: Results,
    parameters: Arguments,
}

impl Graph {
    /// Reads a function's code.
    ///
    /// # Errors
    /// Code that is not understood: undecodable, jumps whose targets are not known, a frame that contradicts the call frame information.
    pub fn new(image: &CodeImage<'_>, unwind: &UnwindIndex, function: FunctionId) -> Result<Self, Unclear> {
        if let Some((at, what)) = image.defect(function) {
            return Err(Unclear { at, what });
        }
        let mut nodes = Vec::new();
        for (start, bytes) in image.parts(function) {
            decode(image, function, start, bytes, &mut nodes)?;
        }
        let mut by_address: Vec<(u64, u32)> = (0u32..).zip(&nodes).map(|(index, node)| (node.instruction.ip(), index)).collect();
        by_address.sort_unstable();
        let (nodes, results) = (Arc::new(nodes), image.results(function));
        let parameters = image.parameters(function);
        let (stack, blocks) = (StackStates::default(), Blocks::default());
        let mut graph = Self { function, nodes, by_address, stack, blocks, results, parameters };
        let all = Edges::new(image, unwind, &graph).all()?;
        graph.connect(all);
        let (stack, none) = StackStates::new(&graph.nodes, unwind)?;
        graph.stack = stack;
        for (from, to) in none {
            graph.disconnect(from, to);
        }
        graph.leave_out_unreached();
        graph.blocks = Blocks::new(&graph.nodes);
        Ok(graph)
    }

    /// Padding and what else control never comes to leads nowhere.
    fn leave_out_unreached(&mut self) {
        let mut reached = vec![false; self.nodes.len()];
        for node in self.reverse_postorder() {
            if let Some(reached) = reached.get_mut(node as usize) {
                *reached = true;
            }
        }
        let is_reached = |node: u32| reached.get(node as usize).copied().unwrap_or(false);
        for (index, node) in (0u32..).zip(Arc::make_mut(&mut self.nodes)) {
            node.before.retain(|before| is_reached(*before));
            if !is_reached(index) {
                node.next.clear();
            }
        }
    }

    /// Its instructions, the entry first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node with this number.
    pub fn node(&self, index: u32) -> Option<&Node> {
        self.nodes.get(index as usize)
    }

    /// The node of the instruction that starts at `address`.
    pub fn at(&self, address: LinkAddress) -> Option<u32> {
        let position = self.by_address.binary_search_by_key(&address.0, |entry| entry.0).ok()?;
        self.by_address.get(position).map(|entry| entry.1)
    }

    /// The node of the call whose return address is `next`.
    pub fn call_before(&self, next: LinkAddress) -> Option<u32> {
        let after = self.by_address.partition_point(|entry| entry.0 < next.0);
        let index = self.by_address.get(after.checked_sub(1)?)?.1;
        let node = self.node(index)?;
        (node.behind() == next && node.is_call()).then_some(index)
    }

    /// What is known of the registers before each node.
    pub fn stack(&self) -> &StackStates {
        &self.stack
    }

    /// The nodes that can be reached from the entry, each before those that come after it but round loops.
    pub fn reverse_postorder(&self) -> Vec<u32> {
        let mut seen = vec![false; self.nodes.len()];
        let mut done = Vec::with_capacity(self.nodes.len());
        let mut open: Vec<(u32, usize)> = Vec::new();
        if let Some(first) = seen.first_mut() {
            *first = true;
            open.push((0, 0));
        }
        while let Some((index, position)) = open.pop() {
            match self.node(index).and_then(|node| node.next.get(position)).copied() {
                Some(next) => {
                    open.push((index, position + 1));
                    if let Some(new) = seen.get_mut(next as usize).filter(|seen| !**seen) {
                        *new = true;
                        open.push((next, 0));
                    }
                }
                None => done.push(index),
            }
        }
        done.reverse();
        done
    }

    /// What the function leaves to its caller.
    pub fn results(&self) -> Results {
        self.results
    }

    /// What the function may be given.
    pub fn parameters(&self) -> Arguments {
        self.parameters
    }

    /// The straight runs of its code.
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// Its instructions, for whoever keeps them.
    pub(super) fn shared_nodes(&self) -> Arc<Vec<Node>> {
        Arc::clone(&self.nodes)
    }

    /// Takes a way away that is none.
    fn disconnect(&mut self, from: u32, to: u32) {
        let nodes = Arc::make_mut(&mut self.nodes);
        if let Some(node) = nodes.get_mut(to as usize) {
            node.before.retain(|before| *before != from);
        }
        if let Some(node) = nodes.get_mut(from as usize) {
            node.next.retain(|next| *next != to);
            if node.next.is_empty() && node.exit.is_none() {
                node.exit = Some(Exit::Never);
            }
        }
    }

    fn connect(&mut self, all: Vec<super::edges::Ways>) {
        let nodes = Arc::make_mut(&mut self.nodes);
        for (from, ways) in (0u32..).zip(all) {
            for &to in &ways.next {
                if let Some(node) = nodes.get_mut(to as usize) {
                    node.before.push(from);
                }
            }
            if let Some(node) = nodes.get_mut(from as usize) {
                (node.next, node.exit) = (ways.next, ways.exit);
                (node.call, node.clobbers, node.arguments) = (ways.call, ways.clobbers, ways.arguments);
                node.leaves = ways.leaves;
            }
        }
    }
}

fn decode(
    image: &CodeImage<'_>,
    function: FunctionId,
    start: LinkAddress,
    bytes: &[u8],
    nodes: &mut Vec<Node>,
) -> Result<(), Unclear> {
    let mut decoder = Decoder::with_ip(64, bytes, start.0, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let at = LinkAddress(instruction.ip());
        if instruction.is_invalid() {
            return Err(Unclear { at, what: "an instruction that cannot be decoded" });
        }
        if nodes.len() >= MAX_NODES {
            return Err(Unclear { at, what: "a function of this size" });
        }
        let immediate = immediate_offset(&decoder.get_constant_offsets(&instruction));
        let operands = match instruction.mnemonic() {
            Mnemonic::Nop => Operands::default(),
            _ => image.operands(function, at, instruction.len(), immediate),
        };
        nodes.push(Node {
            instruction,
            next: Vec::new(),
            before: Vec::new(),
            call: None,
            clobbers: RegisterSet::default(),
            leaves: RegisterSet::default(),
            arguments: None,
            exit: None,
            operands,
        });
    }
    Ok(())
}

fn immediate_offset(fields: &ConstantOffsets) -> Option<usize> {
    fields.has_immediate().then(|| fields.immediate_offset())
}
