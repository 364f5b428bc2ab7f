//! A set of bits of registers and pieces of the frame.

use crate::program::flow::bits::Bits;
use crate::program::flow::effects::{Location, Touch};

/// What is live at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveSet {
    pub(super) general: [u64; 16],
    /// A bit for each byte.
    pub(super) vector: [u64; 32],
    pub(super) mask: u8,
    pub(super) flags: u64,
    pub(super) x87: bool,
    pub(super) pieces: Bits,
    pub(super) dynamic: bool,
}

impl LiveSet {
    pub(super) fn new(pieces: usize) -> Self {
        let pieces = Bits::new(pieces);
        Self { general: [0; 16], vector: [0; 32], mask: 0, flags: 0, x87: false, pieces, dynamic: false }
    }

    /// Adds what is live elsewhere; whether that is more.
    pub(super) fn add(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for (bits, more) in self.general.iter_mut().zip(other.general) {
            *bits |= more;
        }
        for (bits, more) in self.vector.iter_mut().zip(other.vector) {
            *bits |= more;
        }
        self.mask |= other.mask;
        self.flags |= other.flags;
        self.x87 |= other.x87;
        self.pieces.add(&other.pieces);
        self.dynamic |= other.dynamic;
        *self != before
    }

    pub(super) fn touch(&mut self, touch: &Touch) {
        match touch.location {
            Location::Register(number) => {
                self.general.get_mut(usize::from(number)).into_iter().for_each(|bits| *bits |= touch.bits)
            }
            Location::Vector(number) => self.vector.get_mut(usize::from(number)).into_iter().for_each(|bits| *bits |= touch.bits),
            Location::Mask(number) => self.mask |= 1 << number,
            Location::Flags => self.flags |= touch.bits,
            Location::X87 => self.x87 = true,
        }
    }

    pub(super) fn remove(&mut self, touch: &Touch) {
        match touch.location {
            Location::Register(number) => {
                self.general.get_mut(usize::from(number)).into_iter().for_each(|bits| *bits &= !touch.bits)
            }
            Location::Vector(number) => {
                self.vector.get_mut(usize::from(number)).into_iter().for_each(|bits| *bits &= !touch.bits)
            }
            Location::Mask(number) => self.mask &= !(1 << number),
            Location::Flags => self.flags &= !touch.bits,
            // Its registers move with every load: none is ever overwritten for certain.
            Location::X87 => {}
        }
    }

    pub(super) fn register(&self, number: u8) -> u64 {
        self.general.get(usize::from(number)).copied().unwrap_or(u64::MAX)
    }
}
