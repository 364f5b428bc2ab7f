//! Whether every thread is at a place that the plan can carry it from (PROOF §3, scope: no changed function is active).

use std::collections::HashSet;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{AddressSpace, Thread};

use super::address::Placement;
use super::blocker::Blocker;
use super::compare::functions::position;
use super::link::scope::LoadedLibrary;
use super::source::MemorySource;
use super::view::View;
use crate::program::address::LinkAddress;
use crate::program::code::{Callee, FunctionId, TailPath};
use crate::program::unwind::{End, Frame, LoadedModule, Registers, Stack, Unwinder, dwarf};

/// System calls that a thread cannot be moved in: a child shares its memory, or is being made.
const FORKS: [(i64, &str); 2] = [(libc::SYS_vfork, "vfork"), (libc::SYS_fork, "fork")];

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
    /// Threads inside a changed function.
    pub active: Arc<ActiveStacks>,
    /// Why it is no safe point.
    pub blockers: Vec<Blocker>,
}

/// Threads inside a changed function, and the mappings and alternate stacks that hold their stacks.
#[derive(Debug, Default)]
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
    view: &View<'_>,
    placement: &Placement,
    threads: &[Thread],
    space: &AddressSpace,
    modules: &[LoadedModule],
    libraries: &[LoadedLibrary<'_>],
    memory: &dyn MemorySource,
) -> Stacks {
    let mut stacks = Stacks::default();
    let mut unwinder = Unwinder::new(modules);
    let examiner = Examiner { view, placement, libraries };
    let mut active = ActiveStacks::default();
    for thread in threads {
        let registers = Registers::from(&thread.registers);
        let stack = unwinder.walk(&registers, |address, buffer| memory.read(address, buffer).map_err(Box::new));
        let known = stacks.blockers.len();
        examiner.thread(thread, &stack, &mut stacks.blockers);
        let found = stacks.blockers.get(known..).unwrap_or_default();
        let is_active = found.iter().any(|blocker| matches!(blocker, Blocker::ActiveFunction { .. }));
        if is_active {
            active.threads.insert(thread.tid);
        }
        stacks.blockers.extend(examiner.moving_stack(thread, &stack));
        for frame in &stack.frames {
            stacks.returns.extend(frame.return_slot);
            let pointer = frame.registers[dwarf::RSP].map(|value| RunAddress(value.value));
            let region = note_live(space, threads, pointer, &mut stacks.live);
            active.regions.extend(region.filter(|region| is_active && !active.regions.contains(region)));
            let Some(place) = frame.module else { continue };
            let known = frame.registers.iter().enumerate().filter_map(|(register, value)| Some((register, (*value)?.value)));
            let tid = thread.tid;
            stacks.registers.extend(known.map(|(register, value)| FrameRegister { tid, place, register, value }));
        }
        stacks.frames.push((thread.tid, stack.frames));
    }
    stacks.active = Arc::new(active);
    stacks
}

fn active_function((index, blocker): (usize, Blocker)) -> Option<(usize, String)> {
    match blocker {
        Blocker::ActiveFunction { function, .. } => Some((index, function)),
        _ => None,
    }
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

struct Examiner<'a> {
    view: &'a View<'a>,
    placement: &'a Placement,
    libraries: &'a [LoadedLibrary<'a>],
}

impl Examiner<'_> {
    fn thread(&self, thread: &Thread, stack: &Stack, blockers: &mut Vec<Blocker>) {
        let tid = thread.tid;
        let pc = RunAddress(thread.registers.rip);
        if let Some((_, what)) = FORKS.iter().find(|fork| thread.in_syscall.is_some_and(|call| call.number == fork.0 as u64)) {
            blockers.push(Blocker::UnsafePlace { tid, what: (*what).to_owned(), address: pc });
        }
        let mut found = stack.frames.iter().enumerate().filter_map(|(index, frame)| {
            let callee = index.checked_sub(1).and_then(|below| stack.frames.get(below));
            Some((index, self.frame(tid, frame, callee)?))
        });
        if let Some((at, mut first)) = found.next() {
            if let Blocker::ActiveFunction { function, outermost, stays, .. } = &mut first {
                let (at, outer) = found.filter_map(active_function).next_back().unwrap_or((at, function.clone()));
                *stays = !stack.frames.iter().skip(at + 1).any(|frame| self.is_called_from(frame));
                *outermost = Some(outer).filter(|outer| outer != function);
            }
            blockers.push(first);
        }
        if let End::Incomplete(reason) = &stack.end {
            let address = stack.frames.last().map_or(pc, |frame| frame.pc);
            blockers.push(Blocker::Unwinding { tid, address, reason: reason.to_string() });
        }
    }

    /// A stack inside a variable of the program moves with it: saved vector state must stay aligned as the processor wants it.
    fn moving_stack(&self, thread: &Thread, stack: &Stack) -> Option<Blocker> {
        let pointers = stack.frames.iter().filter_map(|frame| frame.registers[dwarf::RSP]);
        let link = pointers.filter_map(|pointer| self.placement.old_link(pointer.value)).next()?;
        let sides = self.view.sides;
        let index = sides.old.objects.covering(link.0)?;
        let (from, to) = (&sides.old.objects.list()[index], &sides.new.objects.list()[sides.objects[index].one()?]);
        let moved = to.start.0.wrapping_sub(from.start.0);
        let what = format!("a stack in the variable `{}`, which moves by {moved:#x} bytes", from.identity.name);
        let aligned = moved % STACK_ALIGNMENT == 0;
        (!aligned).then_some(Blocker::UnsafePlace { tid: thread.tid, what, address: RunAddress(thread.registers.rip) })
    }

    /// Whether a frame is of the program's own code, but for the few instructions that every program starts with.
    fn is_called_from(&self, frame: &Frame) -> bool {
        let functions = &self.view.sides.old.functions;
        let link = frame.module.filter(|(module, _)| *module == 0).map(|(_, link)| link);
        let function = link.and_then(|link| functions.containing(link)).and_then(|(index, _)| functions.list().get(index));
        function.is_some_and(|function| function.identity.name != "_start")
    }

    fn frame(&self, tid: i32, frame: &Frame, callee: Option<&Frame>) -> Option<Blocker> {
        let (module, link) = frame.module?;
        if module != 0 {
            let what = self.libraries.get(module - 1)?.library.unsafe_place(link)?;
            return Some(Blocker::UnsafePlace { tid, what: what.to_owned(), address: frame.pc });
        }
        let functions = &self.view.sides.old.functions;
        let Some((function, _)) = functions.containing(link) else {
            let section = self.view.old.elf.section_at(link).map_or("unknown code", |section| section.name.as_str());
            let what = if section.starts_with(".plt") { "a PLT stub".to_owned() } else { format!("{section} of the program") };
            return Some(Blocker::UnsafePlace { tid, what, address: frame.pc });
        };
        if !self.view.same_code(function) {
            return Some(self.active(tid, function, link));
        }
        let (tail, place) = self.tail_called(frame, callee)?;
        Some(self.active(tid, tail, place))
    }

    fn active(&self, tid: i32, function: usize, link: LinkAddress) -> Blocker {
        let place = self.view.old.line_at(link).map_or_else(|| link.to_string(), |(file, line)| format!("{file}:{line}"));
        let function = self.view.sides.old.functions.list()[function].identity.name.clone();
        Blocker::ActiveFunction { tid, function, place, outermost: None, stays: false }
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
