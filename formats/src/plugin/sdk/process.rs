//! The rest of the old process, and blocks that are made for the new one.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use super::super::frame::{receive, send};
use super::super::layout::Layout;
use super::super::message::{self, FromPlugin, LONGEST_READ, NEW_BLOCKS, ToPlugin};
use super::object::{Object, Refusal};

/// The old process as a plugin may look at it.
pub struct Process<'a> {
    pub(super) from: &'a mut dyn Read,
    pub(super) to: &'a mut dyn Write,
    pub(super) layouts: &'a HashMap<String, Arc<Layout>>,
    pub(super) blocks: &'a mut Vec<message::NewBlock>,
    /// Where the next new block begins.
    pub(super) next_block: &'a mut u64,
    /// Objects of the type at hand.
    pub(super) total: u64,
}

/// A block to be allocated.
#[derive(Debug)]
pub struct NewBlock<'a> {
    block: &'a mut message::NewBlock,
    address: u64,
}

impl Process<'_> {
    /// Memory of the old process.
    ///
    /// # Errors
    /// A range that cannot be read, or one longer than 16 MiB.
    pub fn read(&mut self, address: u64, length: u32) -> Result<Vec<u8>, Refusal> {
        if length > LONGEST_READ {
            return Err(Refusal(format!("{length} bytes are more than one read may ask for")));
        }
        let broken = |error| Refusal(format!("dsu cannot be asked for memory: {error}"));
        send(&mut self.to, &FromPlugin::Read { address, length }).map_err(broken)?;
        match receive(&mut self.from).map_err(broken)? {
            ToPlugin::Memory(Ok(bytes)) if bytes.len() == length as usize => Ok(bytes),
            ToPlugin::Memory(Err(reason)) => Err(Refusal(format!("memory at {address:#x}: {reason}"))),
            _ => Err(Refusal("dsu's answer is not the memory that was asked for".to_owned())),
        }
    }

    /// The object of the old type `kind` at `address`; the type must be one that the plugin rewrites or looks at.
    ///
    /// # Errors
    /// Another type, or memory that cannot be read.
    pub fn object(&mut self, kind: &str, address: u64) -> Result<Object, Refusal> {
        let layout =
            self.layouts.get(kind).cloned().ok_or_else(|| Refusal(format!("`{kind}` is not among the plugin's types")))?;
        let bytes = self.read(address, layout.size)?;
        Ok(Object { layout, address, bytes })
    }

    /// How many objects of the type that is being rewritten there are in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Asks for a new block of `length` bytes, zero at first.
    pub fn allocate(&mut self, length: u32) -> NewBlock<'_> {
        let address = *self.next_block;
        *self.next_block += u64::from(length).next_multiple_of(16);
        self.blocks.push(message::NewBlock { bytes: vec![0; length as usize], pointers: Vec::new() });
        let last = self.blocks.len() - 1;
        NewBlock { block: &mut self.blocks[last], address }
    }

    pub(super) const FIRST_BLOCK: u64 = NEW_BLOCKS;
}

impl NewBlock<'_> {
    /// Its address, to be stored in pointers.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// Bytes beyond the block's end.
    pub fn set_bytes(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Refusal> {
        let outside = || Refusal(format!("{} bytes at {offset} do not fit the new block", bytes.len()));
        let end = offset.checked_add(bytes.len()).ok_or_else(outside)?;
        self.block.bytes.get_mut(offset..end).ok_or_else(outside)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Stores a pointer: an address of the old process, or one of a new block. Its offset must be a multiple of 8.
    ///
    /// # Errors
    /// An offset outside the block, or no multiple of 8.
    pub fn set_pointer(&mut self, offset: usize, address: u64) -> Result<(), Refusal> {
        let place = u32::try_from(offset).ok().filter(|place| place.is_multiple_of(8));
        let place = place.ok_or_else(|| Refusal(format!("no pointer can stand at {offset} of a block")))?;
        self.set_bytes(offset, &address.to_le_bytes())?;
        if let Err(at) = self.block.pointers.binary_search(&place) {
            self.block.pointers.insert(at, place);
        }
        Ok(())
    }
}
