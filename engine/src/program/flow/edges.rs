//! Where control goes from each instruction of a function.

use std::collections::{BTreeSet, HashMap};

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::graph::{Exit, Graph, Node, Unclear};
use crate::program::address::LinkAddress;
use crate::program::code::{Arguments, CallSite, Callee, CodeImage, RegisterSet, Results, Symbolic};
use crate::program::unwind::{UnwindIndex, dwarf};

/// Library functions that never come back (C11, POSIX, glibc, libgcc, libstdc++).
const NEVER_RETURN: [&str; 26] = [
    "exit",
    "_exit",
    "_Exit",
    "quick_exit",
    "abort",
    "__stack_chk_fail",
    "__fortify_fail",
    "__chk_fail",
    "__assert",
    "__assert_fail",
    "__assert_perror_fail",
    "__libc_start_main",
    "longjmp",
    "_longjmp",
    "siglongjmp",
    "__longjmp_chk",
    "pthread_exit",
    "thrd_exit",
    "_Unwind_Resume",
    "__cxa_throw",
    "__cxa_rethrow",
    "__cxa_bad_cast",
    "__cxa_throw_bad_array_new_length",
    "__cxa_call_unexpected",
    "_ZSt9terminatev",
    "__cxa_pure_virtual",
];

/// Library functions that come back more than once: from every later call control may be back behind them.
const RETURN_TWICE: [&str; 10] =
    ["setjmp", "_setjmp", "__sigsetjmp", "sigsetjmp", "savectx", "getcontext", "__getcontext", "vfork", "__vfork", "swapcontext"];

/// The ways from one node.
#[derive(Default)]
pub(super) struct Ways {
    pub(super) next: Vec<u32>,
    pub(super) call: Option<Callee>,
    pub(super) exit: Option<Exit>,
    pub(super) clobbers: RegisterSet,
    pub(super) leaves: RegisterSet,
    pub(super) arguments: Option<Arguments>,
}

/// Finds the ways between the nodes of a graph that has none yet.
pub(super) struct Edges<'e, 'a> {
    pub(super) image: &'e CodeImage<'a>,
    pub(super) unwind: &'e UnwindIndex,
    pub(super) graph: &'e Graph,
    /// Places that jumps lead to, other than by computing them.
    labels: BTreeSet<u64>,
}

impl<'e, 'a> Edges<'e, 'a> {
    pub(super) fn new(image: &'e CodeImage<'a>, unwind: &'e UnwindIndex, graph: &'e Graph) -> Self {
        let jumps = graph.nodes().iter().filter(|node| node.instruction.op_kinds().any(|kind| kind == OpKind::NearBranch64));
        let direct = jumps.map(|node| node.instruction.near_branch_target());
        let labels = direct.chain(image.table_targets(graph.function).into_iter().map(|target| target.0)).collect();
        Self { image, unwind, graph, labels }
    }

    pub(super) fn all(&self) -> Result<Vec<Ways>, Unclear> {
        let calls: HashMap<u64, CallSite> =
            self.image.calls(self.graph.function).iter().map(|call| (call.address.0, *call)).collect();
        let mut all = Vec::with_capacity(self.graph.nodes().len());
        for (index, node) in self.graph.nodes().iter().enumerate() {
            all.push(self.ways(index, node, calls.get(&node.instruction.ip()))?);
        }
        self.add_landing_pads(&mut all)?;
        self.add_second_returns(&mut all);
        for ways in &mut all {
            ways.arguments = ways.call.map(|callee| self.image.arguments(callee));
            ways.leaves = ways.call.map(|callee| self.leaves(callee).and(ways.clobbers)).unwrap_or_default();
            ways.next.sort_unstable();
            ways.next.dedup();
        }
        Ok(all)
    }

    /// Registers in which a call may leave its result.
    fn leaves(&self, callee: Callee) -> RegisterSet {
        const RAX: u16 = 1;
        const RDX: u16 = 1 << 2;
        let results = match callee {
            Callee::Function(function) => self.image.results(function),
            _ => Results::ALL,
        };
        let bit = |bits: u64, bit: u16| if bits == 0 { 0 } else { bit };
        RegisterSet { general: bit(results.rax, RAX) | bit(results.rdx, RDX), vector: results.vector, mask: 0 }
    }

