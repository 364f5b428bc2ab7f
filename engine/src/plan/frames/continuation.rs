//! What is known of a frame of a changed function before any value is.

use std::sync::Arc;

use super::said::{Besides, Said};
use crate::plan::address::{NewLink, OldLink};
use crate::program::address::LinkAddress;
use crate::program::types::TypeId;

/// How a frame goes on in the new code.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Continuation {
    /// Position of the function in the new build.
    pub function: usize,
    /// Where control comes back to.
    pub returns_to: NewLink,
    /// Whether the thread was stopped, or struck by a signal, right there: no call comes back, and every register counts.
    pub between: bool,
    /// Registers, by DWARF number, that hold the caller's values again although the frame still has a copy: on the way out.
    pub given_back: Vec<u8>,
    /// Every location that the new code reads from here on before it writes it, but for those inside `objects`.
    pub values: Vec<Placed>,
    /// Variables that are in memory in both frames; their bytes are carried, and pointers to them follow.
    pub objects: Vec<FrameObject>,
    /// What must hold of old values, or the new code would not be at this point (PROOF 3.5).
    pub conditions: Vec<Condition>,
    /// Effects of the new code before the point that never ran and that nothing later reads (PROOF 3.7).
    pub warnings: Vec<String>,
    /// Where else the frame may go on, because the call became several: whichever has conditions that hold, if that is exactly one.
    pub rivals: Vec<Rival>,
    /// Whether it counts on places that the old code does not read again: they are right only if no earlier update made the frame anew.
    pub has_unread: bool,
    /// What else the user says of it; such a frame is not kept for later updates.
    #[serde(skip)]
    pub besides: Besides,
}

impl Continuation {
    /// A place in what control does when it comes there: the call that comes back, or the instruction itself.
    pub fn lookup(&self) -> LinkAddress {
        LinkAddress(self.returns_to.0.0.wrapping_sub(u64::from(!self.between && !self.besides.exact)))
    }
}

/// Another point that a call became.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Rival {
    /// Where control would come back to.
    pub returns_to: NewLink,
    /// What must hold of old values there, as far as it is known.
    pub conditions: Vec<Condition>,
    /// How a frame goes on there; `None` if something is not proved.
    #[serde(with = "shared")]
    pub continuation: Option<Arc<Continuation>>,
}

/// A place of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum FramePlace {
    /// A general register as the frame's code sees it, by DWARF number (System V ABI, figure 3.36).
    Register(u8),
    /// Bytes of the frame, from its canonical frame address; 8 at most.
    Slot {
        /// First byte.
        offset: i64,
        /// Length in bytes.
        length: u8,
    },
}

/// A location of the new frame and what it is given.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Placed {
    /// Where in the new frame.
    pub place: FramePlace,
    /// The bits of it that are read.
    pub bits: u64,
    /// Its value.
    pub value: Value,
    /// Which rule proves it, for people.
    pub why: String,
    /// An instruction that reads it.
    pub reader: NewLink,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Value {
    /// What the old frame has at this place, zero-extended; pointers follow what they point to.
    Old(FramePlace),
    /// A number.
    Constant(u64),
    /// An address in the new program.
    Address(NewLink),
    /// An address in the new frame, from its canonical frame address.
    Frame(i64),
    /// What the old frame's function was given in an argument register, by the number that instructions have it by; filled in from the
    /// frames of its callers at the stop.
    Given(u8),
    /// What the old frame at this position of the stack, counted from the innermost, has; pointers follow what they point to.
    Outer(usize, Held),
    /// The word that stack protectors compare with, which stays the same while a thread lives (`tcbhead_t::stack_guard`).
    Canary,
    /// An address of the old process, which follows what it points to.
    Pointer(u64),
    /// What the user says; not kept for later updates.
    #[serde(skip)]
    Said(Said),
    /// What an instruction makes of other values.
    Computed(Operation, Vec<Value>),
    /// What the old program has in a variable, so many bytes of it, 8 at most; pointers follow what they point to.
    Memory(OldLink, u8),
    /// What the call under way in the old frame was given in an argument register, by the number that instructions have it by; filled in from
    /// the frame further in at the stop.
    Passed(u8),
    /// The first of these that can be filled in at the stop.
    FirstOf(Vec<Value>),
    /// What comes of numbers and addresses as the old process has them; the word that it is then follows what it points to.
    Word(Box<Value>),
}

