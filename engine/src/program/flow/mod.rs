//! One function's machine code as a flow of data: its graph, what each instruction reads and writes down to the bit, which locations are
//! live at a point, and where their values come from. Knows no process and no other build.

mod dominators;
mod edges;
mod escape;
mod graph;
mod live;
mod stack;
#[cfg(test)]
mod tests;
mod values;

pub use dominators::{Dominators, ENTRY};
pub use escape::Escapes;
pub use graph::{Exit, Graph, Node, Unclear};
pub use live::{Live, LiveKind, LivePlace, Liveness};
pub use stack::{FrameValue, StackStates};
pub use values::{Binary, Function, Place, Term, ValueId, Values, may_store};
