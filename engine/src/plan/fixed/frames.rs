//! Words on stacks and in registers: variables where debug information has them, saved registers by the frame that wrote them, and what
//! the functions on the stack name or their variables point to.

use std::collections::{HashMap, HashSet};

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::{AddressSpace, Thread};
use iced_x86::{Decoder, DecoderOptions, OpKind};

use super::calls::{self, ARGUMENTS};
use super::{Evidence, agreed, evidence};
use crate::plan::link::scope::LoadedLibrary;
use crate::plan::scan::dead::RED_ZONE;
use crate::plan::source::{MemorySource, read_word};
use crate::plan::view::View;
use crate::program::address::LinkAddress;
use crate::program::types::{TypeId, TypeTable, WordKind};
use crate::program::unwind::{Frame, Place, dwarf};
use crate::program::variables::{self, Piece, Source, Variables};

/// An object up to this size is told by any address in it: locks, conditions, queues. In a larger one numbers lie too easily.
const SMALL: u64 = 1024;

/// What is looked at.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Both builds.
    pub view: &'a View<'a>,
    /// The program's pages.
    pub program: RunRange,
    /// Mappings.
    pub space: &'a AddressSpace,
    /// The threads.
    pub threads: &'a [Thread],
    /// Their frames, innermost first.
    pub frames: &'a [(i32, Vec<Frame>)],
    /// The libraries, which are the modules from 1 on.
    pub libraries: &'a [LoadedLibrary<'a>],
    /// Memory at the stop.
    pub memory: &'a dyn MemorySource,
}

/// What is known of all threads.
#[derive(Debug, Default)]
pub struct Frames {
    threads: HashMap<i32, ThreadFacts>,
}

/// A variable in memory.
#[derive(Clone, Copy, Debug)]
struct Typed {
    start: u64,
    end: u64,
    kind: TypeId,
}

#[derive(Debug, Default)]
struct ThreadFacts {
    /// Its frames as (lowest, behind the highest address).
    extents: Vec<(u64, u64)>,
    /// What lies behind its outermost frame, up to its record: arguments, environment, padding.
    behind: (u64, u64),
    /// Whether the innermost frame is the C library's wrapper of a system call: it holds nothing but the call's arguments.
    is_thin: bool,
    /// From this frame on they are the C library's, which started the thread.
    start: usize,
    /// Variables on its stack.
    variables: Vec<Typed>,
    /// Registers by where they are kept.
    kept: HashMap<Kept, Evidence>,
    /// Addresses in the program that its functions name, its variables point to, or its system call was given.
    addresses: HashSet<u64>,
    /// The same, as the small objects around them.
    objects: Vec<(u64, u64)>,
}

/// Where a register's value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kept {
    Register(u8),
    Slot(u64),
}

impl Frames {
    /// Reads the frames of all threads.
    pub fn new(scene: &Scene<'_>) -> Self {
        let mut reader = Reader { scene, variables: Variables::new(scene.view.old), named: HashMap::new() };
        let threads = scene.threads.iter().filter_map(|thread| {
            let (_, frames) = scene.frames.iter().find(|(tid, _)| *tid == thread.tid)?;
            Some((thread.tid, reader.thread(thread, frames)))
        });
        Self { threads: threads.collect() }
    }

    /// What the word at `address` is, which lies in the live part of a stack.
    pub(super) fn memory(&self, types: &TypeTable, address: RunAddress, word: u64) -> Evidence {
        let found = self.threads.values().find_map(|thread| Some((thread, thread.frame_of(address.0)?)));
        match found {
            Some((thread, frame)) => thread.memory(types, frame, address.0, word),
            None if self.threads.values().any(|thread| (thread.behind.0..thread.behind.1).contains(&address.0)) => {
                Evidence::Number
            }
            None => Evidence::Unknown("it is beside a stack, in no known frame"),
        }
    }

    pub(super) fn register(&self, tid: i32, name: &str, word: u64) -> Evidence {
        if matches!(name, "rip" | "rsp") {
            return Evidence::Address(None);
        }
        let Some(thread) = self.threads.get(&tid) else { return Evidence::Unknown(NOTHING) };
        let number = number(name).unwrap_or(u8::MAX);
        match thread.kept.get(&Kept::Register(number)).copied().unwrap_or(Evidence::Unknown(NOTHING)) {
            Evidence::Unknown(why) => thread.known(word).unwrap_or(Evidence::Unknown(why)),
            evidence => evidence,
        }
    }
}

