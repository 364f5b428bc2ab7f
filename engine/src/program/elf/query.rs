//! Questions about a parsed object.

use std::borrow::Cow;

use object::elf;

use super::{Elf, Section, Segment, Symbol, symbols};
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;

const PAGE: u64 = 4096;
/// The most zero-filled memory that [`Elf::initial_bytes`] makes up: sizes are foreign.
const ZERO_LIMIT: u64 = 1 << 30;

impl Elf {
    /// The first section called `name`.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The allocated section that holds `address`. Zero-initialised TLS (`.tbss`) has no addresses of its own and never matches.
    pub fn section_at(&self, address: LinkAddress) -> Option<&Section> {
        let alloc = elf::SHF_ALLOC.0;
        let tls = elf::SHF_TLS.0;
        self.sections.iter().find(|section| {
            section.flags & alloc != 0
                && !(section.flags & tls != 0 && section.kind == elf::SHT_NOBITS.0)
                && address.0.checked_sub(section.address.0).is_some_and(|skip| skip < section.size)
        })
    }

    /// Index in `sections` of the allocated section that holds `address`, as [`Elf::section_at`].
    pub fn section_index_at(&self, address: LinkAddress) -> Option<usize> {
        let found = self.section_at(address)?;
        self.sections.iter().position(|section| std::ptr::eq(section, found))
    }

