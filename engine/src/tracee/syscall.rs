//! What becomes of a system call that a thread was stopped in.
//!
//! The kernel says how it wants a call to be restarted by the value it left in `rax` (`include/linux/errno.h`). Resuming the
//! same task lets the kernel do so itself; a task made anew must be told.

use dsu_formats::model::latest::{InSyscall, Registers};

use super::memory::RemoteMemory;
use dsu_formats::address::RunAddress;

const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
const ERESTARTNOHAND: i64 = -514;
const ERESTART_RESTARTBLOCK: i64 = -516;
/// Also what calls return that never restart.
pub(super) const EINTR: i64 = -4;
const RESTART_SYSCALL: u64 = 219;

/// Calls that end with EINTR after a stop although no handler ran (signal(7), "interruption by stop signals").
const INTERRUPTED_BY_STOP: [i64; 9] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_io_getevents,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
];

/// The call that a thread was stopped in, judged by its registers.
///
/// A call that was already being restarted shows `restart_syscall`; its true number stands in the `mov $N,%eax` before the
/// `syscall` instruction, and where it does not, the number stays 219 and [`can_restart`] says no.
pub fn in_progress(registers: &Registers, memory: &RemoteMemory) -> Option<InSyscall> {
    let number = registers.orig_rax;
    if (number as i64) < 0 {
        return None;
    }
    let result = registers.rax as i64;
    let restart = match result {
        ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => true,
        EINTR => INTERRUPTED_BY_STOP.contains(&(number as i64)),
        _ => false,
    };
    let number = if number == RESTART_SYSCALL { number_before(registers.rip, memory).unwrap_or(number) } else { number };
    Some(InSyscall { number, result, restart })
}

/// Whether a call that must be made again can be.
pub fn can_restart(call: &InSyscall) -> bool {
    !call.restart || call.number != RESTART_SYSCALL
}

fn number_before(rip: u64, memory: &RemoteMemory) -> Option<u64> {
    let mut code = [0u8; 7];
    memory.read(RunAddress(rip.checked_sub(7)?), &mut code).ok()?;
    match code {
        [0xb8, a, b, c, d, 0x0f, 0x05] => Some(u64::from(u32::from_le_bytes([a, b, c, d]))),
        _ => None,
    }
}

/// Registers that make a relative sleep again for what is left of it. The kernel has written the remaining time where the call
/// asked for it (`kernel/time/hrtimer.c`, `do_nanosleep`); a call that did not ask starts over.
fn for_the_rest(mut registers: Registers, call: &InSyscall) -> Registers {
    if call.result != ERESTART_RESTARTBLOCK {
        return registers;
    }
    match call.number as i64 {
        libc::SYS_nanosleep if registers.rsi != 0 => registers.rdi = registers.rsi,
        libc::SYS_clock_nanosleep if registers.r10 != 0 => registers.rdx = registers.r10,
        _ => {}
    }
    registers
}

/// Registers for a task that the kernel knows nothing of: the call in progress is made again by the code itself.
pub fn self_restarting(registers: &Registers, call: Option<&InSyscall>) -> Registers {
    let mut registers = *registers;
    if let Some(call) = call.filter(|call| call.restart) {
        registers = for_the_rest(registers, call);
        registers.rip -= 2;
        registers.rax = call.number;
    }
    registers.orig_rax = u64::MAX;
    registers
}

/// Registers for a new task that will be let go from an event stop: the kernel itself restarts the call, or makes it return
/// EINTR when a handler runs first, as it would have for the old task.
pub fn kernel_restarting(registers: &Registers, call: Option<&InSyscall>) -> Registers {
    let mut registers = *registers;
    match call.filter(|call| call.restart) {
        Some(call) => {
            registers = for_the_rest(registers, call);
            registers.orig_rax = call.number;
            // The block behind ERESTART_RESTARTBLOCK died with the old task, and the calls that said EINTR never restart:
            // ERESTARTNOHAND makes the call again from its registers, and says EINTR only if a handler runs.
            if matches!(call.result, ERESTART_RESTARTBLOCK | EINTR) {
                registers.rax = ERESTARTNOHAND as u64;
            }
        }
        None => registers.orig_rax = u64::MAX,
    }
    registers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped_in(number: i64, result: i64) -> (Registers, Option<InSyscall>) {
        let registers = Registers { orig_rax: number as u64, rax: result as u64, rip: 0x1002, ..Registers::default() };
        let memory = RemoteMemory::open(std::process::id() as i32).unwrap();
        (registers, in_progress(&registers, &memory))
    }

    #[test]
    fn a_thread_outside_a_call_keeps_its_registers() {
        let (registers, call) = stopped_in(-1, 5);
        assert_eq!(call, None);
        assert_eq!(self_restarting(&registers, None).rip, registers.rip);
        assert_eq!(kernel_restarting(&registers, None).rax, 5);
    }

    #[test]
    fn an_interrupted_epoll_wait_is_made_again() {
        let (registers, call) = stopped_in(libc::SYS_epoll_wait, EINTR);
        let again = self_restarting(&registers, call.as_ref());
        assert_eq!((again.rip, again.rax, again.orig_rax), (0x1000, libc::SYS_epoll_wait as u64, u64::MAX));
        let by_kernel = kernel_restarting(&registers, call.as_ref());
        assert_eq!((by_kernel.rax as i64, by_kernel.orig_rax), (ERESTARTNOHAND, libc::SYS_epoll_wait as u64));
    }

    #[test]
    fn a_read_that_returned_is_not_made_again() {
        let (registers, call) = stopped_in(libc::SYS_read, 17);
        assert_eq!(self_restarting(&registers, call.as_ref()).rax, 17);
        assert_eq!(kernel_restarting(&registers, call.as_ref()).rax, 17);
    }

    #[test]
    fn a_relative_sleep_is_made_again_for_the_time_that_remains() {
        let (mut registers, call) = stopped_in(libc::SYS_clock_nanosleep, ERESTART_RESTARTBLOCK);
        (registers.rdx, registers.r10) = (0x5000, 0x6000);
        assert_eq!(self_restarting(&registers, call.as_ref()).rdx, 0x6000);
        assert_eq!(kernel_restarting(&registers, call.as_ref()).rdx, 0x6000);
        registers.r10 = 0;
        assert_eq!(kernel_restarting(&registers, call.as_ref()).rdx, 0x5000);
    }

    #[test]
    fn a_restarted_call_whose_number_is_lost_cannot_be_made_again() {
        let (_, call) = stopped_in(RESTART_SYSCALL as i64, ERESTART_RESTARTBLOCK);
        assert!(!can_restart(&call.unwrap()));
    }
}
