//! Whether a call gives arguments on the stack, told by the code before it.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::program::address::LinkAddress;
use crate::program::elf::Elf;
use crate::program::unwind::{SavedRegister, UnwindIndex, dwarf};

/// Parts of functions that are looked at for one.
const MOST_PARTS: usize = 16;
/// Where the frame's address is when a function has given its frame back, or has made none.
const NO_FRAME: (u16, i64) = (dwarf::RSP as u16, 8);

/// Whether the call that holds `call` stores anything for its callee at the bottom of its frame; `None` where that cannot be told.
///
/// Arguments are stored between the last branch or call and this one, by a push or at the stack pointer: compilers evaluate calls within
/// arguments first. What a function's prologue pushes are its caller's registers, which call frame information tells.
pub fn arguments_pushed(elf: &Elf, unwind: &UnwindIndex, call: LinkAddress) -> Option<bool> {
    let (start, end) = unwind.range(call)?;
    let code = elf.file_bytes(start, end.0.checked_sub(start.0)?)?;
    let all: Vec<Instruction> = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE).iter().collect();
    let at = all.iter().position(|instruction| instruction.ip() <= call.0 && call.0 < instruction.next_ip())?;
    let before = all.get(..at)?;
    let first = before.iter().rposition(|instruction| instruction.flow_control() != FlowControl::Next).map_or(0, |last| last + 1);
    let straight = before.get(first..)?;
    let is_entry = first == 0;
    let prologue = if is_entry { straight.iter().take_while(|instruction| is_prologue(instruction)).count() } else { 0 };
    Some(straight.iter().skip(prologue).any(|instruction| stores_below(instruction, unwind)))
}

/// How many bytes of arguments on the stack the function at `place` reads, from its canonical frame address upwards; `None` where that
/// cannot be told, as of one that goes through a list of them.
pub fn arguments_read(elf: &Elf, unwind: &UnwindIndex, place: LinkAddress) -> Option<u64> {
    let mut parts = vec![unwind.range(place)?];
    let mut highest = 0;
    let mut done = 0;
    while let Some((start, end)) = parts.get(done).copied() {
        done += 1;
        if done > MOST_PARTS {
            return None;
        }
        let code = elf.file_bytes(start, end.0.checked_sub(start.0)?)?;
        for instruction in &mut Decoder::with_ip(64, code, start.0, DecoderOptions::NONE) {
            let frame = unwind.frame_address(LinkAddress(instruction.ip()));
            highest = highest.max(read_above(&instruction, frame)?);
            match instruction.flow_control() {
                // Another part of the function, or one that is called with the same arguments in place.
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                    let part = unwind.range(LinkAddress(instruction.near_branch_target()))?;
                    parts.extend((!parts.contains(&part)).then_some(part));
                }
                FlowControl::IndirectBranch if frame.is_none_or(|frame| frame == NO_FRAME) => return None,
                _ => {}
            }
        }
    }
    Some(highest)
}

/// Where a part of a function reads its arguments on the stack; 0 for an instruction that does not.
fn read_above(instruction: &Instruction, frame: Option<(u16, i64)>) -> Option<u64> {
    let is_memory = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
    let base = match instruction.memory_base() {
        Register::RSP => dwarf::RSP,
        Register::RBP => dwarf::RBP,
        _ => return Some(0),
    };
    let (register, offset) = match frame {
        Some(frame) if is_memory => frame,
        _ if is_memory => return None,
        _ => return Some(0),
    };
    match (base, usize::from(register)) {
        (dwarf::RSP, dwarf::RSP) | (dwarf::RBP, dwarf::RBP) => {}
        // rbp is none of the frame's; the stack pointer is below its place.
        (dwarf::RBP, dwarf::RSP) => return Some(0),
        _ => return Some(0),
    }
    let slot = instruction.memory_displacement64().cast_signed().checked_sub(offset)?;
    let takes_address = instruction.mnemonic() == Mnemonic::Lea;
    if slot >= 0 && (takes_address || instruction.memory_index() != Register::None) {
        return None;
    }
    let size = i64::try_from(instruction.memory_size().size()).ok()?;
    u64::try_from(slot.checked_add(size)?.max(0)).ok()
}

fn is_prologue(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Push | Mnemonic::Endbr64)
        || (instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register() == Register::RBP)
}

fn stores_below(instruction: &Instruction, unwind: &UnwindIndex) -> bool {
    match instruction.mnemonic() {
        Mnemonic::Push => !is_saved(instruction, unwind),
        _ => {
            let is_store = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Memory;
            // At the bottom of the frame: what is higher is the frame's own, as far as anybody's six arguments go.
            is_store && instruction.memory_base() == Register::RSP && instruction.memory_displacement64() == 0
        }
    }
}