impl Value {
    /// Whether something of a frame further out is in it.
    pub fn is_of_other_frame(&self) -> bool {
        match self {
            Self::Outer(..) => true,
            Self::Computed(_, operands) => operands.iter().any(Self::is_of_other_frame),
            _ => false,
        }
    }
}

/// What an old frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Held {
    /// In a place.
    Place(FramePlace),
    /// Its own address, plus this.
    Frame(i64),
    /// An address of its program.
    Address(OldLink),
}

/// What an instruction computes; all wrap, and the result is zero-extended from `bits` unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Operation {
    /// Sum.
    Add {
        /// Width in bits.
        bits: u8,
    },
    /// Difference.
    Subtract {
        /// Width in bits.
        bits: u8,
    },
    /// Product.
    Multiply {
        /// Width in bits.
        bits: u8,
    },
    /// Bitwise and.
    And {
        /// Width in bits.
        bits: u8,
    },
    /// Bitwise or.
    Or {
        /// Width in bits.
        bits: u8,
    },
    /// Bitwise exclusive or.
    Xor {
        /// Width in bits.
        bits: u8,
    },
    /// First value shifted left by the second.
    ShiftLeft {
        /// Width in bits.
        bits: u8,
    },
    /// First value shifted right by the second, zeros in.
    ShiftRight {
        /// Width in bits.
        bits: u8,
    },
    /// First value shifted right by the second, the sign in.
    ShiftRightSigned {
        /// Width in bits.
        bits: u8,
    },
    /// The lowest bits.
    ZeroExtend {
        /// How many.
        from: u8,
    },
    /// The lowest bits with their sign, to 64 bits.
    SignExtend {
        /// How many.
        from: u8,
    },
    /// The third value if the first relates so to the second, else the fourth.
    Choose {
        /// How.
        relation: Relation,
        /// Width in bits of what is compared.
        bits: u8,
    },
}

/// A variable that is in memory in both frames.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FrameObject {
    /// Its name, with the inlined function's where it belongs to one.
    pub name: String,
    /// First byte in the old frame, from its canonical frame address.
    pub old: i64,
    /// First byte in the new frame, likewise.
    pub new: i64,
    /// Its length in the old frame, in bytes.
    pub old_length: u64,
    /// Its length in the new frame, in bytes.
    pub new_length: u64,
    /// Its types in the old and in the new build; the same where the bytes are carried as they are.
    pub kinds: (Option<TypeId>, Option<TypeId>),
    /// Whether its type changes, so that it is rewritten rather than carried.
    pub is_changed: bool,
    /// Where its type changes: what the new code has stored into the parts that are new, by their distances from its first byte.
    pub initial: Vec<(u64, Vec<u8>)>,
}

/// Something that must hold of old values.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Condition {
    /// Left side.
    pub left: Value,
    /// How the sides relate.
    pub relation: Relation,
    /// Right side.
    pub right: Value,
    /// How many of the lowest bits are compared.
    pub bits: u8,
    /// The branch of the new code that asks, or the call that is given an argument, for people.
    pub branch: NewLink,
    /// The argument of the call under way that has to be the same, if it is about one.
    pub argument: Option<AskedArgument>,
}

/// An argument of the call under way, of which the stop tells whether it is the same.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AskedArgument {
    /// Its name.
    pub name: String,
    /// The lines of a spec that take another one as it is.
    pub answer: Option<String>,
}

/// How two numbers relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Relation {
    /// Equal.
    Equal,
    /// Not equal.
    Different,
    /// Less, unsigned.
    Below,
    /// Less or equal, unsigned.
    BelowOrEqual,
    /// Greater, unsigned.
    Above,
    /// Greater or equal, unsigned.
    AboveOrEqual,
    /// Less, signed.
    Less,
    /// Less or equal, signed.
    LessOrEqual,
    /// Greater, signed.
    Greater,
    /// Greater or equal, signed.
    GreaterOrEqual,
    /// All bits that are set on the right side are clear on the left one.
    NoCommonBit,
    /// Some bit that is set on the right side is set on the left one.
    CommonBit,
}

/// Something shared is written as if it were not.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Continuation;

    pub(super) fn serialize<S: Serializer>(shared: &Option<Arc<Continuation>>, serializer: S) -> Result<S::Ok, S::Error> {
        shared.as_deref().serialize(serializer)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Option<Arc<Continuation>>, D::Error> {
        Ok(Option::<Continuation>::deserialize(deserializer)?.map(Arc::new))
    }
}
