//! Every word that is looked at goes through here: what it becomes, and what is learnt on the way.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::address::{OldLink, OldRun};
use super::blocker::{Blocker, PointerReason};
use super::data::rewrite::{Known, Outside};
use super::fixed::{EITHER, Evidence, Typing};
use super::frames;
use super::moves::{Moves, Target};
use super::pointers::boundary::pointee;
use super::pointers::{Decision, Pointers, Site};
use super::rewrite::Allocations;
use super::safe_point::ActiveStacks;
use super::source::{MemorySource, read_word};
use crate::plan::compare::strings::is_text;
use crate::program::types::TypeId;

/// The general registers as messages name them, by DWARF number.
pub const NAMES: [&str; 16] =
    ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];

/// Most blockers that are listed for pointers: a program full of them has one cause.
const MOST_BLOCKERS: usize = 200;
/// Longest retained string that is read.
const LONGEST: u64 = 1 << 16;

/// What holds a word, for messages.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// A variable of the old program.
    Variable {
        /// Its name.
        name: &'a str,
        /// Offset in bytes.
        offset: u64,
        /// Address of the word.
        address: RunAddress,
    },
    /// Memory; the owner's name is found when it is needed.
    Memory {
        /// Address of the word.
        address: RunAddress,
    },
    /// A register.
    Register {
        /// Thread.
        tid: i32,
        /// Register.
        name: &'a str,
    },
    /// What epoll gives back for a descriptor.
    Watch {
        /// The descriptor.
        descriptor: i32,
    },
    /// A value that the kernel gives back with a signal: a timer's, or that of a signal that waits.
    Value {
        /// Whose.
        what: &'a str,
        /// Its number.
        number: i64,
    },
    /// Something else that the kernel keeps.
    Kernel {
        /// What.
        what: &'a str,
        /// Its number.
        number: i64,
    },
}

impl Holder<'_> {
    fn address(&self) -> Option<RunAddress> {
        match self {
            Holder::Variable { address, .. } | Holder::Memory { address } => Some(*address),
            Holder::Register { .. } | Holder::Watch { .. } | Holder::Value { .. } | Holder::Kernel { .. } => None,
        }
    }

    /// Whether the vessel can give it the address of a block that is made there.
    fn takes_new_blocks(&self) -> bool {
        !matches!(self, Holder::Kernel { .. })
    }
}

impl fmt::Display for Holder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Variable { name, offset: 0, .. } => write!(f, "variable `{name}`"),
            Holder::Variable { name, offset, .. } => write!(f, "variable `{name}` (+{offset:#x})"),
            Holder::Memory { address } => write!(f, "the word at {address}"),
            Holder::Register { tid, name } => write!(f, "register {name} of thread {tid}"),
            Holder::Watch { descriptor } => write!(f, "the epoll data of descriptor {descriptor}"),
            Holder::Value { what, number } | Holder::Kernel { what, number } => write!(f, "{what} {number}"),
        }
    }
}

/// A readable range that an earlier update retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OldLiteral {
    /// Its addresses.
    pub range: RunRange,
    /// Whether some word still points there after this update.
    pub used: bool,
}

/// Whether a word may be gone a moment later.
fn is_passing(site: Site) -> bool {
    matches!(site, Site::Register | Site::Stack { .. })
}

fn is_aligned(holder: Holder<'_>) -> bool {
    holder.address().is_none_or(|address| address.0.is_multiple_of(8))
}

/// What is known of a word of a fixed-address program.
fn told(typing: &Typing<'_>, word: u64, site: Site, holder: Holder<'_>) -> Evidence {
    match (site, holder) {
        (Site::ReturnAddress | Site::Typed(_) | Site::PointsTo(_), _) => Evidence::Address(None),
        (_, Holder::Variable { address, .. } | Holder::Memory { address }) => typing.memory(address, word, site),
        (_, Holder::Register { tid, name }) => typing.register(tid, name, word),
        (_, Holder::Watch { .. }) => typing.watch(word),
        (_, Holder::Value { .. } | Holder::Kernel { .. }) => {
            Evidence::Unknown("the program sends numbers as well as pointers there")
        }
    }
}

