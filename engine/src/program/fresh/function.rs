//! One function: its ways are followed until nothing new is learnt; then what it made, and what callers have to know of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory};

use super::bytes::Bytes;
use super::locals::{Local, Place};
use super::program::Program;
use super::state::{ARGUMENTS, RAX, State};
use super::summary::{Size, Summary, Testimony, Told};
use super::types::Target;
use super::value::{Cell, Fresh, Site, Value};
use crate::program::code::{CallSite, Function, FunctionId};
use crate::program::types::TypeId;

/// How often a point may be reached with news; more is code that is not understood.
const VISIT_LIMIT: u32 = 400;

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The function's argument, with its declared type.
    Argument(Option<TypeId>),
    /// A call.
    Call,
}

/// A place where objects come from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) origin: Origin,
    pub(super) address: u64,
    pub(super) size: Size,
    pub(super) told: Told,
    /// The object whenever the function is through with it.
    pub(super) end: Option<Bytes>,
}

/// A pass over one function.
pub(super) struct Walk<'p, 'b> {
    pub(super) program: &'p Program<'b>,
    pub(super) function: &'p Function,
    pub(super) entry: u64,
    pub(super) code: Vec<Instruction>,
    by_address: HashMap<u64, usize>,
    leaders: HashSet<usize>,
    /// Where its jumps through tables lead.
    targets: Vec<usize>,
    pub(super) calls: HashMap<u64, CallSite>,
    locals: &'p [Local],
    begins: HashMap<u64, Vec<usize>>,
    pub(super) info: InstructionInfoFactory,
    pub(super) sites: Vec<Source>,
    site_of_call: BTreeMap<u64, Site>,
    /// The instruction in hand.
    pub(super) at: u64,
    pub(super) refused: BTreeMap<usize, u64>,
    pub(super) read_from: BTreeSet<(Cell, TypeId)>,
    pub(super) filled: BTreeSet<Cell>,
    /// What was stored where an argument points to a pointer: (argument, what).
    pub(super) handed: BTreeSet<(Site, Site)>,
    /// The same by functions that were given the argument in their turn.
    pub(super) handed_on: BTreeSet<(Site, TypeId)>,
    pub(super) result: Option<Value>,
    /// Sites whose object there was at some return.
    pub(super) left_with: BTreeSet<Site>,
}

