//! Exception handlers: the language-specific data of two functions whose code is the same (Itanium C++ ABI, "Exception Handling Tables").
//!
//! Which places catch is compared as bytes, what they catch by what the type entries point to.

use gimli::{EndianSlice, LittleEndian, Reader};

use super::compare::Comparer;
use super::functions::FunctionId;
use super::image::CodeImage;
use super::referents::{Use, Verdict};
use super::slots::Loaded;
use crate::program::address::LinkAddress;

/// DW_EH_PE_omit.
const OMIT: u8 = 0xff;

/// How many actions one call site may chain; more is a loop in a damaged table.
const MAX_CHAIN: usize = 1000;

/// The parts of one table.
struct Handlers<'a> {
    /// Encodings of types and call sites.
    encodings: (u8, u8),
    call_sites: &'a [u8],
    /// Everything behind the call sites, where action records start.
    actions: &'a [u8],
    /// Address behind the last type entry; 0 for none.
    types_end: u64,
}

impl Comparer<'_> {
    /// Whether exceptions that pass through the code that starts at both addresses meet the same handlers.
    pub(super) fn same_handlers(&self, old: u64, new: u64) -> bool {
        let table = |image: &CodeImage<'_>, start| image.unwind.handlers(LinkAddress(start)).map(|address| address.0);
        match (table(self.old, old), table(self.new, new)) {
            (None, None) => true,
            (Some(from), Some(to)) => match (read(self.old, from), read(self.new, to)) {
                (Some(from), Some(to)) => self.same_tables(&from, &to).unwrap_or(false),
                _ => false,
            },
            _ => false,
        }
    }

    fn same_tables(&self, old: &Handlers<'_>, new: &Handlers<'_>) -> Option<bool> {
        if old.encodings != new.encodings || old.call_sites != new.call_sites {
            return Some(false);
        }
        for first in first_actions(old)? {
            let (mut from, mut to) = (first, first);
            for _ in 0..MAX_CHAIN {
                let ((filter, next), (other, following)) = (action(old.actions, from)?, action(new.actions, to)?);
                if filter != other || !self.same_filter(old, new, filter)? || next.is_some() != following.is_some() {
                    return Some(false);
                }
                match (next, following) {
                    (Some(next), Some(following)) => (from, to) = (next, following),
                    _ => break,
                }
            }
        }
        Some(true)
    }

    /// A filter of 0 is a clean-up, a positive one an index of a type; negative ones (exception specifications) are not compared.
    fn same_filter(&self, old: &Handlers<'_>, new: &Handlers<'_>, filter: i64) -> Option<bool> {
        let Ok(index @ 1..) = u64::try_from(filter) else { return Some(filter == 0) };
        let from = caught(self.old, old, index)?;
        let to = caught(self.new, new, index)?;
        Some(match (from, to) {
            (Loaded::Null, Loaded::Null) => true,
            (from, to) => self.same_loaded(from, to, Use::Value, None, 0) == Verdict::Same,
        })
    }
}

impl CodeImage<'_> {
    /// The calls under which exceptions that pass lead somewhere: first and behind-last address of code, and where its handler starts.
    /// `None` if the table cannot be read.
    pub fn landing_pads(&self, function: FunctionId) -> Option<Vec<(LinkAddress, LinkAddress, LinkAddress)>> {
        let mut found = Vec::new();
        for start in self.code(function).into_iter().flat_map(|code| &code.parts).map(|part| part.start) {
            let Some(table) = self.unwind.handlers(LinkAddress(start)) else { continue };
            for site in call_sites(&read(self, table.0)?)?.iter().filter(|site| site.pad != 0) {
                let begin = start.wrapping_add(site.start);
                let pad = LinkAddress(start.wrapping_add(site.pad));
                found.push((LinkAddress(begin), LinkAddress(begin.wrapping_add(site.length)), pad));
            }
        }
        Some(found)
    }
}

fn slice(bytes: &[u8]) -> EndianSlice<'_, LittleEndian> {
    EndianSlice::new(bytes, LittleEndian)
}

