//! What a seccomp filter can answer to a system call: classic BPF over `struct seccomp_data`, arguments unknown.
//!
//! Only the call's number and the architecture are known; where the program asks about an argument, both ways are followed.
//! Branches only lead forward (`kernel/seccomp.c`, `seccomp_check_filter`; `net/core/filter.c`, `bpf_check_classic`).

use std::collections::BTreeSet;

/// `AUDIT_ARCH_X86_64`.
const ARCHITECTURE: u32 = 0xc000_003e;
const DATA_NUMBER: u32 = 0;
const DATA_ARCHITECTURE: u32 = 4;
/// `sizeof(struct seccomp_data)`.
const DATA_LENGTH: u32 = 64;
const MEMORY_WORDS: usize = 16;
/// Instructions that are followed before a filter counts as one that cannot be judged.
const STEPS: usize = 1 << 20;

/// What a filter answers (`SECCOMP_RET_ACTION_FULL`, include/uapi/linux/seccomp.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// The call is made.
    Allowed,
    /// It fails, or somebody else decides.
    Denied,
    /// The thread or the process ends: at once, or by a SIGSYS that it has blocked.
    Fatal,
}

#[derive(Clone, Copy, Debug)]
struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

/// A filter's program.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    instructions: Vec<Instruction>,
}

/// The machine's registers and memory; `None` is a value that depends on an argument.
#[derive(Clone, Debug)]
struct State {
    at: usize,
    a: Option<u32>,
    x: Option<u32>,
    memory: [Option<u32>; MEMORY_WORDS],
}

/// What an instruction leads to.
enum Next {
    Follow,
    Skip(usize),
    Either(usize, usize),
    Return(Option<u32>),
    Unknown,
}

impl Filter {
    /// The program of the bytes of `struct sock_filter[]`.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let instruction = |bytes: &[u8; 8]| Instruction {
            code: u16::from_le_bytes([bytes[0], bytes[1]]),
            if_true: bytes[2],
            if_false: bytes[3],
            k: u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        };
        Self { instructions: bytes.chunks_exact(8).filter_map(<[u8]>::first_chunk).map(instruction).collect() }
    }

    /// The worst answer to call `number` with any arguments. What cannot be judged counts as fatal.
    pub(super) fn worst(&self, number: u32) -> Answer {
        let start = State { at: 0, a: Some(0), x: Some(0), memory: [None; MEMORY_WORDS] };
        let (mut open, mut answers, mut steps) = (vec![start], BTreeSet::new(), 0);
        while let Some(mut state) = open.pop() {
            loop {
                steps += 1;
                let Some(instruction) = self.instructions.get(state.at).filter(|_| steps < STEPS) else {
                    return Answer::Fatal;
                };
                state.at += 1;
                match state.step(*instruction, number) {
                    Next::Follow => {}
                    Next::Skip(by) => state.at += by,
                    Next::Either(one, other) => {
                        open.push(State { at: state.at + one, ..state.clone() });
                        state.at += other;
                    }
                    Next::Return(action) => {
                        answers.insert(action.map_or(Answer::Fatal, answer));
                        break;
                    }
                    Next::Unknown => return Answer::Fatal,
                }
            }
        }
        answers.last().copied().unwrap_or(Answer::Fatal)
    }
}

fn answer(action: u32) -> Answer {
    const ALLOW: u32 = 0x7fff_0000;
    const LOG: u32 = 0x7ffc_0000;
    const TRACE: u32 = 0x7ff0_0000;
    const USER_NOTIFICATION: u32 = 0x7fc0_0000;
    const ERRNO: u32 = 0x0005_0000;
    match action & 0xffff_0000 {
        ALLOW | LOG => Answer::Allowed,
        ERRNO | TRACE | USER_NOTIFICATION => Answer::Denied,
        // SECCOMP_RET_KILL_PROCESS, _KILL_THREAD, _TRAP, and what the kernel treats as the first.
        _ => Answer::Fatal,
    }
}

