//! Where old objects are in the new process, and what becomes of pointers to them.

use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::{Allocation, Place};
use crate::plan::data::recipe::{Mapped, Recipe};
use crate::plan::rewrite::Allocations;
use crate::program::types::TypeId;

/// How many moves share an entry of the index at most, on average.
const PER_BUCKET: usize = 4;
/// A gap between moves that starts another stretch of the index.
const GAP: u64 = 1 << 26;

/// Alignment of objects among the bytes of all of them: what `malloc` gives.
pub(super) const ALIGNMENT: u64 = 16;

/// Objects that lie side by side and their new place.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    pub(super) start: u64,
    pub(super) length: u64,
    /// Bytes that the new objects take.
    pub new_length: u64,
    /// The same with spare room behind them.
    pub(super) room: u64,
    pub(super) count: u32,
    /// Position of the recipe.
    pub(super) recipe: u32,
    /// Where they go.
    pub to: Place,
    /// Whether nothing follows them: a pointer behind the last one is their end.
    pub(super) ends: bool,
    /// Offset of the new objects among the bytes of all, see [`super::Filled::bytes`].
    pub bytes: u64,
}

impl Move {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// All objects that are rewritten, with their new places.
#[derive(Debug, Default)]
pub struct Moves {
    /// Ascending, disjoint.
    moves: Vec<Move>,
    recipes: Vec<Arc<Recipe>>,
    allocations: Vec<Allocation>,
    /// For each allocation where its bytes start among those of all objects.
    starts: Vec<u64>,
    /// The first allocation that a plugin asks for.
    made: u32,
    /// Behind the bytes of all.
    end: u64,
    stretches: Vec<Stretch>,
}

/// An index over moves that lie near to each other.
#[derive(Debug)]
struct Stretch {
    start: u64,
    end: u64,
    shift: u32,
    /// For each bucket the first move that ends behind the bucket's start.
    buckets: Vec<u32>,
    /// Behind the stretch's last move.
    last: usize,
}

/// What becomes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// It points to nothing that is rewritten.
    Same,
    /// It points there.
    To(Place),
    /// It points into the rewritten object at `object`, and nothing says where that is now.
    Undecided {
        /// The old object.
        object: RunAddress,
        /// Its type, canonical.
        kind: Option<TypeId>,
        /// What is not known.
        reason: &'static str,
    },
}

impl Moves {
    pub(super) fn add_recipe(&mut self, recipe: Arc<Recipe>) -> u32 {
        self.recipes.push(recipe);
        (self.recipes.len() - 1) as u32
    }

    pub(super) fn recipe(&self, number: u32) -> Option<Arc<Recipe>> {
        self.recipes.get(number as usize).cloned()
    }

    pub(super) fn recipes(&self) -> &[Arc<Recipe>] {
        &self.recipes
    }

    /// All of them, by ascending old address.
    pub fn list(&self) -> &[Move] {
        &self.moves
    }

    /// Where the bytes of the next objects start.
    pub(super) fn next_start(&self) -> u64 {
        self.end.next_multiple_of(ALIGNMENT)
    }

    /// Blocks to allocate, each with where its bytes start among those of all objects.
    pub fn blocks(&self) -> impl Iterator<Item = (&Allocation, u64)> {
        self.allocations.iter().zip(self.starts.iter().copied())
    }

    /// Adds blocks of these sizes that plugins ask for, behind all else.
    pub(super) fn add_made(&mut self, sizes: impl Iterator<Item = u64>) {
        self.made = u32::try_from(self.allocations.len()).unwrap_or(u32::MAX);
        for size in sizes {
            self.starts.push(self.next_start());
            self.allocations.push(Allocation { size, old: None, allocator: None });
            self.end = self.next_start().saturating_add(size).saturating_add(1);
        }
    }

    /// Place of the start of a block that a plugin asks for, by its position.
    pub(super) fn made(&self, position: usize) -> Place {
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        Place::In { allocation: self.made.saturating_add(position), offset: 0 }
    }

    /// Where the bytes of such a block start.
    pub(super) fn made_start(&self, position: usize) -> Option<u64> {
        self.starts.get((self.made as usize).checked_add(position)?).copied()
    }

    /// Address of a place; that of one in a block to come is a place-holder.
    pub fn address(&self, place: Place) -> RunAddress {
        match place {
            Place::At(address) => address,
            Place::In { allocation, offset } => {
                let start = self.starts.get(allocation as usize).copied().unwrap_or(0);
                RunAddress(Allocations::PLACE_HOLDERS.wrapping_add(start).wrapping_add(offset))
            }
        }
    }

