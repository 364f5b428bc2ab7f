//! What system calls read: their number, and as many registers as the call has arguments.

use iced_x86::{InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use crate::program::flow::graph::Node;

/// The kernel's arguments (System V ABI §A.2.1): rdi, rsi, rdx, r10, r8, r9.
const ARGUMENTS: [u16; 6] = [1 << 7, 1 << 6, 1 << 2, 1 << 10, 1 << 8, 1 << 9];
/// The number's register.
const RAX: u16 = 1;
/// Instructions before the call among which its number is looked for.
const FARTHEST: usize = 24;

/// Calls that have fewer than six arguments, with how many (`include/linux/syscalls.h`); of others nothing is said.
const COUNTS: [(i64, usize); 39] = [
    (libc::SYS_read, 3),
    (libc::SYS_write, 3),
    (libc::SYS_readv, 3),
    (libc::SYS_writev, 3),
    (libc::SYS_close, 1),
    (libc::SYS_poll, 3),
    (libc::SYS_ppoll, 5),
    (libc::SYS_select, 5),
    (libc::SYS_lseek, 3),
    (libc::SYS_pread64, 4),
    (libc::SYS_pwrite64, 4),
    (libc::SYS_ioctl, 3),
    (libc::SYS_sched_yield, 0),
    (libc::SYS_pause, 0),
    (libc::SYS_nanosleep, 2),
    (libc::SYS_clock_nanosleep, 4),
    (libc::SYS_clock_gettime, 2),
    (libc::SYS_gettimeofday, 2),
    (libc::SYS_getpid, 0),
    (libc::SYS_gettid, 0),
    (libc::SYS_accept, 3),
    (libc::SYS_accept4, 4),
    (libc::SYS_connect, 3),
    (libc::SYS_sendmsg, 3),
    (libc::SYS_recvmsg, 3),
    (libc::SYS_sendmmsg, 4),
    (libc::SYS_recvmmsg, 5),
    (libc::SYS_wait4, 4),
    (libc::SYS_waitid, 5),
    (libc::SYS_kill, 2),
    (libc::SYS_tgkill, 3),
    (libc::SYS_epoll_wait, 4),
    (libc::SYS_epoll_ctl, 4),
    (libc::SYS_epoll_pwait, 6),
    (libc::SYS_rt_sigtimedwait, 4),
    (libc::SYS_rt_sigsuspend, 2),
    (libc::SYS_rt_sigprocmask, 4),
    (libc::SYS_fsync, 1),
    (libc::SYS_madvise, 3),
];

/// The registers that a system call reads.
pub(super) fn arguments(number: Option<u64>) -> u16 {
    let number = number.and_then(|number| i64::try_from(number).ok());
    let count = COUNTS.iter().find(|(known, _)| Some(*known) == number).map_or(ARGUMENTS.len(), |(_, count)| *count);
    ARGUMENTS.iter().take(count).fold(RAX, |registers, register| registers | register)
}

/// The number of the system call at a node, where straight code ahead of it gives it.
pub(in super::super) fn number(nodes: &[Node], at: u32, info: &mut InstructionInfoFactory) -> Option<u64> {
    let mut here = nodes.get(at as usize).filter(|node| node.instruction.mnemonic() == Mnemonic::Syscall)?;
    for _ in 0..FARTHEST {
        let [before] = here.before.as_slice() else { return None };
        here = nodes.get(*before as usize).filter(|node| node.call.is_none())?;
        let instruction = &here.instruction;
        let is_rax = |register: Register| register.full_register() == Register::RAX;
        let is_own =
            instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Register && is_rax(instruction.op0_register());
        match instruction.mnemonic() {
            Mnemonic::Syscall => return None,
            Mnemonic::Mov if is_own && instruction.op0_register().size() >= 4 => return instruction.try_immediate(1).ok(),
            Mnemonic::Xor if is_own && instruction.op1_kind() == OpKind::Register && is_rax(instruction.op1_register()) => {
                return Some(0);
            }
            _ => {}
        }
        let writes = |access| !matches!(access, OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess);
        if info.info(instruction).used_registers().iter().any(|used| is_rax(used.register()) && writes(used.access())) {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_as_many_registers_are_read_as_the_call_has_arguments() {
        assert_eq!(arguments(Some(libc::SYS_read as u64)), RAX | 1 << 7 | 1 << 6 | 1 << 2);
        assert_eq!(arguments(Some(libc::SYS_futex as u64)), arguments(None));
        assert_eq!(arguments(None).count_ones(), 7);
    }
}
