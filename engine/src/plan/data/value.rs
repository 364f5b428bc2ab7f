//! Values, and typed access to an old object and the memory around it.

use std::borrow::Cow;

use dsu_formats::address::RunAddress;
use gimli::constants as dw;

use crate::plan::address::NewLink;
use crate::plan::source::{MemorySource, SourceError};
use crate::program::types::{Member, Shape, TypeId, TypeTable};

/// Longest string that is read out of the process.
const TEXT_LIMIT: usize = 1 << 20;
/// Largest object behind a pointer that is read out of the process.
const OBJECT_LIMIT: u64 = 1 << 24;
/// Bytes that are read at a time while a string's end is looked for.
const TEXT_CHUNK: usize = 256;

/// A value read from an old object, or to be stored into a new one.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// All bytes zero, whatever the type.
    Zero,
    /// An integer, boolean, character or enumerator.
    Integer(i128),
    /// A floating-point number.
    Float(f64),
    /// Bytes of an array or string. Stored into a longer array they are followed by zeros.
    Bytes(Vec<u8>),
    /// An address of the old process. Stored into a pointer it follows what it points to, as any pointer does.
    Address(RunAddress),
    /// A function or object of the new program.
    New(NewLink),
}

/// A value cannot be read, computed or stored.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// The type has no such member.
    #[error("`{kind}` has no member `{name}`")]
    NoMember {
        /// The old type.
        kind: String,
        /// What was asked for.
        name: String,
    },
    /// The operation does not suit the type.
    #[error("{operation} needs {expected}, found `{found}`")]
    WrongType {
        /// What was tried.
        operation: &'static str,
        /// What it needs.
        expected: &'static str,
        /// The type that is there.
        found: String,
    },
    /// Past the end of an array or object.
    #[error("element {index} of `{kind}`, which ends before it")]
    OutOfRange {
        /// The array's or object's type.
        kind: String,
        /// The element.
        index: i128,
    },
    /// The memory behind a pointer cannot be read.
    #[error("`{kind}` at {address} cannot be read")]
    Memory {
        /// What was to be read.
        kind: String,
        /// Where.
        address: RunAddress,
        /// Cause.
        #[source]
        source: SourceError,
    },
    /// A computation failed: division by zero, overflow, types that do not match.
    #[error("{expression}: {reason}")]
    Computation {
        /// The expression as it was written, with its place in the spec.
        expression: String,
        /// What went wrong.
        reason: String,
    },
    /// The value does not fit where it goes.
    #[error("the value {value} does not fit `{kind}`")]
    DoesNotFit {
        /// The value.
        value: String,
        /// The type that it should take.
        kind: String,
    },
}

/// An object of the old process, or a part of one: its type, its bytes, and the memory around it.
#[derive(Clone)]
pub struct ObjectView<'a> {
    types: &'a TypeTable,
    memory: &'a dyn MemorySource,
    kind: Option<TypeId>,
    address: RunAddress,
    bytes: Cow<'a, [u8]>,
    /// For a bit-field: first bit and width, counted from the start of `bytes`.
    bits: Option<(u64, u64)>,
}

impl<'a> ObjectView<'a> {
    /// The object of type `kind` at `address` whose bytes are `bytes`, which may hold more than the type (a flexible array).
    pub fn new(
        types: &'a TypeTable,
        kind: Option<TypeId>,
        address: RunAddress,
        bytes: &'a [u8],
        memory: &'a dyn MemorySource,
    ) -> Self {
        Self { types, memory, kind: types.peel(kind), address, bytes: Cow::Borrowed(bytes), bits: None }
    }

    /// Its type behind typedefs and qualifiers; `None` is void.
    pub fn kind(&self) -> Option<TypeId> {
        self.kind
    }

