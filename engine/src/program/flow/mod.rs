//! One function's machine code as a flow of data: its graph, what each instruction reads and writes down to the bit, which locations are
//! live at a point, and where their values come from. Knows no process and no other build.

mod bits;
mod blocks;
mod dominators;
mod edges;
mod effects;
mod escape;
mod forward;
mod frame;
mod graph;
mod live;
mod objects;
mod stack;
#[cfg(test)]
mod tests;
mod values;

pub use blocks::Blocks;
pub use dominators::{Dominators, ENTRY};
pub use effects::{Access, Effects, Location, Reach, Touch, Writes};
pub use escape::Escapes;
pub use graph::{Exit, Graph, Node, Unclear};
pub use live::{Live, LiveKind, LivePlace, Liveness};
pub use stack::{FrameValue, StackStates};
pub use values::{Binary, Function, Place, Term, ValueId, Values, may_store};
