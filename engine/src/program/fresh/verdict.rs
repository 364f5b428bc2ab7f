//! What all functions together say of each type.

use std::collections::HashMap;

use super::bytes::{Byte, Bytes};
use super::program::Program;
use super::summary::{Block, Size};
use crate::program::address::LinkAddress;
use crate::program::types::TypeId;

/// The bytes of each wanted type of which something is proved, as they are in every new object.
pub(super) fn facts(program: &Program<'_>) -> HashMap<TypeId, Bytes> {
    let Some(testimonies) = program.testimonies() else {
        tracing::debug!("some function is not understood");
        return HashMap::new();
    };
    let mut verdict = Verdict { program, found: vec![None; program.types.wanted().len()] };
    let by_value = program.locals.automatic.iter().copied().chain(program.passed_by_value());
    for kind in by_value {
        for (position, _) in &program.types.inside(kind).places {
            verdict.refuse(*position, 0, "variables of functions");
        }
    }
    for testimony in &testimonies {
        for block in &testimony.blocks {
            verdict.block(block);
        }
        for (position, at) in &testimony.refused {
            verdict.refuse(*position, *at, "an unexplained pointer");
        }
    }
    let found = program.types.wanted().iter().copied().zip(verdict.found);
    found.filter_map(|(kind, bytes)| Some((kind, bytes?))).collect()
}

struct Verdict<'p, 'b> {
    program: &'p Program<'b>,
    /// By position among the wanted types; `None` while no maker has been seen.
    found: Vec<Option<Bytes>>,
}

impl Verdict<'_, '_> {
    fn refuse(&mut self, position: usize, at: u64, reason: &'static str) {
        if tracing::enabled!(tracing::Level::DEBUG) {
            let kind = self.program.types.wanted().get(position).copied();
            let (kind, place) = (self.program.types.table().describe(kind), self.program.build.place(LinkAddress(at)));
            tracing::debug!(kind, place, reason, "nothing is proved of its new objects");
        }
        self.make(position, &Bytes::all(Byte::Other));
    }

    /// An object of the wanted type at `position` is made like this.
    fn make(&mut self, position: usize, bytes: &Bytes) {
        if let Some(found) = self.found.get_mut(position) {
            *found = Some(found.as_ref().map_or_else(|| bytes.clone(), |known| known.join(bytes)));
        }
    }

    fn block(&mut self, block: &Block) {
        let told = &block.told;
        if told.objects.is_empty() {
            if told.escapes && !told.raw {
                self.untold(block);
            }
            return;
        }
        let types = &self.program.types;
        let unknown = Bytes::all(Byte::Other);
        let bytes = block.bytes.as_ref().unwrap_or(&unknown);
        for (kind, offset) in &told.objects {
            let lies_in_another = told.objects.iter().any(|(other, _)| other != kind && types.holds(*other, *kind));
            let inside = types.inside(*kind);
            for (position, at) in &inside.places {
                let made = match offset {
                    Some(offset) if inside.whole => {
                        let single = lies_in_another || self.is_single(*kind, *offset, block.size);
                        self.elements(*kind, *offset, block, bytes, single).moved(at.saturating_neg())
                    }
                    _ => unknown.clone(),
                };
                tracing::debug!(place = self.program.build.place(LinkAddress(block.address)), ?kind, ?made, "a maker");
                self.make(*position, &made);
            }
            if !lies_in_another {
                self.base(*kind, *offset, block, bytes);
            }
        }
    }

    /// A block whose type nothing tells: it may hold whatever fits.
    fn untold(&mut self, block: &Block) {
        for (position, kind) in self.program.types.wanted().to_vec().into_iter().enumerate() {
            let fits = match (block.size, self.program.types.size(kind)) {
                (Size::Bytes(bytes), Some(size)) => bytes >= size,
                _ => true,
            };
            if fits {
                self.refuse(position, block.address, "a block whose type nothing tells");
            }
        }
    }

    /// Whether a block has room for one object of the type only.
    fn is_single(&self, kind: TypeId, offset: i64, size: Size) -> bool {
        let one = self.program.types.size(kind).unwrap_or(0);
        self.program.types.is_flexible(kind) || matches!(size, Size::Bytes(bytes) if bytes - offset < 2 * one)
    }

    /// What is known of each of the objects of a type that lie in a block from `offset` on.
    fn elements(&self, kind: TypeId, offset: i64, block: &Block, bytes: &Bytes, single: bool) -> Bytes {
        let first = bytes.moved(offset.saturating_neg());
        let Some(one) = self.program.types.size(kind).filter(|one| *one > 0) else { return Bytes::all(Byte::Other) };
        if matches!(block.size, Size::Bytes(size) if size - offset < one) {
            return Bytes::all(Byte::Other);
        }
        if single {
            return first;
        }
        let end = if let Size::Bytes(size) = block.size { size } else { i64::MAX };
        bytes.of_elements(offset, end, one)
    }

    /// A pointer to the first member may be all that tells of a wanted type that begins with it.
    fn base(&mut self, kind: TypeId, offset: Option<i64>, block: &Block, bytes: &Bytes) {
        let types = &self.program.types;
        if types.table().get(kind).shape.members().is_none() {
            return;
        }
        for (position, wanted) in types.wanted().to_vec().into_iter().enumerate() {
            let fits = match (block.size, types.size(wanted)) {
                (Size::Bytes(size), Some(wanted)) => size >= wanted,
                _ => true,
            };
            if !fits || !types.holds(wanted, kind) {
                continue;
            }
            let made = offset.map_or_else(|| Bytes::all(Byte::Other), |offset| bytes.moved(offset.saturating_neg()));
            self.make(position, &made);
        }
    }
}
