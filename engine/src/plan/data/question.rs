//! What the engine cannot decide about data, and the rule that would.

use std::fmt;

/// Something about a type that only the user knows. All of a type's questions are asked at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// What is not known.
    pub what: Unknown,
    /// The new type as the source has it: `struct conn`. For a variable its name.
    pub owner: String,
    /// The field from there, `limits.max`; empty for the owner as a whole.
    pub field: String,
    /// What the old build has there; empty for nothing.
    pub old: String,
    /// What the new build has there; empty for nothing.
    pub new: String,
    /// Source file and line of the owner's declaration.
    pub declared: (String, u64),
    /// What looks like the answer, if something does: an old field's name, a new type's.
    pub likely: Option<String>,
}

/// What is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unknown {
    /// The value of a field that only the new build has.
    NewField,
    /// The value of the elements that an array has gained.
    NewElements,
    /// How the old value becomes one of the new field's type.
    Retyped,
    /// Which member of a union is in use.
    UnionMember,
    /// How many elements a flexible array has: they change, and what lies behind the last one must not be taken for one.
    Length,
    /// What a pointer leads to: the new build says something else than the old one.
    Target,
    /// Whether a type is one of the old build under another name.
    TypeName,
    /// Which value of a renumbered enumeration a number means that has two names.
    Enumerator,
    /// A rule stands where it cannot be followed: within an array, by an expression over the whole.
    Rule,
    /// The value of something new in a variable that starts as zero, although code of the new program stores to it: its start-up code does
    /// not run.
    Unset,
    /// A type that debug information describes incompletely, or as C cannot be.
    Undescribed,
}

impl Unknown {
    /// The kind of rule that answers it.
    pub fn answered_by(self) -> &'static str {
        match self {
            Self::NewField => "a value for the field, or the old field that it is",
            Self::NewElements => "a value for the new elements",
            Self::Retyped => "an expression for the field",
            Self::UnionMember => "the field that tells which member is in use",
            Self::Length => "the field that holds the number of elements",
            Self::Target => "the type that it points to, or an expression for the field",
            Self::TypeName => "what the type is called in the new build",
            Self::Enumerator => "a map of the enumeration's values",
            Self::Unset => "a value, which may be the initial one",
            Self::Rule => "a rule for the element's type",
            Self::Undescribed => "a plugin for the type, or its declaration as opaque",
        }
    }
}

impl Question {
    /// What it is about, as messages name it.
    pub fn name(&self) -> String {
        if self.field.is_empty() { format!("`{}`", self.owner) } else { format!("`{}.{}`", self.owner, self.field) }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.field.is_empty() { self.owner.clone() } else { format!("{}.{}", self.owner, self.field) };
        match self.what {
            Unknown::NewField => write!(f, "`{at}` ({}) is new: what is its value?", self.new),
            Unknown::NewElements => write!(f, "`{at}` grows from {} to {}: what do the new elements hold?", self.old, self.new),
            Unknown::Retyped => write!(f, "`{at}` changes from {} to {}: how does its value become one?", self.old, self.new),
            Unknown::UnionMember => write!(f, "the union `{at}` changes: which member is in use?"),
            Unknown::Length => write!(f, "the elements of `{at}` change: how many are there?"),
            Unknown::Target if self.old == self.new => {
                write!(f, "`{at}` points to {}, which the two builds do not describe as one: what does it lead to?", self.new)
            }
            Unknown::Target => write!(f, "`{at}` points to {} instead of {}: what does it lead to?", self.new, self.old),
            Unknown::TypeName => write!(f, "is {} of the new build what {} was?", self.new, self.old),
            Unknown::Enumerator => write!(f, "`{at}`: {} means two things, of which only one keeps its value", self.old),
            Unknown::Unset => write!(
                f,
                "`{at}` ({}) is new and starts as zero, although `{}` stores to it, and start-up code does not run again: what is its value?",
                self.new, self.old
            ),
            Unknown::Rule => write!(f, "the rule for `{at}` cannot be followed: {}", self.old),
            Unknown::Undescribed => write!(f, "`{at}` cannot be rewritten: {}", self.old),
        }?;
        if !self.declared.0.is_empty() {
            write!(f, " (declared at {}:{})", self.declared.0, self.declared.1)?;
        }
        match &self.likely {
            Some(likely) => write!(f, "; is it `{likely}`?"),
            None => Ok(()),
        }
    }
}
