//! What rebuilt frames hold, and what changes in carried ones below them: values, saved registers, return addresses.

mod besides;
mod scene;

use std::collections::BTreeMap;

use dsu_formats::address::RunAddress;

use super::continuation::{Condition, Continuation, FramePlace, Held, Placed};
use super::layout::{Layout, Position, Rebuilt, Tie, entered};
use super::rebuild_value;
use super::said::Said;
use crate::plan::address::{NewLink, OldLink};
use crate::program::unwind::{Frame, Place, RegisterValue, dwarf};

/// Registers that a called function keeps (System V ABI, figure 3.4), in the order of glibc's `__jmp_buf`; the stack pointer follows from
/// the layout.
pub const KEPT: [usize; 6] = [dwarf::RBX, dwarf::RBP, dwarf::R12, dwarf::R13, dwarf::R14, dwarf::R15];

/// The old process, and where its words lead in the new one.
pub trait Follow {
    /// What `word`, held by `place`, becomes; what nothing decides is noted, and stays.
    fn word(&mut self, word: u64, place: Place) -> u64;

    /// The same without a note: `None` where nothing decides it.
    fn quietly(&mut self, word: u64, place: Place) -> Option<u64>;

    /// Whether addresses have 32 bits, so that half a register may hold one.
    fn has_short_addresses(&self) -> bool;

    /// Reads the old process's memory.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&mut self, address: RunAddress, buffer: &mut [u8]) -> Result<(), String>;

    /// Where a carried frame that goes on at `pc` goes on in the new process; what nothing decides is noted.
    fn returns(&mut self, pc: RunAddress, slot: RunAddress) -> u64;

    /// Run-time address of a place of the new program.
    fn address(&self, link: NewLink) -> u64;

    /// What the user gives in a frame, by its number among those of its thread; a pointer follows what it points to, with a note as in [`Follow::word`] where that is wanted.
    ///
    /// # Errors
    /// What cannot be read or computed, or what nothing decides.
    fn said(&mut self, given: &Said, frame: (&[Frame], usize), noted: bool) -> Result<u64, String>;
}

/// Offset of the stack protectors' word from the thread pointer (glibc, `tcbhead_t`).
const CANARY: u64 = 0x28;

/// Registers that the kernel sets itself when it makes a system call again, by DWARF number: rax, rcx and r11.
const LOST_TO_KERNEL: [usize; 3] = [dwarf::RAX, dwarf::RCX, dwarf::R11];
/// Bytes of the `syscall` instruction.
const SYSCALL_LENGTH: u64 = 2;

/// A thread with the layout of its new stack.
pub struct Subject<'a> {
    /// Its frames, innermost first.
    pub frames: &'a [Frame],
    /// Those that are made anew.
    pub rebuilt: &'a [Option<Rebuilt>],
    /// Where they go.
    pub layout: &'a Layout,
    /// Base of the thread's own storage.
    pub thread: u64,
    /// The system call that it makes again.
    pub call: Option<u64>,
}

/// A value that was filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Position in [`Continuation::values`].
    pub value: usize,
    /// What is stored.
    pub word: u64,
}

/// Something that stands against a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuildProblem {
    /// The frame.
    pub frame: usize,
    /// The value that it is about, by its position.
    pub value: Option<usize>,
    /// The condition that it is about, by its position.
    pub condition: Option<usize>,
    /// What it is.
    pub reason: String,
}

/// Everything that one thread's frames hold anew.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// Bytes by their new addresses.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// Words of carried frames, by their old addresses.
    pub overrides: Vec<(RunAddress, u64)>,
    /// Registers of the thread, by DWARF number; the place to go on at has the number of the return address.
    pub registers: Vec<(usize, u64)>,
    /// What was filled in, for each frame.
    pub filled: Vec<Vec<Filled>>,
    /// Registers that a frame does not keep and that its callers find changed: frame, position in [`KEPT`], value.
    pub passed: Vec<(usize, usize, u64)>,
    /// Numbers and addresses that variables of the new program and fields take.
    pub set: Vec<SetWord>,
    /// Calls before the frames go on: function, arguments, as they were written.
    pub calls: Vec<(NewLink, Vec<CallWord>, String)>,
    /// What is in the way.
    pub problems: Vec<RebuildProblem>,
}

