//! One build of a program: ELF, symbols, DWARF, unwinding, machine code. Reads bytes, knows no process.

pub mod address;
pub mod build;
pub mod code;
pub mod compare_types;
pub mod dwarf;
pub mod elf;
pub mod error;
pub mod flow;
pub mod fresh;
pub mod types;
pub mod unwind;
pub mod variables;

#[cfg(test)]
pub(crate) mod testing;
