//! The result of a walk.

use dsu_formats::address::RunAddress;

use super::registers::RegisterValue;
use crate::program::address::LinkAddress;

/// The frames of one thread, innermost first, and how far they go.
#[derive(Debug)]
pub struct Stack {
    /// Physical frames, innermost first. Tail calls leave none, inlined functions have none of their own.
    pub frames: Vec<Frame>,
    /// Whether the last frame is the thread's base.
    pub end: End,
}

/// One physical frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The instruction that this frame goes on with: the innermost frame's program counter, a return address, or the place where a
    /// signal struck.
    pub pc: RunAddress,
    /// `pc`, or one byte before it where `pc` is a return address: what belongs to the call itself (line, scope, CFI row).
    pub lookup: RunAddress,
    /// Index of its module as the module map gave it, and `lookup` as an address of that module; `None` for a signal trampoline
    /// outside any module.
    pub module: Option<(usize, LinkAddress)>,
    /// Canonical frame address: the stack pointer in the caller before its call; for a signal frame the interrupted stack pointer.
    pub cfa: RunAddress,
    /// Where its return address (for a signal frame the interrupted program counter) is stored; `None` at the thread's base and
    /// where a register holds it.
    pub return_slot: Option<RunAddress>,
    /// The general registers as this frame's code sees them, by DWARF number.
    pub registers: [Option<RegisterValue>; 16],
    /// Whether it is a signal frame: the kernel's register set between a handler and what it interrupted.
    pub is_signal_frame: bool,
}

/// How a walk ended.
#[derive(Debug)]
pub enum End {
    /// At the thread's base: every frame is there.
    Complete(Base),
    /// Before: frames are missing after the last one.
    Incomplete(Incomplete),
}

impl End {
    /// Whether every frame of the thread was found.
    pub fn is_complete(&self) -> bool {
        matches!(self, End::Complete(_))
    }
}

/// What shows that a frame is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Its CFI says that it has no return address (`_start`, `clone3`, `makecontext`).
    UndefinedReturnAddress {
        /// Program counter of that frame.
        pc: RunAddress,
    },
    /// Its return address is zero, as hand-made stacks end.
    ZeroReturnAddress {
        /// Program counter of that frame.
        pc: RunAddress,
    },
}

/// Why a walk could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Incomplete {
    /// Code outside every known module.
    #[error("cannot unwind at {pc}: no module is mapped there")]
    NoModule {
        /// Program counter.
        pc: RunAddress,
    },
    /// A module without call frame information for the place.
    #[error("cannot unwind at {pc}: its module has no call frame information for {link}")]
    NoCfi {
        /// Program counter.
        pc: RunAddress,
        /// The same as an address of its module.
        link: LinkAddress,
    },
    /// Call frame information that cannot be decoded.
    #[error("cannot unwind at {pc}: corrupt call frame information")]
    CorruptCfi {
        /// Program counter.
        pc: RunAddress,
        /// The decoder's answer.
        #[source]
        source: gimli::Error,
    },
    /// Call frame information of a kind that has no meaning here.
    #[error("cannot unwind at {pc}: unsupported call frame information, {what}")]
    UnsupportedCfi {
        /// Program counter.
        pc: RunAddress,
        /// Which.
        what: &'static str,
    },
    /// A rule needs a register that a deeper frame did not keep.
    #[error("cannot unwind at {pc}: register {register} (DWARF number) is needed and was not preserved")]
    LostRegister {
        /// Program counter.
        pc: RunAddress,
        /// DWARF number.
        register: u16,
    },
    /// Memory that a rule reads is not readable.
    #[error("cannot unwind at {pc}: cannot read the word at {address}")]
    Memory {
        /// Program counter.
        pc: RunAddress,
        /// The word.
        address: RunAddress,
        /// The reader's answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A caller's frame that does not lie above its callee's: the stack is corrupt, or was switched without a signal.
    #[error("cannot unwind at {pc}: expected a frame above {below}, found one at {cfa}")]
    NotAbove {
        /// Program counter.
        pc: RunAddress,
        /// Its frame address.
        cfa: RunAddress,
        /// Frame address of its callee.
        below: RunAddress,
    },
    /// More frames than the caller allows.
    #[error("cannot unwind at {pc}: more than {limit} frames")]
    TooDeep {
        /// Program counter of the first frame left out.
        pc: RunAddress,
        /// The limit.
        limit: usize,
    },
}
