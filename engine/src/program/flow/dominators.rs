//! Which instructions every way to another one passes (Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm", 2001).

use super::graph::Graph;

/// The node of a function's first instruction.
pub const ENTRY: u32 = 0;

/// For each node the last one that every way from the entry to it passes.
#[derive(Clone, Debug)]
pub struct Dominators {
    immediate: Vec<Option<u32>>,
    /// Position in reverse postorder.
    order: Vec<u32>,
}

impl Dominators {
    /// Of all nodes that the entry leads to.
    pub fn new(graph: &Graph) -> Self {
        let postorder = postorder(graph);
        let count = graph.nodes().len();
        let mut order = vec![u32::MAX; count];
        for (position, node) in (0u32..).zip(postorder.iter().rev()) {
            order[*node as usize] = position;
        }
        let mut found = Self { immediate: vec![None; count], order };
        let entry = ENTRY;
        found.immediate[entry as usize] = Some(entry);
        let mut changed = true;
        while changed {
            changed = false;
            for node in postorder.iter().rev().copied().filter(|node| *node != entry) {
                let known = graph.nodes()[node as usize].before.iter().copied();
                let mut known = known.filter(|before| found.immediate[*before as usize].is_some());
                let Some(first) = known.next() else { continue };
                let common = known.fold(first, |a, b| found.meet(a, b));
                if found.immediate[node as usize] != Some(common) {
                    found.immediate[node as usize] = Some(common);
                    changed = true;
                }
            }
        }
        found
    }

    /// The last node before `node` that every way to it passes; none for the entry and for what nothing leads to.
    pub fn immediate(&self, node: u32) -> Option<u32> {
        self.immediate.get(node as usize).copied().flatten().filter(|immediate| *immediate != node)
    }

    /// Whether every way to `node` passes `other`; a node passes itself.
    pub fn passes(&self, node: u32, other: u32) -> bool {
        let mut here = Some(node);
        while let Some(at) = here {
            if at == other {
                return true;
            }
            here = self.immediate(at);
        }
        false
    }

    /// Whether the entry leads to it.
    pub fn is_reached(&self, node: u32) -> bool {
        self.immediate.get(node as usize).is_some_and(Option::is_some)
    }

    fn meet(&self, mut a: u32, mut b: u32) -> u32 {
        let position = |node: u32| self.order.get(node as usize).copied().unwrap_or(u32::MAX);
        let above = |node: u32| self.immediate.get(node as usize).copied().flatten().unwrap_or(node);
        while a != b {
            while position(a) > position(b) {
                a = above(a);
            }
            while position(b) > position(a) {
                b = above(b);
            }
        }
        a
    }
}

fn postorder(graph: &Graph) -> Vec<u32> {
    let mut seen = vec![false; graph.nodes().len()];
    let mut order = Vec::new();
    let entry = ENTRY;
    seen[entry as usize] = true;
    let mut open = vec![(entry, 0)];
    while let Some((node, position)) = open.last_mut() {
        match graph.nodes()[*node as usize].next.get(*position) {
            Some(next) => {
                *position += 1;
                let next = *next;
                if !seen[next as usize] {
                    seen[next as usize] = true;
                    open.push((next, 0));
                }
            }
            None => {
                order.push(*node);
                open.pop();
            }
        }
    }
    order
}
