//! A language-neutral model of the types that debug information describes.

mod copies;
mod definitions;
mod table;
mod words;

use std::sync::OnceLock;

pub use words::WordKind;

/// Index of a type in a [`TypeTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TypeId(pub u32);

/// All types of one build; equal entries of several units may stand more than once.
#[derive(Debug, Default)]
pub struct TypeTable {
    /// Types by [`TypeId`].
    pub types: Vec<Type>,
    /// Definitions by name, made when first asked for.
    definitions: OnceLock<definitions::Definitions>,
}

impl TypeTable {
    /// The type behind `id`.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0 as usize]
    }
}

/// One type.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// Name as in the source, without `struct` and its like; empty for anonymous ones.
    pub name: String,
    /// Source file of the declaration, as the line table names it; empty when unknown.
    pub file: String,
    /// Line of the declaration.
    pub line: u64,
    /// Size in bytes; `None` for incomplete types, functions, arrays of unknown length.
    pub size: Option<u64>,
    /// Alignment in bytes where the source asks for one; `None` where the ABI decides.
    pub alignment: Option<u64>,
    /// What it is.
    pub shape: Shape,
}

/// What a type is.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// `void` or a type that DWARF leaves out.
    Void,
    /// A base type, with its DW_ATE_… encoding.
    Base {
        /// DW_ATE_….
        encoding: u8,
    },
    /// A pointer or reference; `None` points to void.
    Pointer {
        /// What it points to.
        target: Option<TypeId>,
    },
    /// `typedef`, `const`, `volatile`, `restrict`, `_Atomic`: the same layout under another name.
    Alias {
        /// Which of them (DW_TAG_…).
        tag: u16,
        /// The aliased type; `None` is void.
        target: Option<TypeId>,
    },
    /// An array, one entry a dimension, outermost first; `None` where the length is not known (flexible, variable).
    Array {
        /// Element.
        element: Option<TypeId>,
        /// Number of elements by dimension.
        counts: Vec<Option<u64>>,
    },
    /// A structure or class.
    Struct {
        /// Members in order.
        members: Vec<Member>,
    },
    /// A union.
    Union {
        /// Members in order.
        members: Vec<Member>,
    },
    /// An enumeration.
    Enum {
        /// Name and value by declaration order.
        enumerators: Vec<(String, i128)>,
    },
    /// A declaration without a definition in its unit.
    Incomplete {
        /// DW_TAG_… of the declaration.
        tag: u16,
    },
    /// A function type.
    Function {
        /// Result; `None` is void.
        result: Option<TypeId>,
        /// Parameters.
        parameters: Vec<Option<TypeId>>,
        /// Whether `…` follows.
        variadic: bool,
    },
    /// Something else (a DW_TAG_… that the model has no shape for).
    Other {
        /// DW_TAG_….
        tag: u16,
    },
}

/// A member of a structure or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name; empty for anonymous members.
    pub name: String,
    /// Its type; `None` is void.
    pub kind: Option<TypeId>,
    /// Offset of its storage in bytes.
    pub offset: u64,
    /// For bit-fields: offset from the start of the structure and width, in bits.
    pub bits: Option<(u64, u64)>,
}