/// A number or an address that something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetWord {
    /// Where.
    pub to: SetTo,
    /// Length in bytes, at most 8.
    pub length: u8,
    /// For a bit-field: its first bit from there, and its width.
    pub bits: Option<(u8, u8)>,
    /// What.
    pub word: u64,
    /// The frame that says so.
    pub frame: usize,
}

/// Where a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTo {
    /// There in the new program.
    Link(NewLink),
    /// So many bytes into the thread's block of thread-local variables.
    Thread(u64),
    /// There in the new process; a place-holder for an object that is yet to be made.
    Address(u64),
}

/// An argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallWord {
    /// A number, or a run-time address in the new process.
    Word(u64),
    /// Something of the new program.
    Address(NewLink),
}

/// What a frame's code finds in a register when control comes back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// What it had, followed like any word.
    Old(Option<RegisterValue>),
    /// This.
    New(u64),
}

type View = [Kept; KEPT.len()];

/// Fills in the frames of one thread, from the outermost inwards.
pub fn rebuild(subject: &Subject<'_>, follow: &mut dyn Follow) -> Made {
    let mut made = Made { filled: vec![Vec::new(); subject.frames.len()], ..Made::default() };
    let Some(outermost) = subject.rebuilt.iter().rposition(Option::is_some) else { return made };
    let mut caller = old_view(subject.frames.get(outermost + 1));
    let innermost = entered(subject.rebuilt).unwrap_or(0);
    for number in (innermost..=outermost).rev() {
        let (Some(frame), Some(position)) = (subject.frames.get(number), subject.layout.positions.get(number)) else { continue };
        let view = match subject.rebuilt.get(number).and_then(Option::as_ref) {
            Some(rebuilt) => {
                let mut at = At { subject, number, frame, position: *position, rebuilt, follow };
                if rebuilt.is_entry {
                    at.entered(&caller, &mut made);
                    return made;
                }
                if rebuilt.tie == Tie::Vanishes {
                    caller = at.own_view(&caller);
                    continue;
                }
                at.rebuilt(&caller, &mut made)
            }
            None => carried(subject, number, frame, &caller, &mut made, follow),
        };
        caller = view;
        made.passed.extend(caller.iter().enumerate().filter_map(|(index, kept)| match kept {
            Kept::New(value) => Some((number, index, *value)),
            Kept::Old(_) => None,
        }));
    }
    for (register, kept) in KEPT.into_iter().zip(caller) {
        if let Kept::New(value) = kept {
            made.registers.push((register, value));
        }
    }
    made.registers.extend(subject.layout.positions.first().map(|position| (dwarf::RSP, position.new.0)));
    made
}

/// The words of carried frames that [`rebuild`] overrides, whatever they hold.
pub fn overridden(subject: &Subject<'_>) -> Vec<RunAddress> {
    rebuild(subject, &mut Nothing).overrides.into_iter().map(|(address, _)| address).collect()
}

/// No process: for the places alone.
struct Nothing;

impl Follow for Nothing {
    fn word(&mut self, word: u64, _place: Place) -> u64 {
        word
    }

    fn quietly(&mut self, word: u64, _place: Place) -> Option<u64> {
        Some(word)
    }

    fn has_short_addresses(&self) -> bool {
        false
    }

    fn read(&mut self, _address: RunAddress, buffer: &mut [u8]) -> Result<(), String> {
        buffer.fill(0);
        Ok(())
    }

    fn returns(&mut self, pc: RunAddress, _slot: RunAddress) -> u64 {
        pc.0
    }

    fn address(&self, link: NewLink) -> u64 {
        link.0.0
    }

    fn said(&mut self, _given: &Said, _frame: (&[Frame], usize), _noted: bool) -> Result<u64, String> {
        Ok(0)
    }
}

fn old_view(frame: Option<&Frame>) -> View {
    KEPT.map(|register| Kept::Old(frame.and_then(|frame| frame.registers.get(register).copied().flatten())))
}

