//! All rows of the call frame information of one piece of code, for whoever follows the code itself rather than a stack.

use gimli::{DebugFrame, EhFrame, LittleEndian, UnwindContext, UnwindOffset, UnwindSection};

use super::index::UnwindIndex;
use super::row::{self, Bytes, Cfa, Row, Rule};
use crate::program::address::LinkAddress;

/// Where a caller's register is while a function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedAt {
    /// Still in the register itself, or nowhere: the ABI decides.
    Own,
    /// In memory at the canonical frame address plus this.
    Slot(i64),
    /// Somewhere else.
    Elsewhere,
}

/// What holds from one address to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRow {
    /// First address.
    pub start: LinkAddress,
    /// Behind the last address.
    pub end: LinkAddress,
    /// The register (DWARF number) and offset that give the canonical frame address; `None` where it is found otherwise.
    pub frame_address: Option<(u16, i64)>,
    /// Where the caller's general registers are, by DWARF number.
    pub saved: [SavedAt; 16],
}

impl UnwindIndex {
    /// The rows of the description that covers `address`, ascending; `None` where nothing covers it or it cannot be decoded.
    pub fn frame_rows(&self, address: LinkAddress) -> Option<Vec<FrameRow>> {
        let mut found = Vec::new();
        let (table, offset, from_debug_frame) = self.table_for(address)?;
        let data = table.bytes(self.file());
        if from_debug_frame {
            let mut section = DebugFrame::new(data, LittleEndian);
            section.set_address_size(8);
            collect(&section, table.bases(), offset, &mut found).ok()?;
        } else {
            let mut section = EhFrame::new(data, LittleEndian);
            section.set_address_size(8);
            collect(&section, table.bases(), offset, &mut found).ok()?;
        }
        Some(found)
    }
}

fn collect<'a, S>(section: &S, bases: &gimli::BaseAddresses, offset: usize, found: &mut Vec<FrameRow>) -> Result<(), gimli::Error>
where
    S: UnwindSection<Bytes<'a>>,
    S::Offset: From<usize> + UnwindOffset<usize>,
{
    let fde = section.fde_from_offset(bases, offset.into(), S::cie_from_offset)?;
    let mut context = UnwindContext::new();
    let mut rows = fde.rows(section, bases, &mut context)?;
    while let Some(row) = rows.next_row()? {
        let (start, end) = (LinkAddress(row.start_address()), LinkAddress(row.end_address()));
        let row = row::read(section, &fde, row)?;
        found.push(FrameRow { start, end, frame_address: frame_address(&row), saved: saved(&row) });
    }
    Ok(())
}

fn frame_address(row: &Row<'_>) -> Option<(u16, i64)> {
    match row.cfa {
        Cfa::RegisterAndOffset { register, offset } => Some((register, offset)),
        Cfa::Expression(_) | Cfa::StackWord(_) => None,
    }
}

fn saved(row: &Row<'_>) -> [SavedAt; 16] {
    std::array::from_fn(|number| match row.rules.get(number) {
        None | Some(Rule::Unspecified | Rule::SameValue | Rule::Undefined) => SavedAt::Own,
        Some(Rule::Offset(offset)) => SavedAt::Slot(*offset),
        Some(_) => SavedAt::Elsewhere,
    })
}
