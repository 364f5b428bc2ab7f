//! What one unit says, before references between entries and units are resolved.

use crate::program::types::Type;

/// Place of an entry: its offset in `.debug_info`, or in `.debug_types` with [`TYPES_SECTION`] set.
pub(super) type Key = u64;

/// Marks keys of `.debug_types`.
pub(super) const TYPES_SECTION: Key = 1 << 63;

/// What was read from one unit. [`crate::program::types::TypeId`]s in `types` are indices into `references` until merged.
#[derive(Default)]
pub(super) struct RawUnit<'a> {
    pub(super) name: String,
    /// Paths by the line table's file numbers.
    pub(super) files: Vec<String>,
    /// Ascending by key.
    pub(super) types: Vec<Type>,
    pub(super) type_keys: Vec<Key>,
    pub(super) references: Vec<Key>,
    /// Ascending by key.
    pub(super) declarations: Vec<(Key, Declaration<'a>)>,
    pub(super) functions: Vec<RawFunction>,
    /// Definitions of functions without code of their own: inlined everywhere, or folded into another function.
    pub(super) bodiless: Vec<Key>,
    pub(super) variables: Vec<RawVariable>,
    pub(super) bit_fields: Vec<BitField>,
    /// Function types (indices into `types`) that may take their result from the specification at the key.
    pub(super) results: Vec<(usize, Key)>,
    /// Code of the unit as (start, end).
    pub(super) ranges: Vec<(u64, u64)>,
}

/// A function's or variable's entry, as far as others refer to it by abstract origin or specification.
#[derive(Clone, Default)]
pub(super) struct Declaration<'a> {
    pub(super) name: Option<&'a [u8]>,
    pub(super) linkage_name: Option<&'a [u8]>,
    pub(super) file: Option<u64>,
    pub(super) line: u64,
    pub(super) external: bool,
    /// The entry's own type (variables).
    pub(super) kind: Option<Key>,
    /// Abstract origin, else specification.
    pub(super) origin: Option<Key>,
    /// Index of the unit.
    pub(super) unit: usize,
}

/// A function with code.
pub(super) struct RawFunction {
    pub(super) key: Key,
    pub(super) ranges: Vec<(u64, u64)>,
}

/// A variable with static storage, or one outside functions without any.
pub(super) struct RawVariable {
    pub(super) key: Key,
    pub(super) storage: crate::program::dwarf::Storage,
    /// The piece of the variable that is there, if not all of it is.
    pub(super) piece: Option<super::pieces::Piece>,
    /// The function around it.
    pub(super) function: Option<Key>,
}

/// A bit-field whose place needs its type's size.
pub(super) struct BitField {
    /// Index into `types`.
    pub(super) owner: usize,
    pub(super) member: usize,
    pub(super) width: u64,
    pub(super) place: BitPlace,
}

/// The two ways in which DWARF places a bit-field.
pub(super) enum BitPlace {
    /// Bits from the start of the structure.
    FromStart(u64),
    /// The older form: storage unit in bytes, its size if given, bits from the unit's most significant bit.
    FromTop { storage: u64, size: Option<u64>, bits: i64 },
}