    /// The PT_LOAD segments, ascending.
    pub fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.kind == elf::PT_LOAD.0)
    }

    /// The PT_LOAD segment whose memory holds `address`.
    pub fn load_at(&self, address: LinkAddress) -> Option<&Segment> {
        self.loads().find(|segment| address.0.checked_sub(segment.address.0).is_some_and(|skip| skip < segment.memory_size))
    }

    /// The first segment of type `kind` (PT_…).
    pub fn segment(&self, kind: u32) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }

    /// PT_TLS: the initial image of a thread's block.
    pub fn tls(&self) -> Option<&Segment> {
        self.segment(elf::PT_TLS.0)
    }

    /// PT_GNU_RELRO: what the loader makes read-only after relocation.
    pub fn relro(&self) -> Option<&Segment> {
        self.segment(elf::PT_GNU_RELRO.0)
    }

    /// Link-time address of the program headers: PT_PHDR, or where the segment with the file's start has them.
    pub fn headers_address(&self) -> LinkAddress {
        let first = || self.loads().find(|load| load.offset == 0).map_or(0, |load| load.address.0);
        let own = self.segment(elf::PT_PHDR.0).map(|segment| segment.address);
        own.unwrap_or_else(|| LinkAddress(first().wrapping_add(self.program_headers.0)))
    }

    /// From the first to behind the last loaded page, in whole pages of 4096 bytes.
    pub fn load_range(&self) -> (LinkAddress, LinkAddress) {
        let low = self.loads().map(|segment| segment.address.0).min().unwrap_or(0);
        let high = self.loads().map(|segment| segment.address.0.saturating_add(segment.memory_size)).max().unwrap_or(0);
        (LinkAddress(low & !(PAGE - 1)), LinkAddress(high.saturating_add(PAGE - 1) & !(PAGE - 1)))
    }

    /// The file's bytes for `length` bytes at `address`; `None` unless one loaded segment has all of them in the file.
    pub fn file_bytes(&self, address: LinkAddress, length: u64) -> Option<&[u8]> {
        self.loads().find_map(|segment| {
            let skip = address.0.checked_sub(segment.address.0)?;
            let within = skip.checked_add(length)? <= segment.file_size;
            let start = usize::try_from(segment.offset.checked_add(skip)?).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            within.then(|| self.bytes.get(start..end)).flatten()
        })
    }

    /// Whether every object of the program says that GCC made it (`.comment`, which compilers write and linkers put together).
    pub fn is_all_of_gcc(&self) -> bool {
        let comment = self.section(".comment").filter(|section| section.kind != object::elf::SHT_NOBITS.0);
        let bytes = comment.and_then(|section| {
            let start = usize::try_from(section.offset).ok()?;
            self.bytes.get(start..start.checked_add(usize::try_from(section.size).ok()?)?)
        });
        let mut makers = bytes.unwrap_or_default().split(|byte| *byte == 0).filter(|maker| !maker.is_empty()).peekable();
        makers.peek().is_some() && makers.all(|maker| maker.starts_with(b"GCC:"))
    }

    /// What `length` bytes at `address` hold after loading and before relocation: the file's bytes, zero where there are none
    /// (`.bss`). `None` unless one loaded segment's memory holds all of them, or when more than 1 GiB would have to be made up.
    pub fn initial_bytes(&self, address: LinkAddress, length: u64) -> Option<Cow<'_, [u8]>> {
        if let Some(bytes) = self.file_bytes(address, length) {
            return Some(Cow::Borrowed(bytes));
        }
        let segment = self.load_at(address)?;
        let skip = address.0 - segment.address.0;
        if skip.checked_add(length)? > segment.memory_size || length > ZERO_LIMIT {
            return None;
        }
        let backed = segment.file_size.saturating_sub(skip).min(length);
        let mut content = match backed {
            0 => Vec::new(),
            _ => self.file_bytes(address, backed)?.to_vec(),
        };
        content.resize(usize::try_from(length).ok()?, 0);
        Some(Cow::Owned(content))
    }

    /// The value of the first `.dynamic` entry with `tag` (DT_…).
    pub fn dynamic_value(&self, tag: u64) -> Option<u64> {
        self.dynamic.iter().find(|entry| entry.0 == tag).map(|entry| entry.1)
    }

    /// All `.symtab` symbols called `name`; local ones of several files may share it.
    pub fn symbols_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Symbol> {
        self.symbols.iter().filter(move |symbol| symbol.name == name)
    }

    /// The function and object symbols of `.symtab` whose extent holds `address`; a size of 0 covers its first byte.
    pub fn symbols_covering(&self, address: LinkAddress) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(move |symbol| symbol.covers(address))
    }

    /// The libraries' symbol versions that this object asks for, as (library, version): DT_VERNEED.
    ///
    /// # Errors
    /// A version table that is cut short.
    pub fn needed_versions(&self) -> Result<Vec<(String, String)>, ProgramError> {
        Ok(symbols::needed_versions(self)?.into_iter().map(|(library, version, _)| (library, version)).collect())
    }

    /// Whether it is a position-independent program: ET_DYN with an interpreter.
    pub fn is_position_independent(&self) -> bool {
        self.kind == elf::ET_DYN.0 && self.interpreter.is_some()
    }

    /// Whether it is a dynamically linked program at the address that it was linked for: ET_EXEC with an interpreter.
    pub fn is_fixed_address(&self) -> bool {
        self.kind == elf::ET_EXEC.0 && self.interpreter.is_some()
    }

    /// Whether it is a program that needs neither loader nor library. Meaningless for shared libraries.
    pub fn is_static(&self) -> bool {
        self.interpreter.is_none() && self.needed.is_empty()
    }
}

impl Symbol {
    /// Whether it is a function or an object with an address (not thread-local, not absolute) whose extent holds `address`.
    pub fn covers(&self, address: LinkAddress) -> bool {
        let placed = self.is_code() || self.kind == elf::STT_OBJECT.0 || self.kind == elf::STT_NOTYPE.0;
        placed
            && self.section < elf::SHN_LORESERVE
            && address.0.checked_sub(self.address.0).is_some_and(|skip| skip < self.size.max(1))
    }

    /// Whether it is a function, an indirect one (STT_GNU_IFUNC) included.
    pub fn is_code(&self) -> bool {
        self.kind == elf::STT_FUNC.0 || self.kind == elf::STT_GNU_IFUNC.0
    }
}
