//! Registers that nobody reads again: what the base of a thread began with, kept by the frames above which it lies.

use std::collections::HashSet;

use dsu_formats::address::{RunAddress, RunRange};

use super::rebuild::KEPT;
use crate::program::unwind::{Frame, Place};

/// Where glibc's `__jmp_buf` has the stack pointer, in bytes; before it the registers of [`KEPT`] in order, and the frame pointer mangled
/// like it (sysdeps/x86_64/jmpbuf-offsets.h).
pub const JUMP_POINTER: u64 = 48;

/// The callee-saved registers of threads' bases. Code that a thread begins with gives control away for good: it reads none of them.
#[derive(Clone, Debug, Default)]
pub struct IdleRegisters {
    /// Where frames have saved one.
    slots: HashSet<RunAddress>,
    /// Threads that still have one in the machine, with its DWARF number.
    machine: HashSet<(i32, usize)>,
    /// Frames, ascending, with those that each passes on, by their bits in the order of [`KEPT`].
    frames: Vec<(RunRange, u8)>,
}

impl IdleRegisters {
    /// Adds a thread that was unwound to its base.
    pub fn add(&mut self, tid: i32, frames: &[Frame]) {
        let Some(base) = frames.last() else { return };
        let place = |frame: &Frame, register: usize| frame.registers.get(register).copied().flatten().map(|known| known.place);
        for register in KEPT {
            match place(base, register) {
                Some(Place::Slot(slot)) => drop(self.slots.insert(slot)),
                Some(Place::Register(number)) => drop(self.machine.insert((tid, number.into()))),
                Some(Place::Computed) | None => {}
            }
        }
        for frame in frames {
            let passes =
                |register: &usize| place(frame, *register).is_some() && place(frame, *register) == place(base, *register);
            let bits =
                KEPT.iter().enumerate().filter(|(_, register)| passes(register)).fold(0, |bits, (index, _)| bits | 1 << index);
            let low = place_of_pointer(frame).unwrap_or(frame.cfa.0);
            self.frames.push((RunRange { start: RunAddress(low.min(frame.cfa.0)), end: frame.cfa }, bits));
        }
        self.frames.sort_unstable();
    }

    /// Whether a thread has such a register in the machine.
    pub fn is_register(&self, tid: i32, register: usize) -> bool {
        self.machine.contains(&(tid, register))
    }

    /// Whether the word at `address` is such a register, saved by a frame or in a jump buffer; `plain` reads a word and demangles it.
    pub fn is_word(&self, address: RunAddress, plain: impl Fn(RunAddress) -> Option<u64>) -> bool {
        if self.slots.contains(&address) {
            return true;
        }
        (0..KEPT.len() as u64).any(|index| {
            let pointer = address.0.checked_sub(8 * index).and_then(|buffer| buffer.checked_add(JUMP_POINTER));
            let pointer = pointer.filter(|_| !self.frames.is_empty()).and_then(|pointer| plain(RunAddress(pointer)));
            pointer.and_then(|pointer| self.passed_by(RunAddress(pointer))).is_some_and(|bits| bits & (1 << index) != 0)
        })
    }

    /// What the frame that holds `address` passes on.
    fn passed_by(&self, address: RunAddress) -> Option<u8> {
        let index = self.frames.partition_point(|frame| frame.0.start <= address).checked_sub(1)?;
        self.frames.get(index).filter(|frame| frame.0.contains(address)).map(|frame| frame.1)
    }
}

fn place_of_pointer(frame: &Frame) -> Option<u64> {
    frame.registers.get(crate::program::unwind::dwarf::RSP).copied().flatten().map(|pointer| pointer.value)
}
