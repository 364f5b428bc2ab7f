//! Rewrites the changed objects of a process: where each goes, its new bytes, and the words in them that follow what they point to.
//!
//! First all places are decided ([`Rewriter::place`]), from sizes alone; then bytes are made ([`Rewriter::fill`]), for every object apart
//! from the others, so that several threads share the work. Addresses of blocks that are allocated in the vessel are not known here: a
//! word that points into one holds a place-holder address (see [`Allocations`](crate::plan::rewrite::Allocations)).

mod fill;
mod moves;
mod stretch;
#[cfg(test)]
mod tests;
pub(crate) mod window;

use std::collections::HashMap;
use std::sync::Arc;

use dsu_formats::address::RunAddress;

pub use fill::{Filled, Known, Outside};
pub use moves::{Final, Followed, Moves};

use super::compile::Recipes;
use super::made::{Made, Wanted};
use super::question::Question;
use super::recipe::{Context, Found, Recipe, RecipeError};
use super::rules::Rules;
use crate::plan::source::{MemorySource, SourceError};
use crate::program::types::{TypeId, TypeTable};
use moves::{ALIGNMENT, Extent, To};
use window::Window;

/// Objects of one changed type that lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Address of the first.
    pub address: RunAddress,
    /// Their type, canonical.
    pub kind: TypeId,
    /// How many.
    pub count: u32,
    /// Bytes that they take, with a flexible array at the end.
    pub length: u64,
    /// How many more would fit behind them, where the user says that these are all: the program may go on to use that room.
    pub spare: u32,
    /// What they are in.
    pub home: Home,
}

impl Object {
    /// For a variable its position in [`Rewriter::variables`].
    fn variable(&self) -> Option<u32> {
        match self.home {
            Home::Variable(position) => Some(position),
            _ => None,
        }
    }
}

/// How one variable is rewritten.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its recipe.
    pub recipe: Arc<Recipe>,
    /// Its initial value in the new program, relocated.
    pub initial: Vec<u8>,
    /// Where the new program has it.
    pub to: RunAddress,
    /// Whether it keeps the old value; else it takes the initial one.
    pub is_carried: bool,
}

/// What objects are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// A block that holds nothing else: it starts with the first object, and what follows the last is the allocator's rounding.
    Block {
        /// Bytes that the block has.
        usable: u64,
    },
    /// A part of a block or of other memory: the new objects must take as many bytes.
    Part,
    /// The same in memory that moves: where they go.
    Moved(RunAddress),
    /// Memory that a function of the program's own gave out for just these objects, as the user says ([`Rules::allocators`]): the same
    /// function makes new ones.
    Own,
    /// The variable at this position in [`Rewriter::variables`].
    Variable(u32),
    /// A stack's slot, for which the plan has made room at this address.
    Given(RunAddress),
}

/// A place in the new process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// This address.
    At(RunAddress),
    /// In a block that is allocated in the vessel, so far among the bytes of all new objects.
    In(u64),
}

impl Place {
    /// The place `bytes` further on; an address wraps as the machine's does.
    pub fn plus(self, bytes: u64) -> Self {
        match self {
            Self::At(address) => Self::At(RunAddress(address.0.wrapping_add(bytes))),
            Self::In(offset) => Self::In(offset.wrapping_add(bytes)),
        }
    }
}

