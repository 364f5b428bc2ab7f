//! Frames filled in: values for the new code, words of carried frames at their new places, jump buffers, registers.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{Registers, Thread};

use super::{Frames, OneThread};
use crate::plan::address::{NewLink, Placement};
use crate::plan::blocker::Blocker;
use crate::plan::frames::{
    CallWord, CodePlace, Fate, Follow, FramePlace, JUMP_POINTER, Made, OldProcess, Said, Word, rebuild, word,
};
use crate::plan::planner::Planner;
use crate::plan::pointers::Site;
use crate::plan::rewrite::{Allocations, Call, Patch, Stored};
use crate::plan::safe_point::Standing;
use crate::plan::source::{MemorySource, read_bytes, read_word};
use crate::plan::words::{Holder, NAMES, Words};
use crate::program::unwind::{Frame, Place, dwarf};

/// Where glibc's `__jmp_buf` (sysdeps/x86_64/jmpbuf-offsets.h) has the frame pointer and the place to go on at, in bytes.
const JUMP_BASE: u64 = 8;
const JUMP_PLACE: u64 = 56;

/// The old process, with the rules for its words.
struct Following<'f, 'w> {
    words: &'f mut Words<'w>,
    memory: &'f dyn MemorySource,
    placement: Placement,
    tid: i32,
}

impl Following<'_, '_> {
    fn site(&self, place: Place) -> (Site, Holder<'static>) {
        match place {
            Place::Slot(address) => (Site::Stack { stale_returns: false }, Holder::Memory { address }),
            Place::Register(register) => {
                let name = NAMES.get(usize::from(register)).copied().unwrap_or("?");
                (Site::Register, Holder::Register { tid: self.tid, name })
            }
            Place::Computed => (Site::Register, Holder::Register { tid: self.tid, name: "rsp" }),
        }
    }
}

impl Follow for Following<'_, '_> {
    fn word(&mut self, word: u64, place: Place) -> u64 {
        let (site, holder) = self.site(place);
        self.words.rewrite(word, site, holder).unwrap_or(word)
    }

    fn quietly(&mut self, word: u64, place: Place) -> Option<u64> {
        let (site, holder) = self.site(place);
        let mut fork = self.words.fork();
        let moved = fork.rewrite(word, site, holder).unwrap_or(word);
        fork.blockers.is_empty().then_some(moved)
    }

    fn has_short_addresses(&self) -> bool {
        self.placement.is_fixed()
    }

    fn read(&mut self, address: RunAddress, buffer: &mut [u8]) -> Result<(), String> {
        self.memory.read(address, buffer).map_err(|error| error.to_string())
    }

    fn returns(&mut self, pc: RunAddress, slot: RunAddress) -> u64 {
        self.words.rewrite(pc.0, Site::ReturnAddress, Holder::Memory { address: slot }).unwrap_or(pc.0)
    }

    fn address(&self, link: NewLink) -> u64 {
        self.placement.new_run(link).0.0
    }

    fn said(&mut self, given: &Said, frame: (&[Frame], usize), noted: bool) -> Result<u64, String> {
        let build = self.words.pointers.view.old;
        match word(given, frame, OldProcess { placement: &self.placement, memory: self.memory, build })? {
            Word::Number(number) => Ok(number),
            Word::Pointer(address, place) if noted => Ok(self.word(address, place)),
            Word::Pointer(address, place) => {
                let moved = self.quietly(address, place);
                moved.ok_or_else(|| format!("the new code asks about {address:#x}, and nothing says what that is now"))
            }
        }
    }
}

/// Fills in all frames.
pub(in crate::plan::planner) fn make(
    frames: &Frames,
    stacks: &[(i32, Vec<Frame>)],
    fs_bases: &[u64],
    memory: &dyn MemorySource,
    words: &mut Words<'_>,
) -> Vec<Made> {
    let placement = words.pointers.placement;
    let of = |one: &OneThread| {
        let Some((tid, stack)) = stacks.get(one.thread) else { return Made::default() };
        let fs_base = fs_bases.get(one.thread).copied().unwrap_or(0);
        let mut follow = Following { words: &mut *words, memory, placement, tid: *tid };
        rebuild(&one.subject(stack, fs_base), &mut follow)
    };
    frames.threads.iter().map(of).collect()
}

/// Words of jump buffers that hold what rebuilt callers find in registers: whoever jumps there returns to them. By their old addresses.
pub(in crate::plan::planner) fn jump_words(
    frames: &Frames,
    made: &[Made],
    memory: &dyn MemorySource,
    words: &Words<'_>,
    is_code: &dyn Fn(u64) -> bool,
) -> Vec<Patch> {
    let mut found = Vec::new();
    for at in &words.jumps {
        let Some(buffer) = at.0.checked_sub(JUMP_POINTER) else { continue };
        let word = |offset: u64| read_word(memory, RunAddress(buffer.saturating_add(offset))).ok();
        let (Some(pointer), Some(place)) = (word(JUMP_POINTER), word(JUMP_PLACE)) else { continue };
        if !is_code(words.demangle(place)) {
            continue;
        }
        let pointer = words.demangle(pointer);
        for (one, made) in frames.threads.iter().zip(made) {
            let holds = |(low, cfa): (u64, u64)| low <= pointer && pointer < cfa;
            let Some(frame) = one.layout.positions.iter().position(|position| holds(position.old)) else { continue };
            for (_, index, value) in made.passed.iter().filter(|(number, ..)| *number == frame) {
                let offset = 8 * *index as u64;
                let word = if offset == JUMP_BASE { words.mangle(*value) } else { *value };
                found.push(Patch { address: RunAddress(buffer.saturating_add(offset)), word });
            }
        }
    }
    found
}

