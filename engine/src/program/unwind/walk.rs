//! The walk itself: from one frame's registers to its caller's, until the base.

use dsu_formats::address::RunAddress;
use gimli::UnwindContext;

use super::expression::evaluate;
use super::memory::{Memory, ReadError};
use super::modules::{ModuleAt, ModuleMap};
use super::registers::{Known, Place, RegisterValue, Registers, dwarf, in_machine, is_callee_saved};
use super::row::{Cfa, Row, Rule};
use super::signal;
use super::stack::{Base, End, Frame, Incomplete, Stack};

/// Frames after which a walk gives up: an 8 MiB stack of small frames.
pub const DEFAULT_MAX_FRAMES: usize = 100_000;

/// Walks stacks; keeps its working storage from one walk to the next.
pub struct Unwinder<'m, M: ModuleMap + ?Sized> {
    modules: &'m M,
    context: UnwindContext<usize>,
    max_frames: usize,
}

/// The registers of the frame in hand.
struct Cursor {
    pc: RunAddress,
    /// Whether `pc` is the next instruction itself rather than a return address.
    exact: bool,
    registers: Known,
    /// Frame address of the callee, which this frame's must exceed; none after a signal, which may switch stacks.
    below: Option<RunAddress>,
}

impl<'m, M: ModuleMap + ?Sized> Unwinder<'m, M> {
    /// An unwinder over the modules of one process.
    pub fn new(modules: &'m M) -> Self {
        Self { modules, context: UnwindContext::new(), max_frames: DEFAULT_MAX_FRAMES }
    }

    /// Gives up after `frames` frames instead of [`DEFAULT_MAX_FRAMES`].
    pub fn with_max_frames(mut self, frames: usize) -> Self {
        self.max_frames = frames;
        self
    }

    /// Walks the stack of a stopped thread. `read` fills a buffer from its memory; pages are read whole where that works.
    pub fn walk<E>(&mut self, registers: &Registers, mut read: impl FnMut(RunAddress, &mut [u8]) -> Result<(), E>) -> Stack
    where
        E: Into<ReadError>,
    {
        let mut reader = |address: RunAddress, buffer: &mut [u8]| read(address, buffer).map_err(Into::into);
        let mut memory = Memory::new(&mut reader);
        let mut cursor = Cursor { pc: registers.pc, exact: true, registers: in_machine(registers), below: None };
        let mut frames = Vec::new();
        loop {
            if frames.len() >= self.max_frames {
                let end = End::Incomplete(Incomplete::TooDeep { pc: cursor.pc, limit: self.max_frames });
                return Stack { frames, end };
            }
            match self.step(&mut cursor, &mut memory, &mut frames) {
                Ok(None) => {}
                Ok(Some(base)) => return Stack { frames, end: End::Complete(base) },
                Err(reason) => return Stack { frames, end: End::Incomplete(reason) },
            }
        }
    }

    /// Adds the frame in hand and goes on to its caller; the base is told.
    fn step(
        &mut self,
        cursor: &mut Cursor,
        memory: &mut Memory<'_>,
        frames: &mut Vec<Frame>,
    ) -> Result<Option<Base>, Incomplete> {
        let place = self.place(cursor, memory)?;
        let Cursor { pc, registers, below, .. } = *cursor;
        let cfa = frame_address(&place.row, pc, &registers, memory)?;
        if let Some(below) = below
            && !place.row.is_signal_frame
            && cfa <= below
        {
            return Err(Incomplete::NotAbove { pc, cfa, below });
        }
        let mut frame = Frame {
            pc,
            lookup: place.lookup,
            module: place.module.map(|module| (module.index, module.link(place.lookup))),
            cfa,
            return_slot: None,
            registers,
            is_signal_frame: place.row.is_signal_frame,
        };
        let [general @ .., return_rule] = place.row.rules;
        if matches!(return_rule, Rule::Undefined) {
            frames.push(frame);
            return Ok(Some(Base::UndefinedReturnAddress { pc }));
        }
        let scene = Scene { pc, cfa, registers: &registers };
        let returned = scene.apply(return_rule, memory)?;
        if let Some(RegisterValue { place: Place::Slot(slot), .. }) = returned {
            frame.return_slot = Some(slot);
        }
        let mut caller: Known = [None; 16];
        for (number, (slot, rule)) in caller.iter_mut().zip(general).enumerate() {
            *slot = scene.general(number, rule, memory)?;
        }
        frames.push(frame);
        let Some(returned) = returned else {
            return Err(Incomplete::LostRegister { pc, register: dwarf::RETURN_ADDRESS as u16 });
        };
        if returned.value == 0 {
            return Ok(Some(Base::ZeroReturnAddress { pc }));
        }
        let exact = place.row.is_signal_frame;
        *cursor = Cursor { pc: RunAddress(returned.value), exact, registers: caller, below: Some(cfa) };
        Ok(None)
    }

