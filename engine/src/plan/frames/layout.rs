//! Where each frame of a thread's new stack lies: outermost first, each below its caller. What is carried keeps its bytes.

use std::ops::Range;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::continuation::{Continuation, FrameObject};
use super::layout_shape::Shape;
use crate::plan::scan::dead::RED_ZONE;
use crate::program::types::TypeId;
use crate::program::unwind::{Frame, dwarf};

/// Alignment of the stack pointer at a call (System V ABI, 3.2.2).
const CALL_ALIGNMENT: u64 = 16;
/// What a call puts on the stack, in bytes.
const RETURN_ADDRESS: u64 = 8;
/// Alignment of the XSAVE area in a signal frame.
const SIGNAL_ALIGNMENT: u64 = 64;

/// A frame that is made for the new code.
#[derive(Clone, Debug)]
pub struct Rebuilt {
    /// How it goes on.
    pub continuation: Arc<Continuation>,
    /// What it looks like.
    pub shape: Shape,
    /// Whether the thread is to enter its function: it is a return address and nothing else, and what it called is gone.
    pub is_entry: bool,
    /// What it has to do with the frame above it.
    pub tie: Tie,
}

/// What a frame has to do with the one above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tie {
    /// It was called by it, and is.
    #[default]
    Called,
    /// It vanishes: what it called is called by that one now.
    Vanishes,
    /// It is called by it now; before both were one frame, whose place it has.
    Inside,
}

impl Rebuilt {
    /// A frame at the entry of a function, which `continuation` names with its arguments.
    pub fn entry(continuation: Arc<Continuation>) -> Self {
        Self {
            continuation,
            shape: Shape { size: RETURN_ADDRESS, base: None, saved: [None; 16] },
            is_entry: true,
            tie: Tie::Called,
        }
    }

    /// A frame that vanishes, where the one further out goes on as `continuation` says.
    pub fn vanishing(continuation: Arc<Continuation>) -> Self {
        Self { continuation, shape: Shape { size: 0, base: None, saved: [None; 16] }, is_entry: false, tie: Tie::Vanishes }
    }

    /// Whether variables of the frame above it may have been in its part of the old stack.
    fn is_tied(&self) -> bool {
        self.tie != Tie::Called
    }
}

/// The frame that a thread enters anew; those before it in the list are gone.
pub(super) fn entered(rebuilt: &[Option<Rebuilt>]) -> Option<usize> {
    rebuilt.iter().position(|rebuilt| rebuilt.as_ref().is_some_and(|rebuilt| rebuilt.is_entry))
}

/// Where one frame was, and where it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Old stack pointer in the frame, and its canonical frame address.
    pub old: (u64, u64),
    /// The same of the new stack.
    pub new: (u64, u64),
}

/// What a range of the old stack becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its bytes go to the new place, words in it follow what they point to.
    Carried,
    /// It is an object whose type changes, with a place in the new frame.
    Rewritten,
    /// Only pointers to it go there: what is there is made anew.
    Address,
    /// Nothing of the new frame takes its place.
    Gone,
}

/// A range of the old stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it was.
    pub old: RunRange,
    /// Where its first byte goes.
    pub to: u64,
    /// How many bytes it has there.
    pub length: u64,
    /// What becomes of it.
    pub fate: Fate,
    /// The frame that it is part of.
    pub frame: usize,
    /// Whether a pointer to its end is to be expected: it is an array, or has one.
    pub may_end: bool,
}

/// The new stack of one thread.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Every frame, innermost first.
    pub positions: Vec<Position>,
    /// Everything from the outermost rebuilt frame downwards, by ascending old address, disjoint.
    pub pieces: Vec<Piece>,
    /// The new stack, in parts that are each whole: red zone of the innermost frame up to the end of the outermost rebuilt one.
    pub extents: Vec<RunRange>,
}

/// Why frames cannot be laid out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct LayoutProblem {
    /// The frame that it is about.
    pub frame: usize,
    /// What is in the way.
    pub reason: String,
}

/// A stack, as far as it may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackRoom {
    /// The mapping, or alternate signal stack.
    pub range: RunRange,
    /// Lowest address that may be used.
    pub lowest: u64,
    /// What is below that, for people.
    pub what: String,
}

