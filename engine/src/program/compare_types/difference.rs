//! A difference and the way to it, in words.

use std::fmt;

use super::Comparison;
use crate::program::types::{Shape, TypeId, TypeTable};

/// Where two types differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {kind}: {old} → {new}")]
pub struct Difference {
    /// The place, from the nearest named type: `struct conn.field`, `struct list.items[].next*`.
    pub path: String,
    /// The way there from the type that was asked about; equal to `path` where that is the nearest named type.
    pub reached: String,
    /// What kind of difference.
    pub kind: DifferenceKind,
    /// What the old build has there.
    pub old: String,
    /// What the new build has there.
    pub new: String,
    /// The old type that differs itself (the structure whose member moved, say); `None` for void.
    pub old_type: Option<TypeId>,
    /// Its counterpart.
    pub new_type: Option<TypeId>,
}

/// Kinds of differences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    /// Another kind of type: a pointer that was an integer, say.
    Kind,
    /// Another size.
    Size,
    /// Another encoding of a base type: signed, unsigned, floating.
    Encoding,
    /// A member that only the new build has.
    MemberAdded,
    /// A member that only the old build has.
    MemberRemoved,
    /// A member under another name at the same place with the same type.
    MemberRenamed,
    /// A member (or bit-field) at another place.
    MemberMoved,
    /// Another number of elements.
    Length,
    /// An enumerator with another value.
    EnumeratorChanged,
    /// An enumerator that only the old build has.
    EnumeratorRemoved,
    /// An enumerator under another name with the same value.
    EnumeratorRenamed,
    /// A function type with another result or other parameters.
    Signature,
    /// A type that one of the builds only declares: nothing can be shown.
    Incomplete,
    /// A type that the model does not describe: nothing can be shown.
    Unknown,
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kind => "another type",
            Self::Size => "another size",
            Self::Encoding => "another encoding",
            Self::MemberAdded => "a new member",
            Self::MemberRemoved => "a member is gone",
            Self::MemberRenamed => "a member has another name",
            Self::MemberMoved => "a member has moved",
            Self::Length => "another length",
            Self::EnumeratorChanged => "an enumerator has another value",
            Self::EnumeratorRemoved => "an enumerator is gone",
            Self::EnumeratorRenamed => "an enumerator has another name",
            Self::Signature => "another signature",
            Self::Incomplete => "declared only",
            Self::Unknown => "not described",
        })
    }
}

/// A difference of a pair itself.
pub(super) struct Local {
    pub(super) kind: DifferenceKind,
    /// The member or enumerator; empty for the type as a whole.
    pub(super) name: String,
    pub(super) old: String,
    pub(super) new: String,
}

/// From a type to one that it holds or points to.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Member(String),
    Element,
    Target,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(name) if name.is_empty() => f.write_str(".(anonymous)"),
            Self::Member(name) => write!(f, ".{name}"),
            Self::Element => f.write_str("[]"),
            Self::Target => f.write_str("*"),
        }
    }
}

impl Comparison<'_> {
    /// Puts a local difference into words; `steps` lead from `root` to it, each with the pair that it ends at.
    pub(super) fn difference(&self, root: u32, steps: &[(Step, u32)], local: &Local) -> Difference {
        let mut reached = self.label(root);
        let mut path = reached.clone();
        for (step, next) in steps {
            reached.push_str(&step.to_string());
            path.push_str(&step.to_string());
            if self.is_named(*next) {
                path = self.label(*next);
            }
        }
        if !local.name.is_empty() {
            reached = format!("{reached}.{}", local.name);
            path = format!("{path}.{}", local.name);
        }
        let last = steps.last().map_or(root, |(_, at)| *at);
        let (old_type, new_type) = self.outcomes.get(last as usize).map_or((None, None), |outcome| outcome.pair);
        Difference { path, reached, kind: local.kind, old: local.old.clone(), new: local.new.clone(), old_type, new_type }
    }

    fn old_type(&self, at: u32) -> Option<TypeId> {
        self.outcomes.get(at as usize).and_then(|outcome| outcome.pair.0)
    }

    fn label(&self, at: u32) -> String {
        self.old.describe(self.old_type(at))
    }

    fn is_named(&self, at: u32) -> bool {
        self.old_type(at).is_some_and(|id| is_named_aggregate(self.old, id))
    }
}

fn is_named_aggregate(table: &TypeTable, id: TypeId) -> bool {
    let entry = table.get(id);
    !entry.name.is_empty() && matches!(entry.shape, Shape::Struct { .. } | Shape::Union { .. } | Shape::Enum { .. })
}
