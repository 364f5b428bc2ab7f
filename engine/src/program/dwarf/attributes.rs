//! The attributes of one debugging information entry that matter here, decoded in one pass.

use gimli::{AttributeValue, Operation, constants as dw};

use super::Storage;
use super::raw::Key;
use super::sections::Reader;
use super::unit::UnitContext;
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;

pub(super) type Value<'a> = AttributeValue<Reader<'a>>;
pub(super) type Attribute<'a> = gimli::Attribute<Reader<'a>>;

/// One entry's attributes, undecoded where decoding depends on the tag.
#[derive(Default)]
pub(super) struct Entry<'a> {
    pub(super) name: Option<Value<'a>>,
    pub(super) linkage_name: Option<Value<'a>>,
    pub(super) file: Option<u64>,
    pub(super) line: u64,
    pub(super) external: bool,
    pub(super) declaration: bool,
    pub(super) kind: Option<Value<'a>>,
    pub(super) abstract_origin: Option<Value<'a>>,
    pub(super) specification: Option<Value<'a>>,
    pub(super) signature: Option<Value<'a>>,
    pub(super) byte_size: Option<u64>,
    pub(super) alignment: Option<u64>,
    pub(super) bit_size: Option<u64>,
    pub(super) bit_offset: Option<i64>,
    pub(super) data_bit_offset: Option<u64>,
    pub(super) member_location: Option<Value<'a>>,
    pub(super) location: Option<Value<'a>>,
    pub(super) low_pc: Option<Value<'a>>,
    pub(super) high_pc: Option<Value<'a>>,
    pub(super) ranges: Option<Value<'a>>,
    pub(super) entry_pc: Option<Value<'a>>,
    pub(super) encoding: Option<u8>,
    pub(super) const_value: Option<Value<'a>>,
    pub(super) count: Option<Value<'a>>,
    pub(super) upper_bound: Option<Value<'a>>,
    pub(super) lower_bound: Option<Value<'a>>,
    pub(super) stride: bool,
}