/// Names the owner of an address, for messages.
pub type Describe<'a> = &'a (dyn Fn(RunAddress) -> Option<String> + Sync);

/// Rewrites words and remembers what that needs.
pub struct Words<'a> {
    /// The rules.
    pub pointers: Pointers<'a>,
    /// Memory at the stop.
    pub memory: &'a dyn MemorySource,
    /// The pointer guard of the C library (`fs:0x30`).
    pub guard: u64,
    /// Names owners of memory.
    pub describe: Describe<'a>,
    /// Literals of earlier programs.
    pub literals: Vec<OldLiteral>,
    /// Objects outside the program that move.
    pub moves: Arc<Moves>,
    /// For a fixed-address program: which words are addresses.
    pub typing: Option<&'a Typing<'a>>,
    /// Stacks with a changed function on them: what they hold is decided when it has left.
    pub active: Arc<ActiveStacks>,
    /// Registers that nobody reads again, wherever they are saved.
    pub idle: Arc<frames::IdleRegisters>,
    /// Parts of the old program that stay readable.
    pub kept: Vec<(OldLink, OldLink)>,
    /// Where mangled words are that lead into stacks which are made anew.
    pub jumps: Vec<RunAddress>,
    /// Words rewritten.
    pub rewritten: u64,
    /// Of these, mangled ones.
    pub mangled: u64,
    /// Pointers that no rule decides: of those with one value the first.
    pub blockers: Vec<Blocker>,
    /// How many there are of each value, passing or not.
    alike: HashMap<(u64, bool), u64>,
}

impl<'a> Words<'a> {
    /// Nothing rewritten yet.
    pub fn new(
        pointers: Pointers<'a>,
        memory: &'a dyn MemorySource,
        guard: u64,
        describe: Describe<'a>,
        literals: Vec<OldLiteral>,
        moves: Arc<Moves>,
    ) -> Self {
        Self {
            pointers,
            memory,
            guard,
            describe,
            literals,
            moves,
            typing: None,
            active: Arc::default(),
            idle: Arc::default(),
            kept: Vec::new(),
            jumps: Vec::new(),
            rewritten: 0,
            mangled: 0,
            blockers: Vec::new(),
            alike: HashMap::new(),
        }
    }

