//! Parts of signals' frames that nobody reads: what the processor had in none of its registers was not written there
//! (`arch/x86/kernel/fpu/signal.c`; Intel SDM 1, 13.6: the init optimisation of XSAVE).

use dsu_formats::address::{RunAddress, RunRange};

use super::Planner;
use crate::plan::source::read_word;
use crate::program::unwind::Frame;

/// From the interrupted program counter to the pointer to the extended state (`struct sigcontext`: rip, flags, four segments, error code, trap
/// number, mask, cr2), in bytes.
const TO_STATE: u64 = 7 * 8;
/// Where the state says how long it is and what is in it (`struct _fpx_sw_bytes`, XSAVE header).
const MAGIC: u64 = 464;
const LENGTH: u64 = 480;
const PRESENT: u64 = 512;
/// `FP_XSTATE_MAGIC1`.
const MAGIC_VALUE: u64 = 0x4650_5853;
/// The x87 unit: control words apart, its registers; the vector registers; what the format leaves empty; all further components.
const X87: (u64, u64) = (32, 160);
const VECTORS: (u64, u64) = (160, 416);
const EMPTY: (u64, u64) = (416, 464);
const UPPER_HALVES: u64 = 576;
const OTHERS: u64 = 832;
/// Longer states are not known.
const LONGEST: u64 = 1 << 16;

impl Planner<'_> {
    /// Ranges of signals' frames that hold what was on the stack before.
    pub(super) fn unwritten_state(&self) -> Vec<RunRange> {
        let frames = self.stacks.frames.iter().flat_map(|(_, frames)| frames);
        frames.filter(|frame| frame.is_signal_frame).filter_map(|frame| self.unwritten_of(frame)).flatten().collect()
    }

    fn unwritten_of(&self, frame: &Frame) -> Option<Vec<RunRange>> {
        let word = |address: u64| read_word(self.request.memory, RunAddress(address)).ok();
        let record = frame.return_slot?.0;
        // It lies between the record and what the signal interrupted.
        let state = word(record.checked_add(TO_STATE)?)?.checked_sub(record).filter(|far| *far < LONGEST)?.checked_add(record)?;
        if word(state.checked_add(MAGIC)?)? & u64::from(u32::MAX) != MAGIC_VALUE {
            return None;
        }
        let length = (word(state.checked_add(LENGTH)?)? & u64::from(u32::MAX)).min(LONGEST);
        let present = word(state.checked_add(PRESENT)?)?;
        let mut parts = vec![EMPTY];
        let mut absent = |component: u64, part: (u64, u64)| parts.extend((present & component == 0).then_some(part));
        absent(1, X87);
        absent(2, VECTORS);
        absent(4, (UPPER_HALVES, OTHERS));
        absent(!7, (OTHERS, length));
        let parts = parts.into_iter().filter(|(start, end)| start < end && *end <= length);
        Some(parts.map(|(start, end)| RunRange::new(state.wrapping_add(start), state.wrapping_add(end))).collect())
    }
}
