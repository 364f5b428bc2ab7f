//! Stacks with changed functions on them: laid out once every thread is known, filled in once every word can be decided.

mod fill;
mod objects;
mod settings;
mod told;

pub(super) use fill::{clear_registers, jump_words, make};

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};

use super::Planner;
use crate::plan::address::page_floor;
use crate::plan::blocker::Blocker;
use crate::plan::frames::{
    CodePlace, FrameBlocker, FrameMoves, IdleRegisters, Layout, LayoutProblem, Made, Rebuilt, StackRoom, Subject, Surroundings,
    Tie, arguments_pushed, arguments_read, is_inside, lay_out, overridden, shape,
};
use crate::plan::safe_point::{Standing, alternate_stack};
use crate::program::address::LinkAddress;
use crate::program::elf::Elf;
use crate::program::types::{Shape, TypeId};
use crate::program::unwind::{Frame, SavedRegister, UnwindIndex, dwarf};

/// What the kernel keeps free below a stack that grows (mm/mmap.c, `stack_guard_gap`), in bytes.
const GUARD_GAP: u64 = 256 << 12;
/// Types within types that are looked into for an array.
const DEEPEST: u32 = 16;

/// The stacks that are made anew.
#[derive(Default)]
pub(super) struct Frames {
    threads: Vec<OneThread>,
    /// Where pointers into them lead.
    pub(super) moves: FrameMoves,
    /// What the threads hold anew, in their order.
    made: Vec<Made>,
    /// Words of carried frames, by their new addresses.
    words: Vec<(u64, u64)>,
    /// The new stacks.
    bytes: Vec<(RunAddress, Vec<u8>)>,
}

/// One of them.
struct OneThread {
    /// Position of the thread in the snapshot.
    thread: usize,
    rebuilt: Vec<Option<Rebuilt>>,
    layout: Layout,
    /// The system call that it makes again.
    call: Option<u64>,
}

impl OneThread {
    fn subject<'s>(&'s self, frames: &'s [Frame], fs_base: u64) -> Subject<'s> {
        Subject { frames, rebuilt: &self.rebuilt, layout: &self.layout, thread: fs_base, call: self.call }
    }
}

impl Frames {
    /// Ranges whose words the scan leaves alone.
    pub(super) fn dead(&self) -> impl Iterator<Item = RunRange> + '_ {
        self.moves.dead()
    }
}

