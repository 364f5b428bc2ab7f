//! What an address of one build can be: the parts of the object that code refers to.

use object::elf;

use super::functions::Inventory;
use super::objects::Objects;
use super::slots::Slots;
use crate::program::address::LinkAddress;
use crate::program::dwarf::DebugInfo;
use crate::program::elf::{Elf, Section};

/// One build, looked at by address.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    pub(super) elf: &'a Elf,
    pub(super) inventory: Inventory,
    pub(super) slots: Slots<'a>,
    pub(super) objects: Objects,
    /// Data sections in memory as (start, end, index in `elf.sections`), by start.
    sections: Vec<(u64, u64, usize)>,
    /// Size of the static TLS block, rounded up as the linker does for offsets from the thread pointer.
    thread_block: u64,
    /// Whether addresses occur in instructions as they are.
    pub(super) fixed: bool,
    range: (u64, u64),
    /// Addresses in data at which something is known to start or end; filled once all code has been read.
    edges: Vec<u64>,
}

impl<'a> Layout<'a> {
    pub(super) fn new(elf: &'a Elf, debug: &DebugInfo) -> Self {
        let placed = |section: &(usize, &Section)| {
            section.1.flags & elf::SHF_ALLOC.0 != 0 && section.1.flags & elf::SHF_TLS.0 == 0 && section.1.size > 0
        };
        let mut sections: Vec<_> = elf
            .sections
            .iter()
            .enumerate()
            .filter(|section| placed(section))
            .map(|(index, section)| (section.address.0, section.address.0.saturating_add(section.size), index))
            .collect();
        sections.sort_unstable();
        let (low, high) = elf.load_range();
        let align = |size: u64, align: u64| size.checked_next_multiple_of(align.max(1)).unwrap_or(size);
        Self {
            elf,
            inventory: Inventory::new(elf, debug),
            slots: Slots::new(elf),
            objects: Objects::new(elf, debug),
            sections,
            thread_block: elf.tls().map_or(0, |tls| align(tls.memory_size, tls.align)),
            fixed: elf.kind == elf::ET_EXEC.0,
            range: (low.0, high.0),
            edges: Vec::new(),
        }
    }

    /// Adds the places that code and relocated data point to, so that unnamed constants know where the next one starts.
    pub(super) fn set_edges(&mut self, referenced: impl Iterator<Item = u64>) {
        let relocated = self.elf.relocations.iter().filter(|relocation| relocation.symbol == 0);
        let mut edges: Vec<u64> = referenced
            .chain(relocated.map(|relocation| relocation.addend as u64))
            .chain(self.objects.edges())
            .chain(self.sections.iter().flat_map(|section| [section.0, section.1]))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        self.edges = edges;
    }

    /// The first known edge behind `address`.
    pub(super) fn next_edge(&self, address: u64) -> u64 {
        let after = self.edges.partition_point(|edge| *edge <= address);
        self.edges.get(after).copied().unwrap_or(address)
    }

    /// The section that holds `address` in memory, thread-local ones excepted.
    pub(super) fn section(&self, address: u64) -> Option<&'a Section> {
        let after = self.sections.partition_point(|section| section.0 <= address);
        let (_, end, index) = *self.sections.get(after.checked_sub(1)?)?;
        if address < end { self.elf.sections.get(index) } else { None }
    }

    /// Whether `length` bytes at `address` are a constant if nothing in the source has them: data that the program cannot write, or a
    /// writable image with addresses in it. Compilers put the initialiser of a local array of pointers there (gcc 12: `.data.rel.local`).
    pub(super) fn is_constant(&self, address: u64, length: u64) -> bool {
        let initialised = self
            .section(address)
            .is_some_and(|section| section.kind != elf::SHT_NOBITS.0 && section.flags & elf::SHF_EXECINSTR.0 == 0);
        initialised && (self.is_read_only(address) || !self.slots.relocations(address, length).is_empty())
    }

    /// Whether `address` is data that the program cannot write: read-only, or read-only once relocated.
    pub(super) fn is_read_only(&self, address: u64) -> bool {
        let Some(section) = self.section(address) else { return false };
        let writable = section.flags & elf::SHF_WRITE.0 != 0;
        let executable = section.flags & elf::SHF_EXECINSTR.0 != 0;
        let relro = self
            .elf
            .relro()
            .is_some_and(|relro| address.checked_sub(relro.address.0).is_some_and(|within| within < relro.memory_size));
        !executable && section.kind != elf::SHT_NOBITS.0 && (!writable || relro)
    }

    /// The file's bytes from `address` on, `length` of them.
    pub(super) fn bytes(&self, address: u64, length: u64) -> Option<&'a [u8]> {
        self.elf.file_bytes(LinkAddress(address), length)
    }

    /// The words of data that may be addresses although nothing relocates them: none but in a fixed-address program.
    pub(super) fn fixed_words(&self) -> impl Iterator<Item = u64> {
        let sections = self.sections.iter().filter(|_| self.fixed).filter_map(|section| self.elf.sections.get(section.2));
        let data = sections.filter(|section| {
            section.kind != elf::SHT_NOBITS.0 && section.flags & elf::SHF_EXECINSTR.0 == 0 && !section.name.starts_with(".got")
        });
        let words =
            data.filter_map(|section| self.bytes(section.address.0, section.size)).flat_map(|bytes| bytes.chunks_exact(8));
        words.filter_map(|word| Some(u64::from_le_bytes(word.try_into().ok()?))).filter(|word| self.holds(*word))
    }

    /// Whether `value` may be an address of this object: of code or data, their ends included, or of what the linker names. Round numbers
    /// are where the file's own tables lie.
    pub(super) fn holds(&self, value: u64) -> bool {
        let is_named = |section: &Section| {
            section.flags & (elf::SHF_WRITE.0 | elf::SHF_EXECINSTR.0) != 0 || section.name.starts_with(".rodata")
        };
        let inside = |address: u64| self.section(address).is_some_and(is_named);
        (self.range.0..=self.range.1).contains(&value)
            && (inside(value) || inside(value.wrapping_sub(1)) || self.objects.labels(value).next().is_some())
    }

    /// The offset in the TLS block behind an offset from the thread pointer (x86-64 TLS variant II: the block ends there).
    pub(super) fn thread_offset(&self, from_pointer: i64) -> Option<u64> {
        let offset = self.thread_block.checked_add_signed(from_pointer)?;
        (from_pointer < 0).then_some(offset)
    }

    /// The offset from the thread pointer of an offset in the TLS block.
    pub(super) fn thread_distance(&self, offset: u64) -> i64 {
        (offset as i64).wrapping_sub(self.thread_block as i64)
    }
}