const NOTHING: &str = "nothing on its thread's stack says what it is";

impl ThreadFacts {
    fn frame_of(&self, address: u64) -> Option<usize> {
        self.extents.iter().position(|(low, high)| (*low..*high).contains(&address))
    }

    fn memory(&self, types: &TypeTable, frame: usize, address: u64, word: u64) -> Evidence {
        let covering = self.variables.iter().filter(|typed| (typed.start..typed.end).contains(&address));
        let by_type = covering.map(|typed| types.word_at(Some(typed.kind), address - typed.start));
        let by_type = by_type.filter(|kind| *kind != WordKind::Bytes).map(evidence).reduce(agreed);
        if let Some(known @ (Evidence::Address(_) | Evidence::Number)) = by_type {
            return known;
        }
        match self.kept.get(&Kept::Slot(address)) {
            Some(known @ (Evidence::Address(_) | Evidence::Number)) => return *known,
            _ if frame >= self.start => return Evidence::Number,
            _ => {}
        }
        match self.known(word) {
            Some(known) => known,
            None if frame == 0 && self.is_thin => Evidence::Number,
            None => by_type.unwrap_or(Evidence::Unknown(NOTHING)),
        }
    }

    /// Whether the thread's own code and variables know the word as an address.
    fn known(&self, word: u64) -> Option<Evidence> {
        let is_known = self.addresses.contains(&word) || self.objects.iter().any(|(start, end)| *start <= word && word < *end);
        is_known.then_some(Evidence::Address(None))
    }
}

struct Reader<'r, 'a> {
    scene: &'r Scene<'a>,
    variables: Variables<'a>,
    /// Addresses that functions name, by their entries.
    named: HashMap<usize, Vec<u64>>,
}

impl Reader<'_, '_> {
    fn thread(&mut self, thread: &Thread, frames: &[Frame]) -> ThreadFacts {
        let own = |frame: &Frame| matches!(frame.module, Some((0, _)));
        let is_thin = frames.first().is_some_and(|frame| self.is_libc(frame))
            && thread.in_syscall.is_some_and(|call| calls::has_wrapper(call.number));
        let mut facts = ThreadFacts { start: self.start(frames), is_thin, ..ThreadFacts::default() };
        let mut low = thread.registers.rsp.saturating_sub(RED_ZONE);
        for frame in frames {
            // A signal may have switched stacks.
            low = match frame.registers[dwarf::RSP] {
                Some(pointer) if frame.is_signal_frame || pointer.value < low => pointer.value,
                _ => low,
            };
            facts.extents.push((low, frame.cfa.0.max(low)));
            low = frame.cfa.0;
        }
        let stack = self.scene.space.mappings.iter().find(|mapping| mapping.range.contains(RunAddress(low)));
        let end = stack.map_or(low, |mapping| mapping.range.end.0);
        let base = thread.registers.fs_base;
        facts.behind = (low, if (low..end).contains(&base) { base } else { end });
        let mut kinds: HashMap<Kept, Vec<Evidence>> = HashMap::new();
        for frame in frames.iter().filter(|frame| own(frame)) {
            self.frame(frame, &mut facts, &mut kinds);
        }
        self.saved(frames, &kinds, &mut facts);
        self.call(thread, &mut facts);
        let objects = &self.scene.view.sides.old.objects;
        let around = facts.addresses.iter().filter_map(|address| objects.list().get(objects.covering(LinkAddress(*address))?));
        facts.objects = around.filter(|object| object.size <= SMALL).map(|object| (object.start.0, object.end().0)).collect();
        facts
    }

    /// The first of the frames that started the thread: behind the program's outermost one, if all of those are the C library's.
    fn start(&self, frames: &[Frame]) -> usize {
        let own = |frame: &Frame| matches!(frame.module, Some((0, _)));
        // The first thread begins in the program's `_start`, which calls the C library.
        let entry = usize::from(frames.last().is_some_and(|frame| self.is_entry(frame)));
        let frames_of_others = frames.len() - entry;
        let Some(last) = frames.iter().take(frames_of_others).rposition(own) else { return frames.len() };
        let outer = frames.get(last + 1..frames_of_others).unwrap_or_default();
        let is_start = !outer.is_empty() && outer.iter().all(|frame| self.is_libc(frame));
        if is_start { last + 1 } else { frames.len() }
    }

