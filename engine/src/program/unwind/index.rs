//! The call frame information of one module, made searchable before the process is stopped.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use gimli::{BaseAddresses, CieOrFde, DebugFrame, EhFrame, EhFrameHdr, LittleEndian, UnwindContext, UnwindOffset, UnwindSection};
use object::{Object, ObjectSection};

use super::row::{self, Bytes, Cfa, Row};
use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Segment};

const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PF_X: u32 = 1;
const SHF_COMPRESSED: u64 = 1 << 11;
const SHT_NOBITS: u32 = 8;

/// A part of a module's call frame information that cannot be decoded; code that it describes cannot be unwound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt call frame information in {section} after {found} descriptions: {message}")]
pub struct CfiDefect {
    /// `.eh_frame` or `.debug_frame`.
    pub section: &'static str,
    /// Descriptions decoded before it.
    pub found: usize,
    /// The decoder's answer.
    pub message: String,
}

/// The frame descriptions of one module (`.eh_frame`, and `.debug_frame` for code that the former leaves out) by address.
#[derive(Debug)]
pub struct UnwindIndex {
    bytes: Arc<[u8]>,
    eh_frame: Option<Table>,
    debug_frame: Option<Table>,
    /// By start; of two with one start `.eh_frame`'s comes last and wins.
    entries: Vec<Entry>,
    defects: Vec<CfiDefect>,
}

#[derive(Debug)]
pub(super) struct Table {
    data: Data,
    bases: BaseAddresses,
}

#[derive(Debug)]
enum Data {
    /// Bytes of the module's file.
    File(Range<usize>),
    /// A section that was compressed.
    Unpacked(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    start: u64,
    end: u64,
    offset: usize,
    from_debug_frame: bool,
    is_signal_frame: bool,
    /// Its language-specific data; 0 for none.
    handlers: u64,
}

impl UnwindIndex {
    /// Reads all frame descriptions of `elf`. What cannot be decoded is left out and told by [`Self::defects`].
    pub fn new(elf: &Elf) -> Self {
        let mut index = Self {
            bytes: Arc::clone(&elf.bytes),
            eh_frame: find_eh_frame(elf),
            debug_frame: find_debug_frame(elf),
            entries: Vec::new(),
            defects: Vec::new(),
        };
        let code: Vec<Range<u64>> = elf.segments.iter().filter_map(executable_range).collect();
        let mut entries = Vec::new();
        if let Some(table) = &index.debug_frame {
            let mut section = DebugFrame::new(table.bytes(&index.bytes), LittleEndian);
            section.set_address_size(8);
            collect(&section, &table.bases, &code, true, &mut entries, &mut index.defects);
        }
        if let Some(table) = &index.eh_frame {
            let mut section = EhFrame::new(table.bytes(&index.bytes), LittleEndian);
            section.set_address_size(8);
            collect(&section, &table.bases, &code, false, &mut entries, &mut index.defects);
        }
        entries.sort_by_key(|entry| (entry.start, !entry.from_debug_frame));
        index.entries = entries;
        index
    }

    /// Call frame information that could not be decoded.
    pub fn defects(&self) -> &[CfiDefect] {
        &self.defects
    }

    /// Whether some frame description covers `address`.
    pub fn covers(&self, address: LinkAddress) -> bool {
        self.find(address.0).is_some()
    }

    /// First and behind-last address of the code that one frame description covers with `address`: a function, or a part of one.
    pub fn range(&self, address: LinkAddress) -> Option<(LinkAddress, LinkAddress)> {
        self.find(address.0).map(|entry| (LinkAddress(entry.start), LinkAddress(entry.end)))
    }

    /// The register, by DWARF number, and what is added to it, that give the canonical frame address at `address`; `None` where it is
    /// found otherwise.
    pub fn frame_address(&self, address: LinkAddress) -> Option<(u16, i64)> {
        match self.row(address, &mut UnwindContext::new())?.ok()?.cfa {
            Cfa::RegisterAndOffset { register, offset } => Some((register, offset)),
            Cfa::Expression(_) | Cfa::StackWord(_) => None,
        }
    }

    /// Whether `address` is in a signal trampoline (augmentation `S`).
    pub fn is_signal_trampoline(&self, address: LinkAddress) -> bool {
        self.find(address.0).is_some_and(|entry| entry.is_signal_frame)
    }

    /// The exception handlers (language-specific data area) of the code that starts at `address`.
    pub fn handlers(&self, address: LinkAddress) -> Option<LinkAddress> {
        let entry = self.find(address.0).filter(|entry| entry.start == address.0 && entry.handlers != 0)?;
        Some(LinkAddress(entry.handlers))
    }

    /// The row that holds at `address`; `None` where no description covers it.
    pub(super) fn row(&self, address: LinkAddress, context: &mut UnwindContext<usize>) -> Option<Result<Row<'_>, gimli::Error>> {
        let (table, offset, from_debug_frame) = self.table_for(address)?;
        let data = table.bytes(&self.bytes);
        Some(if from_debug_frame {
            let mut section = DebugFrame::new(data, LittleEndian);
            section.set_address_size(8);
            row::find(&section, &table.bases, offset, address.0, context)
        } else {
            let mut section = EhFrame::new(data, LittleEndian);
            section.set_address_size(8);
            row::find(&section, &table.bases, offset, address.0, context)
        })
    }

    /// The table whose description covers `address`, where in it that is, and whether it is `.debug_frame`.
    pub(super) fn table_for(&self, address: LinkAddress) -> Option<(&Table, usize, bool)> {
        let entry = self.find(address.0)?;
        let table = if entry.from_debug_frame { self.debug_frame.as_ref() } else { self.eh_frame.as_ref() }?;
        Some((table, entry.offset, entry.from_debug_frame))
    }

