//! `l_info[]`: pointers to entries of `.dynamic`, by tag.

use std::collections::HashMap;

use crate::plan::abi;
use crate::program::elf::Elf;

/// Tags of the regions behind DT_NUM in `l_info`: version tags count down from here (`DT_VERSIONTAGIDX`), 16 of them.
const VERSION_TOP: u64 = 0x6fff_ffff;
const VERSION_TAGS: u64 = 16;
/// `DT_EXTRANUM`, `DT_VALNUM`, `DT_ADDRNUM`.
const EXTRA_TAGS: u64 = 3;
const VALUE_TOP: u64 = 0x6fff_fdff;
const VALUE_TAGS: u64 = 12;
const ADDRESS_TOP: u64 = 0x6fff_feff;
const ADDRESS_TAGS: u64 = 11;

/// Where each tag has its place in `l_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoLayout {
    /// Number of places.
    length: u64,
}

impl InfoLayout {
    /// The layout of an array of `length` places, all regions being known but DT_NUM (`elf/get-dynamic-info.h`).
    pub fn new(length: u64) -> Option<Self> {
        let regions = VERSION_TAGS + EXTRA_TAGS + VALUE_TAGS + ADDRESS_TAGS;
        (length > regions + abi::DT_RUNPATH).then_some(Self { length })
    }

    /// The place of `tag`, if the loader keeps it.
    pub fn index(self, tag: u64) -> Option<u64> {
        let plain = self.length - VERSION_TAGS - EXTRA_TAGS - VALUE_TAGS - ADDRESS_TAGS;
        let region =
            |top: u64, count: u64, start: u64| top.checked_sub(tag).filter(|down| *down < count).map(|down| start + down);
        if tag < plain && tag != 0 {
            return Some(tag);
        }
        region(VERSION_TOP, VERSION_TAGS, plain)
            .or_else(|| region(VALUE_TOP, VALUE_TAGS, plain + VERSION_TAGS + EXTRA_TAGS))
            .or_else(|| region(ADDRESS_TOP, ADDRESS_TAGS, plain + VERSION_TAGS + EXTRA_TAGS + VALUE_TAGS))
    }

    /// The array for `elf` at `bias`, as `elf_get_dynamic_info` fills it; `None` without `.dynamic`.
    pub fn fill(self, elf: &Elf, bias: u64) -> Option<Vec<u64>> {
        let start = bias.wrapping_add(elf.dynamic_address?.0);
        let mut words = vec![0; usize::try_from(self.length).ok()?];
        let mut last = HashMap::new();
        for (position, (tag, value)) in (0u64..).zip(&elf.dynamic) {
            let entry = start.wrapping_add(position * 16);
            last.insert(*tag, (entry, *value));
            if let Some(place) = self.index(*tag).and_then(|index| words.get_mut(index as usize)) {
                *place = entry;
            }
        }
        self.implied(&last, &mut words);
        Some(words)
    }

    /// Entries that the loader makes up from flags, and the one that it drops.
    fn implied(self, last: &HashMap<u64, (u64, u64)>, words: &mut [u64]) {
        let mut put = |tag: u64, entry: u64| {
            if let Some(place) = self.index(tag).and_then(|index| words.get_mut(index as usize)) {
                *place = entry;
            }
        };
        if let Some((entry, flags)) = last.get(&abi::DT_FLAGS) {
            for (flag, tag) in
                [(abi::DF_SYMBOLIC, abi::DT_SYMBOLIC), (abi::DF_TEXTREL, abi::DT_TEXTREL), (abi::DF_BIND_NOW, abi::DT_BIND_NOW)]
            {
                if flags & flag != 0 {
                    put(tag, *entry);
                }
            }
        }
        if let Some((entry, flags)) = last.get(&abi::DT_FLAGS_1)
            && flags & abi::DF_1_NOW != 0
        {
            put(abi::DT_BIND_NOW, *entry);
        }
        if last.contains_key(&abi::DT_RUNPATH) {
            put(abi::DT_RPATH, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_glibc_2_36() {
        let layout = InfoLayout::new(80).unwrap();
        assert_eq!(layout.index(abi::DT_BIND_NOW), Some(24));
        assert_eq!(layout.index(37), Some(37));
        assert_eq!(layout.index(38), None);
        assert_eq!(layout.index(abi::DT_VERSYM), Some(38 + 15));
        assert_eq!(layout.index(abi::DT_GNU_HASH), Some(79));
        assert_eq!(layout.index(0x6fff_feff), Some(38 + 16 + 3 + 12));
        assert_eq!(layout.index(0x7fff_ffff), None);
    }
}
