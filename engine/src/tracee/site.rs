//! The range that an emptied process keeps for itself: stub, trampoline, tables of calls, the gate of the commit, room for
//! arguments and frames.

use dsu_formats::address::{PAGE_SIZE, RunAddress, RunRange};

/// `mov %rax,%rdi` (where a called function returns to), then `park: mov $34,%eax; syscall; jmp park` (`pause`).
pub(super) const PARK: [u8; 12] = [0x48, 0x89, 0xc7, 0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7];
/// The trampoline: the parking loop, and the code that works off a table of calls.
///
/// A table lies where the stack pointer points to, which nothing else uses: a task born of a call has a table of its own by
/// `clone`'s stack argument. `%r13` points to the number of threads that have not ended, `%ebx` is the channel.
pub(super) const CODE: [u8; 108] = [
    0x48, 0x89, 0xc7, 0xb8, 34, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7, // PARK
    0x48, 0x8b, 0x04, 0x24, // run: mov (%rsp),%rax       the number
    0x48, 0x85, 0xc0, //            test %rax,%rax
    0x78, 0x31, //                  js end
    0x48, 0x8b, 0x7c, 0x24, 8, //   mov 8(%rsp),%rdi      the arguments
    0x48, 0x8b, 0x74, 0x24, 16, //  mov 16(%rsp),%rsi
    0x48, 0x8b, 0x54, 0x24, 24, //  mov 24(%rsp),%rdx
    0x4c, 0x8b, 0x54, 0x24, 32, //  mov 32(%rsp),%r10
    0x4c, 0x8b, 0x44, 0x24, 40, //  mov 40(%rsp),%r8
    0x4c, 0x8b, 0x4c, 0x24, 48, //  mov 48(%rsp),%r9
    0x0f, 0x05, //                  syscall
    0x48, 0x89, 0x44, 0x24, 56, //  mov %rax,56(%rsp)     the result
    0x48, 0x83, 0xc4, 64, //        add $64,%rsp
    0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, // cmp $-4095,%rax
    0x72, 0xc6, //                  jb run                unless it is an error
    0xf0, 0x41, 0xff, 0x4d, 0, //   end: lock decl (%r13)
    0x75, 0xb6, //                  jne park              others are on their way
    0x89, 0xdf, //                  mov %ebx,%edi
    0x4c, 0x89, 0xee, //            mov %r13,%rsi
    0xba, 1, 0, 0, 0, //            mov $1,%edx
    0x41, 0xba, 0x40, 0x40, 0, 0, // mov $0x4040,%r10d    MSG_DONTWAIT | MSG_NOSIGNAL
    0x45, 0x31, 0xc0, //            xor %r8d,%r8d
    0x45, 0x31, 0xc9, //            xor %r9d,%r9d
    0xb8, 44, 0, 0, 0, //           mov $44,%eax          sendto
    0x0f, 0x05, //                  syscall
    0xeb, 0x97, //                  jmp park
];
/// Length of the stub's ELF and program headers, before its code.
pub(super) const HEADERS: u64 = 64 + 2 * 56;
pub(super) const LANDING: u64 = 0;
pub(super) const PARK_ENTRY: u64 = 3;
pub(super) const SYSCALL: u64 = 8;
pub(super) const RUN: u64 = PARK.len() as u64;
/// Bytes of one call in a table: its number, six arguments, its result.
pub(super) const ENTRY: u64 = 64;
/// Room for tables.
pub(super) const TABLES: u64 = 64 * 1024;
/// Room for the arguments of calls.
pub(super) const ARGUMENTS: u64 = 64 * 1024;
/// Room for the last frames of one thread, tiles included.
pub(super) const FINAL_ROOM: u64 = 16 * 1024;
/// Room for the stub's own mapping at the start of the site; the trampoline follows.
pub(super) const STUB_ROOM: u64 = 64 * 1024;

/// Bytes that stub, trampoline and scratch of a process with `threads` threads take; no mapping of the image may lie there.
pub fn site_length(threads: usize) -> u64 {
    STUB_ROOM + PAGE_SIZE + TABLES + ARGUMENTS + (threads as u64 + 1) * FINAL_ROOM
}

/// The stub as an ELF file, linked at `site`.
pub fn stub(site: RunAddress) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEADERS as usize + CODE.len());
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
    let length = HEADERS + CODE.len() as u64;
    let load = (1u32, 5u32, [0, site.0, site.0, length, length, PAGE_SIZE]);
    let stack = (0x6474_e551u32, 6u32, [0, 0, 0, 0, 0, 16]);
    for (kind, flags, words) in [load, stack] {
        put(&kind.to_le_bytes());
        put(&flags.to_le_bytes());
        for word in words {
            put(&word.to_le_bytes());
        }
    }
    put(&CODE);
    file
}

/// Where everything lies in a site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The code within the stub's mapping.
    pub(super) stub_code: RunAddress,
    /// Its copy, the trampoline.
    pub(super) code: RunAddress,
    /// Room for tables of calls.
    pub(super) tables: RunRange,
    /// The word that threads wait for before the commit.
    pub(super) gate: RunAddress,
    /// Room for arguments, then for final frames.
    pub(super) scratch: RunRange,
}

impl Layout {
    pub(super) fn at(site: RunRange) -> Self {
        let code = RunAddress(site.start.0 + STUB_ROOM);
        let tables = RunRange { start: RunAddress(code.0 + PAGE_SIZE), end: RunAddress(code.0 + PAGE_SIZE + TABLES) };
        let scratch = RunRange { start: tables.end, end: site.end };
        Self { stub_code: RunAddress(site.start.0 + HEADERS), code, tables, gate: scratch.start, scratch }
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions, Mnemonic};

    use super::*;

    #[test]
    fn every_jump_of_the_trampoline_leads_to_the_parking_loop_a_table_or_its_end() {
        let code: Vec<_> = Decoder::with_ip(64, &CODE, 0, DecoderOptions::NONE).into_iter().collect();
        assert!(code.iter().all(|instruction| !instruction.is_invalid()));
        let end = code.iter().find(|instruction| instruction.has_lock_prefix()).unwrap().ip();
        let jumps: Vec<u64> = code
            .iter()
            .filter(|instruction| instruction.is_jcc_short() || instruction.is_jmp_short())
            .map(iced_x86::Instruction::near_branch_target)
            .collect();
        assert_eq!(jumps, [PARK_ENTRY, end, RUN, PARK_ENTRY, PARK_ENTRY]);
        // The last instruction is a jump: nothing runs on behind the code.
        assert!(code.last().unwrap().is_jmp_short());
        let calls: Vec<u64> = code.iter().filter(|i| i.mnemonic() == Mnemonic::Syscall).map(iced_x86::Instruction::ip).collect();
        assert_eq!((calls.len(), calls[0]), (3, SYSCALL));
        assert_eq!(CODE[..PARK.len()], PARK);
    }
}
