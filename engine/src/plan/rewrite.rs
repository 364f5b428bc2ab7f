//! The result of a plan: every rewrite to do.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Snapshot;

mod finder;
mod marks;

pub use finder::Finder;
pub use marks::Marks;

use super::restart::StartUpCall;

/// What turns the captured process into one that runs the new program.
#[derive(Debug)]
pub struct Rewrite {
    /// The new image but its pages: mappings, registers, handlers, auxiliary vector, timers, epoll data, generations.
    ///
    /// Mappings of the new program are `Backing::File` with the new program's device and inode, of anything the plan made
    /// (annex, retained literals) `Backing::Anonymous`.
    pub snapshot: Snapshot,
    /// Words to store over pages that are carried from the old address space, by ascending address.
    pub patches: Vec<Patch>,
    /// Words to store in memory that the process shares; no copy of it is made, so the way back must store the old ones.
    pub shared: Vec<SharedWord>,
    /// Bytes for mappings that the plan made: data segments of the new program after relocation, annex, retained literals.
    pub contents: Vec<Contents>,
    /// Ranges of the old address space whose pages are not carried.
    pub dropped: Vec<RunRange>,
    /// Selectors of indirect functions to run in the vessel once it is filled; each result goes into its slots.
    pub resolvers: Vec<Resolver>,
    /// Objects that outgrew their blocks: blocks that the program's allocator makes in the vessel.
    pub allocations: Allocations,
    /// Functions of the new program to call, in order, once everything else is in place.
    pub calls: Vec<Call>,
    /// Final protections to set after `contents` and `resolvers` are stored (RELRO).
    pub protect_after: Vec<RunRange>,
    /// What was done, for people and for `--json`.
    pub report: Report,
}

/// One word to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where; carried pages only.
    pub address: RunAddress,
    /// The new word.
    pub word: u64,
}

/// One word in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedWord {
    /// Where, in one mapping of that memory.
    pub address: RunAddress,
    /// The word as it was at the stop.
    pub old: u64,
    /// The new word.
    pub new: u64,
}

/// Bytes of a mapping that the plan made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// First address.
    pub address: RunAddress,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// An indirect function whose selector must run in the new process (R_X86_64_IRELATIVE, STT_GNU_IFUNC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// Address of the selector.
    pub function: RunAddress,
    /// Where its result goes, with an addend for each.
    pub slots: Vec<(RunAddress, i64)>,
}

/// A function of the new program to call in the filled vessel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its entry.
    pub function: RunAddress,
    /// What it gets, in the order of the System V ABI's argument registers; six at most.
    pub arguments: Vec<u64>,
    /// The call as the user wrote it.
    pub text: String,
}

/// Blocks that are made by the program's own allocator once the vessel is filled, and old ones that are freed by it.
///
/// Where a block will lie is not known to the plan. Until then block and pointers to it have place-holder addresses: the blocks'
/// bytes stand one after the other from [`Allocations::PLACE_HOLDERS`] on, each at a multiple of 16. Bytes of objects that are stored
/// where they can stay may stand between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// `malloc` and `free` as the program is bound to them; without blocks they are not called.
    pub allocator: Option<Allocator>,
    /// Where each block's bytes start in `bytes`, ascending, and how many it has.
    pub blocks: Vec<NewBlock>,
    /// The bytes of all blocks.
    pub bytes: Vec<u8>,
    /// Words of the blocks that hold a place-holder address, by their offsets in `bytes`.
    pub marks: Marks,
    /// Every other word that does.
    pub fixups: Vec<RunAddress>,
    /// Old blocks to free after all is stored, as `malloc` returned them.
    pub freed: Vec<RunAddress>,
    /// Blocks that other functions make and free than `allocator`.
    pub others: Vec<OtherAllocations>,
    /// Bytes to store over carried pages, ascending, before any block is made.
    pub stored: Vec<Stored>,
}

