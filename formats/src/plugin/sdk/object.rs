//! Objects by the names of their fields.

use std::fmt;
use std::sync::Arc;

use super::super::layout::{Field, FieldKind, Layout};

/// Why an object cannot be rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    /// A refusal with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// An object of the old process.
#[derive(Clone, Debug)]
pub struct Object {
    pub(super) layout: Arc<Layout>,
    pub(super) address: u64,
    pub(super) bytes: Vec<u8>,
}

impl Object {
    /// Its address in the old process.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Its type.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number in an integer, enumeration, bit-field or pointer called `name` (`outer.inner` for nested ones).
    ///
    /// # Errors
    /// No such field, or one of another kind.
    pub fn get(&self, name: &str) -> Result<i64, Refusal> {
        self.number(find(&self.layout, name)?)
    }

    fn number(&self, field: &Field) -> Result<i64, Refusal> {
        let bytes = part(&self.layout, &self.bytes, field)?;
        let raw = match *bytes {
            [a] => u64::from(a),
            [a, b] => u64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => return Err(wrong(&self.layout, field, "a number")),
        };
        match field.kind {
            FieldKind::Integer { signed: true } => {
                let unused = 64 - 8 * bytes.len() as u32;
                Ok(((raw << unused) as i64) >> unused)
            }
            FieldKind::Integer { signed: false } | FieldKind::Pointer => Ok(raw as i64),
            FieldKind::Bits { first, width } => Ok(((raw >> first) & mask(width)) as i64),
            _ => Err(wrong(&self.layout, field, "a number")),
        }
    }

    /// The address in a pointer called `name`.
    ///
    /// # Errors
    /// No such field, or no pointer.
    pub fn pointer(&self, name: &str) -> Result<u64, Refusal> {
        let field = find(&self.layout, name)?;
        match field.kind {
            FieldKind::Pointer => self.get(name).map(|word| word as u64),
            _ => Err(wrong(&self.layout, field, "a pointer")),
        }
    }

    /// The bytes of a field, an array's or structure's as a whole.
    ///
    /// # Errors
    /// No such field.
    pub fn bytes(&self, name: &str) -> Result<&[u8], Refusal> {
        part(&self.layout, &self.bytes, find(&self.layout, name)?)
    }

    /// The text in an array of characters, up to its zero.
    ///
    /// # Errors
    /// No such field, or bytes that are not UTF-8.
    pub fn text(&self, name: &str) -> Result<&str, Refusal> {
        let bytes = self.bytes(name)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).map_err(|error| Refusal(format!("`{}.{name}` is no text: {error}", self.layout.name)))
    }
}

/// An object of the new program in the making; all its bytes are zero at first.
#[derive(Debug)]
pub struct NewObject<'a> {
    pub(super) layout: &'a Layout,
    pub(super) bytes: &'a mut [u8],
    pub(super) carried: &'a Carried,
}

/// The fields that an old and a new type both have, looked up once for all objects.
#[derive(Debug)]
pub(super) struct Carried {
    old: Arc<Layout>,
    fields: Vec<(Field, Field)>,
}

impl Carried {
    pub(super) fn new(old: &Arc<Layout>, new: &Layout) -> Self {
        let own = new.fields.iter().filter(|field| field.kind != FieldKind::Aggregate);
        let fields = own.filter_map(|to| Some((old.field(&to.name)?.clone(), to.clone()))).collect();
        Self { old: Arc::clone(old), fields }
    }
}