/// What is known of the frames' surroundings.
pub struct Surroundings<'a> {
    /// The alignment, in bytes, that a carried frame's code relies on beyond that of calls.
    pub alignment: &'a dyn Fn(usize) -> u64,
    /// How many bytes at the bottom of a rebuilt frame are arguments that its callee reads.
    pub arguments: &'a dyn Fn(usize) -> Result<u64, String>,
    /// Whether objects of a type of the old build are arrays, or have some.
    pub has_array: &'a dyn Fn(TypeId) -> bool,
    /// The stack around an address.
    pub room: &'a dyn Fn(u64) -> Option<StackRoom>,
}

/// Lays out the frames of a thread, innermost first; `rebuilt` has those that are made anew, the others are carried.
///
/// # Errors
/// What is in the way.
pub fn lay_out(frames: &[Frame], rebuilt: &[Option<Rebuilt>], around: &Surroundings<'_>) -> Result<Layout, LayoutProblem> {
    let mut layout = Layout::default();
    if !rebuilt.iter().any(Option::is_some) {
        return Ok(layout);
    }
    let switches = switches(frames, around)?;
    layout.positions = positions(frames, rebuilt, &switches)?;
    // A signal frame on another stack is part of that one.
    let mut end = frames.len();
    for switch in switches.iter().rev() {
        group_of(frames, rebuilt, around, switch + 1..end, &mut layout)?;
        end = switch + 1;
    }
    group_of(frames, rebuilt, around, 0..end, &mut layout)?;
    layout.pieces.sort_by_key(|piece| piece.old.start);
    match layout.pieces.windows(2).find(|pair| matches!(pair, [one, next] if one.old.overlaps(&next.old))) {
        Some([one, _]) => Err(LayoutProblem { frame: one.frame, reason: "its frame overlaps another one".to_owned() }),
        _ => Ok(layout),
    }
}

/// Signal frames that are on another stack than what they interrupted, innermost first.
fn switches(frames: &[Frame], around: &Surroundings<'_>) -> Result<Vec<usize>, LayoutProblem> {
    let mut found = Vec::new();
    for (number, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.is_signal_frame) {
        let own = (around.room)(pointer(frames, number)?).map(|room| room.range);
        let interrupted = (around.room)(frame.cfa.0.wrapping_sub(1)).map(|room| room.range);
        if own != interrupted {
            found.push(number);
        }
    }
    Ok(found)
}

/// Frames of one stack: everything from the outermost rebuilt one inwards.
fn group_of(
    frames: &[Frame],
    rebuilt: &[Option<Rebuilt>],
    around: &Surroundings<'_>,
    group: Range<usize>,
    layout: &mut Layout,
) -> Result<(), LayoutProblem> {
    let is_rebuilt = |number: &usize| rebuilt.get(*number).is_some_and(Option::is_some);
    let Some(outermost) = group.clone().rev().find(is_rebuilt) else { return Ok(()) };
    let entered = entered(rebuilt).filter(|entered| group.contains(entered));
    let innermost = entered.unwrap_or(group.start);
    layout.pieces.extend(entered.into_iter().flat_map(|entered| dropped(&layout.positions, group.start..entered + 1)));
    for number in (innermost..=outermost).rev() {
        let Some(position) = layout.positions.get(number).copied() else { continue };
        check_alignment(frames, number, &position, rebuilt, around)?;
        let mut pieces = match rebuilt.get(number).and_then(Option::as_ref) {
            Some(rebuilt) if rebuilt.is_entry => continue,
            Some(own) => {
                let owners = owners(rebuilt, number);
                let lowest = lowest_tied(rebuilt, &layout.positions, number);
                rebuilt_pieces((number, own, lowest), &owners, number != outermost, around, layout)?
            }
            None => carried_pieces(frames, number, position, is_between(rebuilt, number + 1)),
        };
        if number == innermost && !is_between(rebuilt, number) {
            pieces.push(red_zone(number, position));
        }
        layout.pieces.extend(pieces);
    }
    let ends = layout.positions.get(innermost).zip(layout.positions.get(outermost));
    let Some((inner, outer)) = ends else { return Ok(()) };
    let extent = RunRange::new(inner.new.0.saturating_sub(RED_ZONE).min(outer.new.1), outer.new.1);
    let problem = |reason: String| LayoutProblem { frame: outermost, reason };
    let room = (around.room)(outer.old.1.wrapping_sub(8)).ok_or_else(|| problem("its stack is in no mapping".to_owned()))?;
    if extent.start.0 < room.lowest {
        let short = room.lowest - extent.start.0;
        return Err(problem(format!("its stack would reach down to {}, {short} bytes into {}", extent.start, room.what)));
    }
    layout.extents.push(extent);
    Ok(())
}