impl Planner<'_> {
    /// Decides where each frame of each thread goes.
    pub(super) fn lay_out(&mut self) {
        let mut frames = Frames::default();
        let mut failed = Vec::new();
        for (thread, standings) in self.stacks.standings.iter().enumerate() {
            let is_rebuilt = standings.iter().any(|standing| matches!(standing, Standing::Rebuilt(_) | Standing::Entered(_)));
            if !is_rebuilt || standings.iter().any(|standing| matches!(standing, Standing::Blocked(_))) {
                continue;
            }
            match self.laid_out(thread, standings) {
                Ok(one) => {
                    let is_dropped = |frame: usize| matches!(standings.get(frame), Some(Standing::Dropped));
                    let is_rebuilt = |frame: usize| is_dropped(frame) || one.rebuilt.get(frame).is_some_and(Option::is_some);
                    let name = |frame| if is_rebuilt(frame) { self.frame_name(thread, frame) } else { String::new() };
                    frames.moves.add(&one.layout, name);
                    frames.threads.push(one);
                }
                Err(problem) => failed.push((thread, problem)),
            }
        }
        for one in &frames.threads {
            one.layout.extents.iter().for_each(|extent| grow(&mut self.snapshot.address_spaces, *extent));
        }
        for (thread, problem) in failed {
            self.not_laid_out(thread, problem);
        }
        self.frames = frames;
    }

    fn laid_out(&self, thread: usize, standings: &[Standing]) -> Result<OneThread, LayoutProblem> {
        let frames = self.stacks.frames.get(thread).map_or(&[][..], |(_, frames)| frames);
        let (elf, unwind) = (&self.request.new.elf, &self.request.comparison.new_unwind);
        let mut shapes = HashMap::new();
        let made_anew = |(frame, standing): (usize, &Standing)| match standing {
            Standing::Rebuilt(continuation) => {
                let tie = if is_inside(frames, frame) { Tie::Inside } else { Tie::Called };
                let place = (continuation.returns_to.0, continuation.between || continuation.besides.exact);
                // A recursion has the same frame many times.
                match shapes.entry(place).or_insert_with(|| shape(elf, unwind, place.0, place.1)).clone() {
                    Ok(shape) => Ok(Some(Rebuilt { continuation: Arc::clone(continuation), shape, is_entry: false, tie })),
                    Err(reason) => Err(LayoutProblem { frame, reason }),
                }
            }
            Standing::Entered(continuation) => Ok(Some(Rebuilt::entry(Arc::clone(continuation)))),
            Standing::Dropped => match standings.iter().skip(frame).find(|standing| !matches!(standing, Standing::Dropped)) {
                Some(Standing::Rebuilt(continuation)) => Ok(Some(Rebuilt::vanishing(Arc::clone(continuation)))),
                _ => Ok(None),
            },
            Standing::Carried | Standing::Blocked(_) => Ok(None),
        };
        let rebuilt = standings.iter().enumerate().map(made_anew).collect::<Result<Vec<_>, _>>()?;
        let alignments = RefCell::new(HashMap::new());
        let layout = lay_out(
            frames,
            &rebuilt,
            &Surroundings {
                alignment: &|frame| {
                    let Some(frame) = frames.get(frame) else { return 1 };
                    *alignments.borrow_mut().entry(frame.module).or_insert_with(|| self.realigned(frame))
                },
                arguments: &|frame| self.arguments(frames, &rebuilt, frame),
                has_array: &|kind| has_array(&self.request.old.debug.types, kind, 0),
                room: &|address| self.room(RunAddress(address)),
            },
        )?;
        let call = self.request.snapshot.threads.get(thread).and_then(|thread| thread.in_syscall);
        Ok(OneThread { thread, rebuilt, layout, call: call.filter(|call| call.restart).map(|call| call.number) })
    }

    /// A thread whose frames have no place: it is as if its functions could not go on at all.
    fn not_laid_out(&mut self, thread: usize, problem: LayoutProblem) {
        let Some((tid, frames)) = self.stacks.frames.get(thread) else { return };
        let tid = *tid;
        let frame = self.frame_blocker(thread, problem.frame, problem.reason);
        let pointers: Vec<RunAddress> =
            frames.iter().filter_map(|frame| frame.registers[dwarf::RSP]).map(|pointer| RunAddress(pointer.value)).collect();
        let regions = self.stacks.live.iter().map(|(_, region)| *region);
        let regions: Vec<RunRange> = regions.filter(|region| pointers.iter().any(|at| region.contains(*at))).collect();
        let active = Arc::make_mut(&mut self.stacks.active);
        active.threads.insert(tid);
        active.regions.extend(regions);
        self.blockers.push(Blocker::Frame { tid, frame });
    }

    /// What stands against a frame, for people.
    fn frame_blocker(&self, thread: usize, frame: usize, reason: String) -> FrameBlocker {
        let found = self.stacks.frames.get(thread).and_then(|(_, frames)| frames.get(frame));
        let standing = self.stacks.standings.get(thread).and_then(|standings| standings.get(frame));
        let new = match standing {
            Some(Standing::Rebuilt(continuation) | Standing::Entered(continuation)) => {
                Some(CodePlace::of(self.request.new, continuation))
            }
            _ => None,
        };
        let function = self.frame_name(thread, frame);
        let old = found.map_or(CodePlace { address: LinkAddress(0), line: None }, |frame| self.old_place(frame));
        FrameBlocker { function, old, new, location: None, reader: None, reason, answer: None }
    }

    /// Where a frame goes on in the old process.
    pub(super) fn old_place(&self, frame: &Frame) -> CodePlace {
        let skipped = frame.pc.0.wrapping_sub(frame.lookup.0);
        let link = frame.module.map_or(LinkAddress(frame.pc.0), |(_, link)| LinkAddress(link.0.wrapping_add(skipped)));
        let line = match frame.module {
            Some((0, lookup)) => CodePlace::new(self.request.old, lookup).line,
            _ => None,
        };
        CodePlace { address: link, line }
    }

    /// The function of a frame; in libraries the symbol before it.
    fn frame_name(&self, thread: usize, frame: usize) -> String {
        let frame = self.stacks.frames.get(thread).and_then(|(_, frames)| frames.get(frame));
        let Some((module, link)) = frame.and_then(|frame| frame.module) else { return "a signal's frame".to_owned() };
        let functions = &self.request.comparison.sides.old.functions;
        match module.checked_sub(1) {
            None => {
                let found = functions.containing(link).and_then(|(index, _)| functions.list().get(index));
                found.map_or_else(|| link.to_string(), |function| function.identity.name.clone())
            }
            Some(library) => {
                let loaded = self.ground.loaded.get(library);
                let symbol = loaded.and_then(|loaded| symbol_before(&loaded.library.elf, link));
                symbol.unwrap_or_else(|| link.to_string())
            }
        }
    }

    /// The code that a frame runs.
    fn code_of(&self, frame: &Frame) -> Option<(&Elf, &UnwindIndex, LinkAddress)> {
        let (module, place) = frame.module?;
        match module.checked_sub(1) {
            None => Some((&self.request.old.elf, &self.request.comparison.unwind, place)),
            Some(library) => {
                let loaded = self.ground.loaded.get(library)?;
                Some((&loaded.library.elf, &loaded.library.unwind, place))
            }
        }
    }

    /// The alignment that a function gives its frame by hand.
    fn realigned(&self, frame: &Frame) -> u64 {
        const UNKNOWN: u64 = 64;
        let code = self.code_of(frame).and_then(|(elf, unwind, place)| {
            let (start, end) = unwind.range(place)?;
            Some((start, elf.file_bytes(start, end.0.checked_sub(start.0)?)?))
        });
        let Some((start, code)) = code else { return UNKNOWN };
        let instructions = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE).into_iter();
        let masks = instructions.filter(|instruction| {
            instruction.mnemonic() == Mnemonic::And
                && instruction.op0_kind() == OpKind::Register
                && instruction.op0_register() == Register::RSP
        });
        let alignments = masks.map(|instruction| match instruction.op1_kind() {
            OpKind::Immediate8to64 | OpKind::Immediate32to64 => instruction.immediate(1).wrapping_neg(),
            _ => UNKNOWN,
        });
        alignments.max().unwrap_or(1)
    }

    /// How many bytes at the bottom of the rebuilt frame `number` its callee reads as arguments.
    fn arguments(&self, frames: &[Frame], rebuilt: &[Option<Rebuilt>], number: usize) -> Result<u64, String> {
        let below = number.checked_sub(1);
        let Some((callee, frame)) = below.and_then(|below| frames.get(below)).zip(frames.get(number)) else { return Ok(0) };
        if callee.is_signal_frame || below.and_then(|below| rebuilt.get(below)).is_some_and(Option::is_some) {
            return Ok(0);
        }
        let read = self.code_of(callee).and_then(|(elf, unwind, place)| arguments_read(elf, unwind, place));
        if let Some(read) = read {
            return Ok(read.next_multiple_of(8));
        }
        let call = frame.module.map(|(_, link)| link);
        match call.and_then(|call| arguments_pushed(&self.request.old.elf, &self.request.comparison.unwind, call)) {
            Some(false) => Ok(0),
            Some(true) | None => Err("what it called may read arguments from the stack, and how many is not known".to_owned()),
        }
    }

    /// The stack around an address.
    fn room(&self, address: RunAddress) -> Option<StackRoom> {
        let snapshot = self.request.snapshot;
        let alternate = snapshot.threads.iter().filter_map(alternate_stack).find(|range| range.contains(address));
        if let Some(range) = alternate {
            return Some(StackRoom { range, lowest: range.start.0, what: "what lies below its alternate stack".to_owned() });
        }
        let mappings = &self.ground.space.mappings;
        let mapping = mappings.iter().find(|mapping| mapping.range.contains(address))?;
        let range = mapping.range;
        if !mapping.flags.grows_down {
            return Some(StackRoom { range, lowest: range.start.0, what: "what lies below its stack".to_owned() });
        }
        let limit = snapshot.limits.first().and_then(|limits| limits.limits.get(libc::RLIMIT_STACK as usize));
        let limited = range.end.0.saturating_sub(limit.map_or(u64::MAX, |limit| limit.soft));
        let below = mappings.iter().filter(|other| other.range.end <= range.start).map(|other| other.range.end.0).max();
        let lowest = limited.max(below.map_or(0, |end| end.saturating_add(GUARD_GAP))).min(range.start.0);
        Some(StackRoom { range, lowest, what: "what RLIMIT_STACK and other mappings leave".to_owned() })
    }

    /// Registers that nobody reads again, where any stack is made anew.
    pub(super) fn idle_registers(&self) -> IdleRegisters {
        let mut idle = IdleRegisters::default();
        if self.frames.threads.is_empty() {
            return idle;
        }
        for (tid, frames) in &self.stacks.frames {
            let rules =
                frames.last().and_then(|base| self.code_of(base)).and_then(|(_, unwind, place)| unwind.frame_rules(place));
            // The base says that it returns nowhere.
            if rules.is_some_and(|rules| rules.returns == SavedRegister::Lost) {
                idle.add(*tid, frames);
            }
        }
        idle
    }

    /// Words of carried frames that are not what they were, whatever they hold: the scan leaves them alone.
    pub(super) fn overridden_words(&self) -> Vec<RunAddress> {
        let of = |one: &OneThread| {
            let frames = self.stacks.frames.get(one.thread).map_or(&[][..], |(_, frames)| frames);
            overridden(&one.subject(frames, 0))
        };
        self.frames.threads.iter().flat_map(of).collect()
    }
}

