//! Any value of any saved type, out of any bytes: a serde deserializer that takes each choice from a byte string.
//!
//! It needs no knowledge of the types, so that a field or variant that is added is generated from then on.

use dsu_formats::model::latest::Snapshot;
use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, SeqAccess, VariantAccess, Visitor,
};

/// Longest list that is made.
const MAX_LIST: u64 = 4;

type Error = serde::de::value::Error;

/// A snapshot out of bytes; no bytes give the emptiest one.
pub fn snapshot(bytes: &[u8]) -> Snapshot {
    let source = &mut Source { bytes, queued: Vec::new() };
    Snapshot {
        manifest: source.value(),
        tree: source.value(),
        address_spaces: source.value(),
        modules: source.value(),
        threads: source.value(),
        signals: source.value(),
        timers: source.value(),
        descriptors: source.value(),
        credentials: source.value(),
        limits: source.value(),
        generations: source.value(),
    }
}

/// Any saved value out of bytes.
pub fn value<T: DeserializeOwned>(bytes: &[u8]) -> T {
    Source { bytes, queued: Vec::new() }.value()
}

struct Source<'b> {
    bytes: &'b [u8],
    /// Numbers to use before any are made, last one first.
    queued: Vec<u64>,
}

impl Source<'_> {
    fn value<T: DeserializeOwned>(&mut self) -> T {
        T::deserialize(self).expect("every choice has a value")
    }

    fn byte(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((byte, rest)) => {
                self.bytes = rest;
                *byte
            }
            None => 0,
        }
    }

    /// Small, the greatest, or anything.
    fn number(&mut self) -> u64 {
        if let Some(queued) = self.queued.pop() {
            return queued;
        }
        match self.byte() {
            choice @ 0..=159 => u64::from(choice),
            160..=175 => u64::MAX,
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn list(&mut self, len: u64) -> List<'_, Self> {
        List { source: self, left: len }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.number() as $type)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Source<'_> {
    type Error = Error;

    numbers!(
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    );

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.byte() % 2 == 1)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let len = self.byte() % 8;
        visitor.visit_string((0..len).map(|_| char::from(self.byte())).collect())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.byte().is_multiple_of(2) { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let len = u64::from(self.byte()) % (MAX_LIST + 1);
        visitor.visit_seq(self.list(len))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.list(len as u64))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == "SavedRange" {
            // The one type with a rule: its start is not above its end.
            let mut ends = [self.number(), self.number()];
            ends.sort_by(|a, b| b.cmp(a));
            self.queued.extend(ends);
        }
        visitor.visit_seq(self.list(fields.len() as u64))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = u32::from(self.byte()) % variants.len() as u32;
        visitor.visit_enum(Variant { source: self, variant })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(serde::de::Error::custom("a saved type asks for something that this source does not make"))
    }

    serde::forward_to_deserialize_any! { f32 f64 char bytes byte_buf unit unit_struct tuple_struct map identifier ignored_any }
}

struct List<'s, S> {
    source: &'s mut S,
    left: u64,
}

impl<'de> SeqAccess<'de> for List<'_, Source<'_>> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.source).map(Some)
    }
}

struct Variant<'s, S> {
    source: &'s mut S,
    variant: u32,
}

impl<'de, 's, 'b> EnumAccess<'de> for Variant<'s, Source<'b>> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let number: U32Deserializer<Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(number)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, Source<'_>> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.source)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.source.list(len as u64))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.source.list(fields.len() as u64))
    }
}