/// Whether a frame is made anew at a point that no call comes back to.
fn is_between(rebuilt: &[Option<Rebuilt>], number: usize) -> bool {
    rebuilt.get(number).and_then(Option::as_ref).is_some_and(|rebuilt| rebuilt.continuation.between)
}

/// Frames that nothing takes the place of, with what the innermost one has below its stack pointer.
fn dropped(positions: &[Position], frames: Range<usize>) -> Vec<Piece> {
    let innermost = frames.start;
    let gone = |(frame, position): (usize, &Position)| {
        let below = if frame == innermost { RED_ZONE } else { 0 };
        let (low, cfa) = position.old;
        let old = RunRange { start: RunAddress(low.saturating_sub(below)), end: RunAddress(cfa.max(low)) };
        Piece { old, to: 0, length: 0, fate: Fate::Gone, frame, may_end: false }
    };
    frames.filter_map(|frame| Some((frame, positions.get(frame)?))).map(gone).collect()
}

fn pointer(frames: &[Frame], frame: usize) -> Result<u64, LayoutProblem> {
    let pointer = frames.get(frame).and_then(|frame| frame.registers.get(dwarf::RSP).copied().flatten());
    pointer
        .map(|pointer| pointer.value)
        .ok_or_else(|| LayoutProblem { frame, reason: "its stack pointer is not known".to_owned() })
}

/// From the outermost frame inwards.
fn positions(frames: &[Frame], rebuilt: &[Option<Rebuilt>], switches: &[usize]) -> Result<Vec<Position>, LayoutProblem> {
    let mut positions = Vec::with_capacity(frames.len());
    let mut moved = 0u64;
    let first_kept = entered(rebuilt).unwrap_or(0);
    for (number, frame) in frames.iter().enumerate().rev() {
        let (low, cfa) = (pointer(frames, number)?, frame.cfa.0);
        if number < first_kept {
            positions.push(Position { old: (low, cfa), new: (low, cfa) });
            continue;
        }
        let new_cfa = cfa.wrapping_add(moved);
        let new_low = match rebuilt.get(number).and_then(Option::as_ref) {
            Some(rebuilt) => new_cfa.wrapping_sub(rebuilt.shape.size),
            None if switches.contains(&number) => low,
            // The kernel puts its record where it is aligned, however far below what it interrupts.
            None if frame.is_signal_frame => low.wrapping_add(moved & !(SIGNAL_ALIGNMENT - 1)),
            None => low.wrapping_add(moved),
        };
        positions.push(Position { old: (low, cfa), new: (new_low, new_cfa) });
        moved = new_low.wrapping_sub(low);
    }
    positions.reverse();
    Ok(positions)
}

fn check_alignment(
    frames: &[Frame],
    frame: usize,
    position: &Position,
    rebuilt: &[Option<Rebuilt>],
    around: &Surroundings<'_>,
) -> Result<(), LayoutProblem> {
    let anew = rebuilt.get(frame).and_then(Option::as_ref);
    if is_between(rebuilt, frame) && !anew.is_some_and(|rebuilt| rebuilt.is_entry) {
        // Whatever is below it has its own needs.
        return Ok(());
    }
    if let Some(rebuilt) = anew {
        let reason = "the stack pointer would not be aligned at its call".to_owned();
        let at_call = if rebuilt.is_entry { position.new.1 } else { position.new.0 };
        return if at_call.is_multiple_of(CALL_ALIGNMENT) { Ok(()) } else { Err(LayoutProblem { frame, reason }) };
    }
    let moved = position.new.0.wrapping_sub(position.old.0);
    let needed = match frames.get(frame).is_some_and(|frame| frame.is_signal_frame) {
        true => SIGNAL_ALIGNMENT,
        false if moved.is_multiple_of(SIGNAL_ALIGNMENT) => CALL_ALIGNMENT,
        false => (around.alignment)(frame).max(CALL_ALIGNMENT),
    };
    if moved.is_multiple_of(needed) {
        return Ok(());
    }
    let moved = moved.cast_signed();
    Err(LayoutProblem { frame, reason: format!("it would move by {moved} bytes, and relies on an alignment of {needed}") })
}

fn carried(old: (u64, u64), to: u64, frame: usize) -> Piece {
    let old = RunRange { start: RunAddress(old.0), end: RunAddress(old.1.max(old.0)) };
    Piece { old, to, length: old.len(), fate: Fate::Carried, frame, may_end: false }
}