    /// The same rules, with nothing learnt: for another thread.
    pub fn fork(&self) -> Words<'a> {
        let (literals, moves) = (self.literals.clone(), Arc::clone(&self.moves));
        let fork = Words::new(self.pointers, self.memory, self.guard, self.describe, literals, moves);
        Words { active: Arc::clone(&self.active), idle: Arc::clone(&self.idle), typing: self.typing, ..fork }
    }

    /// Takes over what a fork has learnt.
    pub fn join(&mut self, other: Words<'a>) {
        for (mine, theirs) in self.literals.iter_mut().zip(other.literals) {
            mine.used |= theirs.used;
        }
        self.kept.extend(other.kept);
        self.jumps.extend(other.jumps);
        self.rewritten += other.rewritten;
        self.mangled += other.mangled;
        let known = &self.alike;
        let is_new = |blocker: &Blocker| !matches!(blocker, Blocker::Pointer { value, passing, .. } if known.contains_key(&(value.0, *passing)));
        let room = MOST_BLOCKERS.saturating_sub(self.blockers.len());
        self.blockers.extend(other.blockers.into_iter().filter(is_new).take(room));
        for (value, count) in other.alike {
            *self.alike.entry(value).or_default() += count;
        }
    }

    /// The pointers that no rule decides, each with how many more there are of its value.
    pub fn take_blockers(&mut self) -> Vec<Blocker> {
        let mut blockers = std::mem::take(&mut self.blockers);
        for blocker in &mut blockers {
            if let Blocker::Pointer { value, passing, others, .. } = blocker {
                *others = self.alike.get(&(value.0, *passing)).map_or(0, |count| count - 1);
            }
        }
        blockers
    }

    /// The demangled word (`ror 17`, xor guard), as glibc mangles saved addresses.
    pub fn demangle(&self, word: u64) -> u64 {
        word.rotate_right(17) ^ self.guard
    }

    /// What `word` becomes at a place of unknown type; `None` when it stays. Mangled addresses are recognised.
    pub fn rewrite(&mut self, word: u64, site: Site, holder: Holder<'_>) -> Option<u64> {
        let pointee = holder.address().and_then(|address| self.moves.pointee(address));
        self.rewrite_pointer(word, site, pointee, holder)
    }

    /// As [`Words::rewrite`] for a word that is known to point to `pointee`, canonical, where that is known.
    pub fn rewrite_pointer(&mut self, word: u64, site: Site, pointee: Option<TypeId>, holder: Holder<'_>) -> Option<u64> {
        let site = match pointee.filter(|_| site == Site::Memory) {
            Some(pointee) => Site::PointsTo(pointee),
            None => site,
        };
        if let Some(typing) = self.typing
            && let Some(link) = self.pointers.placement.old_link(word)
        {
            return self.untold(typing, (word, link), site, holder);
        }
        if let Some(decision) = self.pointers.decide(word, site) {
            return self.apply(word, &decision, site, holder);
        }
        if let Some(found) = self.literal(word, site, holder) {
            return found;
        }
        match self.moves.follow(word, pointee) {
            Target::Same => {}
            _ if holder.address().is_some_and(|address| self.moves.is_allocators(address)) => return None,
            Target::To(moved) => return self.moved(word, moved, site, holder),
            Target::Undecided(object, kind, reason) => {
                let kind = self.pointers.view.old.debug.types.describe(kind);
                let reason = PointerReason::Object { kind, object, offset: word.wrapping_sub(object.0), reason };
                self.block(word, reason, is_passing(site), holder);
                return None;
            }
            Target::Gone { function, offset, what } => {
                self.lost((word, function, offset, what), holder);
                return None;
            }
        }
        let plain = self.demangle(word);
        // The address behind the last byte of the program is never an entry: as a mangled word it would be chance.
        if plain == self.pointers.placement.old_range().end.0 {
            return None;
        }
        let Some(decision) = self.pointers.decide(plain, Site::Memory) else { return self.jump(plain, holder) };
        let moved = self.apply(plain, &decision, site, holder)?;
        self.mangled += 1;
        Some(self.mangle(moved))
    }

    /// A mangled word as glibc saves it.
    pub fn mangle(&self, word: u64) -> u64 {
        (word ^ self.guard).rotate_left(17)
    }

    /// A mangled stack or frame pointer, as a jump buffer has it.
    fn jump(&mut self, plain: u64, holder: Holder<'_>) -> Option<u64> {
        let moved = match self.moves.frames().follow(plain) {
            frames::Followed::Same => return None,
            frames::Followed::To(moved) => moved,
            frames::Followed::Gone { function, offset, what } => {
                self.lost((plain, function, offset, what), holder);
                return None;
            }
        };
        self.jumps.extend(holder.address());
        (moved != plain).then(|| {
            self.rewritten += 1;
            self.mangled += 1;
            self.mangle(moved)
        })
    }

    /// As [`Words::rewrite`] for a word that is an address by its nature.
    pub fn rewrite_address(&mut self, word: u64, holder: Holder<'_>) -> Option<u64> {
        match self.pointers.decide(word, Site::Memory).filter(|_| self.typing.is_some()) {
            Some(decision) => self.apply(word, &decision, Site::Memory, holder),
            None => self.rewrite(word, Site::Memory, holder),
        }
    }

    /// A word in the range of a fixed-address program: an address only where something says so (PROOF 1.5).
    fn untold(&mut self, typing: &Typing<'_>, (word, link): (u64, OldLink), site: Site, holder: Holder<'_>) -> Option<u64> {
        match told(typing, word, site, holder) {
            Evidence::Number => None,
            Evidence::Address(kind) => {
                let site = kind.filter(|_| site == Site::Memory).map_or(site, Site::Typed);
                let decision = self.pointers.decide_link(link, site);
                self.apply(word, &decision, site, holder)
            }
            // Pointers lie at multiples of eight, but in packed structures, of which there are types.
            Evidence::Unknown(evidence) if evidence != EITHER && !is_aligned(holder) => None,
            Evidence::Unknown(evidence) => {
                // An address that stays is right either way, and so is what a call left on a stack that nobody returns by.
                let stays = self.pointers.word(&self.pointers.decide_link(link, site)) == Some(word);
                if !stays && !self.pointers.is_leftover(link, site) && !self.is_active(&holder) {
                    let symbol = self.pointers.view.old.place(link.0);
                    self.block(word, PointerReason::Untyped { symbol, evidence }, is_passing(site), holder);
                }
                None
            }
        }
    }

    /// As [`Words::rewrite`] for a word whose type may be known.
    pub fn carried(&mut self, word: u64, kind: impl FnOnce() -> Option<TypeId>, holder: Holder<'_>) -> Option<u64> {
        let inside = self.pointers.placement.old_link(word).is_some();
        let known = holder.address().and_then(|address| self.moves.pointee(address));
        if !inside && known.is_none() && matches!(self.moves.follow(word, None), Target::Undecided(..)) {
            let types = &self.pointers.view.old.debug.types;
            let target = kind().and_then(|kind| pointee(types, kind)).and_then(|target| types.normal(Some(target)));
            return self.rewrite_pointer(word, Site::Memory, target, holder);
        }
        let site = if inside { kind().map_or(Site::Memory, Site::Typed) } else { Site::Memory };
        self.rewrite(word, site, holder)
    }

    /// A word into an object that moves, which may go into a block that is yet to be made.
    fn moved(&mut self, word: u64, moved: u64, site: Site, holder: Holder<'_>) -> Option<u64> {
        if moved == word {
            return None;
        }
        if Allocations::may_hold(moved) && !holder.takes_new_blocks() {
            self.block(word, PointerReason::NewBlock, is_passing(site), holder);
            return None;
        }
        self.rewritten += 1;
        Some(moved)
    }

    fn apply(&mut self, word: u64, decision: &Decision, site: Site, holder: Holder<'_>) -> Option<u64> {
        match decision {
            Decision::Keep(start, end) => {
                self.kept.push((*start, *end));
                // What cannot stay where it is lies as far above as all of it does.
                if self.typing.is_some() {
                    self.rewritten += 1;
                    return Some(word.wrapping_add(self.pointers.placement.lifted()));
                }
            }
            Decision::Blocked(reason) => {
                let on_stack = is_passing(site) || site == Site::ReturnAddress;
                if !on_stack || !self.is_active(&holder) {
                    // What leads to nothing that the program knows is as a rule what is left of an address in a buffer that has been used
                    // again: nobody can tell, but it may be gone a moment later.
                    let is_remainder = site == Site::Memory && matches!(reason, PointerReason::Unknown { .. });
                    self.block(word, reason.clone(), is_passing(site) || is_remainder, holder);
                }
            }
            Decision::Stale => {}
            Decision::Move(_) | Decision::Elsewhere(_) => {
                let moved = self.pointers.word(decision)?;
                self.rewritten += 1;
                return Some(moved);
            }
        }
        None
    }

    /// A word into a frame that is made anew, to nothing that it still has. Who points into a frame may be gone with it.
    fn lost(&mut self, (word, function, offset, what): (u64, String, i64, &'static str), holder: Holder<'_>) {
        let plain = |address| read_word(self.memory, address).ok().map(|word| self.demangle(word));
        let is_idle = match holder {
            Holder::Register { tid, name } => {
                let register = NAMES.iter().position(|known| *known == name);
                register.is_some_and(|register| self.idle.is_register(tid, register))
            }
            _ => holder.address().is_some_and(|address| self.idle.is_word(address, plain)),
        };
        if !is_idle {
            self.block(word, PointerReason::Frame { function, offset, what }, true, holder);
        }
    }

    /// Whether the thread is refused for what is active on its stack: that says it all.
    fn is_active(&self, holder: &Holder<'_>) -> bool {
        match holder {
            Holder::Memory { address } => self.active.regions.iter().any(|region| region.contains(*address)),
            Holder::Register { tid, .. } => self.active.threads.contains(tid),
            Holder::Variable { .. } | Holder::Value { .. } | Holder::Kernel { .. } | Holder::Watch { .. } => false,
        }
    }

    /// Records that no rule decides `word`.
    pub fn block(&mut self, word: u64, reason: PointerReason, passing: bool, holder: Holder<'_>) {
        let count = self.alike.entry((word, passing)).or_default();
        *count += 1;
        if *count > 1 || self.blockers.len() >= MOST_BLOCKERS {
            return;
        }
        let address = holder.address();
        let owner = match holder {
            Holder::Memory { address } => self.owner(address).map(|owner| format!("{holder} ({owner})")),
            _ => None,
        };
        let holder = owner.unwrap_or_else(|| holder.to_string());
        self.blockers.push(Blocker::Pointer { holder, address, value: RunAddress(word), passing, others: 0, reason });
    }

    /// Whose memory `address` is in: one of the program's variables, or what else is known of it.
    fn owner(&self, address: RunAddress) -> Option<String> {
        let own = self.pointers.placement.old_link(address.0).map(|link| self.pointers.view.old.place(link.0));
        own.or_else(|| (self.describe)(address))
    }

    /// A word into a literal that an earlier update retained: to the equal string of the new program, else it stays and the
    /// literal with it. `None` when it points to no such literal.
    fn literal(&mut self, word: u64, site: Site, holder: Holder<'_>) -> Option<Option<u64>> {
        let position = self.literals.iter().position(|literal| literal.range.contains(RunAddress(word)))?;
        let range = self.literals[position].range;
        // Where no type would tell it again among small numbers, it stays where it is told by its value.
        let is_told = self.typing.is_none_or(|typing| matches!(told(typing, word, site, holder), Evidence::Address(_)));
        let found = if is_told { self.equal_string(OldRun(RunAddress(word)), range) } else { None };
        if found.is_some() {
            self.rewritten += 1;
        } else {
            self.literals[position].used = true;
        }
        Some(found)
    }

    fn equal_string(&self, address: OldRun, range: RunRange) -> Option<u64> {
        let address = address.0.0;
        let from = range.start.0.max(address.saturating_sub(LONGEST));
        let to = range.end.0.min(address.saturating_add(LONGEST));
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        self.memory.read(RunAddress(from), &mut bytes).ok()?;
        let at = (address - from) as usize;
        let start = bytes[..at].iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
        let end = at + bytes[at..].iter().position(|byte| *byte == 0)?;
        let whole = bytes.get(start..end).filter(|content| is_text(content)).map(|content| (start, content));
        let (start, content) = whole.or_else(|| bytes.get(at..end).filter(|rest| is_text(rest)).map(|rest| (at, rest)))?;
        let found = self.pointers.view.sides.new.strings.find(content)?;
        let link = super::address::NewLink(found.offset((at - start) as u64));
        Some(self.pointers.placement.new_run(link).0.0)
    }
}

impl Outside for Words<'_> {
    fn fork(&self) -> Self {
        Words::fork(self)
    }

    fn join(&mut self, fork: Self) {
        Words::join(self, fork);
    }

    fn follow(&mut self, word: u64, known: Known, holder: RunAddress) -> Option<u64> {
        let holder = Holder::Memory { address: holder };
        let link = self.pointers.placement.old_link(word).filter(|_| self.typing.is_some());
        match (known, link) {
            (Known::Pointer(target), Some(link)) => {
                let site = target.map_or(Site::Memory, Site::PointsTo);
                self.apply(word, &self.pointers.decide_link(link, site), site, holder)
            }
            (Known::Other, Some(link)) => {
                let symbol = self.pointers.view.old.place(link.0);
                let evidence = "it is in an object whose type changes, and no pointer of that";
                self.block(word, PointerReason::Untyped { symbol, evidence }, false, holder);
                None
            }
            (Known::Pointer(target), None) => self.rewrite_pointer(word, Site::Memory, target, holder),
            (Known::Other, None) => self.rewrite_pointer(word, Site::Memory, None, holder),
        }
    }
}