    /// Whether a frame is that of the start files' `_start`.
    fn is_entry(&self, frame: &Frame) -> bool {
        let Some((0, link)) = frame.module else { return false };
        let functions = &self.scene.view.sides.old.functions;
        let code = functions.containing(link).and_then(|(index, _)| functions.list().get(index));
        code.is_some_and(|code| code.identity.name == "_start" && code.declared.1 == 0)
    }

    fn is_libc(&self, frame: &Frame) -> bool {
        let position = frame.module.and_then(|(module, _)| module.checked_sub(1));
        position.and_then(|position| self.scene.libraries.get(position)).is_some_and(|loaded| loaded.library.is_libc())
    }

    /// Variables of a frame of the program's, and what its function names.
    fn frame(&mut self, frame: &Frame, facts: &mut ThreadFacts, kinds: &mut HashMap<Kept, Vec<Evidence>>) {
        let Some((_, link)) = frame.module else { return };
        facts.addresses.extend(self.named(link).iter().copied());
        let types = &self.scene.view.old.debug.types;
        for local in self.variables.at(link).unwrap_or_default() {
            let Some(kind) = local.kind else { continue };
            let memory = self.scene.memory;
            let mut word = |address: RunAddress| read_word(memory, address).ok();
            // A fixed-address program runs where it was linked.
            let mut place = variables::Frame { registers: &frame.registers, cfa: frame.cfa, bias: 0, word: &mut word };
            let pieces = self.variables.locate(&local, &mut place);
            let mut skip = 0;
            for Piece { bits, source } in pieces {
                let length = bits.map_or_else(|| types.size_of(Some(kind)).unwrap_or(0), |bits| bits / 8);
                let (value, at) = match source {
                    Source::Memory(address) => {
                        let start = address.0.wrapping_sub(skip);
                        facts.variables.push(Typed { start, end: start.saturating_add(skip + length), kind });
                        self.pointers(kind, address.0, (skip, length), &mut facts.addresses);
                        skip += length;
                        continue;
                    }
                    Source::Register(register) => (Some(register.value), Some(register.place)),
                    Source::Value(value) => (Some(value), None),
                    Source::Unknown => (None, None),
                };
                let by_type = evidence(types.word_at(Some(kind), skip));
                if let (Some(value), Evidence::Address(_)) = (value, by_type)
                    && self.scene.program.contains(RunAddress(value))
                {
                    facts.addresses.insert(value);
                }
                if let Some(kept) = at.and_then(kept) {
                    kinds.entry(kept).or_default().push(by_type);
                }
                skip += length;
            }
        }
    }

    /// What the pointers of a variable in memory point to in the program.
    fn pointers(&self, kind: TypeId, address: u64, (skip, length): (u64, u64), addresses: &mut HashSet<u64>) {
        /// Larger ones are arrays, and rarely of pointers.
        const LOOKED_AT: u64 = 4096;
        let types = &self.scene.view.old.debug.types;
        for offset in (0..length.min(LOOKED_AT)).step_by(8) {
            if let WordKind::Pointer(_) = types.word_at(Some(kind), skip + offset)
                && let Ok(value) = read_word(self.scene.memory, RunAddress(address.wrapping_add(offset)))
                && self.scene.program.contains(RunAddress(value))
            {
                addresses.insert(value);
            }
        }
    }

    /// Registers by the frame that wrote what they hold: the outermost one of those that see the value at one place.
    fn saved(&mut self, frames: &[Frame], kinds: &HashMap<Kept, Vec<Evidence>>, facts: &mut ThreadFacts) {
        for register in 0..16usize {
            let mut from = 0;
            while from < frames.len() {
                let place = |index: usize| frames.get(index).and_then(|frame| frame.registers[register]);
                let Some(value) = place(from) else {
                    from += 1;
                    continue;
                };
                let last =
                    (from..frames.len()).take_while(|index| place(*index).is_some_and(|other| other.place == value.place)).last();
                let last = last.unwrap_or(from);
                if let Some(at) = kept(value.place) {
                    let evidence =
                        self.written(&frames[from..=last], value.value, kinds.get(&at).map(Vec::as_slice), last >= facts.start);
                    facts.kept.insert(at, evidence);
                }
                from = last + 1;
            }
        }
    }