/// Registers that are set anew hold nothing until then: what they held may mean nothing any more.
pub(in crate::plan::planner) fn clear_registers(threads: &mut [Thread], frames: &Frames, made: &[Made]) {
    for (one, made) in frames.threads.iter().zip(made) {
        let Some(thread) = threads.get_mut(one.thread) else { continue };
        if one.rebuilt.iter().flatten().any(|rebuilt| rebuilt.is_entry) {
            // A function that is entered reads its arguments and nothing else, and gives back what it keeps.
            (0..=dwarf::RETURN_ADDRESS).for_each(|register| set(&mut thread.registers, register, 0));
            continue;
        }
        // Where all registers are made anew, the stack pointer may be in the middle of what is gone.
        let all = made.registers.iter().any(|(register, _)| *register == dwarf::RETURN_ADDRESS);
        let kept = made.registers.iter().filter(|(register, _)| all || *register != dwarf::RSP);
        kept.for_each(|(register, _)| set(&mut thread.registers, *register, 0));
    }
}

impl Planner<'_> {
    /// Takes over what was made: registers, and the words of carried frames, which go to their new places.
    pub(in crate::plan::planner) fn take_frames(&mut self, made: Vec<Made>, jumps: Vec<Patch>) {
        let told: std::collections::HashSet<RunAddress> = jumps.iter().map(|patch| patch.address).collect();
        self.patches.retain(|patch| !told.contains(&patch.address));
        self.patches.extend(jumps);
        for (one, made) in self.frames.threads.iter().zip(&made) {
            let overrides = made.overrides.iter().map(|(address, word)| Patch { address: *address, word: *word });
            self.patches.extend(overrides);
            if let Some(thread) = self.snapshot.threads.get_mut(one.thread) {
                made.registers.iter().for_each(|(register, value)| set(&mut thread.registers, *register, *value));
                if one.rebuilt.iter().flatten().any(|rebuilt| rebuilt.is_entry) {
                    // The system call is given up: nobody waits for its result.
                    thread.in_syscall = None;
                    thread.registers.orig_rax = u64::MAX;
                }
            }
        }
        let moves = &self.frames.moves;
        let mut words = Vec::new();
        self.patches.retain(|patch| {
            if moves.piece(patch.address).is_none() {
                return true;
            }
            let last = RunAddress(patch.address.0.saturating_add(7));
            if let (Some(to), Some(last)) = (moves.carried(patch.address), moves.carried(last))
                && last.wrapping_sub(to) == 7
            {
                words.push((to, patch.word));
            }
            false
        });
        self.allocations
            .fixups
            .extend(words.iter().filter(|(_, word)| Allocations::may_hold(*word)).map(|(at, _)| RunAddress(*at)));
        let written = made.iter().flat_map(|made| &made.writes);
        let waiting =
            written.filter(|(_, bytes)| bytes.first_chunk().is_some_and(|word| Allocations::may_hold(u64::from_le_bytes(*word))));
        self.allocations.fixups.extend(waiting.map(|(at, _)| RunAddress(*at)));
        let blockers: Vec<Blocker> =
            self.frames.threads.iter().zip(&made).flat_map(|(one, made)| self.problems(one, made)).collect();
        self.blockers.extend(blockers);
        self.frames.words = words;
        self.frames.made = made;
    }

    /// Whether functions of the new program are to be called before some frame goes on.
    pub(in crate::plan::planner) fn calls_before_frames(&self) -> bool {
        let calls =
            |standing: &Standing| matches!(standing, Standing::Rebuilt(continuation) if !continuation.besides.before.is_empty());
        self.stacks.standings.iter().flatten().any(calls)
    }

    /// Those calls.
    pub(in crate::plan::planner) fn frame_calls(&self) -> Vec<Call> {
        let placement = &self.ground.placement;
        let word = |word: &CallWord| match word {
            CallWord::Word(word) => *word,
            CallWord::Address(link) => placement.new_run(*link).0.0,
        };
        let calls = self.frames.made.iter().flat_map(|made| &made.calls);
        let calls = calls.map(|(function, arguments, text)| Call {
            function: placement.new_run(*function).0,
            arguments: arguments.iter().map(word).collect(),
            text: text.clone(),
        });
        calls.collect()
    }

    fn problems(&self, one: &OneThread, made: &Made) -> Vec<Blocker> {
        let tid = self.stacks.frames.get(one.thread).map_or(0, |(tid, _)| *tid);
        let of = |problem: &crate::plan::frames::RebuildProblem| {
            let mut frame = self.frame_blocker(one.thread, problem.frame, problem.reason.clone());
            let continuation = one.rebuilt.get(problem.frame).and_then(Option::as_ref).map(|rebuilt| &rebuilt.continuation);
            if let Some(placed) = continuation.zip(problem.value).and_then(|(continuation, value)| continuation.values.get(value))
            {
                frame.location = Some(place_name(placed.place));
                frame.reader = Some(CodePlace::new(self.request.new, placed.reader.0));
            }
            let condition = continuation.zip(problem.condition);
            if let Some(condition) = condition.and_then(|(continuation, number)| continuation.conditions.get(number)) {
                frame.reader = Some(CodePlace::new(self.request.new, condition.branch.0));
                frame.location = Some("a branch on the way there".to_owned());
                if let Some(argument) = &condition.argument {
                    frame.location = Some(format!("argument `{}`", argument.name));
                    frame.answer.clone_from(&argument.answer);
                }
            }
            Blocker::Frame { tid, frame }
        };
        made.problems.iter().map(of).collect()
    }

    /// Stores the new stacks, around the objects that are rewritten in them.
    pub(in crate::plan::planner) fn store_frames(&mut self) {
        let mut stacks = std::mem::take(&mut self.frames.bytes);
        for one in &self.frames.threads {
            stacks.extend(one.layout.extents.iter().map(|extent| (extent.start, vec![0; extent.len() as usize])));
        }
        for piece in self.frames.threads.iter().flat_map(|one| &one.layout.pieces).filter(|piece| piece.fate == Fate::Carried) {
            // The red zone of a stack that is full is not all there.
            if let Ok(bytes) = read_bytes(self.request.memory, piece.old.start, piece.length.min(piece.old.len()) as usize) {
                put(&mut stacks, piece.to, &bytes);
            }
        }
        for (at, word) in &self.frames.words {
            put(&mut stacks, *at, &word.to_le_bytes());
        }
        let mut outside = Vec::new();
        for (at, bytes) in self.frames.made.iter().flat_map(|made| &made.writes) {
            if !put(&mut stacks, *at, bytes) {
                outside.push((RunAddress(*at), bytes.clone()));
            }
        }
        self.frames.bytes = stacks;
        let mut holes: Vec<RunRange> = self.allocations.stored.iter().map(stored_range).collect();
        holes.sort_unstable();
        let allocations = &mut self.allocations;
        for (start, bytes) in self.frames.bytes.iter().chain(&outside) {
            let whole = RunRange::new(start.0, start.0.saturating_add(bytes.len() as u64));
            for part in whole.without(&holes) {
                let from = (part.start.0 - start.0) as usize;
                let Some(bytes) = bytes.get(from..from + part.len() as usize) else { continue };
                let offset = allocations.bytes.len() as u64;
                allocations.bytes.extend_from_slice(bytes);
                allocations.stored.push(Stored { address: part.start, offset, length: part.len() });
            }
        }
        allocations.stored.sort_unstable_by_key(|stored| stored.address);
    }
}

