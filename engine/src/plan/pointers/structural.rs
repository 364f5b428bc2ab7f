//! Addresses of the module itself rather than of anything in the source: headers, tables, `.dynamic`, its first and last byte.

use super::{Decision, Pointers, Site};
use crate::plan::abi;
use crate::plan::address::{NewLink, OldLink, page_ceil};
use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Relocation, Section};

/// Sections that no variable lies in: only tools and the loader point to them.
const TABLES: [&str; 22] = [
    ".interp",
    ".dynsym",
    ".dynstr",
    ".gnu.hash",
    ".hash",
    ".gnu.version",
    ".gnu.version_r",
    ".gnu.version_d",
    ".rela.dyn",
    ".rela.plt",
    ".relr.dyn",
    ".eh_frame_hdr",
    ".eh_frame",
    ".gcc_except_table",
    ".preinit_array",
    ".init_array",
    ".fini_array",
    ".dynamic",
    ".got",
    ".got.plt",
    ".tdata",
    ".tbss",
];

impl Pointers<'_> {
    /// The decision for an address of the module's own tables; `None` for code, variables and literals.
    pub(super) fn structural(&self, link: OldLink, site: Site) -> Option<Decision> {
        let (old, new) = (&self.view.old.elf, &self.view.new.elf);
        if let Some(moved) = header(old, new, link.0) {
            return Some(Decision::Move(NewLink(moved)));
        }
        if site == Site::Loader
            && let Some(moved) = module_end(old, new, link.0)
        {
            return Some(Decision::Move(NewLink(moved)));
        }
        let section = old.section_at(link.0)?;
        if !TABLES.contains(&section.name.as_str()) && !section.name.starts_with(".note") {
            return None;
        }
        Some(self.table(section, link, site))
    }

    /// Whether an address is of the headers, of a table of the loader's, or of a call stub that has no meaning as a function.
    pub(super) fn is_of_loader(&self, link: OldLink) -> bool {
        let old = &self.view.old.elf;
        match old.section_at(link.0) {
            Some(section) => {
                let name = section.name.as_str();
                TABLES.contains(&name) || name.starts_with(".note") || name.starts_with(".plt")
            }
            None => {
                old.sections.iter().filter(|section| section.flags & abi::SHF_ALLOC != 0).all(|section| link.0 < section.address)
            }
        }
    }

    fn table(&self, section: &Section, link: OldLink, site: Site) -> Decision {
        let (old, new) = (&self.view.old.elf, &self.view.new.elf);
        let offset = link.0.0 - section.address.0;
        let moved = match section.name.as_str() {
            ".dynamic" if offset != 0 => dynamic_entry(old, new, offset),
            ".dynsym" if offset != 0 => dynamic_symbol(old, new, offset),
            ".got" | ".got.plt" if offset != 0 => got_slot(old, new, link.0).or_else(|| reserved_slot(new, section, offset)),
            ".dynstr" | ".interp" if offset != 0 => string(old, new, section, link.0),
            name if offset == 0 => new.section(name).map(|section| section.address),
            _ => None,
        };
        match moved {
            Some(moved) => Decision::Move(NewLink(moved)),
            None if section.flags & abi::SHF_WRITE == 0 && section.name == ".dynstr" => {
                Decision::Keep(link, OldLink(section.address.offset(section.size)))
            }
            // Lazy binding leaves addresses of slots on stacks, also of slots that the new program has not.
            None if matches!(site, Site::Stack { stale_returns: true }) && section.name.starts_with(".got") => Decision::Stale,
            None => self.unknown(link),
        }
    }
}

