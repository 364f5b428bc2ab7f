//! Makes the new bytes of all objects.

use std::ops::Range;
use std::thread;

use dsu_formats::address::RunAddress;

use super::moves::{Followed, Move, Moves, Sort};
use super::window::Window;
use super::{Place, RewriteProblem, Rewriter};
use crate::plan::data::recipe::{Context, Found, Recipe};
use crate::plan::rewrite::Marks;
use crate::plan::scan::filter::Filter;
use crate::program::types::TypeId;

/// How many problems are listed; further ones say nothing new.
const PROBLEM_LIMIT: usize = 100;
/// How many objects are worth a thread.
const PER_THREAD: usize = 1 << 14;

/// Who decides words that point to what is not rewritten here: the program's own functions and variables, literals, mangled addresses.
/// Each thread has one of its own.
pub trait Outside: Send {
    /// One for another thread, which has learnt nothing yet.
    fn fork(&self) -> Self;

    /// Takes over what a fork has learnt.
    fn join(&mut self, fork: Self);

    /// What `word` of the new object of the one at `holder` becomes; `None` where it stays.
    fn follow(&mut self, word: u64, known: Known, holder: RunAddress) -> Option<u64>;
}

/// What types say of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A pointer, to this type of the old build (canonical) where it has one.
    Pointer(Option<TypeId>),
    /// None of the pointers of its object.
    Other,
}

impl Known {
    fn target(self) -> Option<TypeId> {
        match self {
            Self::Pointer(target) => target,
            Self::Other => None,
        }
    }
}

/// All new objects.
#[derive(Debug, Default)]
pub struct Filled {
    /// Their bytes; [`Final::bytes`](super::Final::bytes) says where each starts.
    pub bytes: Vec<u8>,
    /// Words of objects in new blocks that hold a place-holder, by their offsets in `bytes`.
    pub marks: Marks,
    /// Other words that do.
    pub fixups: Vec<RunAddress>,
}

/// What one thread makes.
struct Share<O> {
    marks: Marks,
    fixups: Vec<RunAddress>,
    problems: Vec<RewriteProblem>,
    outside: O,
}

impl<O> Share<O> {
    /// For objects with their bytes in `range`.
    fn new(range: Range<u64>, outside: O) -> Self {
        Self { marks: Marks::within(range), fixups: Vec::new(), problems: Vec::new(), outside }
    }
}

/// A slice of the work.
struct Task<'t> {
    moves: &'t [Move],
    bytes: &'t mut [u8],
}

/// One new object in the making.
struct Making<'m, 'b> {
    bytes: &'b mut [u8],
    /// Where it goes.
    at: Place,
    moves: &'m Moves,
    context: &'m Context<'m>,
}

/// Room that is used for one object after the other.
struct Scratch<'f> {
    /// Which words may be pointers.
    filter: &'f Filter,
    /// Typed pointers: offset, value, target.
    slots: Vec<(usize, u64, Option<TypeId>)>,
    /// Other words that may be pointers: offset, value.
    hits: Vec<(u64, u64)>,
}

