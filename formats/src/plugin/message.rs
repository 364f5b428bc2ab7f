//! The messages of protocol version 1.
//!
//! dsu speaks first. One batch is answered before the next is sent; in between the plugin may ask for memory.

use serde::{Deserialize, Serialize};

use super::layout::Layout;

/// The first word of a greeting.
pub const MAGIC: [u8; 8] = *b"dsuplug\0";
/// The newest version of the protocol that this crate speaks.
pub const NEWEST: u16 = 1;
/// The oldest version of the protocol that this crate speaks.
pub const OLDEST: u16 = 1;
/// Most bytes that one [`FromPlugin::Read`] may ask for.
pub const LONGEST_READ: u32 = 16 << 20;
/// Where pointers to a plugin's new blocks begin. A block's address is this plus the lengths of all blocks before it, each
/// rounded up to 16. No such address is canonical, so that one which were left over would fault.
pub const NEW_BLOCKS: u64 = 0x00d6_0000_0000_0000;

/// From dsu to a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToPlugin {
    /// The first message.
    Greeting {
        /// [`MAGIC`].
        magic: [u8; 8],
        /// The oldest version that dsu speaks.
        oldest: u16,
        /// The newest one.
        newest: u16,
        /// dsu's own version, for messages.
        dsu: String,
    },
    /// The layouts of the types that the plugin named, in the order in which it named them.
    Types {
        /// Types to rewrite, each in both builds.
        rewritten: Vec<TypePair>,
        /// Types of the old build that it only looks at.
        looked_at: Vec<Layout>,
    },
    /// Objects to rewrite. All batches of a type come before those of the type that was named after it.
    Batch(Batch),
    /// The answer to [`FromPlugin::Read`]: the bytes, or why they cannot be read.
    Memory(Result<Vec<u8>, String>),
    /// There is nothing more to do; the plugin ends.
    End,
}

/// A type in both builds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TypePair {
    /// In the old build.
    pub old: Layout,
    /// In the new build.
    pub new: Layout,
}

/// Objects of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Position of the type in [`ToPlugin::Types`].
    pub kind: u32,
    /// How many objects of the type there are in all batches together.
    pub total: u64,
    /// The objects' addresses in the old process.
    #[serde(with = "words")]
    pub addresses: Vec<u64>,
    /// Their bytes, one after the other.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
}

/// From a plugin to dsu.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromPlugin {
    /// The answer to the greeting.
    Greeting {
        /// [`MAGIC`].
        magic: [u8; 8],
        /// The version that both will speak.
        version: u16,
        /// The plugin's name, for messages.
        name: String,
        /// Names of the types that it rewrites: old and new.
        rewritten: Vec<(String, String)>,
        /// Names of types of the old build that it only looks at.
        looked_at: Vec<String>,
    },
    /// The layouts suit the plugin; batches may come.
    Ready,
    /// A request for memory of the old process.
    Read {
        /// First address.
        address: u64,
        /// Length in bytes, at most [`LONGEST_READ`].
        length: u32,
    },
    /// The answer to a batch.
    Rewritten(Rewritten),
    /// The plugin will not go on: a blocker.
    Refused {
        /// Address of the object that it is about; 0 if it is about none.
        address: u64,
        /// Why.
        reason: String,
    },
}

/// Rewritten objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rewritten {
    /// The new objects, one after the other, each as long as the new type. A pointer holds 0, an address of the old process, which
    /// is followed to where that object lies in the new one, or an address of a new block or within it. The start of an object that is
    /// rewritten means that object, whatever else begins there.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
    /// Blocks to allocate besides.
    pub blocks: Vec<NewBlock>,
}

/// A block that a plugin asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NewBlock {
    /// What is in it.
    #[serde(with = "bytes")]
    pub bytes: Vec<u8>,
    /// Offsets of the words in it that are pointers, ascending.
    pub pointers: Vec<u32>,
}

/// Words as the bytes that they are, little-endian.
mod words {
    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(words: &[u64], to: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        to.serialize_bytes(&bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
        let bytes = super::bytes::deserialize(from)?;
        match bytes.as_chunks::<8>() {
            (words, []) => Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect()),
            _ => Err(D::Error::custom("bytes that are no whole number of words")),
        }
    }
}

/// Byte vectors as one piece instead of element by element: a batch is megabytes.
mod bytes {
    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        from.deserialize_bytes(Bytes)
    }
}
