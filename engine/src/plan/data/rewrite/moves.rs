//! Where old objects are in the new process, and what becomes of pointers to them.

use std::num::NonZeroU32;
use std::sync::Arc;

use dsu_formats::address::{RunAddress, RunRange};

use super::stretch::Stretch;
use super::{Object, Place};
use crate::plan::data::recipe::{Mapped, Recipe};
use crate::plan::data::rules::Allocator;
use crate::plan::rewrite::Allocations;
use crate::program::types::TypeId;

/// Moves after which their memory is given back, when they are taken apart.
const GIVEN_BACK: usize = 1 << 16;

/// Alignment of objects among the bytes of all of them: what `malloc` gives.
pub(super) const ALIGNMENT: u64 = 16;

/// Objects that lie side by side and their new place. There may be millions, so what follows from their sort is not in here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) start: u64,
    /// Offset of the new objects among the bytes of all, see [`super::Filled::bytes`].
    pub(super) bytes: u64,
    pub(super) count: u32,
    /// Position of what is common to all of its sort.
    pub(super) sort: u32,
    /// One more than the position of what is special.
    special: Option<NonZeroU32>,
    is_new: bool,
    /// Whether nothing follows them: a pointer behind the last one is their end.
    ends: bool,
}

/// What objects of a type, or one variable, have in common.
#[derive(Clone, Debug)]
pub(super) struct Sort {
    pub(super) recipe: Arc<Recipe>,
    /// Position of the variable.
    pub(super) variable: Option<u32>,
    /// What makes and frees new ones, if not `malloc` and `free`.
    pub(super) allocator: Option<Allocator>,
    /// Bytes of one in either build, without a flexible array.
    sizes: (u64, u64),
}

/// Bytes of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// That the old ones take.
    pub(super) old: u64,
    /// That the new ones take.
    pub(super) new: u64,
    /// The same with spare room behind them.
    pub(super) room: u64,
}

/// Where objects go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Where they were.
    Same,
    /// Into a new block.
    New,
    /// There.
    Given(RunAddress),
}

/// What does not follow from number and sort.
#[derive(Clone, Copy, Debug)]
struct Special {
    extent: Extent,
    to: Option<RunAddress>,
}

/// All objects that are rewritten, with their new places.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Ascending, disjoint.
    moves: Vec<Move>,
    sorts: Vec<Sort>,
    specials: Vec<Special>,
    /// Where the bytes of blocks start that plugins ask for, and how many they are.
    made: Vec<(u64, u64)>,
    /// How many go into new blocks.
    moved: usize,
    /// Behind the bytes of all.
    end: u64,
    stretches: Vec<Stretch>,
}

