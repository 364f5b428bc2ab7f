//! What values of a frame that is made anew are told from: its old frame, its callers', and where things lead now.

use dsu_formats::address::RunAddress;

use super::super::continuation::{FramePlace, Held};
use super::super::rebuild_value::Scene;
use super::super::said::Said;
use super::{At, CANARY};
use crate::plan::address::{NewLink, OldLink};
use crate::program::unwind::Place;

/// A place that may hold an address.
const WHOLE: FramePlace = FramePlace::Register(0);

impl Scene for At<'_, '_> {
    fn old(&mut self, place: FramePlace, wanted: u64) -> Result<u64, String> {
        let (word, held) = self.raw(self.frame, place)?;
        let word = if wanted > u64::from(u32::MAX) { word } else { word & wanted };
        Ok(if self.is_address(place, wanted) { self.follow.word(word, held) } else { word })
    }

    fn address(&self, link: NewLink) -> u64 {
        self.follow.address(link)
    }

    fn frame(&self) -> u64 {
        self.position.new.1
    }

    fn pointer(&mut self, address: u64) -> Result<u64, String> {
        Ok(self.follow.word(address, Place::Computed))
    }

    fn outer(&mut self, frame: usize, held: Held, wanted: u64) -> Result<u64, String> {
        let (word, holder, is_address) = self.held(frame, held, wanted)?;
        let word = if wanted > u64::from(u32::MAX) { word } else { word & wanted };
        Ok(if is_address { self.follow.word(word, holder) } else { word })
    }

    fn plain(&mut self, frame: Option<usize>, held: Held) -> Result<u64, String> {
        Ok(self.held(frame.unwrap_or(self.number), held, u64::MAX)?.0)
    }

    fn word(&mut self, word: u64, wanted: u64) -> Result<u64, String> {
        Ok(if self.is_address(WHOLE, wanted) { self.follow.word(word, Place::Computed) } else { word })
    }

    fn memory(&mut self, link: OldLink, bytes: u8, wanted: u64) -> Result<u64, String> {
        let (word, holder, is_address) = self.variable(link, bytes, wanted)?;
        let word = if wanted > u64::from(u32::MAX) { word } else { word & wanted };
        Ok(if is_address { self.follow.word(word, holder) } else { word })
    }

    fn said(&mut self, given: &Said) -> Result<u64, String> {
        self.follow.said(given, (self.subject.frames, self.number), true)
    }

    fn canary(&mut self) -> Result<u64, String> {
        let mut bytes = [0; 8];
        self.follow.read(RunAddress(self.subject.thread.wrapping_add(CANARY)), &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// The same, for values that are only looked at.
pub(super) struct Quiet<'q, 'a, 'f>(pub(super) &'q mut At<'a, 'f>);

impl Scene for Quiet<'_, '_, '_> {
    fn old(&mut self, place: FramePlace, wanted: u64) -> Result<u64, String> {
        let (word, held) = self.0.raw(self.0.frame, place)?;
        let word = if wanted > u64::from(u32::MAX) { word } else { word & wanted };
        if !self.0.is_address(place, wanted) {
            return Ok(word);
        }
        self.0
            .follow
            .quietly(word, held)
            .ok_or_else(|| format!("the new code asks about {word:#x}, and nothing says what that is now"))
    }

    fn address(&self, link: NewLink) -> u64 {
        self.0.address(link)
    }

    fn frame(&self) -> u64 {
        self.0.frame()
    }

    fn outer(&mut self, frame: usize, held: Held, wanted: u64) -> Result<u64, String> {
        let (word, holder, is_address) = self.0.held(frame, held, wanted)?;
        let word = if wanted > u64::from(u32::MAX) { word } else { word & wanted };
        let unknown = || format!("the new code asks about {word:#x}, and nothing says what that is now");
        if is_address { self.0.follow.quietly(word, holder).ok_or_else(unknown) } else { Ok(word) }
    }

    fn plain(&mut self, frame: Option<usize>, held: Held) -> Result<u64, String> {
        self.0.plain(frame, held)
    }

    fn word(&mut self, word: u64, wanted: u64) -> Result<u64, String> {
        let unknown = || format!("the new code asks about {word:#x}, and nothing says what that is now");
        let is_address = self.0.is_address(WHOLE, wanted);
        if is_address { self.0.follow.quietly(word, Place::Computed).ok_or_else(unknown) } else { Ok(word) }
    }

    fn memory(&mut self, link: OldLink, bytes: u8, wanted: u64) -> Result<u64, String> {
        let (word, holder, is_address) = self.0.variable(link, bytes, wanted)?;
        let word = if wanted > u64::from(u32::MAX) { word } else { word & wanted };
        let unknown = || format!("the new code asks about {word:#x}, and nothing says what that is now");
        if is_address { self.0.follow.quietly(word, holder).ok_or_else(unknown) } else { Ok(word) }
    }

    fn said(&mut self, given: &Said) -> Result<u64, String> {
        self.0.follow.said(given, (self.0.subject.frames, self.0.number), false)
    }

    fn canary(&mut self) -> Result<u64, String> {
        self.0.canary()
    }
}