/// Lets a mapping that grows reach down to the stack that is in it.
fn grow(spaces: &mut [dsu_formats::model::latest::AddressSpace], extent: RunRange) {
    let Some(space) = spaces.first_mut() else { return };
    let last = RunAddress(extent.end.0.wrapping_sub(1));
    let mapping = space.mappings.iter_mut().find(|mapping| mapping.range.contains(last) && mapping.flags.grows_down);
    if let Some(mapping) = mapping {
        mapping.range.start = mapping.range.start.min(RunAddress(page_floor(extent.start.0)));
    }
}

/// Whether objects of a type are arrays, or have some.
fn has_array(types: &crate::program::types::TypeTable, kind: TypeId, depth: u32) -> bool {
    let Some(kind) = types.peel(Some(kind)).filter(|_| depth < DEEPEST) else { return true };
    match &types.get(kind).shape {
        Shape::Array { .. } => true,
        Shape::Struct { members, .. } | Shape::Union { members, .. } => {
            members.iter().any(|member| member.kind.is_some_and(|kind| has_array(types, kind, depth + 1)))
        }
        _ => false,
    }
}

/// The name of the function symbol that is nearest before an address.
fn symbol_before(elf: &Elf, link: LinkAddress) -> Option<String> {
    let holds = |symbol: &&crate::program::elf::DynamicSymbol| {
        symbol.defined
            && symbol.kind == crate::plan::abi::STT_FUNC
            && symbol.address <= link
            && link.0 - symbol.address.0 < symbol.size
    };
    if let Some(symbol) = elf.dynamic_symbols.iter().find(holds) {
        return Some(symbol.name.clone());
    }
    let before = elf.symbols.iter().filter(|symbol| symbol.section != 0 && symbol.address <= link && !symbol.name.is_empty());
    let nearest = before.filter(|symbol| symbol.kind == crate::plan::abi::STT_FUNC).max_by_key(|symbol| symbol.address)?;
    Some(nearest.name.clone())
}