fn read<'a>(image: &CodeImage<'a>, address: u64) -> Option<Handlers<'a>> {
    let section = image.layout.section(address)?;
    let end = section.address.0.saturating_add(section.size);
    let bytes: &'a [u8] = image.layout.bytes(address, end.checked_sub(address)?)?;
    let mut reader = EndianSlice::new(bytes, LittleEndian);
    // A landing pad base of its own is not used by the compilers that this engine knows.
    if reader.read_u8().ok()? != OMIT {
        return None;
    }
    let types = reader.read_u8().ok()?;
    let types_end = if types == OMIT {
        0
    } else {
        let distance = reader.read_uleb128().ok()?;
        address.checked_add(reader.offset_from(slice(bytes)) as u64)?.checked_add(distance)?
    };
    let call_sites = reader.read_u8().ok()?;
    let length = usize::try_from(reader.read_uleb128().ok()?).ok()?;
    let rest = reader.slice();
    Some(Handlers { encodings: (types, call_sites), call_sites: rest.get(..length)?, actions: rest.get(length..)?, types_end })
}

/// Code, relative to its function, and the handler that it has; 0 for none.
struct CallSiteEntry {
    start: u64,
    length: u64,
    pad: u64,
    /// Offset of its first action record.
    action: Option<usize>,
}

/// The call sites of a table.
fn call_sites(handlers: &Handlers<'_>) -> Option<Vec<CallSiteEntry>> {
    const DW_EH_PE_UDATA4: u8 = 3;
    const DW_EH_PE_ULEB128: u8 = 1;
    let mut reader = slice(handlers.call_sites);
    let mut found = Vec::new();
    while !reader.is_empty() {
        let mut number = || match handlers.encodings.1 {
            DW_EH_PE_ULEB128 => reader.read_uleb128().ok(),
            DW_EH_PE_UDATA4 => reader.read_u32().ok().map(u64::from),
            _ => None,
        };
        let (start, length, pad) = (number()?, number()?, number()?);
        // 0 is no action; others count from 1.
        let action = usize::try_from(reader.read_uleb128().ok()?).ok()?.checked_sub(1);
        found.push(CallSiteEntry { start, length, pad, action });
    }
    Some(found)
}

/// Offsets of the action records that call sites start with.
fn first_actions(handlers: &Handlers<'_>) -> Option<Vec<usize>> {
    Some(call_sites(handlers)?.iter().filter_map(|site| site.action).collect())
}

/// The filter of an action record, and the offset of the next record.
fn action(actions: &[u8], offset: usize) -> Option<(i64, Option<usize>)> {
    let mut reader = slice(actions.get(offset..)?);
    let before = reader;
    let filter = reader.read_sleb128().ok()?;
    let field = offset.checked_add(reader.offset_from(before))?;
    let next = isize::try_from(reader.read_sleb128().ok()?).ok()?;
    Some((filter, if next == 0 { None } else { Some(field.checked_add_signed(next)?) }))
}

/// What the type entry with this index points to; null catches everything.
fn caught(image: &CodeImage<'_>, handlers: &Handlers<'_>, index: u64) -> Option<Loaded> {
    /// DW_EH_PE_indirect.
    const INDIRECT: u8 = 0x80;
    let at = handlers.types_end.checked_sub(index.checked_mul(4)?)?;
    let value = i32::from_le_bytes(image.layout.bytes(at, 4)?.try_into().ok()?);
    if value == 0 {
        return Some(Loaded::Null);
    }
    // DW_EH_PE_pcrel | sdata4, also indirect, in position-independent code; DW_EH_PE_udata4 in other.
    let address = match handlers.encodings.0 & !INDIRECT {
        0x1b => at.wrapping_add_signed(i64::from(value)),
        0x03 => u64::from(value.cast_unsigned()),
        _ => return None,
    };
    let is_indirect = handlers.encodings.0 & INDIRECT != 0;
    Some(if is_indirect { image.layout.slots.loaded(address) } else { Loaded::Address(address) })
}
