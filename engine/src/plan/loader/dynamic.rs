//! The new program's own `.dynamic` and GOT as the loader leaves them.

use dsu_formats::address::RunAddress;

use crate::plan::abi;
use crate::plan::image::DataImage;
use crate::program::address::LinkAddress;
use crate::program::elf::Elf;

/// Tags whose pointers the loader relocates in memory (`ADJUST_DYN_INFO`), when the old program does not say.
const RELOCATED: [u64; 8] = [
    abi::DT_HASH,
    abi::DT_PLTGOT,
    abi::DT_STRTAB,
    abi::DT_SYMTAB,
    abi::DT_RELA,
    abi::DT_JMPREL,
    abi::DT_VERSYM,
    abi::DT_GNU_HASH,
];

/// What the loader stored into the old program's `.dynamic` and GOT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldDynamic {
    relocated: Vec<u64>,
    kept: Vec<u64>,
    /// DT_DEBUG: `struct r_debug`.
    pub debug: Option<RunAddress>,
    /// The second and third word of the GOT, the loader's record and its lazy binder; zero when bound at the start.
    pub got: Option<(u64, u64)>,
}

/// `.dynamic` in memory is not the file's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {entry} of .dynamic: expected tag {tag:#x} with {expected:#x}, found {found:#x}")]
pub struct DynamicError {
    /// Position.
    pub entry: usize,
    /// Tag in the file.
    pub tag: u64,
    /// Value in the file.
    pub expected: u64,
    /// Value (or tag) in memory.
    pub found: u64,
}

impl OldDynamic {
    /// Compares the old program's `.dynamic` in memory with the file's.
    ///
    /// # Errors
    /// An entry that is neither as in the file nor relocated.
    pub fn read(elf: &Elf, bias: u64, memory: &DataImage) -> Result<Self, DynamicError> {
        let mut old = Self { relocated: Vec::new(), kept: Vec::new(), debug: None, got: None };
        let start = elf.dynamic_address.unwrap_or_default();
        for (entry, (tag, value)) in elf.dynamic.iter().enumerate() {
            let at = start.offset(entry as u64 * 16);
            let (found_tag, found) = (memory.word(at).unwrap_or(0), memory.word(at.offset(8)).unwrap_or(0));
            let error = |found| DynamicError { entry, tag: *tag, expected: *value, found };
            if found_tag != *tag {
                return Err(error(found_tag));
            }
            match *tag {
                abi::DT_DEBUG => old.debug = (found != 0).then_some(RunAddress(found)),
                _ if found == *value => old.kept.push(*tag),
                _ if found == value.wrapping_add(bias) => old.relocated.push(*tag),
                _ => return Err(error(found)),
            }
        }
        let got = elf.dynamic_value(abi::DT_PLTGOT).map(LinkAddress);
        old.got = got.and_then(|got| memory.word(got.offset(8)).zip(memory.word(got.offset(16))));
        Ok(old)
    }

    /// Whether the old program's PLT slots were left to be bound at their first call.
    pub fn is_lazy(&self) -> bool {
        self.got.is_some_and(|(_, binder)| binder != 0)
    }

    /// Stores the new program's `.dynamic` and GOT into `data`; `false` when they have no place there.
    pub fn write(&self, elf: &Elf, bias: u64, lazy: bool, data: &mut DataImage) -> bool {
        let Some(start) = elf.dynamic_address else { return false };
        let mut stored = true;
        for (entry, (tag, value)) in elf.dynamic.iter().enumerate() {
            let at = start.offset(entry as u64 * 16 + 8);
            let relocate = self.relocated.contains(tag) || (RELOCATED.contains(tag) && !self.kept.contains(tag));
            if *tag == abi::DT_DEBUG {
                stored &= data.set_word(at, self.debug.map_or(0, |debug| debug.0));
            } else if relocate {
                stored &= data.set_word(at, value.wrapping_add(bias));
            }
        }
        let got = elf.dynamic_value(abi::DT_PLTGOT).map(LinkAddress);
        if let (true, Some(got), Some((record, binder))) = (lazy, got, self.got) {
            stored &= data.set_word(got.offset(8), record) && data.set_word(got.offset(16), binder);
        }
        stored
    }
}