impl State {
    /// Instruction classes, sizes, modes and operations as in `include/uapi/linux/bpf_common.h`.
    fn step(&mut self, instruction: Instruction, number: u32) -> Next {
        const USE_X: u16 = 0x08;
        let Instruction { code, k, .. } = instruction;
        let operand = if code & USE_X != 0 { self.x } else { Some(k) };
        match code & 0x07 {
            // BPF_LD, BPF_LDX
            class @ (0 | 1) => match self.loaded(code, k, number) {
                Some(value) if class == 0 => self.a = value,
                Some(value) => self.x = value,
                None => return Next::Unknown,
            },
            // BPF_ST, BPF_STX
            class @ (2 | 3) => match self.memory.get_mut(k as usize) {
                Some(word) => *word = if class == 2 { self.a } else { self.x },
                None => return Next::Unknown,
            },
            4 => match calculated(code & 0xf0, self.a, operand) {
                Ok(value) => self.a = value,
                Err(()) => return Next::Unknown,
            },
            5 => return self.jump(instruction, operand),
            // BPF_RET: BPF_A, else BPF_K.
            6 => return Next::Return(if code & 0x18 == 0x10 { self.a } else { Some(k) }),
            // BPF_MISC: BPF_TXA, else BPF_TAX.
            _ if code & 0xf8 == 0x80 => self.a = self.x,
            _ => self.x = self.a,
        }
        Next::Follow
    }

    /// The value of a load; the outer `None` is a load that no seccomp filter can have.
    fn loaded(&self, code: u16, k: u32, number: u32) -> Option<Option<u32>> {
        const HALF_OR_BYTE: u16 = 0x18;
        if code & HALF_OR_BYTE != 0 {
            return None;
        }
        match code & 0xe0 {
            // BPF_IMM, BPF_LEN, BPF_MEM, BPF_ABS
            0x00 => Some(Some(k)),
            0x80 => Some(Some(DATA_LENGTH)),
            0x60 => self.memory.get(k as usize).copied(),
            0x20 => match k {
                DATA_NUMBER => Some(Some(number)),
                DATA_ARCHITECTURE => Some(Some(ARCHITECTURE)),
                _ => Some(None),
            },
            _ => None,
        }
    }

    fn jump(&self, instruction: Instruction, operand: Option<u32>) -> Next {
        let test: fn(u32, u32) -> bool = match instruction.code & 0xf0 {
            0x00 => return Next::Skip(instruction.k as usize),
            0x10 => |a, b| a == b,
            0x20 => |a, b| a > b,
            0x30 => |a, b| a >= b,
            0x40 => |a, b| a & b != 0,
            _ => return Next::Unknown,
        };
        let (yes, no) = (usize::from(instruction.if_true), usize::from(instruction.if_false));
        match self.a.zip(operand) {
            Some((a, b)) => Next::Skip(if test(a, b) { yes } else { no }),
            None => Next::Either(yes, no),
        }
    }
}

