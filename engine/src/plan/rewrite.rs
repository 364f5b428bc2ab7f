//! The result of a plan: every rewrite to do.

use dsu_formats::address::{RunAddress, RunRange};
use dsu_formats::model::latest::Snapshot;

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
    /// What a person should know although it did not stop the update.
    pub warnings: Vec<String>,
    /// What no engine can check and the plan therefore assumes (`PROOF` axioms).
    pub assumptions: Vec<String>,
}