/// A carried frame: what it saved for its caller, and where it returns to.
fn carried(subject: &Subject<'_>, number: usize, frame: &Frame, caller: &View, made: &mut Made, follow: &mut dyn Follow) -> View {
    let above = subject.frames.get(number + 1);
    if let (Some(slot), Some(rebuilt)) = (frame.return_slot, subject.rebuilt.get(number + 1).and_then(Option::as_ref)) {
        made.overrides.push((slot, follow.address(rebuilt.continuation.returns_to)));
    }
    std::array::from_fn(|index| {
        let (Some(register), Some(kept)) = (KEPT.get(index), caller.get(index)) else { return Kept::Old(None) };
        let own = frame.registers.get(*register).copied().flatten();
        let callers = above.and_then(|above| above.registers.get(*register).copied().flatten());
        let is_saved = own.map(|own| own.place) != callers.map(|callers| callers.place);
        match (is_saved, callers.map(|callers| callers.place), kept) {
            (false, ..) => *kept,
            (true, Some(Place::Slot(slot)), Kept::New(value)) => {
                made.overrides.push((slot, *value));
                Kept::Old(own)
            }
            (true, ..) => Kept::Old(own),
        }
    })
}

/// One rebuilt frame.
struct At<'a, 'f> {
    subject: &'a Subject<'a>,
    number: usize,
    frame: &'a Frame,
    position: Position,
    rebuilt: &'a Rebuilt,
    follow: &'f mut dyn Follow,
}

impl At<'_, '_> {
    fn rebuilt(&mut self, caller: &View, made: &mut Made) -> View {
        let caller = &self.own_view(caller);
        let continuation = &self.rebuilt.continuation;
        self.conditions(continuation, made);
        let mut registers: BTreeMap<usize, u64> = BTreeMap::new();
        let mut slots: Vec<(i64, Vec<u8>)> = Vec::new();
        for (value, placed) in continuation.values.iter().enumerate() {
            match rebuild_value::evaluate(&placed.value, placed.bits, self) {
                Ok(word) => {
                    let word = place(placed, word, &mut registers, &mut slots);
                    if let Some(filled) = made.filled.get_mut(self.number) {
                        filled.push(Filled { value, word });
                    }
                }
                Err(reason) => self.problem(Some(value), reason, made),
            }
        }
        self.besides(continuation, made);
        let view = self.view(&registers, caller, made);
        if continuation.between {
            self.all_registers(&registers, made);
        }
        self.frame_record(caller, &mut slots, made);
        slots.sort_by_key(|(offset, _)| *offset);
        let overlap = slots.windows(2).any(|pair| match pair {
            [one, next] => one.0.saturating_add(one.1.len() as i64) > next.0 && one != next,
            _ => false,
        });
        if overlap {
            self.problem(None, "two values are placed in the same bytes, or in those of a saved register".to_owned(), made);
        }
        let cfa = self.position.new.1;
        made.writes.extend(slots.into_iter().map(|(offset, bytes)| (cfa.wrapping_add_signed(offset), bytes)));
        view
    }

    /// A thread that enters its function: a return address on the stack, arguments, and what its caller has in registers.
    fn entered(&mut self, caller: &View, made: &mut Made) {
        let continuation = &self.rebuilt.continuation;
        for (value, placed) in continuation.values.iter().enumerate() {
            let FramePlace::Register(register) = placed.place else { continue };
            match rebuild_value::evaluate(&placed.value, placed.bits, self) {
                Ok(word) => {
                    let word = word & placed.bits;
                    made.registers.push((register.into(), word));
                    if let Some(filled) = made.filled.get_mut(self.number) {
                        filled.push(Filled { value, word });
                    }
                }
                Err(reason) => self.problem(Some(value), reason, made),
            }
        }
        for (register, kept) in KEPT.into_iter().zip(caller) {
            match kept {
                Kept::New(value) => made.registers.push((register, *value)),
                Kept::Old(Some(old)) => made.registers.push((register, self.follow.word(old.value, old.place))),
                Kept::Old(None) => {
                    let reason = format!("its caller's register {register} (DWARF number) is not known");
                    self.problem(None, reason, made);
                }
            }
        }
        let mut slots = Vec::new();
        self.frame_record(caller, &mut slots, made);
        let cfa = self.position.new.1;
        made.writes.extend(slots.into_iter().map(|(offset, bytes)| (cfa.wrapping_add_signed(offset), bytes)));
        made.registers.push((dwarf::RSP, self.position.new.0));
        made.registers.push((dwarf::RETURN_ADDRESS, self.follow.address(continuation.returns_to)));
    }

