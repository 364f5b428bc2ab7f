//! One function's machine code as a flow of data: its graph, what each instruction reads and writes down to the bit, which locations are
//! live at a point, and where their values come from. Knows no process and no other build.

mod edges;
mod graph;
mod stack;
#[cfg(test)]
mod tests;

pub use graph::{Exit, Graph, Node, Unclear};
pub use stack::{FrameValue, StackStates};
