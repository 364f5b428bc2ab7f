//! How an object of one old type becomes one of its new type: a flat list of steps over bytes, compiled before the stop.

mod enumerators;
mod error;
mod marks;
mod number;
mod run;
mod spans;
mod steps;

use std::sync::Arc;

use dsu_formats::address::RunAddress;

pub(crate) use enumerators::EnumMap;
pub use error::{RecipeError, RecipeProblem};
pub(crate) use marks::Mark;
pub use marks::{Found, Part, Slot};
pub(crate) use number::{Amount, Meaning, Number};
pub(crate) use run::{Stored, describe, store};
pub use spans::Mapped;
pub(crate) use spans::{Body, Span};
pub(crate) use steps::{Choice, Count, Expression, Step, Store, Tail};

use super::question::Question;
use super::rules::PluginId;
use crate::plan::source::MemorySource;
use crate::program::types::{TypeId, TypeTable};

/// What a recipe needs besides an object's bytes.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Types of the old build.
    pub types: &'a TypeTable,
    /// The old process, for expressions that follow pointers.
    pub memory: &'a dyn MemorySource,
    /// Where the object is in the old process.
    pub address: RunAddress,
    /// Distance from link-time to run-time addresses of the new program.
    pub new_bias: u64,
    /// For a variable: its initial value in the new program, relocated.
    pub initial: Option<&'a [u8]>,
}

/// A compiled recipe. Applying it is the same work for every object, whatever their number.
#[derive(Debug, Default)]
pub struct Recipe {
    /// The old type, canonical.
    pub old: Option<TypeId>,
    /// The new type, canonical; `None` where the new build has none and the bytes stay what they are.
    pub new: Option<TypeId>,
    pub(crate) old_size: usize,
    pub(crate) new_size: usize,
    /// Alignment of the new type in bytes, where its source asks for one.
    pub(crate) new_alignment: Option<u64>,
    pub(crate) steps: Vec<Step>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) span: Span,
    pub(crate) tail: Option<Tail>,
    pub(crate) fields: Vec<NamedField>,
    /// Where the value of each field comes from that the old build does not have, or that a rule makes.
    pub origins: Vec<(String, Origin)>,
    /// The plugin that rewrites objects of this type; then nothing else of the recipe says what to do.
    pub plugin: Option<PluginId>,
}

/// A field as errors name it.
#[derive(Clone, Debug, Default)]
pub(crate) struct NamedField {
    pub(crate) name: String,
    pub(crate) kind: String,
}

/// A part of a variable that takes its initial value, which may be none.
#[derive(Clone, Debug)]
pub struct InitialPart {
    /// What would be asked.
    pub question: Question,
    /// Bytes from the variable's start.
    pub start: usize,
    /// How many they are.
    pub length: usize,
    /// For a field of an array's elements how many there are, and bytes from one to the next.
    pub rows: Option<(usize, usize)>,
}

impl InitialPart {
    /// Where the part is in each element, from the variable's start.
    pub fn starts(&self) -> impl Iterator<Item = usize> {
        let (count, stride) = self.rows.unwrap_or((1, 0));
        (0..count).map(move |row| self.start.saturating_add(row.saturating_mul(stride)))
    }
}

/// Where a new value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A rule, and where it was given.
    Rule(Arc<str>),
    /// Zero, as the new program's code makes every object of the type.
    Zero,
    /// The variable's initial value in the new program.
    Initial,
}

impl Recipe {
    /// Size in bytes of the old type; an object may be longer by a flexible array.
    pub fn old_size(&self) -> usize {
        self.old_size
    }

    /// Size in bytes of the new type, without a flexible array.
    pub fn new_size(&self) -> usize {
        self.new_size
    }

    /// Whether objects end in an array whose length the type does not say.
    pub fn has_tail(&self) -> bool {
        self.tail.is_some()
    }

    /// Whether a plugin makes parts of the objects.
    pub fn has_parts(&self) -> bool {
        let tail = self.tail.iter().flat_map(|tail| &tail.marks);
        self.marks.iter().chain(tail).any(Mark::has_parts)
    }

