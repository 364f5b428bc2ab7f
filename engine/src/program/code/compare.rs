//! Whether an old and a new function are the same code.

use super::functions::FunctionId;
use super::image::CodeImage;
use super::reference::{FunctionCode, PartCode, Role};
use super::referents::{Verdict, Within};
use crate::program::address::LinkAddress;

/// Which things of the old build are which of the new one. Addresses are starts: of functions, of objects.
pub trait Pairing: Sync {
    /// Whether the functions entered at these addresses are paired.
    fn same_function(&self, old: LinkAddress, new: LinkAddress) -> bool;

    /// Whether the variables that start at these addresses are paired.
    fn same_object(&self, old: LinkAddress, new: LinkAddress) -> bool;

    /// Whether the thread-local variables at these offsets of the TLS blocks are paired.
    fn same_thread_local(&self, old: u64, new: u64) -> bool;
}

/// How an old function compares with a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same instructions modulo relocation. Every place in it is at the same offset of the same part.
    Same,
    /// The same but for the content of string literals.
    SameButLiterals(Vec<LiteralChange>),
    /// Different, or not known to be the same.
    Different(Difference),
}

impl Comparison {
    /// Whether the code is the same, whatever its literals say.
    pub fn is_same(&self) -> bool {
        !matches!(self, Comparison::Different(_))
    }
}

/// A string literal whose content changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiteralChange {
    /// The old instruction that names it.
    pub instruction: LinkAddress,
    /// The old literal.
    pub old: LinkAddress,
    /// The new literal.
    pub new: LinkAddress,
}

/// The first difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The old instruction.
    pub old: LinkAddress,
    /// The new instruction.
    pub new: LinkAddress,
    /// What differs.
    pub reason: Reason,
}

/// What differs between two functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The number of separate pieces of code.
    Parts,
    /// One function goes on where the other ends.
    Length,
    /// The instruction, or a number in it.
    Instruction,
    /// The function that is called or pointed to.
    Callee,
    /// The symbol of another object, or its version.
    Import,
    /// The variable that is used, or the place in it.
    Variable,
    /// The thread-local variable that is used.
    ThreadLocal,
    /// The content of a constant.
    Constant,
    /// The places that a jump table leads to.
    JumpTable,
    /// One refers to code, data or another object where the other does not.
    Referent,
    /// An address that ends one variable and starts another, which are not both paired.
    Boundary,
    /// Writable data without a name.
    Unnamed,
    /// What happens when an exception passes through it.
    Handlers,
    /// The thread-local block is laid out differently, and the code uses the thread pointer in a way that cannot be followed.
    ThreadPointer,
    /// Code that cannot be compared, and why.
    Unreadable(&'static str),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::Parts => "it is split into other parts",
            Reason::Length => "it has another length",
            Reason::Instruction => "an instruction differs",
            Reason::Callee => "it refers to another function",
            Reason::Import => "it refers to another library symbol",
            Reason::Variable => "it uses another variable",
            Reason::ThreadLocal => "it uses another thread-local variable",
            Reason::Constant => "a constant differs",
            Reason::JumpTable => "a jump table differs",
            Reason::Referent => "it refers to something of another kind",
            Reason::Boundary => "an address may mean the end of one variable or the start of the next",
            Reason::Handlers => "its exception handlers differ",
            Reason::Unnamed => "it uses data without a name",
            Reason::ThreadPointer => "it may depend on where thread-local variables are",
            Reason::Unreadable(why) => why,
        })
    }
}

/// Compares functions of two builds.
pub struct Comparer<'c> {
    pub(super) old: &'c CodeImage<'c>,
    pub(super) new: &'c CodeImage<'c>,
    pub(super) pairing: &'c dyn Pairing,
    /// Whether equal offsets from the thread pointer mean equal variables everywhere.
    same_thread_layout: bool,
}

impl<'c> Comparer<'c> {
    /// A comparer of two builds under `pairing`.
    pub fn new(old: &'c CodeImage<'c>, new: &'c CodeImage<'c>, pairing: &'c dyn Pairing) -> Self {
        Self { old, new, pairing, same_thread_layout: same_thread_layout(old, new, pairing) }
    }

    /// Whether the two functions are the same code.
    pub fn compare(&self, old: FunctionId, new: FunctionId) -> Comparison {
        match (self.old.code(old), self.new.code(new)) {
            (Some(from), Some(to)) => self.functions(old, from, new, to),
            _ => different(LinkAddress::default(), LinkAddress::default(), Reason::Unreadable("there is no such function")),
        }
    }

