//! What the user says of frames (`[[continue]]`): where they go on, and what their variables take. The engine proves the rest.

#[cfg(test)]
mod answers_tests;
mod asked;
mod compute;
mod here;
mod scope;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use dsu_formats::spec::Span;
use dsu_formats::spec::continuation::Accepted;

use crate::plan::address::{NewLink, OldLink};
use crate::plan::data::rules::FieldValue;
use crate::plan::data::value::Value;
use crate::plan::frames::Continuation;
use crate::program::address::LinkAddress;
use crate::program::types::TypeId;
pub(super) use asked::{About, Answer};
pub use compute::{OldProcess, Word, word};
pub(super) use here::{Here, Sides as HereSides};
pub(super) use scope::is_line;
pub use scope::{NotFound, OldScope, ScopeVariable, calls_of, code_points, scope_of};

/// All tables, bound to both builds.
#[derive(Clone, Debug, Default)]
pub struct FrameRules {
    /// In the order of the file.
    pub rules: Vec<FrameRule>,
}

/// One table.
#[derive(Clone, Debug)]
pub struct FrameRule {
    /// Position of the function in the old build.
    pub function: usize,
    /// Position in the new build of what its frames become.
    pub into: Option<usize>,
    /// Position of an old function that has to be further out on the stack.
    pub called_by: Option<usize>,
    /// Position of the old function that the thread has to have begun with.
    pub thread: Option<usize>,
    /// Addresses of the old function that the frame has to be at, each with whether it is a next instruction rather than where a call
    /// comes back to; `None`: any.
    pub from: Option<Vec<(OldLink, bool)>>,
    /// Where frames go on, likewise; the first that fits.
    pub at: Vec<(NewLink, bool)>,
    /// Positions of old functions whose frames vanish: those that it called, the nearest first.
    pub drops: Vec<usize>,
    /// Positions of the rules about functions of the new program that the thread is in besides, outermost first.
    pub inside: Vec<usize>,
    /// Whether it is such a rule, and about no frame by itself.
    pub is_inner: bool,
    /// What variables of the new frame take.
    pub locals: Vec<LocalRule>,
    /// What variables of the new program take.
    pub set: Vec<SetRule>,
    /// Calls before it goes on.
    pub before: Vec<CallRule>,
    /// What the user takes upon himself, with where he says so.
    pub accept: Vec<(Accepted, Arc<str>)>,
}

/// What a variable of the new frame takes.
#[derive(Clone, Debug)]
pub struct LocalRule {
    /// Its name.
    pub name: String,
    /// A variable of the old frame, or a part of one, that it takes whole.
    pub whole: Option<Whole>,
    /// A number or an address; `None` where only the whole will do.
    pub formula: Option<Arc<Formula>>,
    /// Where the rule stands: `update.toml:3:12`.
    pub origin: Arc<str>,
}

/// A part of a variable of the old frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// The variable.
    pub variable: String,
    /// Which of the frames that vanish has it, from 1; 0 is the frame itself.
    pub frame: u8,
    /// First byte of the part.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Its type.
    pub kind: Option<TypeId>,
}

/// What a variable of the new program, or a field of something, takes.
#[derive(Clone, Debug)]
pub struct SetRule {
    /// Where it is.
    pub place: SetPlace<Arc<Formula>>,
    /// For a bit-field: its first bit from there, and its width.
    pub bits: Option<(u8, u8)>,
    /// What it takes.
    pub formula: Arc<Formula>,
    /// Where the variable lies that it is, or is part of: link-time addresses of the new build.
    pub variable: Option<Range<u64>>,
    /// Where the rule stands.
    pub span: Span,
}

/// Where something is that takes a value.
#[derive(Clone, Debug, PartialEq)]
pub enum SetPlace<P> {
    /// In the new program.
    Fixed(NewLink),
    /// In the thread-local block of the thread whose frame it is, from its start.
    Thread(u64),
    /// In the object that a pointer of the old process leads to, so many bytes into what becomes of it.
    Through(P, u64),
}

/// A call of a function of the new program.
#[derive(Clone, Debug)]
pub struct CallRule {
    /// Its entry.
    pub function: NewLink,
    /// What it gets.
    pub arguments: Vec<CallArgument>,
    /// The call as it was written.
    pub text: String,
    /// Where the rule stands: `update.toml:3:12`.
    pub origin: Arc<str>,
}

/// An argument of such a call.
#[derive(Clone, Debug)]
pub enum CallArgument {
    /// A number.
    Word(u64),
    /// The address of a variable or function of the new program.
    Address(NewLink),
    /// Of what the frame has.
    Of(Arc<Formula>),
}

/// An expression over an old frame.
#[derive(Debug)]
pub struct Formula {
    /// What computes it.
    pub source: Source,
    /// What it reads, each with where that stands among the bytes that it is given.
    pub reads: Vec<Read>,
    /// How many bytes it is given.
    pub length: usize,
    /// What it is stored as.
    pub form: Form,
    /// Where it stands, for messages: `update.toml:3:12`.
    pub origin: Arc<str>,
}