/// The ELF header and the program headers.
fn header(old: &Elf, new: &Elf, link: LinkAddress) -> Option<LinkAddress> {
    let first = |elf: &Elf| elf.loads().next().filter(|load| load.offset == 0).map(|load| load.address);
    let (from, to) = (first(old)?, first(new)?);
    let offset = link.0.checked_sub(from.0)?;
    if offset == 0 {
        return Some(to);
    }
    let index = offset.checked_sub(old.program_headers.0)? / 56;
    let header = old.segments.get(usize::try_from(index).ok()?).filter(|_| index < u64::from(old.program_headers.1))?;
    // A pointer to one header follows the header of its type.
    let other = if index == 0 { Some(0) } else { new.segments.iter().position(|segment| segment.kind == header.kind) };
    Some(to.offset(new.program_headers.0 + other? as u64 * 56 + (offset - old.program_headers.0) % 56))
}

/// The last byte's successor, exact or to the page.
fn module_end(old: &Elf, new: &Elf, link: LinkAddress) -> Option<LinkAddress> {
    let end = |elf: &Elf| elf.loads().map(|load| load.address.0.saturating_add(load.memory_size)).max();
    let (from, to) = (end(old)?, end(new)?);
    if link.0 == from {
        return Some(LinkAddress(to));
    }
    (link.0 == page_ceil(from)).then_some(LinkAddress(page_ceil(to)))
}

fn dynamic_entry(old: &Elf, new: &Elf, offset: u64) -> Option<LinkAddress> {
    let (tag, _) = old.dynamic.get(usize::try_from(offset / 16).ok()?)?;
    let index = new.dynamic.iter().position(|entry| entry.0 == *tag)?;
    Some(new.dynamic_address?.offset(index as u64 * 16 + offset % 16))
}

fn dynamic_symbol(old: &Elf, new: &Elf, offset: u64) -> Option<LinkAddress> {
    let symbol = old.dynamic_symbols.get(usize::try_from(offset / 24).ok()?)?;
    let index = new.dynamic_symbols.iter().position(|other| other.name == symbol.name && other.version == symbol.version)?;
    Some(LinkAddress(new.dynamic_value(abi::DT_SYMTAB)?).offset(index as u64 * 24 + offset % 24))
}

/// The slot that the loader fills for the same symbol. While it binds a function, its address is on the stack.
fn got_slot(old: &Elf, new: &Elf, link: LinkAddress) -> Option<LinkAddress> {
    let slot = old.relocations.iter().find(|relocation| relocation.address == link && is_slot(relocation))?;
    let symbol = old.dynamic_symbols.get(slot.symbol as usize).filter(|_| slot.symbol != 0)?;
    let same = |other: &&Relocation| {
        let found = new.dynamic_symbols.get(other.symbol as usize).filter(|_| is_slot(other) && other.plt == slot.plt);
        found.is_some_and(|found| found.name == symbol.name && found.version == symbol.version)
    };
    new.relocations.iter().find(same).map(|relocation| relocation.address)
}

fn is_slot(relocation: &Relocation) -> bool {
    matches!(relocation.kind, abi::R_JUMP_SLOT | abi::R_GLOB_DAT)
}

/// The three words at the start of `.got.plt` that are the loader's own (psABI, "Global Offset Table").
fn reserved_slot(new: &Elf, section: &Section, offset: u64) -> Option<LinkAddress> {
    let other = new.section(&section.name).filter(|_| section.name == ".got.plt" && offset < 24)?;
    Some(other.address.offset(offset))
}

/// The same text, up to its NUL, in the new section of the same name.
fn string(old: &Elf, new: &Elf, section: &Section, link: LinkAddress) -> Option<LinkAddress> {
    let bytes = old.file_bytes(link, section.address.0.checked_add(section.size)?.checked_sub(link.0)?)?;
    let text = &bytes[..=bytes.iter().position(|byte| *byte == 0)?];
    let other = new.section(&section.name)?;
    let haystack = new.file_bytes(other.address, other.size)?;
    let whole = |at: usize| at == 0 || haystack[at - 1] == 0;
    let windows = haystack.windows(text.len()).enumerate();
    let mut found = windows.filter(|(_, window)| *window == text).map(|(at, _)| at);
    let first = found.next()?;
    let best = if whole(first) { first } else { found.find(|at| whole(*at)).unwrap_or(first) };
    Some(other.address.offset(best as u64))
}
