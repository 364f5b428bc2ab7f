//! The type of cancellation that a waiting function of the C library sets for as long as it waits, and would have put back.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Thread;
use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind, Register};

use super::Reason;
use super::wait::Wait;
use crate::plan::link::scope::LoadedLibrary;
use crate::plan::rewrite::Patch;
use crate::plan::safe_point::Examiner;
use crate::plan::source::read_word;

/// The function that sets the type for the program; by it is told where the thread's record has it.
const SETTER: &str = "pthread_setcanceltype";
/// Offset of the pointer to itself in the thread's record (`tcbhead_t::self`).
const SELF: u64 = 0x10;
/// CANCELTYPE_BITMASK (nptl/descr.h).
const ASYNCHRONOUS: u64 = 2;

/// The words that put the type back.
pub(super) fn given_back(examiner: &Examiner<'_>, thread: &Thread, wait: &Wait) -> Result<Vec<Patch>, Reason> {
    let Some(loaded) = wait.library.and_then(|library| examiner.libraries.get(library)) else { return Ok(Vec::new()) };
    let unknown = || Reason::lasting("where this C library keeps a thread's type of cancellation is not known");
    let offset = offset(loaded).ok_or_else(unknown)?;
    let at = RunAddress(thread.registers.fs_base.wrapping_add(offset));
    let word = read_word(examiner.memory, at).map_err(|error| Reason::lasting(error.to_string()))?;
    if word & ASYNCHRONOUS == 0 {
        return Ok(Vec::new());
    }
    // Nobody else sets it if nobody else knows the function that does.
    let knows =
        |elf: &crate::program::elf::Elf| elf.dynamic_symbols.iter().any(|symbol| !symbol.defined && symbol.name == SETTER);
    let others = examiner.libraries.iter().map(|loaded| &loaded.library.elf).chain([&examiner.view.old.elf]);
    if others.into_iter().any(knows) {
        return Err(Reason::lasting(
            "the thread can be cancelled at any instant, and whether the program wants that is not known",
        ));
    }
    Ok(vec![Patch { address: at, word: word & !ASYNCHRONOUS }])
}

/// Where the thread's record has its state of cancellation.
fn offset(loaded: &LoadedLibrary<'_>) -> Option<u64> {
    let elf = &loaded.library.elf;
    let symbol = elf.dynamic_symbols.iter().find(|symbol| symbol.defined && symbol.name == SETTER)?;
    let code = elf.file_bytes(symbol.address, symbol.size)?;
    let all: Vec<Instruction> = Decoder::with_ip(64, code, symbol.address.0, DecoderOptions::NONE).iter().collect();
    let takes_record = |one: &Instruction| {
        one.segment_prefix() == Register::FS && one.memory_base() == Register::None && one.memory_displacement64() == SELF
    };
    let first = all.iter().position(takes_record)?;
    let record = all.get(first).filter(|one| one.op0_kind() == OpKind::Register)?.op0_register();
    let reads = all.get(first + 1..)?.iter().find(|one| one.memory_base() == record)?;
    // A word is patched whole.
    let offset = reads.memory_displacement64();
    (reads.memory_index() == Register::None && offset.is_multiple_of(8)).then_some(offset)
}
