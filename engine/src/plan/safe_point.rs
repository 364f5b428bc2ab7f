//! Whether every thread is at a place that the plan can carry it from (PROOF §3, scope: no changed function is active).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{AddressSpace, Thread};

use super::address::Placement;
use super::blocker::Blocker;
use super::compare::functions::position;
use super::frames::{
    CodePlace, Continuation, Continuations, FrameAt, FrameBlocker, Givers, Inner, OldProcess, Value, choose, come_apart,
};
use super::link::scope::LoadedLibrary;
use super::restart::{self, Entry, Refusal};
use super::rewrite::Patch;
use super::source::MemorySource;
use super::view::View;
use crate::program::address::LinkAddress;
use crate::program::code::{Callee, FunctionId, TailPath};
use crate::program::unwind::{End, Frame, LoadedModule, Registers, Stack, Unwinder, dwarf};

/// System calls that a thread cannot be moved in: a child shares its memory, or is being made.
const FORKS: [(i64, &str); 2] = [(libc::SYS_vfork, "vfork"), (libc::SYS_fork, "fork")];

/// Bytes of the `syscall` instruction, which the kernel goes back by to make a call again.
const SYSCALL_LENGTH: u64 = 2;

/// Alignment of the XSAVE area in a signal frame, in bytes.
const STACK_ALIGNMENT: u64 = 64;

/// What unwinding all threads gave.
#[derive(Debug, Default)]
pub struct Stacks {
    /// For each mapping, or alternate stack, that holds part of a thread's stack, the lowest stack pointer in it.
    pub live: Vec<(RunAddress, RunRange)>,
    /// Slots of return addresses and of interrupted program counters.
    pub returns: HashSet<RunAddress>,
    /// What the frames of each thread have in registers.
    pub registers: Vec<FrameRegister>,
    /// The frames of each thread, innermost first.
    pub frames: Vec<(i32, Vec<Frame>)>,
    /// What becomes of each of these frames.
    pub standings: Vec<Vec<Standing>>,
    /// Threads inside a changed function that cannot go on in the new code.
    pub active: Arc<ActiveStacks>,
    /// Words that threads which enter a function have otherwise than the old ones.
    pub patches: Vec<Patch>,
    /// What a person should know of them.
    pub warnings: Vec<String>,
    /// Why it is no safe point.
    pub blockers: Vec<Blocker>,
}

/// What becomes of a frame.
#[derive(Clone, Debug, Default)]
pub enum Standing {
    /// It is carried.
    #[default]
    Carried,
    /// Its function changes, and it goes on in the new code.
    Rebuilt(Arc<Continuation>),
    /// The thread enters a function in its place.
    Entered(Arc<Continuation>),
    /// It is gone: the thread enters a function in the place of a caller.
    Dropped,
    /// Its function changes, and it cannot go on.
    Blocked(Vec<FrameBlocker>),
}

/// Threads inside a changed function that cannot go on, and the mappings and alternate stacks that hold their stacks.
#[derive(Clone, Debug, Default)]
pub struct ActiveStacks {
    /// Thread IDs.
    pub threads: HashSet<i32>,
    /// Mappings and alternate stacks.
    pub regions: Vec<RunRange>,
}

/// A register of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRegister {
    /// Thread.
    pub tid: i32,
    /// Position of the frame's module (0 is the program), and a place in its function.
    pub place: (usize, LinkAddress),
    /// DWARF number of the register.
    pub register: usize,
    /// Its value.
    pub value: u64,
}

