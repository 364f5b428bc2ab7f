//! Static thread-local storage that grows: blocks of libraries that are in the way move into the surplus.

use std::collections::HashSet;

use dsu_formats::address::{RunAddress, RunRange};
use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, Mnemonic, Register};

use super::abi;
use super::blocker::Blocker;
use super::link::scope::LoadedLibrary;
use super::loader::record::find_tls;
use super::rewrite::Patch;
use super::safe_point::FrameRegister;
use super::source::{MemorySource, SourceError, read_word};
use crate::program::elf::Elf;
use crate::program::unwind::UnwindIndex;

/// `NO_TLS_OFFSET` and `FORCED_DYNAMIC_TLS_OFFSET`: modules without a place in the static block.
const NO_PLACE: [u64; 2] = [0, u64::MAX];
/// Bytes of a module's loader record that are read.
const RECORD_BYTES: usize = 0x600;
/// Offset of `l_tls_offset` behind `l_tls_initimage`.
const OFFSET_FIELD: u64 = 40;

/// A library's block in the static storage of each thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LibraryBlock {
    /// Position among the loaded libraries.
    pub library: usize,
    /// `l_tls_modid`.
    pub module: u64,
    /// Where `l_tls_offset` is kept.
    field: RunAddress,
    /// Distance below the thread pointer.
    pub offset: u64,
    /// Its length in bytes.
    pub size: u64,
    align: u64,
    first: u64,
}

/// A block that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedBlock {
    /// The block as it is.
    pub block: LibraryBlock,
    /// Distance below the thread pointer where it goes.
    pub new_offset: u64,
}

impl MovedBlock {
    /// Where it is in the thread whose pointer is `base`, and where it goes.
    pub fn places(&self, base: u64) -> (RunRange, RunAddress) {
        let start = base.wrapping_sub(self.block.offset);
        (RunRange::new(start, start.wrapping_add(self.block.size)), RunAddress(base.wrapping_sub(self.new_offset)))
    }

    /// Whether `value` is an offset from the thread pointer into the block.
    fn holds_offset(&self, value: u64) -> bool {
        value.wrapping_add(self.block.offset) < self.block.size
    }

    fn moved_offset(&self, value: u64) -> u64 {
        value.wrapping_add(self.block.offset).wrapping_sub(self.new_offset)
    }
}

/// How the static storage changes beyond the program's own block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Blocks that move.
    pub moved: Vec<MovedBlock>,
    /// Bytes in use below the thread pointer afterwards.
    pub used: u64,
    /// The loader's own count of them.
    pub count: Option<Patch>,
}

/// The static blocks of all libraries.
///
/// # Errors
/// A record whose thread-local fields are not found.
pub fn library_blocks(loaded: &[LoadedLibrary<'_>], memory: &dyn MemorySource) -> Result<Vec<LibraryBlock>, String> {
    let mut blocks = Vec::new();
    for (library, loaded) in loaded.iter().enumerate() {
        let (Some(record), Some(tls)) = (loaded.link_map, loaded.library.elf.tls()) else { continue };
        let bytes = record_bytes(record, memory);
        let fields = find_tls(&bytes, &loaded.library.elf, loaded.bias).map_err(|error| error.to_string())?;
        let Some(fields) = fields.filter(|fields| !NO_PLACE.contains(&fields.offset)) else { continue };
        let align = tls.align.max(1);
        blocks.push(LibraryBlock {
            library,
            module: fields.module,
            field: RunAddress(record.0 + fields.start as u64 + OFFSET_FIELD),
            offset: fields.offset,
            size: tls.memory_size,
            align,
            first: (align - tls.address.0 % align) % align,
        });
    }
    Ok(blocks)
}

/// The record may end less than this before the end of its mapping.
fn record_bytes(record: RunAddress, memory: &dyn MemorySource) -> Vec<u8> {
    let mut bytes = vec![0; RECORD_BYTES];
    while memory.read(record, &mut bytes).is_err() && bytes.len() > 64 {
        bytes.truncate(bytes.len() - 64);
    }
    bytes
}

/// Lays the libraries' blocks out around a program's block of `new_offset` bytes, which was `old_offset`. What is not in the way stays.
pub fn lay_out(blocks: &[LibraryBlock], new_offset: u64) -> Growth {
    let mut sorted = blocks.to_vec();
    sorted.sort_unstable_by_key(|block| block.offset);
    let (in_the_way, staying): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|block| block.offset.saturating_sub(block.size) < new_offset);
    let mut used = staying.iter().map(|block| block.offset).fold(new_offset, u64::max);
    let mut moved = Vec::new();
    for block in in_the_way {
        used = (used + block.size).saturating_sub(block.first).next_multiple_of(block.align) + block.first;
        moved.push(MovedBlock { block, new_offset: used });
    }
    Growth { moved, used, count: None }
}

