//! Where in the types the compiler is: the places by which rules may speak of the current field.

use super::place;
use crate::plan::data::rules::{Place, Root};
use crate::program::types::TypeId;

/// A structure, union or variable around the current field.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) old_root: Option<Root>,
    pub(super) new_root: Option<Root>,
    /// The old type, for rules that read its objects.
    pub(super) old_kind: Option<TypeId>,
    /// Offset of the old object, from the start of the element or object that steps count from.
    pub(super) old_base: usize,
    /// Offset of the new object, likewise.
    pub(super) new_base: usize,
    /// Lengths of the paths where the frame begins.
    old_depth: usize,
    new_depth: usize,
    /// How many arrays are around: an object outside the innermost one has no fixed distance.
    pub(super) level: usize,
}

/// The stack of frames.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    frames: Vec<Frame>,
    old_path: Vec<u32>,
    new_path: Vec<u32>,
    level: usize,
}

/// What to restore when a field is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depths(usize, usize);

impl Frames {
    pub(super) fn push(
        &mut self,
        (old_root, old_kind, old_base): (Option<Root>, Option<TypeId>, usize),
        (new_root, new_base): (Option<Root>, usize),
    ) {
        let (old_depth, new_depth) = (self.old_path.len(), self.new_path.len());
        self.frames.push(Frame { old_root, new_root, old_kind, old_base, new_base, old_depth, new_depth, level: self.level });
    }

    pub(super) fn pop(&mut self) {
        self.frames.pop();
    }

    /// Goes on to a field; [`Frames::leave`] goes back.
    pub(super) fn enter(&mut self, old: &[u32], new: &[u32]) -> Depths {
        let depths = Depths(self.old_path.len(), self.new_path.len());
        self.old_path.extend_from_slice(old);
        self.new_path.extend_from_slice(new);
        depths
    }

    pub(super) fn leave(&mut self, depths: Depths) {
        self.old_path.truncate(depths.0);
        self.new_path.truncate(depths.1);
    }

    /// The current field of the new object takes the old one at `path` of the frame with this root: nothing of the frames further in
    /// speaks of the old side any more.
    pub(super) fn redirect(&mut self, new_root: Option<Root>, path: &[u32]) {
        let Some(position) = self.frames.iter().position(|frame| frame.new_root == new_root) else { return };
        let Some((frame, inner)) = self.frames.get_mut(position..).and_then(<[Frame]>::split_first_mut) else { return };
        for frame in inner {
            (frame.old_root, frame.old_kind) = (None, None);
        }
        self.old_path.truncate(frame.old_depth);
        self.old_path.extend_from_slice(path);
    }

    /// Goes into the elements of an array and comes back.
    pub(super) fn enter_array(&mut self) {
        self.level += 1;
    }

    pub(super) fn leave_array(&mut self) {
        self.level = self.level.saturating_sub(1);
    }

    pub(super) fn level(&self) -> usize {
        self.level
    }

    pub(super) fn last(&self) -> Option<&Frame> {
        self.frames.last()
    }

    /// The places of the new build that the current field is, outermost first, each with its frame.
    pub(super) fn new_places(&self) -> impl Iterator<Item = (Place, &Frame)> {
        self.frames.iter().filter_map(|frame| {
            let path = self.new_path.get(frame.new_depth..)?;
            Some((place(frame.new_root?, path), frame))
        })
    }

    /// The places of the old build that the current field is, outermost first, each with its frame.
    pub(super) fn old_places(&self) -> impl Iterator<Item = (Place, &Frame)> {
        self.frames.iter().filter_map(|frame| {
            let path = self.old_path.get(frame.old_depth..)?;
            Some((place(frame.old_root?, path), frame))
        })
    }
}
