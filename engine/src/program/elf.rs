//! The parts of an ELF file that the loader and the planner look at.

pub(crate) mod bytes;
mod dynamic;
mod notes;
mod parse;
mod query;
mod relocations;
mod symbols;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::address::LinkAddress;

/// A parsed ELF object: a program or a shared library.
#[derive(Debug)]
pub struct Elf {
    /// The file's bytes.
    pub bytes: Arc<[u8]>,
    /// `e_type` (ET_DYN for position-independent objects).
    pub kind: u16,
    /// Entry point.
    pub entry: LinkAddress,
    /// File offset, entry count of the program headers.
    pub program_headers: (u64, u16),
    /// Program headers, all of them, in file order.
    pub segments: Vec<Segment>,
    /// Section headers with names, in file order, the null section included.
    pub sections: Vec<Section>,
    /// Entries of `.dynamic` in order, without the terminating DT_NULL.
    pub dynamic: Vec<(u64, u64)>,
    /// Address of `.dynamic`.
    pub dynamic_address: Option<LinkAddress>,
    /// `.dynsym` in order, the null symbol included.
    pub dynamic_symbols: Vec<DynamicSymbol>,
    /// `.rela.dyn` (with DT_RELR expanded to RELATIVE), then `.rela.plt`.
    pub relocations: Vec<Relocation>,
    /// `.symtab` in order without section, file and undefined symbols; empty in a stripped object.
    pub symbols: Vec<Symbol>,
    /// DT_NEEDED in order.
    pub needed: Vec<String>,
    /// DT_SONAME.
    pub soname: Option<String>,
    /// PT_INTERP.
    pub interpreter: Option<String>,
    /// GNU build-id.
    pub build_id: Option<Vec<u8>>,
    /// `.gnu_debuglink`: file name and CRC32.
    pub debug_link: Option<(String, u32)>,
}

/// A program header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`.
    pub kind: u32,
    /// `p_flags`.
    pub flags: u32,
    /// `p_offset`.
    pub offset: u64,
    /// `p_vaddr`.
    pub address: LinkAddress,
    /// `p_filesz`.
    pub file_size: u64,
    /// `p_memsz`.
    pub memory_size: u64,
    /// `p_align`.
    pub align: u64,
}

/// A section header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Name.
    pub name: String,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// `sh_addr`.
    pub address: LinkAddress,
    /// `sh_offset`.
    pub offset: u64,
    /// `sh_size`.
    pub size: u64,
    /// `sh_link`.
    pub link: u32,
    /// `sh_entsize`.
    pub entry_size: u64,
}

/// A symbol of `.dynsym`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DynamicSymbol {
    /// Name without version.
    pub name: String,
    /// The version that it needs or defines; `None` for none, local or global base versions.
    pub version: Option<String>,
    /// Whether `version` is not the default one (hidden bit of `.gnu.version`).
    pub hidden: bool,
    /// Address (or offset in the TLS block).
    pub address: LinkAddress,
    /// `st_size`.
    pub size: u64,
    /// STT_… type.
    pub kind: u8,
    /// STB_… binding.
    pub binding: u8,
    /// Whether it is defined here.
    pub defined: bool,
}

/// A dynamic relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Where.
    pub address: LinkAddress,
    /// R_X86_64_… type.
    pub kind: u32,
    /// Index in `dynamic_symbols`; 0 for none.
    pub symbol: u32,
    /// Addend.
    pub addend: i64,
    /// Whether it came from `.rela.plt` (DT_JMPREL).
    pub plt: bool,
}

/// A symbol of `.symtab`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Name; a version after `@` is cut off.
    pub name: String,
    /// Name of the preceding STT_FILE symbol, for local symbols.
    pub file: Option<String>,
    /// Address (or offset in the TLS block).
    pub address: LinkAddress,
    /// `st_size`.
    pub size: u64,
    /// STT_… type.
    pub kind: u8,
    /// STB_… binding.
    pub binding: u8,
    /// Section index; SHN_ABS and its like included.
    pub section: u16,
}
