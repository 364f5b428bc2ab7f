//! `l_versions`: the loader's table from version index to version, for the new program.

use crate::plan::abi;
use crate::program::address::LinkAddress;
use crate::program::elf::Elf;

/// `struct r_found_version` has 24 bytes.
pub const ENTRY: u64 = 24;

const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERDEFNUM: u64 = 0x6fff_fffd;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
const INDEX: u16 = 0x7fff;
const HIDDEN: u16 = 0x8000;

/// One entry, with names as offsets in DT_STRTAB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    index: u16,
    hash: u32,
    hidden: u16,
    name: u64,
    file: Option<u64>,
}

/// The table of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionTable {
    versions: Vec<Version>,
    strings: u64,
}

impl VersionTable {
    /// Reads DT_VERNEED and DT_VERDEF as `_dl_check_map_versions` does; `None` when a table is cut short.
    pub fn read(elf: &Elf) -> Option<Self> {
        let mut versions = Vec::new();
        if let Some(address) = elf.dynamic_value(abi::DT_VERNEED) {
            needed(elf, address, elf.dynamic_value(DT_VERNEEDNUM)?, &mut versions)?;
        }
        if let Some(address) = elf.dynamic_value(DT_VERDEF) {
            defined(elf, address, elf.dynamic_value(DT_VERDEFNUM)?, &mut versions)?;
        }
        Some(Self { versions, strings: elf.dynamic_value(abi::DT_STRTAB)? })
    }

    /// `l_nversions`: zero without versions.
    pub fn count(&self) -> u32 {
        self.versions.iter().map(|version| u32::from(version.index) + 1).max().unwrap_or(0)
    }

    /// The table's bytes for an object at `bias`.
    pub fn bytes(&self, bias: u64) -> Vec<u8> {
        let mut bytes = vec![0; self.count() as usize * ENTRY as usize];
        let string = |offset: u64| bias.wrapping_add(self.strings).wrapping_add(offset);
        for version in &self.versions {
            let at = usize::from(version.index) * ENTRY as usize;
            let mut put = |offset: usize, part: &[u8]| bytes[at + offset..at + offset + part.len()].copy_from_slice(part);
            put(0, &string(version.name).to_le_bytes());
            put(8, &version.hash.to_le_bytes());
            put(12, &u32::from(version.hidden).to_le_bytes());
            put(16, &version.file.map_or(0, string).to_le_bytes());
        }
        bytes
    }
}

fn needed(elf: &Elf, table: u64, count: u64, versions: &mut Vec<Version>) -> Option<()> {
    let mut at = table;
    for _ in 0..count {
        let entry = elf.file_bytes(LinkAddress(at), 16)?;
        let file = u64::from(u32_at(entry, 4)?);
        let mut auxiliary = at.checked_add(u64::from(u32_at(entry, 8)?))?;
        for _ in 0..u16_at(entry, 2)? {
            let part = elf.file_bytes(LinkAddress(auxiliary), 16)?;
            let other = u16_at(part, 6)?;
            versions.push(Version {
                index: other & INDEX,
                hash: u32_at(part, 0)?,
                hidden: other & HIDDEN,
                name: u64::from(u32_at(part, 8)?),
                file: Some(file),
            });
            auxiliary = auxiliary.checked_add(u64::from(u32_at(part, 12)?))?;
        }
        match u32_at(entry, 12)? {
            0 => break,
            next => at = at.checked_add(u64::from(next))?,
        }
    }
    Some(())
}

fn defined(elf: &Elf, table: u64, count: u64, versions: &mut Vec<Version>) -> Option<()> {
    let mut at = table;
    for _ in 0..count {
        let entry = elf.file_bytes(LinkAddress(at), 20)?;
        let name = elf.file_bytes(LinkAddress(at.checked_add(u64::from(u32_at(entry, 12)?))?), 8)?;
        versions.push(Version {
            index: u16_at(entry, 4)? & INDEX,
            hash: u32_at(entry, 8)?,
            hidden: 0,
            name: u64::from(u32_at(name, 0)?),
            file: None,
        });
        match u32_at(entry, 16)? {
            0 => break,
            next => at = at.checked_add(u64::from(next))?,
        }
    }
    Some(())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
