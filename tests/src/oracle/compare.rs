//! Compares what a plan gives to frames with what the new program has in them.

use std::collections::HashMap;
use std::ops::AddAssign;

use dsu_engine::tracee::memory::RemoteMemory;
use dsu_engine::tracee::procfs::MapLine;
use dsu_formats::address::{RunAddress, RunRange};

use super::meaning::{Space, canary};
use super::plan::{Fate, FramePlan, Place, PlacedObject, PlacedValue, ThreadPlan};
use super::scratch::{Frame, Scratch, Thread};

/// Bits that an address has in user space.
const ADDRESS_BITS: u64 = 0x7fff_ffff_ffff;

/// How many locations came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The same bits.
    pub equal: usize,
    /// Another number with the same meaning.
    pub meaning: usize,
    /// Neither.
    pub wrong: usize,
    /// Bytes of a variable that differ and that nothing reads: the new program runs alike with either.
    pub unread: usize,
    /// Given to a frame that the new program has elsewhere, or not at all: there is nothing to compare with.
    pub elsewhere: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.equal += other.equal;
        self.meaning += other.meaning;
        self.wrong += other.wrong;
        self.unread += other.unread;
        self.elsewhere += other.elsewhere;
    }
}

/// A comparison: counts, and a line for each location that is wrong or elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// How many.
    pub counts: Counts,
    /// Which.
    pub findings: Vec<String>,
    /// Words of variables that differ. A variable is carried whole, read or not: whether anything reads the word is still to be seen.
    pub doubts: Vec<Doubt>,
}

/// A word of a variable that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Where it is in the new program.
    pub address: u64,
    /// What the plan gives it.
    pub planned: Vec<u8>,
    /// What is to be said if it is read.
    pub finding: String,
}

/// The process that the plan is for.
pub struct Planned<'a> {
    /// Its threads.
    pub stacks: &'a [ThreadPlan],
    /// Its mappings, and where the old program lies in it.
    pub maps: &'a [MapLine],
    /// Where the old program lies.
    pub old_program: RunRange,
    /// Its memory, in which nothing has been changed.
    pub memory: &'a RemoteMemory,
}

/// Compares every location that a frame is given. Frames are matched by function and depth: the n-th of that name from the outermost.
pub fn compare(planned: &Planned<'_>, scratch: &Scratch) -> Comparison {
    let mut result = Comparison::default();
    if planned.stacks.len() != scratch.threads.len() {
        let counts = (planned.stacks.len(), scratch.threads.len());
        result.findings.push(format!("threads: planned {}, the new program has {}", counts.0, counts.1));
        return result;
    }
    let spaces = Spaces::new(planned, scratch);
    for (plan, thread) in planned.stacks.iter().zip(&scratch.threads) {
        let known = by_function(thread.frames.iter().map(|frame| frame.function.as_str()));
        let wanted = by_function(plan.frames.iter().map(|frame| source_name(&frame.function)));
        let mut found: HashMap<&(String, usize), usize> = HashMap::new();
        for (index, key) in known.iter().enumerate() {
            found.insert(key, index);
        }
        for (frame, key) in plan.frames.iter().zip(&wanted).filter(|(frame, _)| frame.fate == Fate::Rebuilt) {
            let Some(spaces) = &spaces else { continue };
            let real = found.get(key).and_then(|index| thread.frames.get(*index));
            FrameCheck { plan: frame, thread, scratch, spaces, result: &mut result }.run(real);
        }
    }
    result
}

/// A function's name without what a compiler adds to a clone's.
fn source_name(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// For each frame its function, and how many frames of that function lie further out.
fn by_function<'n>(names: impl DoubleEndedIterator<Item = &'n str>) -> Vec<(String, usize)> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let outermost_first = names.rev().map(|name| {
        let count = seen.entry(name).or_default();
        *count += 1;
        (name.to_owned(), *count - 1)
    });
    let mut keys: Vec<_> = outermost_first.collect();
    keys.reverse();
    keys
}

/// Both address spaces.
struct Spaces<'a> {
    planned: Space<'a>,
    scratch: Space<'a>,
}

impl<'a> Spaces<'a> {
    /// None where a frame has no place in the new process: what lies where is then unknown.
    fn new(planned: &Planned<'a>, scratch: &'a Scratch) -> Option<Self> {
        let place = |frame: &FramePlan| frame.new.map(|position| position.cfa);
        let layout = |thread: &ThreadPlan| thread.frames.iter().map(place).collect::<Option<Vec<u64>>>();
        let stacks = planned.stacks.iter().map(layout).collect::<Option<Vec<_>>>()?;
        let base = new_base(planned, scratch)?;
        let program = RunRange::new(base, base + scratch.program.len());
        let old_program = Some(planned.old_program);
        let real = |thread: &Thread| thread.frames.iter().map(|frame| frame.cfa).collect();
        let scratch_stacks = scratch.threads.iter().map(real).collect();
        Some(Spaces {
            planned: Space {
                program,
                old_program,
                maps: planned.maps,
                stacks,
                canary: canary(planned.memory),
                memory: planned.memory,
            },
            scratch: Space {
                program: scratch.program,
                old_program: None,
                maps: &scratch.maps,
                stacks: scratch_stacks,
                canary: canary(scratch.memory()),
                memory: scratch.memory(),
            },
        })
    }
}

