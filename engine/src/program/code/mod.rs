//! Machine code of one build, and what differs between two: which functions are the same instructions modulo relocation (`PROOF` §3),
//! who calls whom, and what tail calls hide.
//!
//! Everything here is conservative: code that is not understood is different code.

mod accesses;
mod bases;
mod calls;
mod compare;
mod constants;
mod diff;
mod facts;
mod frame_reads;
mod functions;
mod handlers;
mod image;
mod jumps;
mod layout;
mod names;
mod objects;
mod operands;
mod pair;
mod reference;
mod referents;
mod scan;
mod signatures;
mod slots;
mod text;
mod thread;
mod writers;

#[cfg(test)]
mod tests;

pub use accesses::Access;
pub use calls::{CallGraph, Closure, TailPath};
pub use compare::{Comparer, Comparison, Difference, LiteralChange, Pairing, Reason};
pub use diff::{Fate, FunctionDiff, ObjectPairing};
pub use facts::RegisterSet;
pub use frame_reads::{FrameCode, FrameRead, Slots};
pub use functions::{Function, FunctionId, Inventory, Part, Place};
pub use image::CodeImage;
pub use names::CloneKinds;
pub use operands::{Operands, Symbolic};
pub use reference::{CallSite, Callee};
pub use signatures::{Arguments, Results};
pub use slots::ImportId;
pub use writers::Writers;