    fn ways(&self, index: usize, node: &Node, call: Option<&CallSite>) -> Result<Ways, Unclear> {
        let instruction = &node.instruction;
        let mut ways = Ways { call: call.map(|call| call.callee), ..Ways::default() };
        ways.clobbers = ways.call.map(|callee| self.image.clobbers(callee)).unwrap_or_default();
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Interrupt if is_trap(instruction) => ways.exit = Some(Exit::Never),
            FlowControl::Next | FlowControl::Interrupt => ways.next.push(self.behind(index, node)?),
            FlowControl::Call | FlowControl::IndirectCall if instruction.mnemonic() == Mnemonic::Syscall => {
                ways.next.push(self.behind(index, node)?);
            }
            FlowControl::Call | FlowControl::IndirectCall => {
                let callee = ways.call.unwrap_or(Callee::Indirect);
                (ways.call, ways.clobbers) = (Some(callee), self.image.clobbers(callee));
                self.behind_call(index, node, &mut ways);
            }
            FlowControl::ConditionalBranch => {
                ways.next.push(self.behind(index, node)?);
                self.branch(node, call, &mut ways)?;
            }
            FlowControl::UnconditionalBranch => self.branch(node, call, &mut ways)?,
            FlowControl::IndirectBranch => self.computed(index, node, call, &mut ways)?,
            FlowControl::Return => ways.exit = Some(Exit::Return),
            FlowControl::Exception => ways.exit = Some(Exit::Never),
            FlowControl::XbeginXabortXend => return Err(unclear(node, "a memory transaction")),
        }
        Ok(ways)
    }

    /// The instruction behind `node` where control goes on.
    fn behind(&self, index: usize, node: &Node) -> Result<u32, Unclear> {
        self.follower(index, node).ok_or(unclear(node, "control runs off the end of the function"))
    }

    fn follower(&self, index: usize, node: &Node) -> Option<u32> {
        let next = self.graph.nodes().get(index + 1)?;
        (next.address() == node.behind()).then_some((index + 1) as u32)
    }

    /// Behind a call that does not return there may be nothing, or something else.
    fn behind_call(&self, index: usize, node: &Node, ways: &mut Ways) {
        let never = ways.call.is_some_and(|callee| self.never_returns(callee));
        match self.follower(index, node).filter(|_| !never) {
            Some(next) => ways.next.push(next),
            None => ways.exit = Some(Exit::Never),
        }
    }

    fn never_returns(&self, callee: Callee) -> bool {
        match callee {
            Callee::Import(import) => {
                self.image.import(import).is_some_and(|symbol| NEVER_RETURN.contains(&symbol.name.as_str()))
            }
            // A function of the object's own may be replaced by another one of its name only where it is called through an import.
            callee => self.image.never_returns(callee),
        }
    }

    fn returns_twice(&self, callee: Callee) -> bool {
        let named = |name: &str| RETURN_TWICE.contains(&name);
        match callee {
            Callee::Import(import) => self.image.import(import).is_some_and(|symbol| named(&symbol.name)),
            Callee::Function(function) => {
                self.image.inventory().get(function).is_some_and(|function| function.symbols.iter().any(|name| named(name)))
            }
            _ => false,
        }
    }

    /// A direct jump.
    fn branch(&self, node: &Node, call: Option<&CallSite>, ways: &mut Ways) -> Result<(), Unclear> {
        let to = LinkAddress(node.instruction.near_branch_target());
        if let Some(index) = self.graph.at(to) {
            // A function that jumps to its own entry with an empty frame is in a loop like any other.
            ways.next.push(index);
            ways.call = None;
        } else if call.is_some() {
            ways.exit = Some(Exit::TailCall);
        } else {
            return Err(unclear(node, "a jump into the middle of an instruction"));
        }
        Ok(())
    }

    /// A jump through a register or memory: through a table, to a label, or out of the function.
    fn computed(&self, index: usize, node: &Node, call: Option<&CallSite>, ways: &mut Ways) -> Result<(), Unclear> {
        let has_no_frame = self.unwind.frame_address(node.address()) == Some((dwarf::RSP as u16, 8));
        let known = call.is_some_and(|call| call.callee != Callee::Indirect);
        if known {
            ways.exit = Some(Exit::TailCall);
            return Ok(());
        }
        let table = self.table_before(index);
        let mut targets = match (table.as_slice(), call) {
            ([], None) => self.image.table_targets(self.graph.function),
            ([], Some(_)) => self.image.label_addresses(self.graph.function),
            (found, _) => found.to_vec(),
        };
        targets.retain(|target| self.graph.at(*target).is_some());
        ways.next.extend(targets.iter().filter_map(|target| self.graph.at(*target)));
        if call.is_some() && has_no_frame {
            ways.exit = Some(Exit::TailCall);
            return Ok(());
        }
        ways.call = None;
        if ways.next.is_empty() { Err(unclear(node, "a jump whose targets are not known")) } else { Ok(()) }
    }

    /// The targets of the one table whose address the instructions right before a jump take; empty if that is not certain.
    fn table_before(&self, index: usize) -> Vec<LinkAddress> {
        let Some(jump) = self.graph.nodes().get(index) else { return Vec::new() };
        if jump.instruction.op0_kind() == OpKind::Memory {
            return jump.operands.memory.map(|table| self.targets(table)).unwrap_or_default();
        }
        let mut added = None;
        let through = jump.instruction.op0_register().full_register();
        let mut later = jump;
        for back in 1..=12.min(index) {
            // Whoever jumps in between may bring another table's address.
            if self.labels.contains(&later.instruction.ip()) {
                break;
            }
            let Some(node) = self.graph.nodes().get(index - back) else { break };
            let instruction = &node.instruction;
            if instruction.flow_control() != FlowControl::Next || node.behind() != later.address() {
                break;
            }
            later = node;
            let writes = |register: Register| {
                instruction.op_count() > 0
                    && instruction.op0_kind() == OpKind::Register
                    && instruction.op0_register().full_register() == register
            };
            match (added, instruction.mnemonic()) {
                (None, Mnemonic::Add) if writes(through) && instruction.op1_kind() == OpKind::Register => {
                    added = Some(instruction.op1_register().full_register());
                }
                (None, _) if writes(through) => return self.absolute_table(node),
                // The table's address is one of the two that were added.
                (Some(other), Mnemonic::Lea) if writes(other) || writes(through) => {
                    return node.operands.memory.map(|table| self.targets(table)).unwrap_or_default();
                }
                (Some(other), Mnemonic::Movsxd) if writes(other) || writes(through) => {}
                (Some(other), _) if writes(other) || writes(through) => break,
                _ => {}
            }
        }
        Vec::new()
    }

    /// `mov table(,%rax,8),%rax; jmp *%rax` of a fixed-address program.
    fn absolute_table(&self, node: &Node) -> Vec<LinkAddress> {
        let is_load = node.instruction.mnemonic() == Mnemonic::Mov && node.instruction.op1_kind() == OpKind::Memory;
        node.operands.memory.filter(|_| is_load).map(|table| self.targets(table)).unwrap_or_default()
    }

    fn targets(&self, table: Symbolic) -> Vec<LinkAddress> {
        match table {
            Symbolic::Address(address) | Symbolic::Memory(address) => self.image.targets_of_table(self.graph.function, address),
            _ => Vec::new(),
        }
    }

    /// An exception that passes through a call may lead to a handler.
    fn add_landing_pads(&self, all: &mut [Ways]) -> Result<(), Unclear> {
        let at = self.graph.nodes().first().map(Node::address).unwrap_or_default();
        let pads = self.image.landing_pads(self.graph.function);
        let pads = pads.ok_or(Unclear { at, what: "its table of exception handlers" })?;
        if pads.is_empty() {
            return Ok(());
        }
        for (node, ways) in self.graph.nodes().iter().zip(all) {
            let at = node.address();
            let covering = pads.iter().filter(|(start, end, _)| (*start..*end).contains(&at));
            for (_, _, pad) in covering.filter(|_| ways.call.is_some()) {
                let pad = self.graph.at(*pad).ok_or(Unclear { at: *pad, what: "an exception handler elsewhere" })?;
                ways.next.push(pad);
            }
        }
        Ok(())
    }

    /// From every call control may be back behind a `setjmp`.
    fn add_second_returns(&self, all: &mut [Ways]) {
        let twice = |ways: &Ways| ways.call.is_some_and(|callee| self.returns_twice(callee));
        let returns: Vec<u32> = all.iter().filter(|ways| twice(ways)).flat_map(|ways| ways.next.clone()).collect();
        if returns.is_empty() {
            return;
        }
        for ways in all.iter_mut().filter(|ways| ways.call.is_some() && ways.exit != Some(Exit::TailCall)) {
            ways.next.extend(&returns);
        }
    }
}

/// Instructions that no control comes back from although they are no branches.
fn is_trap(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2 | Mnemonic::Hlt | Mnemonic::Int3 | Mnemonic::Int1
    ) || instruction.mnemonic() == Mnemonic::Int && instruction.immediate8() != 0x80
}

fn unclear(node: &Node, what: &'static str) -> Unclear {
    Unclear { at: node.address(), what }
}