/// What code has below its stack pointer.
fn red_zone(frame: usize, position: Position) -> Piece {
    let Position { old: (low, _), new: (new_low, _) } = position;
    let start = low.saturating_sub(RED_ZONE);
    carried((start, low), new_low.wrapping_sub(low - start), frame)
}

/// `struck` says that what a signal interrupted is made anew, with what it has below its stack pointer.
fn carried_pieces(frames: &[Frame], number: usize, position: Position, struck: bool) -> Vec<Piece> {
    let Position { old: (low, cfa), new: (new_low, new_cfa) } = position;
    if frames.get(number).is_some_and(|frame| frame.is_signal_frame) {
        // What the interrupted code has below its stack pointer stays with that.
        let zone = cfa.saturating_sub(RED_ZONE).max(low);
        let record = carried((low, zone), new_low, number);
        return match struck {
            true => vec![record],
            false => vec![record, carried((zone, cfa), new_cfa.wrapping_sub(cfa - zone), number)],
        };
    }
    vec![carried((low, cfa), new_low, number)]
}

/// Frames whose variables may have been in one's part of the old stack: itself first, then those that it is tied to.
fn owners(rebuilt: &[Option<Rebuilt>], number: usize) -> Vec<(usize, &Rebuilt)> {
    let mut found = Vec::new();
    for (at, own) in rebuilt.iter().enumerate().skip(number) {
        let Some(own) = own else { break };
        found.push((at, own));
        if !own.is_tied() {
            break;
        }
    }
    found
}

/// The lowest old stack pointer of a frame and of those below that are tied to it.
fn lowest_tied(rebuilt: &[Option<Rebuilt>], positions: &[Position], number: usize) -> u64 {
    let below = rebuilt.get(..number).unwrap_or_default().iter().rev();
    let count = below.take_while(|own| own.as_ref().is_some_and(Rebuilt::is_tied)).count();
    positions.get(number - count).map_or(0, |position| position.old.0)
}

/// The pieces of a rebuilt frame, ascending and without gaps; `has_moving_caller` says that its caller has pieces, too.
fn rebuilt_pieces(
    (frame, rebuilt, lowest): (usize, &Rebuilt, u64),
    owners: &[(usize, &Rebuilt)],
    has_moving_caller: bool,
    around: &Surroundings<'_>,
    layout: &Layout,
) -> Result<Vec<Piece>, LayoutProblem> {
    let Some(position) = layout.positions.get(frame).copied() else { return Ok(Vec::new()) };
    let Position { old: (low, cfa), new: (new_low, new_cfa) } = position;
    // Code that is about to run may have variables below its stack pointer.
    let zone = if rebuilt.continuation.between { RED_ZONE } else { 0 };
    // Whoever points to the frame's base means that of the new frame. Without a frame pointer variables are right below the return address.
    let reaches = |object: &FrameObject| object.old < -8 && object.old.saturating_add_unsigned(object.old_length) > -16;
    let saved = if rebuilt.continuation.objects.iter().any(reaches) { 8 } else { 16 };
    let base = RunRange::new(cfa.saturating_sub(saved).max(low), cfa);
    let base = Piece { old: base, to: new_cfa.wrapping_sub(base.len()), length: 0, fate: Fate::Address, frame, may_end: false };
    // Of a frame that vanishes it is gone.
    let fate = if rebuilt.tie == Tie::Vanishes { Fate::Gone } else { Fate::Address };
    let mut pieces = vec![Piece { fate, ..base }];
    let arguments = if frame == 0 { Ok(0) } else { (around.arguments)(frame) };
    let arguments = arguments.map_err(|reason| LayoutProblem { frame, reason })?;
    if arguments > rebuilt.shape.size.min(cfa - low) {
        let reason = format!("what it called reads {arguments} bytes of arguments, which the new frame has no room for");
        return Err(LayoutProblem { frame, reason });
    }
    pieces.push(carried((low, low + arguments), new_low, frame));
    for (owner, rebuilt) in owners.iter().filter(|(_, rebuilt)| rebuilt.tie != Tie::Vanishes) {
        let Some(home) = layout.positions.get(*owner).copied() else { continue };
        for object in &rebuilt.continuation.objects {
            // Of frames that are tied each has what was in its part of the old stack.
            let start = RunAddress(home.old.1.wrapping_add_signed(object.old));
            let is_here = start.0 >= low.saturating_sub(zone) && start.0 < cfa;
            let is_nowhere = start.0 < lowest.saturating_sub(zone) || start.0 >= cfa;
            if is_here || (*owner == frame && (lowest == low || is_nowhere)) {
                pieces.extend(object_piece(object, (frame, position, home, zone), has_moving_caller, around, layout)?);
            }
        }
    }
    pieces.retain(|piece| !piece.old.is_empty());
    pieces.sort_by_key(|piece| (piece.old.start, piece.old.end));
    let pieces = without_gaps(frame, low.saturating_sub(zone), pieces)?;
    Ok(pieces.into_iter().flat_map(|piece| below_pointer(piece, position)).collect())
}