    fn problem(&self, value: Option<usize>, reason: String, made: &mut Made) {
        made.problems.push(RebuildProblem { frame: self.number, value, condition: None, reason });
    }

    fn conditions(&mut self, continuation: &Continuation, made: &mut Made) {
        for (number, condition) in continuation.conditions.iter().enumerate() {
            if let Err(reason) = self.condition(condition) {
                made.problems.push(RebuildProblem { frame: self.number, value: None, condition: Some(number), reason });
            }
        }
    }

    fn condition(&mut self, condition: &Condition) -> Result<(), String> {
        let wanted = rebuild_value::mask(condition.bits);
        let mut quiet = scene::Quiet(self);
        let left = rebuild_value::evaluate(&condition.left, wanted, &mut quiet)?;
        let right = rebuild_value::evaluate(&condition.right, wanted, &mut quiet)?;
        if rebuild_value::holds(condition, left, right) {
            return Ok(());
        }
        let (left, right) = (left & wanted, right & wanted);
        Err(match &condition.argument {
            Some(argument) => {
                let name = &argument.name;
                format!("the new code would give the call that is under way another `{name}`: {right:#x}, not {left:#x}")
            }
            None => format!("the new code is there only if {left:#x} {} {right:#x}", words_of(condition)),
        })
    }

    /// What callers have left in registers: where the old frame has saved one and keeps something of its own there, the new one does not
    /// find it in the machine.
    fn own_view(&mut self, caller: &View) -> View {
        let own = KEPT.map(|register| self.frame.registers.get(register).copied().flatten().map(|known| known.place));
        std::array::from_fn(|index| match (caller.get(index).copied(), own.get(index).copied().flatten()) {
            (Some(Kept::Old(Some(old))), place) if place != Some(old.place) => Kept::New(self.follow.word(old.value, old.place)),
            (Some(kept), _) => kept,
            (None, _) => Kept::Old(None),
        })
    }

    /// Registers that calls do not keep, where no call comes back: in the machine, or in the record of the signal that struck.
    fn all_registers(&mut self, registers: &BTreeMap<usize, u64>, made: &mut Made) {
        let place = self.rebuilt.continuation.returns_to;
        let machine = self.number == 0;
        if let Some(number) = self.subject.call.filter(|_| machine) {
            // The kernel makes the call again, and puts its number into place.
            let is_other = registers.get(&dwarf::RAX).is_none_or(|placed| *placed & u64::from(u32::MAX) != number);
            let reads_lost = LOST_TO_KERNEL.iter().any(|lost| *lost != dwarf::RAX && registers.contains_key(lost));
            if is_other || reads_lost {
                self.problem(None, format!("it makes system call {number} again, and the new code does not"), made);
            }
        }
        for register in (0..16).filter(|register| *register != dwarf::RSP && !KEPT.contains(register)) {
            let is_kernels = machine && self.subject.call.is_some() && LOST_TO_KERNEL.contains(&register);
            if is_kernels && register == dwarf::RAX {
                continue;
            }
            let is_callers = self.rebuilt.continuation.given_back.iter().any(|given| usize::from(*given) == register);
            match registers.get(&register) {
                Some(value) => self.set(register, *value, made),
                None if is_callers => {}
                // What nobody reads is nothing.
                None => self.set(register, 0, made),
            }
        }
        if machine {
            let behind = if self.subject.call.is_some() { SYSCALL_LENGTH } else { 0 };
            let address = self.follow.address(place).wrapping_add(behind);
            made.registers.push((dwarf::RETURN_ADDRESS, address));
        } else {
            self.set(dwarf::RSP, self.position.new.0, made);
        }
    }

