//! What the walk asks whoever decides about types: what changes, what is worth following, and the user's answers on untyped places.

use std::collections::HashMap;

use crate::program::types::TypeId;

/// A place within every object of a type, or within one variable, of the old build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Where the path begins.
    pub root: Root,
    /// Positions in the member lists from there, outermost first; arrays on the way are passed through.
    pub path: &'a [u32],
}

/// Where a [`Place`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// A structure or union, canonical.
    Type(TypeId),
    /// Position of a variable in [`crate::program::dwarf::DebugInfo::variables`].
    Variable(u32),
}

/// What a pointer points to that its type does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointee {
    /// Objects of this type.
    Type(TypeId),
    /// What lies `back` bytes before the pointer's value is an object of this type, as behind an embedded list's links.
    Within {
        /// The type of the whole.
        kind: TypeId,
        /// Bytes from its start to where the pointer points.
        back: u64,
    },
    /// Bytes that hold no pointer and no object of a changed type.
    Opaque,
    /// It depends on the integer at this path from the place's root.
    ByTag {
        /// Path of the tag.
        tag: Vec<u32>,
        /// What is pointed to, by the tag's value; `None` is [`Pointee::Opaque`].
        choices: HashMap<i128, Option<TypeId>>,
    },
}

/// Words that the kernel keeps for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KernelWords {
    /// `data.ptr` of epoll.
    Epoll,
    /// The values of timers and of pending signals.
    Signals,
}

/// Which member of a union is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Path of the tag from the place's root.
    pub tag: Vec<u32>,
    /// Position of the member by the tag's value; `None`: none holds anything.
    pub members: HashMap<i128, Option<u32>>,
    /// The member for any other value; `None`: such a value is a problem.
    pub otherwise: Option<Option<u32>>,
}

/// What is worth walking to. Types are asked about behind typedefs and qualifiers, canonical.
pub trait Interest: Sync {
    /// Whether objects of this type are rewritten: their own bytes change layout or meaning.
    fn changed(&self, kind: TypeId) -> bool;

    /// Whether an object of this type holds or points to, through however many others, one that [`Interest::changed`].
    fn leads(&self, kind: TypeId) -> bool;

    /// Whether a pointer to pointers is followed for their sake, wherever they lead.
    fn pointers(&self) -> bool {
        false
    }

    /// Whether blocks are noted that hold bytes, as the user says.
    fn notes_bytes(&self) -> bool {
        false
    }

    /// Whether, by the user's word, no block holds an object of this type but those that typed pointers lead to.
    fn unused(&self, _kind: TypeId) -> bool {
        false
    }

    /// Whether objects of this type are made one by one, whatever the size of the block that they lie in.
    fn is_single(&self, _kind: TypeId) -> bool {
        false
    }

    /// The user's answer on what a pointer points to.
    fn pointee(&self, _place: Place<'_>) -> Option<Pointee> {
        None
    }

    /// The user's answer on what such words point to.
    fn kernel_words(&self, _words: KernelWords) -> Option<Pointee> {
        None
    }

    /// The user's answer on which member of a union is in use.
    fn member(&self, _place: Place<'_>) -> Option<Choice> {
        None
    }

    /// Whether the user said how many elements there are behind a pointer or in a flexible array.
    fn has_length(&self, _place: Place<'_>) -> bool {
        false
    }

    /// How many, in this object of the place's root. `None`: it cannot be told, which is a problem.
    fn length(&self, _place: Place<'_>, _object: &[u8]) -> Option<u64> {
        None
    }
}
