//! The first instruction that reads something live.

use std::collections::{HashSet, VecDeque};

use super::Liveness;
use crate::program::address::LinkAddress;
use crate::program::flow::effects::{Location, Reach, Touch};
use crate::program::flow::escape::Shared;
use crate::program::flow::frame::NO_END;
use crate::program::flow::graph::Exit;

/// What a reader is looked for.
pub(super) enum Wanted {
    Touch(Touch),
    Piece(usize),
    Dynamic,
}

impl Wanted {
    pub(super) fn register(number: u8, bits: u64) -> Self {
        Self::Touch(Touch { location: Location::Register(number), bits })
    }

    pub(super) fn vector(number: u8, bits: u64) -> Self {
        Self::Touch(Touch { location: Location::Vector(number), bits })
    }

    pub(super) fn mask(number: u8) -> Self {
        Self::Touch(Touch { location: Location::Mask(number), bits: u64::MAX })
    }

    pub(super) fn flags(bits: u64) -> Self {
        Self::Touch(Touch { location: Location::Flags, bits })
    }

    pub(super) fn x87() -> Self {
        Self::Touch(Touch { location: Location::X87, bits: 1 })
    }
}

impl Liveness {
    /// The nearest instruction from `node` on that reads what is wanted, as address and node; the node itself where none is found, which is
    /// only so for what a dead computation would read.
    pub(super) fn reader(&self, node: u32, wanted: &Wanted) -> (LinkAddress, u32) {
        let mut seen = HashSet::from([node]);
        let mut open = VecDeque::from([node]);
        while let Some(index) = open.pop_front() {
            let Some(here) = self.shared.frame.nodes.get(index as usize) else { continue };
            if self.shared.reads(index, wanted) {
                return (here.address(), index);
            }
            if self.shared.overwrites(index, wanted) {
                continue;
            }
            open.extend(here.next.iter().copied().filter(|next| seen.insert(*next)));
        }
        let here = self.shared.frame.nodes.get(node as usize);
        (here.map(|node| node.address()).unwrap_or_default(), node)
    }
}

impl Shared {
    fn reads(&self, index: u32, wanted: &Wanted) -> bool {
        let Some(effects) = self.frame.effects.get(index as usize) else { return false };
        match wanted {
            Wanted::Touch(wanted) => {
                effects.reads.iter().any(|touch| touch.location == wanted.location && touch.bits & wanted.bits != 0)
            }
            Wanted::Piece(piece) => self.reads_piece(index, *piece),
            Wanted::Dynamic => {
                let is_call = self.frame.nodes.get(index as usize).is_some_and(|node| node.call.is_some());
                let reaches = |reach| matches!(reach, Reach::Dynamic | Reach::Frame | Reach::Pointer);
                is_call || effects.memory.iter().any(|access| access.reads && reaches(access.reach))
            }
        }
    }

    fn reads_piece(&self, index: u32, piece: usize) -> bool {
        let (Some(node), Some(effects)) = (self.frame.nodes.get(index as usize), self.frame.effects.get(index as usize)) else {
            return false;
        };
        let exposed = self.forward.exposed(index);
        let mut found = false;
        for access in effects.memory.iter().filter(|access| access.reads) {
            self.frame.touched(access.reach, access.length, exposed, |pieces| found |= pieces.has(piece));
        }
        if node.call.is_some() {
            found |= exposed.has(piece) || self.forward.arguments(index).has(piece);
            found |= node.exit == Some(Exit::TailCall) && self.frame.pieces.touching(0, NO_END).contains(&piece);
        }
        found
    }

    fn overwrites(&self, index: u32, wanted: &Wanted) -> bool {
        let Some(effects) = self.frame.effects.get(index as usize) else { return true };
        match wanted {
            Wanted::Touch(wanted) => {
                effects.writes.iter().any(|touch| touch.location == wanted.location && touch.bits & wanted.bits == wanted.bits)
            }
            Wanted::Piece(piece) => {
                let top = self.frame.stack_pointers.get(index as usize).copied().flatten();
                let is_call = self.frame.nodes.get(index as usize).is_some_and(|node| node.is_call());
                let below = top.filter(|_| is_call).map_or(0..0, |top| self.frame.pieces.below(top));
                below.contains(piece) || self.frame.overwritten(index).any(|overwritten| overwritten == *piece)
            }
            Wanted::Dynamic => false,
        }
    }
}
