//! What an earlier update may not have filled in: a frame that was made anew has what its code reads from there on, and nothing else that
//! its code would have left in it. Until the thread has gone on, places that the code does not read again tell nothing.

use super::continuation::{Condition, FramePlace, Operation, Placed, Value};
use super::locals::DWARF;
use super::rebuild_value::mask;
use super::said::{Besides, Piece, Said, SaidArgument, SetPlace};
use super::terms::Candidate;
use crate::program::flow::{Live, LivePlace};

/// What the code of a frame reads from a point on before it writes it.
pub(super) struct Readers {
    /// Bits by DWARF number.
    registers: [u64; 16],
    /// First byte from the canonical frame address, length, bits of what is 8 bytes long at most.
    slots: Vec<(i64, i64, u64)>,
}

impl Readers {
    pub(super) fn new(live: &[Live]) -> Self {
        let mut readers = Self { registers: [0; 16], slots: Vec::new() };
        for live in live {
            match live.place {
                LivePlace::Register(register) => {
                    let number = DWARF.get(usize::from(register)).map_or(usize::MAX, |number| usize::from(*number));
                    if let Some(bits) = readers.registers.get_mut(number) {
                        *bits |= live.bits;
                    }
                }
                LivePlace::Slot { offset, length } => readers.slots.push((offset, i64::from(length), live.bits)),
                LivePlace::Object { offset, length } => {
                    readers.slots.push((offset, i64::try_from(length).unwrap_or(i64::MAX), u64::MAX));
                }
                _ => {}
            }
        }
        readers
    }

    /// The bits of a place that are read.
    fn bits(&self, place: FramePlace) -> u64 {
        match place {
            FramePlace::Register(number) => self.registers.get(usize::from(number)).copied().unwrap_or(0),
            FramePlace::Slot { offset, length } => {
                let read = (0..u32::from(length.min(8))).filter(|byte| self.reads_byte(offset.saturating_add(i64::from(*byte))));
                read.fold(0, |bits, byte| bits | 0xff << (8 * byte))
            }
        }
    }

    fn reads_byte(&self, at: i64) -> bool {
        self.slots.iter().any(|&(offset, length, bits)| {
            let within = (offset..offset.saturating_add(length)).contains(&at);
            let byte = u32::try_from(at.wrapping_sub(offset)).unwrap_or(u32::MAX);
            within && (length > 8 || bits.checked_shr(byte.saturating_mul(8)).unwrap_or(0) & 0xff == 0xff)
        })
    }

    /// Whether the lowest `bits` of a place are read.
    pub(super) fn reads(&self, place: FramePlace, bits: u8) -> bool {
        mask(bits) & !self.bits(place) == 0
    }

    /// Whether all bytes are read.
    pub(super) fn reads_all(&self, offset: i64, length: u64) -> bool {
        let length = i64::try_from(length).unwrap_or(i64::MAX).min(1 << 24);
        let bytes = || (offset..offset.saturating_add(length)).all(|at| self.reads_byte(at));
        let whole = |slot: &(i64, i64, u64)| {
            slot.1 > 8 && slot.0 <= offset && slot.0.saturating_add(slot.1) >= offset.saturating_add(length)
        };
        self.slots.iter().any(whole) || bytes()
    }

    /// Places that are read before all others.
    pub(super) fn prefer(&self, candidates: &mut [Candidate]) {
        candidates.sort_by_key(|candidate| std::cmp::Reverse(self.bits(candidate.place).count_ones()));
    }

    /// Whether values or conditions count on places that are not read.
    pub(super) fn miss(&self, placed: &[Placed], conditions: &[Condition]) -> bool {
        let values = placed.iter().any(|placed| self.misses(&placed.value, placed.bits));
        let asked = |condition: &Condition| {
            let wanted = mask(condition.bits);
            self.misses(&condition.left, wanted) || self.misses(&condition.right, wanted)
        };
        values || conditions.iter().any(asked)
    }

    fn misses(&self, value: &Value, wanted: u64) -> bool {
        match value {
            Value::Old(place) => wanted & !self.bits(*place) != 0,
            Value::Said(given) => self.misses_said(given),
            Value::Computed(operation @ Operation::Choose { .. }, operands) => {
                let compared = mask(operation.reads());
                operands.iter().zip([compared, compared, wanted, wanted]).any(|(operand, wanted)| self.misses(operand, wanted))
            }
            Value::Word(made) => self.misses(made, u64::MAX),
            Value::FirstOf(ways) => ways.iter().any(|way| self.misses(way, wanted)),
            Value::Computed(operation, operands) => operands.iter().any(|operand| self.misses(operand, mask(operation.reads()))),
            _ => false,
        }
    }

    /// Whether what the user gives reads a variable of the old frame that its code does not read again.
    pub(super) fn misses_said(&self, given: &Said) -> bool {
        given.places.iter().zip(&given.formula.reads).any(|(piece, read)| match piece {
            Piece::Register(number) => {
                let bits = u8::try_from(read.length.saturating_mul(8)).unwrap_or(u8::MAX);
                bits > 64 || !self.reads(FramePlace::Register(*number), bits)
            }
            Piece::Frame(offset) => !self.reads_all(*offset, read.length),
            Piece::Static(_) | Piece::Constant(_) => false,
            // Made of registers that are not named here, or another frame's.
            Piece::Described(_) | Piece::Inner(..) => true,
        })
    }

    /// The same of what is set, and of the calls, before the frame goes on.
    pub(super) fn miss_besides(&self, besides: &Besides) -> bool {
        let arguments = besides.before.iter().flat_map(|call| &call.arguments);
        let of_frame = arguments.filter_map(|argument| match argument {
            SaidArgument::Of(given) => Some(given),
            SaidArgument::Word(_) | SaidArgument::Address(_) => None,
        });
        let pointers = besides.set.iter().filter_map(|set| match &set.place {
            SetPlace::Through(pointer, _) => Some(pointer),
            SetPlace::Fixed(_) | SetPlace::Thread(_) => None,
        });
        besides.set.iter().map(|set| &set.given).chain(pointers).chain(of_frame).any(|given| self.misses_said(given))
    }
}
