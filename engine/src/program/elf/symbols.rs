//! `.dynsym` with its versions, and `.symtab` with the files its local symbols come from.

use std::collections::HashMap;

use object::elf;

use super::bytes::Table;
use super::dynamic::{mapped, mapped_tail, strings};
use super::{DynamicSymbol, Elf, Symbol};
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;

const SYMBOL_SIZE: u64 = 24;
const HIDDEN: u16 = 0x8000;

/// `.symtab` without section, file and undefined symbols; empty where there is none.
pub(super) fn read_symtab(parsed: &Elf) -> Result<Vec<Symbol>, ProgramError> {
    let Some(section) = parsed.sections.iter().find(|section| section.kind == elf::SHT_SYMTAB.0) else {
        return Ok(Vec::new());
    };
    let file = Table::new(&parsed.bytes, "file");
    let names = parsed.sections.get(section.link as usize).ok_or_else(|| ProgramError::Corrupt {
        what: "symbol table",
        expected: format!("a string table below section {}", parsed.sections.len()),
        found: format!("section {}", section.link),
    })?;
    let names = file.part(names.offset, names.size, "symbol names")?;
    let mut symbols = Vec::new();
    let mut from = None;
    for entry in file.part(section.offset, section.size, "symbol table")?.entries(SYMBOL_SIZE as usize)? {
        let (kind, binding, index) = (entry.u8(4)? & 0xf, entry.u8(4)? >> 4, entry.u16(6)?);
        let name = names.string(entry.u32(0)?.into())?;
        if kind == elf::STT_FILE.0 {
            // The linker closes the list with an unnamed file symbol: what follows is its own.
            from = Some(name).filter(|name| !name.is_empty());
            continue;
        }
        if kind == elf::STT_SECTION.0 || index == elf::SHN_UNDEF.0 {
            continue;
        }
        symbols.push(Symbol {
            name: without_version(name),
            file: if binding == elf::STB_LOCAL.0 { from.clone() } else { None },
            address: LinkAddress(entry.u64(8)?),
            size: entry.u64(16)?,
            kind,
            binding,
            section: index,
        });
    }
    Ok(symbols)
}

fn without_version(name: String) -> String {
    match name.find('@') {
        Some(at) if at > 0 => name[..at].to_owned(),
        _ => name,
    }
}

/// `.dynsym` through DT_SYMTAB, the null symbol included.
pub(super) fn read_dynamic(parsed: &Elf) -> Result<Vec<DynamicSymbol>, ProgramError> {
    let Some(address) = parsed.dynamic_value(elf::DT_SYMTAB.0 as u64) else { return Ok(Vec::new()) };
    let count = symbol_count(parsed, address)?;
    let size = count.checked_mul(SYMBOL_SIZE).ok_or_else(|| ProgramError::Corrupt {
        what: "dynamic symbols",
        expected: "a count within the file".to_owned(),
        found: format!("{count}"),
    })?;
    let table = mapped(parsed, LinkAddress(address), size, "dynamic symbols")?;
    let names = strings(parsed)?;
    let versions = Versions::read(parsed, count)?;
    let mut symbols = Vec::new();
    for (index, entry) in table.entries(SYMBOL_SIZE as usize)?.enumerate() {
        let info = entry.u8(4)?;
        let (version, hidden) = versions.of(index)?;
        symbols.push(DynamicSymbol {
            name: names.string(entry.u32(0)?.into())?,
            version,
            hidden,
            address: LinkAddress(entry.u64(8)?),
            size: entry.u64(16)?,
            kind: info & 0xf,
            binding: info >> 4,
            defined: entry.u16(6)? != elf::SHN_UNDEF.0,
        });
    }
    Ok(symbols)
}

/// How many dynamic symbols there are: the section's size, else what a hash table says. `.dynamic` itself has no count.
fn symbol_count(parsed: &Elf, address: u64) -> Result<u64, ProgramError> {
    let section = parsed.sections.iter().find(|section| section.kind == elf::SHT_DYNSYM.0 && section.address.0 == address);
    if let Some(section) = section {
        return Ok(section.size / SYMBOL_SIZE);
    }
    if let Some(hash) = parsed.dynamic_value(elf::DT_HASH.0 as u64) {
        return mapped(parsed, LinkAddress(hash), 8, "hash table (DT_HASH)")?.u32(4).map(u64::from);
    }
    match parsed.dynamic_value(elf::DT_GNU_HASH.0 as u64) {
        Some(hash) => gnu_hash_count(mapped_tail(parsed, LinkAddress(hash), "hash table (DT_GNU_HASH)")?),
        None => Ok(0),
    }
}

