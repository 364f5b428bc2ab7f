//! What decoding leaves of a function: its bytes, and the fields in them that depend on where things lie.

use iced_x86::Register;

use super::functions::FunctionId;
use super::slots::ImportId;
use crate::program::address::LinkAddress;

/// A run of bytes whose value depends on the layout of the object, and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// Bytes from the start of the part.
    pub(super) offset: u32,
    /// Length in bytes.
    pub(super) length: u32,
    pub(super) role: Role,
    pub(super) target: Target,
}

/// What the bytes do; equal roles and paired targets make equal code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A displacement or an immediate; the rest of the instruction is compared as it is.
    Field,
    /// A whole instruction that puts an address into a register, through the offset table or not.
    Load(Register),
    /// The same for an offset from the thread pointer.
    ThreadLoad(Register),
    /// A whole call, through the offset table or not.
    Call,
    /// A whole jump, through the offset table or not.
    Jump,
    /// A run of no-operations.
    Padding,
}

/// What the bytes stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    None,
    /// The address that a branch or call goes to.
    Code(u64),
    /// An address as a value.
    Address(u64),
    /// Memory of `size` bytes that is read or written here; 0 where the size is not known.
    Memory {
        address: u64,
        size: u32,
    },
    /// What this word of the global offset table holds.
    Slot(u64),
    /// An offset from the thread pointer.
    Thread(i64),
    /// The offset from the thread pointer that this word of the global offset table holds.
    ThreadSlot(u64),
}

impl Target {
    /// The address in data that it names; the next constant starts there at the latest.
    pub(super) fn data(&self) -> Option<u64> {
        match self {
            Target::Address(address) | Target::Memory { address, .. } => Some(*address),
            _ => None,
        }
    }
}

/// One part of a function, decoded.
#[derive(Debug)]
pub(super) struct PartCode<'a> {
    pub(super) start: u64,
    pub(super) bytes: &'a [u8],
    /// Length without no-operations at the end.
    pub(super) length: u32,
    /// By offset, disjoint.
    pub(super) references: Vec<Reference>,
}

/// A function, decoded.
#[derive(Debug, Default)]
pub(super) struct FunctionCode<'a> {
    pub(super) parts: Vec<PartCode<'a>>,
    pub(super) calls: Vec<CallSite>,
    /// Whether it jumps through tables.
    pub(super) has_jump_tables: bool,
    /// Whether it uses the thread pointer in a way that was not followed.
    pub(super) loose_thread_use: bool,
    /// Why it cannot be compared, and where.
    pub(super) defect: Option<(LinkAddress, &'static str)>,
}

/// A call or a tail call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallSite {
    /// The instruction.
    pub address: LinkAddress,
    /// The instruction behind it, to which a call returns.
    pub next: LinkAddress,
    /// Whether it is a jump that leaves the function for good.
    pub is_tail: bool,
    /// What it goes to.
    pub callee: Callee,
}

/// What a call goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Callee {
    /// A function of this build, directly or through a stub.
    Function(FunctionId),
    /// A function of another object, through a stub or the global offset table.
    Import(ImportId),
    /// Whatever the indirect function's selector at this address chose.
    Selected(LinkAddress),
    /// What a register or a word of memory points to.
    Indirect,
    /// Code of this object that is no function's entry.
    Unknown(LinkAddress),
}
