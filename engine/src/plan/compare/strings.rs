//! String literals of the new build: where a whole NUL-terminated string stands in its read-only data.

use super::objects::{Objects, Place};
use crate::plan::abi;
use crate::program::address::LinkAddress;
use crate::program::elf::{Elf, Section};

/// Longest string that is looked for.
const LONGEST: usize = 1 << 16;

/// Whole strings, read backwards and sorted, so that a string is found where it ends another: linkers merge such literals.
#[derive(Clone, Debug, Default)]
pub struct Strings {
    backwards: Vec<(Box<[u8]>, LinkAddress)>,
}

impl Strings {
    /// The strings of `elf` that belong to no variable.
    pub fn read(elf: &Elf, objects: &Objects) -> Self {
        let mut backwards = Vec::new();
        for section in elf.sections.iter().filter(|section| may_hold_literals(section)) {
            let Some(bytes) = elf.file_bytes(section.address, section.size) else { continue };
            let mut start = 0;
            for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == 0) {
                let address = section.address.offset(start as u64);
                let named = objects.covering(address).is_some_and(|index| objects.list()[index].place != Place::ThreadLocal);
                if !named && at - start < LONGEST {
                    backwards.push((bytes[start..at].iter().rev().copied().collect(), address));
                }
                start = at + 1;
            }
        }
        backwards.sort_unstable();
        Self { backwards }
    }

    /// Where the string `content` (without its NUL) stands, whole if it does anywhere, else as the end of a longer one.
    pub fn find(&self, content: &[u8]) -> Option<LinkAddress> {
        let sought: Vec<u8> = content.iter().rev().copied().collect();
        let index = self.backwards.partition_point(|entry| *entry.0 < *sought);
        let (found, address) = self.backwards.get(index).filter(|entry| entry.0.starts_with(&sought))?;
        Some(address.offset((found.len() - sought.len()) as u64))
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

/// The bytes from `address` to the next NUL.
pub fn string_at(elf: &Elf, address: LinkAddress) -> Option<&[u8]> {
    let (start, content) = whole_string(elf, address)?;
    content.get((address.0 - start.0) as usize..)
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
    fn a_string_is_found_whole_before_it_is_found_as_an_end() {
        let entry = |text: &str, address| (text.bytes().rev().collect(), LinkAddress(address));
        let mut backwards = vec![entry("barfoo", 0x10), entry("foo", 0x20), entry("unbar", 0x30)];
        backwards.sort_unstable();
        let strings = Strings { backwards };
        assert_eq!(strings.find(b"foo"), Some(LinkAddress(0x20)));
        assert_eq!(strings.find(b"bar"), Some(LinkAddress(0x32)));
        assert_eq!(strings.find(b"rfoo"), Some(LinkAddress(0x12)));
        assert_eq!(strings.find(b"baz"), None);
    }

    #[test]
    fn text_is_told_from_tables() {
        assert!(is_text(b"hello, %s\r\n"));
        assert!(is_text("Grüße".as_bytes()));
        assert!(!is_text(b"\x34\xff\xff\xff"));
        assert!(!is_text(b"\x01"));
    }
}