    /// Its address in the old process.
    pub fn address(&self) -> RunAddress {
        self.address
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its type as C writes it.
    pub fn describe(&self) -> String {
        self.types.describe(self.kind)
    }

    /// The member `name`, also of an anonymous member.
    ///
    /// # Errors
    /// No structure or union, no such member, or an object shorter than its type.
    pub fn member(&self, name: &str) -> Result<ObjectView<'a>, ValueError> {
        let missing = || ValueError::NoMember { kind: self.describe(), name: name.to_owned() };
        let path = self.types.member_path(self.kind, name).ok_or_else(missing)?;
        self.at(&path)
    }

    /// The member at a path of positions in member lists (see [`super::rules::Place`]).
    ///
    /// # Errors
    /// As [`ObjectView::member`].
    pub fn at(&self, path: &[u32]) -> Result<ObjectView<'a>, ValueError> {
        let mut view = self.clone();
        for &position in path {
            let missing = || ValueError::NoMember { kind: view.describe(), name: format!("#{position}") };
            let members = view.kind.and_then(|kind| self.types.get(kind).shape.members()).ok_or_else(missing)?;
            let member = members.get(position as usize).ok_or_else(missing)?;
            view = view.part(member)?;
        }
        Ok(view)
    }

    fn part(&self, member: &Member) -> Result<ObjectView<'a>, ValueError> {
        match member.bits {
            Some((start, width)) => {
                let last = start.checked_add(width).map(|end| end.div_ceil(8));
                let mut part = self.slice(member.kind, start / 8, last.and_then(|last| last.checked_sub(start / 8)))?;
                part.bits = Some((start % 8, width));
                Ok(part)
            }
            // A flexible array has what is left of the object.
            None => self.slice(member.kind, member.offset, self.types.size_of(member.kind)),
        }
    }

    fn slice(&self, kind: Option<TypeId>, offset: u64, size: Option<u64>) -> Result<ObjectView<'a>, ValueError> {
        let outside = || ValueError::OutOfRange { kind: self.describe(), index: offset.into() };
        let start = usize::try_from(offset).map_err(|_| outside())?;
        let end = match size {
            Some(size) => usize::try_from(size).ok().and_then(|size| start.checked_add(size)).ok_or_else(outside)?,
            None => self.bytes.len().max(start),
        };
        let bytes = match &self.bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(start..end).ok_or_else(outside)?),
            Cow::Owned(bytes) => Cow::Owned(bytes.get(start..end).ok_or_else(outside)?.to_vec()),
        };
        let address = self.address.checked_add(offset).ok_or_else(outside)?;
        Ok(ObjectView { types: self.types, memory: self.memory, kind: self.types.peel(kind), address, bytes, bits: None })
    }

    /// The element `index` of an array, or of the array that a pointer points into.
    ///
    /// # Errors
    /// Neither array nor pointer, an index outside, unreadable memory.
    pub fn element(&self, index: i128) -> Result<ObjectView<'a>, ValueError> {
        match self.shape() {
            Some(Shape::Array { .. }) => {
                let (element, size) = self.array_element()?;
                let outside = || ValueError::OutOfRange { kind: self.describe(), index };
                let offset = u64::try_from(index).ok().and_then(|index| index.checked_mul(size)).ok_or_else(outside)?;
                let fits = offset.checked_add(size).is_some_and(|end| end <= self.bytes.len() as u64);
                if fits { self.slice(element, offset, Some(size)) } else { Err(outside()) }
            }
            Some(Shape::Pointer { target }) => {
                let size = self.sized(*target)?;
                let outside = || ValueError::OutOfRange { kind: self.describe(), index };
                let distance = index.checked_mul(size.into()).ok_or_else(outside)?;
                let address = i128::from(self.word()?).checked_add(distance).and_then(|at| u64::try_from(at).ok());
                self.read(*target, RunAddress(address.ok_or_else(outside)?), size)
            }
            _ => Err(self.wrong("an element", "an array or a pointer")),
        }
    }

    /// What a pointer points to.
    ///
    /// # Errors
    /// No pointer, a target of unknown size, unreadable memory.
    pub fn target(&self) -> Result<ObjectView<'a>, ValueError> {
        match self.shape() {
            Some(Shape::Pointer { .. }) => self.element(0),
            _ => Err(self.wrong("what it points to", "a pointer")),
        }
    }

    /// The object of type `kind` at `address`.
    ///
    /// # Errors
    /// A type of unknown size, unreadable memory.
    pub fn object(&self, kind: Option<TypeId>, address: RunAddress) -> Result<ObjectView<'a>, ValueError> {
        self.read(kind, address, self.sized(kind)?)
    }

    /// Number of elements of an array: of its type, or what the object has room for.
    ///
    /// # Errors
    /// No array.
    pub fn length(&self) -> Result<u64, ValueError> {
        let (_, size) = self.array_element()?;
        Ok((self.bytes.len() as u64).checked_div(size).unwrap_or(0))
    }

    /// The string in an array of characters or behind a pointer to them, without its terminating zero.
    ///
    /// # Errors
    /// Neither of them, unreadable memory, no zero within a mebibyte.
    pub fn text(&self) -> Result<Vec<u8>, ValueError> {
        match self.shape() {
            Some(Shape::Array { .. }) => Ok(self.bytes.iter().copied().take_while(|&byte| byte != 0).collect()),
            Some(Shape::Pointer { .. }) => self.text_at(RunAddress(self.word()?)),
            _ => Err(self.wrong("a string", "an array of characters or a pointer to them")),
        }
    }

    /// The string at `start`, without its terminating zero.
    ///
    /// # Errors
    /// Unreadable memory, no zero within a mebibyte.
    pub fn text_at(&self, start: RunAddress) -> Result<Vec<u8>, ValueError> {
        let mut text = Vec::new();
        let mut at = start;
        while text.len() < TEXT_LIMIT {
            // Never across a boundary that nothing may lie behind.
            let room = TEXT_CHUNK as u64 - at.0 % TEXT_CHUNK as u64;
            let mut chunk = [0; TEXT_CHUNK];
            let chunk = chunk.get_mut(..room as usize).unwrap_or(&mut []);
            let failed = |source| ValueError::Memory { kind: "string".to_owned(), address: at, source };
            self.memory.read(at, chunk).map_err(failed)?;
            match chunk.iter().position(|&byte| byte == 0) {
                Some(end) => {
                    text.extend(chunk.iter().take(end));
                    return Ok(text);
                }
                None => text.extend_from_slice(chunk),
            }
            at = match at.checked_add(room) {
                Some(next) => next,
                None => break,
            };
        }
        Err(ValueError::OutOfRange { kind: "string".to_owned(), index: TEXT_LIMIT as i128 })
    }

    /// The value: a number, an address, or the bytes of anything else.
    ///
    /// # Errors
    /// A number of a width that no C type has.
    pub fn value(&self) -> Result<Value, ValueError> {
        match self.shape() {
            Some(Shape::Pointer { .. }) => Ok(Value::Address(RunAddress(self.word()?))),
            Some(Shape::Base { encoding }) if is_float(*encoding) => self.float(),
            Some(Shape::Base { .. } | Shape::Enum { .. }) => self.integer().map(Value::Integer),
            _ => Ok(Value::Bytes(self.bytes.to_vec())),
        }
    }

    /// The value of an integer, boolean, character, enumerator, bit-field, or a pointer as a number.
    ///
    /// # Errors
    /// Another kind of type.
    pub fn integer(&self) -> Result<i128, ValueError> {
        let signed = match self.shape() {
            Some(Shape::Base { encoding }) if !is_float(*encoding) => is_signed(*encoding),
            Some(Shape::Enum { enumerators }) => enumerators.iter().any(|(_, value)| *value < 0),
            Some(Shape::Pointer { .. }) => false,
            _ => return Err(self.wrong("a number", "an integer")),
        };
        let raw = read_bits(&self.bytes, self.bits).ok_or_else(|| self.wrong("a number", "an integer of at most 16 bytes"))?;
        let width = self.bits.map_or(self.bytes.len() as u64 * 8, |(_, width)| width);
        Ok(if signed { sign_extend(raw, width) } else { raw as i128 })
    }

    fn float(&self) -> Result<Value, ValueError> {
        let float = match *self.bytes {
            [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => return Ok(Value::Bytes(self.bytes.to_vec())),
        };
        Ok(Value::Float(float))
    }

    fn shape(&self) -> Option<&'a Shape> {
        self.kind.map(|kind| &self.types.get(kind).shape)
    }

    fn word(&self) -> Result<u64, ValueError> {
        let bytes = self.bytes.get(..8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_le_bytes).ok_or_else(|| self.wrong("an address", "a pointer of 8 bytes"))
    }

    /// Element type and size of an array, dimensions but the first being part of the element.
    fn array_element(&self) -> Result<(Option<TypeId>, u64), ValueError> {
        let Some(Shape::Array { element, counts }) = self.shape() else { return Err(self.wrong("an element", "an array")) };
        let size = self.types.size_of(*element);
        let row = counts.iter().skip(1).try_fold(size, |size, count| Some(size?.checked_mul((*count)?)));
        match row.flatten() {
            Some(size) if counts.len() == 1 => Ok((*element, size)),
            // The model has no type of its own for a row.
            Some(size) => Ok((None, size)),
            None => Err(self.wrong("an element", "an array of elements of known size")),
        }
    }

    fn sized(&self, kind: Option<TypeId>) -> Result<u64, ValueError> {
        let wrong = || ValueError::WrongType {
            operation: "what it points to",
            expected: "a type of known size",
            found: self.types.describe(kind),
        };
        self.types.size_of(kind).filter(|&size| size <= OBJECT_LIMIT).ok_or_else(wrong)
    }

    fn read(&self, kind: Option<TypeId>, address: RunAddress, size: u64) -> Result<ObjectView<'a>, ValueError> {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        let failed = |source| ValueError::Memory { kind: self.types.describe(kind), address, source };
        self.memory.read(address, &mut bytes).map_err(failed)?;
        let kind = self.types.peel(kind);
        Ok(ObjectView { types: self.types, memory: self.memory, kind, address, bytes: Cow::Owned(bytes), bits: None })
    }

    fn wrong(&self, operation: &'static str, expected: &'static str) -> ValueError {
        ValueError::WrongType { operation, expected, found: self.describe() }
    }
}

