//! Layouts of types as a plugin sees them: fields by name, flat.

use serde::{Deserialize, Serialize};

/// A structure or union of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Name as in the source, without `struct`.
    pub name: String,
    /// Size in bytes.
    pub size: u32,
    /// Every field; those of nested structures under `outer.inner`, of anonymous ones under their own name.
    pub fields: Vec<Field>,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Name, with the names of the structures around it.
    pub name: String,
    /// Offset from the start of the object in bytes.
    pub offset: u32,
    /// Size in bytes, an array's as a whole; 0 for a flexible array.
    pub size: u32,
    /// What is in it.
    pub kind: FieldKind,
}

/// What is in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldKind {
    /// An integer, boolean, character or enumerator.
    Integer {
        /// Whether its highest bit is a sign.
        signed: bool,
    },
    /// A floating-point number.
    Float,
    /// A pointer. What is stored in it follows what it points to.
    Pointer,
    /// An array.
    Array {
        /// Whether its elements are pointers.
        pointers: bool,
        /// Size of an element in bytes.
        element: u32,
    },
    /// A bit-field: first bit, counted from the start of the field, and width.
    Bits {
        /// First bit.
        first: u8,
        /// Number of bits.
        width: u8,
    },
    /// A structure or union, whose own fields stand beside it.
    Aggregate,
}

impl Layout {
    /// The field called `name`.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Offsets of all words that are pointers.
    pub fn pointer_offsets(&self) -> impl Iterator<Item = u32> + '_ {
        self.fields.iter().flat_map(|field| {
            let pointers = match field.kind {
                FieldKind::Pointer => 1,
                FieldKind::Array { pointers: true, .. } => field.size / 8,
                _ => 0,
            };
            (0..pointers).map(move |index| field.offset + 8 * index)
        })
    }
}
