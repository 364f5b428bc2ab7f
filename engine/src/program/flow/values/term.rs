//! What a value is: a term over what a function got, what it read, and what its calls gave.

use iced_x86::Code;

use crate::program::code::Symbolic;

/// Number of a value among those of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(super) u32);

/// A place whose content is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A general register as instructions number it: 0 is rax, 4 rsp, 5 rbp, 15 r15.
    Register(u8),
    /// A vector register, its lowest 32 bytes.
    Vector(u8),
    /// The status flags.
    Flags,
    /// Bytes of the frame, from its canonical frame address.
    Slot {
        /// First byte.
        offset: i64,
        /// Length in bytes.
        length: u8,
    },
}

/// Operations of two operands that the engine can do again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// Product.
    Multiply,
    /// Bitwise and.
    And,
    /// Bitwise or.
    Or,
    /// Bitwise exclusive or.
    Xor,
    /// Shift left.
    ShiftLeft,
    /// Shift right, zeros in.
    ShiftRight,
    /// Shift right, the sign in.
    ShiftRightSigned,
}

impl Binary {
    /// Whether the order of the operands does not matter.
    pub fn commutes(self) -> bool {
        !matches!(self, Self::ShiftLeft | Self::ShiftRight | Self::ShiftRightSigned)
    }
}

/// A value. Equal nodes of one function are one value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Term {
    /// What a place holds when the function is entered.
    Entry(Place),
    /// A number.
    Constant(u64),
    /// An address, or an offset from the thread pointer, that the code names.
    Address(Symbolic),
    /// An address in the frame, from its canonical frame address.
    Frame(i64),
    /// The word that stack protectors compare with (`%fs:0x28`); it stays the same while a thread lives.
    Canary,
    /// A sum of values, each times a number, and a number; wraps at `bits`, zero-extended.
    Sum {
        /// Width.
        bits: u8,
        /// Ascending, without repetition, no factor zero.
        terms: Vec<(ValueId, i64)>,
        /// What is added.
        constant: i64,
    },
    /// The lowest bits of a value, extended to 64.
    Extend {
        /// How many.
        from: u8,
        /// Whether by the sign.
        signed: bool,
        /// Of what.
        of: ValueId,
    },
    /// An operation of two operands, zero-extended from `bits`.
    Binary {
        /// Which.
        operation: Binary,
        /// Width.
        bits: u8,
        /// First operand.
        left: ValueId,
        /// Second operand.
        right: ValueId,
    },
    /// What another instruction without memory of its own makes of its operands.
    Pure {
        /// The instruction.
        code: Code,
        /// Which of its results: 0 its first operand, 1 the flags, from 2 on the general register that it always writes.
        result: u8,
        /// Width of the result in bits; 0 for a vector.
        bits: u8,
        /// What it reads, in the order of its operands.
        operands: Vec<ValueId>,
    },
    /// Some bytes of a wider value.
    Part {
        /// The value.
        of: ValueId,
        /// First byte.
        offset: u8,
        /// Length in bytes.
        length: u8,
    },
    /// What the instruction at this node of the graph reads from memory that is not the function's alone.
    Load {
        /// Term of the graph.
        at: u32,
        /// Where it reads.
        address: ValueId,
        /// How many bytes.
        bytes: u8,
    },
    /// A result of a call.
    Result {
        /// Term of the call.
        call: u32,
        /// The register.
        place: Place,
    },
    /// What is not understood, or nobody's: left by a call, half overwritten.
    Unknown {
        /// Term of the graph that leaves it.
        at: u32,
        /// Where.
        place: Place,
    },
    /// One of several values, by the way that control came.
    Choice {
        /// Term of the graph at which ways meet.
        at: u32,
        /// Of what place.
        place: Place,
    },
}