    /// The module's file.
    pub(super) fn file(&self) -> &[u8] {
        &self.bytes
    }

    fn find(&self, address: u64) -> Option<&Entry> {
        let after = self.entries.partition_point(|entry| entry.start <= address);
        // Descriptions do not overlap in sound files; a short look back finds an enclosing one all the same.
        self.entries.get(after.saturating_sub(4)..after)?.iter().rev().find(|entry| address < entry.end)
    }
}

impl Table {
    pub(super) fn bases(&self) -> &BaseAddresses {
        &self.bases
    }

    pub(super) fn bytes<'a>(&'a self, file: &'a [u8]) -> &'a [u8] {
        match &self.data {
            Data::File(range) => file.get(range.clone()).unwrap_or_default(),
            Data::Unpacked(bytes) => bytes,
        }
    }
}

/// Adds every description of `section` whose code is mapped executable (discarded functions keep one at address 0).
fn collect<'a, S>(
    section: &S,
    bases: &BaseAddresses,
    code: &[Range<u64>],
    from_debug_frame: bool,
    entries: &mut Vec<Entry>,
    defects: &mut Vec<CfiDefect>,
) where
    S: UnwindSection<Bytes<'a>>,
    S::Offset: UnwindOffset<usize>,
{
    let mut common = HashMap::new();
    let mut iterator = section.entries(bases);
    let before = entries.len();
    let defect = |found, source: gimli::Error| CfiDefect {
        section: if from_debug_frame { ".debug_frame" } else { ".eh_frame" },
        found,
        message: source.to_string(),
    };
    loop {
        let partial = match iterator.next() {
            Ok(Some(CieOrFde::Fde(partial))) => partial,
            Ok(Some(CieOrFde::Cie(_))) => continue,
            Ok(None) => return,
            // The iterator is exhausted after an error.
            Err(source) => return defects.push(defect(entries.len() - before, source)),
        };
        let parsed = partial.parse(|section, bases, offset| match common.entry(UnwindOffset::into(offset)) {
            std::collections::hash_map::Entry::Occupied(cie) => {
                let cie: &gimli::CommonInformationEntry<Bytes<'a>> = cie.get();
                Ok(cie.clone())
            }
            std::collections::hash_map::Entry::Vacant(vacant) => {
                Ok(vacant.insert(section.cie_from_offset(bases, offset)?).clone())
            }
        });
        match parsed {
            Ok(fde) => {
                let (start, end) = (fde.initial_address(), fde.end_address());
                if start < end && code.iter().any(|range| range.contains(&start)) {
                    let is_signal_frame = fde.cie().is_signal_trampoline();
                    let handlers = fde.lsda().map_or(0, gimli::Pointer::pointer);
                    entries.push(Entry { start, end, offset: fde.offset(), from_debug_frame, is_signal_frame, handlers });
                }
            }
            Err(source) => defects.push(defect(entries.len() - before, source)),
        }
    }
}

fn executable_range(segment: &Segment) -> Option<Range<u64>> {
    let end = segment.address.0.checked_add(segment.memory_size)?;
    (segment.kind == PT_LOAD && segment.flags & PF_X != 0).then_some(segment.address.0..end)
}

/// `.eh_frame` by its section, or, where section headers are stripped, by `PT_GNU_EH_FRAME` (the header points to it).
fn find_eh_frame(elf: &Elf) -> Option<Table> {
    let mut bases = BaseAddresses::default();
    for section in &elf.sections {
        bases = match section.name.as_str() {
            ".text" => bases.set_text(section.address.0),
            ".got" => bases.set_got(section.address.0),
            ".eh_frame_hdr" => bases.set_eh_frame_hdr(section.address.0),
            _ => bases,
        };
    }
    let by_section = elf.sections.iter().find(|section| section.name == ".eh_frame" && section.kind != SHT_NOBITS);
    if let Some(section) = by_section {
        let range = file_range(elf, section.offset, section.size)?;
        return Some(Table { data: Data::File(range), bases: bases.set_eh_frame(section.address.0) });
    }
    let header = elf.segments.iter().find(|segment| segment.kind == PT_GNU_EH_FRAME)?;
    let bases = bases.set_eh_frame_hdr(header.address.0);
    let bytes = elf.bytes.get(file_range(elf, header.offset, header.file_size)?)?;
    let parsed = EhFrameHdr::new(bytes, LittleEndian).parse(&bases, 8).ok()?;
    let gimli::Pointer::Direct(start) = parsed.eh_frame_ptr() else { return None };
    // Its length is not told: it ends with its terminator, at the latest with its segment.
    let segment = elf.segments.iter().find(|segment| {
        segment.kind == PT_LOAD && start.checked_sub(segment.address.0).is_some_and(|within| within < segment.file_size)
    })?;
    let within = start - segment.address.0;
    let range = file_range(elf, segment.offset.checked_add(within)?, segment.file_size - within)?;
    Some(Table { data: Data::File(range), bases: bases.set_eh_frame(start) })
}

fn find_debug_frame(elf: &Elf) -> Option<Table> {
    let section = elf.sections.iter().find(|section| section.name == ".debug_frame" && section.kind != SHT_NOBITS)?;
    let data = if section.flags & SHF_COMPRESSED != 0 {
        let file = object::File::parse(&elf.bytes[..]).ok()?;
        Data::Unpacked(file.section_by_name(".debug_frame")?.uncompressed_data().ok()?.into_owned())
    } else {
        Data::File(file_range(elf, section.offset, section.size)?)
    };
    Some(Table { data, bases: BaseAddresses::default() })
}

fn file_range(elf: &Elf, offset: u64, size: u64) -> Option<Range<usize>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    (end <= elf.bytes.len()).then_some(start..end)
}