    /// Ranges outside which nothing is rewritten; they may hold much else.
    pub fn stretches(&self) -> impl Iterator<Item = RunRange> + '_ {
        self.stretches.iter().map(|stretch| RunRange::new(stretch.start, stretch.end))
    }

    /// Whether a word lies in an object that is rewritten.
    pub fn holds(&self, address: RunAddress) -> bool {
        self.at(address.0).is_some_and(|one| address.0 < one.end())
    }

    /// The old type, canonical, of the rewritten object that starts at `address`.
    pub fn kind_at(&self, address: RunAddress) -> Option<TypeId> {
        let one = self.at(address.0).filter(|one| address.0 < one.end())?;
        let recipe = self.recipes.get(one.recipe as usize)?;
        let skip = address.0 - one.start;
        let is_start = skip == 0 || (one.count > 1 && skip.is_multiple_of(recipe.old_size().max(1) as u64));
        recipe.old.filter(|_| is_start)
    }

    /// A new block; `None` when there are too many.
    pub(super) fn allocate(&mut self, allocation: Allocation) -> Option<Place> {
        let number = u32::try_from(self.allocations.len()).ok()?;
        self.allocations.push(allocation);
        self.starts.push(self.next_start());
        Some(Place::In { allocation: number, offset: 0 })
    }

    /// Adds a move behind all others.
    pub(super) fn push(&mut self, one: Move) {
        // The end of a block is an address, too, and must not be the start of another.
        let gap = u64::from(matches!(one.to, Place::In { .. }));
        self.end = one.bytes.saturating_add(one.room).saturating_add(gap);
        self.moves.push(one);
    }

    /// Blocks to allocate in the vessel.
    pub fn allocations(&self) -> &[Allocation] {
        &self.allocations
    }

    /// Number of moves.
    pub fn len(&self) -> usize {
        self.moves.len()
    }

    /// Whether nothing is rewritten.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// Makes the index, when all moves are there.
    pub(super) fn finish(&mut self) {
        self.stretches.clear();
        let mut first = 0;
        while first < self.moves.len() {
            let rest = self.moves.get(first..).unwrap_or(&[]);
            let far = rest.windows(2).position(|pair| matches!(pair, [one, next] if next.start.saturating_sub(one.end()) > GAP));
            let count = far.map_or(rest.len(), |position| position + 1);
            self.stretches.extend(Stretch::new(rest.get(..count).unwrap_or(&[]), first));
            first += count;
        }
    }

    /// The move whose objects hold `address`, or end there.
    fn at(&self, address: u64) -> Option<&Move> {
        let position = self.stretches.partition_point(|stretch| stretch.end < address);
        let stretch = self.stretches.get(position).filter(|stretch| stretch.start <= address)?;
        let bucket = ((address - stretch.start) >> stretch.shift) as usize;
        let first = *stretch.buckets.get(bucket)? as usize;
        let near = self.moves.get(first..stretch.last)?.iter().take_while(|one| one.start <= address);
        near.take_while(|one| one.start <= address).filter(|one| address <= one.end()).last()
    }

    /// The old type, canonical, of the object that begins at `address`. What a plugin stores means the object, whatever else begins there.
    pub(super) fn starting_at(&self, address: u64) -> Option<TypeId> {
        let one = self.at(address)?;
        let recipe = self.recipes.get(one.recipe as usize)?;
        let offset = address - one.start;
        let is_element = one.count > 1 && offset.checked_rem(recipe.old_size() as u64) == Some(0);
        (offset < one.length && (offset == 0 || is_element)).then_some(recipe.old).flatten()
    }

    /// What becomes of the word `address`, a pointer to the old type `target`, canonical; `None`: a pointer without a type, or a word that
    /// may be one.
    pub fn follow(&self, address: RunAddress, target: Option<TypeId>) -> Followed {
        let Some(one) = self.at(address.0) else { return Followed::Same };
        let Some(recipe) = self.recipes.get(one.recipe as usize) else { return Followed::Same };
        let offset = address.0 - one.start;
        let undecided = |reason| Followed::Undecided { object: RunAddress(one.start), kind: recipe.old, reason };
        if offset == one.length {
            return self.end(one, recipe, target);
        }
        let (element, offset) = match recipe.old_size() as u64 {
            size if one.count > 1 && size > 0 => (offset / size, offset % size),
            _ => (0, offset),
        };
        let base = one.to.plus(element.wrapping_mul(recipe.new_size() as u64));
        if recipe.plugin.is_some() {
            let is_start = offset == 0 && (target.is_none() || target == recipe.old);
            return if is_start { Followed::To(base) } else { undecided("a plugin made it, and it is not its start") };
        }
        match recipe.map_offset(usize::try_from(offset).unwrap_or(usize::MAX), target) {
            // A structure may end in padding that its flexible array begins in.
            Mapped::At(to) if one.count <= 1 && to as u64 > one.new_length => {
                undecided("it is behind the last element of an array")
            }
            Mapped::At(to) => Followed::To(base.plus(to as u64)),
            Mapped::Either { .. } => undecided("it is the object's or its first field's start, which are apart now"),
            Mapped::Boundary { .. } => undecided("it is the end of an array or the start of what follows, which are apart now"),
            Mapped::Gone => undecided("what it points to is gone, or not carried byte for byte"),
        }
    }

    /// The end of objects: that of the new ones where nothing else can begin there, or the pointer is one to their type. Anything else is
    /// something that begins there.
    fn end(&self, one: &Move, recipe: &Recipe, target: Option<TypeId>) -> Followed {
        let is_end = one.ends || (target.is_some() && target == recipe.old);
        if is_end { Followed::To(one.to.plus(one.new_length)) } else { Followed::Same }
    }
}

impl Stretch {
    fn new(moves: &[Move], first: usize) -> Option<Self> {
        let (start, end) = (moves.first()?.start, moves.last()?.end());
        let wanted = (moves.len() / PER_BUCKET).max(1) as u64;
        let mut shift = 4;
        while (end - start) >> shift > wanted {
            shift += 1;
        }
        let count = ((end - start) >> shift) as usize + 1;
        let mut buckets = Vec::with_capacity(count);
        let mut at = 0;
        for bucket in 0..count {
            let from = start.saturating_add((bucket as u64) << shift);
            while moves.get(at).is_some_and(|one| one.end() < from) {
                at += 1;
            }
            buckets.push((first + at) as u32);
        }
        Some(Self { start, end, shift, buckets, last: first + moves.len() })
    }
}
