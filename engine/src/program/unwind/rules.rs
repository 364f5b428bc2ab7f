//! Where a frame keeps what its caller needs, as far as that is told by fixed distances.

use gimli::UnwindContext;

use super::index::UnwindIndex;
use super::registers::{dwarf, is_callee_saved};
use super::row::{Cfa, Rule};
use crate::program::address::LinkAddress;

/// Where the caller's value of a register is while a frame runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedRegister {
    /// Still in the register.
    Kept,
    /// In memory, this far from the canonical frame address.
    At(i64),
    /// Nowhere.
    Lost,
    /// Told in another way.
    Otherwise,
}

/// The call frame information that holds at one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRules {
    /// The register, by DWARF number, and what is added to it, that give the canonical frame address; `None` where it is told otherwise.
    pub frame_address: Option<(u16, i64)>,
    /// The general registers by DWARF number.
    pub saved: [SavedRegister; 16],
    /// The return address.
    pub returns: SavedRegister,
}

impl UnwindIndex {
    /// The rules that hold at `address`; `None` where no sound description covers it.
    pub fn frame_rules(&self, address: LinkAddress) -> Option<FrameRules> {
        let mut context = UnwindContext::new();
        let row = self.row(address, &mut context)?.ok()?;
        let frame_address = match row.cfa {
            Cfa::RegisterAndOffset { register, offset } => Some((register, offset)),
            Cfa::Expression(_) | Cfa::StackWord(_) => None,
        };
        let saved = std::array::from_fn(|number| match row.rules.get(number) {
            Some(Rule::Unspecified) if is_callee_saved(number) => SavedRegister::Kept,
            Some(Rule::Unspecified | Rule::Undefined) | None => SavedRegister::Lost,
            Some(rule) => saved_by(rule),
        });
        let returns = row.rules.get(dwarf::RETURN_ADDRESS).map_or(SavedRegister::Otherwise, saved_by);
        Some(FrameRules { frame_address, saved, returns })
    }
}

fn saved_by(rule: &Rule<'_>) -> SavedRegister {
    match rule {
        Rule::SameValue => SavedRegister::Kept,
        Rule::Offset(offset) => SavedRegister::At(*offset),
        Rule::Undefined => SavedRegister::Lost,
        _ => SavedRegister::Otherwise,
    }
}
