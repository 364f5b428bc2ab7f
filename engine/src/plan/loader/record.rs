//! Reading `struct link_map` of the old program and storing the new program's values in its place.

use dsu_formats::address::RunAddress;

use super::info::InfoLayout;
use super::search::Signature;
use super::versions::VersionTable;
use crate::plan::abi;
use crate::plan::rewrite::Patch;
use crate::plan::source::{MemorySource, read_bytes};
use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Segment};

/// More than any release's `struct link_map`.
const MOST: u64 = 0x600;
/// `l_addr`, `l_name`, `l_ld`, `l_next`: what `<link.h>` promises.
const L_ADDR: usize = 0;
const L_LD: usize = 16;
/// `l_info` follows `l_libname` in every release since 2.2.
const L_INFO: usize = 64;

/// The record of the program as the loader left it.
#[derive(Clone, Debug)]
pub struct Record {
    address: RunAddress,
    bytes: Vec<u8>,
    info: InfoLayout,
    /// `l_phdr`.
    headers: usize,
    /// `l_nbuckets`.
    hash: usize,
    versyms: Option<usize>,
    map_start: usize,
    text_end: bool,
    tls: Option<TlsFields>,
    relro: Option<usize>,
    /// Addresses of the program's `.dynsym`.
    symbols: std::ops::Range<u64>,
}

/// The thread-local fields, `l_tls_initimage` to `l_tls_modid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsFields {
    /// Offset of `l_tls_initimage` in the record.
    pub start: usize,
    /// `l_tls_offset`.
    pub offset: u64,
    /// `l_tls_modid`.
    pub module: u64,
}

/// A part of the record that is not where a known glibc has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {problem}")]
pub struct RecordError {
    /// The part.
    pub part: &'static str,
    /// What is wrong.
    pub problem: String,
}

fn missing(part: &'static str) -> impl Fn(usize) -> RecordError {
    move |matches| RecordError { part, problem: format!("expected one place for it, found {matches}") }
}

/// One module's values for the record's fields.
struct Values<'a> {
    elf: &'a Elf,
    bias: u64,
    hash: Hash,
}

/// The hash table that the loader looks symbols up in: DT_GNU_HASH where there is one.
#[derive(Clone, Copy)]
enum Hash {
    /// Header of DT_GNU_HASH.
    Gnu { address: u64, buckets: u32, first: u32, words: u32, shift: u32 },
    /// Header of DT_HASH (System V ABI, "Hash Table").
    SystemV { address: u64, buckets: u32 },
}

impl Hash {
    fn read(elf: &Elf) -> Option<Self> {
        let header = |address: u64, length: u64| {
            let bytes = elf.file_bytes(LinkAddress(address), length)?;
            Some(move |at: usize| half(bytes, at).unwrap_or(0))
        };
        if let Some(address) = elf.dynamic_value(abi::DT_GNU_HASH) {
            let half = header(address, 16)?;
            return Some(Self::Gnu { address, buckets: half(0), first: half(4), words: half(8), shift: half(12) });
        }
        let address = elf.dynamic_value(abi::DT_HASH)?;
        Some(Self::SystemV { address, buckets: header(address, 8)?(0) })
    }
}

impl<'a> Values<'a> {
    fn new(elf: &'a Elf, bias: u64) -> Result<Self, RecordError> {
        let none = || RecordError { part: "hash table", problem: "the program has neither DT_GNU_HASH nor DT_HASH".to_owned() };
        Ok(Self { elf, bias, hash: Hash::read(elf).ok_or_else(none)? })
    }

    fn run(&self, link: u64) -> u64 {
        self.bias.wrapping_add(link)
    }

    /// `l_nbuckets` to `l_gnu_chain_zero`, as `_dl_setup_hash` of glibc sets them. For DT_HASH the last two are `l_chain` and
    /// `l_buckets`, and there is no filter.
    fn hash(&self) -> ([u32; 3], [u64; 3]) {
        match self.hash {
            Hash::Gnu { address, buckets, first, words, shift } => {
                let bloom = self.run(address).wrapping_add(16);
                let table = bloom.wrapping_add(u64::from(words) * 8);
                let chains = table.wrapping_add(u64::from(buckets) * 4).wrapping_sub(u64::from(first) * 4);
                ([buckets, words.wrapping_sub(1), shift], [bloom, table, chains])
            }
            Hash::SystemV { address, buckets } => {
                let table = self.run(address).wrapping_add(8);
                ([buckets, 0, 0], [0, table.wrapping_add(u64::from(buckets) * 4), table])
            }
        }
    }

