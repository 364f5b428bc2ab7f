//! What keeps the walk from being complete or certain: each is a reason not to update, unless it says that it is harmless.

use dsu_formats::address::{RunAddress, RunRange};

/// One place that the walk cannot explain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// The same bytes are reached as two types of which neither holds the other.
    #[error("{address} is reached as `{first}` ({first_path}) and as `{second}` ({second_path})")]
    Conflict {
        /// Where the two overlap.
        address: RunAddress,
        /// One type.
        first: String,
        /// How it is reached.
        first_path: String,
        /// The other.
        second: String,
        /// How that is reached.
        second_path: String,
    },
    /// A typed pointer into a block that ends before the object would.
    #[error("{path} points to {target}, {room} bytes before the end of its block: too few for `{kind}` ({size} bytes)")]
    TooSmall {
        /// What holds the pointer.
        path: String,
        /// Its value.
        target: RunAddress,
        /// Bytes from there to the end of the block.
        room: u64,
        /// The pointer's target type.
        kind: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A typed pointer off its target's alignment: tagged, or into packed data.
    #[error("{path} points to {target}, which is no aligned `{kind}`: a tagged pointer, or packed data")]
    Misaligned {
        /// What holds the pointer.
        path: String,
        /// Its value.
        target: RunAddress,
        /// The pointer's target type.
        kind: String,
    },
    /// A union that holds or points to what changes, and no rule says which member is in use.
    #[error("{path}: nobody says which member of the union is in use")]
    Union {
        /// The union.
        path: String,
        /// Its address.
        address: RunAddress,
    },
    /// A tag whose value no rule maps.
    #[error("{path}: the tag is {value}, for which there is no rule")]
    Tag {
        /// The union or pointer.
        path: String,
        /// Its object's address.
        address: RunAddress,
        /// Value of the tag.
        value: i128,
    },
    /// A number of elements that cannot be had, or that memory does not hold.
    #[error("{path}: {count} elements of `{kind}` do not fit where it points ({target})")]
    Length {
        /// The pointer or flexible array.
        path: String,
        /// Where the elements are.
        target: RunAddress,
        /// How many there should be.
        count: u64,
        /// Their type.
        kind: String,
    },
    /// Memory that should hold an object and cannot be read.
    #[error("{path}: the `{kind}` at {address} cannot be read")]
    Unreadable {
        /// How it is reached.
        path: String,
        /// Its address.
        address: RunAddress,
        /// Its type.
        kind: String,
    },
    /// An object of a changed type that is in registers, or in several places.
    #[error("{path} is a `{kind}` in registers")]
    InRegisters {
        /// The variable.
        path: String,
        /// Its type.
        kind: String,
    },
    /// A frame whose variables cannot be read.
    #[error("the variables at {place} of thread {tid} cannot be read: {reason}")]
    Frame {
        /// Thread.
        tid: i32,
        /// Program counter.
        place: RunAddress,
        /// Why.
        reason: String,
    },
    /// A block in use that no typed path reaches and that could hold objects of a changed type.
    #[error("the block at {address} ({usable} bytes) could be `{kind}`: {evidence}; {referrers}; it begins with {first_bytes}")]
    Suspect {
        /// Its address.
        address: RunAddress,
        /// Its usable size.
        usable: u64,
        /// The changed type.
        kind: String,
        /// What speaks for it.
        evidence: String,
        /// Who points to it.
        referrers: String,
        /// Fields that do, as a spec names them.
        holders: Vec<String>,
        /// Its first bytes, hexadecimal.
        first_bytes: String,
    },
    /// Memory of the program's own with objects that change, and bytes that nothing typed reaches.
    #[error(
        "the memory in {range} holds `{kind}` ({path}), and {bytes} bytes besides that no typed path reaches, the first at {address}: they may be more of them"
    )]
    Unreached {
        /// The mapping.
        range: RunRange,
        /// The changed type.
        kind: String,
        /// How the first object is reached.
        path: String,
        /// Bytes that are not zero and belong to nothing that was reached.
        bytes: u64,
        /// The first of them.
        address: RunAddress,
    },
    /// The heap cannot be read, so that nobody can say what else is in it.
    #[error("the heap cannot be read, and `{kind}` changes: {reason}")]
    UnreadableHeap {
        /// A changed type that blocks could hold.
        kind: String,
        /// Why.
        reason: String,
        /// Whether it may be readable a moment later.
        passing: bool,
    },
}

impl Problem {
    /// Whether it may be gone a moment later: it is of the allocator's lock, or of a stack.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::UnreadableHeap { passing, .. } => *passing,
            Self::InRegisters { .. } | Self::Frame { .. } => true,
            _ => false,
        }
    }
}

/// A typed pointer that leads to nothing that the program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dangling {
    /// Address of the pointer; zero for one in a register.
    pub site: RunAddress,
    /// Its value.
    pub target: RunAddress,
    /// What is there.
    pub what: Nothing,
}

/// What a dangling pointer leads to. All are dead: a program that followed one would fault or read memory that is not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// Memory that is not mapped.
    Unmapped,
    /// A block that the allocator has.
    FreeBlock,
    /// The allocator's own memory: headers, spare room.
    Allocator,
    /// Below a thread's stack pointer.
    DeadStack,
}
