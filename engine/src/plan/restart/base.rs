//! Who called the function that gives way, and what it was given, by the code and memory of whoever did.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Thread;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

use super::{Reason, function};
use crate::plan::safe_point::Examiner;
use crate::plan::source::read_word;
use crate::program::unwind::{Frame, dwarf};

/// Who called it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The C library, as a program's `main`.
    Start {
        /// Number of arguments.
        count: u64,
        /// The list of arguments.
        arguments: RunAddress,
        /// The environment as it began.
        environment: RunAddress,
    },
    /// The C library, as what a thread begins with.
    Thread {
        /// Where the thread's record has the argument.
        argument: RunAddress,
    },
    /// Another function, which is to see a result.
    Other,
}

/// Who called `frame`, given the frames outside it.
pub(super) fn caller(examiner: &Examiner<'_>, thread: &Thread, frame: &Frame, outer: &[Frame]) -> Result<Caller, Reason> {
    let Some(above) = outer.first() else { return Err(Reason::lasting("nothing called it")) };
    let Some((module, _)) = above.module else { return Err(Reason::passing("a signal called it")) };
    let Some(library) = module.checked_sub(1) else { return Ok(Caller::Other) };
    let loaded = examiner.libraries.get(library).filter(|loaded| loaded.library.is_libc());
    let Some(loaded) = loaded else { return Ok(Caller::Other) };
    let is_main = function(examiner, frame).is_some_and(|(_, name)| name == "main");
    if is_main && outer.last().is_some_and(|last| function(examiner, last).is_some_and(|(_, name)| name == "_start")) {
        return start(examiner);
    }
    let returns = above.pc.0.wrapping_sub(loaded.bias);
    let Some((from, to)) = above.module.and_then(|(_, link)| loaded.library.unwind.range(link)) else { return Ok(Caller::Other) };
    let code = to.0.checked_sub(from.0).and_then(|length| loaded.library.elf.file_bytes(from, length));
    let all: Vec<Instruction> = Decoder::with_ip(64, code.unwrap_or_default(), from.0, DecoderOptions::NONE).iter().collect();
    let Some(call) = all.iter().position(|one| one.next_ip() == returns && one.flow_control() == FlowControl::IndirectCall)
    else {
        return Ok(Caller::Other);
    };
    let straight = all.get(..call).unwrap_or_default().iter().rev().take_while(|one| one.flow_control() == FlowControl::Next);
    let before: Vec<Instruction> = straight.copied().collect();
    let record = Record { examiner, thread, above, before: &before };
    let argument = before.iter().position(|one| sets(one, Register::RDI)).and_then(|at| Some((at, before.get(at)?)));
    let argument = argument.filter(|(_, one)| one.code() == Code::Mov_r64_rm64);
    let argument = argument.and_then(|(at, one)| record.place(one, before.get(at + 1..).unwrap_or_default()));
    let routine = all.get(call).and_then(|one| record.place(one, &before));
    let routine = routine.and_then(|slot| read_word(examiner.memory, slot).ok());
    let begins = routine.and_then(|routine| examiner.placement.old_link(routine)).map(|link| link.0);
    let runs = function(examiner, frame).and_then(|(index, _)| examiner.view.sides.old.functions.list().get(index));
    match argument {
        Some(argument) if begins.is_some() && begins == runs.map(|code| code.entry) => Ok(Caller::Thread { argument }),
        _ => Ok(Caller::Other),
    }
}

/// The thread's own record, as the code that calls what the thread begins with reaches it.
struct Record<'r, 'e> {
    examiner: &'r Examiner<'e>,
    thread: &'r Thread,
    /// The frame of that code.
    above: &'r Frame,
    /// The instructions before the call without a branch between, last first.
    before: &'r [Instruction],
}

impl Record<'_, '_> {
    /// The word of the record that an instruction reads (`%fs:0x640`, or through a register); `before` are those before it, last first.
    fn place(&self, one: &Instruction, before: &[Instruction]) -> Option<RunAddress> {
        if one.memory_index() != Register::None {
            return None;
        }
        let base = self.thread.registers.fs_base;
        let place = RunAddress(base.wrapping_add(one.memory_displacement64()));
        match one.memory_base() {
            Register::None if one.segment_prefix() == Register::FS => Some(place),
            Register::RIP | Register::EIP | Register::RSP | Register::None => None,
            register => (self.value(register, before)? == base).then_some(place),
        }
    }

    /// What a register holds that the code before has read from its own frame.
    fn value(&self, register: Register, before: &[Instruction]) -> Option<u64> {
        debug_assert!(before.len() <= self.before.len());
        let made = before.iter().find(|one| sets(one, register))?;
        let from_frame = made.code() == Code::Mov_r64_rm64
            && made.memory_base() == Register::RSP
            && made.memory_index() == Register::None
            && made.op1_kind() == OpKind::Memory;
        let pointer = self.above.registers.get(dwarf::RSP).copied().flatten()?.value;
        let slot = RunAddress(pointer.wrapping_add(made.memory_displacement64()));
        from_frame.then(|| read_word(self.examiner.memory, slot).ok()).flatten()
    }
}

/// Whether an instruction gives a register a value, as far as its first operand says.
fn sets(one: &Instruction, register: Register) -> bool {
    one.op0_kind() == OpKind::Register && one.op0_register().full_register() == register
}

/// What the kernel put on the first stack (`fs/binfmt_elf.c`, `create_elf_tables`), which the C library gives to `main`.
fn start(examiner: &Examiner<'_>) -> Result<Caller, Reason> {
    const MOST: u64 = 1 << 20;
    let layout = &examiner.space.layout;
    let lost = || Reason::lasting("the list of the program's arguments is not where the kernel put it: give `arguments`");
    let word = |at: u64| read_word(examiner.memory, RunAddress(at)).map_err(|_| lost());
    let from = layout.start_stack.0;
    let count = word(from)?;
    let arguments = from.saturating_add(8);
    if count > MOST || !from.is_multiple_of(8) {
        return Err(lost());
    }
    let end = arguments.saturating_add(8 * count);
    // A list that a loader moved begins elsewhere.
    let begins = count == 0 || word(arguments)? == layout.arg_start.0;
    if !begins || word(end)? != 0 {
        return Err(lost());
    }
    Ok(Caller::Start { count, arguments: RunAddress(arguments), environment: RunAddress(end.saturating_add(8)) })
}
