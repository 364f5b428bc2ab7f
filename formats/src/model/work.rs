//! Section `vessel-work`: what a rewritten image leaves to do in the filled vessel, because only the program's own code can do it.

use serde::{Deserialize, Serialize};

use crate::address::{RunAddress, RunRange};

/// First place-holder address of a block that the vessel makes: not canonical, so that one which were left over would fault.
pub const PLACE_HOLDERS: u64 = 0x00d5_0000_0000_0000;

/// Bytes of addresses that place-holders take at most.
pub const PLACE_HOLDERS_LEN: u64 = 1 << 40;

/// The work in one process; at most one entry a process, by ascending index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VesselWorkV1 {
    /// Index of the process.
    pub process: u32,
    /// Selectors of indirect functions to run once the pages are stored.
    pub resolvers: Vec<ResolverV1>,
    /// Ranges that become read-only after that (RELRO).
    pub protect_after: Vec<RunRange>,
    /// Blocks to make and to free once everything else is in place.
    pub allocations: Option<AllocationsV1>,
    /// Functions of the program to call last of all, in this order.
    pub calls: Vec<CallV1>,
}

/// A function of the program to call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallV1 {
    /// Its entry.
    pub function: RunAddress,
    /// What it gets, in the order of the System V ABI's argument registers; six at most.
    pub arguments: Vec<u64>,
    /// The call as the user wrote it, for messages.
    pub text: String,
}

/// An indirect function whose selector must run in the new process (R_X86_64_IRELATIVE, STT_GNU_IFUNC).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResolverV1 {
    /// Address of the selector.
    pub function: RunAddress,
    /// Where its result goes, with an addend for each.
    pub slots: Vec<(RunAddress, i64)>,
}

/// Symbolic allocations and fix-ups.
///
/// Where a block will lie is not known before. Until then its bytes have place-holder addresses, from `PLACE_HOLDERS` and the
/// block's offset on; a block is written to where it lies then, and every word that holds a place-holder gets the real address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationsV1 {
    /// Address of the program's `malloc`.
    pub allocate: RunAddress,
    /// Address of the program's `free`.
    pub release: RunAddress,
    /// The blocks to make, by ascending offset, none overlapping.
    pub blocks: Vec<NewBlockV1>,
    /// The bytes of all blocks, one block right after the other.
    pub bytes: Vec<u8>,
    /// Address of every word in memory that holds a place-holder address; itself a place-holder where the word is in a new block.
    /// Registers and epoll data that hold one are not listed.
    pub fixups: Vec<RunAddress>,
    /// Old blocks to free after all is stored, as `malloc` returned them.
    pub freed: Vec<RunAddress>,
    /// Blocks that functions of the program's own make and free instead.
    pub others: Vec<OtherAllocationsV1>,
}

/// Blocks that functions of the program's own make and free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherAllocationsV1 {
    /// Address of the function that makes a block of as many bytes as it is told.
    pub allocate: RunAddress,
    /// Address of the one that frees a block; without it old blocks are kept.
    pub release: Option<RunAddress>,
    /// Positions in [`AllocationsV1::blocks`] of those that it makes, ascending; no other entry has one of them.
    pub blocks: Vec<u32>,
    /// The old blocks in whose places they come, in the same order.
    pub old: Vec<RunAddress>,
}

/// One block to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewBlockV1 {
    /// What its place-holder addresses begin with, above `PLACE_HOLDERS`.
    pub offset: u64,
    /// Bytes to ask for.
    pub length: u64,
}
