//! Straight runs of instructions: entered at the first one, left behind the last one.

use std::ops::Range;

use super::graph::Node;

/// The runs of a graph.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    ranges: Vec<Range<u32>>,
    of_node: Vec<u32>,
}

impl Blocks {
    pub(super) fn new(nodes: &[Node]) -> Self {
        let mut blocks = Self::default();
        let mut start = 0;
        for (index, node) in (0u32..).zip(nodes) {
            let next = nodes.get(index as usize + 1);
            let goes_on = node.next == [index + 1] && next.is_some_and(|next| next.before.len() == 1);
            blocks.of_node.push(blocks.ranges.len() as u32);
            if !goes_on {
                blocks.ranges.push(start..index + 1);
                start = index + 1;
            }
        }
        blocks
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The nodes of a block.
    pub fn nodes(&self, block: u32) -> Range<u32> {
        self.ranges.get(block as usize).cloned().unwrap_or_default()
    }

    /// The block of a node.
    pub fn of(&self, node: u32) -> u32 {
        self.of_node.get(node as usize).copied().unwrap_or_default()
    }
}