/// Unwinds every thread. The program is module 0 of `modules`, `libraries` follow in order.
pub fn examine(
    examiner: &Examiner<'_>,
    threads: &[Thread],
    space: &AddressSpace,
    modules: &[LoadedModule],
    memory: &dyn MemorySource,
) -> Stacks {
    let mut stacks = Stacks::default();
    let mut unwinder = Unwinder::new(modules);
    let mut active = ActiveStacks::default();
    for thread in threads {
        let registers = Registers::from(&thread.registers);
        let stack = unwinder.walk(&registers, |address, buffer| memory.read(address, buffer).map_err(Box::new));
        let known = stacks.blockers.len();
        let entry = restart::entry(examiner, thread, &stack);
        let standings = examiner.thread(thread, &stack, entry.as_ref(), &mut stacks.blockers);
        let dropped = entry.as_ref().map_or(0, |(frame, _)| frame + 1);
        if let Some((_, Ok(entry))) = entry {
            stacks.patches.extend(entry.patches);
            stacks.warnings.push(entry.warning);
        }
        let found = stacks.blockers.get(known..).unwrap_or_default();
        let is_active = found.iter().any(|blocker| matches!(blocker, Blocker::ActiveFunction { .. }));
        if is_active {
            active.threads.insert(thread.tid);
        }
        stacks.blockers.extend(examiner.moving_stack(thread, &stack, &standings));
        stacks.standings.push(standings);
        for (number, frame) in stack.frames.iter().enumerate() {
            stacks.returns.extend(frame.return_slot);
            let pointer = frame.registers[dwarf::RSP].map(|value| RunAddress(value.value));
            let region = note_live(space, threads, pointer, &mut stacks.live);
            active.regions.extend(region.filter(|region| is_active && !active.regions.contains(region)));
            let Some(place) = frame.module.filter(|_| number >= dropped) else { continue };
            let known = frame.registers.iter().enumerate().filter_map(|(register, value)| Some((register, (*value)?.value)));
            let tid = thread.tid;
            stacks.registers.extend(known.map(|(register, value)| FrameRegister { tid, place, register, value }));
        }
        let mut frames = stack.frames;
        if let Some(standings) = stacks.standings.last_mut() {
            come_apart(&mut frames, standings);
        }
        stacks.frames.push((thread.tid, frames));
    }
    stacks.active = Arc::new(active);
    stacks
}

/// Lowers the lowest stack pointer of the mapping or alternate stack that holds `pointer`; gives that.
fn note_live(
    space: &AddressSpace,
    threads: &[Thread],
    pointer: Option<RunAddress>,
    live: &mut Vec<(RunAddress, RunRange)>,
) -> Option<RunRange> {
    let pointer = pointer?;
    let mappings = space.mappings.iter().map(|mapping| mapping.range);
    let region = threads.iter().filter_map(alternate_stack).chain(mappings).find(|range| range.contains(pointer))?;
    match live.iter_mut().find(|entry| entry.1 == region) {
        Some(entry) => entry.0 = entry.0.min(pointer),
        None => live.push((pointer, region)),
    }
    Some(region)
}

/// The alternate signal stack that a thread has set up.
pub fn alternate_stack(thread: &Thread) -> Option<RunRange> {
    let stack = &thread.alt_stack;
    let enabled = stack.flags & libc::SS_DISABLE == 0 && stack.size != 0;
    enabled.then(|| RunRange::new(stack.base.0, stack.base.0.saturating_add(stack.size)))
}

/// What is known of the code that threads run.
#[derive(Clone, Copy)]
pub struct Examiner<'a> {
    /// Both builds.
    pub view: &'a View<'a>,
    /// Where they are.
    pub placement: &'a Placement,
    /// Everything else that is loaded.
    pub libraries: &'a [LoadedLibrary<'a>],
    /// Who knows how frames of changed functions go on.
    pub continuations: Option<&'a dyn Continuations>,
    /// The old process's memory.
    pub memory: &'a dyn MemorySource,
    /// The address space.
    pub space: &'a AddressSpace,
    /// Functions that threads are to enter, as the spec wants it.
    pub restarts: &'a [restart::Restart],
    /// Whether an earlier update made frames anew, which a thread may not have left since.
    pub was_updated: bool,
}

/// What a look at one frame gives.
enum Found {
    /// It can be carried.
    Nothing,
    /// Whatever its function, the thread cannot be moved from there.
    Unsafe(Blocker),
    /// A changed function, by its position, at this place of the old build.
    Changed(usize, LinkAddress, Result<Arc<Continuation>, Vec<FrameBlocker>>),
}