impl<'a> Entry<'a> {
    pub(super) fn decode(attributes: &[Attribute<'a>]) -> Self {
        let mut entry = Self::default();
        for attribute in attributes {
            entry.set(attribute);
        }
        entry
    }

    fn set(&mut self, attribute: &Attribute<'a>) {
        let value = attribute.value();
        match attribute.name() {
            dw::DW_AT_name => self.name = Some(value),
            dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => self.linkage_name = Some(value),
            dw::DW_AT_decl_file => self.file = file_number(&value),
            dw::DW_AT_decl_line => self.line = value.udata_value().unwrap_or(0),
            dw::DW_AT_external => self.external = value == AttributeValue::Flag(true),
            dw::DW_AT_declaration => self.declaration = value == AttributeValue::Flag(true),
            dw::DW_AT_type => self.kind = Some(value),
            dw::DW_AT_abstract_origin => self.abstract_origin = Some(value),
            dw::DW_AT_specification => self.specification = Some(value),
            dw::DW_AT_signature => self.signature = Some(value),
            dw::DW_AT_byte_size => self.byte_size = value.udata_value(),
            dw::DW_AT_alignment => self.alignment = value.udata_value(),
            dw::DW_AT_bit_size => self.bit_size = value.udata_value(),
            dw::DW_AT_bit_offset => self.bit_offset = value.sdata_value().or_else(|| value.udata_value().map(|bits| bits as i64)),
            dw::DW_AT_data_bit_offset => self.data_bit_offset = value.udata_value(),
            dw::DW_AT_data_member_location => self.member_location = Some(value),
            dw::DW_AT_location => self.location = Some(value),
            dw::DW_AT_low_pc => self.low_pc = Some(value),
            dw::DW_AT_high_pc => self.high_pc = Some(value),
            dw::DW_AT_ranges => self.ranges = Some(value),
            dw::DW_AT_entry_pc => self.entry_pc = Some(value),
            dw::DW_AT_encoding => {
                self.encoding = match value {
                    AttributeValue::Encoding(encoding) => Some(encoding.0),
                    other => other.u8_value(),
                }
            }
            dw::DW_AT_const_value => self.const_value = Some(attribute.raw_value()),
            dw::DW_AT_count => self.count = Some(value),
            dw::DW_AT_upper_bound => self.upper_bound = Some(value),
            dw::DW_AT_lower_bound => self.lower_bound = Some(value),
            dw::DW_AT_byte_stride | dw::DW_AT_bit_stride => self.stride = true,
            _ => {}
        }
    }

    /// Abstract origin, else specification.
    pub(super) fn origin(&self, unit: &UnitContext<'a, '_>) -> Result<Option<Key>, ProgramError> {
        match self.abstract_origin.as_ref().or(self.specification.as_ref()) {
            Some(value) => unit.key(value),
            None => Ok(None),
        }
    }

    /// The code that the entry covers, as (start, end), its entry point's range first. Ranges outside the program's code (of functions
    /// that the linker dropped) are left out.
    pub(super) fn code(&self, unit: &UnitContext<'a, '_>) -> Result<Vec<(u64, u64)>, ProgramError> {
        let mut found = Vec::new();
        if let Some(value) = &self.ranges {
            let ranges = unit.dwarf.attr_ranges(&unit.unit, *value).map_err(|e| unit.error(e))?;
            if let Some(mut ranges) = ranges {
                while let Some(range) = ranges.next().map_err(|e| unit.error(e))? {
                    found.push((range.begin, range.end));
                }
            }
        } else if let (Some(low), Some(high)) = (self.address(unit, &self.low_pc)?, &self.high_pc) {
            // A constant is a length, an address is the end (DWARF 5, 2.17.2).
            let end = match high.udata_value() {
                Some(length) => low.wrapping_add(length),
                None => self.address(unit, &self.high_pc)?.unwrap_or(low),
            };
            found.push((low, end));
        }
        found.retain(|&(start, end)| start < end && unit.image.is_code(LinkAddress(start)));
        if let Some(entry) = self.address(unit, &self.entry_pc)?
            && let Some(position) = found.iter().position(|&(start, end)| (start..end).contains(&entry))
        {
            found.swap(0, position);
        }
        Ok(found)
    }

    fn address(&self, unit: &UnitContext<'a, '_>, value: &Option<Value<'a>>) -> Result<Option<u64>, ProgramError> {
        match value {
            Some(value) => unit.dwarf.attr_address(&unit.unit, *value).map_err(|e| unit.error(e)),
            None => Ok(None),
        }
    }

    /// Where a variable is, if its location is a fixed place: `Storage::None` for any other location.
    pub(super) fn storage(&self, unit: &UnitContext<'a, '_>) -> Result<Storage, ProgramError> {
        let Some(expression) = self.location.as_ref().and_then(AttributeValue::exprloc_value) else { return Ok(Storage::None) };
        let mut operations = expression.operations(unit.unit.encoding());
        let mut steps = Vec::new();
        while let Some(operation) = operations.next().map_err(|e| unit.error(e))? {
            steps.push(operation);
            if steps.len() > 2 {
                return Ok(Storage::None);
            }
        }
        let base = match steps.first() {
            Some(Operation::Address { address }) => Some(*address),
            Some(Operation::AddressIndex { index, .. }) => {
                Some(unit.dwarf.address(&unit.unit, *index).map_err(|e| unit.error(e))?)
            }
            Some(Operation::UnsignedConstant { value }) => Some(*value),
            _ => None,
        };
        let is_constant = matches!(steps.first(), Some(Operation::UnsignedConstant { .. }));
        let storage = match (base, steps.get(1)) {
            (Some(base), Some(Operation::TLS)) => Storage::ThreadLocal(base),
            (Some(base), None) if !is_constant => Storage::Static(LinkAddress(base)),
            (Some(base), Some(Operation::PlusConstant { value })) if !is_constant => {
                Storage::Static(LinkAddress(base.wrapping_add(*value)))
            }
            _ => Storage::None,
        };
        Ok(match storage {
            // A variable that the linker dropped has no place any more.
            Storage::Static(address) if !unit.image.is_data(address) => Storage::None,
            Storage::ThreadLocal(place) => unit.image.thread_local(place).map_or(Storage::None, Storage::ThreadLocal),
            other => other,
        })
    }

    /// Offset of a member in bytes; `None` where it is computed at run time (virtual bases).
    pub(super) fn member_offset(&self, unit: &UnitContext<'a, '_>) -> Result<Option<u64>, ProgramError> {
        let Some(value) = &self.member_location else { return Ok(Some(0)) };
        if let Some(offset) = value.udata_value() {
            return Ok(Some(offset));
        }
        let Some(expression) = value.exprloc_value() else { return Ok(None) };
        let mut operations = expression.operations(unit.unit.encoding());
        let first = operations.next().map_err(|e| unit.error(e))?;
        let second = operations.next().map_err(|e| unit.error(e))?;
        Ok(match (first, second) {
            (Some(Operation::PlusConstant { value }), None) => Some(value),
            _ => None,
        })
    }

    /// Number of elements of an array dimension; `None` where it is not constant.
    pub(super) fn element_count(&self) -> Option<u64> {
        if let Some(count) = &self.count {
            return count.udata_value();
        }
        let lower = self.lower_bound.as_ref().map_or(Some(0), AttributeValue::udata_value)?;
        let upper = self.upper_bound.as_ref()?;
        match upper.udata_value() {
            Some(upper) => upper.wrapping_add(1).checked_sub(lower),
            // An upper bound of -1 is how some compilers write a length of 0.
            None => upper.sdata_value().filter(|&bound| bound == -1).map(|_| 0),
        }
    }

    /// Value of an enumerator.
    pub(super) fn enumerator(&self) -> Option<i128> {
        Some(match self.const_value.as_ref()? {
            AttributeValue::Data1(value) => i128::from(*value),
            AttributeValue::Data2(value) => i128::from(*value),
            AttributeValue::Data4(value) => i128::from(*value),
            AttributeValue::Data8(value) => i128::from(*value),
            AttributeValue::Data16(value) => i128::try_from(*value).ok()?,
            AttributeValue::Sdata(value) => i128::from(*value),
            AttributeValue::Udata(value) => i128::from(*value),
            _ => return None,
        })
    }
}

fn file_number(value: &Value<'_>) -> Option<u64> {
    match value {
        AttributeValue::FileIndex(number) => Some(*number),
        other => other.udata_value(),
    }
}

impl<'a> UnitContext<'a, '_> {
    /// The key of the entry that a reference leads to.
    pub(super) fn key(&self, value: &Value<'a>) -> Result<Option<Key>, ProgramError> {
        Ok(match value {
            AttributeValue::UnitRef(offset) => Some(self.base.wrapping_add(offset.0 as u64)),
            AttributeValue::DebugInfoRef(offset) => Some(offset.0 as u64),
            AttributeValue::DebugTypesRef(signature) => self.signatures.get(&signature.0).copied(),
            AttributeValue::DebugInfoRefSup(_) => return Err(self.needs_supplement()),
            _ => None,
        })
    }

    /// A string attribute's bytes.
    pub(super) fn string(&self, value: &Option<Value<'a>>) -> Result<Option<&'a [u8]>, ProgramError> {
        match value {
            None => Ok(None),
            Some(AttributeValue::DebugStrRefSup(_)) => Err(self.needs_supplement()),
            Some(value) => {
                let slice = self.dwarf.attr_string(&self.unit, *value).map_err(|e| self.error(e))?;
                Ok(Some(slice.slice()))
            }
        }
    }

    fn needs_supplement(&self) -> ProgramError {
        let file = self.supplement.unwrap_or("a file that it does not name");
        ProgramError::SplitDebug {
            unit: self.name.clone(),
            problem: format!("refers to the supplementary debug file {file}, which is not read; undo `dwz -m`, or build with -g"),
        }
    }
}