/// What the loader's data says of the static storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes below the thread pointer that each thread has.
    pub bytes: u64,
    /// Alignment of the thread pointer.
    pub align: u64,
}

/// `sizeof (struct pthread)` as the C library tells debuggers: the thread record above the thread pointer (`TLS_TCB_SIZE`).
pub fn record_size(loaded: &[LoadedLibrary<'_>]) -> Option<u64> {
    let version = Some("GLIBC_PRIVATE");
    loaded.iter().find_map(|loaded| {
        let elf = &loaded.library.elf;
        let symbol = loaded.library.index.lookup(elf, "_thread_db_sizeof_pthread", version)?;
        let bytes = elf.file_bytes(symbol.address, 4)?;
        bytes.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
    })
}

/// Finds `_dl_tls_static_size`, `_dl_tls_static_align`, `_dl_tls_static_surplus` in a row in the loader's data.
///
/// The size is the surplus with what was in use at the start, which is no more than `used` today, rounded, plus the thread record of
/// `record` bytes. `None` when no three words fit, or several that differ.
pub fn find_room(words: &[u64], used: u64, record: u64) -> Option<Room> {
    let mut found = words.windows(3).filter_map(|window| {
        let [size, align, surplus] = *window else { return None };
        if !align.is_power_of_two() || !(16..=4096).contains(&align) || !(64..1 << 20).contains(&surplus) {
            return None;
        }
        let bytes = size.checked_sub(record).filter(|bytes| bytes % align == 0)?;
        let most = used.checked_add(surplus)?.checked_next_multiple_of(align)?;
        (surplus < bytes && bytes <= most).then_some(Room { bytes, align })
    });
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// Finds `_dl_tls_static_used`: the word `used` behind `_dl_tls_static_nelem` (the modules that were there at the start, of `modules`
/// by now) and right before or one before `_dl_initial_dtv`.
pub fn find_count(words: &[u64], used: u64, modules: u64, vector: u64) -> Option<usize> {
    let fits =
        |window: &[u64]| (1..=modules).contains(&window[0]) && window[1] == used && (window[2] == vector || window[3] == vector);
    let mut found = words.windows(4).enumerate().filter(|(_, window)| fits(window)).map(|(index, _)| index + 1);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

impl Growth {
    /// Everything outside the threads' blocks that names an offset of a moved block: slots of all modules, the modules' own records.
    ///
    /// # Errors
    /// Slots that cannot be read, or a module that describes thread-local variables in a way that cannot be followed.
    pub fn slot_patches(&self, loaded: &[LoadedLibrary<'_>], memory: &dyn MemorySource) -> Result<Vec<Patch>, SlotError> {
        let mut patches: Vec<Patch> = self.count.into_iter().collect();
        if self.moved.is_empty() {
            return Ok(patches);
        }
        patches.extend(self.moved.iter().map(|moved| Patch { address: moved.block.field, word: moved.new_offset }));
        for library in loaded {
            for relocation in &library.library.elf.relocations {
                let slot = library.run(relocation.address.0);
                if relocation.kind == object::elf::R_X86_64_TLSDESC.0 {
                    return Err(SlotError::Descriptor(String::from_utf8_lossy(library.path).into_owned()));
                }
                if relocation.kind != abi::R_TPOFF64 {
                    continue;
                }
                let value = read_word(memory, slot)?;
                if let Some(moved) = self.moved.iter().find(|moved| moved.holds_offset(value)) {
                    patches.push(Patch { address: slot, word: moved.moved_offset(value) });
                }
            }
        }
        Ok(patches)
    }

    /// The offsets that slots hold now: running code may have one of them in a register.
    pub fn old_offsets(&self, patches: &[Patch], memory: &dyn MemorySource) -> HashSet<u64> {
        let fields: HashSet<RunAddress> = self.moved.iter().map(|moved| moved.block.field).collect();
        let slots = patches.iter().filter(|patch| !fields.contains(&patch.address));
        slots
            .filter_map(|patch| read_word(memory, patch.address).ok())
            .filter(|value| self.moved.iter().any(|moved| moved.holds_offset(*value)))
            .collect()
    }

    /// A blocker for each thread that may be between reading an offset and using it: a frame whose function works with a register that
    /// holds one. A compiler reads an offset again from its slot rather than to keep it on the stack.
    pub fn offsets_in_use(&self, offsets: &HashSet<u64>, registers: &[FrameRegister], modules: &[CodeOf<'_>]) -> Vec<Blocker> {
        let what = "code that holds an offset of thread-local storage that moves";
        let holding = registers.iter().filter(|held| offsets.contains(&held.value));
        let working = holding.filter(|held| modules.get(held.place.0).is_none_or(|code| code.uses(held)));
        working
            .map(|held| Blocker::UnsafePlace { tid: held.tid, what: what.to_owned(), address: RunAddress(held.place.1.0) })
            .collect()
    }
}

/// The code of one module.
#[derive(Clone, Copy)]
pub struct CodeOf<'a> {
    /// Its file.
    pub elf: &'a Elf,
    /// Where its functions begin and end.
    pub unwind: &'a UnwindIndex,
}

/// Registers by DWARF number (System V ABI, figure 3.36).
const BY_NUMBER: [Register; 16] = [
    Register::RAX,
    Register::RDX,
    Register::RCX,
    Register::RBX,
    Register::RSI,
    Register::RDI,
    Register::RBP,
    Register::RSP,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

impl CodeOf<'_> {
    /// Whether the frame's function does anything with the register but to save and restore it for its caller.
    fn uses(&self, held: &FrameRegister) -> bool {
        let Some(register) = BY_NUMBER.get(held.register).copied() else { return true };
        let bytes = self.unwind.range(held.place.1).and_then(|(start, end)| {
            let bytes = self.elf.file_bytes(start, end.0.checked_sub(start.0)?)?;
            Some((bytes, start))
        });
        let Some((bytes, start)) = bytes else { return true };
        let mut info = InstructionInfoFactory::new();
        let decoder = Decoder::with_ip(64, bytes, start.0, DecoderOptions::NONE);
        decoder.into_iter().filter(|one| !matches!(one.mnemonic(), Mnemonic::Push | Mnemonic::Pop)).any(|instruction| {
            let used = info.info(&instruction).used_registers();
            used.iter().any(|used| used.register().full_register() == register)
        })
    }
}

/// Why slots cannot be rewritten.
#[derive(Debug)]
pub enum SlotError {
    /// A module uses thread-local descriptors (TLSDESC), whose arguments may be anything.
    Descriptor(String),
    /// Memory cannot be read.
    Source(SourceError),
}

impl From<SourceError> for SlotError {
    fn from(error: SourceError) -> Self {
        SlotError::Source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(offset: u64, size: u64, align: u64) -> LibraryBlock {
        LibraryBlock { library: 0, module: 2, field: RunAddress(0x1000), offset, size, align, first: 0 }
    }

    #[test]
    fn only_blocks_in_the_way_move_and_behind_all_others() {
        let blocks = [block(0x80, 0x78, 8), block(0x100, 0x40, 64)];
        let growth = lay_out(&blocks, 0x20);
        assert_eq!(growth.moved, [MovedBlock { block: blocks[0], new_offset: 0x178 }]);
        assert_eq!(growth.used, 0x178);
        assert_eq!(lay_out(&blocks, 8), Growth { moved: Vec::new(), used: 0x100, count: None });
        let both = lay_out(&blocks, 0xd0);
        assert_eq!(both.moved.iter().map(|moved| moved.new_offset).collect::<Vec<_>>(), [0x148, 0x1c0]);
    }

    #[test]
    fn offsets_into_a_moved_block_move_with_it() {
        let moved = MovedBlock { block: block(0x80, 0x78, 8), new_offset: 0x178 };
        assert!(moved.holds_offset(0x80u64.wrapping_neg()));
        assert!(!moved.holds_offset(8u64.wrapping_neg()));
        assert_eq!(moved.moved_offset(0x70u64.wrapping_neg()), 0x168u64.wrapping_neg());
        let (from, to) = moved.places(0x7000);
        assert_eq!((from, to), (RunRange::new(0x6f80, 0x6ff8), RunAddress(0x6e88)));
    }

    #[test]
    fn the_loader_s_numbers_are_found_by_what_they_make() {
        // 0x98 bytes in use and a surplus of 1664 are 0x740 in steps of 64; with a record of 2304 bytes that is 4160.
        let words = [7, 4160, 64, 1664, 0, 99];
        assert_eq!(find_room(&words, 0x98, 2304), Some(Room { bytes: 0x740, align: 64 }));
        assert_eq!(find_room(&words, 0x500, 2304), Some(Room { bytes: 0x740, align: 64 }), "more is in use than at the start");
        assert_eq!(find_room(&words, 8, 2304), None);
        assert_eq!(find_room(&words, 0x98, 2300), None);
        assert_eq!(find_count(&[1, 2, 0x98, 512, 0x7000, 0], 0x98, 2, 0x7000), Some(2));
        assert_eq!(find_count(&[2, 0x98, 512, 0x7000, 2, 0x98, 512, 0x7000], 0x98, 2, 0x7000), None);
    }
}