/// Why objects cannot be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteProblem {
    /// Something about the type is not answered.
    #[error("objects of `{kind}`, the first of them at {address}, cannot be rewritten: {} questions are open", questions.len())]
    Questions {
        /// The type.
        kind: String,
        /// The first object.
        address: RunAddress,
        /// What is open.
        questions: Arc<[Question]>,
    },
    /// The old and the new process have nothing for objects of this type.
    #[error("`{kind}` at {address} does not change, and was to be rewritten")]
    Unchanged {
        /// The type.
        kind: String,
        /// The object.
        address: RunAddress,
    },
    /// A plugin has not made the object.
    #[error("no plugin has made the new `{kind}` of the one at {address}")]
    NotMade {
        /// The type.
        kind: String,
        /// The object.
        address: RunAddress,
    },
    /// Objects within other memory that change their size.
    #[error("`{kind}` at {address} lies within other memory, and becomes {new} bytes instead of {old}")]
    NoRoom {
        /// The type.
        kind: String,
        /// The objects.
        address: RunAddress,
        /// Bytes that they take.
        old: u64,
        /// Bytes that they need.
        new: u64,
    },
    /// Objects that need a new block, and more alignment than `malloc` gives.
    #[error("`{kind}` at {address} outgrows its block, and must be aligned to {alignment} bytes: malloc aligns to {given}")]
    Alignment {
        /// The type.
        kind: String,
        /// The objects.
        address: RunAddress,
        /// What the new type needs.
        alignment: u64,
        /// What there is.
        given: u64,
    },
    /// Two objects that share bytes.
    #[error("`{kind}` at {address} overlaps `{other}` at {other_address}")]
    Overlap {
        /// The type.
        kind: String,
        /// The object.
        address: RunAddress,
        /// The other's type.
        other: String,
        /// The other object.
        other_address: RunAddress,
    },
    /// The old bytes cannot be read.
    #[error("`{kind}` at {address} cannot be read")]
    Memory {
        /// The type.
        kind: String,
        /// The object.
        address: RunAddress,
        /// Cause.
        #[source]
        source: SourceError,
    },
    /// A value that the recipe cannot carry.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A pointer to a changed object that nothing decides.
    #[error("the pointer {word} in the object at {holder} leads to {at} bytes into `{kind}` at {object}: {reason}")]
    Pointer {
        /// The object that holds it.
        holder: RunAddress,
        /// Its value.
        word: RunAddress,
        /// The object that it leads into.
        object: RunAddress,
        /// That object's type.
        kind: String,
        /// How far into it.
        at: u64,
        /// What is not known.
        reason: &'static str,
    },
}

/// Rewrites the objects of one process.
#[derive(Clone, Copy)]
pub struct Rewriter<'a> {
    /// Types of the old build.
    pub types: &'a TypeTable,
    /// Recipes of all changed types.
    pub recipes: &'a Recipes,
    /// The user's answers.
    pub rules: &'a Rules,
    /// The old process.
    pub memory: &'a dyn MemorySource,
    /// Distance from link-time to run-time addresses of the new program.
    pub new_bias: u64,
    /// What plugins have made.
    pub made: &'a Made,
    /// What variables become.
    pub variables: &'a [Variable],
}

impl<'a> Rewriter<'a> {
    /// Decides where each object goes. `objects` are ascending by address.
    ///
    /// # Errors
    /// Everything that stands against it.
    pub fn place(&self, objects: &[Object]) -> Result<Moves, Vec<RewriteProblem>> {
        let mut moves = Moves::for_objects(objects.len());
        let mut numbers: HashMap<TypeId, u32> = HashMap::new();
        let mut window = Window::new(self.memory);
        let mut problems = self.overlaps(objects);
        for object in objects {
            let known = numbers.get(&object.kind).filter(|_| object.variable().is_none());
            let number = match known {
                Some(number) => *number,
                None => match self.recipe(object) {
                    Ok(recipe) => {
                        let variable = object.variable();
                        let allocator = self.rules.allocators.get(&object.kind).filter(|_| variable.is_none());
                        let number = moves.add_sort(recipe, variable, allocator.copied());
                        if variable.is_none() {
                            numbers.insert(object.kind, number);
                        }
                        number
                    }
                    Err(problem) => {
                        problems.push(problem);
                        continue;
                    }
                },
            };
            if let Err(problem) = self.place_one(object, number, &mut moves, &mut window) {
                problems.push(problem);
            }
        }
        moves.add_made(self.made.blocks().iter().map(|block| block.bytes.len() as u64));
        moves.finish();
        if problems.is_empty() { Ok(moves) } else { Err(problems) }
    }