    fn span(&self) -> (u64, u64) {
        span(self.elf, self.bias)
    }

    fn text_end(&self) -> u64 {
        let code = self.elf.loads().filter(|load| load.flags & abi::PF_X != 0);
        self.run(code.map(|load| load.address.0.saturating_add(load.memory_size)).max().unwrap_or(0))
    }

    fn dynamic_entries(&self) -> u64 {
        self.elf.segment(object::elf::PT_DYNAMIC.0).map_or(0, |segment| segment.memory_size / 16)
    }
}

impl Record {
    /// Reads the record at `address` of the program `elf` at `bias`. At most `room` bytes are mapped from there on.
    ///
    /// # Errors
    /// A field that is not found, or found twice: an unknown release.
    pub fn read(memory: &dyn MemorySource, address: RunAddress, room: u64, elf: &Elf, bias: u64) -> Result<Self, RecordError> {
        let unreadable = |_| RecordError { part: "struct link_map", problem: format!("cannot be read at {address}") };
        let bytes = read_bytes(memory, address, room.min(MOST) as usize).map_err(unreadable)?;
        let values = Values::new(elf, bias)?;
        check_start(&bytes, &values)?;
        let headers = Signature::new()
            .word(values.run(elf.headers_address().0))
            .word(values.run(elf.entry.0))
            .quarter(elf.program_headers.1)
            .find(&bytes)
            .map_err(missing("l_phdr"))?;
        let length = headers.checked_sub(L_INFO).map(|length| (length / 8) as u64).and_then(InfoLayout::new);
        let info = length.ok_or_else(|| missing("l_info")(0))?;
        check_info(&bytes, info, &values)?;
        let hash = hash_signature(&values).find(&bytes).map_err(missing("l_nbuckets"))?;
        check_versions(&bytes, hash, elf)?;
        let (start, end) = values.span();
        let map_start = Signature::new().word(start).word(end).find(&bytes).map_err(missing("l_map_start"))?;
        let record = Self {
            address,
            info,
            headers,
            hash,
            versyms: find_versyms(&bytes, &values)?,
            map_start,
            text_end: word(&bytes, map_start + 16) == Some(values.text_end()),
            tls: find_tls(&bytes, elf, bias)?,
            relro: find_relro(&bytes, elf)?,
            symbols: symbol_table(&values),
            bytes,
        };
        Ok(record)
    }

    /// Where it is.
    pub fn address(&self) -> RunAddress {
        self.address
    }

    /// The old program's thread-local fields; `None` when it has no PT_TLS.
    pub fn tls(&self) -> Option<TlsFields> {
        self.tls
    }

    /// The table behind `l_versions` and its length in bytes.
    pub fn old_versions(&self) -> Option<(RunAddress, u64)> {
        let table = word(&self.bytes, self.hash.checked_sub(12)?)?;
        let count = half(&self.bytes, self.hash.checked_sub(4)?)?;
        (table != 0).then_some((RunAddress(table), u64::from(count) * super::versions::ENTRY))
    }

    /// `l_searchlist`: the array of `struct link_map *` that symbols are looked up in, and its length.
    pub fn search_list(&self) -> Option<(RunAddress, u32)> {
        let list = word(&self.bytes, self.headers + 24)?;
        Some((RunAddress(list), half(&self.bytes, self.headers + 32)?))
    }

