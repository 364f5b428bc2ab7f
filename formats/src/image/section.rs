//! The kinds of section: number, name, what a reader must know of each.

use std::fmt;

/// What a section holds. The numbers are part of the format and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum SectionKind {
    /// [`crate::model::manifest`].
    Manifest = 1,
    /// [`crate::model::tree`].
    Tree = 2,
    /// [`crate::model::memory`].
    Memory = 3,
    /// [`crate::model::modules`].
    Modules = 4,
    /// [`crate::model::threads`].
    Threads = 5,
    /// [`crate::model::signals`].
    Signals = 6,
    /// [`crate::model::timers`].
    Timers = 7,
    /// [`crate::model::descriptors`].
    Descriptors = 8,
    /// [`crate::model::credentials`].
    Credentials = 9,
    /// [`crate::model::limits`].
    Limits = 10,
    /// [`crate::model::generations`].
    Generations = 11,
    /// [`crate::model::pages`].
    PageTable = 12,
    /// One CRC32 for every [`super::PAGES_PER_CHUNK`] pages of the page store.
    PageChecksums = 13,
    /// Raw pages.
    PageStore = 14,
    /// Bytes of the planner's, for people; a reader may pass over it.
    PlanReport = 15,
    /// [`crate::model::work`]: only in a rewritten image that leaves work to the vessel.
    VesselWork = 16,
}

impl SectionKind {
    /// Every kind, by number.
    pub const ALL: [Self; 16] = [
        Self::Manifest,
        Self::Tree,
        Self::Memory,
        Self::Modules,
        Self::Threads,
        Self::Signals,
        Self::Timers,
        Self::Descriptors,
        Self::Credentials,
        Self::Limits,
        Self::Generations,
        Self::PageTable,
        Self::PageChecksums,
        Self::PageStore,
        Self::PlanReport,
        Self::VesselWork,
    ];

    /// The kind with this number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Number in the section table.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Name in the section table and in messages; at most 16 bytes of ASCII.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Tree => "tree",
            Self::Memory => "memory",
            Self::Modules => "modules",
            Self::Threads => "threads",
            Self::Signals => "signals",
            Self::Timers => "timers",
            Self::Descriptors => "descriptors",
            Self::Credentials => "credentials",
            Self::Limits => "limits",
            Self::Generations => "generations",
            Self::PageTable => "page-table",
            Self::PageChecksums => "page-checksums",
            Self::PageStore => "page-store",
            Self::PlanReport => "plan-report",
            Self::VesselWork => "vessel-work",
        }
    }

    /// Newest version of the contents that this crate reads, and the one that it writes.
    pub fn newest_version(self) -> u32 {
        1
    }

    /// Whether a reader that does not know it must refuse an image that has it.
    pub fn required(self) -> bool {
        self != Self::PlanReport
    }

    /// Whether every image has it.
    pub fn is_in_every_image(self) -> bool {
        !matches!(self, Self::PlanReport | Self::VesselWork)
    }

    /// Most bytes that a section of this kind may have: a bound on what a damaged image can make a reader allocate.
    pub(super) fn max_len(self) -> u64 {
        const MIB: u64 = 1 << 20;
        match self {
            Self::Manifest => MIB,
            Self::PageStore => 1 << 47,
            // Bytes of pipes, sockets and memory files are in it.
            Self::Descriptors => 4096 * MIB,
            // The bytes of all objects that outgrew their blocks are in it.
            Self::VesselWork => 16 * 1024 * MIB,
            Self::PageTable | Self::PageChecksums => 1024 * MIB,
            // An extended state is 11 KiB with AMX, and a process may have 32,768 threads.
            Self::Threads => 512 * MIB,
            _ => 64 * MIB,
        }
    }
}

/// How a section is called in its table: also one that this crate does not know.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SectionId {
    /// Number of the kind.
    pub number: u32,
    /// Name in ASCII, padded with zeros.
    pub name: [u8; 16],
}

impl From<SectionKind> for SectionId {
    fn from(kind: SectionKind) -> Self {
        let mut name = [0; 16];
        for (to, from) in name.iter_mut().zip(kind.name().bytes()) {
            *to = from;
        }
        Self { number: kind.number(), name }
    }
}

impl fmt::Display for SectionId {
    /// The name; with the number where the name is not that of a known kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.split(|byte| *byte == 0).next().unwrap_or_default().escape_ascii();
        match SectionKind::from_number(self.number) {
            Some(kind) if Self::from(kind) == *self => f.write_str(kind.name()),
            _ => write!(f, "`{name}` (number {})", self.number),
        }
    }
}

impl fmt::Debug for SectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_fit() {
        let numbers: BTreeSet<_> = SectionKind::ALL.iter().map(|kind| kind.number()).collect();
        let names: BTreeSet<_> = SectionKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!((numbers.len(), names.len()), (16, 16));
        assert!(names.iter().all(|name| name.len() <= 16 && name.is_ascii()));
        for kind in SectionKind::ALL {
            assert_eq!(SectionKind::from_number(kind.number()), Some(kind));
            assert_eq!(SectionId::from(kind).to_string(), kind.name());
        }
    }

    #[test]
    fn a_foreign_name_is_printed_harmlessly() {
        let id = SectionId { number: 99, name: *b"new\x1b[2J\0\0\0\0\0\0\0\0\0" };
        assert_eq!(id.to_string(), "`new\\x1b[2J` (number 99)");
    }
}
