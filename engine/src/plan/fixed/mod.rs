//! Fixed-address programs: which words in their range are addresses (PROOF 1.5).
//!
//! Small integers lie in the same range, so that a word says nothing by its value. Types say it, the unwinder, the kernel's interface and
//! records of the C library whose layout is found by value; on a thread's stack also what the thread's own code names.

mod calls;
mod frames;
mod records;
mod watched;

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::AddressSpace;

use super::heap::{Heap, HeapView, State};
use super::pointers::Site;
use super::walk::TypedSpan;
use crate::program::types::{TypeId, TypeTable, WordKind};
pub use frames::{Frames, Scene};
pub use records::Records;
pub use watched::Watched;

/// What is known of a word whose value lies in the program's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It is an address, of this pointer type of the old build where that is known.
    Address(Option<TypeId>),
    /// It is a number, or nobody reads it.
    Number,
    /// Nothing says what it is; this is all that is known.
    Unknown(&'static str),
}

/// What is known of all words.
#[derive(Debug)]
pub struct Typing<'a> {
    /// Types of the old build.
    pub types: &'a TypeTable,
    /// The heap.
    pub heap: &'a HeapView,
    /// Mappings and the program break.
    pub space: &'a AddressSpace,
    /// Objects that typed pointers lead to.
    pub spans: Spans,
    /// Stacks and registers.
    pub frames: Frames,
    /// Words that records of the C library explain.
    pub records: Records,
    /// What epoll gives back.
    pub watched: Watched,
}

impl Typing<'_> {
    /// What the word at `address` is, which holds `word`.
    pub fn memory(&self, address: RunAddress, word: u64, site: Site) -> Evidence {
        match self.memory_alone(address, word, site) {
            // Events that the kernel stored.
            Evidence::Unknown(EITHER) if self.watched.holds(word) => Evidence::Address(None),
            evidence => evidence,
        }
    }

    /// What epoll gives back.
    pub fn watch(&self, word: u64) -> Evidence {
        match self.watched.holds(word) {
            true => Evidence::Address(None),
            false => Evidence::Unknown("the kernel keeps a number as well as a pointer there"),
        }
    }

    fn memory_alone(&self, address: RunAddress, word: u64, site: Site) -> Evidence {
        if let Some(evidence) = self.records.word(address) {
            return evidence;
        }
        if matches!(site, Site::Stack { .. }) {
            return self.frames.memory(self.types, address, word);
        }
        if let Some(heap) = self.heap.heap() {
            if heap.is_record(address) {
                return Evidence::Number;
            }
            match heap.block_of(address) {
                Some((_, block)) if block.state == State::InUse => {
                    return self.spans.word(self.types, address).unwrap_or(Evidence::Unknown(UNTYPED_BLOCK));
                }
                // The allocator's own: lists, sizes, what was there before a block was freed.
                Some(_) => return Evidence::Number,
                None if heap.covers(address) || self.is_spare(heap, address) => return Evidence::Number,
                None => {}
            }
        }
        self.spans.word(self.types, address).unwrap_or(Evidence::Unknown("no type is known of it"))
    }

    /// What a register of a thread holds.
    pub fn register(&self, tid: i32, name: &str, word: u64) -> Evidence {
        self.frames.register(tid, name, word)
    }

    /// The allocator's room behind the last block of a heap.
    fn is_spare(&self, heap: &Heap, address: RunAddress) -> bool {
        heap.ends_before(address, self.space.layout.program_break())
    }
}

/// Of what a union, or an integer made for addresses, holds.
pub const EITHER: &str = "its type can hold addresses and numbers";
const UNTYPED_BLOCK: &str = "no typed pointer leads to its block";

/// Typed objects outside stacks.
#[derive(Debug, Default)]
pub struct Spans {
    /// Ascending by start.
    list: Vec<TypedSpan>,
    /// For each the greatest end up to it: how far back one may begin that goes on.
    reach: Vec<u64>,
}