    /// The words of the record, one by one, with their addresses.
    pub fn words(&self) -> impl Iterator<Item = (RunAddress, u64)> + '_ {
        (0..self.bytes.len() / 8).filter_map(|at| Some((RunAddress(self.address.0 + at as u64 * 8), word(&self.bytes, at * 8)?)))
    }

    /// `l_lookup_cache.sym`: a pointer into the program's symbol table that only relocation uses.
    pub fn symbol_cache(&self) -> Option<(RunAddress, u64)> {
        let (at, symbols) = (self.tls_or_end()?, self.symbols.clone());
        let words = (self.map_start..at).step_by(8).filter_map(|at| Some((at, word(&self.bytes, at)?)));
        let mut found = words.filter(|(_, word)| symbols.contains(word));
        found.next().map(|(at, word)| (RunAddress(self.address.0 + at as u64), word))
    }

    fn tls_or_end(&self) -> Option<usize> {
        Some(self.tls.map_or(self.bytes.len(), |fields| fields.start))
    }

    /// The patches that make it the record of `elf` at `bias`.
    ///
    /// `versions` is where the table of its versions will be, `tls_offset` how far its thread-local block is below the thread pointer.
    ///
    /// # Errors
    /// A field that the new program needs and the old one gave no place for.
    pub fn rewrite(
        &self,
        elf: &Elf,
        bias: u64,
        versions: Option<(RunAddress, u32)>,
        tls_offset: Option<u64>,
    ) -> Result<Vec<Patch>, RecordError> {
        let values = Values::new(elf, bias)?;
        let mut new = self.bytes.clone();
        put(&mut new, L_ADDR, &bias.to_le_bytes());
        let dynamic = elf.dynamic_address.ok_or_else(|| missing("l_ld")(0))?;
        put(&mut new, L_LD, &values.run(dynamic.0).to_le_bytes());
        let info = self.info.fill(elf, bias).ok_or_else(|| missing("l_info")(0))?;
        for (index, entry) in info.iter().enumerate() {
            put(&mut new, L_INFO + index * 8, &entry.to_le_bytes());
        }
        self.put_headers(&mut new, &values);
        self.put_hash(&mut new, &values, versions)?;
        self.put_span(&mut new, &values);
        self.put_tls(&mut new, &values, tls_offset);
        if let Some(at) = self.relro {
            let (start, size) = elf.relro().map_or((0, 0), |relro| (relro.address.0, relro.memory_size));
            put(&mut new, at, &start.to_le_bytes());
            put(&mut new, at + 8, &size.to_le_bytes());
        }
        Ok(self.difference(&new))
    }

    fn put_headers(&self, new: &mut [u8], values: &Values<'_>) {
        put(new, self.headers, &values.run(values.elf.headers_address().0).to_le_bytes());
        put(new, self.headers + 8, &values.run(values.elf.entry.0).to_le_bytes());
        put(new, self.headers + 16, &values.elf.program_headers.1.to_le_bytes());
        // The program's own l_ldnum stays zero in releases that only count libraries' entries.
        if new.get(self.headers + 18..self.headers + 20) != Some(&[0, 0]) {
            put(new, self.headers + 18, &(values.dynamic_entries() as u16).to_le_bytes());
        }
    }

    fn put_hash(&self, new: &mut [u8], values: &Values<'_>, versions: Option<(RunAddress, u32)>) -> Result<(), RecordError> {
        let (halves, words) = values.hash();
        for (index, value) in halves.iter().enumerate() {
            put(new, self.hash + index * 4, &value.to_le_bytes());
        }
        for (index, value) in words.iter().enumerate() {
            put(new, self.hash + 12 + index * 8, &value.to_le_bytes());
        }
        let (table, count) = versions.map_or((0, 0), |(table, count)| (table.0, count));
        put(new, self.hash - 12, &table.to_le_bytes());
        put(new, self.hash - 4, &count.to_le_bytes());
        let versym = values.elf.dynamic_value(abi::DT_VERSYM);
        match (self.versyms, versym) {
            (Some(at), versym) => put(new, at, &versym.map_or(0, |link| values.run(link)).to_le_bytes()),
            (None, None) => {}
            (None, Some(_)) => return Err(missing("l_versyms")(0)),
        }
        Ok(())
    }

    fn put_span(&self, new: &mut [u8], values: &Values<'_>) {
        let (start, end) = values.span();
        put(new, self.map_start, &start.to_le_bytes());
        put(new, self.map_start + 8, &end.to_le_bytes());
        if self.text_end {
            put(new, self.map_start + 16, &values.text_end().to_le_bytes());
        }
    }

    fn put_tls(&self, new: &mut [u8], values: &Values<'_>, offset: Option<u64>) {
        let Some(fields) = self.tls else { return };
        // Without PT_TLS of its own the block stays, its initial image becomes empty.
        let Some(tls) = values.elf.tls() else {
            put(new, fields.start, &[0; 16]);
            return;
        };
        let first = tls.address.0 & tls.align.wrapping_sub(1);
        let image =
            [values.run(tls.address.0), tls.file_size, tls.memory_size, tls.align, first, offset.unwrap_or(fields.offset)];
        for (index, value) in image.iter().enumerate() {
            put(new, fields.start + index * 8, &value.to_le_bytes());
        }
    }

    fn difference(&self, new: &[u8]) -> Vec<Patch> {
        let words = |bytes: &[u8], at: usize| word(bytes, at);
        (0..self.bytes.len() / 8 * 8)
            .step_by(8)
            .filter_map(|at| {
                let stored = words(new, at)?;
                (words(&self.bytes, at)? != stored)
                    .then_some(Patch { address: RunAddress(self.address.0 + at as u64), word: stored })
            })
            .collect()
    }
}

