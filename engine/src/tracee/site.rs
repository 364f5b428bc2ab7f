//! The range that an emptied process keeps for itself: stub, trampoline, the gate of the commit, room for arguments and frames.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

/// `mov %rax,%rdi` (where a called function returns to), then `park: mov $34,%eax; syscall; jmp park` (`pause`).
pub(super) const PARK: [u8; 12] = [0x48, 0x89, 0xc7, 0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
/// Length of the stub's ELF and program headers, before its code.
pub(super) const HEADERS: u64 = 64 + 2 * 56;
pub(super) const LANDING: u64 = 0;
pub(super) const PARK_ENTRY: u64 = 3;
pub(super) const SYSCALL: u64 = 8;
/// Room for the arguments of calls.
pub(super) const ARGUMENTS: u64 = 64 * 1024;
/// Room for the last frames of one thread, tiles included.
pub(super) const FINAL_ROOM: u64 = 16 * 1024;
/// Room for the stub's own mapping at the start of the site; the trampoline follows.
pub(super) const STUB_ROOM: u64 = 64 * 1024;

/// Bytes that stub, trampoline and scratch of a process with `threads` threads take; no mapping of the image may lie there.
pub fn site_length(threads: usize) -> u64 {
    STUB_ROOM + PAGE_SIZE + ARGUMENTS + (threads as u64 + 1) * FINAL_ROOM
}

/// The stub as an ELF file, linked at `site`.
pub fn stub(site: RunAddress) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEADERS as usize + PARK.len());
    let mut put = |bytes: &[u8]| file.extend_from_slice(bytes);
    put(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put(&2u16.to_le_bytes()); // ET_EXEC
    put(&62u16.to_le_bytes()); // EM_X86_64
    put(&1u32.to_le_bytes());
    put(&(site.0 + HEADERS + PARK_ENTRY).to_le_bytes());
    put(&64u64.to_le_bytes()); // e_phoff
    put(&[0; 12]); // e_shoff, e_flags
    for half in [64u16, 56, 2, 0, 0, 0] {
        put(&half.to_le_bytes());
    }
    let length = HEADERS + PARK.len() as u64;
    let load = (1u32, 5u32, [0, site.0, site.0, length, length, PAGE_SIZE]);
    let stack = (0x6474_e551u32, 6u32, [0, 0, 0, 0, 0, 16]);
    for (kind, flags, words) in [load, stack] {
        put(&kind.to_le_bytes());
        put(&flags.to_le_bytes());
        for word in words {
            put(&word.to_le_bytes());
        }
    }
    put(&PARK);
    file
}

/// Where everything lies in a site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The parking code within the stub's mapping.
    pub(super) stub_code: RunAddress,
    /// Its copy, the trampoline.
    pub(super) code: RunAddress,
    /// The word that threads wait for before the commit.
    pub(super) gate: RunAddress,
    /// Room for arguments, then for final frames.
    pub(super) scratch: RunRange,
}

impl Layout {
    pub(super) fn at(site: RunRange) -> Self {
        let code = RunAddress(site.start.0 + STUB_ROOM);
        let scratch = RunRange { start: RunAddress(code.0 + PAGE_SIZE), end: site.end };
        Self { stub_code: RunAddress(site.start.0 + HEADERS), code, gate: scratch.start, scratch }
    }
}
