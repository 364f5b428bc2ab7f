//! The pointers of an object, and its parts that a plugin rewrites.

use super::run::read_integer;
use super::{Choice, Context, Recipe, RecipeError, RecipeProblem, run};
use crate::plan::data::rules::PluginId;
use crate::program::types::TypeId;

/// A pointer, or another thing to look at; offsets as in [`super::Step`].
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    Pointer(Slot),
    Plugin(Part),
    Repeat { count: usize, from: usize, from_stride: usize, to: usize, to_stride: usize, marks: Vec<Mark> },
    Choose(Choice<Mark>),
}

impl Mark {
    /// Whether a plugin makes something of it.
    pub(super) fn has_parts(&self) -> bool {
        match self {
            Self::Pointer(_) => false,
            Self::Plugin(_) => true,
            Self::Repeat { marks, .. } => marks.iter().any(Self::has_parts),
            Self::Choose(choice) => choice.all().any(Self::has_parts),
        }
    }
}

/// A pointer within an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Offset in the old object; `None`: a rule makes its value, which is an address of the old process.
    pub old: Option<usize>,
    /// Offset in the new object.
    pub new: usize,
    /// What it points to in the old build, canonical; `None`: nobody knows.
    pub old_target: Option<TypeId>,
    /// What it points to in the new build, canonical; `None`: void, or nobody knows.
    pub new_target: Option<TypeId>,
}

/// A part of an object that a plugin makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The plugin.
    pub plugin: PluginId,
    /// The part's old type.
    pub kind: TypeId,
    /// Offset and size in the old object.
    pub old: (usize, usize),
    /// Offset and size in the new object.
    pub new: (usize, usize),
}

/// What [`Recipe::visit`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A pointer.
    Pointer(Slot),
    /// A plugin's part.
    Plugin(Part),
}

struct Visit<'v> {
    recipe: &'v Recipe,
    old: &'v [u8],
    context: &'v Context<'v>,
    visit: &'v mut dyn FnMut(Found),
}

pub(super) fn visit(recipe: &Recipe, old: &[u8], context: &Context<'_>, visit: &mut dyn FnMut(Found)) -> Result<(), RecipeError> {
    let mut walk = Visit { recipe, old, context, visit };
    walk.marks(&recipe.marks, 0, 0)?;
    let Some(tail) = recipe.tail.as_ref().filter(|tail| !tail.marks.is_empty()) else { return Ok(()) };
    for index in 0..run::tail_count(recipe, tail, old, context)? {
        walk.marks(&tail.marks, tail.from + index * tail.from_stride, tail.to.saturating_add(index * tail.to_stride))?;
    }
    Ok(())
}

impl Visit<'_> {
    fn marks(&mut self, marks: &[Mark], from_base: usize, to_base: usize) -> Result<(), RecipeError> {
        for mark in marks {
            match mark {
                Mark::Pointer(slot) => {
                    let old = slot.old.map(|old| old + from_base);
                    (self.visit)(Found::Pointer(Slot { old, new: slot.new + to_base, ..*slot }));
                }
                Mark::Plugin(part) => {
                    let (old, new) = ((part.old.0 + from_base, part.old.1), (part.new.0 + to_base, part.new.1));
                    (self.visit)(Found::Plugin(Part { old, new, ..*part }));
                }
                Mark::Repeat { count, from, from_stride, to, to_stride, marks } => {
                    for index in 0..*count {
                        self.marks(marks, from_base + from + index * from_stride, to_base + to + index * to_stride)?;
                    }
                }
                Mark::Choose(choice) => {
                    let tag = read_integer(self.recipe, &choice.tag, self.old, from_base, self.context, choice.field)?;
                    match choice.of(tag) {
                        Some(marks) => self.marks(marks, from_base, to_base)?,
                        None => return Err(self.recipe.error(self.context, Some(choice.field), RecipeProblem::NoMember { tag })),
                    }
                }
            }
        }
        Ok(())
    }
}
