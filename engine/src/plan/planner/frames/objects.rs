//! Objects of changed types in frames that move or are made anew.

use dsu_formats::address::RunAddress;

use crate::plan::blocker::Blocker;
use crate::plan::data::rewrite::{self, Home, Object};
use crate::plan::frames::Fate;
use crate::plan::planner::Planner;

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