impl<'p, 'b> Walk<'p, 'b> {
    pub(super) fn new(program: &'p Program<'b>, id: FunctionId, function: &'p Function) -> Self {
        let entry = function.entry().0;
        let locals = program.locals.of(entry);
        let mut begins: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, local) in locals.iter().enumerate() {
            begins.entry(local.range.0).or_default().push(index);
        }
        let calls = program.image.calls(id).iter().map(|call| (call.address.0, *call)).collect();
        let mut walk = Self {
            program,
            function,
            entry,
            code: Vec::new(),
            by_address: HashMap::new(),
            leaders: HashSet::new(),
            targets: Vec::new(),
            calls,
            locals,
            begins,
            info: InstructionInfoFactory::new(),
            sites: Vec::new(),
            site_of_call: BTreeMap::new(),
            at: entry,
            refused: BTreeMap::new(),
            read_from: BTreeSet::new(),
            filled: BTreeSet::new(),
            handed: BTreeSet::new(),
            handed_on: BTreeSet::new(),
            result: None,
            left_with: BTreeSet::new(),
        };
        walk.decode();
        walk.find_leaders(id);
        walk.declare_arguments();
        walk
    }

    fn decode(&mut self) {
        for part in &self.function.parts {
            let Some(bytes) = self.program.build.elf.file_bytes(part.start, part.size) else { continue };
            let mut decoder = Decoder::with_ip(64, bytes, part.start.0, DecoderOptions::NONE);
            self.leaders.insert(self.code.len());
            while decoder.can_decode() {
                let instruction = decoder.decode();
                self.by_address.insert(instruction.ip(), self.code.len());
                self.code.push(instruction);
            }
        }
    }

    fn find_leaders(&mut self, id: FunctionId) {
        for (index, instruction) in self.code.iter().enumerate() {
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall | FlowControl::Interrupt => {}
                FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch | FlowControl::XbeginXabortXend => {
                    self.leaders.extend(self.by_address.get(&instruction.near_branch_target()).copied());
                    self.leaders.insert(index + 1);
                }
                _ => drop(self.leaders.insert(index + 1)),
            }
        }
        let targets = self.program.image.table_targets(id);
        self.targets = targets.iter().filter_map(|target| self.by_address.get(&target.0).copied()).collect();
        self.leaders.extend(&self.targets);
    }

    /// The first sites are the arguments. Their types: where a variable lies in the register at the entry, else by the prototype.
    fn declare_arguments(&mut self) {
        let by_prototype = if self.function.clone.is_original() { self.program.parameters(self.function) } else { Vec::new() };
        for (index, register) in ARGUMENTS.into_iter().enumerate() {
            let here = |local: &&Local| local.place == Place::Register(register) && local.range.0 == self.entry;
            let declared = self.locals.iter().find(here).map(|local| local.kind);
            let declared = declared.or_else(|| by_prototype.get(index).copied());
            let told = Told::default();
            self.sites.push(Source {
                origin: Origin::Argument(declared),
                address: self.entry,
                size: Size::Unknown,
                told,
                end: None,
            });
        }
    }

    /// Follows the function. `None` when it is not understood.
    pub(super) fn run(mut self) -> Option<(Summary, Testimony)> {
        let first = *self.by_address.get(&self.entry)?;
        let mut states: HashMap<usize, State> = HashMap::from([(first, State::at_entry(|site| self.is_number(site)))]);
        let mut open = BTreeSet::from([first]);
        let mut visits: HashMap<usize, u32> = HashMap::new();
        while let Some(block) = open.pop_first() {
            let count = visits.entry(block).or_default();
            *count += 1;
            if *count > VISIT_LIMIT {
                return None;
            }
            let Some(state) = states.get(&block).cloned() else { continue };
            for (next, state) in self.block(block, state) {
                let news = match states.entry(next) {
                    std::collections::hash_map::Entry::Occupied(mut known) => {
                        known.get_mut().join(&state, |a, b| self.program.types.meet(a, b))
                    }
                    std::collections::hash_map::Entry::Vacant(vacant) => {
                        vacant.insert(state);
                        true
                    }
                };
                if news {
                    open.insert(next);
                }
            }
        }
        self.refuse_refilled();
        Some(self.finish())
    }

    /// Follows a block up to where ways part or meet; what comes next, with its state.
    fn block(&mut self, start: usize, mut state: State) -> Vec<(usize, State)> {
        let mut index = start;
        let mut behind = 0;
        loop {
            // Code that runs on behind the function's last instruction follows a call that does not return.
            let Some(instruction) = self.code.get(index).copied() else { return Vec::new() };
            if index != start && instruction.ip() != behind {
                return Vec::new();
            }
            if index != start && self.leaders.contains(&index) {
                return vec![(index, state)];
            }
            behind = instruction.next_ip();
            self.at = instruction.ip();
            self.variables_begin(&mut state);
            index += 1;
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::Interrupt => self.step(&instruction, &mut state),
                FlowControl::Call | FlowControl::IndirectCall => {
                    if !self.call(&instruction, &mut state) {
                        return Vec::new();
                    }
                }
                FlowControl::Return => {
                    self.leave(&state, state.register(RAX));
                    return Vec::new();
                }
                FlowControl::ConditionalBranch => return self.branch(&instruction, index, state),
                FlowControl::UnconditionalBranch => match self.by_address.get(&instruction.near_branch_target()) {
                    Some(next) if !self.is_tail_call(&instruction) => return vec![(*next, state)],
                    _ => return self.tail_call(&instruction, state),
                },
                FlowControl::IndirectBranch => {
                    if self.is_tail_call(&instruction) {
                        return self.tail_call(&instruction, state);
                    }
                    return self.switch(&state);
                }
                _ => return Vec::new(),
            }
        }
    }

    fn is_tail_call(&self, instruction: &Instruction) -> bool {
        self.calls.get(&instruction.ip()).is_some_and(|call| call.is_tail)
    }

    /// A jump through a table: to each of its targets, or anywhere.
    fn switch(&self, state: &State) -> Vec<(usize, State)> {
        let mut targets = self.targets.clone();
        if targets.is_empty() {
            targets.extend(&self.leaders);
        }
        targets.sort_unstable();
        targets.dedup();
        targets.into_iter().map(|target| (target, state.clone())).collect()
    }

    fn branch(&mut self, instruction: &Instruction, next: usize, state: State) -> Vec<(usize, State)> {
        use iced_x86::ConditionCode;
        let (mut taken, mut other) = (state.clone(), state);
        if let Some(Value::Fresh(Fresh { site, offset: 0, exact: true, sure: true, doubtful: false })) = taken.tested {
            match instruction.condition_code() {
                ConditionCode::e => without(&mut taken, site),
                ConditionCode::ne => without(&mut other, site),
                _ => {}
            }
        }
        let mut ways = vec![(next, other)];
        match self.by_address.get(&instruction.near_branch_target()) {
            Some(target) if !self.is_tail_call(instruction) => ways.push((*target, taken)),
            _ => ways.extend(self.tail_call(instruction, taken)),
        }
        ways
    }

    /// A jump to another function: a call, and the end of this one.
    fn tail_call(&mut self, instruction: &Instruction, mut state: State) -> Vec<(usize, State)> {
        if self.call(instruction, &mut state) {
            self.leave(&state, state.register(RAX));
        }
        Vec::new()
    }

    pub(super) fn callee(&self, instruction: &Instruction) -> Option<CallSite> {
        self.calls.get(&instruction.ip()).copied()
    }

    /// Variables that are somewhere from here on.
    fn variables_begin(&mut self, state: &mut State) {
        let Some(begins) = self.begins.get(&self.at).cloned() else { return };
        for local in begins.iter().filter_map(|index| self.locals.get(*index)) {
            let value = match local.place {
                Place::Register(register) => state.register(register),
                Place::Value(register, by) => state.register(register).plus(Some(by)),
                Place::Frame(offset) => match state.slot(offset) {
                    Some(value) => value,
                    None => continue,
                },
                Place::Based(register, by) => match state.register(register).plus(Some(by)) {
                    Value::Stack(offset) => match state.slot(offset) {
                        Some(value) => value,
                        None => continue,
                    },
                    _ => continue,
                },
            };
            // An argument that the function got from its caller is the caller's to explain.
            let is_argument = self.at == self.entry && matches!(value, Value::Fresh(_));
            if !is_argument {
                self.meets(value, local.kind);
            }
            let better = matches!(value, Value::Unknown | Value::Void(_) | Value::Raw | Value::Pointer { .. });
            if let (Place::Register(register), true, Target::Object(to)) =
                (local.place, better, self.program.types.target(local.kind))
            {
                state.set_register(register, self.program.types.pointer(to, 0));
            }
        }
    }

    /// The declared type of the word of the frame at `offset`, here.
    pub(super) fn frame_word(&self, offset: i64) -> Option<TypeId> {
        self.frame_variable(offset).and_then(|(local, within)| self.program.types.word(local.kind, within))
    }

    /// The variable that has the frame's byte at `offset` here, and how far into it that is.
    pub(super) fn frame_variable(&self, offset: i64) -> Option<(&'p Local, i64)> {
        let here = self.locals.iter().filter(|local| (local.range.0..local.range.1).contains(&self.at));
        here.into_iter().find_map(|local| {
            let Place::Frame(start) = local.place else { return None };
            let within = offset.checked_sub(start)?;
            (within >= 0 && within < self.program.types.size(local.kind)?).then_some((local, within))
        })
    }

    /// The site of the call in hand, which is made anew: what it got before is the function's no more.
    pub(super) fn site_of_call(&mut self, state: &mut State, size: Size) -> Site {
        let next = self.sites.len() as Site;
        let site = *self.site_of_call.entry(self.at).or_insert(next);
        if site == next {
            let (origin, told) = (Origin::Call, Told::default());
            self.sites.push(Source { origin, address: self.at, size, told, end: None });
        }
        self.site_mut(site, |source| {
            if source.size != size {
                source.size = Size::Unknown;
            }
        });
        self.end(state, site);
        state.kept.retain(|kept| kept.1 != site);
        state.change_pointers(site, |value| match value {
            Value::Fresh(fresh) => Value::Fresh(Fresh { sure: false, ..fresh }),
            other => other,
        });
        site
    }

    pub(super) fn site_mut(&mut self, site: Site, change: impl FnOnce(&mut Source)) {
        if let Some(source) = self.sites.get_mut(site as usize) {
            change(source);
        }
    }
}

/// There is no object of `site` on this way: its allocation failed.
fn without(state: &mut State, site: Site) {
    state.objects.remove(&site);
    state.change_pointers(site, |_| Value::Const(0));
    state.tested = None;
}