/// `l_map_start` and `l_map_end` of the program `elf` at `bias`.
pub fn span(elf: &Elf, bias: u64) -> (u64, u64) {
    let (start, _) = elf.load_range();
    let end = elf.loads().map(|load| load.address.0.saturating_add(load.memory_size)).max().unwrap_or(0);
    (bias.wrapping_add(start.0), bias.wrapping_add(end))
}

fn symbol_table(values: &Values<'_>) -> std::ops::Range<u64> {
    let start = values.elf.dynamic_value(abi::DT_SYMTAB).map_or(0, |link| values.run(link));
    start..start.wrapping_add(values.elf.dynamic_symbols.len() as u64 * 24)
}

fn hash_signature(values: &Values<'_>) -> Signature {
    let (halves, words) = values.hash();
    let signature = halves.iter().fold(Signature::new(), |signature, value| signature.half(*value));
    words.iter().fold(signature, |signature, value| signature.word(*value))
}

fn check_start(bytes: &[u8], values: &Values<'_>) -> Result<(), RecordError> {
    let dynamic = values.elf.dynamic_address.map(|link| values.run(link.0));
    if word(bytes, L_ADDR) != Some(values.bias) {
        return Err(RecordError { part: "l_addr", problem: "it is not the program's".to_owned() });
    }
    if dynamic.is_none() || word(bytes, L_LD) != dynamic {
        return Err(RecordError { part: "l_ld", problem: "it is not the program's .dynamic".to_owned() });
    }
    Ok(())
}

/// Every place must hold what the loader's own rule puts there: then the rule holds for the new program too.
fn check_info(bytes: &[u8], info: InfoLayout, values: &Values<'_>) -> Result<(), RecordError> {
    let expected = info.fill(values.elf, values.bias).ok_or_else(|| missing("l_info")(0))?;
    for (index, entry) in expected.iter().enumerate() {
        let found = word(bytes, L_INFO + index * 8);
        if found != Some(*entry) {
            let found = found.unwrap_or(0);
            return Err(RecordError { part: "l_info", problem: format!("place {index}: expected {entry:#x}, found {found:#x}") });
        }
    }
    Ok(())
}

fn check_versions(bytes: &[u8], hash: usize, elf: &Elf) -> Result<(), RecordError> {
    let count = VersionTable::read(elf).map(|table| table.count());
    let found = hash.checked_sub(4).and_then(|at| half(bytes, at));
    if count.is_none() || found != count {
        let problem = format!("expected {count:?}, found {found:?}");
        return Err(RecordError { part: "l_nversions", problem });
    }
    Ok(())
}

fn find_versyms(bytes: &[u8], values: &Values<'_>) -> Result<Option<usize>, RecordError> {
    let Some(versym) = values.elf.dynamic_value(abi::DT_VERSYM) else { return Ok(None) };
    Signature::new().word(values.run(versym)).find(bytes).map(Some).map_err(missing("l_versyms"))
}

fn find_relro(bytes: &[u8], elf: &Elf) -> Result<Option<usize>, RecordError> {
    let Some(relro) = elf.relro() else { return Ok(None) };
    let signature = Signature::new().word(relro.address.0).word(relro.memory_size);
    signature.find(bytes).map(Some).map_err(missing("l_relro_addr"))
}

/// The thread-local fields of any module's record.
///
/// # Errors
/// Fields that are not found, or found twice.
pub fn find_tls(bytes: &[u8], elf: &Elf, bias: u64) -> Result<Option<TlsFields>, RecordError> {
    let Some(Segment { address, file_size, memory_size, align, .. }) = elf.tls().copied() else { return Ok(None) };
    let signature = Signature::new()
        .word(bias.wrapping_add(address.0))
        .word(file_size)
        .word(memory_size)
        .word(align)
        .word(address.0 & align.wrapping_sub(1));
    let start = signature.find(bytes).map_err(missing("l_tls_initimage"))?;
    let fields = word(bytes, start + 40).zip(word(bytes, start + 48));
    let (offset, module) = fields.ok_or_else(|| missing("l_tls_offset")(0))?;
    Ok(Some(TlsFields { start, offset, module }))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn put(bytes: &mut [u8], at: usize, part: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}
