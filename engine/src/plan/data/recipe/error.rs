//! Why an object could not be rewritten.

use dsu_formats::address::RunAddress;

use crate::plan::data::value::ValueError;

/// An object of the old process that its recipe does not fit.
#[derive(Debug, thiserror::Error)]
#[error("the object at {address}, `{field}`: {problem}")]
pub struct RecipeError {
    /// The old object.
    pub address: RunAddress,
    /// The new field, from its nearest named type.
    pub field: String,
    /// What is wrong.
    #[source]
    pub problem: Box<RecipeProblem>,
}

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum RecipeProblem {
    /// A number that the new type cannot hold.
    #[error("the value {value} does not fit {kind}")]
    Lost {
        /// The value.
        value: String,
        /// The new type.
        kind: String,
    },
    /// An element past the end of an array that shrank is not zero.
    #[error("byte {offset} of the old field is {value:#04x}, and the new field ends before it")]
    Cut {
        /// From the start of the old field.
        offset: usize,
        /// The byte.
        value: u8,
    },
    /// A value that has no counterpart in the new enumeration.
    #[error("the value {value} is none of {kind}")]
    NoEnumerator {
        /// The old value.
        value: i128,
        /// The new type.
        kind: String,
    },
    /// A union's tag that no rule names.
    #[error("the tag is {tag}, for which no member is known")]
    NoMember {
        /// The tag's value.
        tag: i128,
    },
    /// A flexible array with more elements than its block holds.
    #[error("{count} elements, but the block has room for {room}")]
    Length {
        /// What the rule says.
        count: i128,
        /// What the block has room for.
        room: u64,
    },
    /// The bytes given are not those of the type.
    #[error("expected at least {expected} bytes, found {found}")]
    Size {
        /// The type's size.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// A rule's value could not be computed or stored.
    #[error("{origin}")]
    Value {
        /// Where the rule was given.
        origin: String,
        /// Cause.
        #[source]
        source: ValueError,
    },
}
