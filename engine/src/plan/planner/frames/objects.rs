//! Objects of changed types in frames that move or are made anew.

use dsu_formats::address::RunAddress;

use super::OneThread;
use crate::plan::blocker::Blocker;
use crate::plan::data::rewrite::{self, Home, Object, Variable};
use crate::plan::frames::{Fate, FrameObject, recipe_of_local};
use crate::plan::planner::Planner;
use crate::program::types::TypeId;

impl Planner<'_> {
    /// Gives an object on a stack its new place; `false` for one that the new frame has no place for, and that nothing reads again.
    pub(in crate::plan::planner) fn takes_place_of_frame(&self, object: &mut Object) -> bool {
        let Some(piece) = self.frames.moves.piece(object.address) else { return true };
        match piece.fate {
            Fate::Carried => {
                let to = piece.to.wrapping_add(object.address.0 - piece.old.start.0);
                object.home = Home::Moved(RunAddress(to));
                true
            }
            Fate::Rewritten if object.address == piece.old.start => {
                object.home = Home::Given(RunAddress(piece.to));
                true
            }
            // An object within a variable that is rewritten as a whole is told below.
            Fate::Rewritten => true,
            Fate::Gone | Fate::Address => false,
        }
    }

    /// How an object becomes a variable of a new frame into which the new code has stored something that the old one does not have.
    pub(in crate::plan::planner) fn given_by_frame(&self, object: &Object) -> Option<(Variable, Option<TypeId>)> {
        let piece = self.frames.moves.piece(object.address).filter(|piece| piece.fate == Fate::Rewritten)?;
        let of_thread = |one: &OneThread| {
            let position = one.layout.positions.get(piece.frame)?;
            let rebuilt = one.rebuilt.get(piece.frame)?.as_ref()?;
            let is_it = |own: &&FrameObject| position.old.1.wrapping_add_signed(own.old) == object.address.0;
            rebuilt.continuation.objects.iter().find(is_it).filter(|own| !own.initial.is_empty()).cloned()
        };
        let local = self.frames.threads.iter().find_map(of_thread)?;
        let request = self.request;
        let recipe = recipe_of_local(request.comparison.view(request.old, request.new), request.comparison, &local)?;
        let mut initial = vec![0; usize::try_from(local.new_length).ok()?];
        for (from, bytes) in &local.initial {
            let from = usize::try_from(*from).ok()?;
            initial.get_mut(from..from.checked_add(bytes.len())?)?.copy_from_slice(bytes);
        }
        let variable = Variable { recipe, initial, to: RunAddress(piece.to), is_carried: true };
        Some((variable, local.kinds.0.map(|kind| request.old.debug.types.canonical(kind))))
    }

    /// Every variable of a frame that changes its type must have been found, and fit its place.
    pub(in crate::plan::planner) fn check_objects_of_frames(&mut self, moves: &rewrite::Moves) {
        let mut blockers = Vec::new();
        for one in &self.frames.threads {
            for piece in one.layout.pieces.iter().filter(|piece| piece.fate == Fate::Rewritten) {
                let reason = match moves.length_at(RunAddress(piece.to)) {
                    Some(length) if length == piece.length => continue,
                    Some(length) => {
                        format!("a variable of it becomes {length} bytes, and has {} in the new frame", piece.length)
                    }
                    None => format!("a variable of it at {} changes its type, and was not found as what it is", piece.old.start),
                };
                let tid = self.stacks.frames.get(one.thread).map_or(0, |(tid, _)| *tid);
                blockers.push(Blocker::Frame { tid, frame: self.frame_blocker(one.thread, piece.frame, reason) });
            }
        }
        self.blockers.extend(blockers);
    }
}