/// Whether a DW_ATE_… encoding is a floating-point number (DWARF 5, 7.8).
pub(crate) fn is_float(encoding: u8) -> bool {
    [dw::DW_ATE_float, dw::DW_ATE_complex_float, dw::DW_ATE_imaginary_float, dw::DW_ATE_decimal_float]
        .iter()
        .any(|float| float.0 == encoding)
}

/// Whether a DW_ATE_… encoding has a sign bit that extends.
pub(crate) fn is_signed(encoding: u8) -> bool {
    encoding == dw::DW_ATE_signed.0 || encoding == dw::DW_ATE_signed_char.0
}

/// Up to 128 bits of `bytes` as an unsigned number: all, or `(first bit, width)` of them. `None` past the end or beyond 128.
pub(crate) fn read_bits(bytes: &[u8], bits: Option<(u64, u64)>) -> Option<u128> {
    let (start, width) = bits.unwrap_or((0, bytes.len() as u64 * 8));
    let end = start.checked_add(width)?;
    let window = bytes.get(usize::try_from(start / 8).ok()?..usize::try_from(end.div_ceil(8)).ok()?)?;
    let shift = start % 8;
    if width > 128 || window.len() > 16 {
        return None;
    }
    let raw = window.iter().rev().fold(0u128, |value, &byte| value << 8 | u128::from(byte));
    Some(if width == 0 { 0 } else { (raw >> shift) & (u128::MAX >> (128 - width)) })
}

/// The number that the low `width` bits of `raw` are as two's complement.
pub(crate) fn sign_extend(raw: u128, width: u64) -> i128 {
    match 128u64.checked_sub(width) {
        Some(unused) if unused < 128 => ((raw << unused) as i128) >> unused,
        _ => 0,
    }
}