    fn set(&self, register: usize, value: u64, made: &mut Made) {
        match self.frame.registers.get(register).copied().flatten().map(|known| known.place) {
            Some(Place::Slot(slot)) => made.overrides.push((slot, value)),
            _ if self.number == 0 => made.registers.push((register, value)),
            _ => {
                self.problem(None, format!("where the signal's record has register {register} (DWARF number) is not known"), made)
            }
        }
    }

    /// What the frame's own code finds in the registers that its callees keep.
    fn view(&mut self, registers: &BTreeMap<usize, u64>, caller: &View, made: &mut Made) -> View {
        let between = self.rebuilt.continuation.between;
        for register in registers.keys().filter(|register| !between && !KEPT.contains(register)) {
            let reason = format!("register {register} (DWARF number) is placed, and no called function keeps it");
            self.problem(None, reason, made);
        }
        let shape = &self.rebuilt.shape;
        let base = shape.base.map(|distance| self.position.new.1.wrapping_sub(distance.cast_unsigned()));
        let mut wrong = Vec::new();
        let view = std::array::from_fn(|index| {
            let (Some(register), Some(kept)) = (KEPT.get(index), caller.get(index)) else { return Kept::Old(None) };
            let placed = registers.get(register).copied();
            if self.rebuilt.continuation.given_back.iter().any(|given| usize::from(*given) == *register) {
                return *kept;
            }
            if let Some(base) = base.filter(|_| *register == dwarf::RBP) {
                if placed.is_some_and(|placed| placed != base) {
                    wrong.push("rbp is the frame's own, and is given another value".to_owned());
                }
                return Kept::New(base);
            }
            let is_saved = shape.saved.get(*register).is_some_and(Option::is_some);
            match (placed, is_saved) {
                (Some(value), true) => Kept::New(value),
                (Some(value), false) => {
                    // The register still is the caller's: what is told of it must be the same.
                    let same = matches!(kept, Kept::New(other) if *other == value)
                        || matches!(kept, Kept::Old(Some(old)) if self.follow.quietly(old.value, old.place) == Some(value));
                    if !same {
                        wrong.push(format!("register {register} (DWARF number) is its caller's, and is given another value"));
                    }
                    *kept
                }
                (None, false) => *kept,
                // Nobody reads it before writing it.
                (None, true) => Kept::New(0),
            }
        });
        wrong.into_iter().for_each(|reason| self.problem(None, reason, made));
        view
    }

    /// Saved registers and the return address.
    fn frame_record(&mut self, caller: &View, slots: &mut Vec<(i64, Vec<u8>)>, made: &mut Made) {
        for (register, kept) in KEPT.into_iter().zip(caller) {
            let Some(offset) = self.rebuilt.shape.saved.get(register).copied().flatten() else { continue };
            let value = match kept {
                Kept::New(value) => *value,
                Kept::Old(Some(old)) => self.follow.word(old.value, old.place),
                Kept::Old(None) => {
                    let reason = format!("its caller's register {register} (DWARF number) is not known");
                    self.problem(None, reason, made);
                    continue;
                }
            };
            slots.push((offset, value.to_le_bytes().to_vec()));
        }
        let above = self.number + 1;
        let next = match self.subject.rebuilt.get(above).and_then(Option::as_ref) {
            Some(caller) => Some(self.follow.address(caller.continuation.returns_to)),
            None => self.subject.frames.get(above).map(|caller| {
                let slot = self.frame.return_slot.unwrap_or(RunAddress(self.frame.cfa.0.wrapping_sub(8)));
                self.follow.returns(caller.pc, slot)
            }),
        };
        // The base of a thread returns nowhere.
        slots.push((-8, next.unwrap_or(0).to_le_bytes().to_vec()));
    }

