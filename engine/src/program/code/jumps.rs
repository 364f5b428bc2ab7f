//! Jumps through tables: telling them from tail calls, and comparing the tables.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::functions::{FunctionId, Place};
use super::layout::Layout;
use crate::program::address::LinkAddress;

/// Instructions looked back over for the load of a table entry.
const WINDOW: usize = 12;

/// The instructions before the one in hand, in the order of the code.
#[derive(Default)]
pub(super) struct Recent {
    instructions: [Instruction; WINDOW],
    next: usize,
}

impl Recent {
    pub(super) fn push(&mut self, instruction: &Instruction) {
        if let Some(slot) = self.instructions.get_mut(self.next) {
            *slot = *instruction;
        }
        self.next = (self.next + 1) % WINDOW;
    }

    /// Latest first.
    fn backwards(&self) -> impl Iterator<Item = &Instruction> {
        (1..=WINDOW).filter_map(|back| self.instructions.get((self.next + WINDOW - back) % WINDOW))
    }
}

/// Whether an indirect jump goes to places of its own function. Compilers mark such jumps `notrack` where indirect branches are
/// tracked; otherwise the address is a table's base plus an entry of 32 bits (`movslq (base,index,4); add base; jmp *`), or, in
/// fixed-address programs, an entry itself (`jmp *table(,index,8)`).
pub(super) fn is_table_jump(jump: &Instruction, recent: &Recent) -> bool {
    if jump.segment_prefix() == Register::DS {
        return true;
    }
    if jump.op0_kind() == OpKind::Memory {
        return is_absolute_entry(jump);
    }
    let through = jump.op0_register().full_register();
    let mut is_sum = false;
    for instruction in recent.backwards() {
        let writes = instruction.op0_kind() == OpKind::Register && instruction.op0_register().full_register() == through;
        match instruction.mnemonic() {
            Mnemonic::Mov if writes && is_absolute_entry(instruction) => return true,
            Mnemonic::Add if writes && instruction.op1_kind() == OpKind::Register => is_sum = true,
            Mnemonic::Movsxd | Mnemonic::Mov if is_sum && is_entry_load(instruction) => return true,
            Mnemonic::Call | Mnemonic::Ret | Mnemonic::Jmp => return false,
            _ => {}
        }
    }
    false
}

/// Whether the instruction reads an entry of a table of addresses that lies at a fixed one.
fn is_absolute_entry(instruction: &Instruction) -> bool {
    instruction.op_kinds().any(|kind| kind == OpKind::Memory)
        && instruction.memory_base() == Register::None
        && instruction.memory_index() != Register::None
        && instruction.memory_index_scale() == 8
        && instruction.memory_displ_size() >= 4
}

/// Whether the instruction loads 32 bits from an indexed place.
fn is_entry_load(instruction: &Instruction) -> bool {
    instruction.op1_kind() == OpKind::Memory
        && instruction.memory_index() != Register::None
        && instruction.memory_size().size() == 4
}

/// One side of a comparison of tables.
#[derive(Clone, Copy)]
pub(super) struct Table<'l, 'a> {
    pub(super) layout: &'l Layout<'a>,
    pub(super) function: FunctionId,
    pub(super) address: u64,
}

impl Table<'_, '_> {
    /// Where the entry at `index` leads, if into the function itself. The table ends, at the latest, where something else starts.
    fn entry(&self, index: u64, width: u64) -> Option<Place> {
        let at = self.address.checked_add(index.checked_mul(width)?)?;
        if index > 0 && at >= self.layout.next_edge(self.address) {
            return None;
        }
        let bytes = self.layout.bytes(at, width)?;
        let target = match width {
            4 => self.address.wrapping_add_signed(i64::from(i32::from_le_bytes(bytes.try_into().ok()?))),
            _ => u64::from_le_bytes(bytes.try_into().ok()?),
        };
        self.layout.inventory.at(LinkAddress(target)).filter(|place| place.function == self.function)
    }

    /// Where its entries lead; none if it is no table.
    pub(super) fn targets(&self) -> Vec<LinkAddress> {
        let Some(width) = self.width() else { return Vec::new() };
        let places = (0..).map_while(|index| self.entry(index, width));
        let function = self.layout.inventory.get(self.function);
        let start = |place: Place| function.and_then(|function| function.parts.get(place.part)).map(|part| part.start.0);
        places.filter_map(|place| Some(LinkAddress(start(place)?.wrapping_add(place.offset)))).collect()
    }

    /// Size of its entries, if it is a table: 4 bytes relative to it, or 8 bytes absolute in a fixed-address program.
    pub(super) fn width(&self) -> Option<u64> {
        if !self.layout.is_read_only(self.address) {
            return None;
        }
        let relative = self.entry(0, 4).is_some();
        let absolute = self.layout.fixed && self.entry(0, 8).is_some();
        if relative { Some(4) } else { absolute.then_some(8) }
    }
}

/// Whether two tables lead to the same places of their functions, entry by entry, until both leave them.
pub(super) fn same_tables(old: Table<'_, '_>, new: Table<'_, '_>, width: u64) -> bool {
    for index in 0.. {
        match (old.entry(index, width), new.entry(index, width)) {
            (Some(from), Some(to)) if from.part == to.part && from.offset == to.offset => {}
            (None, None) => return true,
            _ => return false,
        }
    }
    false
}
