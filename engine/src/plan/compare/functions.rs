//! The functions of one build by address.

use super::pairs::Identity;
use crate::program::address::LinkAddress;
use crate::program::code::{CodeImage, FunctionId};
use crate::program::dwarf::DebugInfo;
use crate::program::types::TypeId;

/// A function with code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// What it is called.
    pub identity: Identity,
    /// Its entry.
    pub entry: LinkAddress,
    /// Code ranges as (start, length), the entry's first.
    pub ranges: Vec<(LinkAddress, u64)>,
    /// Source file and line of its declaration; the line is 0 when not known.
    pub declared: (String, u64),
    /// Its type, if debug information tells.
    pub kind: Option<TypeId>,
}

/// Functions, and which of them holds an address. Positions are [`FunctionId`]s.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    list: Vec<Code>,
    /// (start, end, function) by ascending start.
    ranges: Vec<(LinkAddress, LinkAddress, usize)>,
}

impl Functions {
    /// The functions of a build.
    pub fn read(image: &CodeImage<'_>, debug: &DebugInfo) -> Self {
        let mut found = Self::default();
        for (id, function) in image.inventory().iter() {
            let described = function.debug.first().and_then(|index| debug.functions.get(*index));
            let unit = function.unit.clone().unwrap_or_default();
            let ranges: Vec<_> = function.parts.iter().map(|part| (part.start, part.size)).collect();
            let index = position(id);
            found.ranges.extend(ranges.iter().map(|(start, length)| (*start, start.offset(*length), index)));
            found.list.push(Code {
                declared: described.map_or_else(|| (unit.clone(), 0), |described| described.declared.clone()),
                identity: Identity { name: function.full_name(), unit, function: None, external: function.external, part: None },
                entry: function.entry(),
                kind: described.and_then(|described| described.kind),
                ranges,
            });
        }
        found.ranges.sort_unstable();
        found
    }

    /// All of them.
    pub fn list(&self) -> &[Code] {
        &self.list
    }

    /// The function whose entry is `address`.
    pub fn at_entry(&self, address: LinkAddress) -> Option<usize> {
        let (function, _) = self.containing(address)?;
        (self.list[function].entry == address).then_some(function)
    }

    /// The function that holds `address`, with the start of its range there.
    pub fn containing(&self, address: LinkAddress) -> Option<(usize, LinkAddress)> {
        let index = self.ranges.partition_point(|range| range.0 <= address).checked_sub(1)?;
        let (start, end, function) = self.ranges[index];
        (address < end).then_some((function, start))
    }

    /// The function with a range that ends at `address`, with the start of that range.
    pub fn ending_at(&self, address: LinkAddress) -> Option<(usize, LinkAddress)> {
        let index = self.ranges.partition_point(|range| range.0 < address).checked_sub(1)?;
        let (start, end, function) = self.ranges[index];
        (address == end).then_some((function, start))
    }
}

/// Position of a function in the lists of its build.
pub fn position(id: FunctionId) -> usize {
    id.0 as usize
}