/// What gives a value.
pub enum Source {
    /// A constant.
    Constant(Value),
    /// An expression.
    Expression(Arc<dyn FieldValue>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(value) => value.fmt(f),
            Self::Expression(expression) => f.write_str(&expression.describe()),
        }
    }
}

/// Something that an expression reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What.
    pub what: Readable,
    /// First of its bytes among those that the expression is given.
    pub at: usize,
    /// How many.
    pub length: u64,
}

/// What an expression may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readable {
    /// A variable of the old frame.
    Local(String),
    /// One of a frame that vanishes, from 1, the nearest first.
    Inner(u8, String),
    /// A variable of the old program.
    Static(OldLink),
}

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Length in bytes, at most 8.
    pub length: u8,
    /// Whether it is a floating-point number.
    pub float: bool,
    /// Whether its highest bit is a sign.
    pub signed: bool,
}

/// A value that the user gives, at one point.
#[derive(Clone, Debug)]
pub struct Said {
    /// The expression.
    pub formula: Arc<Formula>,
    /// Where each of its reads is at the point, in their order.
    pub places: Vec<Piece>,
    /// How many bytes of the variable lie before the part that is meant.
    pub skip: u8,
}

/// Where an expression finds what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// In a register of the old frame, by DWARF number.
    Register(u8),
    /// In a register as a frame further in has it: how many frames, and its DWARF number.
    Inner(u8, u8),
    /// In the old frame, from its canonical frame address.
    Frame(i64),
    /// In the old program's memory.
    Static(OldLink),
    /// It is this number.
    Constant(u64),
    /// Debug information computes it from registers at this place of the old build.
    Described(LinkAddress),
}

impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.formula, &other.formula) && self.places == other.places && self.skip == other.skip
    }
}

/// What else a spec says of one frame that goes on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Besides {
    /// Whether the first point that fits is taken, whatever fits besides.
    pub in_order: bool,
    /// Whether it goes on at a next instruction, whether a call is under way or not.
    pub exact: bool,
    /// What variables of the new program and fields take.
    pub set: Vec<SaidSet>,
    /// Calls before it goes on.
    pub before: Vec<SaidCall>,
    /// Position in the new build of what the call under way goes to, where that is not what the old one's function is for all frames: the
    /// frame further in has to be of that one.
    pub callee: Option<usize>,
    /// Variables whose bytes have to be carried, by their offsets in the new frame.
    pub needed: Vec<i64>,
    /// How it goes on in functions that it called, in the new program, outermost first.
    pub inside: Vec<Arc<Continuation>>,
}

/// Something that takes a value before a frame goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct SaidSet {
    /// Where it is.
    pub place: SetPlace<Said>,
    /// For a bit-field: its first bit from there, and its width.
    pub bits: Option<(u8, u8)>,
    /// What it takes.
    pub given: Said,
}

/// A call before a frame goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct SaidCall {
    /// Its entry.
    pub function: NewLink,
    /// What it gets.
    pub arguments: Vec<SaidArgument>,
    /// The call as it was written.
    pub text: String,
}

/// An argument of one.
#[derive(Clone, Debug, PartialEq)]
pub enum SaidArgument {
    /// A number.
    Word(u64),
    /// The address of a variable or function of the new program.
    Address(NewLink),
    /// Of what the frame has.
    Of(Said),
}

/// A frame that somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FrameAt {
    /// Position of its function in the old build.
    pub function: usize,
    /// Where it goes on.
    pub place: LinkAddress,
    /// Whether that is a next instruction rather than where a call comes back to.
    pub between: bool,
    /// Positions of the functions of the program further out, the caller first.
    pub callers: Vec<usize>,
    /// Frames of the program further in that nothing else lies between, the nearest first.
    pub inner: Vec<Inner>,
}

/// A frame further in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inner {
    /// Position of its function in the old build.
    pub function: usize,
    /// Where the call that it waits in comes back to.
    pub place: LinkAddress,
}

impl FrameRules {
    /// The rules about a frame, by their positions.
    pub fn about(&self, frame: &FrameAt) -> Vec<usize> {
        let fits = |rule: &FrameRule| {
            let inner = frame.inner.iter().map(|inner| inner.function);
            !rule.is_inner
                && rule.function == frame.function
                && rule.drops.iter().copied().eq(inner.take(rule.drops.len()))
                && rule.called_by.is_none_or(|caller| frame.callers.contains(&caller))
                && rule.thread.is_none_or(|start| frame.callers.last().unwrap_or(&frame.function) == &start)
                && rule.from.as_ref().is_none_or(|from| from.contains(&(OldLink(frame.place), frame.between)))
        };
        (0..).zip(&self.rules).filter(|(_, rule)| fits(rule)).map(|(index, _)| index).collect()
    }

    /// How many frames further in vanish with one.
    pub fn drops(&self, frame: &FrameAt) -> usize {
        let about = self.about(frame);
        about.iter().filter_map(|index| self.get(*index)).map(|rule| rule.drops.len()).max().unwrap_or(0)
    }

    /// The rule at a position.
    pub fn get(&self, index: usize) -> Option<&FrameRule> {
        self.rules.get(index)
    }
}
