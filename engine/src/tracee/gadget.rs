//! Instruction sequences of the target's own code that injected calls run through. Nothing is ever written into its code.
//!
//! `syscall; ret` makes a call and returns to the address on top of the stack; `mov $15,%eax; syscall` there is
//! `rt_sigreturn`, which puts back the registers of the signal frame above it. Chained, they make an injected call heal
//! itself. Both are in every glibc (`__restore_rt`, the tail of many wrappers) and are looked for in all executable memory.

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Registers;

use super::error::TraceeError;
use super::memory::RemoteMemory;
use super::procfs::{self, MapLine};

/// Where the two sequences are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gadgets {
    /// `syscall; ret`.
    pub(super) syscall_ret: RunAddress,
    /// `mov $15,%eax; syscall` or `mov $15,%rax; syscall`.
    pub(super) sigreturn: RunAddress,
}

const SYSCALL_RET: &[u8] = &[0x0f, 0x05, 0xc3];
const SIGRETURN_EAX: &[u8] = &[0xb8, 15, 0, 0, 0, 0x0f, 0x05];
const SIGRETURN_RAX: &[u8] = &[0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05];

/// Code is read in pieces that overlap by more than the longest sequence.
const PIECE: usize = 256 * 1024;
const OVERLAP: usize = 16;

impl Gadgets {
    /// Finds both sequences in the executable mappings of the process, the C library's first.
    pub(super) fn find(memory: &RemoteMemory) -> Result<Self, TraceeError> {
        Self::find_again(memory, None)
    }

    /// The same for a process that had them at `known` before its memory was filled anew.
    pub(super) fn find_again(memory: &RemoteMemory, known: Option<Self>) -> Result<Self, TraceeError> {
        let pid = memory.pid();
        let mut code: Vec<MapLine> = procfs::maps(pid)?.into_iter().filter(is_code).collect();
        if let Some(known) = known.filter(|known| known.are_in(memory, &code)) {
            return Ok(known);
        }
        code.sort_by_key(|line| !line.name.contains("libc"));
        let mut search = Search::default();
        for line in &code {
            search.scan(memory, line);
            if let (Some(syscall_ret), Some(sigreturn)) = (search.syscall_ret, search.sigreturn) {
                return Ok(Self { syscall_ret, sigreturn });
            }
        }
        let sequence = if search.syscall_ret.is_none() { "syscall; ret" } else { "mov $15,%eax; syscall" };
        Err(TraceeError::NoGadget { pid, sequence })
    }

    /// Whether both sequences stand in executable memory.
    fn are_in(self, memory: &RemoteMemory, code: &[MapLine]) -> bool {
        let stands = |at: RunAddress, sequence: &[u8]| {
            let mut found = vec![0; sequence.len()];
            let inside = |line: &MapLine| line.start <= at.0 && at.0 + sequence.len() as u64 <= line.end;
            code.iter().any(inside) && memory.read(at, &mut found).is_ok() && found == sequence
        };
        stands(self.syscall_ret, SYSCALL_RET) && (stands(self.sigreturn, SIGRETURN_RAX) || stands(self.sigreturn, SIGRETURN_EAX))
    }
}

/// Whether a thread with these registers may be running a chain: it stands at a `syscall; ret` that returns into a sigreturn, or
/// in a sigreturn. A thread that comes back from a signal handler looks the same for a moment.
pub(super) fn is_in_chain(memory: &RemoteMemory, registers: &Registers) -> bool {
    let is_at = |address: u64, sequence: &[u8]| {
        let mut code = [0; 16];
        let code = &mut code[..sequence.len()];
        memory.read_fast(RunAddress(address), code).is_ok() && code == sequence
    };
    let is_sigreturn = |address: u64| is_at(address, SIGRETURN_RAX) || is_at(address, SIGRETURN_EAX);
    let rip = registers.rip;
    // Before the call, and after it.
    let calls = is_at(rip, SYSCALL_RET) || is_at(rip.wrapping_sub(2), SYSCALL_RET);
    let returns = || memory.read_u64(RunAddress(registers.rsp)).is_ok_and(is_sigreturn);
    let lengths = [0, SIGRETURN_EAX.len() - 2, SIGRETURN_RAX.len() - 2].map(|length| rip.wrapping_sub(length as u64));
    (calls && returns()) || lengths.into_iter().any(is_sigreturn)
}

fn is_code(line: &MapLine) -> bool {
    line.access.starts_with("r-x") && line.inode != 0
}

#[derive(Default)]
struct Search {
    syscall_ret: Option<RunAddress>,
    sigreturn: Option<RunAddress>,
}

impl Search {
    fn scan(&mut self, memory: &RemoteMemory, line: &MapLine) {
        let mut start = line.start;
        while start < line.end && (self.syscall_ret.is_none() || self.sigreturn.is_none()) {
            let mut piece = vec![0; PIECE.min((line.end - start) as usize)];
            // A page past the end of its file cannot be read; another mapping will do.
            if memory.read(RunAddress(start), &mut piece).is_err() {
                return;
            }
            self.look_in(&piece, start);
            start += (PIECE - OVERLAP) as u64;
        }
    }

    fn look_in(&mut self, piece: &[u8], start: u64) {
        let at = |pattern: &[u8]| {
            piece.windows(pattern.len()).position(|window| window == pattern).map(|i| RunAddress(start + i as u64))
        };
        self.syscall_ret = self.syscall_ret.or_else(|| at(SYSCALL_RET));
        self.sigreturn = self.sigreturn.or_else(|| at(SIGRETURN_RAX)).or_else(|| at(SIGRETURN_EAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_of_this_process_has_both_sequences() {
        let memory = RemoteMemory::open(std::process::id() as i32).unwrap();
        let found = Gadgets::find(&memory).unwrap();
        let mut code = [0; 3];
        memory.read(found.syscall_ret, &mut code).unwrap();
        assert_eq!(code, SYSCALL_RET);
        assert_eq!(Gadgets::find_again(&memory, Some(found)).unwrap(), found);
        let elsewhere = Gadgets { syscall_ret: RunAddress(found.syscall_ret.0 + 1), ..found };
        assert_eq!(Gadgets::find_again(&memory, Some(elsewhere)).unwrap(), found, "what is not there is looked for");
    }

    #[test]
    fn a_thread_in_a_chain_is_told_from_one_in_a_call_of_its_own() {
        let memory = RemoteMemory::open(std::process::id() as i32).unwrap();
        let gadgets = Gadgets::find(&memory).unwrap();
        let (chained, own) = ([gadgets.sigreturn.0], [gadgets.syscall_ret.0 + 2]);
        let registers = |rip: u64, stack: &[u64; 1]| Registers { rip, rsp: stack.as_ptr() as u64, ..Registers::default() };
        let call = gadgets.syscall_ret.0;
        for rip in [call, call + 2] {
            assert!(is_in_chain(&memory, &registers(rip, &chained)));
            assert!(!is_in_chain(&memory, &registers(rip, &own)));
        }
        assert!(is_in_chain(&memory, &registers(gadgets.sigreturn.0, &own)));
        assert!(!is_in_chain(&memory, &registers(8, &chained)));
    }
}