/// Whether a push saves a register of the caller, which the row behind it tells.
fn is_saved(push: &Instruction, unwind: &UnwindIndex) -> bool {
    let Some(rules) = unwind.frame_rules(LinkAddress(push.next_ip())) else { return false };
    let slot = match rules.frame_address {
        Some((register, offset)) if usize::from(register) == dwarf::RSP => offset.wrapping_neg(),
        _ => return false,
    };
    rules.saved.contains(&SavedRegister::At(slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::frames::shape;
    use crate::program::testing::Compiled;
    use crate::program::unwind::dwarf;

    const SOURCE: &str = "#include <stdarg.h>\n#include <alloca.h>\n\
        #define KEEP __attribute__((noinline, noipa))\n\
        KEEP long six(long a, long b, long c, long d, long e, long f) { return a + b + c + d + e + f; }\n\
        KEEP long eight(long a, long b, long c, long d, long e, long f, long g, long h) { return a * b - h + g + c + d + e + f; }\n\
        KEEP long listed(int n, ...) { va_list l; va_start(l, n); long s = 0; while (n--) s += va_arg(l, long); va_end(l); return s; }\n\
        KEEP long plain(long a) { volatile long room[20]; room[3] = a; return six(a, 1, 2, 3, 4, 5) + room[3]; }\n\
        KEEP long pushes(long a) { return eight(a, 1, 2, 3, 4, 5, 6, 7) + a; }\n\
        KEEP long grows(long a) { char *b = alloca(a); b[0] = 1; return six(a, 1, 2, 3, 4, 5) + b[0]; }\n\
        int main(int c, char **v) { return plain(c) + pushes(c) + grows(c) + listed(1, 2L) + !v; }";

    /// The place within the first call of `callee` in `caller`.
    fn call(elf: &Elf, caller: &str, callee: &str) -> LinkAddress {
        let symbol = |name: &str| elf.symbols_named(name).next().map(|symbol| (symbol.address, symbol.size)).unwrap();
        let ((start, size), (target, _)) = (symbol(caller), symbol(callee));
        let code = elf.file_bytes(start, size).unwrap();
        let mut all = Decoder::with_ip(64, code, start.0, DecoderOptions::NONE).into_iter();
        let found = all.find(|one| one.flow_control() == FlowControl::Call && one.near_branch_target() == target.0).unwrap();
        LinkAddress(found.ip())
    }

    #[test]
    fn arguments_on_the_stack_are_seen_by_who_reads_them_and_by_who_gives_them() {
        for flags in [["-O0", "-g"], ["-O2", "-g"]] {
            let elf = Compiled::new("arguments", SOURCE, &flags).elf();
            let unwind = UnwindIndex::new(&elf);
            let entry = |name: &str| elf.symbols_named(name).next().unwrap().address;
            assert_eq!(arguments_read(&elf, &unwind, entry("six")), Some(0), "{flags:?}");
            assert_eq!(arguments_read(&elf, &unwind, entry("eight")), Some(16), "{flags:?}");
            assert_eq!(arguments_read(&elf, &unwind, entry("listed")), None, "{flags:?}");
            assert_eq!(arguments_pushed(&elf, &unwind, call(&elf, "plain", "six")), Some(false), "{flags:?}");
            assert_eq!(arguments_pushed(&elf, &unwind, call(&elf, "pushes", "eight")), Some(true), "{flags:?}");
        }
    }

    #[test]
    fn a_frame_counted_from_its_frame_pointer_has_a_size_unless_it_makes_its_own() {
        let elf = Compiled::new("arguments", SOURCE, &["-O0", "-g"]).elf();
        let unwind = UnwindIndex::new(&elf);
        let returns = |caller: &str, callee: &str| LinkAddress(call(&elf, caller, callee).0 + 5);
        let plain = shape(&elf, &unwind, returns("plain", "six"), false).unwrap();
        assert_eq!((plain.base, plain.saved[dwarf::RBP]), (Some(16), Some(-16)));
        assert!(plain.size > 160 && plain.size.is_multiple_of(16), "{plain:?}");
        // Two arguments lie below the frame while the call is under way.
        let pushes = shape(&elf, &unwind, returns("pushes", "eight"), false).unwrap();
        assert!(pushes.size >= 32 && pushes.size.is_multiple_of(16), "{pushes:?}");
        assert!(shape(&elf, &unwind, returns("grows", "six"), false).unwrap_err().contains("alloca"));
    }
}