/// Where the plan puts the new program: the leader's outermost frame is that of the code that every program starts with.
fn new_base(planned: &Planned<'_>, scratch: &Scratch) -> Option<u64> {
    let start = planned.stacks.first()?.frames.last()?.new?.pc;
    let real = scratch.threads.first()?.frames.last()?.pc;
    let base = start.checked_sub(real.checked_sub(scratch.program.start.0)?)?;
    assert!(base % 0x1000 == 0, "the outermost frame goes on at {start:#x} in the plan and at {real:#x} in the new program");
    Some(base)
}

/// The comparison of one frame.
struct FrameCheck<'a> {
    plan: &'a FramePlan,
    thread: &'a Thread,
    scratch: &'a Scratch,
    spaces: &'a Spaces<'a>,
    result: &'a mut Comparison,
}

impl FrameCheck<'_> {
    fn run(mut self, real: Option<&Frame>) {
        let function = &self.plan.function;
        let Some(real) = real else {
            return self.elsewhere(format!("`{function}` has no frame in the new program"));
        };
        let Some(new) = self.plan.new else { return };
        if !self.spaces.planned.same(new.pc, &self.spaces.scratch, real.pc) {
            let planned = self.spaces.planned.meaning(new.pc);
            let found = self.spaces.scratch.meaning(real.pc);
            return self
                .elsewhere(format!("`{function}` goes on at {planned:x?} in the plan and at {found:x?} in the new program"));
        }
        for value in &self.plan.values {
            self.value(value, real);
        }
        for object in &self.plan.objects {
            self.object(object, real);
        }
    }

    fn elsewhere(&mut self, finding: String) {
        self.result.counts.elsewhere += self.plan.values.len() + self.plan.objects.len();
        self.result.findings.push(finding);
    }

    fn value(&mut self, value: &PlacedValue, real: &Frame) {
        let found = match value.place {
            // What call frame information gives up may still be there: the plan says that no deeper frame writes it.
            Place::Register(number) => {
                let known = real.registers.get(number).copied().flatten();
                known.or(self.thread.machine.get(number).copied()).unwrap_or_default()
            }
            Place::Slot(offset) => {
                let mut bytes = [0; 8];
                let length = usize::from(value.length).min(8);
                self.read(real.cfa.wrapping_add_signed(offset), bytes.get_mut(..length).unwrap_or_default());
                u64::from_le_bytes(bytes)
            }
        };
        let PlacedValue { place, length, bits, why, reader, .. } = value;
        let what = || format!("{place} ({length} bytes, bits {bits:#x}; {why}; read at {reader})");
        let Some(stored) = value.value else {
            self.result.counts.elsewhere += 1;
            return self.result.findings.push(format!("`{}`: nothing is stored in {}", self.plan.function, what()));
        };
        self.judge(stored & value.bits, found & value.bits, bits & ADDRESS_BITS == ADDRESS_BITS, what);
    }

    /// Word by word, as the words lie in memory.
    fn object(&mut self, object: &PlacedObject, real: &Frame) {
        let (Place::Slot(offset), Some(bytes)) = (object.new, &object.bytes) else {
            self.result.counts.elsewhere += 1;
            let finding = format!("`{}`: variable `{}` at {} is given nothing", self.plan.function, object.name, object.new);
            return self.result.findings.push(finding);
        };
        let start = real.cfa.wrapping_add_signed(offset);
        let mut found = vec![0; bytes.len()];
        self.read(start, &mut found);
        let mut at = 0;
        while at < found.len() {
            let length = (8 - (start as usize + at) % 8).min(found.len() - at);
            let word = |bytes: &[u8]| {
                let mut word = [0; 8];
                word.iter_mut().zip(bytes.iter().skip(at).take(length)).for_each(|(to, from)| *to = *from);
                u64::from_le_bytes(word)
            };
            let (planned, real) = (word(bytes), word(&found));
            let wrong = self.result.counts.wrong;
            self.judge(planned, real, length == 8, || format!("variable `{}` at {}, byte {at}", object.name, object.new));
            if self.result.counts.wrong > wrong
                && let Some(finding) = self.result.findings.pop()
            {
                self.result.counts.wrong = wrong;
                let planned = bytes.iter().skip(at).take(length).copied().collect();
                self.result.doubts.push(Doubt { address: start + at as u64, planned, finding });
            }
            at += length;
        }
    }

    fn read(&self, address: u64, buffer: &mut [u8]) {
        let result = self.scratch.memory().read(RunAddress(address), buffer);
        result.unwrap_or_else(|error| panic!("the new program's frame: {error}"));
    }

    fn judge(&mut self, planned: u64, found: u64, may_be_address: bool, what: impl FnOnce() -> String) {
        let counts = &mut self.result.counts;
        if planned == found {
            counts.equal += 1;
        } else if may_be_address && self.spaces.planned.same(planned, &self.spaces.scratch, found) {
            counts.meaning += 1;
        } else {
            counts.wrong += 1;
            let meanings = (self.spaces.planned.meaning(planned), self.spaces.scratch.meaning(found));
            self.result.findings.push(format!(
                "WRONG in `{}`: {}: planned {planned:#x} {:x?}, the new program has {found:#x} {:x?}",
                self.plan.function,
                what(),
                meanings.0,
                meanings.1
            ));
        }
    }
}
