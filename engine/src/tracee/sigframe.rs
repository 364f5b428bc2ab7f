//! Signal frames (`struct rt_sigframe`, `arch/x86/include/asm/sigframe.h`) as the way back of an injected call.
//!
//! A frame at address F holds the address of the `sigreturn` sequence in its first word. A thread that executes `ret` with
//! `rsp = F` runs rt_sigreturn with this frame and takes its registers and mask. A frame whose registers stand before
//! `syscall; ret` with `rsp` at a further frame makes one more call on the way: frames chain.

use std::sync::OnceLock;

use dsu_formats::address::RunAddress;
use dsu_formats::model::latest::Registers;

use super::gadget::Gadgets;

/// Offsets in `struct rt_sigframe` on x86-64: pretcode, ucontext (flags, link, stack, sigcontext, mask), siginfo.
const UC_FLAGS: usize = 8;
const UC_STACK_FLAGS: usize = 8 + 16 + 8;
const SIGCONTEXT: usize = 8 + 40;
/// Where a frame holds the first argument of its call (`rdi`).
pub(super) const FIRST_ARGUMENT: u64 = SIGCONTEXT as u64 + 8 * 8;
const SIGCONTEXT_SEGMENTS: usize = SIGCONTEXT + 18 * 8;
const SIGCONTEXT_FPSTATE: usize = SIGCONTEXT_SEGMENTS + 8 + 4 * 8;
const UC_SIGMASK: usize = SIGCONTEXT + 256;
const FRAME_LENGTH: usize = UC_SIGMASK + 8 + 128;
/// Room that a frame without extended state takes, aligned.
pub(super) const SMALL_FRAME: u64 = (FRAME_LENGTH as u64).next_multiple_of(64);

/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_FLAGS_VALUE: u64 = 7;
/// An alternate-stack mode that the kernel refuses: sigreturn ignores the refusal and leaves the thread's own setting alone.
const NO_SUCH_STACK_MODE: u32 = 5;

/// `struct _fpx_sw_bytes` in the legacy area (`arch/x86/include/uapi/asm/sigcontext.h`).
const SW_BYTES: usize = 464;
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
const XSTATE_HEADER_END: usize = 576;
const XSTATE_BV: usize = 512;
/// Tile configuration and data (AMX): in the register set of every task, in the frame only of tasks that may use them.
const AMX: u64 = (1 << 17) | (1 << 18);

/// Length of the final frame of a thread with this extended state.
pub(super) fn full_frame_length(xstate: &[u8]) -> u64 {
    SMALL_FRAME + (usable_length(xstate) as u64 + 4).next_multiple_of(64)
}

/// The frame that ends a chain: the thread's own registers, mask and extended state.
pub(super) fn full_frame(at: RunAddress, gadgets: Gadgets, registers: &Registers, mask: u64, xstate: &[u8]) -> Vec<u8> {
    let mut frame = small_frame(gadgets, registers, mask);
    if xstate.len() < XSTATE_HEADER_END {
        return frame;
    }
    frame.resize(SMALL_FRAME as usize, 0);
    put_u64(&mut frame, SIGCONTEXT_FPSTATE, at.0 + SMALL_FRAME);
    let length = usable_length(xstate);
    let features = word(xstate, SW_BYTES) & usable_features(xstate);
    let mut area = xstate[..length].to_vec();
    area[SW_BYTES..XSTATE_BV].fill(0);
    put_u32(&mut area, SW_BYTES, FP_XSTATE_MAGIC1);
    put_u32(&mut area, SW_BYTES + 4, length as u32 + 4);
    put_u64(&mut area, SW_BYTES + 8, features);
    put_u32(&mut area, SW_BYTES + 16, length as u32);
    area.extend(FP_XSTATE_MAGIC2.to_le_bytes());
    frame.extend(area);
    frame
}

/// A frame that makes one call and then goes on to the frame at `next`. All signals stay blocked meanwhile.
pub(super) fn call_frame(gadgets: Gadgets, base: &Registers, number: i64, arguments: &[u64], next: RunAddress) -> Vec<u8> {
    small_frame(gadgets, &call_registers(gadgets, base, number, arguments, next), u64::MAX)
}

/// Registers that make one call through the target's own code and then return into the frame at `next`.
pub(super) fn call_registers(gadgets: Gadgets, base: &Registers, number: i64, arguments: &[u64], next: RunAddress) -> Registers {
    let argument = |i: usize| arguments.get(i).copied().unwrap_or(0);
    Registers {
        rip: gadgets.syscall_ret.0,
        rsp: next.0,
        rax: number as u64,
        orig_rax: u64::MAX,
        rdi: argument(0),
        rsi: argument(1),
        rdx: argument(2),
        r10: argument(3),
        r8: argument(4),
        r9: argument(5),
        ..*base
    }
}

fn small_frame(gadgets: Gadgets, r: &Registers, mask: u64) -> Vec<u8> {
    let mut frame = vec![0u8; FRAME_LENGTH];
    put_u64(&mut frame, 0, gadgets.sigreturn.0);
    put_u64(&mut frame, UC_FLAGS, UC_FLAGS_VALUE);
    put_u32(&mut frame, UC_STACK_FLAGS, NO_SUCH_STACK_MODE);
    let general = [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp, r.rip,
        r.eflags,
    ];
    for (i, value) in general.into_iter().enumerate() {
        put_u64(&mut frame, SIGCONTEXT + i * 8, value);
    }
    // cs, gs, fs, ss as 16-bit fields; gs and fs are not restored on x86-64.
    put_u64(&mut frame, SIGCONTEXT_SEGMENTS, (r.cs & 0xffff) | ((r.ss & 0xffff) << 48));
    put_u64(&mut frame, UC_SIGMASK, mask);
    frame
}

/// Components that the frame may hold: all that are enabled, but tiles only when they are in use.
fn usable_features(xstate: &[u8]) -> u64 {
    if word(xstate, XSTATE_BV) & AMX != 0 { u64::MAX } else { !AMX }
}

/// Length of the part of the XSAVE area that holds the usable components (CPUID leaf 0xD gives each one's place).
fn usable_length(xstate: &[u8]) -> usize {
    if xstate.len() < XSTATE_HEADER_END {
        return 0;
    }
    let features = word(xstate, SW_BYTES) & usable_features(xstate);
    let end = (2..63).filter(|component| features & (1 << component) != 0).map(component_end).max().unwrap_or(0);
    end.clamp(XSTATE_HEADER_END, xstate.len())
}

/// Asks the processor for all that a frame needs to know of it: each time costs a virtual machine more than a system call.
pub(super) fn learn() {
    for component in 2..63 {
        component_end(component);
    }
}

/// Where a component ends in the XSAVE area.
fn component_end(component: u32) -> usize {
    static ENDS: [OnceLock<usize>; 64] = [const { OnceLock::new() }; 64];
    let ask = || {
        let leaf = std::arch::x86_64::__cpuid_count(0xd, component);
        (leaf.ebx + leaf.eax) as usize
    };
    ENDS.get(component as usize).map_or(0, |end| *end.get_or_init(ask))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