/// Objects that stay where they are, or go to a place that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where they go.
    pub address: RunAddress,
    /// Offset of their bytes in [`Allocations::bytes`].
    pub offset: u64,
    /// How many there are.
    pub length: u64,
}

/// Blocks that functions of the program's own make and free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherAllocations {
    /// What makes a block of as many bytes as it is told.
    pub allocate: RunAddress,
    /// What frees one; without it old blocks are kept.
    pub release: Option<RunAddress>,
    /// Positions in [`Allocations::blocks`], ascending, of those that it makes.
    pub blocks: Vec<u32>,
    /// The old blocks in whose places they come, in the same order; `release` frees them.
    pub old: Vec<RunAddress>,
}

/// The functions that make and free blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocator {
    /// `malloc`.
    pub allocate: RunAddress,
    /// `free`.
    pub release: RunAddress,
}

/// One block to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewBlock {
    /// Offset of its bytes in [`Allocations::bytes`].
    pub offset: u64,
    /// Bytes to ask for.
    pub length: u64,
}

impl Allocations {
    /// First place-holder address: not canonical, so that one which were left over would fault instead of lying.
    pub const PLACE_HOLDERS: u64 = dsu_formats::model::work::PLACE_HOLDERS;

    /// Whether nothing is stored or made.
    pub fn is_empty(&self) -> bool {
        self.allocator.is_none() && self.others.is_empty() && self.stored.is_empty()
    }

    /// Whether a word that a plan made is a place-holder address.
    pub fn may_hold(word: u64) -> bool {
        const ALL: u64 = 1 << 40;
        (Self::PLACE_HOLDERS..Self::PLACE_HOLDERS + ALL).contains(&word)
    }

    /// Adds a block with these bytes and returns its place-holder address.
    pub fn add(&mut self, bytes: &[u8]) -> RunAddress {
        let offset = self.bytes.len().next_multiple_of(16);
        self.bytes.resize(offset, 0);
        self.bytes.extend_from_slice(bytes);
        self.blocks.push(NewBlock { offset: offset as u64, length: bytes.len() as u64 });
        RunAddress(Self::PLACE_HOLDERS + offset as u64)
    }

    /// The offset in `bytes` that a place-holder address stands for; one past the last byte is one, too.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(Self::PLACE_HOLDERS)?;
        (offset <= self.bytes.len() as u64).then_some(offset)
    }
}

/// Counts and lists for the end of an update.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Report {
    /// Functions whose code differs.
    pub functions_changed: Vec<String>,
    /// Functions that only the new program has.
    pub functions_added: Vec<String>,
    /// Functions that only the old program has.
    pub functions_removed: Vec<String>,
    /// Globals whose value was carried.
    pub globals_carried: u64,
    /// Globals that took the new program's value: new ones, and those that still equalled their old initialiser.
    pub globals_new: Vec<String>,
    /// Globals that are gone.
    pub globals_dropped: Vec<String>,
    /// Words scanned.
    pub words_scanned: u64,
    /// Words rewritten, in memory, registers and kernel-held places together.
    pub words_rewritten: u64,
    /// Of these, words that were mangled with the pointer guard.
    pub words_mangled: u64,
    /// Bytes of old read-only data that stay readable.
    pub retained_bytes: u64,
    /// Objects whose type changes that were rewritten.
    pub objects_rewritten: u64,
    /// Of these, objects that get a larger block.
    pub objects_moved: u64,
    /// Where the values come from that the old program did not have: field, source.
    pub origins: Vec<(String, String)>,
    /// Blocks that could hold an object of a changed type, and what speaks against it.
    pub cleared: Vec<String>,
    /// Calls that open something and that functions lead to which threads enter anew.
    pub start_up_calls: Vec<StartUpCall>,
    /// What a person should know although it did not stop the update.
    pub warnings: Vec<String>,
    /// What no engine can check and the plan therefore assumes (`PROOF` axioms).
    pub assumptions: Vec<String>,
}
