//! What the new code's call frame information says of a frame at the point where it goes on.

use super::layout_depth::depth_at;
use crate::program::address::LinkAddress;
use crate::program::elf::Elf;
use crate::program::unwind::{SavedRegister, UnwindIndex, dwarf};

/// A frame of the new code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Bytes from the stack pointer at the point up to the canonical frame address.
    pub size: u64,
    /// Where the frame has a frame pointer in rbp: its distance from the canonical frame address.
    pub base: Option<i64>,
    /// Where it keeps each of its caller's registers, by DWARF number, from the canonical frame address.
    pub saved: [Option<i64>; 16],
}

/// The shape of the frame that control comes back to at `returns_to`; with `between`, that goes on there without a call.
///
/// # Errors
/// What is not understood of it.
pub fn shape(elf: &Elf, unwind: &UnwindIndex, returns_to: LinkAddress, between: bool) -> Result<Shape, String> {
    let place = LinkAddress(returns_to.0.wrapping_sub(u64::from(!between)));
    let rules = unwind.frame_rules(place).ok_or("the new code has no call frame information there")?;
    if rules.returns != SavedRegister::At(-8) {
        return Err("the new code keeps its return address elsewhere than a call puts it".to_owned());
    }
    let (register, offset) = rules.frame_address.ok_or("the new frame is counted in a way that is not understood (realigned)")?;
    let (size, base) = match usize::from(register) {
        dwarf::RSP => (Some(offset), None),
        dwarf::RBP => (depth_at(elf, unwind, returns_to), Some(offset)),
        _ => return Err(format!("the new frame is counted from register {register} (DWARF number)")),
    };
    let size = size.ok_or("the new code gives its frame a size of its own making (alloca, an array of variable length)")?;
    let size = u64::try_from(size).ok().filter(|size| *size >= 8).ok_or("the new frame has no room for a return address")?;
    let mut saved = [None; 16];
    for (slot, rule) in saved.iter_mut().zip(rules.saved) {
        *slot = match rule {
            SavedRegister::At(offset) => Some(offset),
            SavedRegister::Kept | SavedRegister::Lost => None,
            SavedRegister::Otherwise => return Err("the new code saves a register in a way that is not understood".to_owned()),
        };
    }
    Ok(Shape { size, base, saved })
}