fn stored_range(stored: &Stored) -> RunRange {
    RunRange::new(stored.address.0, stored.address.0.saturating_add(stored.length))
}

/// Stores bytes into the stack that holds them whole.
fn put(stacks: &mut [(RunAddress, Vec<u8>)], at: u64, bytes: &[u8]) -> bool {
    for (start, stack) in stacks {
        let place = at.checked_sub(start.0).and_then(|from| usize::try_from(from).ok());
        let place = place.and_then(|from| stack.get_mut(from..from.checked_add(bytes.len())?));
        if let Some(place) = place {
            place.copy_from_slice(bytes);
            return true;
        }
    }
    false
}

/// `rbx`, `cfa-24`.
pub(super) fn place_name(place: FramePlace) -> String {
    match place {
        FramePlace::Register(register) => NAMES.get(usize::from(register)).copied().unwrap_or("?").to_owned(),
        FramePlace::Slot { offset, .. } => slot_name(offset),
    }
}

/// `cfa-24`.
pub(super) fn slot_name(offset: i64) -> String {
    format!("cfa{offset:+}")
}

fn set(registers: &mut Registers, register: usize, value: u64) {
    let place = match register {
        dwarf::RAX => &mut registers.rax,
        dwarf::RDX => &mut registers.rdx,
        dwarf::RCX => &mut registers.rcx,
        dwarf::RSI => &mut registers.rsi,
        dwarf::RDI => &mut registers.rdi,
        dwarf::R8 => &mut registers.r8,
        dwarf::R9 => &mut registers.r9,
        dwarf::R10 => &mut registers.r10,
        dwarf::R11 => &mut registers.r11,
        dwarf::RETURN_ADDRESS => &mut registers.rip,
        dwarf::RBX => &mut registers.rbx,
        dwarf::RBP => &mut registers.rbp,
        dwarf::RSP => &mut registers.rsp,
        dwarf::R12 => &mut registers.r12,
        dwarf::R13 => &mut registers.r13,
        dwarf::R14 => &mut registers.r14,
        dwarf::R15 => &mut registers.r15,
        _ => return,
    };
    *place = value;
}