impl Spans {
    /// Sorts them.
    pub fn new(mut list: Vec<TypedSpan>) -> Self {
        list.sort_unstable_by_key(|span| (span.start, span.end, span.kind));
        list.dedup();
        let reach = list.iter().scan(0, |reach, span| {
            *reach = span.end.max(*reach);
            Some(*reach)
        });
        Self { reach: reach.collect(), list }
    }

    /// What the types say of the word at `address`: the surest ones, which must agree. Bytes are what anything may be seen as.
    fn word(&self, types: &TypeTable, address: RunAddress) -> Option<Evidence> {
        let after = self.list.partition_point(|span| span.start <= address.0);
        let mut best: Option<(u8, Evidence)> = None;
        let mut has_bytes = false;
        for index in (0..after).rev() {
            if self.reach.get(index).is_none_or(|reach| *reach <= address.0) {
                break;
            }
            let Some(span) = self.list.get(index).filter(|span| address.0 < span.end) else { continue };
            let skip = (address.0 - span.start).checked_rem(span.size.max(1)).unwrap_or(0);
            let evidence = match types.word_at(Some(span.kind), skip) {
                WordKind::Bytes => {
                    has_bytes = true;
                    continue;
                }
                other => evidence(other),
            };
            best = match best {
                Some((strength, _)) if strength > span.strength => best,
                Some((strength, known)) if strength == span.strength => Some((strength, agreed(known, evidence))),
                _ => Some((span.strength, evidence)),
            };
        }
        let found = best.map(|(_, evidence)| evidence);
        found.or(has_bytes.then_some(Evidence::Unknown("it is in an array of characters")))
    }
}

/// What a word's type says.
fn evidence(kind: WordKind) -> Evidence {
    match kind {
        WordKind::Pointer(pointer) => Evidence::Address(Some(pointer)),
        WordKind::Number => Evidence::Number,
        WordKind::Bytes => Evidence::Unknown("it is in an array of characters"),
        WordKind::Unknown => Evidence::Unknown(EITHER),
    }
}

/// What two types of one word say together.
fn agreed(one: Evidence, other: Evidence) -> Evidence {
    match (one, other) {
        (Evidence::Address(first), Evidence::Address(_)) => Evidence::Address(first),
        (Evidence::Number, Evidence::Number) => Evidence::Number,
        (Evidence::Unknown(why), _) | (_, Evidence::Unknown(why)) => Evidence::Unknown(why),
        _ => Evidence::Unknown("typed pointers lead to it as an address and as a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::testing::Compiled;

    #[test]
    fn types_that_agree_decide_and_bytes_give_way() {
        let program = Compiled::new(
            "program",
            "struct node { long n; struct node *next; }; struct other { char *p; long n; }; struct node n; struct other o;
             int main(void) { return n.n + o.n; }",
            &["-g"],
        );
        let build = program.build();
        let types = &build.debug.types;
        let kind = |name: &str| types.definitions(gimli::DW_TAG_structure_type.0, name)[0];
        let span = |start, kind, strength| TypedSpan { start, end: start + 32, size: 16, kind, strength };
        let spans = Spans::new(vec![
            span(0x1000, kind("node"), 3),
            span(0x2000, kind("node"), 3),
            span(0x2000, kind("other"), 3),
            span(0x3000, kind("node"), 3),
            span(0x3000, kind("other"), 1),
        ]);
        let seen = [0x1000, 0x1008, 0x1018, 0x1020, 0x2000, 0x3000, 0x3008].map(|at| match spans.word(types, RunAddress(at)) {
            Some(Evidence::Address(_)) => 'a',
            Some(Evidence::Number) => 'n',
            Some(Evidence::Unknown(_)) => '?',
            None => '-',
        });
        assert_eq!(seen, ['n', 'a', 'a', '-', '?', 'n', 'a']);
    }
}