    /// The data and code addresses that two functions found the same name at the same places, old and new.
    pub fn named_places(&self, old: FunctionId, new: FunctionId) -> Vec<(LinkAddress, LinkAddress)> {
        let (Some(from), Some(to)) = (self.old.code(old), self.new.code(new)) else { return Vec::new() };
        let references = |code: &FunctionCode<'_>| -> Vec<_> {
            code.parts.iter().flat_map(|part| &part.references).map(|reference| reference.target).collect()
        };
        let pairs = references(from).into_iter().zip(references(to));
        let address = |target: super::reference::Target| target.data().map(LinkAddress);
        pairs.filter_map(|(a, b)| Some((address(a)?, address(b)?))).collect()
    }

    fn functions(&self, old: FunctionId, from: &FunctionCode<'_>, new: FunctionId, to: &FunctionCode<'_>) -> Comparison {
        let start = |code: &FunctionCode<'_>| LinkAddress(code.parts.first().map_or(0, |part| part.start));
        let whole = |reason| different(start(from), start(to), reason);
        if let Some((at, why)) = from.defect {
            return different(at, start(to), Reason::Unreadable(why));
        }
        if let Some((at, why)) = to.defect {
            return different(start(from), at, Reason::Unreadable(why));
        }
        if from.parts.len() != to.parts.len() {
            return whole(Reason::Parts);
        }
        if (from.loose_thread_use || to.loose_thread_use) && !self.same_thread_layout {
            return whole(Reason::ThreadPointer);
        }
        let within = Within {
            old,
            new,
            have_jump_tables: from.has_jump_tables && to.has_jump_tables,
            is_start_file: self.is_start_file(old, new),
        };
        let mut literals = Vec::new();
        for (a, b) in from.parts.iter().zip(&to.parts) {
            if let Err(difference) = self.parts(a, b, &within, &mut literals) {
                return Comparison::Different(difference);
            }
            if !self.same_handlers(a.start, b.start) {
                return different(LinkAddress(a.start), LinkAddress(b.start), Reason::Handlers);
            }
        }
        if literals.is_empty() { Comparison::Same } else { Comparison::SameButLiterals(literals) }
    }

    /// Compares two parts: the bytes between references as they are, references by what they stand for.
    fn parts(
        &self,
        old: &PartCode<'_>,
        new: &PartCode<'_>,
        within: &Within,
        literals: &mut Vec<LiteralChange>,
    ) -> Result<(), Difference> {
        let at = |offset: u32, reason| Difference { old: old.instruction_at(offset), new: new.instruction_at(offset), reason };
        let mut position = 0;
        for (a, b) in old.references.iter().zip(&new.references) {
            same_bytes(old, new, position, a.offset.min(b.offset)).map_err(|offset| at(offset, Reason::Instruction))?;
            if a.offset != b.offset || a.length != b.length || a.role != b.role {
                return Err(at(a.offset.min(b.offset), Reason::Instruction));
            }
            position = a.offset.saturating_add(a.length);
            if a.role == Role::Padding {
                continue;
            }
            match self.same_target(a.role, a.target, b.target, within) {
                Verdict::Same => {}
                Verdict::OtherLiteral(from, to) => literals.push(LiteralChange {
                    instruction: old.instruction_at(a.offset),
                    old: LinkAddress(from),
                    new: LinkAddress(to),
                }),
                Verdict::Different(reason) => return Err(at(a.offset, reason)),
            }
        }
        let end = old.length.min(new.length);
        same_bytes(old, new, position, end).map_err(|offset| at(offset, Reason::Instruction))?;
        if old.length != new.length {
            return Err(at(end, Reason::Length));
        }
        if old.references.len() != new.references.len() {
            return Err(at(position, Reason::Instruction));
        }
        Ok(())
    }

    /// Whether both are the compiler's own code at the start and end of a program (`crtstuff.c`), which has no debug information.
    fn is_start_file(&self, old: FunctionId, new: FunctionId) -> bool {
        let of = |image: &CodeImage<'_>, id| {
            image
                .inventory()
                .get(id)
                .is_some_and(|function| function.debug.is_empty() && function.unit.as_deref() == Some("crtstuff.c"))
        };
        of(self.old, old) && of(self.new, new)
    }
}

fn different(old: LinkAddress, new: LinkAddress, reason: Reason) -> Comparison {
    Comparison::Different(Difference { old, new, reason })
}

/// Whether the bytes from `start` to `end` are equal; else the first offset at which they are not.
fn same_bytes(old: &PartCode<'_>, new: &PartCode<'_>, start: u32, end: u32) -> Result<(), u32> {
    let range = start as usize..end.max(start) as usize;
    let end = end.max(start).min(old.length).min(new.length);
    match (old.bytes.get(range.clone()), new.bytes.get(range)) {
        (Some(from), Some(to)) => match from.iter().zip(to).position(|(a, b)| a != b) {
            Some(index) => Err(start + index as u32),
            None => Ok(()),
        },
        _ => Err(end),
    }
}

/// Whether every thread-local variable has its partner at the same distance from the thread pointer.
fn same_thread_layout(old: &CodeImage<'_>, new: &CodeImage<'_>, pairing: &dyn Pairing) -> bool {
    let (from, to) = (&old.layout, &new.layout);
    let partner = |offset: u64| {
        let there = to.thread_offset(from.thread_distance(offset));
        there.is_some_and(|there| pairing.same_thread_local(offset, there))
    };
    let mine = from.objects.thread_locals().count();
    mine == to.objects.thread_locals().count() && from.objects.thread_locals().all(partner)
}