/// New objects, or a block that a plugin asks for, as they are to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Final {
    /// Offset of their bytes among those of all.
    pub bytes: u64,
    /// How many they are.
    pub length: u64,
    /// The same with spare room behind.
    pub room: u64,
    /// Where they go.
    pub to: Place,
    /// Where they were; `None` for a block that a plugin asks for.
    pub old: Option<RunAddress>,
    /// What makes the new block and frees the old one, if not `malloc` and `free`.
    pub allocator: Option<Allocator>,
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
    /// For as many objects.
    pub(super) fn for_objects(count: usize) -> Self {
        Self { moves: Vec::with_capacity(count), ..Self::default() }
    }

    pub(super) fn add_sort(&mut self, recipe: Arc<Recipe>, variable: Option<u32>, allocator: Option<Allocator>) -> u32 {
        let sizes = (recipe.old_size() as u64, recipe.new_size() as u64);
        self.sorts.push(Sort { recipe, variable, allocator, sizes });
        (self.sorts.len() - 1) as u32
    }

    pub(super) fn sort(&self, number: u32) -> Option<&Sort> {
        self.sorts.get(number as usize)
    }

    /// All of them, by ascending old address.
    pub(super) fn list(&self) -> &[Move] {
        &self.moves
    }

    /// Where the bytes of the next objects start.
    pub(super) fn next_start(&self) -> u64 {
        self.end.next_multiple_of(ALIGNMENT)
    }

    /// Adds blocks of these sizes that plugins ask for, behind all else.
    pub(super) fn add_made(&mut self, sizes: impl Iterator<Item = u64>) {
        for size in sizes {
            let start = self.next_start();
            self.made.push((start, size));
            self.end = start.saturating_add(size).saturating_add(1);
        }
    }

    /// Where the bytes of a block start that a plugin asks for, by its position.
    pub(super) fn made(&self, position: usize) -> Option<u64> {
        self.made.get(position).map(|(start, _)| *start)
    }

    /// Address of a place; that of one in a block to come is a place-holder.
    pub fn address(&self, place: Place) -> RunAddress {
        match place {
            Place::At(address) => address,
            Place::In(offset) => RunAddress(Allocations::PLACE_HOLDERS.wrapping_add(offset)),
        }
    }

    pub(super) fn extent(&self, one: &Move) -> Extent {
        match self.special(one) {
            Some(special) => special.extent,
            None => self.sort(one.sort).map_or(Extent { old: 0, new: 0, room: 0 }, |sort| sort.extent(one.count)),
        }
    }

    /// Where the first new object of a move goes.
    pub(super) fn place(&self, one: &Move) -> Place {
        match self.special(one).and_then(|special| special.to) {
            Some(address) => Place::At(address),
            None if one.is_new => Place::In(one.bytes),
            None => Place::At(RunAddress(one.start)),
        }
    }

    /// How many bytes the objects take that go to `address`, if some do.
    pub fn length_at(&self, address: RunAddress) -> Option<u64> {
        let found = self.moves.iter().find(|one| self.place(one) == Place::At(address))?;
        Some(self.extent(found).new)
    }

    fn special(&self, one: &Move) -> Option<&Special> {
        self.specials.get(one.special?.get() as usize - 1)
    }

    fn end_of(&self, one: &Move) -> u64 {
        one.start.saturating_add(self.extent(one).old)
    }

    /// Number of objects.
    pub fn objects(&self) -> u64 {
        self.moves.iter().map(|one| u64::from(one.count)).sum()
    }

    /// Number of blocks to allocate in the vessel.
    pub fn new_blocks(&self) -> usize {
        self.moved + self.made.len()
    }

    /// What makes some of the new blocks, if not `malloc`.
    pub fn allocators(&self) -> impl Iterator<Item = Allocator> {
        let used: std::collections::HashSet<u32> = self.moves.iter().filter(|one| one.is_new).map(|one| one.sort).collect();
        used.into_iter().filter_map(|sort| self.sort(sort)?.allocator)
    }

    /// The recipes of all objects outside variables.
    pub fn recipes(&self) -> impl Iterator<Item = &Arc<Recipe>> {
        self.sorts.iter().filter(|sort| sort.variable.is_none()).map(|sort| &sort.recipe)
    }

    /// Gives all that is to be stored, the last first, and memory back on the way.
    pub fn take_apart(mut self, mut each: impl FnMut(Final)) {
        self.stretches = Vec::new();
        for (bytes, length) in self.made.iter().rev().copied() {
            each(Final { bytes, length, room: length, to: Place::In(bytes), old: None, allocator: None });
        }
        while let Some(one) = self.moves.pop() {
            let Extent { new, room, .. } = self.extent(&one);
            let allocator = self.sort(one.sort).and_then(|sort| sort.allocator);
            let (to, old) = (self.place(&one), Some(RunAddress(one.start)));
            each(Final { bytes: one.bytes, length: new, room, to, old, allocator });
            if self.moves.len().is_multiple_of(GIVEN_BACK) {
                self.moves.shrink_to_fit();
            }
        }
    }

    /// Ranges outside which nothing is rewritten; they may hold much else.
    pub fn stretches(&self) -> impl Iterator<Item = RunRange> + '_ {
        self.stretches.iter().map(|stretch| RunRange::new(stretch.start, stretch.end))
    }

    /// Whether a word lies in an object that is rewritten.
    pub fn holds(&self, address: RunAddress) -> bool {
        self.at(address.0).is_some_and(|one| address.0 < self.end_of(one))
    }

    /// The old type, canonical, of the rewritten object that starts at `address`.
    pub fn kind_at(&self, address: RunAddress) -> Option<TypeId> {
        let one = self.at(address.0).filter(|one| address.0 < self.end_of(one))?;
        let sort = self.sort(one.sort)?;
        let skip = address.0 - one.start;
        let is_start = skip == 0 || (one.count > 1 && skip.is_multiple_of(sort.sizes.0.max(1)));
        sort.recipe.old.filter(|_| is_start)
    }

    /// Adds a move behind all others.
    pub(super) fn push(&mut self, object: &Object, sort: u32, extent: Extent, to: To) {
        let given = match to {
            To::Given(address) => Some(address),
            To::Same | To::New => None,
        };
        let usual = self.sort(sort).map(|sort| sort.extent(object.count));
        let special = (given.is_some() || usual != Some(extent)).then(|| {
            self.specials.push(Special { extent, to: given });
            NonZeroU32::new(u32::try_from(self.specials.len()).unwrap_or(u32::MAX))
        });
        let bytes = self.next_start();
        let is_new = to == To::New;
        // The end of a block is an address, too, and must not be the start of another.
        self.end = bytes.saturating_add(extent.room).saturating_add(u64::from(is_new));
        self.moved += usize::from(is_new);
        let ends = matches!(object.home, super::Home::Block { .. });
        let (start, count, special) = (object.address.0, object.count, special.flatten());
        self.moves.push(Move { start, bytes, count, sort, special, is_new, ends });
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
        self.stretches = Stretch::all(&self.moves, |one| self.end_of(one));
    }

    /// The move whose objects hold `address`, or end there.
    fn at(&self, address: u64) -> Option<&Move> {
        let position = self.stretches.partition_point(|stretch| stretch.end < address);
        let stretch = self.stretches.get(position).filter(|stretch| stretch.start <= address)?;
        let near = self.moves.get(stretch.from(address)?)?.iter().take_while(|one| one.start <= address);
        near.filter(|one| address <= self.end_of(one)).last()
    }

    /// The old type, canonical, of the object that begins at `address`. What a plugin stores means the object, whatever else begins there.
    pub(super) fn starting_at(&self, address: u64) -> Option<TypeId> {
        let one = self.at(address)?;
        let sort = self.sort(one.sort)?;
        let offset = address - one.start;
        let is_element = one.count > 1 && offset.checked_rem(sort.sizes.0) == Some(0);
        (offset < self.extent(one).old && (offset == 0 || is_element)).then_some(sort.recipe.old).flatten()
    }

    /// What becomes of the word `address`, a pointer to the old type `target`, canonical; `None`: a pointer without a type, or a word that
    /// may be one.
    pub fn follow(&self, address: RunAddress, target: Option<TypeId>) -> Followed {
        let Some(one) = self.at(address.0) else { return Followed::Same };
        let Some(sort) = self.sort(one.sort) else { return Followed::Same };
        let (recipe, extent, to) = (&sort.recipe, self.extent(one), self.place(one));
        let offset = address.0 - one.start;
        let undecided = |reason| Followed::Undecided { object: RunAddress(one.start), kind: recipe.old, reason };
        if offset == extent.old {
            // That of the new ones where nothing else can begin there, or the pointer is one to their type. Anything else is something
            // that begins there.
            let is_end = one.ends || (target.is_some() && target == recipe.old);
            return if is_end { Followed::To(to.plus(extent.new)) } else { Followed::Same };
        }
        let (element, offset) = match sort.sizes.0 {
            size if one.count > 1 && size > 0 => (offset / size, offset % size),
            _ => (0, offset),
        };
        let base = to.plus(element.wrapping_mul(sort.sizes.1));
        if recipe.plugin.is_some() {
            let is_start = offset == 0 && (target.is_none() || target == recipe.old);
            return if is_start { Followed::To(base) } else { undecided("a plugin made it, and it is not its start") };
        }
        match recipe.map_offset(usize::try_from(offset).unwrap_or(usize::MAX), target) {
            // A structure may end in padding that its flexible array begins in.
            Mapped::At(to) if one.count <= 1 && to as u64 > extent.new => undecided("it is behind the last element of an array"),
            Mapped::At(to) => Followed::To(base.plus(to as u64)),
            Mapped::Either { .. } => undecided("it is the object's or its first field's start, which are apart now"),
            Mapped::Boundary { .. } => undecided("it is the end of an array or the start of what follows, which are apart now"),
            Mapped::Gone => undecided("what it points to is gone, or not carried byte for byte"),
        }
    }
}

impl Sort {
    /// Bytes of as many objects where nothing is special.
    fn extent(&self, count: u32) -> Extent {
        let times = |size: u64| size.saturating_mul(count.into());
        Extent { old: times(self.sizes.0), new: times(self.sizes.1), room: times(self.sizes.1) }
    }
}
