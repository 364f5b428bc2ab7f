//! Variables of which a compiler made several (LLVM's GlobalOpt): their location gives each piece a place of its own (DWARF 5, 2.6.1.2).

use gimli::Operation;

use super::attributes::Entry;
use super::sections::Reader;
use super::unit::UnitContext;
use super::{Storage, Variable};
use crate::program::address::LinkAddress;
use crate::program::error::ProgramError;
use crate::program::types::TypeTable;

/// More pieces of one variable are not looked at: no compiler takes one apart that far.
const MOST_PIECES: usize = 256;

/// Where a piece is, and which value a one there stands for, and which a zero, if not the piece itself is there.
type Place = (LinkAddress, Option<(u64, u64)>);

/// A part of a variable that is an object of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes from the variable's start.
    pub(super) offset: u64,
    /// Bytes of the variable that it stands for; `None`: all of them.
    pub(super) size: Option<u64>,
    /// Where something else than the bytes is kept, which value a one of it stands for, and which a zero.
    pub(super) stands_for: Option<(u64, u64)>,
}

impl Piece {
    /// Tells by a path what a variable's part is, and gives it the part's type. False where types do not tell.
    pub(super) fn name(self, variable: &mut Variable, types: &TypeTable) -> bool {
        let found = match self.size {
            Some(size) => types.part_at(variable.kind, self.offset, size),
            None => Some((String::new(), variable.kind)),
        };
        let Some((mut path, kind)) = found else { return false };
        variable.kind = kind;
        if let Some((one, zero)) = self.stands_for {
            path.push_str(&format!(" as {zero} or {one}"));
            variable.kind = None;
        }
        variable.part = Some(path);
        true
    }
}

/// The places of a variable's pieces. Pieces that are nowhere, or that have a value and no place, are left out.
pub(super) fn pieces(entry: &Entry<'_>, unit: &UnitContext<'_, '_>) -> Result<Vec<(Storage, Piece)>, ProgramError> {
    let Some(expression) = entry.location.as_ref().and_then(gimli::AttributeValue::exprloc_value) else { return Ok(Vec::new()) };
    let mut operations = expression.operations(unit.unit.encoding());
    let (mut found, mut steps, mut offset) = (Vec::new(), Vec::new(), 0u64);
    let mut add = |steps: &[Operation<Reader<'_>>], offset: u64, size: Option<u64>| -> Result<(), ProgramError> {
        if let Some((address, stands_for)) = place(steps, unit)?
            && unit.image.is_data(address)
        {
            found.push((Storage::Static(address), Piece { offset, size, stands_for }));
        }
        Ok(())
    };
    let mut count = 0;
    while let Some(operation) = operations.next().map_err(|error| unit.error(error))? {
        let Operation::Piece { size_in_bits, bit_offset: None } = operation else {
            steps.push(operation);
            continue;
        };
        count += 1;
        // What is not made of whole bytes is no variable of its own.
        if size_in_bits % 8 != 0 || count > MOST_PIECES {
            return Ok(Vec::new());
        }
        add(&steps, offset, Some(size_in_bits / 8))?;
        steps.clear();
        offset = offset.saturating_add(size_in_bits / 8);
    }
    if count == 0 && steps.len() > 2 {
        add(&steps, 0, None)?;
    }
    Ok(found)
}

/// Where a piece is, and which values are kept there as one and as zero, if not the piece itself is.
fn place(steps: &[Operation<Reader<'_>>], unit: &UnitContext<'_, '_>) -> Result<Option<Place>, ProgramError> {
    let number = |operation: &Operation<Reader<'_>>| match operation {
        Operation::UnsignedConstant { value } => Some(*value),
        Operation::SignedConstant { value } => Some(value.cast_unsigned()),
        _ => None,
    };
    let Some((first, rest)) = steps.split_first() else { return Ok(None) };
    let base = match first {
        Operation::Address { address } => *address,
        Operation::AddressIndex { index } => unit.dwarf.address(&unit.unit, *index).map_err(|error| unit.error(error))?,
        _ => return Ok(None),
    };
    Ok(match rest {
        [] => Some((LinkAddress(base), None)),
        [Operation::PlusConstant { value }] => Some((LinkAddress(base.wrapping_add(*value)), None)),
        // A variable that only ever holds two values is kept as which of them it is.
        [Operation::Deref { space: false, .. }, factor, Operation::Mul, added, Operation::Plus, Operation::StackValue] => {
            let values = number(factor).zip(number(added));
            values.map(|(factor, added)| (LinkAddress(base), Some((factor.wrapping_add(added), added))))
        }
        _ => None,
    })
}