impl NewObject<'_> {
    /// Its type.
    pub fn layout(&self) -> &Layout {
        self.layout
    }

    /// Stores a number into an integer, enumeration, bit-field or pointer. A pointer takes an address of the old process, or one
    /// of a new block ([`super::Process::allocate`]).
    ///
    /// # Errors
    /// No such field, one of another kind, or a number that does not fit.
    pub fn set(&mut self, name: &str, value: i64) -> Result<(), Refusal> {
        self.set_number(find(self.layout, name)?, value)
    }

    fn set_number(&mut self, field: &Field, value: i64) -> Result<(), Refusal> {
        let (offset, size) = (field.offset as usize, field.size as usize);
        let fits = match field.kind {
            FieldKind::Integer { signed } => fits(value, size as u32 * 8, signed),
            FieldKind::Pointer => true,
            FieldKind::Bits { width, .. } => value as u64 <= mask(width),
            _ => return Err(wrong(self.layout, field, "a number")),
        };
        if !fits {
            return Err(Refusal(format!("{value} does not fit `{}.{}`", self.layout.name, field.name)));
        }
        let slot = self.bytes.get_mut(offset..offset + size).filter(|slot| slot.len() <= 8);
        let slot = slot.ok_or_else(|| wrong(self.layout, field, "a number"))?;
        match field.kind {
            FieldKind::Bits { first, width } => {
                let mut word = [0; 8];
                word[..size].copy_from_slice(slot);
                let kept = u64::from_le_bytes(word) & !(mask(width) << first);
                slot.copy_from_slice(&(kept | (value as u64) << first).to_le_bytes()[..size]);
            }
            _ => slot.copy_from_slice(&value.to_le_bytes()[..size]),
        }
        Ok(())
    }

    /// Stores bytes into a field; a longer field keeps zeros after them.
    ///
    /// # Errors
    /// No such field, or more bytes than it has room for.
    pub fn set_bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        self.set_part(find(self.layout, name)?, bytes)
    }

    fn set_part(&mut self, field: &Field, bytes: &[u8]) -> Result<(), Refusal> {
        let slot = self.bytes.get_mut(field.offset as usize..field.offset as usize + bytes.len());
        match slot.filter(|_| bytes.len() <= field.size as usize) {
            Some(slot) => {
                slot.copy_from_slice(bytes);
                Ok(())
            }
            None => Err(Refusal(format!("{} bytes do not fit `{}.{}`", bytes.len(), self.layout.name, field.name))),
        }
    }

    /// Carries one field under its own name: numbers may change their width, arrays may grow, anything else must be as it was.
    ///
    /// # Errors
    /// No such field on either side, or a value that does not fit.
    pub fn carry(&mut self, old: &Object, name: &str) -> Result<(), Refusal> {
        self.carry_field(old, find(&old.layout, name)?, find(self.layout, name)?)
    }

    fn carry_field(&mut self, old: &Object, from: &Field, to: &Field) -> Result<(), Refusal> {
        let is_number = |kind: FieldKind| matches!(kind, FieldKind::Integer { .. } | FieldKind::Bits { .. });
        let is_longer_array = matches!(from.kind, FieldKind::Array { .. }) && from.size <= to.size;
        match (from.kind, to.kind) {
            (a, b) if is_number(a) && is_number(b) => self.set_number(to, old.number(from)?),
            (a, b) if a == b && (is_longer_array || from.size == to.size) => {
                self.set_part(to, part(&old.layout, &old.bytes, from)?)
            }
            _ => Err(Refusal(format!("`{}.{}` has another type in the new program", self.layout.name, to.name))),
        }
    }

    /// Carries every field that both types have.
    ///
    /// # Errors
    /// As [`NewObject::carry`].
    pub fn carry_all(&mut self, old: &Object) -> Result<(), Refusal> {
        let carried = self.carried;
        if Arc::ptr_eq(&carried.old, &old.layout) {
            return carried.fields.iter().try_for_each(|(from, to)| self.carry_field(old, from, to));
        }
        let both = Carried::new(&old.layout, self.layout);
        both.fields.iter().try_for_each(|(from, to)| self.carry_field(old, from, to))
    }
}

fn mask(width: u8) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

fn fits(value: i64, bits: u32, signed: bool) -> bool {
    match (bits, signed) {
        (64.., _) => true,
        (_, true) => (-1i64 << (bits - 1)..1 << (bits - 1)).contains(&value),
        (_, false) => (0..1 << bits).contains(&value),
    }
}

fn find<'a>(layout: &'a Layout, name: &str) -> Result<&'a Field, Refusal> {
    layout.field(name).ok_or_else(|| Refusal(format!("`{}` has no field `{name}`", layout.name)))
}

fn part<'a>(layout: &Layout, bytes: &'a [u8], field: &Field) -> Result<&'a [u8], Refusal> {
    let end = field.offset as usize + field.size as usize;
    bytes.get(field.offset as usize..end).ok_or_else(|| wrong(layout, field, "a field within its object"))
}

fn wrong(layout: &Layout, field: &Field, expected: &str) -> Refusal {
    Refusal(format!("`{}.{}` is not {expected}", layout.name, field.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(fields: &[(&str, u32, u32, FieldKind)]) -> Layout {
        let fields = fields.iter().map(|(name, offset, size, kind)| Field {
            name: (*name).to_owned(),
            offset: *offset,
            size: *size,
            kind: *kind,
        });
        Layout { name: "thing".to_owned(), size: 32, fields: fields.collect() }
    }

    const SIGNED: FieldKind = FieldKind::Integer { signed: true };
    const UNSIGNED: FieldKind = FieldKind::Integer { signed: false };

    #[test]
    fn numbers_change_their_width_and_keep_their_sign() {
        let narrow = layout(&[("n", 4, 4, SIGNED), ("text", 8, 8, FieldKind::Array { pointers: false, element: 1 })]);
        let wide = layout(&[("n", 0, 8, SIGNED), ("text", 16, 8, FieldKind::Array { pointers: false, element: 1 })]);
        let mut bytes = vec![0; 32];
        bytes[4..8].copy_from_slice(&(-5i32).to_le_bytes());
        bytes[8..11].copy_from_slice(b"abc");
        let old = Object { layout: Arc::new(narrow), address: 0x1000, bytes };
        let mut made = vec![0; 32];
        let carried = Carried::new(&old.layout, &wide);
        NewObject { layout: &wide, bytes: &mut made, carried: &carried }.carry_all(&old).unwrap();
        assert_eq!(made[..8], (-5i64).to_le_bytes());
        assert_eq!(&made[16..20], b"abc\0");
        assert_eq!(old.text("text").unwrap(), "abc");
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let small = layout(&[("n", 0, 1, UNSIGNED), ("bits", 4, 4, FieldKind::Bits { first: 3, width: 5 })]);
        let mut made = vec![0; 32];
        let carried = Carried::new(&Arc::new(small.clone()), &small);
        let mut new = NewObject { layout: &small, bytes: &mut made, carried: &carried };
        assert_eq!(new.set("n", 256).unwrap_err().0, "256 does not fit `thing.n`");
        assert!(new.set("n", -1).is_err() && new.set("bits", 32).is_err() && new.set("m", 0).is_err());
        new.set("bits", 31).unwrap();
        assert_eq!(made[4], 0xf8);
    }
}
