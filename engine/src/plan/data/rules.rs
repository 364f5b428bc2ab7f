//! The user's answers on data, bound to the types, members and functions of both builds. A spec file is resolved into these; whoever
//! rewrites objects reads nothing else of it.
//!
//! Keys are canonical: the type behind typedefs and qualifiers, as [`crate::program::types::TypeTable::canonical`] gives it. Where a
//! name stands for several structures, the rule has to stand under each that is meant.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::value::{ObjectView, Value, ValueError};
use crate::plan::address::NewLink;
use crate::plan::walk::KernelWords;
use crate::program::types::TypeId;

/// All answers on data for one pair of builds. The default is none.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Old structures, unions and enumerations that have another name in the new build, with what they are there.
    pub types: HashMap<TypeId, TypeId>,
    /// What fields of new types take, by their place in the new build. A field that both builds have and that stands here is not
    /// carried but made anew.
    pub fields: HashMap<Place, FieldRule>,
    /// What the additional elements of an array that grew take, by its place in the new build.
    pub new_elements: HashMap<Place, FieldRule>,
    /// Places of the new build whose value may be cut: an integer that no longer fits keeps its low bits, elements and bytes past the
    /// end of an array that shrank are dropped.
    pub may_lose: HashSet<Place>,
    /// Old enumerations whose values are not mapped by the enumerators' names alone.
    pub enums: HashMap<TypeId, EnumRule>,
    /// What pointers of the old build point to that its types do not say (`void *`, `char *` buffers), by place in the old build.
    pub pointees: HashMap<Place, Pointee>,
    /// What the words point to that the kernel keeps for the old program.
    pub kernel_words: HashMap<KernelWords, Pointee>,
    /// How many elements a pointer of the old build points to, or a flexible array member has, by place in the old build.
    pub lengths: HashMap<Place, Length>,
    /// Which member of a union is in use, by the union's place in the old build.
    pub unions: HashMap<Place, UnionRule>,
    /// Old types whose objects are carried as bytes: never looked into, whatever changed in them.
    pub opaque: HashSet<TypeId>,
    /// Old types whose objects a plugin rewrites.
    pub plugins: HashMap<TypeId, PluginId>,
    /// Old types whose objects are not made with `malloc` and its family.
    pub allocators: HashMap<TypeId, Allocator>,
}

/// A place within every object of a type, or within one variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Where the path begins.
    pub root: Root,
    /// Positions in the member lists from there, outermost first, anonymous members included. Arrays on the way are passed through: the
    /// place stands for the member of each element. Empty: the whole.
    pub path: Vec<u32>,
}

/// Where a [`Place`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    /// A structure or union of the build, canonical.
    Type(TypeId),
    /// Position of a variable in [`crate::program::dwarf::DebugInfo::variables`] of the build.
    Variable(u32),
}

impl Place {
    /// The member at `path` of every object of `kind`.
    pub fn member(kind: TypeId, path: &[u32]) -> Self {
        Self { root: Root::Type(kind), path: path.to_vec() }
    }

    /// The variable at this position of [`crate::program::dwarf::DebugInfo::variables`], as a whole.
    pub fn variable(position: u32) -> Self {
        Self { root: Root::Variable(position), path: Vec::new() }
    }
}

/// What a field of a new object takes.
#[derive(Clone, Debug)]
pub struct FieldRule {
    /// Its value.
    pub source: FieldSource,
    /// Where the rule was given, for messages: `update.toml:12:3`.
    pub origin: Arc<str>,
}

/// Where the value of a new field comes from.
#[derive(Clone)]
pub enum FieldSource {
    /// The old field at this path, from the old type that the place's root pairs with: it was renamed, or moved to another level.
    Old(Vec<u32>),
    /// The same value in every object.
    Constant(Value),
    /// Computed from the old object that the place's root pairs with.
    Expression(Arc<dyn FieldValue>),
}

impl fmt::Debug for FieldSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Old(path) => f.debug_tuple("Old").field(path).finish(),
            Self::Constant(value) => f.debug_tuple("Constant").field(value).finish(),
            Self::Expression(expression) => f.debug_tuple("Expression").field(&expression.describe()).finish(),
        }
    }
}

/// A value computed from an old object.
pub trait FieldValue: Send + Sync {
    /// The value for the new object that `old` becomes. Called once an object, from several threads at a time.
    ///
    /// # Errors
    /// Whatever keeps the value from being computed: unreadable memory, division by zero, overflow.
    fn value(&self, old: &ObjectView<'_>) -> Result<Value, ValueError>;

    /// The expression as it was written, for messages.
    fn describe(&self) -> String;
}

/// How values of an old enumeration map to the new one where names do not say it.
#[derive(Clone, Debug, Default)]
pub struct EnumRule {
    /// Old value to new value; wins over names.
    pub values: HashMap<i128, i128>,
    /// Whether values are sets of bits: each bit maps by the enumerator that has just this bit.
    pub flags: bool,
    /// What a value becomes that neither this rule nor a name maps.
    pub otherwise: Unmapped,
}

/// What becomes of an enumeration's value that has no name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmapped {
    /// It is an error that names object, field and value.
    #[default]
    Refuse,
    /// It stays the number that it is.
    Keep,
    /// It becomes this value.
    Value(i128),
}

/// What a pointer without a type points to.
#[derive(Clone, Debug)]
pub enum Pointee {
    /// Objects of this old type.
    Type(TypeId),
    /// The middle of an object of this old type, as a link of a list that is embedded in it.
    Within {
        /// The type of the whole.
        kind: TypeId,
        /// Bytes from its start to where the pointer leads.
        back: u64,
    },
    /// Bytes that hold no pointer and no object of a changed type.
    Opaque,
    /// It depends on another field.
    ByTag {
        /// Path of that field from the root of the pointer's place.
        tag: Vec<u32>,
        /// What is pointed to, by the field's value; `None` is [`Pointee::Opaque`]. Another value is an error.
        choices: HashMap<i128, Option<TypeId>>,
    },
}

/// How many elements there are.
#[derive(Clone)]
pub enum Length {
    /// A fixed number.
    Fixed(u64),
    /// The value of another field: its path from the root of the place.
    Field(Vec<u32>),
    /// Computed from the object at the root of the place.
    Expression(Arc<dyn FieldValue>),
}

impl fmt::Debug for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(count) => f.debug_tuple("Fixed").field(count).finish(),
            Self::Field(path) => f.debug_tuple("Field").field(path).finish(),
            Self::Expression(expression) => f.debug_tuple("Expression").field(&expression.describe()).finish(),
        }
    }
}

/// Which member of a union is in use.
#[derive(Clone, Debug)]
pub struct UnionRule {
    /// Path of the field that tells, from the root of the union's place.
    pub tag: Vec<u32>,
    /// The members by the field's value.
    pub choices: HashMap<i128, UnionChoice>,
    /// The members for any other value; `None`: an error that names object, field and value.
    pub otherwise: Option<UnionChoice>,
}

/// A member of a union in both builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnionChoice {
    /// Position of the old union's member; `None`: nothing in the union is in use, its bytes are carried for what they are.
    pub old: Option<u32>,
    /// Position of the new union's member that takes the value; `None`: the one with the same name.
    pub new: Option<u32>,
}

/// A plugin by its position in the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginId(pub u32);

/// Functions of the new program that make and free objects instead of `malloc` and `free`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Allocator {
    /// `void *f(size_t size)`.
    pub allocate: NewLink,
    /// `void f(void *object)`; without one the old block is kept.
    pub free: Option<NewLink>,
}