/// What earlier calls have left below the stack pointer is pointed to by what else they left: that stays as far from the stack pointer.
fn below_pointer(piece: Piece, position: Position) -> Vec<Piece> {
    let Position { old: (low, _), new: (new_low, _) } = position;
    if piece.fate != Fate::Gone || piece.old.start.0 >= low {
        return vec![piece];
    }
    let split = RunAddress(low.min(piece.old.end.0));
    let to = new_low.wrapping_sub(low - piece.old.start.0);
    let below = Piece { old: RunRange { start: piece.old.start, end: split }, to, fate: Fate::Address, ..piece };
    let rest = Piece { old: RunRange { start: split, end: piece.old.end }, ..piece };
    if rest.old.is_empty() { vec![below] } else { vec![below, rest] }
}

fn object_piece(
    object: &FrameObject,
    (frame, position, home, zone): (usize, Position, Position, u64),
    has_moving_caller: bool,
    around: &Surroundings<'_>,
    layout: &Layout,
) -> Result<Option<Piece>, LayoutProblem> {
    let problem = |what: &str| LayoutProblem { frame, reason: format!("variable `{}` {what}", object.name) };
    let start = home.old.1.wrapping_add_signed(object.old);
    let to = home.new.1.wrapping_add_signed(object.new);
    let old = RunRange { start: RunAddress(start), end: RunAddress(start.saturating_add(object.old_length)) };
    if object.old >= 0 {
        // An argument on the stack lies in the caller's frame, and goes with that.
        let carried = layout.pieces.iter().find(|piece| piece.fate == Fate::Carried && piece.old.contains(old.start));
        let goes_along = match carried.filter(|_| has_moving_caller) {
            Some(piece) => piece.to.wrapping_sub(piece.old.start.0) == to.wrapping_sub(start) && old.end <= piece.old.end,
            None => !has_moving_caller && to == start,
        };
        let is_right = goes_along && !object.is_changed;
        return if is_right { Ok(None) } else { Err(problem("is an argument on the stack, which the caller has elsewhere")) };
    }
    if start < position.old.0.saturating_sub(zone) || to < home.new.0.saturating_sub(zone) || object.new >= 0 {
        return Err(problem("is not within its frame"));
    }
    let (fate, length) = match object.is_changed {
        true => (Fate::Rewritten, object.new_length),
        // A longer array has its old elements first.
        false => (Fate::Carried, object.new_length),
    };
    let may_end = object.kinds.0.is_none_or(around.has_array);
    Ok(Some(Piece { old, to, length, fate, frame, may_end }))
}

/// Of pieces that lie in each other the outer ones, with what is gone between them.
fn without_gaps(frame: usize, low: u64, pieces: Vec<Piece>) -> Result<Vec<Piece>, LayoutProblem> {
    let mut whole: Vec<Piece> = Vec::with_capacity(2 * pieces.len());
    let mut at = low;
    for piece in pieces {
        if let Some(last) = whole.last_mut().filter(|last| last.old.overlaps(&piece.old)) {
            // Variables of two scopes may share memory.
            let moved = |piece: &Piece| piece.to.wrapping_sub(piece.old.start.0);
            if moved(&piece) != moved(last) || piece.fate != last.fate || piece.fate == Fate::Rewritten {
                let reason = "two of its variables share memory in one build and not in the other".to_owned();
                return Err(LayoutProblem { frame, reason });
            }
            last.length = last.length.max((piece.old.start.0 - last.old.start.0).saturating_add(piece.length));
            last.old.end = last.old.end.max(piece.old.end);
            last.may_end |= piece.may_end;
            at = last.old.end.0;
            continue;
        }
        if at < piece.old.start.0 {
            let old = RunRange::new(at, piece.old.start.0);
            whole.push(Piece { old, to: 0, length: 0, fate: Fate::Gone, frame, may_end: false });
        }
        at = piece.old.end.0;
        whole.push(piece);
    }
    Ok(whole)
}
