//! What callers have to know of a function, and what it says of the types of objects.

use std::collections::BTreeSet;

use super::bytes::{Byte, Bytes};
use super::state::CLOBBERED;
use super::value::{Site, Value};
use crate::program::types::TypeId;

/// Size of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// So many bytes.
    Bytes(i64),
    /// What this argument of the function says, plus bytes.
    Argument(Site, i64),
    /// Not known.
    Unknown,
}

/// What is known of the type of a block, or of what an argument points to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Types of objects that lie in it, each with its offset; `None` where that is not known.
    pub(super) objects: BTreeSet<(TypeId, Option<i64>)>,
    /// Whether a pointer to bytes or numbers leads to it.
    pub(super) raw: bool,
    /// Whether the pointer went where its type is not declared.
    pub(super) escapes: bool,
}

impl Told {
    /// Takes in what is known of what lies `at` bytes into the block.
    pub(super) fn add(&mut self, other: &Self, at: Option<i64>) {
        let moved = other.objects.iter().map(|(kind, offset)| (*kind, offset.zip(at).and_then(|(a, b)| a.checked_add(b))));
        self.objects.extend(moved);
        self.raw |= other.raw;
        self.escapes |= other.escapes;
    }
}

/// What a function gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// This, or nothing yet.
    Value(Value),
    /// An argument of its, plus bytes.
    Argument(Site, i64),
    /// An object that it made, or zero.
    Made {
        /// The object as it is then, counted from the pointer.
        bytes: Bytes,
        /// Size of its block behind the pointer.
        size: Size,
        /// Its type.
        told: Told,
        /// Whether it may be something else, too.
        doubtful: bool,
    },
}

/// What callers have to know of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// What becomes of the objects that the arguments point to.
    pub(super) effects: [Bytes; 6],
    /// What it says of their types.
    pub(super) told: [Told; 6],
    /// Its result.
    pub(super) given: Given,
    /// Types of objects to which it stored pointers where its arguments point to.
    pub(super) handed: [BTreeSet<TypeId>; 6],
    /// General registers that it may change, as bits: callers rely on it where a compiler looked (gcc's `-fipa-ra`).
    pub(super) changes: u32,
}

impl Summary {
    /// A function of which nothing is known.
    pub(super) fn unknown() -> Self {
        let told = Told { escapes: true, ..Told::default() };
        Self {
            effects: std::array::from_fn(|_| Bytes::all(Byte::Other)),
            told: std::array::from_fn(|_| told.clone()),
            given: Given::Value(Value::Unknown),
            handed: Default::default(),
            changes: CLOBBERED,
        }
    }
}

/// A block that a function got, as it is when the function is through with it.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The instruction that got it.
    pub(super) address: u64,
    /// Its size.
    pub(super) size: Size,
    /// Its type.
    pub(super) told: Told,
    /// Its bytes; `None` where the function never comes to an end with it.
    pub(super) bytes: Option<Bytes>,
}

/// What a function says of the types that are asked about.
#[derive(Clone, Debug, Default)]
pub(super) struct Testimony {
    /// The blocks that it got.
    pub(super) blocks: Vec<Block>,
    /// Wanted types of which an object may come from somewhere else, by position, each with the first place that says so.
    pub(super) refused: std::collections::BTreeMap<usize, u64>,
}