/// The result of an arithmetic operation. A division by zero ends the filter with 0, which kills.
fn calculated(operation: u16, a: Option<u32>, operand: Option<u32>) -> Result<Option<u32>, ()> {
    let calculate: fn(u32, u32) -> Option<u32> = match operation {
        0x00 => |a, b| Some(a.wrapping_add(b)),
        0x10 => |a, b| Some(a.wrapping_sub(b)),
        0x20 => |a, b| Some(a.wrapping_mul(b)),
        0x30 => |a, b| a.checked_div(b),
        0x40 => |a, b| Some(a | b),
        0x50 => |a, b| Some(a & b),
        0x60 => |a, b| a.checked_shl(b),
        0x70 => |a, b| a.checked_shr(b),
        0x80 => |a, _| Some(a.wrapping_neg()),
        0xa0 => |a, b| Some(a ^ b),
        _ => return Err(()),
    };
    match a.zip(operand) {
        Some((a, b)) => calculate(a, b).map(Some).ok_or(()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0001;
    const KILL: u32 = 0x8000_0000;
    const TRAP: u32 = 0x0003_0000;

    fn filter(program: &[(u16, u8, u8, u32)]) -> Filter {
        let bytes: Vec<u8> = program
            .iter()
            .flat_map(|(code, yes, no, k)| {
                let (code, k) = (code.to_le_bytes(), k.to_le_bytes());
                [code[0], code[1], *yes, *no, k[0], k[1], k[2], k[3]]
            })
            .collect();
        Filter::parse(&bytes)
    }

    const LOAD_NUMBER: (u16, u8, u8, u32) = (0x20, 0, 0, 0);
    const LOAD_ARCHITECTURE: (u16, u8, u8, u32) = (0x20, 0, 0, 4);
    const LOAD_ARGUMENT: (u16, u8, u8, u32) = (0x20, 0, 0, 16);

    fn returns(action: u32) -> (u16, u8, u8, u32) {
        (0x06, 0, 0, action)
    }

    #[test]
    fn a_list_of_numbers_is_followed() {
        let listed = filter(&[
            LOAD_ARCHITECTURE,
            (0x15, 1, 0, ARCHITECTURE),
            returns(KILL),
            LOAD_NUMBER,
            (0x15, 2, 0, 1),
            (0x15, 1, 0, 15),
            returns(ERRNO),
            returns(ALLOW),
        ]);
        assert_eq!([1, 15, 9].map(|number| listed.worst(number)), [Answer::Allowed, Answer::Allowed, Answer::Denied]);
    }

    #[test]
    fn a_question_about_an_argument_is_followed_both_ways() {
        let asked = |then, otherwise| filter(&[LOAD_ARGUMENT, (0x15, 0, 1, 4), returns(then), returns(otherwise)]).worst(157);
        assert_eq!(asked(ALLOW, KILL), Answer::Fatal);
        assert_eq!(asked(ERRNO, ALLOW), Answer::Denied);
        assert_eq!(asked(ALLOW, ALLOW), Answer::Allowed);
        assert_eq!(asked(TRAP, ALLOW), Answer::Fatal, "SIGSYS is blocked in a chain");
    }

    #[test]
    fn ranges_masks_memory_and_arithmetic_are_computed() {
        // if (((nr & 0xff) << 1) kept in memory >= 20) allow, else kill
        let computed = filter(&[
            LOAD_NUMBER,
            (0x54, 0, 0, 0xff),
            (0x64, 0, 0, 1),
            (0x02, 0, 0, 3),
            (0x00, 0, 0, 0),
            (0x61, 0, 0, 3),
            (0x87, 0, 0, 0),
            (0x35, 0, 1, 20),
            returns(ALLOW),
            returns(KILL),
        ]);
        assert_eq!([9, 10, 256].map(|number| computed.worst(number)), [Answer::Fatal, Answer::Allowed, Answer::Fatal]);
    }

    #[test]
    fn a_program_that_cannot_be_judged_counts_as_fatal() {
        assert_eq!(filter(&[]).worst(1), Answer::Fatal);
        assert_eq!(filter(&[(0x05, 0, 0, u32::MAX), returns(ALLOW)]).worst(1), Answer::Fatal);
        assert_eq!(filter(&[(0x28, 0, 0, 0), returns(ALLOW)]).worst(1), Answer::Fatal, "a half word");
        assert_eq!(filter(&[(0x02, 0, 0, 99), returns(ALLOW)]).worst(1), Answer::Fatal);
        assert_eq!(filter(&[(0x34, 0, 0, 0), returns(ALLOW)]).worst(1), Answer::Fatal, "a division by zero");
        // Two ways at each of thirty questions: more paths than anyone follows.
        let mut many = vec![LOAD_ARGUMENT];
        many.extend([(0x15, 0, 0, 1); 30]);
        many.push(returns(ALLOW));
        assert_eq!(filter(&many).worst(1), Answer::Fatal);
    }
}