    fn raw(&mut self, frame: &Frame, place: FramePlace) -> Result<(u64, Place), String> {
        match place {
            FramePlace::Register(register) => {
                let known = frame.registers.get(usize::from(register)).copied().flatten();
                let known =
                    known.ok_or_else(|| format!("what the old frame has in register {register} (DWARF number) is lost"))?;
                Ok((known.value, known.place))
            }
            FramePlace::Slot { offset, length } => {
                let address = RunAddress(frame.cfa.0.wrapping_add_signed(offset));
                let mut bytes = [0; 8];
                let wanted = bytes.get_mut(..usize::from(length)).ok_or("a value of more than eight bytes")?;
                self.follow.read(address, wanted)?;
                Ok((u64::from_le_bytes(bytes), Place::Slot(address)))
            }
        }
    }

    fn is_address(&self, place: FramePlace, wanted: u64) -> bool {
        const HALF: u64 = u32::MAX as u64;
        let length = match place {
            FramePlace::Register(_) => 8,
            FramePlace::Slot { length, .. } => length,
        };
        let is_whole = length == 8 && wanted > HALF;
        is_whole || (length >= 4 && wanted & HALF == HALF && self.follow.has_short_addresses())
    }

    /// What a variable of the old program has, what holds it, and whether it may be an address.
    fn variable(&mut self, link: OldLink, bytes: u8, wanted: u64) -> Result<(u64, Place, bool), String> {
        let (_, lookup) = self.frame.module.filter(|(module, _)| *module == 0).ok_or("the frame's code is not known")?;
        let bias = self.frame.lookup.0.wrapping_sub(lookup.0);
        let address = RunAddress(link.0.0.wrapping_add(bias));
        let mut word = [0; 8];
        self.follow.read(address, word.get_mut(..usize::from(bytes)).ok_or("a value of more than eight bytes")?)?;
        let is_address = self.is_address(FramePlace::Slot { offset: 0, length: bytes }, wanted);
        Ok((u64::from_le_bytes(word), Place::Slot(address), is_address))
    }

    /// What a frame has, what holds it, and whether it may be an address.
    fn held(&mut self, frame: usize, held: Held, wanted: u64) -> Result<(u64, Place, bool), String> {
        let subject = self.subject;
        let frame = subject.frames.get(frame).ok_or("a caller's frame is not known")?;
        match held {
            Held::Place(place) => {
                let (word, holder) = self.raw(frame, place)?;
                Ok((word, holder, self.is_address(place, wanted)))
            }
            Held::Frame(offset) => Ok((frame.cfa.0.wrapping_add_signed(offset), Place::Computed, true)),
            Held::Address(link) => {
                let (_, lookup) = frame.module.ok_or("a caller's code is not known")?;
                let bias = frame.lookup.0.wrapping_sub(lookup.0);
                Ok((link.0.0.wrapping_add(bias), Place::Computed, true))
            }
        }
    }
}

/// Adds a value to what is known; bits that are not read are zero. Gives what is stored.
fn place(placed: &Placed, word: u64, registers: &mut BTreeMap<usize, u64>, slots: &mut Vec<(i64, Vec<u8>)>) -> u64 {
    match placed.place {
        FramePlace::Register(register) => {
            let known = registers.entry(register.into()).or_default();
            *known = (*known & !placed.bits) | (word & placed.bits);
            *known
        }
        FramePlace::Slot { offset, length } => {
            let bytes = word.to_le_bytes();
            slots.push((offset, bytes.get(..usize::from(length)).unwrap_or(&bytes).to_vec()));
            word & rebuild_value::mask(length.saturating_mul(8))
        }
    }
}

fn words_of(condition: &Condition) -> &'static str {
    use super::continuation::Relation;
    match condition.relation {
        Relation::Equal => "==",
        Relation::Different => "!=",
        Relation::Below => "< (unsigned)",
        Relation::BelowOrEqual => "<= (unsigned)",
        Relation::Above => "> (unsigned)",
        Relation::AboveOrEqual => ">= (unsigned)",
        Relation::Less => "<",
        Relation::LessOrEqual => "<=",
        Relation::Greater => ">",
        Relation::GreaterOrEqual => ">=",
        Relation::NoCommonBit => "has no bit of",
        Relation::CommonBit => "has a bit of",
    }
}