    fn written(&mut self, sharing: &[Frame], word: u64, by_type: Option<&[Evidence]>, by_start: bool) -> Evidence {
        match by_type.and_then(|kinds| kinds.iter().copied().reduce(agreed)) {
            Some(known @ (Evidence::Address(_) | Evidence::Number)) => return known,
            // Left over from before the program's first function: that never reads it.
            _ if by_start => return Evidence::Number,
            _ => {}
        }
        let names = sharing.iter().filter_map(|frame| frame.module.filter(|(module, _)| *module == 0));
        let links: Vec<LinkAddress> = names.map(|(_, link)| link).collect();
        match links.into_iter().any(|link| self.named(link).contains(&word)) {
            true => Evidence::Address(None),
            false => Evidence::Unknown(NOTHING),
        }
    }

    /// Registers of a system call that waits.
    fn call(&self, thread: &Thread, facts: &mut ThreadFacts) {
        let Some(call) = thread.in_syscall else { return };
        let r = &thread.registers;
        let values = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
        for (index, (name, value)) in ARGUMENTS.iter().zip(values).enumerate() {
            let known = calls::is_address(call.number, index, values);
            let Some(at) = number(name).map(Kept::Register) else { continue };
            match known {
                Some(true) => {
                    facts.kept.insert(at, Evidence::Address(None));
                    if self.scene.program.contains(RunAddress(value)) {
                        facts.addresses.insert(value);
                    }
                }
                Some(false) => drop(facts.kept.insert(at, Evidence::Number)),
                None => drop(facts.kept.insert(at, Evidence::Unknown("nothing says what it is"))),
            }
        }
        // The kernel's own: the result, and what the `syscall` instruction stores (AMD64 manual, volume 3).
        for register in [dwarf::RAX, dwarf::RCX, dwarf::R11] {
            facts.kept.insert(Kept::Register(register as u8), Evidence::Number);
        }
    }

    /// The addresses that the function at `link` names: constants and displacements in the program's range.
    fn named(&mut self, link: LinkAddress) -> &[u64] {
        let view = self.scene.view;
        let functions = &view.sides.old.functions;
        let Some((function, _)) = functions.containing(link) else { return &[] };
        let program = self.scene.program;
        self.named.entry(function).or_insert_with(|| {
            let ranges = functions.list().get(function).map_or(&[][..], |code| &code.ranges);
            let code = ranges.iter().filter_map(|(start, length)| Some((start, view.old.elf.file_bytes(*start, *length)?)));
            let mut named: Vec<u64> = code.flat_map(|(start, bytes)| names(start.0, bytes)).collect();
            named.retain(|address| program.contains(RunAddress(*address)));
            named.sort_unstable();
            named.dedup();
            named
        })
    }
}

/// Constants and displacements of code; jumps and calls name nothing that a register holds.
fn names(start: u64, bytes: &[u8]) -> Vec<u64> {
    let mut named = Vec::new();
    for instruction in Decoder::with_ip(64, bytes, start, DecoderOptions::NONE) {
        for (index, kind) in (0u32..).zip(instruction.op_kinds()) {
            match kind {
                OpKind::Memory if instruction.memory_displ_size() >= 4 => named.push(instruction.memory_displacement64()),
                OpKind::Immediate32 | OpKind::Immediate32to64 | OpKind::Immediate64 => {
                    named.extend(instruction.try_immediate(index).ok());
                }
                _ => {}
            }
        }
    }
    named
}

fn kept(place: Place) -> Option<Kept> {
    match place {
        Place::Register(register) => Some(Kept::Register(register)),
        Place::Slot(address) => Some(Kept::Slot(address.0)),
        Place::Computed => None,
    }
}

/// DWARF number of a general register.
fn number(name: &str) -> Option<u8> {
    const NAMES: [&str; 16] =
        ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
    NAMES.iter().position(|known| *known == name).and_then(|index| u8::try_from(index).ok())
}