    /// The module and the row that hold for the frame in hand.
    fn place(&mut self, cursor: &Cursor, memory: &mut Memory<'_>) -> Result<Located<'m>, Incomplete> {
        let pc = cursor.pc;
        let mut lookup = if cursor.exact { pc } else { RunAddress(pc.0.wrapping_sub(1)) };
        // A handler returns to the first byte of its trampoline: the byte before may belong to another function.
        if !cursor.exact
            && let Some(module) = self.modules.module_at(pc)
            && module.unwind.is_signal_trampoline(module.link(pc))
        {
            lookup = pc;
        }
        let module = self.modules.module_at(lookup);
        if let Some(module) = module {
            match module.unwind.row(module.link(lookup), &mut self.context) {
                Some(Ok(row)) => return Ok(Located { row, module: Some(module), lookup }),
                Some(Err(source)) => return Err(Incomplete::CorruptCfi { pc, source }),
                None => {}
            }
        }
        if signal::is_trampoline(pc, memory) {
            return Ok(Located { row: signal::row(), module: self.modules.module_at(pc), lookup: pc });
        }
        Err(match module {
            Some(module) => Incomplete::NoCfi { pc, link: module.link(lookup) },
            None => Incomplete::NoModule { pc },
        })
    }
}

/// Where a frame's code is described.
struct Located<'a> {
    row: Row<'a>,
    module: Option<ModuleAt<'a>>,
    lookup: RunAddress,
}

/// A frame in which rules are applied.
struct Scene<'a> {
    pc: RunAddress,
    cfa: RunAddress,
    registers: &'a Known,
}

impl Scene<'_> {
    /// A general register of the caller. Without a rule the ABI decides: callee-saved registers keep their value, the stack pointer
    /// is the frame address, the others are lost.
    fn general(&self, number: usize, rule: Rule<'_>, memory: &mut Memory<'_>) -> Result<Option<RegisterValue>, Incomplete> {
        match rule {
            Rule::Unspecified if number == dwarf::RSP => Ok(Some(RegisterValue { value: self.cfa.0, place: Place::Computed })),
            Rule::Unspecified if !is_callee_saved(number) => Ok(None),
            Rule::Unspecified | Rule::SameValue => Ok(self.registers.get(number).copied().flatten()),
            rule => self.apply(rule, memory),
        }
    }

    fn apply(&self, rule: Rule<'_>, memory: &mut Memory<'_>) -> Result<Option<RegisterValue>, Incomplete> {
        let pc = self.pc;
        let computed = |value| Ok(Some(RegisterValue { value, place: Place::Computed }));
        let slot = match rule {
            Rule::Undefined => return Ok(None),
            Rule::Unspecified => return Err(Incomplete::UnsupportedCfi { pc, what: "no rule for the return address" }),
            Rule::SameValue => return Err(Incomplete::UnsupportedCfi { pc, what: "a return address that stays the same" }),
            Rule::Unsupported(what) => return Err(Incomplete::UnsupportedCfi { pc, what }),
            Rule::Register(register) => {
                return Ok(self.registers.get(usize::from(register)).copied().flatten());
            }
            Rule::ValOffset(offset) => return computed(self.cfa.0.wrapping_add_signed(offset)),
            Rule::ValExpression(code) => {
                return computed(evaluate(code, Some(self.cfa.0), pc, self.registers, memory)?);
            }
            Rule::Offset(offset) => self.cfa.0.wrapping_add_signed(offset),
            Rule::Expression(code) => evaluate(code, Some(self.cfa.0), pc, self.registers, memory)?,
            Rule::StackWord(offset) => known(dwarf::RSP as u16, pc, self.registers)?.wrapping_add_signed(offset),
        };
        let slot = RunAddress(slot);
        let value = memory.word(slot).map_err(|source| Incomplete::Memory { pc, address: slot, source })?;
        Ok(Some(RegisterValue { value, place: Place::Slot(slot) }))
    }
}

fn frame_address(row: &Row<'_>, pc: RunAddress, registers: &Known, memory: &mut Memory<'_>) -> Result<RunAddress, Incomplete> {
    Ok(RunAddress(match row.cfa {
        Cfa::RegisterAndOffset { register, offset } => known(register, pc, registers)?.wrapping_add_signed(offset),
        Cfa::Expression(code) => evaluate(code, None, pc, registers, memory)?,
        Cfa::StackWord(offset) => {
            let address = RunAddress(known(dwarf::RSP as u16, pc, registers)?.wrapping_add_signed(offset));
            memory.word(address).map_err(|source| Incomplete::Memory { pc, address, source })?
        }
    }))
}

fn known(register: u16, pc: RunAddress, registers: &Known) -> Result<u64, Incomplete> {
    let value = registers.get(usize::from(register)).copied().flatten();
    value.map(|known| known.value).ok_or(Incomplete::LostRegister { pc, register })
}