    /// The objects that plugins have to make, ascending. What cannot be read is told when it is filled.
    pub fn wanted(&self, objects: &[Object]) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        if self.rules.plugins.is_empty() {
            return wanted;
        }
        let mut window = Window::new(self.memory);
        for object in objects {
            let Ok(recipe) = self.recipe(object) else { continue };
            let old_size = recipe.old_size() as u64;
            let addresses = (0..u64::from(object.count).max(1))
                .map(|number| RunAddress(object.address.0.saturating_add(number.saturating_mul(old_size))));
            if recipe.plugin.is_some() {
                wanted.extend(addresses.map(|address| Wanted { kind: object.kind, address }));
                continue;
            }
            if !recipe.has_parts() {
                continue;
            }
            for address in addresses {
                let length = if object.count > 1 { old_size } else { object.length };
                let Ok(bytes) = window.read(address, length) else { continue };
                let _ = recipe.visit(bytes, &self.context(address, None), &mut |found| {
                    if let Found::Plugin(part) = found {
                        let address = RunAddress(address.0.saturating_add(part.old.0 as u64));
                        wanted.push(Wanted { kind: part.kind, address });
                    }
                });
            }
        }
        wanted.sort_unstable();
        wanted
    }

    fn recipe(&self, object: &Object) -> Result<Arc<Recipe>, RewriteProblem> {
        if let Some(variable) = object.variable().and_then(|position| self.variables.get(position as usize)) {
            return Ok(Arc::clone(&variable.recipe));
        }
        let (kind, address) = (self.types.describe(Some(object.kind)), object.address);
        match self.recipes.get(object.kind) {
            Some(Ok(recipe)) => Ok(recipe.clone()),
            Some(Err(questions)) => Err(RewriteProblem::Questions { kind, address, questions: questions.clone() }),
            None => Err(RewriteProblem::Unchanged { kind, address }),
        }
    }

    fn overlaps(&self, objects: &[Object]) -> Vec<RewriteProblem> {
        let pairs = objects.windows(2).filter_map(|pair| if let [one, next] = pair { Some((one, next)) } else { None });
        let shared = pairs.filter(|(one, next)| one.address.0.saturating_add(one.length) > next.address.0);
        shared
            .map(|(one, next)| RewriteProblem::Overlap {
                kind: self.types.describe(Some(next.kind)),
                address: next.address,
                other: self.types.describe(Some(one.kind)),
                other_address: one.address,
            })
            .collect()
    }

    fn place_one(&self, object: &Object, number: u32, moves: &mut Moves, window: &mut Window<'_>) -> Result<(), RewriteProblem> {
        let Some(sort) = moves.sort(number).cloned() else { return Ok(()) };
        let recipe = &sort.recipe;
        let (length, new_length) = self.lengths(object, recipe, window)?;
        let room = new_length.saturating_add(u64::from(object.spare).saturating_mul(recipe.new_size() as u64));
        let no_room = || RewriteProblem::NoRoom {
            kind: self.types.describe(Some(object.kind)),
            address: object.address,
            old: object.length,
            new: new_length,
        };
        let to = match object.home {
            Home::Variable(position) => {
                let variable = self.variables.get(position as usize).ok_or_else(no_room)?;
                To::Given(variable.to)
            }
            Home::Given(address) => To::Given(address),
            Home::Moved(address) if new_length == object.length => To::Given(address),
            Home::Moved(_) => return Err(no_room()),
            Home::Part | Home::Own if new_length == object.length => To::Same,
            Home::Own if sort.allocator.is_some() => To::New,
            Home::Part | Home::Own => return Err(no_room()),
            Home::Block { usable } if room <= usable => To::Same,
            Home::Block { .. } => {
                let alignment = recipe.new_alignment.filter(|alignment| *alignment > ALIGNMENT && sort.allocator.is_none());
                if let Some(alignment) = alignment {
                    let (kind, address) = (self.types.describe(Some(object.kind)), object.address);
                    return Err(RewriteProblem::Alignment { kind, address, alignment, given: ALIGNMENT });
                }
                To::New
            }
        };
        let extent = Extent { old: length.min(object.length), new: new_length, room };
        moves.push(object, number, extent, to);
        Ok(())
    }

    /// Bytes that objects take in the old process and in the new one. What follows a flexible array's elements in a block is nobody's:
    /// a word that leads there is left from what the block was before, or the allocator's for the next block's header.
    fn lengths(&self, object: &Object, recipe: &Recipe, window: &mut Window<'_>) -> Result<(u64, u64), RewriteProblem> {
        if let Some(variable) = object.variable().and_then(|position| self.variables.get(position as usize)) {
            return Ok((object.length, variable.initial.len() as u64));
        }
        if recipe.plugin.is_some() || !recipe.has_tail() {
            return Ok((object.length, u64::from(object.count).saturating_mul(recipe.new_size() as u64)));
        }
        let bytes = self.read((object.address, object.length), Some(object.kind), window)?;
        let (old, new) = recipe.sizes_of(bytes, &self.context(object.address, None))?;
        Ok((old as u64, new as u64))
    }

    fn read<'w>(
        &self,
        (address, length): (RunAddress, u64),
        kind: Option<TypeId>,
        window: &'w mut Window<'_>,
    ) -> Result<&'w [u8], RewriteProblem> {
        let failed = |source| RewriteProblem::Memory { kind: self.types.describe(kind), address, source };
        window.read(address, length).map_err(failed)
    }

    fn context(&self, address: RunAddress, variable: Option<&'a Variable>) -> Context<'a> {
        let initial = variable.map(|variable| &variable.initial[..]);
        Context { types: self.types, memory: self.memory, address, new_bias: self.new_bias, initial }
    }
}