impl Examiner<'_> {
    fn thread(
        &self,
        thread: &Thread,
        stack: &Stack,
        entry: Option<&(usize, Result<Entry, Refusal>)>,
        blockers: &mut Vec<Blocker>,
    ) -> Vec<Standing> {
        let tid = thread.tid;
        let pc = RunAddress(thread.registers.rip);
        if let Some((_, what)) = FORKS.iter().find(|fork| thread.in_syscall.is_some_and(|call| call.number == fork.0 as u64)) {
            blockers.push(Blocker::UnsafePlace { tid, what: (*what).to_owned(), address: pc });
        }
        let mut standings = vec![Standing::Carried; stack.frames.len()];
        let mut first_unsafe = None;
        let mut active: Vec<(usize, usize, LinkAddress)> = Vec::new();
        let mut known = HashMap::new();
        let mut kept = 0;
        if let Some((frame, entry)) = entry {
            kept = frame + 1;
            standings.iter_mut().take(*frame).for_each(|standing| *standing = Standing::Dropped);
            if let (Some(standing), Ok(entry)) = (standings.get_mut(*frame), entry) {
                *standing = Standing::Entered(Arc::clone(&entry.continuation));
            }
            if let (Some(standing), Err(refusal)) = (standings.get_mut(*frame), entry) {
                *standing = Standing::Blocked(vec![refusal.frame.clone()]);
                blockers.push(refusal.blocker(tid));
            }
        }
        let vanishing = self.vanishing(&stack.frames, kept);
        for (number, (frame, standing)) in stack.frames.iter().zip(&mut standings).enumerate().skip(kept) {
            if vanishing.contains(&number) {
                *standing = Standing::Dropped;
                continue;
            }
            match self.frame(thread, frame, (&stack.frames, number)) {
                Found::Nothing => {}
                Found::Unsafe(blocker) => {
                    first_unsafe.get_or_insert((number, blocker));
                }
                Found::Changed(function, link, Ok(continuation)) => match self.all_given(stack, &mut known, number, continuation)
                {
                    Ok(continuation) => *standing = Standing::Rebuilt(continuation),
                    Err(reason) => {
                        *standing = Standing::Blocked(vec![self.blocker(function, frame, &reason)]);
                        active.push((number, function, link));
                    }
                },
                Found::Changed(function, link, Err(reasons)) => {
                    *standing = Standing::Blocked(reasons);
                    active.push((number, function, link));
                }
            }
        }
        for number in 1..standings.len() {
            let frame = stack.frames.get(number).and_then(|frame| Some((frame, self.function_of(frame)?)));
            let Some((frame, function)) = frame.filter(|_| self.is_other_callee(&standings, number)) else { continue };
            let reason = "the new code calls another function there than the one that the frame further in becomes";
            if let Some(standing) = standings.get_mut(number) {
                *standing = Standing::Blocked(vec![self.blocker(function, frame, reason)]);
            }
            active.push((number, function, frame.module.map_or(LinkAddress(0), |(_, link)| link)));
        }
        active.sort_unstable();
        match (active.first(), first_unsafe) {
            (Some(first), unsafe_place) if unsafe_place.as_ref().is_none_or(|found| first.0 < found.0) => {
                blockers.push(self.active(tid, &active, &standings, stack));
            }
            (_, Some((_, blocker))) => blockers.push(blocker),
            _ => {}
        }
        if let End::Incomplete(reason) = &stack.end {
            let address = stack.frames.last().map_or(pc, |frame| frame.pc);
            blockers.push(Blocker::Unwinding { tid, address, reason: reason.to_string() });
        }
        standings
    }

    /// A stack inside a variable of the program moves with it: saved vector state must stay aligned as the processor wants it, and where
    /// frames are made anew, all stacks of their thread have to stay where they are.
    fn moving_stack(&self, thread: &Thread, stack: &Stack, standings: &[Standing]) -> Option<Blocker> {
        let inside = |frame: &Frame| self.placement.old_link(frame.registers[dwarf::RSP]?.value);
        let link = stack.frames.iter().filter_map(inside).next()?;
        let sides = self.view.sides;
        let index = sides.old.objects.covering(link.0)?;
        let (from, to) = (&sides.old.objects.list()[index], &sides.new.objects.list()[sides.objects[index].one()?]);
        let name = &from.identity.name;
        let blocker = |what: String| Blocker::UnsafePlace { tid: thread.tid, what, address: RunAddress(thread.registers.rip) };
        let is_made = |standing: &Standing| matches!(standing, Standing::Rebuilt(_) | Standing::Entered(_));
        if let Some((frame, _)) = stack.frames.iter().zip(standings).find(|(_, standing)| is_made(standing)) {
            let function = self.function_of(frame).map(|function| self.name(function)).unwrap_or_default();
            return Some(blocker(format!("`{function}`, which changes, with a stack that moves with the variable `{name}`,")));
        }
        let moved = to.start.0.wrapping_sub(from.start.0);
        let aligned = moved % STACK_ALIGNMENT == 0;
        (!aligned).then(|| blocker(format!("a stack in the variable `{name}`, which moves by {moved:#x} bytes")))
    }

    /// Whether a frame is of the program's own code, but for the few instructions that every program starts with.
    fn is_called_from(&self, frame: &Frame) -> bool {
        let functions = &self.view.sides.old.functions;
        let link = frame.module.filter(|(module, _)| *module == 0).map(|(_, link)| link);
        let function = link.and_then(|link| functions.containing(link)).and_then(|(index, _)| functions.list().get(index));
        function.is_some_and(|function| function.identity.name != "_start")
    }

    /// `frames` are all of the thread, `number` is the frame's among them.
    fn frame(&self, thread: &Thread, frame: &Frame, (frames, number): (&[Frame], usize)) -> Found {
        let callee = number.checked_sub(1).and_then(|below| frames.get(below));
        let tid = thread.tid;
        let Some((module, link)) = frame.module else { return Found::Nothing };
        let is_unsafe = |what: String| Found::Unsafe(Blocker::UnsafePlace { tid, what, address: frame.pc });
        if module != 0 {
            let what = self.libraries.get(module - 1).and_then(|loaded| loaded.library.unsafe_place(link));
            return what.map_or(Found::Nothing, |what| is_unsafe(what.to_owned()));
        }
        let functions = &self.view.sides.old.functions;
        let Some((function, _)) = functions.containing(link) else {
            let section = self.view.old.elf.section_at(link).map_or("unknown code", |section| section.name.as_str());
            let what = if section.starts_with(".plt") { "a PLT stub".to_owned() } else { format!("{section} of the program") };
            return is_unsafe(what);
        };
        let hidden = self.tail_called(frame, callee);
        if !self.view.same_code(function) {
            let found = match frame.pc == frame.lookup && hidden.is_none() {
                true => self.between(function, frame, (callee.map_or(Some(thread), |_| None), frames, number)),
                false => self.continuation(function, frame, (frames, number), hidden),
            };
            return Found::Changed(function, link, found);
        }
        match hidden {
            Some((tail, place)) => Found::Changed(tail, place, Err(self.tail_blocker(tail, frame))),
            None => Found::Nothing,
        }
    }

    /// The same for a frame that comes apart into several.
    fn all_given(
        &self,
        stack: &Stack,
        known: &mut HashMap<(usize, u8), Result<Value, String>>,
        number: usize,
        continuation: Arc<Continuation>,
    ) -> Result<Arc<Continuation>, String> {
        let mut whole = self.given(stack, known, number, continuation)?;
        if !whole.besides.inside.is_empty() {
            let inside = whole.besides.inside.clone().into_iter().map(|inner| self.given(stack, known, number, inner));
            let inside = inside.collect::<Result<_, _>>()?;
            Arc::make_mut(&mut whole).besides.inside = inside;
        }
        Ok(whole)
    }

    /// A continuation with what the frame's callers gave it.
    fn given(
        &self,
        stack: &Stack,
        known: &mut HashMap<(usize, u8), Result<Value, String>>,
        number: usize,
        continuation: Arc<Continuation>,
    ) -> Result<Arc<Continuation>, String> {
        let Some(continuations) = self.continuations else { return Ok(continuation) };
        if self.was_updated && continuation.has_unread {
            let reason =
                "it needs what the old code does not read again, and an earlier update may have made the frame anew without that";
            return Err(reason.to_owned());
        }
        let functions = &self.view.sides.old.functions;
        let function = |link| functions.containing(link).map(|(index, _)| index);
        let known_before = std::mem::take(known);
        let was_updated = self.was_updated;
        let frames = &stack.frames;
        let mut givers = Givers { continuations, frames, function: &function, known: known_before, was_updated };
        let filled = givers.filled(number, continuation);
        *known = givers.known;
        filled
    }

    /// How a frame of a changed function goes on.
    fn continuation(
        &self,
        function: usize,
        frame: &Frame,
        (frames, number): (&[Frame], usize),
        hidden: Option<(usize, LinkAddress)>,
    ) -> Result<Arc<Continuation>, Vec<FrameBlocker>> {
        let Some(continuations) = self.continuations else { return Err(Vec::new()) };
        if let Some((tail, _)) = hidden {
            return Err(self.tail_blocker(tail, frame));
        }
        let Some(at) = self.frame_at(frames, number) else { return Err(Vec::new()) };
        if let Some(told) = continuations.told(&at) {
            return self.chosen(told?, function, frame);
        }
        self.chosen(continuations.of(function, at.place)?, function, frame)
    }

    /// Which of the points that a continuation has is this frame's.
    fn chosen(&self, found: Arc<Continuation>, function: usize, frame: &Frame) -> Result<Arc<Continuation>, Vec<FrameBlocker>> {
        let process = OldProcess { placement: self.placement, memory: self.memory, build: self.view.old };
        choose(found, frame, process).map_err(|reason| vec![self.blocker(function, frame, &reason)])
    }

    /// The function of the program that a frame is of.
    fn function_of(&self, frame: &Frame) -> Option<usize> {
        let link = frame.module.filter(|(module, _)| *module == 0)?.1;
        self.view.sides.old.functions.containing(link).map(|(function, _)| function)
    }

    /// Whether a frame goes on behind a call of another function than the frame further in becomes.
    fn is_other_callee(&self, standings: &[Standing], number: usize) -> bool {
        let Some(Standing::Rebuilt(continuation)) = standings.get(number) else { return false };
        let inner = number.checked_sub(1).and_then(|inner| standings.get(inner));
        continuation.besides.callee.is_some_and(|callee| {
            !matches!(inner, Some(Standing::Rebuilt(inner)) if inner.function == callee)
                && !matches!(inner, Some(Standing::Blocked(_)))
        })
    }

    /// A frame that waits in a call, as rules of the user's are about it.
    fn frame_at(&self, frames: &[Frame], number: usize) -> Option<FrameAt> {
        let own = self.waiting(frames.get(number)?)?;
        let callers = frames.iter().skip(number + 1).filter_map(|caller| self.function_of(caller)).collect();
        let inner = frames.iter().take(number).rev().map_while(|frame| self.waiting(frame)).collect();
        Some(FrameAt { function: own.function, place: own.place, between: false, callers, inner })
    }

    /// A frame of the program that waits in a call.
    fn waiting(&self, frame: &Frame) -> Option<Inner> {
        let (_, link) = frame.module.filter(|(module, _)| *module == 0 && !frame.is_signal_frame && frame.pc != frame.lookup)?;
        let place = LinkAddress(link.0.wrapping_add(frame.pc.0.wrapping_sub(frame.lookup.0)));
        Some(Inner { function: self.function_of(frame)?, place })
    }

    /// Frames, by their numbers, that vanish with one further out, because the user says so.
    fn vanishing(&self, frames: &[Frame], first: usize) -> HashSet<usize> {
        let Some(continuations) = self.continuations else { return HashSet::new() };
        let of = |number: usize| {
            let count = self.frame_at(frames, number).map_or(0, |at| continuations.drops(&at));
            number.saturating_sub(count).max(first)..number
        };
        (first..frames.len()).flat_map(of).collect()
    }

    /// How a frame goes on that no call comes back to. `thread` is the frame's where it is what the thread itself runs.
    fn between(
        &self,
        function: usize,
        frame: &Frame,
        (thread, frames, number): (Option<&Thread>, &[Frame], usize),
    ) -> Result<Arc<Continuation>, Vec<FrameBlocker>> {
        let Some(continuations) = self.continuations else { return Err(Vec::new()) };
        let again = thread.is_some_and(|thread| thread.in_syscall.is_some_and(|call| call.restart));
        let skipped = if again { SYSCALL_LENGTH } else { 0 };
        let place = LinkAddress(frame.pc.0.wrapping_sub(self.placement.old_bias()).wrapping_sub(skipped));
        let callers = frames.iter().skip(number + 1).filter_map(|caller| self.function_of(caller)).collect();
        let inner = Vec::new();
        if let Some(told) = continuations.told(&FrameAt { function, place, between: true, callers, inner }) {
            return self.chosen(told?, function, frame);
        }
        continuations.between(function, place).map_err(|reasons| match reasons.is_empty() {
            false => reasons,
            true => vec![self.blocker(function, frame, "the thread was stopped there, or struck by a signal, between two calls")],
        })
    }

    fn tail_blocker(&self, tail: usize, frame: &Frame) -> Vec<FrameBlocker> {
        if self.continuations.is_none() {
            return Vec::new();
        }
        vec![self.blocker(tail, frame, "it changes, and went on by a jump: its caller is still to see its result")]
    }

    pub(super) fn blocker(&self, function: usize, frame: &Frame, reason: &str) -> FrameBlocker {
        let bias = self.placement.old_bias();
        let link = |address: RunAddress| LinkAddress(address.0.wrapping_sub(bias));
        FrameBlocker {
            function: self.name(function),
            old: CodePlace { address: link(frame.pc), line: CodePlace::new(self.view.old, link(frame.lookup)).line },
            new: None,
            location: None,
            reader: None,
            reason: reason.to_owned(),
            answer: None,
        }
    }

    pub(super) fn name(&self, function: usize) -> String {
        self.view.sides.old.functions.list().get(function).map(|code| code.identity.name.clone()).unwrap_or_default()
    }

    /// The blocker for a thread with changed functions that cannot go on, innermost first.
    fn active(&self, tid: i32, active: &[(usize, usize, LinkAddress)], standings: &[Standing], stack: &Stack) -> Blocker {
        let (first, last) = (active.first().copied().unwrap_or_default(), active.last().copied().unwrap_or_default());
        let (function, outer) = (self.name(first.1), self.name(last.1));
        let place = self.view.old.line_at(first.2).map_or_else(|| first.2.to_string(), |(file, line)| format!("{file}:{line}"));
        let stays = !stack.frames.iter().skip(last.0 + 1).any(|frame| self.is_called_from(frame));
        let frames: Vec<FrameBlocker> = standings
            .iter()
            .filter_map(|standing| match standing {
                Standing::Blocked(reasons) => Some(reasons),
                Standing::Carried | Standing::Rebuilt(_) | Standing::Entered(_) | Standing::Dropped => None,
            })
            .flatten()
            .cloned()
            .collect();
        let answers = frames.iter().filter_map(|frame| frame.answer.clone()).collect();
        let outermost = Some(outer).filter(|outer| *outer != function);
        Blocker::ActiveFunction { tid, function, place, outermost, stays, frames, answers }
    }

    /// A changed function that this frame called and that left no frame: it went on by a jump, and its caller is still to see its
    /// result.
    fn tail_called(&self, frame: &Frame, callee: Option<&Frame>) -> Option<(usize, LinkAddress)> {
        let callee = callee?;
        // A signal strikes anywhere: what it interrupted was no call.
        if callee.is_signal_frame || frame.pc == frame.lookup {
            return None;
        }
        let next = self.placement.old_link(frame.pc.0)?.0;
        let called = *self.view.code.returns.get(&next)?;
        let functions = &self.view.sides.old.functions;
        let runs = callee.module.filter(|(module, _)| *module == 0).and_then(|(_, link)| functions.containing(link));
        let changed = |id: &FunctionId| !self.view.same_code(position(*id));
        let hidden = match (runs, called) {
            (Some((runs, _)), called) => match self.view.code.calls.tail_path(called, FunctionId(runs as u32)) {
                TailPath::Through(functions) | TailPath::Pointer(functions) => functions.iter().copied().find(changed),
                TailPath::Direct | TailPath::External | TailPath::None => None,
            },
            // The call went on into a library: the function that it names is gone from the stack.
            (None, Callee::Function(called)) => Some(called).filter(changed),
            (None, _) => None,
        };
        hidden.map(|id| (position(id), frame.module.map_or(next, |(_, link)| link)))
    }
}
