//! Which addresses of a program may hold code and data: the linker leaves entries of dropped functions at tombstones (0, 1, -1, -2).

use object::elf;

use crate::program::address::LinkAddress;
use crate::program::elf::Elf;

/// Address ranges of one program.
#[derive(Debug, Default)]
pub(super) struct Image {
    code: Vec<(u64, u64)>,
    data: Vec<(u64, u64)>,
    tls_start: u64,
    tls_size: u64,
}

impl Image {
    pub(super) fn of(elf: &Elf) -> Self {
        let (tls_start, tls_size) = elf.tls().map_or((0, 0), |segment| (segment.address.0, segment.memory_size));
        let mut image = Self { tls_start, tls_size, ..Self::default() };
        for section in &elf.sections {
            let is_zero_tls = section.flags & elf::SHF_TLS.0 != 0 && section.kind == elf::SHT_NOBITS.0;
            if section.flags & elf::SHF_ALLOC.0 == 0 || is_zero_tls {
                continue;
            }
            let range = (section.address.0, section.address.0.saturating_add(section.size));
            if section.flags & elf::SHF_EXECINSTR.0 != 0 {
                image.code.push(range);
            }
            image.data.push(range);
        }
        if elf.sections.is_empty() {
            image.add_segments(elf);
        }
        image
    }

    /// Without section headers: whole segments, but never the ELF header's own bytes.
    fn add_segments(&mut self, elf: &Elf) {
        for segment in elf.loads() {
            let start = segment.address.0.max(64);
            let range = (start, segment.address.0.saturating_add(segment.memory_size));
            if segment.flags & elf::PF_X.0 != 0 {
                self.code.push(range);
            }
            self.data.push(range);
        }
    }

    pub(super) fn is_code(&self, address: LinkAddress) -> bool {
        self.code.iter().any(|&(start, end)| (start..end).contains(&address.0))
    }

    pub(super) fn is_data(&self, address: LinkAddress) -> bool {
        self.data.iter().any(|&(start, end)| (start..end).contains(&address.0))
    }

    /// The offset in the TLS block that a thread-local variable's location means. GCC's `.debug_addr` (split debug information) holds the
    /// address in the block's template, where the standard has the offset; both are never in one range.
    pub(super) fn thread_local(&self, place: u64) -> Option<u64> {
        let in_template = place.checked_sub(self.tls_start).filter(|offset| *offset < self.tls_size);
        let in_block = Some(place).filter(|offset| *offset < self.tls_size);
        match (in_block, in_template) {
            (Some(offset), None) | (None, Some(offset)) => Some(offset),
            (Some(offset), Some(same)) if offset == same => Some(offset),
            _ => None,
        }
    }
}