/// The GNU hash table holds the last symbols of `.dynsym`, bucket by bucket; the last chain's end is the table's end.
fn gnu_hash_count(table: Table<'_>) -> Result<u64, ProgramError> {
    let (buckets, first, bloom) = (u64::from(table.u32(0)?), u64::from(table.u32(4)?), u64::from(table.u32(8)?));
    let buckets_at = 16 + bloom * 8;
    let chains_at = buckets_at + buckets * 4;
    let mut last = 0;
    for bucket in table.part(buckets_at, buckets * 4, "hash buckets")?.entries(4)? {
        last = last.max(u64::from(bucket.u32(0)?));
    }
    if last < first {
        return Ok(first);
    }
    while table.u32(chains_at + (last - first) * 4)? & 1 == 0 {
        last += 1;
    }
    Ok(last + 1)
}

/// `.gnu.version` with the names that its indices mean.
struct Versions<'a> {
    indices: Option<Table<'a>>,
    names: HashMap<u16, String>,
}

impl<'a> Versions<'a> {
    fn read(parsed: &'a Elf, count: u64) -> Result<Self, ProgramError> {
        let Some(address) = parsed.dynamic_value(u64::from(elf::DT_VERSYM.0 as u32)) else {
            return Ok(Self { indices: None, names: HashMap::new() });
        };
        let indices = mapped(parsed, LinkAddress(address), count.saturating_mul(2), "symbol versions (.gnu.version)")?;
        let mut names = HashMap::new();
        for (_, name, index) in needed_versions(parsed)? {
            names.insert(index, name);
        }
        for (name, index) in defined_versions(parsed)? {
            names.insert(index, name);
        }
        Ok(Self { indices: Some(indices), names })
    }

    fn of(&self, symbol: usize) -> Result<(Option<String>, bool), ProgramError> {
        let Some(indices) = self.indices else { return Ok((None, false)) };
        let raw = indices.u16(symbol as u64 * 2)?;
        let index = raw & !HIDDEN;
        // 0 is local, 1 the unversioned base.
        if index < 2 {
            return Ok((None, raw & HIDDEN != 0));
        }
        match self.names.get(&index) {
            Some(name) => Ok((Some(name.clone()), raw & HIDDEN != 0)),
            None => Err(ProgramError::Corrupt {
                what: "symbol versions (.gnu.version)",
                expected: "an index that DT_VERNEED or DT_VERDEF names".to_owned(),
                found: format!("index {index} for symbol {symbol}"),
            }),
        }
    }
}

/// DT_VERNEED: library, version and the index that `.gnu.version` uses for it.
pub(super) fn needed_versions(parsed: &Elf) -> Result<Vec<(String, String, u16)>, ProgramError> {
    let mut versions = Vec::new();
    let Some((table, count)) = version_table(parsed, elf::DT_VERNEED.0 as u32, elf::DT_VERNEEDNUM.0 as u32)? else {
        return Ok(versions);
    };
    let names = strings(parsed)?;
    let mut at = 0u64;
    for _ in 0..count {
        let library = names.string(table.u32(at + 4)?.into())?;
        let mut auxiliary = at + u64::from(table.u32(at + 8)?);
        for _ in 0..table.u16(at + 2)? {
            versions.push((
                library.clone(),
                names.string(table.u32(auxiliary + 8)?.into())?,
                table.u16(auxiliary + 6)? & !HIDDEN,
            ));
            match table.u32(auxiliary + 12)? {
                0 => break,
                next => auxiliary += u64::from(next),
            }
        }
        check_version_count(versions.len())?;
        match table.u32(at + 12)? {
            0 => break,
            next => at += u64::from(next),
        }
    }
    Ok(versions)
}

/// DT_VERDEF: version and its index. The first auxiliary entry is the version's own name, the others are its parents.
fn defined_versions(parsed: &Elf) -> Result<Vec<(String, u16)>, ProgramError> {
    let mut versions = Vec::new();
    let Some((table, count)) = version_table(parsed, elf::DT_VERDEF.0 as u32, elf::DT_VERDEFNUM.0 as u32)? else {
        return Ok(versions);
    };
    let names = strings(parsed)?;
    let mut at = 0u64;
    for _ in 0..count {
        let auxiliary = at + u64::from(table.u32(at + 12)?);
        versions.push((names.string(table.u32(auxiliary)?.into())?, table.u16(at + 4)? & !HIDDEN));
        check_version_count(versions.len())?;
        match table.u32(at + 16)? {
            0 => break,
            next => at += u64::from(next),
        }
    }
    Ok(versions)
}

fn version_table(parsed: &Elf, address: u32, count: u32) -> Result<Option<(Table<'_>, u64)>, ProgramError> {
    let Some(address) = parsed.dynamic_value(address.into()) else { return Ok(None) };
    let count = parsed.dynamic_value(count.into()).unwrap_or(0);
    Ok(Some((mapped_tail(parsed, LinkAddress(address), "version table")?, count)))
}

/// Indices have 15 bits; a mangled table of overlapping entries could otherwise grow without end.
fn check_version_count(count: usize) -> Result<(), ProgramError> {
    if count <= usize::from(HIDDEN) * 2 {
        return Ok(());
    }
    Err(ProgramError::Corrupt {
        what: "version table",
        expected: "no more than 65536 versions".to_owned(),
        found: format!("{count}"),
    })
}
