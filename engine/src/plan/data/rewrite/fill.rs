//! Makes the new bytes of all objects.

use std::thread;

use dsu_formats::address::RunAddress;

use super::moves::{Followed, Move, Moves};
use super::window::Window;
use super::{Object, Place, RewriteProblem, Rewriter};
use crate::plan::data::recipe::{Context, Found, Recipe, Slot};

/// How many problems are listed; further ones say nothing new.
const PROBLEM_LIMIT: usize = 100;
/// How many objects are worth a thread.
const PER_THREAD: usize = 1 << 14;

/// The new bytes of objects that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Where they go.
    pub to: Place,
    /// First of their bytes in [`Filled::bytes`].
    pub start: usize,
    /// How many.
    pub length: usize,
}

/// A word that is to hold the address of something in a block that is allocated in the vessel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixup {
    /// The word.
    pub at: Place,
    /// What it points to.
    pub target: Place,
}

/// All new objects.
#[derive(Debug, Default)]
pub struct Filled {
    /// Ascending by old address.
    pub contents: Vec<Content>,
    /// Their bytes, one after the other.
    pub bytes: Vec<u8>,
    /// Words to complete when the blocks are there.
    pub fixups: Vec<Fixup>,
}

/// What one thread makes.
#[derive(Default)]
struct Share {
    fixups: Vec<Fixup>,
    problems: Vec<RewriteProblem>,
}

/// A slice of the work.
struct Task<'t> {
    objects: &'t [Object],
    moves: &'t [Move],
    bytes: &'t mut [u8],
}

impl Rewriter<'_> {
    /// Makes the bytes of all objects, with the moves that [`Rewriter::place`] gave for the same ones, on up to `threads` threads.
    ///
    /// # Errors
    /// Everything that stands against it, the first hundred of each thread.
    pub fn fill(&self, objects: &[Object], moves: &Moves, threads: usize) -> Result<Filled, Vec<RewriteProblem>> {
        let mut filled = Filled::default();
        for one in moves.list() {
            let length = usize::try_from(one.new_length).unwrap_or(0);
            let start = filled.contents.last().map_or(0, |last| last.start + last.length);
            filled.contents.push(Content { to: one.to, start, length });
        }
        let total = filled.contents.last().map_or(0, |last| last.start + last.length);
        filled.bytes = vec![0; total];
        let tasks = split(objects, moves.list(), &mut filled.bytes, threads);
        let shares: Vec<Share> = thread::scope(|scope| {
            let running: Vec<_> = tasks.into_iter().map(|task| scope.spawn(|| self.share(task, moves))).collect();
            // A thread that panics takes the plan with it.
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut problems = Vec::new();
        for share in shares {
            filled.fixups.extend(share.fixups);
            problems.extend(share.problems);
        }
        if problems.is_empty() { Ok(filled) } else { Err(problems) }
    }

    fn share(&self, task: Task<'_>, moves: &Moves) -> Share {
        let mut share = Share::default();
        let mut window = Window::new(self.memory);
        let mut rest = task.bytes;
        for (object, one) in task.objects.iter().zip(task.moves) {
            let length = usize::try_from(one.new_length).unwrap_or(0).min(rest.len());
            let (bytes, behind) = rest.split_at_mut(length);
            rest = behind;
            let Some(recipe) = moves.recipes().get(one.recipe as usize) else { continue };
            if let Err(problem) = self.objects((object, one), recipe, bytes, (moves, &mut window), &mut share) {
                share.problems.push(problem);
            }
            if share.problems.len() >= PROBLEM_LIMIT {
                break;
            }
        }
        share
    }

    /// The objects of one move.
    fn objects(
        &self,
        (object, one): (&Object, &Move),
        recipe: &Recipe,
        bytes: &mut [u8],
        (moves, window): (&Moves, &mut Window<'_>),
        share: &mut Share,
    ) -> Result<(), RewriteProblem> {
        if recipe.plugin.is_some() {
            // What a plugin makes is taken as it is: its pointers are its own answer.
            if let Some(made) = self.made.get(&object.address).filter(|made| made.len() == bytes.len()) {
                bytes.copy_from_slice(made);
            }
            return Ok(());
        }
        let old = self.read(object, window)?;
        let (old_size, new_size) = match one.count {
            0 | 1 => (old.len(), bytes.len()),
            _ => (recipe.old_size(), recipe.new_size()),
        };
        if old_size == 0 || new_size == 0 {
            return Ok(());
        }
        for (index, (old, new)) in old.chunks_exact(old_size).zip(bytes.chunks_exact_mut(new_size)).enumerate() {
            let skipped = index as u64;
            let address = RunAddress(object.address.0.saturating_add(skipped.saturating_mul(old_size as u64)));
            let context = self.context(address);
            recipe.apply(old, new, &context)?;
            let at = one.to.plus(skipped.saturating_mul(new_size as u64));
            self.pointers(recipe, (old, new), at, moves, &context, share)?;
        }
        Ok(())
    }

    /// Lets the pointers of one new object follow what they point to.
    fn pointers(
        &self,
        recipe: &Recipe,
        (old, new): (&[u8], &mut [u8]),
        at: Place,
        moves: &Moves,
        context: &Context<'_>,
        share: &mut Share,
    ) -> Result<(), RewriteProblem> {
        let mut result = Ok(());
        recipe.visit(old, context, &mut |found| {
            if let (Found::Pointer(slot), true) = (found, result.is_ok()) {
                result = self.pointer(slot, new, at, moves, context, share);
            }
        })?;
        result
    }

    fn pointer(
        &self,
        slot: Slot,
        new: &mut [u8],
        at: Place,
        moves: &Moves,
        context: &Context<'_>,
        share: &mut Share,
    ) -> Result<(), RewriteProblem> {
        let Some(word) = new.get_mut(slot.new..slot.new.saturating_add(8)) else { return Ok(()) };
        let value = word.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        if value == 0 {
            return Ok(());
        }
        match moves.follow(RunAddress(value), slot.old_target) {
            Followed::Same => {}
            Followed::To(Place::At(address)) => word.copy_from_slice(&address.0.to_le_bytes()),
            Followed::To(target) => share.fixups.push(Fixup { at: at.plus(slot.new as u64), target }),
            Followed::Undecided { object, kind, reason } => {
                return Err(RewriteProblem::Pointer {
                    holder: context.address,
                    word: RunAddress(value),
                    object,
                    kind: self.types.describe(kind),
                    at: value.saturating_sub(object.0),
                    reason,
                });
            }
        }
        Ok(())
    }
}

/// Shares of about equal size for each thread.
fn split<'t>(objects: &'t [Object], moves: &'t [Move], bytes: &'t mut [u8], threads: usize) -> Vec<Task<'t>> {
    let count = objects.len().min(moves.len());
    let threads = threads.clamp(1, count.div_ceil(PER_THREAD).max(1));
    let share = count.div_ceil(threads).max(1);
    let mut rest = bytes;
    let mut tasks = Vec::new();
    for (objects, moves) in objects.chunks(share).zip(moves.chunks(share)) {
        let length: u64 = moves.iter().map(|one| one.new_length).sum();
        let (own, behind) = rest.split_at_mut(usize::try_from(length).unwrap_or(0).min(rest.len()));
        rest = behind;
        tasks.push(Task { objects, moves, bytes: own });
    }
    tasks
}