    /// Whether the new object's bytes are the old one's.
    pub fn is_plain(&self) -> bool {
        let plain_tail = self.tail.as_ref().is_none_or(|tail| tail.is_plain() && tail.from == tail.to);
        let whole = match self.steps.as_slice() {
            [Step::Copy { from: 0, to: 0, length }] => *length == self.old_size,
            [] => self.old_size == 0,
            _ => false,
        };
        whole && self.old_size == self.new_size && plain_tail && self.plugin.is_none()
    }

    /// Size in bytes of what the object `old`, bytes from its start to the end of its block, becomes.
    ///
    /// # Errors
    /// An object shorter than its type, a flexible array longer than the block.
    pub fn new_size_of(&self, old: &[u8], context: &Context<'_>) -> Result<usize, RecipeError> {
        self.sizes_of(old, context).map(|(_, new)| new)
    }

    /// As [`Recipe::new_size_of`], after the bytes that the old object takes of its block: behind them is nothing of it.
    ///
    /// # Errors
    /// As there.
    pub fn sizes_of(&self, old: &[u8], context: &Context<'_>) -> Result<(usize, usize), RecipeError> {
        self.check_size(old, context)?;
        match &self.tail {
            Some(tail) => {
                let count = run::tail_count(self, tail, old, context)?;
                let end = |start: usize, stride| start.saturating_add(count.saturating_mul(stride));
                Ok((end(tail.from, tail.from_stride).max(self.old_size), end(tail.to, tail.to_stride).max(self.new_size)))
            }
            None => Ok((self.old_size, self.new_size)),
        }
    }

    /// Makes the new object in `new`, which is as long as [`Recipe::new_size_of`] says or longer; what lies behind is cleared, as is new
    /// padding. Pointers keep their old values: see [`Recipe::visit`].
    ///
    /// # Errors
    /// A value that the new type cannot hold, or that a rule cannot make; nothing of `new` may then be used.
    pub fn apply(&self, old: &[u8], new: &mut [u8], context: &Context<'_>) -> Result<(), RecipeError> {
        self.check_size(old, context)?;
        let expected = self.new_size;
        if new.len() < expected {
            return Err(self.error(context, None, RecipeProblem::Size { expected, found: new.len() }));
        }
        new.fill(0);
        run::run(self, old, new, context)
    }

    /// Calls `visit` with every typed pointer of the object, and every part that a plugin rewrites. `old` is as for
    /// [`Recipe::new_size_of`]: which member of a union holds pointers depends on its bytes.
    ///
    /// # Errors
    /// An object shorter than its type, a union's tag that no rule names.
    pub fn visit(&self, old: &[u8], context: &Context<'_>, visit: &mut dyn FnMut(Found)) -> Result<(), RecipeError> {
        self.check_size(old, context)?;
        marks::visit(self, old, context, visit)
    }

    /// Where `offset` bytes into the old object are in the new one, for a pointer to the old type `target`; `None` is a pointer without a
    /// type. An offset past the last byte is not decided here.
    pub fn map_offset(&self, offset: usize, target: Option<TypeId>) -> Mapped {
        spans::map(self, offset, target)
    }

    /// Where `length` bytes from `offset` on are in the new object, if they mean there what they meant and are carried as they are.
    pub fn carried(&self, offset: usize, length: usize) -> Option<usize> {
        spans::carried(&self.span, (offset, length), 0).filter(|_| self.plugin.is_none())
    }

    fn check_size(&self, old: &[u8], context: &Context<'_>) -> Result<(), RecipeError> {
        let (expected, found) = (self.old_size, old.len());
        if found < expected { Err(self.error(context, None, RecipeProblem::Size { expected, found })) } else { Ok(()) }
    }

    pub(crate) fn error(&self, context: &Context<'_>, field: Option<u32>, problem: RecipeProblem) -> RecipeError {
        let field = field.and_then(|field| self.fields.get(field as usize)).or_else(|| self.fields.first());
        let field = field.map(|field| field.name.clone()).unwrap_or_default();
        RecipeError { address: context.address, field, problem: Box::new(problem) }
    }

    pub(crate) fn kind_of(&self, field: u32) -> String {
        self.fields.get(field as usize).map(|field| field.kind.clone()).unwrap_or_default()
    }
}
