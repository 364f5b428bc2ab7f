//! String literals of the new build: where a whole NUL-terminated string stands in its read-only data.

use std::collections::HashMap;

use super::objects::{Objects, Place};
use crate::plan::abi;
use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Section};

/// Longest string that is looked for.
const LONGEST: usize = 1 << 16;

/// Whole strings by content.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    by_content: HashMap<Box<[u8]>, LinkAddress>,
}

impl Strings {
    /// The strings of `elf` that belong to no variable.
    pub fn read(elf: &Elf, objects: &Objects) -> Self {
        let mut strings = Self::default();
        for section in elf.sections.iter().filter(|section| may_hold_literals(section)) {
            let Some(bytes) = elf.file_bytes(section.address, section.size) else { continue };
            let mut start = 0;
            for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == 0) {
                let address = section.address.offset(start as u64);
                let named = objects.covering(address).is_some_and(|index| objects.list()[index].place != Place::ThreadLocal);
                if !named && at - start < LONGEST {
                    strings.by_content.entry(bytes[start..at].into()).or_insert(address);
                }
                start = at + 1;
            }
        }
        strings
    }

    /// Where the string `content` (without its NUL) stands.
    pub fn find(&self, content: &[u8]) -> Option<LinkAddress> {
        self.by_content.get(content).copied()
    }
}

/// Whether the compiler puts string literals into `section`.
pub fn may_hold_literals(section: &Section) -> bool {
    let flags = section.flags & (abi::SHF_ALLOC | abi::SHF_WRITE | abi::SHF_EXECINSTR);
    flags == abi::SHF_ALLOC && section.name.starts_with(".rodata")
}

/// The whole string around `address` in `elf` as (start, content without NUL), as far as it lies in one section; `None` where no
/// NUL ends it.
pub fn whole_string(elf: &Elf, address: LinkAddress) -> Option<(LinkAddress, &[u8])> {
    let section = elf.section_at(address)?;
    let bytes = elf.file_bytes(section.address, section.size)?;
    let at = usize::try_from(address.0 - section.address.0).ok()?;
    let start = bytes[..at].iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
    let end = at + bytes[at..].iter().position(|byte| *byte == 0)?;
    (end - start < LONGEST).then(|| (section.address.offset(start as u64), &bytes[start..end]))
}

/// Whether `content` reads as text: what a string literal holds, and a jump table or a number hardly does.
pub fn is_text(content: &[u8]) -> bool {
    std::str::from_utf8(content)
        .is_ok_and(|text| text.chars().all(|c| !c.is_control() || "\t\n\r\x1b\x07\x08\x0b\x0c".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_tables() {
        assert!(is_text(b"hello, %s\r\n"));
        assert!(is_text("Grüße".as_bytes()));
        assert!(!is_text(b"\x34\xff\xff\xff"));
        assert!(!is_text(b"\x01"));
    }
}
