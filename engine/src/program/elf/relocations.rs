//! Dynamic relocations: DT_RELA, DT_RELR (expanded) and DT_JMPREL.

use object::elf;

use super::bytes::Table;
use super::dynamic::mapped;
use super::{Elf, Relocation};
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;

const RELA_SIZE: usize = 24;

/// The relocations that `.dynamic` leads to.
pub(super) fn read_dynamic(parsed: &Elf) -> Result<Vec<Relocation>, ProgramError> {
    if parsed.dynamic_value(elf::DT_REL.0 as u64).is_some() {
        return Err(ProgramError::Unsupported {
            what: "relocations",
            expected: "DT_RELA (the x86-64 ABI)",
            found: "DT_REL".to_owned(),
        });
    }
    let plt_range = plt_range(parsed)?;
    let mut relocations = Vec::new();
    if let Some((address, mut size)) = range(parsed, elf::DT_RELA.0 as u64, elf::DT_RELASZ.0 as u64) {
        // Some linkers count the PLT's relocations, which follow, into DT_RELASZ; glibc's loader subtracts them too.
        if let Some((plt, plt_size)) = plt_range
            && plt_size != 0
            && address.checked_add(size) == plt.checked_add(plt_size)
            && plt >= address
        {
            size -= plt_size.min(size);
        }
        let table = mapped(parsed, LinkAddress(address), size, "relocations (DT_RELA)")?;
        read_rela(table, false, &mut relocations)?;
    }
    if let Some((address, size)) = range(parsed, elf::DT_RELR.0 as u64, elf::DT_RELRSZ.0 as u64) {
        let table = mapped(parsed, LinkAddress(address), size, "relocations (DT_RELR)")?;
        expand_relr(parsed, table, &mut relocations)?;
    }
    if let Some((address, size)) = plt_range {
        let table = mapped(parsed, LinkAddress(address), size, "relocations (DT_JMPREL)")?;
        read_rela(table, true, &mut relocations)?;
    }
    check_symbols(parsed, &relocations)?;
    Ok(relocations)
}

/// The relocations of a program without `.dynamic` (a static one: IRELATIVE only), from its allocated sections.
pub(super) fn read_sections(parsed: &Elf) -> Result<Vec<Relocation>, ProgramError> {
    let mut relocations = Vec::new();
    let is_rela = |kind: u32, flags: u64| kind == elf::SHT_RELA.0 && flags & elf::SHF_ALLOC.0 != 0;
    for section in parsed.sections.iter().filter(|section| is_rela(section.kind, section.flags)) {
        let table = Table::new(&parsed.bytes, "file").part(section.offset, section.size, "relocation section")?;
        read_rela(table, section.name.ends_with(".plt"), &mut relocations)?;
    }
    Ok(relocations)
}

fn range(parsed: &Elf, address: u64, size: u64) -> Option<(u64, u64)> {
    Some((parsed.dynamic_value(address)?, parsed.dynamic_value(size).unwrap_or(0)))
}

fn plt_range(parsed: &Elf) -> Result<Option<(u64, u64)>, ProgramError> {
    let range = range(parsed, elf::DT_JMPREL.0 as u64, elf::DT_PLTRELSZ.0 as u64);
    let kind = parsed.dynamic_value(elf::DT_PLTREL.0 as u64);
    match (range, kind) {
        (Some(_), Some(kind)) if kind != elf::DT_RELA.0 as u64 => Err(ProgramError::Unsupported {
            what: "PLT relocations (DT_PLTREL)",
            expected: "7 (DT_RELA)",
            found: format!("{kind}"),
        }),
        _ => Ok(range),
    }
}

fn read_rela(table: Table<'_>, plt: bool, relocations: &mut Vec<Relocation>) -> Result<(), ProgramError> {
    for entry in table.entries(RELA_SIZE)? {
        let info = entry.u64(8)?;
        relocations.push(Relocation {
            address: LinkAddress(entry.u64(0)?),
            kind: info as u32,
            symbol: (info >> 32) as u32,
            addend: entry.u64(16)? as i64,
            plt,
        });
    }
    Ok(())
}

/// Expands DT_RELR (gABI): an even word is an address, an odd one a bitmap over the 63 words that follow the last address.
fn expand_relr(parsed: &Elf, table: Table<'_>, relocations: &mut Vec<Relocation>) -> Result<(), ProgramError> {
    let mut next = 0u64;
    for entry in table.entries(8)? {
        let word = entry.u64(0)?;
        if word & 1 == 0 {
            relocations.push(relative(parsed, word)?);
            next = word.wrapping_add(8);
            continue;
        }
        for bit in (1..64).filter(|bit| word >> bit & 1 != 0) {
            relocations.push(relative(parsed, next.wrapping_add((bit - 1) * 8))?);
        }
        next = next.wrapping_add(63 * 8);
        // A word is relocated once: more entries than words means a mangled table, whose expansion could fill the memory.
        if relocations.len() > parsed.bytes.len() / 8 + RELA_SIZE {
            return Err(ProgramError::Corrupt {
                what: "relocations (DT_RELR)",
                expected: "no more than one a word".to_owned(),
                found: format!("{} so far", relocations.len()),
            });
        }
    }
    Ok(())
}

fn relative(parsed: &Elf, address: u64) -> Result<Relocation, ProgramError> {
    let address = LinkAddress(address);
    let addend = mapped(parsed, address, 8, "place of a relocation (DT_RELR)")?.u64(0)? as i64;
    Ok(Relocation { address, kind: elf::R_X86_64_RELATIVE.0, symbol: 0, addend, plt: false })
}

fn check_symbols(parsed: &Elf, relocations: &[Relocation]) -> Result<(), ProgramError> {
    let count = parsed.dynamic_symbols.len();
    match relocations.iter().find(|relocation| relocation.symbol != 0 && relocation.symbol as usize >= count) {
        Some(relocation) => Err(ProgramError::Corrupt {
            what: "relocations",
            expected: format!("symbols below {count}"),
            found: format!("symbol {} in the relocation of {}", relocation.symbol, relocation.address),
        }),
        None => Ok(()),
    }
}
