//! Stack unwinding by call frame information, over registers and memory that the caller supplies.
//!
//! [`UnwindIndex`] is made of a module before anything is stopped; [`Unwinder`] then walks a stack. A walk says whether it
//! reached the thread's base ([`End::Complete`]) or why it did not: an incomplete stack proves nothing.

mod expression;
mod frame_rows;
mod index;
mod memory;
mod modules;
mod registers;
mod row;
mod rules;
mod signal;
mod stack;
mod walk;

#[cfg(test)]
mod tests;

pub use frame_rows::{FrameRow, SavedAt};
pub use index::{CfiDefect, UnwindIndex};
pub use modules::{LoadedModule, ModuleAt, ModuleMap};
pub use registers::{Place, RegisterValue, Registers, dwarf};
pub use rules::{FrameRules, SavedRegister};
pub use stack::{Base, End, Frame, Incomplete, Stack};
pub use walk::{DEFAULT_MAX_FRAMES, Unwinder};