impl Rewriter<'_> {
    /// Makes the bytes of all objects, which [`Rewriter::place`] gave their places, on up to `threads` threads. Words
    /// that `filter` wants and that lead to nothing that is rewritten here are decided by `outside`.
    ///
    /// # Errors
    /// Everything that stands against it, the first hundred of each thread.
    pub fn fill<O: Outside>(
        &self,
        moves: &Moves,
        (filter, outside): (&Filter, &mut O),
        threads: usize,
    ) -> Result<Filled, Vec<RewriteProblem>> {
        let total = usize::try_from(moves.next_start()).unwrap_or(0);
        let mut filled = Filled { bytes: vec![0; total], ..Filled::default() };
        let tasks = split(moves.list(), &mut filled.bytes, threads);
        let shares: Vec<Share<O>> = thread::scope(|scope| {
            let start = |task| {
                let share = Share::new(bytes_of(&task), outside.fork());
                scope.spawn(move || self.share(task, moves, filter, share))
            };
            let running: Vec<_> = tasks.into_iter().map(start).collect();
            // A thread that panics takes the plan with it.
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut made = Share::new(moves.made(0).unwrap_or(total as u64)..total as u64, outside.fork());
        self.made_blocks(moves, &mut filled.bytes, filter, &mut made);
        let mut problems = Vec::new();
        filled.marks = Marks::within(0..total as u64);
        for share in shares.into_iter().chain([made]) {
            filled.marks.merge(&share.marks);
            filled.fixups.extend(share.fixups);
            problems.extend(share.problems);
            outside.join(share.outside);
        }
        filled.marks.finish();
        if problems.is_empty() { Ok(filled) } else { Err(problems) }
    }

    fn share<O: Outside>(&self, task: Task<'_>, moves: &Moves, filter: &Filter, mut share: Share<O>) -> Share<O> {
        let mut window = Window::new(self.memory);
        let mut scratch = Scratch { slots: Vec::new(), hits: Vec::new(), filter };
        let first = task.moves.first().map_or(0, |one| one.bytes);
        for one in task.moves {
            let from = usize::try_from(one.bytes - first).unwrap_or(usize::MAX);
            let to = from.saturating_add(usize::try_from(moves.extent(one).new).unwrap_or(usize::MAX));
            let (Some(bytes), Some(sort)) = (task.bytes.get_mut(from..to), moves.sort(one.sort)) else { continue };
            if let Err(problem) = self.objects((one, sort), bytes, (moves, &mut window, &mut scratch), &mut share) {
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
        (one, sort): (&Move, &Sort),
        bytes: &mut [u8],
        (moves, window, scratch): (&Moves, &mut Window<'_>, &mut Scratch<'_>),
        share: &mut Share<impl Outside>,
    ) -> Result<(), RewriteProblem> {
        let recipe = &*sort.recipe;
        let variable = sort.variable.and_then(|position| self.variables.get(position as usize));
        if let Some(variable) = variable.filter(|variable| !variable.is_carried) {
            bytes.copy_from_slice(&variable.initial);
            return Ok(());
        }
        let old = self.read((RunAddress(one.start), moves.extent(one).old), recipe.old, window)?;
        let to = moves.place(one);
        let (old_size, new_size) = match one.count {
            0 | 1 => (old.len(), bytes.len()),
            _ => (recipe.old_size(), recipe.new_size()),
        };
        if old_size == 0 || new_size == 0 {
            return Ok(());
        }
        for (index, (old, new)) in old.chunks_exact(old_size).zip(bytes.chunks_exact_mut(new_size)).enumerate() {
            let skipped = index as u64;
            let address = RunAddress(one.start.saturating_add(skipped.saturating_mul(old_size as u64)));
            let context = self.context(address, variable);
            let skip = skipped.saturating_mul(new_size as u64);
            let mut making = Making { bytes: new, at: to.plus(skip), moves, context: &context };
            match recipe.plugin.and(recipe.old) {
                Some(kind) => self.made_object(kind, &mut making, scratch, share)?,
                None => {
                    recipe.apply(old, making.bytes, &context)?;
                    self.pointers(recipe, old, &mut making, scratch, share)?;
                }
            }
        }
        Ok(())
    }

    /// Lets the pointers of one new object follow what they point to: typed ones by their type, then every other word that may be one.
    fn pointers(
        &self,
        recipe: &Recipe,
        old: &[u8],
        making: &mut Making<'_, '_>,
        scratch: &mut Scratch<'_>,
        share: &mut Share<impl Outside>,
    ) -> Result<(), RewriteProblem> {
        let slots = &mut scratch.slots;
        slots.clear();
        let mut missing = None;
        recipe.visit(old, making.context, &mut |found| match found {
            Found::Pointer(slot) => slots.extend(take((slot.new, slot.old_target), making.bytes)),
            Found::Plugin(part) => {
                let address = RunAddress(making.context.address.0.saturating_add(part.old.0 as u64));
                if !self.take_made((part.kind, address), part.new.0, making, slots) {
                    missing = Some((part.kind, address));
                }
            }
        })?;
        if let Some((kind, address)) = missing {
            return Err(self.not_made(kind, address));
        }
        self.follow_all(making, scratch, share)
    }

    /// Stores the typed pointers that were taken out, followed, and lets every other word follow that may be a pointer.
    fn follow_all(
        &self,
        making: &mut Making<'_, '_>,
        scratch: &mut Scratch<'_>,
        share: &mut Share<impl Outside>,
    ) -> Result<(), RewriteProblem> {
        let Scratch { slots, hits, filter } = scratch;
        hits.clear();
        filter.find(making.bytes, hits);
        for (offset, word, target) in slots.iter().copied() {
            making.store(offset, word);
            self.word((offset, word), Known::Pointer(target), making, filter, share)?;
        }
        for (offset, word) in hits.iter().copied() {
            self.word((usize::try_from(offset).unwrap_or(usize::MAX), word), Known::Other, making, filter, share)?;
        }
        Ok(())
    }

    /// An object that a plugin has made: its pointers are those that its new type has.
    fn made_object(
        &self,
        kind: TypeId,
        making: &mut Making<'_, '_>,
        scratch: &mut Scratch<'_>,
        share: &mut Share<impl Outside>,
    ) -> Result<(), RewriteProblem> {
        scratch.slots.clear();
        let address = making.context.address;
        if !self.take_made((kind, address), 0, making, &mut scratch.slots) {
            return Err(self.not_made(kind, address));
        }
        self.follow_all(making, scratch, share)
    }

    /// Copies what a plugin has made of the object of type `kind` at `address` to `at`, and takes its pointers out.
    fn take_made(
        &self,
        (kind, address): (TypeId, RunAddress),
        at: usize,
        making: &mut Making<'_, '_>,
        slots: &mut Vec<(usize, u64, Option<TypeId>)>,
    ) -> bool {
        let Some(made) = self.made.object(kind, address) else { return self.made.is_missing() };
        let Some(place) = making.bytes.get_mut(at..at.saturating_add(made.bytes.len())) else { return false };
        place.copy_from_slice(made.bytes);
        let taken = made.pointers.iter().filter_map(|pointer| take((at + pointer.offset, pointer.target), making.bytes));
        slots.extend(taken.map(|(offset, word, target)| (offset, word, making.moves.starting_at(word).or(target))));
        true
    }

    fn not_made(&self, kind: TypeId, address: RunAddress) -> RewriteProblem {
        RewriteProblem::NotMade { kind: self.types.describe(Some(kind)), address }
    }

    /// The blocks that plugins ask for.
    fn made_blocks(&self, moves: &Moves, bytes: &mut [u8], filter: &Filter, share: &mut Share<impl Outside>) {
        let mut scratch = Scratch { slots: Vec::new(), hits: Vec::new(), filter };
        for (position, block) in self.made.blocks().iter().enumerate() {
            let Some(start) = moves.made(position) else { continue };
            let from = usize::try_from(start).unwrap_or(usize::MAX);
            let Some(place) = bytes.get_mut(from..from.saturating_add(block.bytes.len())) else { continue };
            place.copy_from_slice(&block.bytes);
            let context = self.context(RunAddress(0), None);
            let mut making = Making { bytes: place, at: Place::In(start), moves, context: &context };
            let taken = block.pointers.iter().filter_map(|offset| take((*offset as usize, None), making.bytes));
            scratch.slots.clear();
            scratch.slots.extend(taken.map(|(offset, word, _)| (offset, word, moves.starting_at(word))));
            if let Err(problem) = self.follow_all(&mut making, &mut scratch, share) {
                share.problems.push(problem);
            }
        }
    }

    fn word(
        &self,
        (offset, word): (usize, u64),
        known: Known,
        making: &mut Making<'_, '_>,
        filter: &Filter,
        share: &mut Share<impl Outside>,
    ) -> Result<(), RewriteProblem> {
        let target = known.target();
        let followed = match self.made.locate(word) {
            Some((block, within)) => match making.moves.made(block) {
                Some(start) => Followed::To(Place::In(start).plus(within)),
                None => Followed::Same,
            },
            None => making.moves.follow(RunAddress(word), target),
        };
        match followed {
            Followed::Same if filter.is_wanted(word) => {
                if let Some(word) = share.outside.follow(word, known, making.context.address) {
                    making.store(offset, word);
                }
            }
            Followed::Same => {}
            Followed::To(place) => {
                making.store(offset, making.moves.address(place).0);
                if matches!(place, Place::In(_)) {
                    match making.at.plus(offset as u64) {
                        Place::In(offset) => share.marks.add(offset),
                        Place::At(address) => share.fixups.push(address),
                    }
                }
            }
            Followed::Undecided { object, kind, reason } => {
                return Err(RewriteProblem::Pointer {
                    holder: making.context.address,
                    word: RunAddress(word),
                    object,
                    kind: self.types.describe(kind),
                    at: word.saturating_sub(object.0),
                    reason,
                });
            }
        }
        Ok(())
    }
}

impl Making<'_, '_> {
    fn store(&mut self, offset: usize, word: u64) {
        if let Some(place) = self.bytes.get_mut(offset..offset.saturating_add(8)) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }
}

/// Takes a typed pointer out of a new object, so that what is left are words without a type.
fn take((offset, target): (usize, Option<TypeId>), bytes: &mut [u8]) -> Option<(usize, u64, Option<TypeId>)> {
    let place = bytes.get_mut(offset..offset.saturating_add(8))?;
    let word = place.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    place.fill(0);
    (word != 0).then_some((offset, word, target))
}

/// Where the bytes of a task are among those of all.
fn bytes_of(task: &Task<'_>) -> Range<u64> {
    let first = task.moves.first().map_or(0, |one| one.bytes);
    first..first.saturating_add(task.bytes.len() as u64)
}

/// Shares of about equal size for each thread.
fn split<'t>(moves: &'t [Move], bytes: &'t mut [u8], threads: usize) -> Vec<Task<'t>> {
    let count = moves.len();
    let threads = threads.clamp(1, count.div_ceil(PER_THREAD).max(1));
    let share = count.div_ceil(threads).max(1);
    let mut rest = bytes;
    let mut start = 0;
    let mut tasks = Vec::new();
    for (number, own) in moves.chunks(share).enumerate() {
        let end = moves.get((number + 1) * share).map_or(start + rest.len() as u64, |next| next.bytes);
        let (bytes, behind) = rest.split_at_mut(usize::try_from(end - start).unwrap_or(0).min(rest.len()));
        rest = behind;
        start = end;
        tasks.push(Task { moves: own, bytes });
    }
    tasks
}
